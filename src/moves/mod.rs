//! The one register of motion: whatever moves a motor, whoever asked for it, is one entry in it.
//!
//! [`MoveBook`] waits for nothing and has no clock. Orders, motors' reports and the time go in; [`Action`]s come out:
//! tell a motor, mark the trace, this happened. Who has the book carries them out, in their order.

mod active;
mod aside;
mod back;
mod blend;
mod change;
mod claims;
mod error;
mod error_codes;
mod events;
mod frames;
#[cfg(test)]
mod invariants;
mod jog;
mod launch;
mod leaving;
mod model;
mod orders;
mod outcome;
mod owner;
mod path_moves;
mod plan;
mod power;
mod shapes;
mod snapshot;
mod spec;
mod stage;
mod stops;
mod verbs;
mod waiting;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use crate::config::Config;
use crate::motion::Planner;
use crate::motor::{Command, FaultKind, Leads, MotorIndex, MoveId, Telemetry};
use crate::trace::Mark;
use crate::units::Instant;

use active::Active;
use claims::Claim;
use waiting::Waiting;

pub(crate) use blend::BlendRun;
pub(crate) use claims::{Alive, ClaimState};
pub use error::MoveError;
pub(crate) use error::at_least;
pub use error_codes::Refusal;
pub(crate) use events::between;
pub(crate) use jog::plan_jogs;
pub use jog::{Jog, Steered, Velocity};
pub(crate) use model::MotorModel;
pub use orders::OVERRIDE;
pub use outcome::{
    Cause, EndResult, Held, MotorOutcome, MotorPosition, MoveOutcome, Outcome, Place,
};
pub use owner::Owner;
pub(crate) use owner::{Touched, Which};
pub use path_moves::BlendedPath;
pub(crate) use path_moves::Waypoint;
pub(crate) use plan::{FramesPlan, Planned, Start, Track, plan_move};
pub use power::PowerState;
pub(crate) use power::{Power, consumers_of};
pub(crate) use shapes::nanos;
pub use snapshot::{MachineState, MotorSnapshot, Snapshot};
pub use spec::{Move, Position};
pub(crate) use waiting::{IfBusy, Order};

/// A change takes hold at the end of the pulse that is out at its instant. A loop that is told of the next one
/// before has to let it pass.
const ADOPTION: Duration = Duration::from_micros(200);

/// How far ahead a change is set in the second attempt, where the first has expired; doubled for each one after that.
const NEXT_LEAD: Duration = Duration::from_millis(10);

/// How often a change is proposed before the motors are halted instead.
const CHANGE_ATTEMPTS: u32 = 7;

/// How long motors may take to come to the barrier, beyond the wake-up time of their drivers.
const ARMING_PATIENCE: Duration = Duration::from_secs(2);

/// How long a stop may take beyond its braking time.
const STOP_PATIENCE: Duration = Duration::from_secs(1);

/// How long a move may take beyond its planned duration, where nobody gave it a time-out.
const DEFAULT_SLACK: Duration = Duration::from_secs(5);

/// How many ended moves are kept whose outcomes nobody has asked for yet.
const MOST_ENDED: usize = 1000;

/// Where each of some motors shall go, in its unit.
pub(crate) type Targets = Vec<(MotorIndex, f64)>;

/// At what velocity each of some motors shall go, in its unit a second.
pub(crate) type Jogs = Vec<(MotorIndex, f64)>;

/// What a speed override is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Class {
    /// Moves at the speed that they were given.
    Feed,
    /// Moves that go as fast as they can on the way to where something is done.
    Rapid,
    /// Jogs.
    Jog,
}

impl Class {
    /// All of them.
    pub const ALL: [Class; 3] = [Class::Feed, Class::Rapid, Class::Jog];
}

/// What is known of a motor.
pub(crate) struct MotorState {
    pub place: Place,
    /// A servo's angle, once it has a signal.
    pub angle: Option<f64>,
    /// The angle at which a servo let go by itself: its next move begins there.
    pub left_at: Option<f64>,
    pub fault: Option<FaultKind>,
    pub busy: Option<MoveId>,
    pub telemetry: Arc<Telemetry>,
    pub last: Option<MotorOutcome>,
    /// How much less, and more, its count may be than what is told, where it can't be proved.
    pub uncounted: Option<(u64, u64)>,
    /// That has become so, or worse, in its last move.
    pub miscounted: bool,
    /// The beginning of its last time line, which may be still to come where that was dropped.
    pub epoch: Instant,
    /// Its driver was switched on, and not off again.
    pub powered: bool,
    /// How long before an instant its loop has to be told of it.
    pub leads: Leads,
}

impl MotorState {
    /// Its place is told no better than this from now on. An estimate stays one, and who knows nothing
    /// does not know more.
    pub fn doubt(&mut self) {
        if !matches!(self.place, Place::Estimated | Place::Unknown) {
            self.place = Place::Unverified;
        }
    }
}

/// A move that has ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub owner: Owner,
    /// How its motors ended, in the order they came, and how many of those have been handed out.
    pub outcomes: Vec<MotorOutcome>,
    told: usize,
    /// They have been handed out as a whole.
    taken: bool,
    /// How long it took; `None`: it never began.
    pub took: Option<Duration>,
    pub result: EndResult,
}

/// A move that has not ended.
#[derive(Clone, Debug)]
pub(crate) struct OpenMove {
    pub id: MoveId,
    pub owner: Owner,
    /// The motors that it was asked for.
    pub motors: Vec<MotorIndex>,
    pub stand: Stand,
}

/// How a move stands that has not ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Stand {
    /// It waits for its time.
    Delayed,
    /// It waits for its motors.
    Queued,
    /// It moves, or is about to.
    Running,
    /// At rest by a hold, on its way or before it began.
    Held,
}

/// Something that the book wants done.
pub(crate) enum Action {
    /// Tell a motor's loop. Where that can't be done, whoever arms a motor gives it up.
    Tell(MotorIndex, Command),
    /// Write this into the trace's `machine.move`.
    Mark(Instant, Mark<'static>),
    /// Write a motor's position, in its unit, into the trace.
    Position(MotorIndex, Instant, f64),
    /// A move has begun: its motors have been told, or will be once nothing holds them back.
    Began(MoveId),
    /// A motor's part of a move has ended.
    Part(MotorOutcome),
    /// A move is over, also one that never began.
    Over(MoveId),
    /// A motor has a fault.
    Fault(MotorIndex, FaultKind),
    /// For the log.
    Say(log::Level, String),
}

/// What ends everything that moves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Ordered {
    /// Nothing: moves may begin.
    Nothing,
    /// The orderly stop: everything comes to rest on its path.
    Stop,
    /// Still after the last whole pulse.
    Halt,
}

/// What fixes the epoch at the moment when the last motor has come to the barrier: that instant.
pub(crate) type Release = Arc<dyn Fn() -> Instant + Send + Sync>;

/// All that moves, and all that is known of the motors that do.
pub(crate) struct MoveBook {
    pub config: Arc<Config>,
    pub models: Vec<MotorModel>,
    pub motors: Vec<MotorState>,
    planner: Planner,
    /// Moves that have been asked for and have not begun.
    waiting: BTreeMap<MoveId, Waiting>,
    active: BTreeMap<MoveId, Active>,
    ended: BTreeMap<MoveId, Ended>,
    /// Programs under way.
    claims: BTreeMap<Arc<str>, Claim>,
    next_move: MoveId,
    next_change: u64,
    /// The speed overrides, as shares, by class.
    overrides: [f64; Class::ALL.len()],
    /// Since when everything is held.
    held_since: Option<Instant>,
    /// Motors that are held by themselves.
    holds: BTreeSet<MotorIndex>,
    /// Motors whose loops end, for others to take their place: nothing begins with them.
    pub away: BTreeSet<MotorIndex>,
    power: Option<Power>,
    /// What has been heard of stop and halt, and what is set of them now.
    ordered: Ordered,
    stop_set: bool,
    halt_set: bool,
    /// For how long motors may have known of a halt before this book does, nanoseconds.
    halt_heard_within: u64,
    /// How long the slowest driver takes to wake up.
    pub wake_slack: Duration,
    /// The motors' loops have been told to end: nothing begins any more.
    pub finished: bool,
    /// Who is asked before motors leave where they rest.
    leaving: Option<leaving::Leaving>,
    release: Release,
    now: Instant,
    actions: VecDeque<Action>,
}

/// What a book is made of.
pub(crate) struct BookSetup {
    pub config: Arc<Config>,
    pub motors: Vec<MotorState>,
    pub now: Instant,
    /// What the clock shows when the barrier lets go.
    pub release: Release,
    pub wake_slack: Duration,
    pub halt_heard_within: u64,
}

impl MoveBook {
    pub fn new(setup: BookSetup) -> MoveBook {
        let BookSetup { config, motors, now, release, wake_slack, halt_heard_within } = setup;
        let power = Power::new(&config, now);
        let models = config.motors.iter().map(MotorModel::new).collect();
        MoveBook {
            config,
            models,
            motors,
            planner: Planner::new(),
            waiting: BTreeMap::new(),
            active: BTreeMap::new(),
            ended: BTreeMap::new(),
            claims: BTreeMap::new(),
            next_move: 1,
            next_change: 0,
            overrides: [1.0; Class::ALL.len()],
            held_since: None,
            holds: BTreeSet::new(),
            away: BTreeSet::new(),
            power,
            ordered: Ordered::Nothing,
            stop_set: false,
            halt_set: false,
            halt_heard_within,
            wake_slack,
            finished: false,
            leaving: None,
            release,
            now,
            actions: VecDeque::new(),
        }
    }

    /// What time it is, and which stop events are set. Comes before everything else that the book is told or asked.
    pub fn look(&mut self, now: Instant, stop: bool, halt: bool) {
        self.now = now;
        (self.stop_set, self.halt_set) = (stop, halt);
    }

    /// The next thing that is to be done, in their order.
    pub fn next_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    fn tell(&mut self, motor: MotorIndex, command: Command) {
        self.actions.push_back(Action::Tell(motor, command));
    }

    fn say(&mut self, level: log::Level, text: String) {
        self.actions.push_back(Action::Say(level, text));
    }

    fn mark(&mut self, at: Instant, mark: Mark<'static>) {
        self.actions.push_back(Action::Mark(at, mark));
    }

    /// Whether a stop or a halt holds.
    pub fn is_stopped(&self) -> bool {
        self.ordered != Ordered::Nothing || self.stop_set || self.halt_set
    }

    /// What has been heard of stop and halt.
    pub fn ordered(&self) -> Ordered {
        self.ordered
    }

    pub fn find(&self, name: &str) -> Result<MotorIndex, MoveError> {
        self.config.motor_index(name).ok_or_else(|| MoveError::UnknownMotor {
            name: name.to_string(),
            known: self.models.iter().map(|m| m.name.as_str()).collect::<Vec<_>>().join(", "),
        })
    }

    /// Where a motor is, in its unit, by the edges emitted; `None` for a servo without a signal.
    pub fn position(&self, motor: MotorIndex) -> Option<f64> {
        let state = &self.motors[motor];
        match self.models[motor].steps {
            Some(_) => Some(self.models[motor].to_unit(state.telemetry.steps() as f64)),
            None if state.busy.is_some() => state.angle.map(|_| state.telemetry.position()),
            None => state.angle,
        }
    }

    /// Whether a move has begun and has not ended yet; also while it is held.
    pub fn is_active(&self, id: MoveId) -> bool {
        self.active.contains_key(&id)
    }

    /// Whether a move has not ended yet; also while it waits for its time or its motors.
    pub fn is_open(&self, id: MoveId) -> bool {
        self.active.contains_key(&id) || self.waiting.contains_key(&id)
    }

    /// Whether nothing moves and nothing is held.
    pub fn is_empty(&self) -> bool {
        self.active.is_empty()
    }

    /// A move that has ended, as long as it is remembered.
    pub fn ended(&self, id: MoveId) -> Option<&Ended> {
        self.ended.get(&id)
    }

    /// Who asked for a move.
    pub fn owner(&self, id: MoveId) -> Option<&Owner> {
        let active = self.active.get(&id).map(|a| &a.owner);
        active
            .or_else(|| self.waiting.get(&id).map(|w| &w.owner))
            .or_else(|| self.ended.get(&id).map(|e| &e.owner))
    }

    /// The moves that have not ended: their numbers, motors, and how they stand.
    pub fn open(&self) -> Vec<OpenMove> {
        let waiting = self.waiting.iter().map(|(&id, w)| OpenMove {
            id,
            owner: w.owner.clone(),
            motors: w.motors().collect(),
            stand: if w.is_due(self.now) { Stand::Queued } else { Stand::Delayed },
        });
        let active = self.active.iter().map(|(&id, a)| OpenMove {
            id,
            owner: a.owner.clone(),
            motors: a.all.clone(),
            stand: if a.is_held() { Stand::Held } else { Stand::Running },
        });
        let mut all: Vec<_> = waiting.chain(active).collect();
        all.sort_by_key(|m| m.id);
        all
    }

    /// Whether nothing of a move moves: it has ended, or is held and has come to rest.
    pub fn is_at_rest(&self, id: MoveId) -> bool {
        self.active.get(&id).is_none_or(Active::is_held)
    }

    /// Whether nothing moves: what is held waits for its resume.
    pub fn all_at_rest(&self) -> bool {
        self.active.values().all(Active::is_held)
    }

    /// How many plans have been made.
    #[cfg(test)]
    pub fn plans(&self) -> u64 {
        self.planner.made()
    }

    /// How many moves there have been.
    pub fn count(&self) -> u64 {
        self.next_move - 1
    }

    /// The next outcome of a move that was not handed out.
    pub fn take_outcome(&mut self, id: MoveId) -> Option<MotorOutcome> {
        let active = self.active.get_mut(&id).map(|a| (&a.ended, &mut a.told));
        let ended = self.ended.get_mut(&id).filter(|e| !e.taken);
        let ended = ended.map(|e| (&e.outcomes, &mut e.told));
        let (outcomes, told) = active.or(ended)?;
        let outcome = outcomes.get(*told).cloned()?;
        *told += 1;
        Some(outcome)
    }

    /// How the motors of a move ended so far, while it is held: a move that is held can't end. `None`: it moves.
    pub fn ended_while_held(&self, id: MoveId) -> Option<Vec<MotorOutcome>> {
        self.active.get(&id).filter(|a| a.is_held()).map(|a| a.ended.clone())
    }

    /// How the motors of a move ended that is over. Once: then its outcomes have been handed out.
    pub fn take_ended(&mut self, id: MoveId) -> Vec<MotorOutcome> {
        let Some(ended) = self.ended.get_mut(&id) else { return Vec::new() };
        if std::mem::replace(&mut ended.taken, true) {
            return Vec::new();
        }
        ended.outcomes.clone()
    }

    fn outcome(
        &self,
        motor: MotorIndex,
        id: MoveId,
        outcome: Outcome,
        position: f64,
        steps: Option<i64>,
    ) -> MotorOutcome {
        let model = &self.models[motor];
        let (motor, place) = (model.name.clone(), self.motors[motor].place);
        MotorOutcome { id, motor, outcome, position, steps, unit: model.unit, place }
    }

    /// Another config holds, with these motors in its order.
    pub fn take_config(&mut self, config: Arc<Config>, motors: Vec<MotorState>) {
        self.models = config.motors.iter().map(MotorModel::new).collect();
        let old = std::mem::replace(&mut self.config, config.clone());
        self.motors = motors;
        let number = |m: MotorIndex| config.motor_index(&old.motors.get(m)?.name);
        self.holds = self.holds.iter().filter_map(|&m| number(m)).collect();
        self.renumber_waiting(number);
    }
}
