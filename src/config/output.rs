//! Where a servo's pulses come from: `pwm = { ... }` or `soft-pwm = { ... }`, and what a PWM chip makes
//! of what all its servos ask of it.

use std::time::Duration;

use super::parts::{self, PinUse, PwmUse, ReadMotor, Role};
use super::pins::Board;
use super::reader::{Key, Reader, Table, Value, key};
use super::*;
use crate::board::{PwmDevice, PwmOutput, PwmTiming};
use crate::units::Ppm;

const PWM: Key = key("pwm", "{ gpio = 18 }");
const SOFT_PWM: Key = key("soft-pwm", "{ gpio = 23 }");
const DEVICE: Key = key("device", "\"pca9685\"");
const CHANNEL: Key = key("channel", "3");
const GPIO: Key = key("gpio", "23");
const CLOCK_CORRECTION: Key = key("clock-correction", "\"1200ppm\"");
const ALLOW_JITTER: Key = key("allow-jitter", "true");

/// A clock that is off by more is no clock, or the wrong one.
const MOST_CORRECTION: f64 = 100_000.0;

/// What a servo asks for.
pub(super) enum Asked {
    Pwm { output: PwmOutput, span: Span, correction: Option<(f64, Span)> },
    Soft { gpio: u8, allow_jitter: bool },
}

/// `pwm` or `soft-pwm` of a servo. One of them has to be there.
pub(super) fn read(r: &Reader<'_>, table: &Table<'_>, motor: &mut ReadMotor) -> Option<Asked> {
    match (table.get(PWM), table.get(SOFT_PWM)) {
        (Some(_), Some(soft)) => {
            r.error(
                soft.span(),
                format!("{} has `pwm` and `soft-pwm`", motor.name),
                "keep `pwm`, or `soft-pwm` where its pin has no PWM",
            );
            None
        }
        (Some(pwm), None) => read_pwm(r, pwm, motor),
        (None, Some(soft)) => read_soft(r, soft, motor),
        (None, None) => {
            r.required(table, PWM);
            None
        }
    }
}

fn read_soft(r: &Reader<'_>, value: Value<'_>, motor: &mut ReadMotor) -> Option<Asked> {
    let inner = r.table(value, format!("`{}` of {}", SOFT_PWM.name, motor.name))?;
    let gpio = parts::gpio(r, &inner, motor, SOFT_PWM.name, Role::Line);
    let allow_jitter = inner.get(ALLOW_JITTER).map_or(Some(false), |v| r.boolean(v));
    r.finish(&inner);
    Some(Asked::Soft { gpio: gpio?, allow_jitter: allow_jitter? })
}

fn read_pwm(r: &Reader<'_>, value: Value<'_>, motor: &mut ReadMotor) -> Option<Asked> {
    let inner = r.table(value, format!("`{}` of {}", PWM.name, motor.name))?;
    let correction = match inner.get(CLOCK_CORRECTION) {
        None => Some(None),
        Some(v) => correction(r, v).map(|ppm| Some((ppm, v.span()))),
    };
    let output = match inner.get(DEVICE) {
        None => parts::gpio(r, &inner, motor, PWM.name, Role::Pwm).map(PwmOutput::Gpio),
        Some(device) => read_channel(r, &inner, device, motor),
    };
    r.finish(&inner);
    Some(Asked::Pwm { output: output?, span: value.span(), correction: correction? })
}

fn correction(r: &Reader<'_>, value: Value<'_>) -> Option<f64> {
    let Ppm(ppm) = r.quantity(value)?;
    if ppm.abs() <= MOST_CORRECTION {
        return Some(ppm);
    }
    r.out_of_range(value, "it must lie between -100000ppm and 100000ppm, which is 10 %");
    None
}

/// `{ device = "pca9685", channel = 3 }`, or `{ device = "pwm-gpio", gpio = 23 }`.
fn read_channel(
    r: &Reader<'_>,
    inner: &Table<'_>,
    device: Value<'_>,
    motor: &mut ReadMotor,
) -> Option<PwmOutput> {
    let (gpio, channel) = (inner.get(GPIO), inner.get(CHANNEL));
    let name = r.string(device)?;
    let mut name = name.to_owned();
    let plain = |b: u8| b.is_ascii_graphic() && b != b'/';
    if name.is_empty() || !name.bytes().all(plain) {
        r.error(
            device.span(),
            format!("\"{}\" is no name of a device", name.escape_debug()),
            "write its last part alone, such as \"pca9685\" or \"1-0040\"",
        );
        return None;
    }
    if Model::ALL.iter().any(|m| m.is_header_pwm(&name)) || name == "pwm-bcm2835" {
        r.error(
            device.span(),
            format!("`{name}` is the header's own PWM chip"),
            "name the pin that its signal comes out of: `pwm = { gpio = 18 }`",
        );
        return None;
    }
    let span = device.span();
    let mut kind = PwmDevice::named(&name);
    if let Some(gpio) = gpio {
        let node = match kind {
            PwmDevice::Gpio { gpio: None } => "pwm_gpio",
            PwmDevice::Pio { gpio: None } => "pwm_pio",
            _ => {
                r.error(
                    gpio.span(),
                    format!("a channel of `{name}` is not named by its pin"),
                    "write its number, counted from 0, as `channel`",
                );
                return None;
            }
        };
        let gpio = r.integer(gpio, 0, 255)?;
        // As the overlays name the device.
        name = format!("{node}@{gpio:x}");
        kind = PwmDevice::named(&name);
    }
    let channel = match (channel, kind.channels()) {
        (None, Some(1)) => 0,
        (Some(v), Some(1)) if v.toml.get_ref().as_integer().is_some_and(|n| n.as_str() != "0") => {
            r.error(v.span(), format!("`{name}` has one channel, 0"), "leave `channel` out");
            return None;
        }
        (None, _) => {
            r.required(inner, CHANNEL);
            return None;
        }
        (Some(v), channels) => r.integer(v, 0, channels.map_or(255, |n| i64::from(n) - 1))?,
    };
    if let Some(gpio) = kind.gpio() {
        motor.pins.push(PinUse { gpio, span, function: PWM.name, role: Role::Line });
    }
    if let Some((data, clock)) = kind.bus_pins() {
        for gpio in [data, clock] {
            motor.pins.push(PinUse { gpio, span, function: "I2C bus", role: Role::Bus });
        }
    }
    Some(PwmOutput::Channel { device: name, channel: u8::try_from(channel).ok()? })
}

/// What of a chip all its channels have in common, as far as it was read.
struct Chip<'m> {
    /// `None`: the header's.
    device: Option<(&'m str, PwmDevice)>,
    correction: Option<(f64, Span)>,
    period: Option<(Duration, Span)>,
}

/// Works out what the chips make of what is asked of them, and looks whether all agree.
pub(super) fn resolve(r: &Reader<'_>, motors: &mut [ReadMotor], board: Board) {
    let mut uses: Vec<(usize, &PwmUse)> =
        motors.iter().enumerate().filter_map(|(i, m)| m.pwm.as_ref().map(|u| (i, u))).collect();
    uses.sort_by_key(|(_, u)| u.span.start);
    let mut chips: Vec<Chip<'_>> = Vec::new();
    let mut of_use: Vec<usize> = Vec::new();
    for (k, &(_, pwm)) in uses.iter().enumerate() {
        let device = match &pwm.output {
            PwmOutput::Gpio(_) => None,
            PwmOutput::Channel { device, .. } => Some((device.as_str(), PwmDevice::named(device))),
        };
        if let Some((name, PwmDevice::Pio { .. })) = device
            && !board.assumed
            && !board.model.has_pio()
        {
            r.error(
                pwm.span,
                format!("`{name}` needs the programmable I/O of a Pi 5"),
                format!("a {} has none: use `pwm-gpio` or `soft-pwm`", board.model.name()),
            );
        }
        if device.is_some()
            && let Some(&(first, at)) = uses[..k].iter().find(|(_, u)| u.output == pwm.output)
        {
            r.error(
                pwm.span,
                format!(
                    "{} already serves `{}` (line {})",
                    pwm.output,
                    motors[first].name,
                    r.line(at.span)
                ),
                "use another channel",
            );
        }
        let known = chips.iter().position(|c| match (c.device, device) {
            (None, None) => true,
            (Some((a, _)), Some((b, _))) => same_chip(a, b),
            _ => false,
        });
        if let Some(known) = known {
            agree(r, &mut chips[known], pwm);
            of_use.push(known);
            continue;
        }
        if let Some((name, PwmDevice::Pca9685 { at })) = device {
            one_way_to_name(r, &chips, pwm.span, name, at.is_some());
        }
        of_use.push(chips.len());
        chips.push(Chip { device, correction: pwm.correction, period: pwm.period });
    }
    let mut found = Vec::new();
    for (&(motor, pwm), &chip) in uses.iter().zip(&of_use) {
        let chip = &chips[chip];
        // The header's channels and those of unknown chips have a period each.
        if let Some(asked) = pwm.period {
            found.push((motor, timing(r, chip, asked, pwm)));
        }
    }
    for (motor, timing) in found {
        let motor = &mut motors[motor];
        motor.drive = match (motor.drive.take(), timing) {
            (Some(Drive::Servo(servo)), Some((period, timing))) => {
                let ServoOutput::Pwm { output, .. } = servo.output else { continue };
                let output = ServoOutput::Pwm { output, timing };
                let servo = ServoDrive { output, period, ..servo };
                let at = motor.pwm.as_ref().map_or(motor.span, |u| u.pulse_span);
                steps_fit(r, at, &servo).then_some(Drive::Servo(servo))
            }
            (Some(other @ Drive::StepDir(_)), _) => Some(other),
            _ => None,
        };
    }
}

/// Whether two names are of one chip, as far as they tell.
fn same_chip(a: &str, b: &str) -> bool {
    let any = PwmDevice::Pca9685 { at: None };
    a == b || (PwmDevice::named(a) == any && PwmDevice::named(b) == any)
}

/// Where there are two PCA9685, the name of their driver would not tell them apart; where there is one,
/// it shall not have two names.
fn one_way_to_name(r: &Reader<'_>, chips: &[Chip<'_>], span: Span, name: &str, by_device: bool) {
    let other = chips.iter().find_map(|c| match c.device {
        Some((other, PwmDevice::Pca9685 { at })) if at.is_some() != by_device => Some(other),
        _ => None,
    });
    if let Some(other) = other {
        r.error(
            span,
            format!("`{name}` and `{other}` may be the same PCA9685"),
            "name each board by its device, such as \"1-0040\" and \"1-0041\"",
        );
    }
}

/// One more channel of a chip that is known: its clock is the same, and for some its period.
fn agree(r: &Reader<'_>, chip: &mut Chip<'_>, pwm: &PwmUse) {
    match (chip.correction, pwm.correction) {
        (Some((a, at)), Some((b, here))) if a != b => r.error(
            here,
            format!("the same chip has a `clock-correction` of {} in line {}", Ppm(a), r.line(at)),
            "it has one clock: write the same for all its channels, or for one alone",
        ),
        (None, said) => chip.correction = said,
        _ => {}
    }
    let one_period = chip.device.is_some_and(|(_, device)| device.has_one_period());
    match (chip.period, pwm.period) {
        (Some((a, at)), Some((b, here))) if one_period && a != b => r.error(
            here,
            format!(
                "the chip has one period for all its channels, and line {} asks for {}",
                r.line(at),
                Time(a)
            ),
            "write the same `frequency` for all of them",
        ),
        (None, said) => chip.period = said,
        _ => {}
    }
}

fn timing(
    r: &Reader<'_>,
    chip: &Chip<'_>,
    (period, at): (Duration, Span),
    pwm: &PwmUse,
) -> Option<(Duration, PwmTiming)> {
    let device = chip.device.map_or(PwmDevice::Other, |(_, device)| device);
    let correction = chip.correction.map_or(0.0, |c| c.0);
    let found = device.timing(period, correction);
    if found.is_none() {
        r.error(
            at,
            format!("{} can't make a period of {}", pwm.output, Time(period)),
            "a PCA9685 makes periods of 0.66ms to 41ms: write a `frequency` of 25Hz or more",
        );
    }
    found
}

/// Whether the pulses that the chip can make reach into the servo's range, and fit its period.
fn steps_fit(r: &Reader<'_>, at: Span, servo: &ServoDrive) -> bool {
    let (min, max) = servo.pulse_range();
    if u128::from(max.as_nanos()) >= servo.period.as_nanos() {
        r.error(
            at,
            format!("a pulse of {max} does not fit the period of {}", Time(servo.period)),
            "that is what the chip makes of the `frequency`: write a shorter pulse or a lower one",
        );
        return false;
    }
    let step = servo.grain();
    if !(min..=max).contains(&PulseWidth::nearest(f64::from(min.as_nanos()), step, min, max)) {
        r.error(
            at,
            format!("no pulse that the chip can make lies between {min} and {max}"),
            format!("its pulses go in steps of {}us: write a wider range", us(step)),
        );
        return false;
    }
    true
}

/// Nanoseconds as microseconds, for a person.
fn us(nanos: f64) -> f64 {
    (nanos / 10.0).round() / 100.0
}
