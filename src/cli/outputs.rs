//! What `check` has to say of where servos' pulses come from.

use super::wiring::{Note, Row, Strap, and};
use crate::board::{PwmDevice, PwmOutput};
use crate::config::{Loaded, ServoDrive, ServoOutput};
use crate::units::Ppm;

/// The coarsest that the header's own PWM is known to be, in nanoseconds: 10 MHz, on a stock kernel.
/// Raspberry Pi's own kernels run it at 50 MHz.
const HEADER_STEP: f64 = 100.0;
/// `pwm-pio` counts three cycles of 200 MHz for a step.
const PIO_STEP: f64 = 15.0;

/// All servos.
fn servos(loaded: &Loaded) -> impl Iterator<Item = (&str, &ServoDrive)> {
    loaded.config.motors.iter().filter_map(|m| Some((m.name.as_str(), m.drive.servo()?)))
}

/// The PWM chips beside the header's, each once, in the order of the file.
fn devices(loaded: &Loaded) -> Vec<(&str, PwmDevice, &ServoDrive)> {
    let mut all: Vec<(&str, PwmDevice, &ServoDrive)> = Vec::new();
    for (_, servo) in servos(loaded) {
        if let Some(PwmOutput::Channel { device, .. }) = servo.pwm()
            && !all.iter().any(|d| d.0 == device)
        {
            all.push((device, PwmDevice::named(device), servo));
        }
    }
    all
}

/// A servo's one wire.
pub(super) fn row(loaded: &Loaded, motor: &str, servo: &ServoDrive) -> Row {
    let (function, gpio, channel) = match &servo.output {
        ServoOutput::Pwm { output: PwmOutput::Gpio(gpio), .. } => ("PWM", Some(*gpio), None),
        ServoOutput::Pwm { output: PwmOutput::Channel { device, channel }, .. } => {
            match PwmDevice::named(device).gpio() {
                Some(gpio) => ("PWM", Some(gpio), None),
                None => ("PWM", None, Some(format!("channel {channel} of {device}"))),
            }
        }
        ServoOutput::Soft { gpio, .. } => ("soft PWM", Some(*gpio), None),
    };
    Row {
        motor: motor.to_owned(),
        function,
        active: None,
        gpio,
        header_pin: gpio.and_then(|gpio| loaded.board.header_pin(gpio)),
        channel,
    }
}

/// The step in which a servo's pulses go, at the coarsest, in nanoseconds; `None` where it is not known
/// or nothing but the moment of a wake-up decides.
pub(super) fn resolution(servo: &ServoDrive) -> Option<f64> {
    match servo.pwm()? {
        PwmOutput::Gpio(_) => Some(HEADER_STEP),
        PwmOutput::Channel { device, .. } => match PwmDevice::named(device) {
            PwmDevice::Pca9685 { .. } => Some(servo.grain()),
            PwmDevice::Pio { .. } => Some(PIO_STEP),
            PwmDevice::Gpio { .. } | PwmDevice::Other => None,
        },
    }
}

/// How fine a servo's pulses are: `4.88us, which is 0.439deg`.
pub(super) fn fineness(motor: &str, servo: &ServoDrive) -> Strap {
    let (min, max) = servo.pulse_range();
    let (range, unit) =
        (servo.angle_max - servo.angle_min, if servo.continuous { "%" } else { "deg" });
    let per_nano = range / f64::from(max.as_nanos() - min.as_nanos()).max(1.0);
    let (what, text) = match (resolution(servo), &servo.output) {
        (Some(step), _) => {
            let (us, share) = (digits(step / 1e3), digits(step * per_nano));
            // The kernel tells nobody how fast it runs the header's.
            let less =
                if matches!(servo.pwm(), Some(PwmOutput::Gpio(_))) { " or less" } else { "" };
            ("pulses in steps of", format!("{us}us{less}, which is {share}{unit}"))
        }
        (None, ServoOutput::Soft { .. }) => {
            let share = digits(1e4 * per_nano);
            ("pulses timed by", format!("its own loop: 10us late is {share}{unit}"))
        }
        (None, ServoOutput::Pwm { output: PwmOutput::Channel { device, .. }, .. })
            if matches!(PwmDevice::named(device), PwmDevice::Gpio { .. }) =>
        {
            ("pulses timed by", "the kernel's interrupts".to_owned())
        }
        (None, ServoOutput::Pwm { .. }) => {
            ("pulses in steps of", "what its driver makes".to_owned())
        }
    };
    Strap { motor: motor.to_owned(), what, text }
}

/// Three digits that count.
fn digits(value: f64) -> String {
    let grain = 10f64.powi(2 - value.abs().max(1e-9).log10().floor() as i32);
    format!("{}", (value * grain).round() / grain)
}

/// The wires of the boards that servos hang on.
pub(super) fn shared(loaded: &Loaded) -> Vec<Row> {
    let mut rows = Vec::new();
    for (device, kind, _) in devices(loaded) {
        let Some((data, clock)) = kind.bus_pins() else { continue };
        for (function, gpio) in [("SDA", data), ("SCL", clock)] {
            rows.push(Row {
                motor: device.to_owned(),
                function,
                active: None,
                gpio: Some(gpio),
                header_pin: loaded.board.header_pin(gpio),
                channel: None,
            });
        }
    }
    rows
}

/// Adds the lines that make the kernel know the chips.
pub(super) fn overlays(loaded: &Loaded, config_txt: &mut Vec<Note>) {
    let mut push = |why: String, line: String| {
        let note = Note { why, line };
        if !config_txt.contains(&note) {
            config_txt.push(note);
        }
    };
    let devices = devices(loaded);
    for (name, kind, _) in &devices {
        let Some(line) = kind.overlay() else { continue };
        let why = match kind {
            PwmDevice::Pca9685 { .. } => {
                format!("{name}, the PCA9685 of {}", and(&on(loaded, name)))
            }
            PwmDevice::Gpio { gpio } => at_pin("the kernel's soft PWM", *gpio),
            PwmDevice::Pio { gpio } => at_pin("PWM by programmable I/O (Pi 5 only)", *gpio),
            PwmDevice::Other => continue,
        };
        push(why, line);
    }
    if devices.iter().any(|(_, kind, _)| matches!(kind, PwmDevice::Pca9685 { .. })) {
        push(
            "a pulse reaches a PCA9685 in a third of a millisecond, not in more than one"
                .to_owned(),
            "dtparam=i2c_arm=on,i2c_arm_baudrate=400000".to_owned(),
        );
    }
}

fn at_pin(what: &str, gpio: Option<u8>) -> String {
    match gpio {
        Some(gpio) => format!("{what} on GPIO{gpio}"),
        None => format!("{what}: write the pin that you use"),
    }
}

/// The servos on a device.
fn on<'a>(loaded: &'a Loaded, name: &str) -> Vec<&'a str> {
    let is_on = |servo: &ServoDrive| matches!(servo.pwm(), Some(PwmOutput::Channel { device, .. }) if device == name);
    servos(loaded).filter(|(_, servo)| is_on(servo)).map(|(motor, _)| motor).collect()
}

/// What a person should know of these outputs, a line each.
pub(super) fn remarks(loaded: &Loaded) -> Vec<String> {
    let mut remarks = Vec::new();
    let mut corrected = |what: &str, servo: &ServoDrive| {
        let ppm = (servo.timing().correction_ppm() * 1e3).round() / 1e3;
        if ppm != 0.0 {
            let way = if ppm > 0.0 { "fast" } else { "slow" };
            let by = Ppm(ppm.abs());
            remarks.push(format!("{what}: corrected for a clock that runs {by} {way}"));
        }
        ppm
    };
    if let Some((_, servo)) =
        servos(loaded).find(|(_, s)| matches!(s.pwm(), Some(PwmOutput::Gpio(_))))
    {
        corrected("the header's PWM", servo);
    }
    let mut chips = Vec::new();
    for (name, kind, servo) in devices(loaded) {
        let ppm = corrected(name, servo);
        if let PwmDevice::Pca9685 { .. } = kind {
            let period = servo.period.as_secs_f64();
            chips.push(format!(
                "{name} has one period for all its outputs, {:.3}ms ({}Hz), in 4096 steps of {}us",
                period * 1e3,
                digits(1.0 / period),
                digits(servo.grain() / 1e3)
            ));
            if ppm == 0.0 {
                let what = "measure the period, mend it by `clock-correction`";
                chips.push(format!("its clock may be up to 8 % off: {what}"));
            }
        }
    }
    remarks.extend(chips);
    for (motor, servo) in servos(loaded).filter(|(_, servo)| servo.continuous) {
        let neutral = servo.neutral();
        remarks.push(format!(
            "{motor} turns continuously: its first pulse, and the last, is neutral, {neutral};"
        ));
        remarks.push("where it creeps at that, mend it by `trim`".to_owned());
    }
    let soft: Vec<&str> =
        servos(loaded).filter(|(_, servo)| servo.pwm().is_none()).map(|(motor, _)| motor).collect();
    if !soft.is_empty() {
        remarks.push(format!(
            "{}: pulses jitter with the wake-ups of the loop that times them;",
            and(&soft)
        ));
        remarks.push(
            "on hardware that needs real-time scheduling, or `allow-jitter = true`".to_owned(),
        );
    }
    remarks
}
