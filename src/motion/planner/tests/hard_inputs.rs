//! Inputs that solvers of this kind have failed on, from the public reports of ruckig (19, 68, 83, 90,
//! 100, 129, 141, 160, 188) and rsruckig (9, 14): each is planned soundly, or refused; never wrong.
//!
//! Each axis stands alone here, as each does in this planner. Where a report asks for a moving target,
//! its start is taken, and its target as another start. Some of them, at a tenth of their limits, truly
//! take years.

use super::*;

/// A report, and of one axis: position, velocity, acceleration; target; speed, acceleration, jerk.
type Input = (&'static str, [f64; 3], f64, [f64; 3]);

const INPUTS: &[Input] = &[
    (
        "ruckig 19",
        [-0.843763019702056, -0.0303436943534115, 0.0941203950600968],
        -0.847254234340315,
        [0.2, 0.5, 1.0],
    ),
    (
        "ruckig 19",
        [-1.26164314329262, 0.0371785718477563, -0.152313813731685],
        -1.25777615061367,
        [0.2, 0.5, 1.0],
    ),
    (
        "ruckig 19",
        [1.09819107359504, 0.00636710830722948, -0.0622068786789912],
        1.09921788488865,
        [0.2, 0.5, 1.0],
    ),
    (
        "ruckig 68",
        [-0.05598571695553641, -0.03425673149926184, -2.720000000000001],
        -0.053469127655,
        [0.8500000000000001, 4.25, 85.00000000000001],
    ),
    (
        "ruckig 68",
        [-0.534847776106059, -0.8169926404190487, 1.440254448401435],
        -0.6,
        [0.8500000000000001, 4.25, 85.00000000000001],
    ),
    (
        "ruckig 83",
        [0.1174161453909641, -3.662950284795513e-09, 1.350015487635199e-07],
        0.117416145324707,
        [0.002, 0.01, 0.18],
    ),
    (
        "ruckig 83",
        [0.3003863125814782, 0.01325125623820627, -0.4883877683641483],
        0.3003863125814782,
        [0.002, 0.01, 0.18],
    ),
    (
        "ruckig 90",
        [0.1586916078246517, 1.224365429569406, 12.36606404941746],
        0.35257,
        [2.663652051520562, 49.44190521665187, 772.5298358235708],
    ),
    (
        "ruckig 90",
        [1.250459998705841, 2.794826109810867e-08, 0.0],
        1.25046,
        [2.794826109810866e-08, 133.6267625041427, 2087.918294622123],
    ),
    (
        "ruckig 100",
        [0.02853333333333339, 0.6800000000000006, 7.999999999999993],
        0.0,
        [1.0, 10.0, 100.0],
    ),
    (
        "ruckig 129",
        [1.635923973038584, 0.5997002460539949, -2.111156774102785],
        1.6863294690542,
        [5.235987755982989, 4.363323129985824, 50.0],
    ),
    (
        "ruckig 129",
        [-0.02664577603159074, 0.657823987334049, -4.363323129985824],
        0.02475975543627795,
        [3.926990816987241, 4.363323129985824, 50.0],
    ),
    ("ruckig 141", [0.0049921875, 0.0, 0.0], 0.005, [0.1, 2.5, 2000.0]),
    (
        "ruckig 160",
        [-0.04895883258572608, 1.425883388427091e-14, -2.370282711878416e-12],
        -0.04895883258572691,
        [5.0, 10.0, 150.0],
    ),
    (
        "ruckig 160",
        [0.2093483656756634, 1.924174584908152e-18, -3.608224830031759e-16],
        0.2093483656756634,
        [5.0, 10.0, 150.0],
    ),
    (
        "ruckig 188",
        [0.0, 0.092_317_526_809_040_51, -0.308_187_085_757_631_4],
        0.018480837230235015,
        [1.0, 1.5, 0.5],
    ),
    ("rsruckig 9", [3.0017279999860462, 0.0, 0.0], 1.0954848240358788, [1.0, 1.0, 1.0]),
    ("rsruckig 9", [-90.0, 0.0, 0.0], -90.0, [1.0, 1.0, 1.0]),
    ("rsruckig 9", [0.212, 0.0, 0.0], 0.217, [1.0, 1.0, 1.0]),
    (
        "rsruckig 14",
        [1.1032599505208334, 0.36337812500000005, 0.8525],
        2.9033375720687795,
        [1.0, 1.0, 1.0],
    ),
    (
        "rsruckig 14",
        [2.9033375720687795, 0.3477303818980908, -0.833942902],
        1.1032599505208334,
        [1.0, 1.0, 1.0],
    ),
];

#[test]
fn inputs_that_broke_solvers_are_planned() {
    let mut planner = Planner::new();
    let mut refused = Vec::new();
    for &(report, [position, velocity, acceleration], target, [speed, a, j]) in INPUTS {
        // In metres and radians, as reported; in millimetres; in steps of three drives.
        for unit in [1.0, 1e3, 160.0, 3200.0 / 7.0, 25_792.0 / 405.0 * 64.0] {
            // Either way round, and from a tenth to ten times the limits.
            for (sign, more) in
                [1.0, -1.0].into_iter().flat_map(|s| [0.1, 1.0, 10.0].map(|m| (s, m)))
            {
                let scale = sign * unit;
                let limits = Limits {
                    speed: speed * more * unit,
                    acceleration: a * more * unit,
                    jerk: j * more * unit,
                };
                let from = State {
                    position: position * scale,
                    velocity: velocity * scale,
                    acceleration: acceleration * scale,
                };
                for off in [0.0, 1e-9, -1e-9, 1e-4, -1e-4, 0.3, -0.3] {
                    let target = (target + off) * scale;
                    match planner.plan_to(from, target, limits) {
                        Ok(plan) => {
                            assert_eq!(plan.end(), target, "{report}");
                            assert_sound(&plan, from, limits);
                        }
                        Err(PlanError::TooLong { seconds }) if seconds > 8_640_000.0 => {}
                        Err(error) => {
                            refused.push(format!("{report}: {from:?} to {target}: {error}"))
                        }
                    }
                }
                match planner.plan_rest(from, limits) {
                    Ok(plan) => assert_sound(&plan, from, limits),
                    // Hundreds of times above the limits: refused in so many words.
                    Err(PlanError::TooLong { .. }) if more < 1.0 => {}
                    Err(error) => refused.push(format!("{report}: {from:?} to rest: {error}")),
                }
            }
        }
    }
    assert!(refused.is_empty(), "{} refused, the first: {}", refused.len(), refused[0]);
}
