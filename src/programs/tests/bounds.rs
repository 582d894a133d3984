//! However long a program is, a turn does no more than so much, and to look it through ends.

use std::time::{Duration, Instant as Clock};

use super::fake::{Asked, Fake};
use super::{config, program, run};
#[cfg(feature = "cli")]
use crate::programs::look_through::look_through_all;
use crate::programs::look_through::{LookedThrough, first_stand};
use crate::programs::{Preflight, Program, preflight};

const MANY: usize = 50_000;

/// The most that was asked for in one turn, how many turns it took, and how much was asked for in all.
fn most_asked(steps: &str, lasts: Duration) -> (Asked, usize, Asked) {
    let program = program(&format!("[program.p]\nsteps = [ {steps} ]\n"));
    let (mut most, mut turns, mut all) = (Asked::default(), 0, Asked::default());
    let mut host = Fake::new(lasts);
    run(&program, &mut host, |host, _| {
        let asked = host.asked();
        most = Asked {
            plans: most.plans.max(asked.plans),
            places: most.places.max(asked.places),
            events: most.events.max(asked.events),
            frames: most.frames.max(asked.frames),
        };
        all = Asked {
            plans: all.plans + asked.plans,
            places: all.places + asked.places,
            events: all.events + asked.events,
            frames: all.frames + asked.frames,
        };
        turns += 1;
    })
    .unwrap();
    assert!(!host.is_moving());
    (most, turns, all)
}

fn moves(count: usize, more: &str) -> String {
    let one = |n: usize| format!("{{ move = {{ x = \"{}mm\" }}{more} }}", 10 + n % 2);
    (0..count).map(one).collect::<Vec<_>>().join(", ")
}

#[test]
fn a_turn_plans_no_more_than_so_many_moves() {
    // Each of them ends where it begins.
    let (most, turns, all) = most_asked(&moves(MANY, ""), Duration::ZERO);
    assert_eq!((most.plans, all.plans), (32, MANY));
    assert!(turns >= MANY / 32);
}

#[test]
fn a_turn_tells_no_more_than_so_many_events() {
    let steps = vec!["{ trigger = \"e\" }"; MANY].join(", ");
    let (most, _, all) = most_asked(&steps, Duration::ZERO);
    assert_eq!((most.events, all.events), (32, MANY));
    // As many branches side by side share what one has alone.
    let branch = format!("[ {} ]", vec!["{ trigger = \"e\" }"; 100].join(", "));
    let steps = format!("{{ together = [ {} ] }}", vec![branch; 200].join(", "));
    let (most, _, all) = most_asked(&steps, Duration::ZERO);
    assert_eq!((most.events, all.events), (32, 20_000));
}

/// A branch that has much to do at once takes no turn from the others, wherever it stands among them.
#[test]
fn branches_share_what_may_be_done_in_a_turn() {
    let list = |what: &str, many: usize| {
        format!("[ {} ]", vec![format!("{{ trigger = \"{what}\" }}"); many].join(", "))
    };
    let small: Vec<String> = (0..200).map(|n| list(&format!("small{n}"), 1)).collect();
    let steps = |first: usize| {
        let mut branches = small.clone();
        branches.insert(first, list("many", 5000));
        branches.insert(first, list("many", 5000));
        format!("{{ together = [ {} ] }}", branches.join(", "))
    };
    for first in [0, 100, 200] {
        let program = program(&format!("[program.p]\nsteps = [ {} ]\n", steps(first)));
        let (mut turns, mut last) = (0, 0);
        run(&program, &mut Fake::new(Duration::ZERO), |host, _| {
            turns += 1;
            if host.story.iter().filter(|s| s.starts_with("small")).count() < 200 {
                last = turns;
            }
        })
        .unwrap();
        // Two hundred steps of theirs are seven turns' worth, and between them come the turns of those two.
        assert!(turns > 300 && last < 25, "{last} of {turns} turns");
    }
}

/// A move with a plan for each of its motors takes as much of a turn as so many moves.
#[test]
fn a_turn_counts_the_plans_of_a_move() {
    let asap = |n: usize| {
        let at = 10 + n % 2;
        format!(
            "{{ move = {{ x = \"{at}mm\", y = \"{at}mm\", z = \"{at}mm\", pan = \"{at}deg\" }}, arrive = \"asap\" }}"
        )
    };
    let steps: Vec<String> = (0..1000).map(asap).collect();
    let (most, turns, all) = most_asked(&steps.join(", "), Duration::ZERO);
    assert_eq!((most.plans, all.plans), (8, 1000));
    assert!(turns >= 125, "{turns}");
}

#[test]
fn a_turn_gives_blended_runs_no_more_than_so_many_places() {
    let steps = moves(MANY, ", blend = \"0.1mm\"");
    let (most, turns, all) = most_asked(&steps, Duration::from_secs(1));
    assert_eq!(all, Asked { plans: 1, places: MANY, ..Asked::default() });
    assert!(most.places <= 512 && turns > MANY / 512, "{most:?} in {turns} turns");
}

#[test]
fn a_turn_plans_no_more_than_so_many_keyframes() {
    let frame = |n: usize| format!("{{ at = \"{}ms\", x = \"{}mm\" }}", 100 * (n + 1), n % 3);
    let frames: Vec<String> = (0..MANY).map(frame).collect();
    let steps = format!("{{ keyframes = [ {} ] }}", frames.join(", "));
    let (most, _, all) = most_asked(&steps, Duration::from_secs(1));
    assert_eq!((most.frames, all.frames, all.plans), (500, MANY, 1));
}

/// There are two more motors that could be part of the run: ten thousand moves are looked at for them.
#[test]
fn a_turn_looks_no_further_than_so_far_for_the_motors_of_a_run() {
    let steps = moves(MANY, ", blend = \"0.1mm\"");
    let program = program(&format!("[program.p]\nsteps = [ {steps} ]\n"));
    let (mut begun, mut turns) = (None, 0);
    run(&program, &mut Fake::new(Duration::from_secs(1)), |host, _| {
        turns += 1;
        if host.asked().plans > 0 {
            begun.get_or_insert(turns);
        }
    })
    .unwrap();
    // A thousand of them in a turn; the first step may take one more.
    assert!(begun.is_some_and(|turns| (10..=11).contains(&turns)), "{begun:?}");
}

/// What takes no time is not repeated without end in one instant, however it is cut into turns.
#[test]
fn an_endless_repetition_of_nothing_lets_time_pass() {
    let nothing = vec!["{ trigger = \"e\" }"; 100].join(", ");
    for steps in [
        format!("{{ repeat = 1000, steps = [ {nothing} ] }}"),
        format!(
            "{{ repeat = 1000, steps = [ {{ together = [ [ {nothing} ], [ {nothing} ] ] }} ] }}"
        ),
    ] {
        let program = program(&format!("[program.p]\nsteps = [ {steps} ]\n"));
        let mut host = Fake::new(Duration::ZERO);
        run(&program, &mut host, |_, _| {}).unwrap();
        let took = super::host_now(&host).as_nanos();
        assert_eq!(took, 999 * 1_000_000);
    }
}

fn stairs(count: usize, times: usize, last: &str) -> String {
    let run = |n: usize| match n + 1 == count {
        true => format!("[program.p{n}]\nsteps = [ {last} ]\n"),
        false => {
            let steps = vec![format!("{{ run = \"p{}\" }}", n + 1); times].join(", ");
            format!("[program.p{n}]\nsteps = [ {steps} ]\n")
        }
    };
    (0..count).map(run).collect()
}

/// Thirty programs, each of which runs the next one twice: half a billion moves, looked through in an instant.
#[test]
fn a_program_that_is_run_many_times_is_looked_through_once() {
    let last = "{ move = { x = \"10mm\" } }, { move = { x = \"0mm\" } }";
    let begun = Clock::now();
    let one = preflight(&config(&stairs(1, 2, last)), "p0");
    let all = preflight(&config(&stairs(30, 2, last)), "p0");
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    let times = 1u32 << 29;
    assert_eq!(all.duration, one.duration.map(|d| d * times));
    assert_eq!((all.beyond, &all.problems, &all.motors), (None, &one.problems, &one.motors));
    let expected = one.usage[0].distance * f64::from(times);
    assert!((all.usage[0].distance - expected).abs() < 1e-6 * expected);
    assert_eq!(all.usage[0].speed, one.usage[0].speed);
}

/// From elsewhere it may be another thing: what begins where it has not begun yet is looked through anew.
#[test]
fn what_begins_elsewhere_is_looked_through_anew() {
    let text = "[program.p]\nmove-timeout = \"10s\"\nsteps = [ { run = \"q\" }, { run = \"q\" }, { run = \"far\" }, \
        { run = \"q\" } ]\n\
        [program.q]\nmove-timeout = \"1s\"\nsteps = [ { move = { x = \"10mm\" } } ]\n\
        [program.far]\nsteps = [ { move = { x = \"200mm\" } } ]\n";
    let found = preflight(&config(text), "p");
    assert_eq!(found.problems.len(), 1, "{found:?}");
    assert!(found.problems[0].error.to_string().contains("longer than its time-out"));
}

/// Where nothing can be remembered, since one run without a stop goes through all of it, the look ends all the same,
/// and says how far it went.
#[test]
fn a_look_that_is_too_long_says_how_far_it_went() {
    let last = "{ move = { x = \"10mm\" }, blend = \"0.1mm\" }, { move = { x = \"0mm\" }, blend = \"0.1mm\" }";
    let found = preflight(&config(&stairs(28, 2, last)), "p0");
    let looked = found.beyond.unwrap();
    assert!((10_000..=250_000).contains(&looked), "{looked}");
    assert_eq!((found.duration, found.problems.len()), (None, 0));
    assert_eq!(found.motors.into_iter().collect::<Vec<_>>(), [0]);
}

/// A config that is made to be expensive: whatever its programs are, looking through all of them ends.
#[cfg(feature = "cli")]
#[test]
fn all_programs_of_a_config_together_are_looked_through_no_further_than_so_far() {
    let text: String = (0..200)
        .map(|n| format!("[program.p{n}]\nsteps = [ {{ run = \"all\" }}, {{ move = {{ x = \"{n}mm\" }} }} ]\n"))
        .collect();
    let text = text + &format!("[program.all]\nsteps = [ {} ]\n", moves(10_000, ""));
    let config = config(&text);
    let names: Vec<String> = (0..200).map(|n| format!("p{n}")).collect();
    let looked = look_through_all(&config, names.iter().map(String::as_str), &|| false);
    // Nearly fifty are looked through, the next one in part, and those after it not at all.
    let whole = |l: &(&str, Option<Preflight>)| l.1.as_ref().is_some_and(|p| p.beyond.is_none());
    let count = looked.iter().take_while(|l| whole(l)).count();
    assert!(looked.len() == 200 && (45..50).contains(&count), "{count} of {}", looked.len());
    assert!(looked[count].1.as_ref().is_some_and(|p| p.beyond.is_some()), "{:?}", looked[count]);
    assert!(looked[count + 1..].iter().all(|l| l.1.is_none()));
}

/// A move with a plan for each of its motors counts for all of them, and so does a keyframe for each.
#[test]
fn what_is_planned_is_what_counts() {
    let text = |steps: String| config(&format!("[program.p]\nsteps = [ {steps} ]\n"));
    let asap = |n: usize| {
        let at = 10 + n % 2;
        format!(
            "{{ move = {{ x = \"{at}mm\", y = \"{at}mm\", z = \"{at}mm\" }}, arrive = \"asap\" }}"
        )
    };
    let all: Vec<String> = (0..100_000).map(asap).collect();
    let looked = preflight(&text(all.join(", ")), "p").beyond.unwrap();
    assert!((78_000..84_000).contains(&looked), "{looked}");
    let frame = |n: usize| format!("{{ at = \"{}ms\", x = \"{}mm\" }}", 300 * (n + 1), n % 2);
    let frames: Vec<String> = (0..260_000).map(frame).collect();
    let looked = preflight(&text(format!("{{ keyframes = [ {} ] }}", frames.join(", "))), "p");
    assert_eq!((looked.beyond, looked.problems.len()), (Some(250_000), 0));
}

#[test]
fn nobody_is_kept_waiting_by_a_look_that_is_not_wanted_any_more() {
    let config = config(&format!("[program.p]\nsteps = [ {} ]\n", moves(1000, "")));
    let program = Program::new(&config, Some("p")).unwrap();
    let looks = std::cell::Cell::new(0);
    let stop = || looks.replace(looks.get() + 1) >= 100;
    let looked = LookedThrough::new(program, first_stand(&config), &stop);
    assert_eq!(looked.preflight.beyond, Some(100));
}
