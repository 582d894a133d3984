//! A machine that is told things at random, and what must hold of it whatever it was told.

use std::time::Duration;

use lockstep::config::{Arrive, Drive, MotorConfig, MotorUnit};
use lockstep::machine::{
    Cause, Held, Jog, Machine, MachineState, Move, MoveError, MoveOutcome, Outcome, Place, Velocity,
};
use lockstep::trace::{Recording, Value};
use lockstep::units::{AngularSpeed, Speed, SpeedShare};
use lockstep::verify::{Options, verify};

use crate::support::*;

/// A move under way, as the one who started it sees it.
struct Live {
    id: u64,
    /// (motor, steps at the start, target in steps); none for a jog, or after a retarget.
    line: Option<Vec<(usize, i64, i64)>>,
    /// Targets in steps, for the axes; a jog has none.
    targets: Vec<(usize, i64)>,
    jogs: bool,
    stopped: bool,
}

/// Where a motor at rest was said to be, and when.
struct Said {
    at: u64,
    motor: usize,
    steps: i64,
}

pub struct Run {
    pub machine: Machine,
    motors: Vec<MotorConfig>,
    live: Vec<Live>,
    said: Vec<Said>,
    /// What was done, for a failure's message.
    pub log: Vec<String>,
    /// In real time: the instant at which its trace begins.
    real_time: Option<u64>,
    /// How long a thought takes, in nanoseconds, as a power of ten.
    pace: (f64, f64),
}

impl Run {
    pub fn new(machine: Machine, real_time: Option<u64>, pace: (f64, f64)) -> Run {
        let motors = machine.config().motors.clone();
        let (live, said, log) = (Vec::new(), Vec::new(), Vec::new());
        Run { machine, motors, live, said, log, real_time, pace }
    }

    fn note(&mut self, what: impl std::fmt::Display) {
        self.log.push(format!("{}: {what}", self.machine.now()));
    }

    fn free(&self) -> Vec<usize> {
        let snapshot = self.machine.snapshot();
        let free = |m: &usize| snapshot.motors[*m].busy.is_none();
        (0..self.motors.len()).filter(free).collect()
    }

    /// One thing, of all that can be done, and then some time.
    pub fn step(&mut self, dice: &mut Dice) {
        self.forget_ended();
        match dice.below(20) {
            0..=4 => self.start(dice),
            5 | 6 => self.jog(dice),
            7 | 8 => self.hold(dice),
            9 | 10 => self.resume(dice),
            11 if dice.chance(40) && !self.live.is_empty() => {
                let (id, percent) = (
                    self.live[dice.below(self.live.len() as u64) as usize].id,
                    dice.between(10.0, 200.0),
                );
                self.note(format!("override {percent} of {id}"));
                // It may have ended, or be about to.
                let _ = self.machine.set_override_of(id, percent);
            }
            11 => {
                let percent = dice.size(0.0, 2.3).clamp(1.0, 200.0);
                self.note(format!("override {percent}"));
                self.machine.set_override(percent).unwrap();
            }
            12..=14 => self.retarget(dice),
            15 => self.renew(dice),
            16 => self.stop_some(dice),
            17 if dice.chance(50) => {
                self.note("stop");
                self.live.iter_mut().for_each(|l| l.stopped = true);
                self.machine.stop();
                assert_eq!(self.machine.state(), MachineState::Stopped);
                assert!(self.machine.clear());
            }
            18 if dice.chance(50) => self.halt(dice),
            _ => {}
        }
        let pause = Duration::from_nanos(dice.size(self.pace.0, self.pace.1) as u64);
        self.machine.run_for(pause);
    }

    fn start(&mut self, dice: &mut Dice) {
        let free = self.free();
        if free.is_empty() {
            return;
        }
        let mut spec = Move::new();
        let (mut line, mut targets) = (Vec::new(), Vec::new());
        for (n, &m) in free.iter().enumerate() {
            if !(dice.chance(70) || (n + 1 == free.len() && targets.is_empty())) {
                continue;
            }
            let target = random_target(dice, &self.motors[m]);
            spec = spec.to(&self.motors[m].name, at(&self.motors[m], target));
            let steps = axis(&self.motors[m]).map_or(0, |a| steps_at(a, target));
            targets.push((m, steps));
            if let Some(now) = self.steps_now(m) {
                line.push((m, now, steps));
            }
        }
        let asap = dice.chance(30);
        if asap {
            spec = spec.arrive(Arrive::Asap);
        }
        if dice.chance(30) {
            spec = spec.speed(dice.between(0.2, 1.0));
        }
        self.note(format!("start {spec:?}"));
        let id = self.machine.start(&spec).unwrap();
        let line = (!asap).then_some(line);
        self.live.push(Live { id, line, targets, jogs: false, stopped: false });
    }

    fn steps_now(&self, motor: usize) -> Option<i64> {
        let axis = axis(&self.motors[motor])?;
        let position = self.machine.position(&self.motors[motor].name)?;
        Some(steps_at(axis, position))
    }

    fn velocity(&self, dice: &mut Dice, motor: usize) -> Velocity {
        let sign = if dice.chance(50) { 1.0 } else { -1.0 };
        let velocity = sign * self.motors[motor].limits.speed * dice.between(0.05, 1.0);
        match self.motors[motor].unit {
            MotorUnit::Millimetre => Speed(velocity).into(),
            MotorUnit::Degree => AngularSpeed(velocity).into(),
            MotorUnit::Percent => SpeedShare::percent(velocity).unwrap().into(),
        }
    }

    fn jog(&mut self, dice: &mut Dice) {
        let free = self.free();
        if free.is_empty() {
            return;
        }
        let motor = *dice.pick(&free);
        let velocity = self.velocity(dice, motor);
        let lasts = Duration::from_nanos(dice.size(self.pace.0, self.pace.1) as u64);
        let jog = Jog::lasting(lasts).at(&self.motors[motor].name, velocity);
        self.note(format!("{jog:?}"));
        match self.machine.jog(&jog) {
            Ok(id) => self.live.push(Live {
                id,
                line: None,
                targets: vec![(motor, 0)],
                jogs: true,
                stopped: false,
            }),
            Err(MoveError::NoSignal { .. }) => {}
            Err(e) => panic!("{e}"),
        }
    }

    fn hold(&mut self, dice: &mut Dice) {
        if !self.live.is_empty() && dice.chance(40) {
            let id = dice.pick(&self.live).id;
            self.note(format!("hold {id}"));
            let _ = self.machine.hold_move(id);
            if dice.chance(50)
                && let Some(held) = self.machine.wait_held(id)
            {
                self.check_held(&held);
            }
            return;
        }
        self.note("hold");
        self.machine.hold();
        if dice.chance(50) {
            for held in self.machine.wait_all_held() {
                self.check_held(&held);
            }
            assert_eq!(self.machine.state(), MachineState::Held);
        }
    }

    /// At rest, and all of a line within a step of one place on it.
    fn check_held(&mut self, held: &Held) {
        let now = self.machine.now().as_nanos();
        for motor in self.machine.snapshot().motors {
            if motor.busy == Some(held.id) {
                assert_eq!(motor.velocity, 0.0, "{} is held", motor.motor);
            }
        }
        let mut places = Vec::new();
        for place in &held.motors {
            let motor = self.motors.iter().position(|m| m.name == place.motor).unwrap();
            assert_eq!(place.position, self.machine.position(&place.motor));
            if let Some(steps) = place.steps {
                self.said.push(Said { at: now, motor, steps });
                places.push((motor, steps));
            }
        }
        let live = self.live.iter().find(|l| l.id == held.id).unwrap();
        let Some(line) = &live.line else { return };
        let (mut low, mut high) = (0.0_f64, 1.0_f64);
        for (motor, start, target) in line {
            let Some((_, steps)) = places.iter().find(|p| p.0 == *motor) else { continue };
            let (way, gone) = ((target - start) as f64, (steps - start) as f64);
            if way != 0.0 {
                low = low.max(gone / way - 1.0 / way.abs());
                high = high.min(gone / way + 1.0 / way.abs());
            }
        }
        assert!(low <= high, "move {} is held off its line: {places:?} on {line:?}", held.id);
    }

    fn resume(&mut self, dice: &mut Dice) {
        if !self.live.is_empty() && dice.chance(40) {
            let id = dice.pick(&self.live).id;
            self.note(format!("resume {id}"));
            match self.machine.resume_move(id) {
                Ok(()) | Err(MoveError::Held | MoveError::NotUnderWay { .. }) => {}
                Err(e) => panic!("{e}"),
            }
        } else {
            self.note("resume");
            self.machine.resume();
            assert!(!self.machine.is_held());
        }
    }

    fn retarget(&mut self, dice: &mut Dice) {
        if self.live.is_empty() {
            return;
        }
        let n = dice.below(self.live.len() as u64) as usize;
        let mut spec = Move::new();
        let mut new = Vec::new();
        for (k, &(m, _)) in self.live[n].targets.iter().enumerate() {
            if dice.chance(60) || (new.is_empty() && k + 1 == self.live[n].targets.len()) {
                let target = random_target(dice, &self.motors[m]);
                spec = spec.to(&self.motors[m].name, at(&self.motors[m], target));
                new.push((m, axis(&self.motors[m]).map_or(0, |a| steps_at(a, target))));
            }
        }
        let id = self.live[n].id;
        self.note(format!("retarget {id} {spec:?}"));
        match self.machine.retarget(id, &spec) {
            Ok(()) => {
                let live = &mut self.live[n];
                live.line = None;
                for (m, steps) in new {
                    live.targets.iter_mut().filter(|t| t.0 == m).for_each(|t| t.1 = steps);
                }
            }
            Err(
                MoveError::Arrived { .. }
                | MoveError::NotInMove { .. }
                | MoveError::NotUnderWay { .. }
                | MoveError::UnknownPlace { .. },
            ) => {}
            Err(e) => panic!("{e}"),
        }
    }

    fn renew(&mut self, dice: &mut Dice) {
        let jogs: Vec<_> = self.live.iter().filter(|l| l.jogs).collect();
        if jogs.is_empty() {
            return;
        }
        let live = dice.pick(&jogs);
        let (id, motor) = (live.id, live.targets[0].0);
        let lasts = Duration::from_nanos(dice.size(self.pace.0, self.pace.1) as u64);
        let renewed = if dice.chance(50) {
            self.machine.renew_jog(id, lasts)
        } else {
            let velocity = self.velocity(dice, motor);
            self.machine.change_jog(id, &Jog::lasting(lasts).at(&self.motors[motor].name, velocity))
        };
        self.note(format!("renew {id} for {lasts:?}: {renewed:?}"));
        match renewed {
            Ok(()) | Err(MoveError::NotUnderWay { .. } | MoveError::NotInMove { .. }) => {}
            Err(e) => panic!("{e}"),
        }
    }

    fn stop_some(&mut self, dice: &mut Dice) {
        if self.live.is_empty() {
            return;
        }
        let n = dice.below(self.live.len() as u64) as usize;
        let live = &mut self.live[n];
        live.stopped = true;
        let id = live.id;
        if dice.chance(50) {
            self.note(format!("stop {id}"));
            self.machine.stop_move(id);
        } else {
            let motor = dice.pick(&live.targets).0;
            let name = self.motors[motor].name.clone();
            // Another move may have it by now.
            self.live.iter_mut().filter(|l| l.targets.iter().any(|t| t.0 == motor)).for_each(|l| {
                l.stopped = true;
            });
            self.note(format!("stop {name}"));
            self.machine.stop_motor(&name).unwrap();
        }
    }

    fn halt(&mut self, dice: &mut Dice) {
        self.note("halt");
        self.live.iter_mut().for_each(|l| l.stopped = true);
        self.machine.halt();
        assert_eq!(self.machine.state(), MachineState::Halted);
        assert!(self.machine.clear());
        self.collect();
        for m in 0..self.motors.len() {
            let motor = &self.motors[m];
            if self.machine.place(&motor.name) != Some(Place::Unknown) || axis(motor).is_none() {
                continue;
            }
            let nowhere = Move::new().to(&motor.name, at(motor, motor.travel.min));
            let refused = self.machine.start(&nowhere).unwrap_err();
            assert!(matches!(refused, MoveError::UnknownPlace { .. }), "{refused}");
            let position = random_target(dice, motor);
            let (name, position) = (motor.name.clone(), at(motor, position));
            self.note(format!("set {name} to {position:?}"));
            self.machine.set_position(&name, position).unwrap();
        }
    }

    /// Takes the outcomes of the moves that have ended.
    fn forget_ended(&mut self) {
        let moves = self.machine.snapshot().moves;
        if self.live.iter().any(|l| !moves.contains(&l.id)) {
            self.collect();
        }
    }

    fn collect(&mut self) {
        let moves = self.machine.snapshot().moves;
        let (going, over): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.live).into_iter().partition(|l| moves.contains(&l.id));
        self.live = going;
        for live in over {
            let outcome = self.machine.wait(live.id);
            self.judge(&live, &outcome);
        }
    }

    /// What nobody stopped has reached its targets; who is where is noted.
    fn judge(&mut self, live: &Live, outcome: &MoveOutcome) {
        assert!(!outcome.held);
        assert_eq!(outcome.motors.len(), live.targets.len(), "{outcome:?}");
        for end in &outcome.motors {
            let motor = self.motors.iter().position(|m| m.name == end.motor).unwrap();
            // Late loops may agree too late.
            let missed = matches!(&end.outcome, Outcome::Short { cause: Cause::Missed, .. });
            let fine = end.outcome == Outcome::Reached || (missed && self.real_time.is_some());
            assert!(live.stopped || fine, "{end:?}");
            let target = live.targets.iter().find(|t| t.0 == motor).unwrap().1;
            if let Some(steps) = end.steps
                && end.outcome == Outcome::Reached
                && !live.jogs
            {
                assert_eq!(steps, target, "{end:?}");
            }
        }
    }

    /// Lets everything end, in one way or another, and proves the rules.
    pub fn end(mut self, dice: &mut Dice) -> u64 {
        match dice.below(6) {
            0 => {
                self.note("the end by a stop");
                self.live.iter_mut().for_each(|l| l.stopped = true);
                self.machine.stop();
            }
            1 => {
                self.note("the end by a halt");
                self.live.iter_mut().for_each(|l| l.stopped = true);
                self.machine.halt();
            }
            _ => {
                self.note("the end");
                self.machine.set_override(dice.between(100.0, 200.0)).unwrap();
                self.machine.resume();
            }
        }
        for live in std::mem::take(&mut self.live) {
            let outcome = self.machine.wait(live.id);
            self.judge(&live, &outcome);
        }
        let snapshot = self.machine.snapshot();
        assert_eq!(snapshot.moves, Vec::<u64>::new());
        assert!(snapshot.motors.iter().all(|m| m.velocity == 0.0 && m.fault.is_none()));
        let now = self.machine.now().as_nanos();
        for motor in 0..self.motors.len() {
            if let Some(steps) = self.steps_now(motor) {
                self.said.push(Said { at: now, motor, steps });
            }
        }
        assert_eq!(self.machine.finish(), Vec::<String>::new(), "every loop answered");
        let recording = self.machine.take_recording().unwrap();
        assert_eq!(recording.lost(), 0);
        // The trace of a real run has a clock of its own.
        let zero = self.real_time.unwrap_or(0);
        self.said.iter_mut().for_each(|s| s.at = s.at.saturating_sub(zero));
        self.check_counts(&recording);
        let mut vcd = Vec::new();
        recording.write_vcd(&mut vcd, "").unwrap();
        // Edges are as late as they were: in virtual time on time.
        let late = self.motors.iter().map(|m| self.machine.lateness(&m.name).unwrap().max);
        let late = late.max().filter(|_| self.real_time.is_some()).unwrap_or(0);
        let options = Options { lateness: Duration::from_nanos(late) };
        let report = verify(&vcd[..], self.machine.config(), &options).unwrap();
        if !report.is_clean() && std::env::var_os("LOCKSTEP_KEEP").is_some() {
            std::fs::write("/tmp/sequence.vcd", &vcd).unwrap();
        }
        assert!(report.is_clean(), "{report}");
        now
    }

    /// Every place that was said is that of the edges up to then.
    fn check_counts(&self, recording: &Recording) {
        for (index, motor) in self.motors.iter().enumerate() {
            let Some(axis) = axis(motor) else { continue };
            let name = &motor.name;
            let step = edges(recording, &format!("{name}.step"));
            let dir = edges(recording, &format!("{name}.dir"));
            let sets = sets(recording, motor);
            let lockstep::config::AtStart::Assume(start) = axis.at_start else { panic!() };
            let (mut count, mut next_dir, mut next_set) = (steps_at(axis, start), 0, 0);
            let mut said = self.said.iter().filter(|s| s.motor == index).peekable();
            let ends = (u64::MAX, true);
            for &(at, high) in step.iter().filter(|e| e.1).chain([&ends]) {
                assert!(high);
                while let Some(said) = said.next_if(|s| s.at < at) {
                    while sets.get(next_set).is_some_and(|s: &(u64, i64)| s.0 <= said.at) {
                        count = sets[next_set].1;
                        next_set += 1;
                    }
                    assert_eq!(said.steps, count, "{name} at {} ns", said.at);
                }
                while sets.get(next_set).is_some_and(|s| s.0 <= at) {
                    count = sets[next_set].1;
                    next_set += 1;
                }
                while dir.get(next_dir + 1).is_some_and(|d| d.0 < at) {
                    next_dir += 1;
                }
                count += if dir[next_dir].1 != axis.reverse { 1 } else { -1 };
            }
            assert!(said.next().is_none());
        }
    }
}

/// When a person said where an axis is: the last position of that instant.
fn sets(recording: &Recording, motor: &MotorConfig) -> Vec<(u64, i64)> {
    let Drive::StepDir(axis) = &motor.drive else { return Vec::new() };
    let wanted = format!("set:{}", motor.name);
    let moves = recording.find("machine.move").unwrap();
    let positions = recording.find(&format!("{}.position", motor.name)).unwrap();
    let when = recording.records(moves).filter_map(|(at, value)| match value {
        Value::Text(text) if *text == *wanted => Some(at),
        _ => None,
    });
    when.map(|at| {
        let told = recording.records(positions).filter(|r| r.0 == at).last().unwrap();
        let Value::Real(position) = told.1 else { panic!() };
        (at.as_nanos(), steps_at(axis, position))
    })
    .collect()
}
