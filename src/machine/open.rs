//! Opens what a config names: outputs, channels and inputs, and the motors' loops over them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::Sender;

use super::model::MotorModel;
use super::outcome::Place;
use super::preflight::start_position;
use super::{MachineError, MotorState};
use crate::board::{Pull, PwmOutput};
use crate::config::{
    AtStart, AxisStop, ClockMode, Config, Drive, LineConfig, MotorConfig, PwmClockDrive,
    ServoDrive, StepDirDrive,
};
use crate::hal::{
    Backend, Clock, HalError, InputLine, Level, OutputLine, OutputStart, PwmChannel,
    RecordedOutput, RecordedPwm, SharedLine,
};
use crate::motor::{
    Event, Input, Motor, MotorIndex, Outbox, PulseMap, Servo, ServoSetup, StepDir, StepDirSetup,
    Telemetry,
};
use crate::runtime::{Mail, Mailbox, Member};
use crate::trace::{Recorder, SignalId, SignalKind, TraceBuilder};
use crate::units::PulseWidth;

/// How long a fault line's thread waits for room in its motor's mailbox.
const INPUT_PATIENCE: Duration = Duration::from_millis(100);

/// The trace's names, in the order of the config.
pub(super) struct Signals {
    pub motors: Vec<MotorSignals>,
    pub moves: SignalId,
}

#[derive(Clone, Copy)]
pub(super) struct MotorSignals {
    /// `pulse`, or `step`.
    pub pulse: SignalId,
    pub dir: SignalId,
    pub enable: SignalId,
    pub position: SignalId,
}

impl Signals {
    pub fn declare(builder: &mut TraceBuilder, config: &Config) -> Signals {
        let mut motors = Vec::with_capacity(config.motors.len());
        for motor in &config.motors {
            let mut wire = |name| builder.add(&motor.name, name, SignalKind::Wire);
            let (pulse, dir, enable) = match &motor.drive {
                Drive::Servo(_) => {
                    let pulse = wire("pulse");
                    (pulse, pulse, pulse)
                }
                Drive::StepDir(axis) | Drive::PwmClock(PwmClockDrive { axis, .. }) => {
                    let (step, dir) = (wire("step"), wire("dir"));
                    (step, dir, if axis.enable.is_some() { wire("enable") } else { dir })
                }
            };
            let position = builder.add(&motor.name, "position", SignalKind::Real);
            motors.push(MotorSignals { pulse, dir, enable, position });
        }
        Signals { motors, moves: builder.add("machine", "move", SignalKind::Text) }
    }
}

/// Opens the outputs that a config names.
pub(super) struct Opener<'b> {
    pub backend: &'b mut dyn Backend,
    pub clock: Clock,
    pub recorder: Recorder,
    pub enables: BTreeMap<u8, SharedLine>,
    pub max_lateness: Option<u64>,
    /// How much of the time between two edges may be spun away.
    pub spin: f64,
    pub events: Sender<Event>,
    pub inputs: Vec<Box<dyn InputLine>>,
}

pub(super) type Opened = (Vec<(Member, Mailbox)>, Vec<MotorState>);

impl Opener<'_> {
    pub fn open(&mut self, config: &Config, signals: &Signals) -> Result<Opened, MachineError> {
        let servos = config.motors.iter().filter_map(|m| match &m.drive {
            Drive::Servo(servo) => Some(servo.gpio),
            Drive::PwmClock(clock) => Some(clock.axis.step),
            Drive::StepDir(_) => None,
        });
        let outputs: Vec<PwmOutput> = servos.map(PwmOutput::Gpio).collect();
        self.backend.prepare_pwm(&outputs).map_err(MachineError::Backend)?;
        self.open_enables(config, signals)?;
        let (mut members, mut states) = (Vec::new(), Vec::new());
        for (index, motor) in config.motors.iter().enumerate() {
            let signals = signals.motors[index];
            let telemetry = Arc::new(Telemetry::default());
            let mailbox = Mailbox::default();
            let hal = |error| MachineError::Hal { motor: motor.name.clone(), error };
            let (boxed, place): (Box<dyn Motor>, Place) = match &motor.drive {
                Drive::Servo(servo) => {
                    let out = Outbox::new(index, self.events.clone());
                    let servo = self.servo(motor, servo, signals, telemetry.clone(), out);
                    (Box::new(servo.map_err(hal)?), Place::Unknown)
                }
                Drive::StepDir(axis) => {
                    let place = match axis.at_start {
                        AtStart::Unknown if self.backend.is_hardware() => Place::Unknown,
                        _ => Place::Assumed,
                    };
                    let axis = self.axis(index, motor, axis, signals, telemetry.clone(), &mailbox);
                    (Box::new(axis?), place)
                }
                Drive::PwmClock(drive) => {
                    let place = match (drive.mode, drive.axis.at_start) {
                        (ClockMode::Velocity, _) => Place::Estimated,
                        (_, AtStart::Unknown) if self.backend.is_hardware() => Place::Unknown,
                        _ => Place::Assumed,
                    };
                    let telemetry = telemetry.clone();
                    let clock = self.step_clock(index, motor, drive, signals, telemetry, &mailbox);
                    (clock?, place)
                }
            };
            members.push((Member { name: motor.name.clone(), motor: boxed }, mailbox));
            states.push(MotorState {
                place,
                angle: None,
                fault: None,
                busy: None,
                telemetry,
                last: None,
                position_signal: signals.position,
                uncounted: None,
                miscounted: false,
            });
        }
        Ok((members, states))
    }

    /// Enable lines first: a driver is not energised while the rest is being opened. A line that any
    /// of its axes holds a load with keeps the level it has.
    fn open_enables(&mut self, config: &Config, signals: &Signals) -> Result<(), MachineError> {
        let axes = || {
            config.motors.iter().enumerate().filter_map(|(i, m)| match &m.drive {
                Drive::StepDir(axis) | Drive::PwmClock(PwmClockDrive { axis, .. }) => {
                    axis.enable.map(|line| (i, m, axis, line))
                }
                Drive::Servo(_) => None,
            })
        };
        for (_, motor, _, line) in axes() {
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
        signals: MotorSignals,
        telemetry: Arc<Telemetry>,
        out: Outbox,
    ) -> Result<Servo, HalError> {
        let channel = self.backend.open_pwm(&servo.gpio.into(), &motor.name)?;
        let channel = self.record_pwm(channel, signals.pulse);
        let (low, high) = (servo.angle_min, servo.angle_max);
        let (angle_at_min, angle_at_max) = if servo.reverse { (high, low) } else { (low, high) };
        let trimmed = |width: PulseWidth| {
            PulseWidth::from_nanos(width.as_nanos().saturating_add_signed(servo.trim_ns))
        };
        let (min, max) = (trimmed(servo.pulse_min), trimmed(servo.pulse_max));
        let map = PulseMap { min, max, angle_at_min, angle_at_max };
        let setup = ServoSetup {
            channel,
            period: servo.period,
            map,
            max_lateness: self.max_lateness,
            clock: self.clock.clone(),
            telemetry,
        };
        Ok(Servo::new(setup, out))
    }

    fn axis(
        &mut self,
        index: MotorIndex,
        motor: &MotorConfig,
        axis: &StepDirDrive,
        signals: MotorSignals,
        telemetry: Arc<Telemetry>,
        mailbox: &Mailbox,
    ) -> Result<StepDir, MachineError> {
        let hal = |error| MachineError::Hal { motor: motor.name.clone(), error };
        let low = OutputStart::Level(Level::Low);
        let who = |line: &str| format!("{}'s {line} line", motor.name);
        let step = self.backend.open_output(axis.step, low, &who("step")).map_err(hal)?;
        let dir = self.backend.open_output(axis.dir, low, &who("dir")).map_err(hal)?;
        if let Some(line) = axis.fault {
            self.fault_line(motor, line, mailbox)?;
        }
        let model = MotorModel::new(motor);
        let start = start_position(axis.at_start, &model);
        let timing = axis.timing;
        let fastest = axis.steps_per_unit.scale(motor.limits.speed);
        let pulse = u64::from(timing.step_high) + u64::from(timing.step_low);
        let setup = StepDirSetup {
            step: self.record_output(step, vec![signals.pulse]),
            dir: self.record_output(dir, vec![signals.dir]),
            enable: axis.enable.and_then(|line| self.enables.get(&line.gpio).cloned()),
            step_high: timing.step_high.into(),
            step_low: timing.step_low.into(),
            dir_setup: timing.dir_setup.into(),
            dir_hold: timing.dir_hold.into(),
            wake: timing.wake.into(),
            min_interval: pulse.max((1e9 / (1.25 * fastest)) as u64),
            up: Level::from_bool(!axis.reverse),
            may_release: !axis.holds_load,
            release_at_end: axis.on_stop == AxisStop::Release && !axis.holds_load,
            max_lateness: self.max_lateness,
            count: model.to_native(start) as i64,
            telemetry,
        };
        Ok(StepDir::new(setup, Outbox::new(index, self.events.clone())))
    }

    /// Watches a driver's fault line; its edges go to the motor's own mailbox.
    pub(super) fn fault_line(
        &mut self,
        motor: &MotorConfig,
        line: LineConfig,
        mailbox: &Mailbox,
    ) -> Result<(), MachineError> {
        let hal = |error| MachineError::Hal { motor: motor.name.clone(), error };
        let active = active_level(line);
        // Drivers' fault outputs are open drains: without a pull the line would float.
        let pull = if line.active_low { Pull::Up } else { Pull::Down };
        let sender = mailbox.sender.clone();
        let on_edge = Box::new(move |edge: crate::hal::InputEdge| {
            let mail = Mail::Input(Input::Fault, edge.level == active, edge.at);
            let _ = sender.send_timeout(mail, INPUT_PATIENCE);
        });
        let who = format!("{}'s fault line", motor.name);
        let mut input = self.backend.open_input(line.gpio, pull, &who, on_edge).map_err(hal)?;
        if input.level().map_err(hal)? == active {
            let (motor, gpio) = (motor.name.clone(), line.gpio);
            return Err(MachineError::FaultAtStart { motor, gpio });
        }
        self.inputs.push(input);
        Ok(())
    }
}

fn active_level(line: LineConfig) -> Level {
    Level::from_bool(!line.active_low)
}
