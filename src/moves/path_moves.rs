//! Paths that are run through without a stop, for whoever has no program: start, extend, end.

use std::sync::Arc;

use super::blend::{BlendRun, Work};
use super::plan::{Part, Planned, Start, check_extremes};
use super::spec::Position;
use super::{Class, MoveBook, MoveError, Owner};
use crate::config::OnFault;
use crate::motor::{MotorIndex, MoveId};
use crate::trace::MoveKind;
use crate::units::Instant;

/// The motors' targets, how far from the corner the path may pass, and the share of the speed limits.
type Vertex = (Vec<(String, Position)>, Position, f64);

/// A path through places, each left within a blend of its corner, to be run through without a stop:
/// see [`Machine::start_path`](crate::machine::Machine::start_path).
///
/// ```
/// use lockstep::config::Config;
/// use lockstep::machine::{BlendedPath, Machine};
/// use lockstep::units::Length;
///
/// let config = Config::from_file("config/xyz-stage.toml")?.config;
/// let mut machine = Machine::builder(config).virtual_time().build()?;
/// let mut path = BlendedPath::new(Length(0.1));
/// for (x, y) in [(20.0, 0.0), (20.0, 20.0), (0.0, 20.0)] {
///     path = path.to(&[("x", Length(x)), ("y", Length(y))]);
/// }
/// let id = machine.start_path(&path)?;
/// assert!(machine.wait(id).all_reached());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, PartialEq, Debug)]
pub struct BlendedPath {
    blend: Position,
    speed: f64,
    vertices: Vec<Vertex>,
    pub(crate) open: bool,
    pub(crate) on_fault: OnFault,
}

impl BlendedPath {
    /// A path without a place yet, whose corners are cut by no more than `blend`.
    pub fn new(blend: impl Into<Position>) -> BlendedPath {
        let (vertices, open, on_fault) = (Vec::new(), false, OnFault::Stop);
        BlendedPath { blend: blend.into(), speed: 1.0, vertices, open, on_fault }
    }

    /// Another blend for the places that follow.
    pub fn blend(mut self, blend: impl Into<Position>) -> BlendedPath {
        self.blend = blend.into();
        self
    }

    /// The share of the speed limits, above 0 and at most 1, on the way to the places that follow.
    pub fn speed(mut self, share: f64) -> BlendedPath {
        self.speed = share;
        self
    }

    /// On to a place. A motor that it does not name stays. All motors that a path is to move are named by
    /// the places that it is started with.
    pub fn to<P: Into<Position> + Copy>(mut self, place: &[(&str, P)]) -> BlendedPath {
        let place = place.iter().map(|(motor, at)| ((*motor).to_owned(), (*at).into())).collect();
        self.vertices.push((place, self.blend, self.speed));
        self
    }

    /// More places will follow, by [`Machine::extend_path`](crate::machine::Machine::extend_path), up to
    /// [`Machine::end_path`](crate::machine::Machine::end_path).
    pub fn open(mut self) -> BlendedPath {
        self.open = true;
        self
    }

    /// What a fault in one motor means for the others.
    pub fn on_fault(mut self, on_fault: OnFault) -> BlendedPath {
        self.on_fault = on_fault;
        self
    }

    /// Names to indices, places to numbers.
    pub(crate) fn resolve(&self, book: &MoveBook) -> Result<Vec<Waypoint>, MoveError> {
        let number = |motor: MotorIndex, position: &Position| book.models[motor].number(*position);
        let mut places = Vec::with_capacity(self.vertices.len());
        for (place, blend, speed) in &self.vertices {
            if !(*speed > 0.0 && *speed <= 1.0) {
                return Err(MoveError::Speed { percent: speed * 100.0 });
            }
            let mut targets: Vec<(MotorIndex, f64)> = Vec::with_capacity(place.len());
            for (name, position) in place {
                let motor = book.find(name)?;
                if targets.iter().any(|t| t.0 == motor) {
                    return Err(MoveError::Twice { motor: name.clone() });
                }
                targets.push((motor, number(motor, position)?));
            }
            let Some(&(first, _)) = targets.first() else { return Err(MoveError::Empty) };
            let blend = number(first, blend)?;
            places.push(Waypoint { targets, blend, speed: *speed });
        }
        Ok(places)
    }
}

/// A place of a path, of some of its motors.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Waypoint {
    pub targets: Vec<(MotorIndex, f64)>,
    pub blend: f64,
    pub speed: f64,
}

impl MoveBook {
    /// The last place that an open path was given is its end.
    pub fn end_path(&mut self, id: MoveId) -> Result<(), MoveError> {
        self.open_run(id)?.close();
        Ok(())
    }

    /// Whether an open path can use more places now.
    pub fn path_wants(&self, id: MoveId) -> bool {
        let run = self.active.get(&id).and_then(|a| a.run.as_ref());
        run.is_some_and(BlendRun::has_room)
    }

    /// Begins a path through these places.
    pub fn start_run(
        &mut self,
        motors: Vec<MotorIndex>,
        places: &[Waypoint],
        open: bool,
        on_fault: OnFault,
        owner: &Owner,
    ) -> Result<MoveId, MoveError> {
        self.may_begin(owner)?;
        let Some(first) = motors.first() else { return Err(MoveError::Empty) };
        let unit = self.models[*first].unit;
        let mut starts = Vec::with_capacity(motors.len());
        for &motor in &motors {
            let model = &self.models[motor];
            if model.unit != unit {
                return Err(MoveError::WrongUnit {
                    motor: model.name.clone(),
                    unit: model.unit.symbol(),
                });
            }
            if model.backlash > 0 {
                return Err(MoveError::Turns { motor: model.name.clone() });
            }
            match self.ready(motor, owner)? {
                Start::At(at) => starts.push(at),
                Start::Anywhere => {
                    return Err(MoveError::NoSignal { motor: model.name.clone() });
                }
            }
        }
        let blend = places.first().map_or(0.0, |p| p.blend);
        let mut run =
            BlendRun::new(&self.models, motors, &starts, blend, self.speed(Class::Feed), open)?;
        run.add(&self.models, places)?;
        let trajectories = run.first(&self.models);
        let mut parts = Vec::with_capacity(starts.len());
        let mut duration = 0;
        for (n, (trajectory, &start)) in trajectories.into_iter().zip(&starts).enumerate() {
            let motor = run.motors()[n];
            let model = &self.models[motor];
            check_extremes(model, &trajectory, 1.0)?;
            duration = duration.max(trajectory.duration());
            let trajectory = Arc::new(trajectory);
            parts.push(Part { motor, start, goal: run.goal(n, model), trajectory });
        }
        let run = Some(run);
        let kind = MoveKind::Blend;
        let planned = Planned { parts, there: vec![], line: None, run, duration, kind };
        self.launch(planned, 1.0, None, on_fault, (owner, None))
    }

    /// More places for an open path.
    pub fn extend_run(&mut self, id: MoveId, places: &[Waypoint]) -> Result<(), MoveError> {
        let run = self.active.get_mut(&id).and_then(|a| a.run.as_mut()).filter(|r| r.is_open());
        run.ok_or(MoveError::NotOpen { id })?.add(&self.models, places)
    }

    fn open_run(&mut self, id: MoveId) -> Result<&mut BlendRun, MoveError> {
        let run = self.active.get_mut(&id).and_then(|a| a.run.as_mut()).filter(|r| r.is_open());
        run.ok_or(MoveError::NotOpen { id })
    }

    /// Looks after a run that is on its way. Whether there was something to do.
    pub(super) fn go_on_with_run(&mut self, id: MoveId, now: Instant) -> bool {
        let Some(active) = self.active.get_mut(&id) else { return false };
        // What is proposed is a copy of the path: until that is decided, it must not go on.
        if !active.on_the_way() {
            return false;
        }
        let way = active.stage.under_way_mut().filter(|way| way.proposal.is_none());
        let Some(way) = way else { return false };
        let Some(run) = active.run.as_mut().filter(|r| now >= r.due()) else { return false };
        match run.look_after(&self.models) {
            Work::Wait => return true,
            Work::Rest => {
                // Nothing moves until more comes, however long that takes.
                way.deadline = Instant::FAR;
                let text = format!("move {id}: rests at the last place that it has");
                self.say(log::Level::Info, text);
                return true;
            }
            Work::Tell => {}
        }
        active.legs.iter_mut().for_each(|l| l.stale = true);
        self.advance(id);
        true
    }
}
