//! The steps of a program that come next, looked at without carrying them out: which moves follow each
//! other directly, through `repeat` and `run`, and so belong to one blended run.

use super::cursor::{Cursor, Here};
use super::program::At;
use crate::config::{Action, Arrive, Config, MotorUnit, MoveAction, Order};
use crate::motion::path::MOST_MOTORS;
use crate::motor::MotorIndex;
use crate::moves::Waypoint;

/// How many moves ahead are looked through for the motors of a run.
const MOST_LOOKED_AT: usize = 10_000;

/// So many places in a row that are the same end a run: a repetition of them would be no motion.
const MOST_ALIKE: usize = 1000;

/// So many ends and turns without a step between them: no file can say that.
const MOST_TURNS: usize = 10_000;

/// The next step, if it is a move that `fits`: then it is taken. `left` is told each list that is left for
/// that, with the program that has ended with it, and how deep the cursor is then.
fn take(
    cursor: &mut Cursor,
    fits: impl Fn(&MoveAction) -> bool,
    mut left: impl FnMut(Option<usize>, usize),
) -> Option<At> {
    for _ in 0..MOST_TURNS {
        match cursor.here() {
            Here::Step(at) => match &cursor.program().step(at).action {
                Action::Run(_) | Action::Repeat(..) => cursor.go_on(),
                Action::Move(action) if fits(action) => {
                    cursor.skip();
                    return Some(at);
                }
                _ => return None,
            },
            Here::Over { program } => {
                cursor.leave();
                left(program, cursor.depth());
            }
            Here::LastTurn => {
                cursor.leave();
                left(None, cursor.depth());
            }
            Here::Turn => cursor.go_on(),
            Here::End => return None,
        }
    }
    None
}

/// Whether a move can be part of a run in this unit.
fn fits(config: &Config, unit: MotorUnit, action: &MoveAction) -> bool {
    action.order == Order::Together
        && action.arrive == Arrive::Aligned
        && action.timeout.is_none()
        && action.on_short.is_empty()
        && action.targets.iter().all(|t| {
            let motor = &config.motors[t.motor];
            // Backlash is taken up at rest.
            motor.unit == unit && motor.axis().is_none_or(|axis| axis.backlash == 0)
        })
}

/// A look for the motors of a blended run: those of its next ten thousand moves, the first ones if they are too
/// many.
#[derive(Clone, Debug)]
pub(super) struct Search {
    first: At,
    /// Behind the first move of the run, and how far was looked from there.
    cursor: Cursor,
    looked: Cursor,
    unit: MotorUnit,
    motors: Vec<MotorIndex>,
    possible: usize,
    looks_left: usize,
    floor: usize,
}

impl Search {
    /// The run that begins with a move that has a blend and that `cursor` has just passed. `None` for a move without
    /// one, or of too many motors.
    pub fn new(first: At, cursor: &Cursor) -> Option<Search> {
        let (program, config) = (cursor.program(), cursor.program().config());
        let action = program.move_at(first).filter(|action| action.blend.is_some())?;
        let unit = config.motors[action.targets.first()?.motor].unit;
        let motors: Vec<MotorIndex> = action.targets.iter().map(|t| t.motor).collect();
        if motors.len() > MOST_MOTORS {
            return None;
        }
        let possible = config.motors.iter().filter(|m| m.unit == unit).count().min(MOST_MOTORS);
        Some(Search {
            first,
            cursor: cursor.clone(),
            looked: cursor.clone(),
            unit,
            motors,
            possible,
            looks_left: MOST_LOOKED_AT,
            floor: cursor.depth(),
        })
    }

    /// Looks on for as long as it may. Whether it has found what there is to find.
    pub fn go_on(&mut self, mut may: impl FnMut() -> bool) -> bool {
        let config = self.looked.program().config().clone();
        while self.looks_left > 0 && self.motors.len() < self.possible {
            if !may() {
                return false;
            }
            self.looks_left -= 1;
            let (unit, floor) = (self.unit, &mut self.floor);
            let next = take(
                &mut self.looked,
                |action| fits(&config, unit, action),
                |_, depth| *floor = depth.min(*floor),
            );
            let Some(action) = next.and_then(|at| self.looked.program().move_at(at)) else { break };
            for target in &action.targets {
                if !self.motors.contains(&target.motor) && self.motors.len() < MOST_MOTORS {
                    self.motors.push(target.motor);
                }
            }
            if action.blend.is_none() {
                break;
            }
        }
        self.looks_left = 0;
        true
    }

    pub fn motors(&self) -> &[MotorIndex] {
        &self.motors
    }

    pub fn first(&self) -> At {
        self.first
    }

    /// The least depth of the cursor while it looked: lists that lie deeper were looked at without what follows them.
    pub fn floor(&self) -> usize {
        self.floor
    }

    /// The moves of the run after its first.
    pub fn ahead(self) -> Ahead {
        Ahead {
            cursor: self.cursor,
            motors: self.motors,
            over: false,
            passed: Vec::new(),
            alike: 0,
            before: self.first,
        }
    }
}

/// The moves of a blended run that have not been handed out yet.
#[derive(Clone, Debug)]
pub(super) struct Ahead {
    /// The program's place after the moves that were handed out.
    pub cursor: Cursor,
    motors: Vec<MotorIndex>,
    /// The last move that was handed out has no blend, or nothing fits after it.
    pub over: bool,
    /// The programs whose end the run passes, each once; and whether that was the end of all.
    pub passed: Vec<(usize, bool)>,
    alike: usize,
    before: At,
}

impl Ahead {
    /// Whether a move can be the next one of the run, if the one before it has a blend.
    pub fn takes(&self, action: &MoveAction) -> bool {
        let config = self.cursor.program().config();
        let unit = self.motors.first().map(|&m| config.motors[m].unit);
        unit.is_some_and(|unit| fits(config, unit, action))
            && action.targets.iter().all(|t| self.motors.contains(&t.motor))
    }

    /// Its motors.
    pub fn motors(&self) -> &[MotorIndex] {
        &self.motors
    }

    /// The next place of the run.
    pub fn next(&mut self) -> Option<Waypoint> {
        let next = self.next_step();
        let program = self.cursor.program();
        let action = next.and_then(|at| program.move_at(at));
        self.over = action.is_none_or(|action| action.blend.is_none());
        if let (Some(at), Some(action), Some(before)) = (next, action, program.move_at(self.before))
        {
            let same = action.targets.len() == before.targets.len()
                && action
                    .targets
                    .iter()
                    .zip(&before.targets)
                    .all(|(a, b)| (a.motor, a.position) == (b.motor, b.position));
            self.alike = if same { self.alike + 1 } else { 0 };
            self.before = at;
        }
        action.map(place)
    }

    fn next_step(&mut self) -> Option<At> {
        let program = self.cursor.program().clone();
        let goes_on = program.move_at(self.before)?.blend.is_some();
        if self.over || !goes_on || self.alike >= MOST_ALIKE {
            return None;
        }
        let config = program.config();
        let unit = config.motors[*self.motors.first()?].unit;
        let (motors, passed) = (&self.motors, &mut self.passed);
        take(
            &mut self.cursor,
            |m| fits(config, unit, m) && m.targets.iter().all(|t| motors.contains(&t.motor)),
            |program, depth| {
                if let Some(program) =
                    program.filter(|p| passed.iter().all(|passed| passed.0 != *p))
                {
                    passed.push((program, depth == 0));
                }
            },
        )
    }
}

/// Where a move goes.
pub(super) fn place(action: &MoveAction) -> Waypoint {
    Waypoint {
        targets: action.targets.iter().map(|t| (t.motor, t.position)).collect(),
        blend: action.blend.unwrap_or(0.0),
        speed: action.speed,
    }
}
