use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender};

use super::stand::Watch;
use super::{Kept, Machine, MachineError, Owner};
use crate::config::{Config, MotorConfig};
use crate::hal::{Backend, Clock, SimBackend, Supply};
use crate::inputs::Watcher;
use crate::motor::Event;
use crate::moves::{BookSetup, MotorModel, MoveBook};
use crate::roster::{Crew, Opener, Roster, Signals, check_soft_pwm};
use crate::runtime::{Fleet, Mailbox, Member, TestFault, ThreadFleet, ThreadOptions, VirtualFleet};
use crate::sync::{EventBook, EventRules, StopEvent};
use crate::trace::{GRAMMAR, Mark, Recorder, TraceBuilder};

/// For how long motors may have known of a halt before the machine does, nanoseconds.
const HALT_HEARD_WITHIN: u64 = 5_000_000;

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
    pub(super) config: Config,
    pub(super) backend: Option<Box<dyn Backend>>,
    pub(super) virtual_time: bool,
    /// On this computer's own header.
    #[cfg(target_os = "linux")]
    pub(super) header: bool,
    trace: bool,
    realtime: bool,
    restored: Option<BTreeMap<String, Kept>>,
    pub(super) test_fault: Option<TestFault>,
    pub(super) supply: Option<Box<dyn Supply>>,
    pub(super) stop: StopEvent,
    pub(super) halt: StopEvent,
}

impl MachineBuilder {
    pub(super) fn new(config: Config) -> MachineBuilder {
        MachineBuilder {
            config,
            backend: None,
            virtual_time: false,
            #[cfg(target_os = "linux")]
            header: false,
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
        #[cfg(target_os = "linux")]
        let header = self.open_header()?;
        let clock = if self.virtual_time { Clock::virtual_time() } else { Clock::monotonic() };
        let mut backend = match self.backend.take() {
            Some(backend) if !self.virtual_time => backend,
            _ => Box::new(SimBackend::new(clock.clone())),
        };
        if !self.virtual_time {
            check_soft_pwm(&self.config, backend.is_hardware(), self.realtime)?;
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
        let grammar = Mark::Grammar(GRAMMAR).to_string();
        recorder.text(names.moves, trace_start, &grammar);
        let hardware = backend.is_hardware();
        let (event_tx, event_rx) = crossbeam_channel::bounded(16 * self.config.motors.len() + 16);
        let mut inputs = Watcher::new(clock.clone());
        let mut opener = Opener {
            backend: &mut *backend,
            clock: clock.clone(),
            recorder: recorder.clone(),
            enables: BTreeMap::new(),
            spin: self.config.machine.spin,
            max_lateness: max_lateness(&self.config, hardware),
            events: event_tx.clone(),
            inputs: &mut inputs,
            fault_line: None,
            restored: self.restored.as_ref(),
        };
        let opened = opener.open(&self.config, &names)?;
        let enables = opener.enables;
        let (mut members, mut motors, mut fault_lines) = (Vec::new(), Vec::new(), Vec::new());
        for opened in opened {
            members.push((opened.member, opened.mailbox));
            motors.push(opened.state);
            fault_lines.push(opened.fault_line);
        }
        let (finish_patience, wake_slack) = patience(&self.config);
        let safe = vec![false; motors.len()];
        let reports = event_tx.clone();
        let supply = self.supply.take().map(Watch::new);
        let (now, at_release) = (clock.now(), clock.clone());
        let halt_heard_within = if clock.is_virtual() { 0 } else { HALT_HEARD_WITHIN };
        let fleet = make(&self, clock, members, (event_tx, event_rx))?;
        let fleet = Crew::new(fleet, motors.len());
        let book = MoveBook::new(BookSetup {
            config: Arc::new(self.config),
            motors,
            now,
            release: Arc::new(move || at_release.now()),
            wake_slack,
            halt_heard_within,
        });
        let roster = Roster {
            fleet,
            backend: backend.name(),
            hardware,
            header: backend,
            enables,
            inputs,
            reports,
            fault_lines,
            realtime: self.realtime,
            restored: self.restored,
        };
        Ok(Machine {
            book,
            roster,
            supply,
            events: EventBook::new(EventRules::default()),
            served: None,
            acting: Owner::Client,
            stop: self.stop,
            halt: self.halt,
            recorder,
            trace,
            trace_start,
            move_signal: names.moves,
            loops: None,
            position_signals: names.motors.iter().map(|m| m.position).collect(),
            safe,
            finish_patience,
            #[cfg(target_os = "linux")]
            header,
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
    let longest =
        config.motors.iter().map(|m| m.drive.kind().longest_period()).max().unwrap_or_default();
    let wake = config.motors.iter().map(wake_time).max().unwrap_or_default();
    // The way out of a servo's signal takes up to two periods and a little.
    (longest * 3 + Duration::from_secs(1), wake)
}

/// How long a motor takes before it comes to a barrier.
fn wake_time(motor: &MotorConfig) -> Duration {
    let take_up = MotorModel::new(motor).take_up().map_or(0, |t| t.duration());
    Duration::from_nanos(motor.axis().map_or(0, |axis| u64::from(axis.wake)) + take_up)
}
