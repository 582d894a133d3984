//! What `lockstep check --program` says about a program that can be carried out.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::room;
use super::table::number;
use crate::config::Config;
use crate::machine::{MotorUsage, Preflight, preflight};
use crate::text::Columns;
use crate::units::Time;

/// For people: how long it takes, and for each motor the way it goes and how near its limits it comes.
pub(super) fn text(config: &Config, program: &str) -> String {
    let Preflight { duration, usage, waits, beyond, .. } = preflight(config, program);
    let lasts = match (duration, beyond) {
        // Finer than a millisecond is the scheduler's affair.
        (Some(d), _) => format!("takes {}", Time(Duration::from_millis(d.as_millis() as u64))),
        (None, Some(moves)) => {
            format!("longer than what is looked through: of its first {moves} moves")
        }
        (None, None) => "never ends".to_owned(),
    };
    let lasts = if waits { format!("{lasts}, and its waits for events") } else { lasts };
    let mut out = format!("\nProgram {program}\n  {lasts}\n");
    if usage.is_empty() {
        out += "  no motor moves\n";
        return out;
    }
    let mut table = Columns::new("<>>>>>").indented(2);
    table.row(["motor", "distance", "top speed", "of its limit", "acceleration", "jerk"]);
    usage.iter().for_each(|u| table.row(row(config, u)));
    out + &table.text(room())
}

fn row(config: &Config, usage: &MotorUsage) -> [String; 6] {
    let motor = &config.motors[usage.motor];
    let unit = motor.unit.symbol();
    let distance = match usage.distance.is_finite() {
        _ if motor.is_continuous() => "-".to_owned(),
        true => format!("{} {unit}", number(usage.distance)),
        false => "no end".to_owned(),
    };
    let share = |share: f64| format!("{:.0} %", share * 100.0);
    [
        motor.name.clone(),
        distance,
        format!("{} {}", number(usage.speed), motor.unit.speed()),
        share(usage.speed_share),
        share(usage.acceleration_share),
        share(usage.jerk_share),
    ]
}

/// The same for programs. A distance without end is `null`.
pub(super) fn json(config: &Config, program: &str) -> Value {
    let Preflight { duration, usage, beyond, .. } = preflight(config, program);
    let motor = |u: &MotorUsage| {
        let motor = &config.motors[u.motor];
        let usage = json!({
            "unit": motor.unit.symbol(),
            "distance": Some(u.distance).filter(|d| d.is_finite() && !motor.is_continuous()),
            "speed": u.speed,
            "speed_share": u.speed_share,
            "acceleration": u.acceleration,
            "acceleration_share": u.acceleration_share,
            "jerk": u.jerk,
            "jerk_share": u.jerk_share,
        });
        (motor.name.clone(), usage)
    };
    json!({
        "name": program,
        "duration_s": duration.map(|d| d.as_nanos() as f64 / 1e9),
        "checked_moves": beyond,
        "motors": usage.iter().map(motor).collect::<Map<String, Value>>(),
    })
}
