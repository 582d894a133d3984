use proptest::prelude::*;

use super::*;

const MS: u64 = 1_000_000;
/// The grain of time of the properties.
const TICK: u64 = 100_000;

fn at(nanos: u64) -> Instant {
    Instant::from_nanos(nanos)
}

fn edge(nanos: u64, active: bool) -> Edge {
    Edge { active, at: at(nanos), number: None }
}

fn changes(filter: &mut Filter) -> Vec<Change> {
    std::iter::from_fn(|| filter.next_change()).collect()
}

/// Looks at a line that stays as it is, whenever it is due, until nothing is.
fn see_out(filter: &mut Filter, active: bool) {
    while filter.due() != Instant::FAR {
        filter.look(filter.due(), Some(active));
    }
}

/// The same, by what the words say, tick by tick: what stands for the debounce time is confirmed, with the first
/// edge since the line stood still before; but not within 50 ms of an edge that makes noise of it.
fn slow(safety: bool, debounce: u64, edges: &[u64], ticks: u64) -> (Vec<(bool, u64)>, u64) {
    let (mut confirmed, mut level) = (false, false);
    let (mut changes, mut rejected) = (Vec::new(), 0);
    // The edges since it stood still, and those that made noise.
    let (mut open, mut loud): (Vec<u64>, Vec<u64>) = (Vec::new(), Vec::new());
    for tick in 0..ticks {
        let now = tick * TICK;
        let noisy = loud.iter().any(|e| now < e + 50 * MS);
        if open.last().is_some_and(|last| now >= last + debounce) && !noisy {
            if level != confirmed {
                let noise = loud.iter().any(|e| open.contains(e));
                let since = if noise { open[open.len() - 1] } else { open[0] };
                let since = changes.last().map_or(since, |c: &(bool, u64)| since.max(c.1 + 1));
                changes.push((level, since));
                confirmed = level;
            } else {
                rejected += open.len().div_ceil(2) as u64;
            }
            open.clear();
        }
        if edges.contains(&now) {
            level = !level;
            open.push(now);
            let near = edges.iter().filter(|e| **e <= now && now - **e <= 50 * MS).count();
            if near > 100 || now - open[0] >= debounce + 50 * MS {
                loud.push(now);
                if safety && !confirmed {
                    let since =
                        changes.last().map_or(open[0], |c: &(bool, u64)| open[0].max(c.1 + 1));
                    changes.push((true, since));
                    confirmed = true;
                }
            }
        }
    }
    (changes, rejected)
}

/// Gaps between edges, in ticks: bounce, single pulses, noise, and quiet.
fn gaps() -> impl Strategy<Value = Vec<u64>> {
    let some = prop_oneof![
        3 => prop::collection::vec(1u64..6, 1..8),
        2 => prop::collection::vec(5u64..40, 1..6),
        1 => prop::collection::vec(1u64..6, 90..160),
        1 => prop::collection::vec(6u64..11, 60..100),
        2 => prop::collection::vec(300u64..900, 1..2),
    ];
    prop::collection::vec(some, 1..6).prop_map(|parts| parts.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Whatever comes, and however late and often it is looked at, the filter says what the words say.
    #[test]
    fn it_says_what_the_slow_one_says(
        safety: bool, debounce in prop::sample::select(vec![0u64, 1, 5, 10, 200]), gaps in gaps(),
        looks in prop::collection::vec(0u64..3000, 0..60),
    ) {
        let debounce = debounce * TICK;
        let mut now = 0;
        let edges: Vec<u64> = gaps.iter().map(|gap| { now += gap * TICK; now }).collect();
        let ticks = now / TICK + 2000;
        let (wanted, rejected) = slow(safety, debounce, &edges, ticks);
        let rules = Rules { debounce: Duration::from_nanos(debounce), safety };
        let mut filter = Filter::new(rules, false);
        let mut looks: Vec<u64> = looks.iter().map(|l| l * TICK).collect();
        looks.sort_unstable();
        let mut active = false;
        for (n, &when) in edges.iter().enumerate() {
            for &look in looks.iter().filter(|l| **l < when && (n == 0 || **l >= edges[n - 1])) {
                filter.look(at(look), Some(active));
            }
            active = !active;
            filter.edge(edge(when, active));
        }
        see_out(&mut filter, active);
        let seen: Vec<_> = changes(&mut filter).iter().map(|c| (c.active, c.at.as_nanos())).collect();
        prop_assert_eq!(seen, wanted);
        prop_assert_eq!(filter.rejected().pulses, rejected);
        prop_assert_eq!(filter.condition(), Condition::Well);
    }

    /// Whatever the kernel tells wrong, leaves out or can't read: changes alternate, in the order of their
    /// instants, and once the line stands still the filter says what it is. A safety line is never thought
    /// inactive while it stands active.
    #[test]
    fn it_comes_to_the_truth(
        safety: bool,
        steps in prop::collection::vec((1u64..40, 0u8..8, any::<bool>(), 1u32..3), 1..120),
    ) {
        let mut filter = Filter::new(Rules { safety, ..Rules::DEFAULT }, false);
        let (mut now, mut active, mut number) = (0, false, 0);
        let mut stands = 0;
        for (gap, kind, told, more) in steps {
            now += gap * TICK;
            if kind < 6 {
                (active, stands) = (!active, now);
                number += if kind == 5 { more } else { 1 };
                // Now and then the level that it is told with is that of a moment later.
                let told = if kind == 4 { told } else { active };
                filter.edge(Edge { active: told, at: at(now), number: Some(number) });
            } else {
                filter.look(at(now), (kind == 6).then_some(active));
            }
            while filter.due() <= at(now) {
                filter.look(at(now), Some(active));
                if filter.due() == at(now) {
                    break;
                }
            }
            let stood = now - stands >= 3 * MS && filter.due() == Instant::FAR;
            if safety && active && stood {
                prop_assert!(filter.is_active());
            }
        }
        see_out(&mut filter, active);
        let seen = changes(&mut filter);
        prop_assert_eq!(filter.is_active(), active);
        for (n, change) in seen.iter().enumerate() {
            prop_assert_eq!(change.active, n % 2 == 0);
            prop_assert!(n == 0 || seen[n - 1].at < change.at);
            prop_assert!(safety || change.why == Why::Level);
        }
    }
}

#[test]
fn a_glitch_of_microseconds_is_rejected_and_counted() {
    let mut filter = Filter::new(Rules::SAFETY, false);
    for ms in [10, 20, 30] {
        filter.edge(edge(ms * MS, true));
        filter.edge(edge(ms * MS + 3_000 * ms / 10, false));
        see_out(&mut filter, false);
    }
    assert_eq!(changes(&mut filter), []);
    let rejected = Rejected { pulses: 3, longest: Duration::from_micros(9) };
    assert_eq!(filter.rejected(), rejected);
}

#[test]
fn one_edge_that_says_the_wrong_level_is_seen_through() {
    // A pulse so short that the kernel told of its first edge alone.
    let mut filter = Filter::new(Rules::SAFETY, false);
    filter.edge(edge(MS, true));
    filter.look(at(2 * MS), Some(false));
    assert_eq!(filter.due(), at(3 * MS), "looked at once more");
    filter.look(at(3 * MS), Some(false));
    assert_eq!((changes(&mut filter), filter.rejected().pulses), (vec![], 1));
    // A look that came before the edge it saw.
    filter.edge(edge(10 * MS, true));
    filter.edge(edge(10 * MS + 5, false));
    filter.look(at(11 * MS + 7), Some(true));
    filter.edge(edge(11 * MS + 6, true));
    see_out(&mut filter, true);
    let change = Change { active: true, at: at(11 * MS + 6), why: Why::Level };
    assert_eq!((changes(&mut filter), filter.rejected().pulses), (vec![change], 2));
}

#[test]
fn a_change_that_no_edge_told_of_is_found_by_a_look() {
    let mut filter = Filter::new(Rules::DEFAULT, false);
    filter.look(at(50 * MS), Some(true));
    assert_eq!(filter.due(), at(51 * MS));
    filter.look(at(51 * MS), Some(true));
    let change = Change { active: true, at: at(50 * MS), why: Why::Level };
    assert_eq!(changes(&mut filter), [change]);
}

#[test]
fn what_is_not_known_of_a_safety_line_counts_as_active() {
    let numbered = |ms, number| Edge { number: Some(number), ..edge(ms * MS, number % 2 == 1) };
    for safety in [true, false] {
        let whys = |filter: &mut Filter| changes(filter).iter().map(|c| c.why).collect::<Vec<_>>();
        let wanted = |why| if safety { vec![why, Why::Level] } else { vec![] };
        let rules = Rules { safety, ..Rules::DEFAULT };
        // Edges were lost: it may have been active in between.
        let mut filter = Filter::new(rules, false);
        filter.edge(numbered(1, 1));
        filter.edge(Edge { at: at(MS + 10), ..numbered(1, 2) });
        see_out(&mut filter, false);
        assert_eq!(whys(&mut filter), []);
        filter.edge(numbered(5, 6));
        assert_eq!(filter.is_active(), safety);
        see_out(&mut filter, false);
        assert_eq!(whys(&mut filter), wanted(Why::Gap));
        // It can't be read, and can be again.
        filter.look(at(10 * MS), None);
        filter.look(at(20 * MS), None);
        assert_eq!(filter.is_active(), safety);
        see_out(&mut filter, false);
        assert_eq!(whys(&mut filter), wanted(Why::Unreadable));
        // It is gone for good: nothing that comes after that counts.
        filter.vanish(at(30 * MS));
        filter.look(at(40 * MS), Some(!safety));
        filter.edge(numbered(50, 7));
        assert_eq!((filter.is_active(), filter.condition()), (safety, Condition::Vanished));
        assert_eq!(whys(&mut filter), wanted(Why::Vanished)[..usize::from(safety)]);
    }
}

#[test]
fn noise_is_told_from_bounce_and_ends_when_it_ends() {
    for safety in [true, false] {
        let mut filter = Filter::new(Rules { safety, ..Rules::DEFAULT }, false);
        // 2,500 edges a second, and 49 ms of them.
        for n in 0..100 {
            filter.edge(edge(n * 490_000, n % 2 == 0));
        }
        assert_eq!(filter.condition(), Condition::Well);
        filter.edge(edge(100 * 490_000, true));
        assert_eq!((filter.condition(), filter.is_active()), (Condition::Noisy, safety));
        filter.edge(edge(101 * 490_000, false));
        let last = 101 * 490_000;
        // In a lull of less than 50 ms nothing is believed.
        filter.look(at(last + 40 * MS), Some(false));
        assert_eq!((filter.condition(), filter.is_active()), (Condition::Noisy, safety));
        see_out(&mut filter, false);
        assert_eq!((filter.condition(), filter.is_active()), (Condition::Well, false));
        let seen: Vec<_> = changes(&mut filter).iter().map(|c| (c.why, c.at)).collect();
        let wanted = [(Why::Noise, at(0)), (Why::Level, at(last))];
        assert_eq!(seen, if safety { &wanted[..] } else { &[] });
    }
    // Slower than that, but never at rest: a filter that only waits would wait for ever.
    let mut filter = Filter::new(Rules::SAFETY, false);
    let first = (0..).find(|n| {
        filter.edge(edge(n * 900_000, n % 2 == 0));
        filter.is_active()
    });
    assert_eq!(first, Some(57));
    assert_eq!(filter.condition(), Condition::Noisy);
}
