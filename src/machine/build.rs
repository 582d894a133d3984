use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender};

use super::crew::Crew;
use super::model::MotorModel;
use super::open::{Opener, Signals};
use super::power::{Power, Watch};
use super::{Kept, Machine, MachineError, soft_pwm};
use crate::config::{Config, Drive, MotorConfig};
use crate::hal::{Backend, Clock, SimBackend, Supply};
use crate::motion::Planner;
use crate::motor::Event;
use crate::runtime::{
    Fleet, Heed, Mailbox, Member, TestFault, ThreadFleet, ThreadOptions, VirtualFleet,
};
use crate::sync::{EventBook, EventRules, StopEvent};
use crate::trace::{Recorder, TraceBuilder};

/// The default of `max-lateness` on hardware.
const MAX_LATENESS_ON_HARDWARE: Duration = Duration::from_millis(1);

/// Records that the queue to a trace's collector holds.
const TRACE_QUEUE: usize = 1 << 16;

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
    restored: Option<BTreeMap<String, Kept>>,
    test_fault: Option<TestFault>,
    supply: Option<Box<dyn Supply>>,
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
            restored: None,
            test_fault: None,
            supply: None,
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

    /// Asks the board whether its supply is well, about once a second: while it is not, nothing more is
    /// switched on. It counts where the config has a power budget.
    pub fn supply(mut self, supply: Box<dyn Supply>) -> Self {
        self.supply = Some(supply);
        self
    }

    /// Whether the motors' threads ask for real-time scheduling and locked memory (the default).
    pub fn realtime(mut self, realtime: bool) -> Self {
        self.realtime = realtime;
        self
    }

    /// Where motors stood when the machine before ended ([`Machine::kept_places`]): axes with
    /// `at-start = "restored"` are there, and servos with `startup = "last"` go there. Those that are
    /// not named have an unknown place, and no signal.
    ///
    /// Without this call such axes are taken as with `at-start = "unknown"`.
    pub fn restore(mut self, places: BTreeMap<String, Kept>) -> Self {
        self.restored = Some(places);
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

    /// For tests alone: a motor's loop that goes wrong. Ignored in virtual time, and where no motor has
    /// that name.
    #[doc(hidden)]
    pub fn test_fault(mut self, fault: Option<TestFault>) -> Self {
        self.test_fault = fault;
        self
    }

    /// Opens the outputs and starts the motors' loops. Nothing moves yet.
    ///
    /// # Errors
    ///
    /// The back end refused an output, a driver reports a fault, the threads could not be started, or on
    /// hardware a servo's pulses would be timed by a loop without real-time scheduling.
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
        if !self.virtual_time {
            soft_pwm::check(&self.config, backend.is_hardware(), self.realtime)?;
        }
        let trace_start = clock.now();
        let mut signals = TraceBuilder::new(trace_start);
        let names = Signals::declare(&mut signals, &self.config, !self.virtual_time);
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
        let (event_tx, event_rx) = crossbeam_channel::bounded(16 * self.config.motors.len() + 16);
        let mut opener = Opener {
            backend: &mut *backend,
            clock: clock.clone(),
            recorder: recorder.clone(),
            enables: BTreeMap::new(),
            spin: self.config.machine.spin,
            max_lateness: max_lateness(&self.config, hardware),
            events: event_tx.clone(),
            inputs: Vec::new(),
            restored: self.restored.as_ref(),
        };
        let opened = opener.open(&self.config, &names)?;
        let enables = opener.enables;
        let (mut members, mut motors) = (Vec::new(), Vec::new());
        for (member, mailbox, state) in opened {
            members.push((member, mailbox));
            motors.push(state);
        }
        let (finish_patience, wake_slack) = patience(&self.config);
        let safe = vec![false; motors.len()];
        let models = self.config.motors.iter().map(MotorModel::new).collect();
        let reports = event_tx.clone();
        let power = Power::new(&self.config, clock.now());
        let supply = self.supply.take().map(Watch::new);
        let fleet = make(&self, clock, members, (event_tx, event_rx))?;
        let fleet = Crew::new(fleet, motors.len());
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
            speed: 1.0,
            held_since: None,
            held_for: 0,
            power,
            supply,
            leaving: None,
            events: EventBook::new(EventRules::default()),
            served: None,
            stop: self.stop,
            halt: self.halt,
            heed: Heed::Stop,
            recorder,
            trace,
            trace_start,
            move_signal: names.moves,
            wake_slack,
            backend: backend.name(),
            hardware,
            header: backend,
            enables,
            reports,
            realtime: self.realtime,
            restored: self.restored,
            safe,
            finish_patience,
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
        let options = ThreadOptions { realtime: self.realtime, spin: self.config.machine.spin };
        let members = members.into_iter().map(|(member, mailbox)| {
            let planted = self.test_fault.as_ref().filter(|fault| fault.motor == member.name);
            let Some(fault) = planted else { return (member, mailbox) };
            (Member { motor: fault.plant(member.motor), ..member }, mailbox)
        });
        let members = members.collect();
        let fleet = ThreadFleet::start(members, events, stop, halt, &options);
        Ok(Box::new(fleet.map_err(|e| MachineError::Threads(e.to_string()))?))
    }
}

/// Beyond this lateness, in nanoseconds, a move comes to rest.
pub(super) fn max_lateness(config: &Config, hardware: bool) -> Option<u64> {
    let limit = config.machine.max_lateness.or(hardware.then_some(MAX_LATENESS_ON_HARDWARE));
    limit.map(|l| u64::try_from(l.as_nanos()).unwrap_or(u64::MAX))
}

/// How long its motors may take to make their outputs safe, and how long their drivers to wake up.
pub(super) fn patience(config: &Config) -> (Duration, Duration) {
    let longest = config.motors.iter().map(longest_period).max().unwrap_or_default();
    let wake = config.motors.iter().map(wake_time).max().unwrap_or_default();
    // The way out of a servo's signal takes up to two periods and a little.
    (longest * 3 + Duration::from_secs(1), wake)
}

fn longest_period(motor: &MotorConfig) -> Duration {
    match &motor.drive {
        Drive::Servo(servo) => servo.period,
        // Its last period, if it is in velocity mode, may be as long as this.
        Drive::PwmClock(_) => Duration::from_secs(2),
        Drive::StepDir(_) => Duration::ZERO,
        // It may let go of its coils first.
        Drive::Coils(coils) => Duration::from_nanos(u64::from(coils.settle)),
    }
}

/// How long a motor takes before it comes to a barrier.
fn wake_time(motor: &MotorConfig) -> Duration {
    let take_up = MotorModel::new(motor).take_up().map_or(0, |t| t.duration());
    Duration::from_nanos(motor.axis().map_or(0, |axis| u64::from(axis.wake)) + take_up)
}
