//! The marks of an instant, and the positions that stand beside them.

use super::VerifyError;
use super::blend::Member;
use super::checker::Checker;
use super::motor::Motor;
use super::moves::{Begun, Place};
use super::roles::Role;
use crate::trace::{Change, GRAMMAR, Mark, Motors, MoveKind, PlanChange, Value};

/// What the marks of an instant say, in the order in which it is looked at.
#[derive(Default)]
struct Told {
    begun: Vec<Begun>,
    changed: Vec<(u64, PlanChange, Vec<usize>)>,
    /// A vertex of a blended run: its blend, and where it is.
    corners: Vec<(u64, f64, Vec<f64>)>,
    held: Vec<u64>,
    ended: Vec<u64>,
    /// Motors that have a fault from now on.
    faults: Vec<usize>,
    /// Motors whose place a person has told.
    set: Vec<usize>,
}

impl Checker {
    /// An instant with more than one edge.
    pub(super) fn many(&mut self, at: u64, batch: &[Change]) -> Result<(), VerifyError> {
        let (mut told, mut places) = (Told::default(), Vec::new());
        for change in batch {
            match (self.role(change.signal), &change.value) {
                (Some(Role::Moves), Value::Text(text)) => self.mark(at, text, &mut told)?,
                (Some(Role::Position(motor)), Value::Real(position)) => {
                    places.push((motor, *position))
                }
                (Some(Role::Lateness(motor)), &Value::Real(us)) if us > self.latest.0 => {
                    self.latest = (us, motor);
                }
                _ => {}
            }
        }
        // Where a person says that an axis is, is its last position of the instant.
        let mut set: Vec<(usize, f64)> = Vec::new();
        for motor in told.set {
            if let Some(n) = places.iter().rposition(|p| p.0 == motor) {
                let place = places.remove(n);
                // Of several that were said at one instant the last one counts: it was taken first.
                if set.iter().all(|s| s.0 != motor) {
                    set.push(place);
                }
            }
        }
        let begun = !told.begun.is_empty();
        let all = told.begun.iter().flat_map(|one| one.motors.iter().flatten());
        let named: Vec<usize> = all.copied().collect();
        // A motor that has nowhere to go ends where and when it begins.
        let mut begin = vec![false; self.motors.len()];
        let (starts, stops): (Vec<_>, Vec<_>) = places.into_iter().partition(|&(motor, _)| {
            self.moves.place(motor, at, begun, named.contains(&motor)) == Place::Start
                && !std::mem::replace(&mut begin[motor], true)
        });
        if begun || !starts.is_empty() {
            let joins = told.changed.iter().filter(|c| c.1 == PlanChange::Join);
            let joins: Vec<_> = joins.map(|(id, _, motors)| (*id, motors.as_slice())).collect();
            self.begin(at, &told.begun, &joins, &starts);
        }
        for (id, change, motors) in told.changed {
            self.changed(at, id, change, &motors);
        }
        for (id, blend, places) in told.corners {
            self.blends.corner(id, at, blend, places);
        }
        self.wires(at, batch);
        for motor in told.faults {
            self.note_moves(at);
            self.moves.fault(motor, at, &mut self.halted);
            self.tell_halted();
            self.blends.fault(motor);
        }
        for id in told.held {
            for motor in self.moves.motors_of(id) {
                self.motors[motor].heading_mut().into_iter().for_each(|h| h.held());
            }
        }
        for (motor, position) in stops {
            self.motors[motor].end(at, position);
            let place = match &self.motors[motor] {
                Motor::Servo(servo) => position / servo.grain(),
                axis => axis.place(),
            };
            self.note_moves(at);
            self.moves.end(motor, at, place);
            self.blends.end(motor);
        }
        for id in told.ended {
            self.moves.ended(id, at);
            self.blends.ended(id, at);
        }
        for (motor, position) in set {
            if let Some(course) = self.motors[motor].course_mut() {
                course.set(at, position);
            }
        }
        Ok(())
    }

    fn mark(&mut self, at: u64, text: &str, told: &mut Told) -> Result<(), VerifyError> {
        // The grammar is the first mark of all.
        let first = self.marks.looked() == 0;
        let wrong = match Mark::parse(text) {
            Ok(Mark::Grammar(grammar)) if first && at == 0 => {
                if grammar > GRAMMAR {
                    return Err(VerifyError::Grammar(grammar));
                }
                self.grammar = grammar;
                None
            }
            Ok(mark) => self.tell(mark, told).err().map(|why| format!("`{text}`: {why}")),
            Err(error) => Some(error.to_string()),
        };
        self.marks.look(at, wrong.is_none(), || wrong.unwrap_or_default());
        Ok(())
    }

    fn tell(&mut self, mark: Mark<'_>, told: &mut Told) -> Result<(), String> {
        match mark {
            Mark::Begins { id, kind, motors, owner } => {
                let says = self.grammar < 2 || (!motors.is_empty() && owner.is_some());
                let motors = match motors.is_empty() {
                    true => None,
                    false => Some(self.indices(&motors)?),
                };
                told.begun.push(Begun { id, kind, motors });
                if !says {
                    return Err("grammar 2 names a move's motors and its owner".into());
                }
            }
            Mark::Changed { id, change, motors } => {
                told.changed.push((id, change, self.indices(&motors)?));
            }
            Mark::Corner { id, blend, at } => told.corners.push((id, blend, at)),
            Mark::Held(id) => told.held.push(id),
            Mark::Ended(id) => told.ended.push(id),
            Mark::Set(motor) => told.set.push(self.index(&motor)?),
            Mark::Unknown(motor) => {
                let motor = self.index(&motor)?;
                if let Some(course) = self.motors[motor].course_mut() {
                    course.lose_place();
                }
            }
            Mark::Fault(motor) => told.faults.push(self.index(&motor)?),
            Mark::Release(motor) => {
                let motor = self.index(&motor)?;
                self.motors[motor].switched(false);
            }
            Mark::Enable(motor) => {
                let motor = self.index(&motor)?;
                self.motors[motor].switched(true);
            }
            Mark::Reserved(..) => {}
            _ => return Err("it stands at time zero, before all others".into()),
        }
        Ok(())
    }

    fn index(&self, name: &str) -> Result<usize, String> {
        let index = self.names.iter().position(|n| n == name);
        index.ok_or_else(|| format!("the config has no motor `{name}`"))
    }

    fn indices(&self, motors: &Motors<'_>) -> Result<Vec<usize>, String> {
        motors.names().map(|name| self.index(name)).collect()
    }

    fn changed(&mut self, at: u64, id: u64, change: PlanChange, motors: &[usize]) {
        match change {
            PlanChange::Stop => self.blends.stop(id, motors),
            PlanChange::Retarget => {
                let motors = &self.motors;
                self.moves.retarget(id, at, |m| motors[m].place());
            }
            _ => {}
        }
        let signed = self.grammar >= 2;
        for &motor in motors {
            if let Some(heading) = self.motors[motor].heading_mut() {
                heading.changed(change, at, signed);
            }
        }
    }

    fn begin(
        &mut self,
        at: u64,
        begun: &[Begun],
        joins: &[(u64, &[usize])],
        starts: &[(usize, f64)],
    ) {
        let again: Vec<usize> = starts.iter().map(|s| s.0).collect();
        self.moves.close(at, &again, &mut self.halted);
        self.tell_halted();
        let mut places = Vec::with_capacity(starts.len());
        for &(motor, position) in starts {
            self.motors[motor].start(at, position);
            let place = (motor, self.motors[motor].place());
            let joined = joins.iter().find(|j| j.1.contains(&motor));
            let kind = joined.and_then(|j| self.moves.join(j.0, place));
            match (kind, self.motors[motor].heading_mut()) {
                (None, _) => places.push(place),
                (Some(kind), heading) => heading.into_iter().for_each(|h| h.begin(kind)),
            }
        }
        if !(begun.is_empty() && places.is_empty()) {
            self.moves.begin(begun, &places);
        }
        for one in begun {
            let motors = one.motors.as_deref().unwrap_or_default();
            for &motor in motors {
                if let Some(heading) = self.motors[motor].heading_mut() {
                    heading.begin(one.kind);
                }
            }
            if one.kind == MoveKind::Blend {
                self.begin_blend(one.id, motors, starts);
            }
        }
    }

    /// A run along vertices that are told as it goes.
    fn begin_blend(&mut self, id: u64, motors: &[usize], starts: &[(usize, f64)]) {
        let member = |&motor: &usize| {
            let start = starts.iter().find(|s| s.0 == motor)?.1;
            let (judge, late) = (&self.motors[motor], self.grains[motor].late);
            let (place, grain, turn) = (judge.place(), judge.unit_of_grain(), judge.turn());
            Some(Member { motor, start: (start, place), grain, late, turn })
        };
        let members: Vec<Member> = motors.iter().filter_map(member).collect();
        if let Some(first) = members.first() {
            let unit = self.units[first.motor];
            self.blends.begin(id, unit, members);
        }
    }
}
