//! What an axis has whose step clock is a hardware PWM channel: `step = { pwm = { gpio = 18 } }`.

use super::axis::InUnits;
use super::parts::{self, ReadMotor, Role};
use super::reader::{Key, Reader, Table, Value, key};
use super::*;

const PWM: Key = key("pwm", "{ gpio = 18 }");
const MODE: Key = key("mode", "\"velocity\"");
const RATE_TOLERANCE: Key = key("rate-tolerance", "\"200ppm\"");

/// What two clocks of quartz may differ by, and the time service's slewing of one of them.
const DEFAULT_TOLERANCE_PPB: u32 = 200_000;

/// What the pulse may be longer than the driver's minimum: it is rounded up to whole ticks of the PWM clock,
/// 100 ns at the most, and may come out a tick off.
const ROUNDING: u32 = 300;

/// The pin of STEP, and whether it is a PWM channel.
pub(super) struct Step {
    pub gpio: Option<u8>,
    pub clock: bool,
}

/// `{ gpio = 17 }`, or `{ pwm = { gpio = 18 } }`.
pub(super) fn step(r: &Reader<'_>, table: &Table<'_>, motor: &mut ReadMotor, key: Key) -> Step {
    let clock = table.get(key).and_then(|value| {
        let inner = value.toml.get_ref().as_table()?;
        inner.contains_key(PWM.name).then_some(value)
    });
    let Some(value) = clock else {
        return Step { gpio: parts::pin(r, table, motor, key), clock: false };
    };
    let outer = r.table(value, format!("`{}` of {}", key.name, motor.name));
    let gpio = outer.and_then(|outer| {
        let pin = outer.get(PWM).and_then(|v| {
            let inner = r.table(v, format!("`pwm` of {}", motor.name))?;
            let pin = parts::gpio(r, &inner, motor, key.name, Role::Pwm);
            r.finish(&inner);
            pin
        });
        r.finish(&outer);
        pin
    });
    Step { gpio, clock: true }
}

/// The keys that only such an axis has.
pub(super) struct Clock<'a> {
    mode: Option<ClockMode>,
    mode_at: Option<Value<'a>>,
    tolerance_ppb: Option<u32>,
}

impl<'a> Clock<'a> {
    /// Reads them. `mode` is a word here, or as for other axes the pins of its microsteps.
    pub fn read(r: &Reader<'_>, table: &Table<'a>, motor: &mut ReadMotor) -> Self {
        let mode_at = table.get(MODE).filter(|v| !v.toml.get_ref().is_table());
        let words = [("position", ClockMode::Position), ("velocity", ClockMode::Velocity)];
        let mode = mode_at.map_or(Some(ClockMode::Position), |v| r.choice(v, &words));
        motor.rate_only = mode == Some(ClockMode::Velocity);
        let tolerance_ppb =
            table.get(RATE_TOLERANCE).map_or(Some(DEFAULT_TOLERANCE_PPB), |v| tolerance(r, v));
        Clock { mode, mode_at, tolerance_ppb }
    }

    /// Whether `mode` is such a word.
    pub fn has_mode(&self) -> bool {
        self.mode_at.is_some()
    }

    /// The timing that the steps must fit.
    pub fn timing(timing: DriverTiming) -> DriverTiming {
        DriverTiming { step_high: timing.step_high.saturating_add(ROUNDING), ..timing }
    }

    /// The whole drive; `start_stop`: the start-stop speed that the text gives.
    pub fn drive(
        self,
        r: &Reader<'_>,
        axis: StepDirDrive,
        motor: &ReadMotor,
        at: &InUnits<'_>,
        start_stop: Option<f64>,
    ) -> Option<Drive> {
        let (limits, unit) = (motor.limits?, motor.unit?);
        let mut fine = true;
        if self.mode == Some(ClockMode::Velocity) {
            fine = self.turns_at_a_rate(r, &axis, motor.travel?, at);
        }
        if let Some(at) = at.backlash {
            r.error(
                at.span(),
                "an axis whose steps are clocked by PWM does not take up backlash",
                "leave out `backlash`, or clock its steps by its own loop: `step = { gpio = 17 }`",
            );
            fine = false;
        }
        let natural = 2.0 * axis.steps_per_unit.scale(limits.acceleration).sqrt();
        let jump = axis.steps_per_unit.scale(axis.start_stop_speed);
        if let (Some(_), Some(at)) = (start_stop.filter(|_| jump < natural), at.start_stop) {
            let (u, least) = (unit.symbol(), figure(axis.steps_per_unit.unscale(natural)));
            r.error(
                at.span(),
                format!(
                    "at its `max-acceleration` two steps from rest bring the motor to {least}{u}/s, so it \
                     has to bear that"
                ),
                "write a smaller `max-acceleration`, or leave this key out",
            );
            fine = false;
        }
        let (mode, tolerance_ppb, jump) = (self.mode?, self.tolerance_ppb?, jump.max(natural));
        fine.then_some(Drive::PwmClock(PwmClockDrive { axis, mode, tolerance_ppb, jump }))
    }

    /// Whether nothing is asked of a position that there is none of.
    fn turns_at_a_rate(
        &self,
        r: &Reader<'_>,
        axis: &StepDirDrive,
        travel: Travel,
        at: &InUnits<'_>,
    ) -> bool {
        let mut fine = true;
        let why =
            "an axis in `mode = \"velocity\"` turns at a rate, and nobody knows where it stands";
        let bounded = travel.min.is_finite() || travel.max.is_finite();
        if let Some(at) = at.travel.filter(|_| bounded) {
            r.error(at.span(), why, "write `travel = \"unlimited\"`, or leave out `mode`");
            fine = false;
        }
        if let Some(at) = at.at_start.filter(|_| axis.at_start != AtStart::Unknown) {
            r.error(at.span(), why, "leave out `at-start`, or `mode`");
            fine = false;
        }
        if let Some(at) = self.mode_at.filter(|_| axis.holds_load) {
            r.error(
                at.span(),
                "an axis that holds a load has to know where it stands",
                "leave out `mode`, or `holds-load`",
            );
            fine = false;
        }
        fine
    }
}

/// Three digits that count.
fn figure(x: f64) -> f64 {
    let scale = 10f64.powf(2.0 - x.log10().floor());
    if scale.is_finite() && scale > 0.0 { (x * scale).round() / scale } else { x }
}

/// `"200ppm"`, in parts per thousand million.
fn tolerance(r: &Reader<'_>, value: Value<'_>) -> Option<u32> {
    let text = r.string(value)?;
    let ppm = text.trim().strip_suffix("ppm").and_then(|n| n.trim().parse::<f64>().ok());
    let Some(ppm) = ppm else {
        r.error(
            value.span(),
            format!("`{text}` is no share of a rate"),
            "write it in parts per million, such as \"200ppm\"",
        );
        return None;
    };
    if !(1.0..=100_000.0).contains(&ppm) {
        r.out_of_range(value, "it must lie between 1ppm and 100000ppm, which is a tenth");
        return None;
    }
    Some((ppm * 1e3).round() as u32)
}
