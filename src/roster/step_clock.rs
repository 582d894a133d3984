//! Opens an axis whose step clock is a PWM channel, and measures what this machine can prove of it.

use std::sync::Arc;
use std::time::Duration;

use super::MachineError;
use super::open::{MotorSignals, Opener};
use crate::config::{AxisStop, ClockMode, MotorConfig, PwmClockDrive};
use crate::hal::{Clock, HalError, Level, OutputStart, PwmChannel};
use crate::motor::{
    Doubt, DriverLines, Motor, Outbox, PwmClock, PwmClockSetup, PwmRate, Telemetry, provable_rate,
};
use crate::moves::MotorModel;
use crate::runtime::{Mailbox, measure_waits};
use crate::units::PulseWidth;

/// How often a write and a wake-up are measured, and how far apart.
const MEASURED: u32 = 100;
const APART: Duration = Duration::from_millis(2);

/// The worst that a measurement of a fifth of a second saw is not the worst that there is: so much more is
/// allowed for, in parts of it.
const MARGIN: (u64, u64) = (3, 2);

/// Periods that are written in turn while the channel has no signal.
const PERIODS: [Duration; 2] = [Duration::from_millis(10), Duration::from_millis(11)];

impl Opener<'_> {
    pub(super) fn step_clock(
        &mut self,
        motor: &MotorConfig,
        drive: &PwmClockDrive,
        signals: &MotorSignals,
        telemetry: &Arc<Telemetry>,
        mailbox: &Mailbox,
        out: Outbox,
    ) -> Result<Box<dyn Motor>, MachineError> {
        let hal = |error| MachineError::Hal { motor: motor.name.clone(), error };
        let axis = &drive.axis;
        let who = format!("{}'s step line", motor.name);
        let mut channel = self.backend.open_pwm(&axis.step.into(), &who).map_err(hal)?;
        let who = format!("{}'s dir line", motor.name);
        let low = OutputStart::Level(Level::Low);
        let dir = self.backend.open_output(axis.dir, low, &who).map_err(hal)?;
        if let Some(line) = axis.fault {
            self.fault_line(motor, line, mailbox)?;
        }
        let doubt = match self.backend.is_hardware() && drive.mode == ClockMode::Position {
            true => self.provable(motor, drive, &mut *channel)?,
            // Nothing is lost where the simulator is late.
            false => Doubt::default(),
        };
        let model = MotorModel::new(motor);
        let setup = PwmClockSetup {
            channel: self.record_pwm(channel, signals.pulse),
            step_high: axis.timing.step_high.into(),
            limits: model.motor_limits(),
            jump: drive.jump,
            tolerance: drive.tolerance_ppb.into(),
            doubt,
            max_lateness: self.max_lateness,
            count: self.first_count(motor, &model),
            clock: self.clock.clone(),
            telemetry: telemetry.clone(),
        };
        let lines = DriverLines {
            dir: self.record_output(dir, vec![signals.dir]),
            enable: axis.enable.and_then(|line| self.enables.get(&line.gpio).cloned()),
            sleep: self.sleep(motor, axis, signals).map_err(hal)?,
            held: self.held(motor, axis, signals).map_err(hal)?,
            dir_setup: axis.timing.dir_setup.into(),
            dir_hold: axis.timing.dir_hold.into(),
            wake: axis.timing.wake.into(),
            up: Level::from_bool(!axis.reverse),
            may_release: !axis.holds_load,
            release_after: motor.release_after.map(crate::moves::nanos),
            release_at_end: axis.on_stop == AxisStop::Release && !axis.holds_load,
        };
        Ok(match drive.mode {
            ClockMode::Position => Box::new(PwmClock::new(setup, lines, out)),
            ClockMode::Velocity => Box::new(PwmRate::new(setup, lines, out)),
        })
    }

    /// What there is to doubt of this machine; an error where the axis' top speed can't be proved with
    /// it.
    fn provable(
        &self,
        motor: &MotorConfig,
        drive: &PwmClockDrive,
        channel: &mut dyn PwmChannel,
    ) -> Result<Doubt, MachineError> {
        let doubt = measure(&motor.name, &self.clock, self.spin, channel)
            .map_err(|error| MachineError::Threads(error.to_string()))?
            .map_err(|error| MachineError::Hal { motor: motor.name.clone(), error })?;
        let grain = channel.resolution().as_nanos().max(1) as u64;
        let high = drive.axis.timing.step_high.into();
        let most = provable_rate(high, grain, drive.tolerance_ppb.into(), doubt);
        let asked = drive.axis.steps_per_unit.scale(motor.limits.speed);
        log::info!(
            "{}: up to {most:.0} steps/s can be proved here (writes up to {} us, wake-ups up to {} us late)",
            motor.name,
            doubt.write / 1000,
            doubt.late / 1000
        );
        if asked <= most {
            return Ok(doubt);
        }
        let (speed, asked) = (drive.axis.steps_per_unit.unscale(most), asked.ceil() as u64);
        Err(MachineError::Unprovable {
            motor: motor.name.clone(),
            asked,
            provable: most as u64,
            speed: format!("{}{}/s", round_down(speed), motor.unit.symbol()),
            write: Duration::from_nanos(doubt.write),
            late: Duration::from_nanos(doubt.late),
        })
    }
}

fn round_down(x: f64) -> f64 {
    let scale = 10f64.powf(2.0 - x.log10().floor());
    if scale.is_finite() && scale > 0.0 { (x * scale).floor() / scale } else { 0.0 }
}

/// Writes to the channel, which has no signal, as the motor's thread will: nothing moves.
fn measure(
    name: &str,
    clock: &Clock,
    spin: f64,
    channel: &mut dyn PwmChannel,
) -> std::io::Result<Result<Doubt, HalError>> {
    let width = PulseWidth::from_micros(1);
    let (mut write, mut refused, mut turn) = (0, None, 0);
    // The first sets up all that the later ones need not write.
    if let Err(error) = channel.prepare(PERIODS[1], width) {
        return Ok(Err(error));
    }
    let late = measure_waits(name, MEASURED, APART, spin, || {
        let before = clock.now();
        let result = channel.prepare(PERIODS[turn % 2], width);
        write = write.max(clock.now().nanos_since(before));
        turn += 1;
        refused = refused.take().or(result.err());
    })?;
    let more = |nanos: u64| nanos * MARGIN.0 / MARGIN.1;
    Ok(match refused {
        Some(error) => Err(error),
        None => Ok(Doubt { write: more(write), late: more(late) }),
    })
}
