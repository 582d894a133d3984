//! The steps of a program that come next, looked at without carrying them out: which moves follow each
//! other directly, through `repeat` and `run`, and so belong to one blended run.

use super::branch::Frame;
use crate::config::{Arrive, Config, MotorUnit, MoveAction, Order, StepConfig};
use crate::motion::path::MOST_MOTORS;
use crate::motor::MotorIndex;
use crate::moves::Waypoint;

/// How many moves ahead are looked through for the motors of a run.
const MOST_LOOKED_AT: usize = 10_000;

/// So many places in a row that are the same end a run: a repetition of them would be no motion.
const MOST_ALIKE: usize = 1000;

/// The moves of a blended run that have not been handed out yet.
#[derive(Clone, Debug)]
pub(super) struct Ahead<'c> {
    /// The program's place after the moves that were handed out.
    pub frames: Vec<Frame<'c>>,
    motors: Vec<MotorIndex>,
    /// The last move that was handed out has no blend, or nothing fits after it.
    pub over: bool,
    alike: usize,
    before: Option<&'c MoveAction>,
}

/// The next step, if it is a move that `fits`: then it is taken.
fn take<'c>(
    frames: &mut Vec<Frame<'c>>,
    config: &'c Config,
    fits: impl Fn(&MoveAction) -> bool,
) -> Option<&'c MoveAction> {
    loop {
        match frames.last_mut()? {
            Frame::Steps { steps, next, .. } => match steps.get(*next) {
                None => {
                    frames.pop();
                }
                Some(step) => {
                    let taken = enter(step, config);
                    if taken.is_none()
                        && !matches!(&step.action, crate::config::Action::Move(m) if fits(m))
                    {
                        return None;
                    }
                    *next += 1;
                    match (taken, &step.action) {
                        (Some(frame), _) => frames.push(frame),
                        (None, crate::config::Action::Move(action)) => return Some(action),
                        _ => return None,
                    }
                }
            },
            Frame::Repeat { left: Some(0), .. } => {
                frames.pop();
            }
            Frame::Repeat { steps, left, turn_began } => {
                (*left, *turn_began) = (left.map(|n| n - 1), None);
                let steps = *steps;
                frames.push(Frame::Steps { steps, next: 0, program: None });
            }
            _ => return None,
        }
    }
}

/// The frame of a step that only leads to others.
fn enter<'c>(step: &'c StepConfig, config: &'c Config) -> Option<Frame<'c>> {
    match &step.action {
        crate::config::Action::Run(program) => {
            let program = &config.programs[*program];
            Some(Frame::Steps { steps: &program.steps, next: 0, program: Some(program) })
        }
        crate::config::Action::Repeat(left, steps) => {
            Some(Frame::Repeat { steps, left: *left, turn_began: None })
        }
        _ => None,
    }
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

impl<'c> Ahead<'c> {
    /// The run that begins with a move that has a blend, whose steps after it are `frames`. None for a
    /// move without one, or of too many motors.
    pub fn of(
        first: &'c MoveAction,
        frames: &[Frame<'c>],
        config: &'c Config,
    ) -> Option<Ahead<'c>> {
        first.blend?;
        let unit = config.motors[first.targets.first()?.motor].unit;
        let mut motors: Vec<MotorIndex> = first.targets.iter().map(|t| t.motor).collect();
        if motors.len() > MOST_MOTORS {
            return None;
        }
        let mut looked = frames.to_vec();
        let possible = config.motors.iter().filter(|m| m.unit == unit).count().min(MOST_MOTORS);
        for _ in 0..MOST_LOOKED_AT {
            if motors.len() >= possible {
                break;
            }
            let Some(next) = take(&mut looked, config, |m| fits(config, unit, m)) else { break };
            for target in &next.targets {
                if !motors.contains(&target.motor) && motors.len() < MOST_MOTORS {
                    motors.push(target.motor);
                }
            }
            if next.blend.is_none() {
                break;
            }
        }
        let frames = frames.to_vec();
        Some(Ahead { frames, motors, over: false, alike: 0, before: Some(first) })
    }

    /// Whether a move can be the next one of the run, if the one before it has a blend.
    pub fn takes(&self, config: &Config, action: &MoveAction) -> bool {
        let unit = self.motors.first().map(|&m| config.motors[m].unit);
        unit.is_some_and(|unit| fits(config, unit, action))
            && action.targets.iter().all(|t| self.motors.contains(&t.motor))
    }

    /// Its motors: those of the next ten thousand moves of it, the first ones if they are too many.
    pub fn motors(&self) -> &[MotorIndex] {
        &self.motors
    }

    /// The next move of the run.
    pub fn next(&mut self, config: &'c Config) -> Option<&'c MoveAction> {
        let before = self.before.filter(|m| m.blend.is_some() && self.alike < MOST_ALIKE);
        let unit = config.motors[*self.motors.first()?].unit;
        let motors = &self.motors;
        let fits = |m: &MoveAction| {
            fits(config, unit, m) && m.targets.iter().all(|t| motors.contains(&t.motor))
        };
        let next = before.and_then(|_| take(&mut self.frames, config, fits));
        self.over = next.is_none_or(|m| m.blend.is_none());
        if let (Some(next), Some(before)) = (next, before) {
            let same = next.targets.len() == before.targets.len()
                && next
                    .targets
                    .iter()
                    .zip(&before.targets)
                    .all(|(a, b)| (a.motor, a.position) == (b.motor, b.position));
            self.alike = if same { self.alike + 1 } else { 0 };
        }
        self.before = next;
        next
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
