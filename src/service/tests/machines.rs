//! Machines for random sequences: few steps a second, short ways, so that thousands of sequences take no time.

use std::fmt::Write as _;
use std::sync::LazyLock;
use std::time::Duration;

use super::bench::config;
use crate::config::Config;

/// A machine, what can be read at a reload instead, and what a rest may take at most.
pub struct Kind {
    pub config: Config,
    /// The same, with other limits, other outputs, fewer motors, and once with errors.
    pub others: Vec<Result<Config, Vec<String>>>,
    pub programs: Vec<String>,
    pub rest: Duration,
}

/// An axis of ten steps a millimetre, at most 200 steps a second.
fn axis(name: &str, pins: (u8, u8, u8), more: &str) -> String {
    let (step, dir, enable) = pins;
    format!(
        "[axis.{name}]\nstep = {{ gpio = {step} }}\ndir = {{ gpio = {dir} }}\n\
         enable = {{ gpio = {enable}, active = \"low\" }}\ndriver = \"drv8825\"\n\
         steps-per-revolution = 200\nmicrosteps = 1\ndistance-per-revolution = \"20mm\"\n\
         travel = {{ min = \"0mm\", max = \"12mm\" }}\nmax-speed = \"20mm/s\"\n\
         max-acceleration = \"200mm/s^2\"\nmax-jerk = \"4000mm/s^3\"\n\
         at-start = {{ assume = \"3mm\" }}\n{more}\n"
    )
}

fn servo(name: &str, gpio: u8, more: &str) -> String {
    format!("[servo.{name}]\npwm = {{ gpio = {gpio} }}\nmax-speed = \"300deg/s\"\n{more}\n")
}

/// Programs over two motors, with targets in their units, and one of a servo where there is one.
fn programs(a: [&str; 3], b: [&str; 3], servo: Option<&str>) -> String {
    let ([a, a1, a2], [b, b1, b2]) = (a, b);
    let mut text = format!(
        r#"
[program.turns]
steps = [ {{ move = {{ {a} = "{a1}" }} }}, {{ move = {{ {b} = "{b1}" }} }}, {{ move = {{ {a} = "{a2}" }} }} ]

[program.long]
steps = [ {{ move = {{ {a} = "{a2}" }}, speed = "30%" }}, {{ pause = "30ms" }}, {{ move = {{ {a} = "{a1}" }} }} ]

[program.pair]
steps = [
  {{ together = [
    [ {{ repeat = 2, steps = [ {{ move = {{ {a} = "{a1}" }} }}, {{ pause = "20ms" }}, {{ move = {{ {a} = "{a2}" }} }} ] }} ],
    [ {{ move = {{ {b} = "{b2}" }} }}, {{ wait-for = ["go"], timeout = "150ms" }}, {{ move = {{ {b} = "{b1}" }} }} ],
  ] }},
  {{ move = {{ {a} = "{a1}", {b} = "{b1}" }} }},
]

[program.waits]
on-failure = "continue"
steps = [
  {{ trigger = "ready" }},
  {{ wait-for = ["go"], timeout = "100ms" }},
  {{ move = {{ {b} = "{b2}" }} }},
  {{ trigger = "part-ready" }},
]

[program.again]
steps = [ {{ move = {{ {b} = "{b1}" }} }} ]

[program.rescue]
steps = [
  {{ move = {{ {a} = "{a2}", {b} = "{b2}" }}, arrive = "asap", on-fault = "continue", on-short = {{ {b} = "again" }} }},
  {{ move = {{ {a} = "{a1}" }}, arrive = "asap" }},
]

[program.forever]
steps = [ {{ repeat = "forever", steps = [ {{ move = {{ {a} = "{a1}" }} }}, {{ pause = "10ms" }}, {{ move = {{ {a} = "{a2}" }} }} ] }} ]

[program.shares]
steps = [
  {{ move = {{ {a} = "{a1}", {b} = "{b2}" }} }},
  {{ pause = "60ms", share = true }},
  {{ move = {{ {a} = "{a2}" }} }},
  {{ together = [ [ {{ pause = "30ms", share = true }}, {{ move = {{ {a} = "{a1}" }} }} ], [ {{ move = {{ {b} = "{b1}" }} }} ] ] }},
]

[program.caller]
steps = [ {{ run = "turns" }}, {{ pause = "15ms" }}, {{ run = "waits" }} ]

[program.each]
steps = [ {{ move = {{ {a} = "{a2}", {b} = "{b2}" }}, order = "one-by-one" }}, {{ move = {{ {a} = "{a1}", {b} = "{b1}" }}, arrive = "asap" }} ]

[program.frames]
steps = [ {{ keyframes = [ {{ at = "1s", {a} = "{a1}", {b} = "{b2}" }}, {{ at = "2s", {a} = "{a2}" }} ] }} ]
"#
    );
    if let Some(pan) = servo {
        write!(
            text,
            r#"
[program.sweep]
steps = [ {{ sweep = {{ {pan} = ["-10deg", "10deg"] }}, step = "10deg", every = "120ms", times = 1 }} ]

[program.nod]
steps = [ {{ move = {{ {pan} = "20deg" }} }}, {{ move = {{ {pan} = "-20deg", {a} = "{a1}" }} }} ]
"#
        )
        .unwrap();
    }
    text
}

const BLEND: &str = r#"
[program.blend]
steps = [
  { move = { x = "5mm", y = "1mm" }, blend = "0.4mm" },
  { move = { x = "6mm", y = "5mm" }, blend = "0.4mm" },
  { move = { x = "2mm", y = "4mm" }, blend = "0.4mm" },
  { move = { x = "3mm", y = "3mm" } },
]
"#;

const WHEELS: &str = r#"
[program.drive]
steps = [
  { spin = { left = "60%", right = "60%" }, for = "120ms" },
  { move = { x = "8mm" } },
  { spin = { left = "-100%" }, for = "90ms" },
]

[program.round]
steps = [ { repeat = "forever", steps = [
  { together = [ [ { spin = { left = "30%" }, for = "80ms" } ], [ { move = { y = "6mm" } }, { move = { y = "0.5mm" } } ] ] },
  { spin = { left = "-50%", right = "20%" }, for = "60ms" },
] } ]
"#;

const X: (u8, u8, u8) = (17, 27, 22);
const Y: (u8, u8, u8) = (23, 24, 25);
const Z: (u8, u8, u8) = (5, 6, 16);

fn texts() -> Vec<String> {
    let xy = (["x", "1.5mm", "8mm"], ["y", "0.5mm", "6mm"]);
    let (x, y, z) = (axis("x", X, ""), axis("y", Y, ""), axis("z", Z, ""));
    let two = format!("{x}{y}{}{BLEND}", programs(xy.0, xy.1, None));
    let pan = servo("pan", 12, "startup = { angle = \"20deg\" }\non-stop = { park = \"-5deg\" }\n");
    let start = format!(
        "[machine]\nstart-program = \"turns\"\n{x}{y}{pan}{}",
        programs(xy.0, xy.1, Some("pan"))
    );
    let many = format!(
        "{}{}{}{}{}{BLEND}",
        axis("x", X, "on-lost-lease = { park = \"2mm\" }\nrelease-after = \"60ms\"\n"),
        axis("y", Y, "on-lost-lease = \"hold\"\non-stop = \"release\"\n"),
        axis("z", Z, "backlash = \"0.4mm\"\non-lost-lease = \"hold\"\n"),
        servo("pan", 12, "on-stop = \"release\"\nrelease-after = \"80ms\"\n"),
        programs(["z", "1.5mm", "8mm"], ["x", "0.5mm", "6mm"], Some("pan")),
    );
    let current = |ma: u32| format!("current = \"{ma}mA\"\nrelease-after = \"50ms\"\n");
    let power = format!(
        "[power]\nbudget = \"1.7A\"\nstagger = \"20ms\"\n{}{}{}{}{}",
        axis("x", X, &current(800)),
        axis("y", Y, &current(800)),
        axis("z", Z, &current(600)),
        servo("pan", 12, "current = \"0.3A\"\nstartup = \"centre\"\n"),
        programs(xy.0, ["z", "0.5mm", "6mm"], Some("pan")),
    );
    let dial = format!(
        "[axis.dial]\nmotor = \"28byj-48\"\ncoils = {{ gpio = [5, 6, 13, 19] }}\n\
         travel = {{ min = \"-20deg\", max = \"20deg\" }}\nmax-speed = \"30deg/s\"\n\
         max-acceleration = \"300deg/s^2\"\nat-start = {{ assume = \"1deg\" }}\n\
         at-rest = \"release\"\n{x}{}{}",
        servo("pan", 12, "startup = \"last\"\n"),
        programs(xy.0, ["dial", "-3deg", "5deg"], Some("pan")),
    );
    // Two that turn continuously, on hardware PWM and on a loop's own pulses.
    let wheel = "continuous = true\nmax-acceleration = \"2000%/s\"\nmax-jerk = \"40000%/s^2\"\n";
    let rover = format!(
        "{x}{y}[servo.left]\npwm = {{ gpio = 12 }}\n{wheel}on-lost-lease = \"hold\"\n\
         [servo.right]\nsoft-pwm = {{ gpio = 20 }}\nreverse = true\n{wheel}{}{WHEELS}",
        programs(xy.0, xy.1, None),
    );
    vec![two, format!("{start}{z}"), many, power, dial, rover]
}

/// The config file of one of the machines.
pub fn text(number: usize) -> String {
    texts().swap_remove(number)
}

/// What another version of a config file may say.
fn others(text: &str) -> Vec<Result<Config, Vec<String>>> {
    let slower = text.replacen("max-speed = \"20mm/s\"", "max-speed = \"15mm/s\"", 1);
    let elsewhere = text.replacen("{ gpio = 12 }", "{ gpio = 18 }", 1).replacen(
        "dir = { gpio = 27 }",
        "dir = { gpio = 26 }",
        1,
    );
    let shorter = text.replacen("max = \"12mm\"", "max = \"11mm\"", 1);
    let quicker = text.replace("{ pause = \"30ms\" }", "{ pause = \"5ms\" }");
    let mut all = vec![Ok(config(text)), Ok(config(&slower)), Ok(config(&elsewhere))];
    all.extend([Ok(config(&shorter)), Ok(config(&quicker))]);
    all.push(Err(vec!["test.toml:1:1: error: this is no config".to_owned()]));
    if text.contains("[axis.z]") && !text.contains("z = \"") {
        let from = text.find("[axis.z]").unwrap();
        let to = text[from + 1..].find('[').map_or(text.len(), |to| from + 1 + to);
        all.push(Ok(config(&format!("{}{}", &text[..from], &text[to..]))));
    }
    all
}

/// How long it may take until what moves rests, after a hold, a stop or a jog's end.
///
/// On an aligned line the speed is that of its slowest motor and the braking that of its weakest, so that speed by
/// acceleration is at most the greatest that a motor has alone; the same holds of acceleration by jerk. Twice that,
/// since a brake may begin while the last change takes hold, or the last acceleration ends. Before it lie what can't be
/// cut short: a servo's first signal, the play of an axis, its driver's waking up, and the lead of a change.
fn rest(config: &Config) -> Duration {
    let mut longest = 0.0_f64;
    for motor in &config.motors {
        let limits = &motor.limits;
        let brake = limits.speed / limits.acceleration + 2.0 * limits.acceleration / limits.jerk;
        let first = match motor.axis() {
            // Its first pulse moves it by no more than its plan does; the pulse that is out has its time.
            None if motor.is_continuous() => 0.04,
            None => (motor.travel.max - motor.travel.min) / limits.speed,
            Some(_) => 0.25,
        };
        longest = longest.max(2.0 * brake + first);
    }
    Duration::from_secs_f64(longest) + Duration::from_millis(60)
}

/// The machines there are.
pub static KINDS: LazyLock<Vec<Kind>> = LazyLock::new(|| {
    let kind = |text: &String| {
        let config = config(text);
        let programs = config.programs.iter().map(|p| p.name.clone()).collect();
        Kind { rest: rest(&config), others: others(text), programs, config }
    };
    texts().iter().map(kind).collect()
});
