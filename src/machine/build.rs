use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender};

use super::model::MotorModel;
use super::outcome::Place;
use super::preflight::start_position;
use super::{Machine, MachineError, MotorState};
use crate::board::Pull;
use crate::config::{
    AtStart, AxisStop, Config, Drive, LineConfig, MotorConfig, ServoDrive, StepDirDrive,
};
use crate::hal::{
    Backend, Clock, HalError, InputLine, Level, OutputLine, OutputStart, PwmChannel,
    RecordedOutput, RecordedPwm, SharedLine, SimBackend,
};
use crate::motion::Planner;
use crate::motor::{
    Event, Input, Motor, MotorIndex, Outbox, PulseMap, Servo, ServoSetup, StepDir, StepDirSetup,
    Telemetry,
};
use crate::runtime::{
    Fleet, Heed, Mail, Mailbox, Member, ThreadFleet, ThreadOptions, VirtualFleet,
};
use crate::sync::StopEvent;
use crate::trace::{Recorder, SignalId, SignalKind, TraceBuilder};
use crate::units::PulseWidth;

/// The default of `max-lateness` on hardware.
const MAX_LATENESS_ON_HARDWARE: Duration = Duration::from_millis(1);

/// Records that the queue to a trace's collector holds.
const TRACE_QUEUE: usize = 1 << 16;

/// How long a fault line's thread waits for room in its motor's mailbox.
const INPUT_PATIENCE: Duration = Duration::from_millis(100);

/// Both ends of the channel that the motors speak into.
pub(super) type Events = (Sender<Event>, Receiver<Event>);

/// Builds a [`Machine`]: which back end, which kind of time, whether with a trace.
///
/// Without a choice of its own it is the simulator in real time.
pub struct MachineBuilder {
    config: Config,
    backend: Option<Box<dyn Backend>>,
    virtual_time: bool,
    trace: bool,
    realtime: bool,
    pub(super) stop: StopEvent,
    pub(super) halt: StopEvent,
}

impl MachineBuilder {
    pub(super) fn new(config: Config) -> MachineBuilder {
        MachineBuilder {
            config,
            backend: None,
            virtual_time: false,
            trace: false,
            realtime: true,
            stop: StopEvent::new(),
            halt: StopEvent::new(),
        }
    }

    /// The simulator in virtual time: as fast as this computer goes, and the same each time.
    pub fn virtual_time(mut self) -> Self {
        self.virtual_time = true;
        self
    }

    /// Another back end than the simulator. Ignored in virtual time.
    pub fn backend(mut self, backend: Box<dyn Backend>) -> Self {
        self.backend = Some(backend);
        self
    }

    /// Records every edge: see [`Machine::take_recording`].
    pub fn trace(mut self, trace: bool) -> Self {
        self.trace = trace;
        self
    }

    /// Whether the motors' threads ask for real-time scheduling and locked memory (the default).
    pub fn realtime(mut self, realtime: bool) -> Self {
        self.realtime = realtime;
        self
    }

    /// Shares a stop event with the machine: the orderly stop.
    pub fn stop_event(mut self, stop: StopEvent) -> Self {
        self.stop = stop;
        self
    }

    /// Shares a halt event with the machine: still after the last whole pulse.
    pub fn halt_event(mut self, halt: StopEvent) -> Self {
        self.halt = halt;
        self
    }

    /// Opens the outputs and starts the motors' loops. Nothing moves yet.
    ///
    /// # Errors
    ///
    /// The back end refused an output, a driver reports a fault, or the threads could not be started.
    pub fn build(self) -> Result<Machine, MachineError> {
        self.build_on(MachineBuilder::fleet)
    }

    /// The same, on a fleet that `make` makes of the members and both ends of their events' channel.
    pub(super) fn build_on(
        mut self,
        make: impl FnOnce(
            &Self,
            Clock,
            Vec<(Member, Mailbox)>,
            Events,
        ) -> Result<Box<dyn Fleet>, MachineError>,
    ) -> Result<Machine, MachineError> {
        let clock = if self.virtual_time { Clock::virtual_time() } else { Clock::monotonic() };
        let mut backend = match self.backend.take() {
            Some(backend) if !self.virtual_time => backend,
            _ => Box::new(SimBackend::new(clock.clone())),
        };
        let trace_start = clock.now();
        let mut signals = TraceBuilder::new(trace_start);
        let names = Signals::declare(&mut signals, &self.config);
        let (recorder, trace) = match (self.trace, self.virtual_time) {
            (false, _) => (Recorder::off(), None),
            (true, true) => {
                let (recorder, trace) = signals.direct();
                (recorder, Some(trace))
            }
            (true, false) => {
                let queued = signals.queued(TRACE_QUEUE);
                let (recorder, trace) = queued.map_err(|e| MachineError::Threads(e.to_string()))?;
                (recorder, Some(trace))
            }
        };
        let hardware = backend.is_hardware();
        let limit = self.config.machine.max_lateness;
        let limit = limit.or(hardware.then_some(MAX_LATENESS_ON_HARDWARE));
        let (event_tx, event_rx) = crossbeam_channel::bounded(16 * self.config.motors.len() + 16);
        let mut opener = Opener {
            backend: &mut *backend,
            clock: clock.clone(),
            recorder: recorder.clone(),
            enables: BTreeMap::new(),
            max_lateness: limit.map(|l| u64::try_from(l.as_nanos()).unwrap_or(u64::MAX)),
            events: event_tx.clone(),
            inputs: Vec::new(),
        };
        let (members, motors) = opener.open(&self.config, &names)?;
        let inputs = opener.inputs;
        let finish_patience = self.config.motors.iter().map(longest_period).max();
        let wake = self.config.motors.iter().map(wake_time).max().unwrap_or_default();
        let safe = vec![false; motors.len()];
        let models = self.config.motors.iter().map(MotorModel::new).collect();
        let fleet = make(&self, clock, members, (event_tx, event_rx))?;
        Ok(Machine {
            config: Arc::new(self.config),
            models,
            fleet,
            motors,
            planner: Planner::new(),
            active: BTreeMap::new(),
            ended: BTreeMap::new(),
            next_move: 1,
            next_change: 0,
            stop: self.stop,
            halt: self.halt,
            heed: Heed::Stop,
            recorder,
            trace,
            trace_start,
            move_signal: names.moves,
            wake_slack: wake,
            backend: backend.name(),
            hardware,
            _inputs: inputs,
            safe,
            // The way out of a servo's signal takes up to two periods and a little.
            finish_patience: finish_patience.unwrap_or_default() * 3 + Duration::from_secs(1),
            finished: false,
        })
    }

    fn fleet(
        &self,
        clock: Clock,
        members: Vec<(Member, Mailbox)>,
        events: Events,
    ) -> Result<Box<dyn Fleet>, MachineError> {
        let (stop, halt) = (self.stop.clone(), self.halt.clone());
        if self.virtual_time {
            return Ok(Box::new(VirtualFleet::new(clock, members, events.1, stop, halt)));
        }
        let options = ThreadOptions { realtime: self.realtime };
        let fleet = ThreadFleet::start(members, events, stop, halt, &options);
        Ok(Box::new(fleet.map_err(|e| MachineError::Threads(e.to_string()))?))
    }
}

fn longest_period(motor: &MotorConfig) -> Duration {
    match &motor.drive {
        Drive::Servo(servo) => servo.period,
        Drive::StepDir(_) => Duration::ZERO,
    }
}

fn wake_time(motor: &MotorConfig) -> Duration {
    match &motor.drive {
        Drive::Servo(_) => Duration::ZERO,
        Drive::StepDir(axis) => Duration::from_nanos(u64::from(axis.timing.wake)),
    }
}

/// The trace's names, in the order of the config.
struct Signals {
    motors: Vec<MotorSignals>,
    moves: SignalId,
}

#[derive(Clone, Copy)]
struct MotorSignals {
    /// `pulse`, or `step`.
    pulse: SignalId,
    dir: SignalId,
    enable: SignalId,
    position: SignalId,
}

impl Signals {
    fn declare(builder: &mut TraceBuilder, config: &Config) -> Signals {
        let mut motors = Vec::with_capacity(config.motors.len());
        for motor in &config.motors {
            let mut wire = |name| builder.add(&motor.name, name, SignalKind::Wire);
            let (pulse, dir, enable) = match &motor.drive {
                Drive::Servo(_) => {
                    let pulse = wire("pulse");
                    (pulse, pulse, pulse)
                }
                Drive::StepDir(axis) => {
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
struct Opener<'b> {
    backend: &'b mut dyn Backend,
    clock: Clock,
    recorder: Recorder,
    enables: BTreeMap<u8, SharedLine>,
    max_lateness: Option<u64>,
    events: Sender<Event>,
    inputs: Vec<Box<dyn InputLine>>,
}

type Opened = (Vec<(Member, Mailbox)>, Vec<MotorState>);

impl Opener<'_> {
    fn open(&mut self, config: &Config, signals: &Signals) -> Result<Opened, MachineError> {
        let servos = config.motors.iter().filter_map(|m| match &m.drive {
            Drive::Servo(servo) => Some(servo.gpio),
            Drive::StepDir(_) => None,
        });
        let gpios: Vec<u8> = servos.collect();
        self.backend.prepare_pwm(&gpios).map_err(MachineError::Backend)?;
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
            });
        }
        Ok((members, states))
    }

    /// Enable lines first: a driver is not energised while the rest is being opened. A line that any
    /// of its axes holds a load with keeps the level it has.
    fn open_enables(&mut self, config: &Config, signals: &Signals) -> Result<(), MachineError> {
        let axes = || {
            config.motors.iter().enumerate().filter_map(|(i, m)| match &m.drive {
                Drive::StepDir(axis) => axis.enable.map(|line| (i, m, axis, line)),
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

    fn record_output(
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

    fn record_pwm(&self, channel: Box<dyn PwmChannel>, signal: SignalId) -> Box<dyn PwmChannel> {
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
        let channel = self.backend.open_pwm(servo.gpio, &motor.name)?;
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
    fn fault_line(
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
