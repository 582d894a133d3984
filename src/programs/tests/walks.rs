//! A cursor goes where a reader would.

use std::collections::BTreeSet;
use std::time::Duration;

use proptest::prelude::*;

use super::fake::Fake;
use super::{config, run};
use crate::config::{Action, Config, StepConfig};
use crate::programs::Program;

/// Steps in words, with programs `q` and `r` to be run.
fn steps(depth: u32) -> BoxedStrategy<String> {
    let leaf = prop_oneof![
        3 => "[a-e]".prop_map(|name| format!("{{ trigger = \"{name}\" }}")),
        1 => (0u8..3, 1u8..9).prop_map(|(motor, at)| {
            format!("{{ move = {{ {} = \"{at}mm\" }} }}", ["x", "y", "z"][usize::from(motor)])
        }),
        1 => Just("{ run = \"q\" }".to_owned()),
        1 => Just("{ run = \"r\" }".to_owned()),
    ];
    let one = match depth {
        0 => leaf.boxed(),
        _ => prop_oneof![
            4 => leaf,
            1 => (1u8..4, steps(depth - 1))
                .prop_map(|(times, steps)| format!("{{ repeat = {times}, steps = {steps} }}")),
        ]
        .boxed(),
    };
    prop::collection::vec(one, 1..5).prop_map(|all| format!("[ {} ]", all.join(", "))).boxed()
}

/// What a reader would say that happens.
fn read(config: &Config, steps: &[StepConfig], story: &mut Vec<String>) {
    for step in steps {
        match &step.action {
            Action::Trigger(name) => story.push(name.clone()),
            Action::Move(action) => {
                story.extend(action.targets.iter().map(|t| format!("{}={}", t.motor, t.position)));
            }
            Action::Repeat(times, steps) => {
                (0..times.unwrap()).for_each(|_| read(config, steps, story));
            }
            Action::Run(number) => {
                let program = &config.programs[*number];
                read(config, &program.steps, story);
                story.push(format!("program.{}.done", program.name));
            }
            other => panic!("{other:?}"),
        }
    }
}

/// Where a motor stands in a story: `x` as `0=`.
fn moved_after(story: &[String], from: usize) -> BTreeSet<usize> {
    let motor = |what: &String| what.split_once('=').and_then(|(motor, _)| motor.parse().ok());
    story[from..].iter().filter_map(motor).collect()
}

proptest! {
    #[test]
    fn it_carries_out_each_step_in_its_turn(p in steps(3), q in steps(0), r in steps(1)) {
        // `q` runs nothing, and `r` no `r`.
        let (q, r) = (q.replace("{ run = \"q\" }", "{ trigger = \"q\" }"), r.replace("run = \"r\"", "trigger = \"r\""));
        let q = q.replace("{ run = \"r\" }", "{ trigger = \"r\" }");
        let text = format!("[program.p]\nsteps = {p}\n[program.q]\nsteps = {q}\n[program.r]\nsteps = {r}\n");
        let config = config(&text);
        let program = Program::new(&config, Some("p")).unwrap();
        let mut expected = Vec::new();
        read(&config, &config.program("p").unwrap().steps, &mut expected);
        // Whatever is still to move is among those that may.
        let mut host = Fake::new(Duration::from_millis(10));
        let mut too_few = None;
        run(&program, &mut host, |host, branch| {
            let mut left = BTreeSet::new();
            branch.motors_left(&mut left);
            if !moved_after(&expected, host.story.len()).is_subset(&left) {
                too_few.get_or_insert((host.story.len(), left));
            }
        })
        .map_err(TestCaseError::fail)?;
        prop_assert_eq!(&host.story, &expected);
        prop_assert_eq!(too_few, None);
        prop_assert_eq!(program.motors().len() >= moved_after(&expected, 0).len(), true);
    }
}

/// At its end a program needs no motor any more, and each is free after its last use.
#[test]
fn a_motor_is_free_after_its_last_use() {
    let text = "[program.p]\nsteps = [ { move = { x = \"1mm\" } }, { repeat = 2, steps = [ { move = { y = \"1mm\" } }, \
        { move = { y = \"2mm\" } } ] }, { run = \"q\" }, { trigger = \"end\" } ]\n\
        [program.q]\nsteps = [ { move = { z = \"1mm\" } }, { move = { pan = \"1deg\" }, on-short = { pan = \"r\" } }, \
        { pause = \"1s\" } ]\n[program.r]\nsteps = [ { move = { x = \"3mm\" } } ]\n";
    let program = Program::new(&config(text), Some("p")).unwrap();
    let mut host = Fake::new(Duration::from_millis(10));
    let mut story = Vec::new();
    run(&program, &mut host, |_, branch| {
        let mut left = BTreeSet::new();
        branch.motors_left(&mut left);
        let left: String = left.into_iter().map(|m| ["x", "y", "z", "p"][m]).collect();
        if story.last() != Some(&left) {
            story.push(left);
        }
    })
    .unwrap();
    // `r` could move x until pan has reached its place.
    assert_eq!(story, ["xyzp", "xzp", "xp", ""]);
}
