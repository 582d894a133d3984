//! Opens what a config names: outputs, channels and inputs, and the motors' loops over them.

use crossbeam_channel::Sender;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::fault_line::FaultLine;
use super::{Kept, MachineError, start_position};
use crate::board::{PwmOutput, PwmTiming};
use crate::config::{
    AtRest, AtStart, CoilWiring, CoilsDrive, Config, Drive, LineConfig, MotorConfig, NEUTRAL,
    Sequence, ServoDrive, ServoOutput, StepDirDrive, Wire,
};
use crate::hal::{
    Backend, Clock, HalError, Level, OutputLine, OutputStart, PwmChannel, RecordedOutput,
    RecordedPwm, SharedLine, TimedPwm,
};
use crate::inputs::Watcher;
use crate::motor::{
    Coils, CoilsSetup, Event, Motor, Outbox, Phases, PulseMap, PulseOf, Pulses, PulsesSetup, Servo,
    ServoSetup, SoftServo, SoftServoSetup, Stepper, StepperSetup, Telemetry,
};
use crate::moves::{MotorModel, MotorState, Place, nanos};
use crate::runtime::{Mailbox, Member};
use crate::trace::{Recorder, SignalId, SignalKind, TraceBuilder};

/// The trace's names, in the order of the config.
pub(crate) struct Signals {
    pub motors: Vec<MotorSignals>,
    pub moves: SignalId,
}

#[derive(Clone)]
pub(crate) struct MotorSignals {
    /// `pulse`, `step`, or `a`.
    pub pulse: SignalId,
    /// `a` to `d`, in the order of the config's GPIOs; else all of them as `pulse`.
    pub coils: [SignalId; 4],
    pub dir: SignalId,
    pub enable: SignalId,
    /// `sleep` and `reset`, where there are such lines, and `mode0`, `mode1`, ...
    pub sleep: Option<SignalId>,
    pub reset: Option<SignalId>,
    pub mode: Vec<SignalId>,
    pub position: SignalId,
    /// In us, where there is any: not in virtual time.
    pub lateness: Option<SignalId>,
}

impl MotorSignals {
    /// All by one wire.
    fn of(wire: SignalId) -> MotorSignals {
        MotorSignals {
            pulse: wire,
            coils: [wire; 4],
            dir: wire,
            enable: wire,
            sleep: None,
            reset: None,
            mode: Vec::new(),
            position: wire,
            lateness: None,
        }
    }
}

impl Signals {
    /// `real_time`: edges may be late.
    pub fn declare(builder: &mut TraceBuilder, config: &Config, real_time: bool) -> Signals {
        let mut motors = Vec::with_capacity(config.motors.len());
        for motor in &config.motors {
            let mut found: Option<MotorSignals> = None;
            for (name, wire) in motor.drive.kind().wires() {
                let id = builder.add(&motor.name, name, SignalKind::Wire);
                // What has no wire of its own is never written.
                let signals = found.get_or_insert_with(|| MotorSignals::of(id));
                match wire {
                    Wire::Step | Wire::Pulse => signals.pulse = id,
                    Wire::Dir => (signals.dir, signals.enable) = (id, id),
                    Wire::Enable => signals.enable = id,
                    Wire::Sleep => signals.sleep = Some(id),
                    Wire::Reset => signals.reset = Some(id),
                    Wire::Mode(_) => signals.mode.push(id),
                    Wire::Coil(n) => signals.coils[n] = id,
                }
            }
            let mut real = |name| builder.add(&motor.name, name, SignalKind::Real);
            let position = real("position");
            let lateness = real_time.then(|| real("lateness"));
            motors.extend(found.map(|found| MotorSignals { position, lateness, ..found }));
        }
        Signals { motors, moves: builder.add("machine", "move", SignalKind::Text) }
    }
}

/// Opens the outputs that a config names.
pub(crate) struct Opener<'b> {
    pub backend: &'b mut dyn Backend,
    pub clock: Clock,
    pub recorder: Recorder,
    pub enables: BTreeMap<u8, SharedLine>,
    pub max_lateness: Option<u64>,
    /// How much of the time between two edges may be spun away.
    pub spin: f64,
    pub events: Sender<Event>,
    pub inputs: &'b mut Watcher,
    /// The fault line of the motor that is being opened.
    pub fault_line: Option<FaultLine>,
    /// Where motors stood when the machine before ended; `None`: nobody keeps that.
    pub restored: Option<&'b BTreeMap<String, Kept>>,
}

/// A motor that is opened: its loop, the way to it, what is known of it, and its inputs.
pub(crate) struct Opened {
    pub member: Member,
    pub mailbox: Mailbox,
    pub state: MotorState,
    pub fault_line: Option<FaultLine>,
}

/// The PWM outputs that these motors need.
pub(crate) fn pwm_outputs<'c>(motors: impl Iterator<Item = &'c MotorConfig>) -> Vec<PwmOutput> {
    motors.filter_map(|m| m.drive.kind().pwm()).collect()
}

/// A driver's sleep line, and the level at which it sleeps.
pub(super) type SleepLine = (Box<dyn OutputLine>, Level);

impl Opener<'_> {
    /// All that the config names; the loop of a motor has the slot of its number.
    pub fn open(
        &mut self,
        config: &Config,
        signals: &Signals,
    ) -> Result<Vec<Opened>, MachineError> {
        let outputs = pwm_outputs(config.motors.iter());
        self.backend.prepare_pwm(&outputs).map_err(MachineError::Backend)?;
        let motors: Vec<_> = (0..config.motors.len()).collect();
        self.open_enables(config, signals, &motors)?;
        let motors = motors.into_iter();
        let motors = motors.map(|i| {
            let motor = &config.motors[i];
            let phase = self.kept(motor).and_then(|kept| kept.phase);
            self.open_motor(motor, &signals.motors[i], i, false, phase)
        });
        motors.collect()
    }

    /// One motor, whose enable line is open. Its loop will have that slot of the fleet. `powered`: its
    /// driver has its power already, and is taken over. `phase`: the one that its rotor is in, where that is known.
    pub fn open_motor(
        &mut self,
        motor: &MotorConfig,
        signals: &MotorSignals,
        slot: usize,
        powered: bool,
        phase: Option<u8>,
    ) -> Result<Opened, MachineError> {
        let telemetry = Arc::new(match signals.lateness.filter(|_| self.recorder.is_on()) {
            Some(signal) => Telemetry::traced(self.recorder.clone(), signal),
            None => Telemetry::default(),
        });
        let mailbox = Mailbox::default();
        let hal = |error| MachineError::Hal { motor: motor.name.clone(), error };
        let out = Outbox::new(slot, self.events.clone());
        let boxed: Box<dyn Motor> = match &motor.drive {
            Drive::Servo(servo) => {
                let servo = self.servo(motor, servo, signals, telemetry.clone(), out);
                servo.map_err(hal)?
            }
            Drive::StepDir(axis) => {
                let pulses = self.pulses(motor, axis, signals, &mailbox)?;
                let setup = self.stepper(motor, &telemetry);
                let mut stepper = Stepper::new(setup, pulses, out);
                if powered {
                    stepper.take_over().map_err(hal)?;
                }
                Box::new(stepper)
            }
            Drive::PwmClock(drive) => {
                self.step_clock(motor, drive, signals, &telemetry, &mailbox, out)?
            }
            Drive::Coils(axis) => {
                let mut setup = self.stepper(motor, &telemetry);
                setup.release_at_rest = axis.at_rest == AtRest::Release && !axis.holds_load;
                setup.settle = axis.settle.into();
                let coils = self.coils(motor, axis, signals, phase).map_err(hal)?;
                Box::new(Stepper::new(setup, coils, out))
            }
        };
        let place = match (motor.axis().map(|axis| axis.at_start), self.restored) {
            (None, _) => Place::Unknown,
            (Some(_), _) if motor.drive.is_rate_only() => Place::Estimated,
            (Some(AtStart::Restored), Some(_)) => match self.kept(motor) {
                // In another phase than the one that it stood in its rotor is pulled away from where it was.
                Some(kept) if kept.steps.is_some() && kept.phase != telemetry.phase() => {
                    Place::Unverified
                }
                Some(Kept { steps: Some(_), sure: true, .. }) => Place::Restored,
                Some(Kept { steps: Some(_), .. }) => Place::Unverified,
                _ => Place::Unknown,
            },
            (Some(AtStart::Unknown | AtStart::Restored), _) if self.backend.is_hardware() => {
                Place::Unknown
            }
            (Some(_), _) => Place::Assumed,
        };
        let state = MotorState {
            place,
            angle: None,
            left_at: None,
            fault: None,
            busy: None,
            telemetry,
            last: None,
            uncounted: None,
            miscounted: false,
            epoch: crate::units::Instant::ZERO,
            powered,
            leads: boxed.leads(),
        };
        let member = Member { name: motor.name.clone(), motor: boxed };
        Ok(Opened { member, mailbox, state, fault_line: self.fault_line.take() })
    }

    /// The enable lines of these motors, as far as they are not open. They come first: a driver is not
    /// energised while the rest is being opened. A line that any of its axes holds a load with keeps
    /// the level it has.
    pub fn open_enables(
        &mut self,
        config: &Config,
        signals: &Signals,
        motors: &[usize],
    ) -> Result<(), MachineError> {
        let axes = || {
            config.motors.iter().enumerate().filter_map(|(i, m)| {
                let axis = m.drive.step_dir()?;
                axis.enable.map(|line| (i, m, axis, line))
            })
        };
        for (_, motor, _, line) in axes().filter(|axis| motors.contains(&axis.0)) {
            if self.enables.contains_key(&line.gpio) {
                continue;
            }
            let users = || axes().filter(|(.., l)| l.gpio == line.gpio);
            let keep = users().any(|(_, _, axis, _)| axis.holds_load);
            let start = if keep {
                OutputStart::Adopt
            } else {
                OutputStart::Level(active_level(line).opposite())
            };
            let who = format!("{}'s enable line", motor.name);
            let ids: Vec<_> = users().map(|(i, ..)| signals.motors[i].enable).collect();
            let opened = self.backend.open_output(line.gpio, start, &who);
            let opened =
                opened.map_err(|error| MachineError::Hal { motor: motor.name.clone(), error })?;
            let opened = self.record_output(opened, ids);
            let shared = SharedLine::new(opened, line.gpio, active_level(line), keep);
            self.enables.insert(line.gpio, shared);
        }
        Ok(())
    }

    pub(super) fn record_output(
        &self,
        line: Box<dyn OutputLine>,
        signals: Vec<SignalId>,
    ) -> Box<dyn OutputLine> {
        if !self.recorder.is_on() {
            return line;
        }
        let recorder = self.recorder.clone();
        let sink = move |at, high| signals.iter().for_each(|&id| recorder.edge(id, at, high));
        Box::new(RecordedOutput::new(line, sink, self.clock.now()))
    }

    pub(super) fn record_pwm(
        &self,
        channel: Box<dyn PwmChannel>,
        signal: SignalId,
    ) -> Box<dyn PwmChannel> {
        if !self.recorder.is_on() {
            return channel;
        }
        let recorder = self.recorder.clone();
        let sink = move |at, high| recorder.edge(signal, at, high);
        Box::new(RecordedPwm::new(channel, sink, self.clock.now()))
    }

    fn servo(
        &mut self,
        motor: &MotorConfig,
        servo: &ServoDrive,
        signals: &MotorSignals,
        telemetry: Arc<Telemetry>,
        out: Outbox,
    ) -> Result<Box<dyn Motor>, HalError> {
        let map = pulse_map(servo);
        let limits = MotorModel::new(motor).motor_limits();
        let (period, clock) = (servo.period, self.clock.clone());
        let (pulse_of, release_after) = match servo.continuous {
            true => (PulseOf::Velocity, Some(nanos(NEUTRAL))),
            false => (PulseOf::Position, motor.release_after.map(nanos)),
        };
        let (output, timing) = match &servo.output {
            ServoOutput::Pwm { output, timing } => (output, *timing),
            &ServoOutput::Soft { gpio, .. } => {
                let low = OutputStart::Level(Level::Low);
                let line = self.backend.open_output(gpio, low, &motor.name)?;
                let line = self.record_output(line, vec![signals.pulse]);
                let max_lateness = self.max_lateness;
                let setup = SoftServoSetup {
                    line,
                    period,
                    pulse_of,
                    map,
                    limits,
                    release_after,
                    max_lateness,
                    clock,
                    telemetry,
                };
                return Ok(Box::new(SoftServo::new(setup, out)));
            }
        };
        let mut channel = self.backend.open_pwm(output, &motor.name)?;
        if timing != PwmTiming::EXACT {
            channel = Box::new(TimedPwm::new(channel, timing));
        }
        let channel = self.record_pwm(channel, signals.pulse);
        let max_lateness = servo_lateness(servo, self.max_lateness);
        let setup = ServoSetup {
            channel,
            period,
            pulse_of,
            map,
            limits,
            release_after,
            max_lateness,
            clock,
            telemetry,
        };
        Ok(Box::new(Servo::new(setup, out)))
    }

    fn kept(&self, motor: &MotorConfig) -> Option<Kept> {
        self.restored?.get(&motor.name).copied()
    }

    /// The steps from position 0 at which an axis begins.
    pub(super) fn first_count(&self, motor: &MotorConfig, model: &MotorModel) -> i64 {
        let at_start = motor.axis().map_or(AtStart::Unknown, |axis| axis.at_start);
        let kept = self.kept(motor).filter(|_| at_start == AtStart::Restored);
        let assumed = || model.to_native(start_position(motor, model)) as i64;
        kept.and_then(|kept| kept.steps).unwrap_or_else(assumed)
    }

    /// What every stepper axis has.
    fn stepper(&self, motor: &MotorConfig, telemetry: &Arc<Telemetry>) -> StepperSetup {
        let model = MotorModel::new(motor);
        let axis = motor.axis();
        StepperSetup {
            min_interval: min_interval(&model),
            limits: model.motor_limits(),
            backlash: model.backlash,
            may_release: axis.is_some_and(|axis| !axis.holds_load),
            release_at_rest: false,
            release_at_end: axis.is_some_and(|axis| axis.releases_on_stop()),
            settle: 0,
            release_after: motor.release_after.map(nanos),
            max_lateness: self.max_lateness,
            count: self.first_count(motor, &model),
            telemetry: telemetry.clone(),
        }
    }

    fn pulses(
        &mut self,
        motor: &MotorConfig,
        axis: &StepDirDrive,
        signals: &MotorSignals,
        mailbox: &Mailbox,
    ) -> Result<Pulses, MachineError> {
        let hal = |error| MachineError::Hal { motor: motor.name.clone(), error };
        let low = OutputStart::Level(Level::Low);
        let who = |line: &str| format!("{}'s {line} line", motor.name);
        let step = self.backend.open_output(axis.step, low, &who("step")).map_err(hal)?;
        let dir = self.backend.open_output(axis.dir, low, &who("dir")).map_err(hal)?;
        if let Some(line) = axis.fault {
            self.fault_line(motor, line, mailbox)?;
        }
        let held = self.held(motor, axis, signals).map_err(hal)?;
        let sleep = self.sleep(motor, axis, signals).map_err(hal)?;
        let timing = axis.timing;
        Ok(Pulses::new(PulsesSetup {
            sleep,
            held,
            step: self.record_output(step, vec![signals.pulse]),
            dir: self.record_output(dir, vec![signals.dir]),
            enable: axis.enable.and_then(|line| self.enables.get(&line.gpio).cloned()),
            step_high: timing.step_high.into(),
            step_low: timing.step_low.into(),
            dir_setup: timing.dir_setup.into(),
            dir_hold: timing.dir_hold.into(),
            wake: timing.wake.into(),
            up: Level::from_bool(!axis.reverse),
        }))
    }

    /// The driver's sleep line, and the level at which it sleeps.
    pub(super) fn sleep(
        &mut self,
        motor: &MotorConfig,
        axis: &StepDirDrive,
        signals: &MotorSignals,
    ) -> Result<Option<SleepLine>, HalError> {
        let (Some(line), Some(signal)) = (axis.sleep, signals.sleep) else { return Ok(None) };
        let asleep = active_level(line);
        // A driver that holds a load may be awake: it stays as it is.
        let start = if axis.holds_load { OutputStart::Adopt } else { OutputStart::Level(asleep) };
        let who = format!("{}'s sleep line", motor.name);
        let opened = self.backend.open_output(line.gpio, start, &who)?;
        Ok(Some((self.record_output(opened, vec![signal]), asleep)))
    }

    /// The lines that have one level for good: microstep pins, and a reset that is inactive.
    pub(super) fn held(
        &mut self,
        motor: &MotorConfig,
        axis: &StepDirDrive,
        signals: &MotorSignals,
    ) -> Result<Vec<Box<dyn OutputLine>>, HalError> {
        let modes = axis
            .mode
            .iter()
            .zip(&signals.mode)
            .map(|(pin, &signal)| (pin.gpio, pin.name, Level::from_bool(pin.high), signal));
        let reset = axis
            .reset
            .zip(signals.reset)
            .map(|(line, signal)| (line.gpio, "reset", active_level(line).opposite(), signal));
        let mut held = Vec::new();
        for (gpio, name, level, signal) in modes.chain(reset) {
            let who = format!("{}'s {name} line", motor.name);
            let line = self.backend.open_output(gpio, OutputStart::Level(level), &who)?;
            held.push(self.record_output(line, vec![signal]));
        }
        Ok(held)
    }

    /// The four coils. Those that hold a load keep the levels they have, but for one whose counterpart
    /// is on already: pins that are pulled up may read as if they were both.
    fn coils(
        &mut self,
        motor: &MotorConfig,
        axis: &CoilsDrive,
        signals: &MotorSignals,
        phase: Option<u8>,
    ) -> Result<Coils, HalError> {
        let mut open = |n: usize, counterpart: Level| {
            let start = match counterpart {
                Level::Low if axis.holds_load => OutputStart::Adopt,
                _ => OutputStart::Level(Level::Low),
            };
            let who = format!("{}'s coil {}", motor.name, ["a", "b", "c", "d"][n]);
            let line = self.backend.open_output(axis.gpio[n], start, &who)?;
            Ok(self.record_output(line, vec![signals.coils[n]]))
        };
        let bridges = axis.wiring == CoilWiring::Bipolar;
        let a = open(0, Level::Low)?;
        let b = open(1, if bridges { a.level() } else { Level::Low })?;
        let c = open(2, if bridges { Level::Low } else { a.level() })?;
        let d = open(3, if bridges { c.level() } else { b.level() })?;
        let lines = match axis.wiring {
            CoilWiring::Unipolar => [a, b, c, d],
            // Each bridge turns its winding round: its two inputs pull against each other.
            CoilWiring::Bipolar => [a, c, b, d],
        };
        let phases = match axis.sequence {
            Sequence::Wave => Phases::WAVE,
            Sequence::Full => Phases::FULL,
            Sequence::Half => Phases::HALF,
        };
        let (reverse, settle) = (axis.reverse, axis.settle.into());
        Coils::new(CoilsSetup { lines, phases, reverse, settle, phase })
    }

    /// Watches a driver's fault line; what is confirmed goes to the motor's own loop.
    pub(super) fn fault_line(
        &mut self,
        motor: &MotorConfig,
        line: LineConfig,
        mailbox: &Mailbox,
    ) -> Result<(), MachineError> {
        let opened = FaultLine::open(self.inputs, self.backend, motor, line, mailbox.fault.clone());
        self.fault_line = Some(opened?);
        Ok(())
    }
}

/// How late a servo's edges may be, nanoseconds, where the machine's limit is this.
pub(crate) fn servo_lateness(servo: &ServoDrive, limit: Option<u64>) -> Option<u64> {
    match servo.pwm() {
        // Nothing tells the phase of such a chip: a width counts from some pulse of the next
        // period on, and comes over a bus that several servos share.
        Some(PwmOutput::Channel { .. }) => {
            let period = u64::try_from(servo.period.as_nanos()).unwrap_or(u64::MAX);
            limit.map(|limit| limit.max(period))
        }
        _ => limit,
    }
}

/// Two steps of an axis are never closer than this, nanoseconds: 1/(1.25 x its top speed).
pub(crate) fn min_interval(model: &MotorModel) -> u64 {
    (1e9 / (1.25 * model.native_limits(1.0).speed)) as u64
}

pub(crate) fn active_level(line: LineConfig) -> Level {
    Level::from_bool(!line.active_low)
}

/// Which pulse stands for which angle, or speed, as the config has it.
pub(crate) fn pulse_map(servo: &ServoDrive) -> PulseMap {
    let (low, high) = (servo.angle_min, servo.angle_max);
    let (angle_at_min, angle_at_max) = if servo.reverse { (high, low) } else { (low, high) };
    let (min, max) = servo.pulse_range();
    PulseMap {
        min,
        max,
        angle_at_min,
        angle_at_max,
        step: servo.grain(),
        dead_band: servo.dead_band,
    }
}
