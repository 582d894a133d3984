//! Another config for a machine that runs: what changed is opened anew or told, at rest; everything else
//! goes on as it was.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;

use super::build::{max_lateness, patience};
use super::{Difference, Machine, MachineError, Place};
use crate::config::{AtRest, Config, Drive, MotorConfig};
use crate::hal::SharedLine;
use crate::motor::{Command, FaultKind, MotorIndex, Tuning};
use crate::moves::{MotorModel, MotorState};
use crate::roster::{
    FaultLine, Opened, Opener, Signals, check_soft_pwm, collide, enable, line, min_interval, ports,
    pwm_outputs, same_steps, servo_lateness,
};
use crate::trace::TraceBuilder;
use crate::units::Instant;

/// How long a loop may take to end once its outputs are safe.
const END_PATIENCE: Duration = Duration::from_secs(1);

/// Why another config was refused. The old one holds.
#[derive(Clone, PartialEq, Debug, Error)]
#[non_exhaustive]
pub enum ReloadError {
    /// Motors that change have to come to rest first.
    #[error("{} {} to be at rest for it", motors.join(", "), if motors.len() == 1 { "has" } else { "have" })]
    Busy {
        /// Which.
        motors: Vec<String>,
    },
    /// It can't be changed while the machine runs.
    #[error("{what} can't change while the service runs: restart it")]
    Restart {
        /// What.
        what: &'static str,
    },
    /// An axis stands where it may no longer be.
    #[error("{motor} stands at {position}, outside its new travel: move it first")]
    Outside {
        /// The axis.
        motor: String,
        /// Where it is, with its unit.
        position: String,
    },
    /// New outputs could not be opened.
    #[error(transparent)]
    Machine(#[from] MachineError),
    /// The machine has ended.
    #[error("the machine has ended")]
    Finished,
}

/// What a new config has changed.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Reloaded {
    /// The motors, by what was done about them.
    pub motors: Difference,
}

/// A motor that has been opened, and waits for its thread.
struct Fresh {
    motor: MotorIndex,
    slot: usize,
    opened: Opened,
}

/// A motor whose loop runs.
struct Started {
    motor: MotorIndex,
    slot: usize,
    state: MotorState,
    fault_line: Option<FaultLine>,
}

/// What a motor that is opened anew takes along.
struct Carried {
    name: String,
    count: Option<i64>,
    place: Place,
    uncounted: Option<(u64, u64)>,
    /// The beginning of its last time line: what it is told now stands behind that in the trace.
    epoch: Instant,
    /// Its driver has power, and keeps it.
    powered: bool,
    /// The phase that its rotor is in, where its coils are switched one by one.
    phase: Option<u8>,
    /// A load hangs on it from now on: the levels of its lines are taken over as they are.
    adopted: bool,
}

impl Machine {
    /// What another config would change.
    ///
    /// ```
    /// use lockstep::config::Config;
    /// use lockstep::machine::Machine;
    ///
    /// let config = |speed| {
    ///     let text = format!("[servo.pan]\npwm = {{ gpio = 18 }}\nmax-speed = \"{speed}deg/s\"\n");
    ///     Config::from_str(&text, "demo").map(|loaded| loaded.config)
    /// };
    /// let mut machine = Machine::builder(config(100)?).virtual_time().build()?;
    /// assert_eq!(machine.difference(&config(50)?).tuned, ["pan"]);
    /// machine.reload(config(50)?, false)?;
    /// assert_eq!(machine.difference(&config(50)?).motors().len(), 0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn difference(&self, new: &Config) -> Difference {
        Difference::between(&self.book.config, new)
    }

    /// Takes another config. Motors that change are at rest and stay at rest: those whose limits change
    /// are told; those whose outputs change end their signals, and are opened anew. The others are not
    /// touched, moving or not, and no signal or line of theirs either. Then the new config holds.
    ///
    /// An axis that is opened anew keeps its power, its count and its place where a step is still the
    /// same step. A servo that is opened anew has no signal until its next move. Motors that are no
    /// more are left as `lockstep safe` leaves them.
    ///
    /// `numbered`: somebody, such as a program under way, knows motors by their numbers in the old
    /// config. Then a config that gives other numbers to motors has to wait, as while something moves.
    ///
    /// # Errors
    ///
    /// [`ReloadError`]: the old config holds, and nothing has moved. Where outputs could not be opened
    /// after old ones had been closed, those are opened again; a motor of which that can't be done has
    /// a fault.
    pub fn reload(&mut self, new: Config, numbered: bool) -> Result<Reloaded, ReloadError> {
        let new = Arc::new(new);
        #[cfg(target_os = "linux")]
        self.header_changing(&new);
        let done = self.reload_shared(&new, numbered);
        #[cfg(target_os = "linux")]
        self.header_changed(done.is_ok());
        done
    }

    /// The same with a config that somebody keeps, and gives back when it is not taken.
    pub(crate) fn reload_shared(
        &mut self,
        new: &Arc<Config>,
        numbered: bool,
    ) -> Result<Reloaded, ReloadError> {
        self.hear_out();
        self.may_reload(new, numbered)?;
        let motors = self.difference(new);
        let old = self.book.config.clone();
        let index = |c: &Config, names: &[String]| -> Vec<MotorIndex> {
            names.iter().filter_map(|n| c.motor_index(n)).collect()
        };
        let mut retiring = index(&old, &motors.reopened);
        retiring.extend(index(&old, &motors.removed));
        let mut opening = index(new, &motors.reopened);
        opening.extend(index(new, &motors.added));
        // What can be opened while the old is still there comes first: if it is refused, nothing has
        // been touched.
        let gone = ports(&old, &retiring);
        let free = |&m: &MotorIndex| {
            ports(new, &[m]).iter().all(|port| !gone.iter().any(|old| collide(port, old)))
        };
        let (early, late): (Vec<_>, Vec<_>) = opening.into_iter().partition(free);
        let names = self.signals(new);
        let carried: Vec<_> = retiring.iter().map(|&m| self.carry(m, new)).collect();
        let back: Vec<_> = retiring.iter().map(|&m| self.carry_back(m, new)).collect();
        let fresh = self.open_some(new, &names, &early, &carried);
        let fresh = fresh.inspect_err(|_| self.roster.close_lines(&old, new))?;
        let mut held = self.hold_power(&retiring, &back, new);
        // What waits for them waits on for those that come after them.
        self.book.away = retiring.iter().copied().collect();
        let ended = self.end_loops(&retiring, &carried);
        self.book.away.clear();
        let result = match ended {
            Ok(()) => {
                // Not those that have been opened just now.
                let was = |gpio| line(&old, gpio);
                self.roster
                    .enables
                    .retain(|&gpio, _| was(gpio).is_none() || was(gpio) == line(new, gpio));
                self.open_some(new, &names, &late, &carried)
            }
            Err(e) => Err(e),
        };
        let result = match result {
            Ok(more) => self.start_loops(fresh.into_iter().chain(more).collect()),
            Err(e) => {
                self.close(new, fresh);
                Err(e)
            }
        };
        let done = match result {
            Ok(started) => {
                self.take_config(new.clone(), started, &carried, &motors);
                Ok(Reloaded { motors })
            }
            Err(error) => {
                self.roster.close_lines(&old, new);
                early.iter().chain(&late).for_each(|&m| self.roster.forget_pwm(new, m));
                self.restore(&retiring, &back);
                Err(error.into())
            }
        };
        for line in &mut held {
            if let Err(e) = line.release() {
                log::error!("{e}");
            }
        }
        done
    }

    /// Whether [`Machine::reload`] would take a config now, as far as that can be said without opening
    /// anything.
    ///
    /// # Errors
    ///
    /// Why not.
    pub fn may_reload(&self, new: &Config, numbered: bool) -> Result<(), ReloadError> {
        if self.book.finished {
            return Err(ReloadError::Finished);
        }
        let motors = self.difference(new);
        if self.recorder.is_on() && !self.has_same_signals(new) {
            return Err(ReloadError::Restart {
                what: "which outputs there are, while they are traced,",
            });
        }
        if self.book.config.machine.spin != new.machine.spin {
            return Err(ReloadError::Restart { what: "`spin` of [machine]" });
        }
        if self.book.config.service.group != new.service.group {
            return Err(ReloadError::Restart { what: "`group` of [service]" });
        }
        if !same_power(&self.book.config, new) {
            return Err(ReloadError::Restart { what: "what shares the power budget" });
        }
        let busy = |name: &String| self.is_busy(name);
        let moving: Vec<_> = motors.must_rest().filter(|m| busy(m)).cloned().collect();
        if !moving.is_empty() {
            return Err(ReloadError::Busy { motors: moving });
        }
        let old = &self.book.config.motors;
        let same = |m: &MotorConfig| {
            let number = self.book.config.motor_index(&m.name);
            new.motor_index(&m.name).is_none_or(|n| Some(n) == number)
        };
        if !old.iter().all(same) && (numbered || !self.book.is_empty()) {
            let moving = old.iter().map(|m| m.name.clone()).filter(busy).collect();
            return Err(ReloadError::Busy { motors: moving });
        }
        for motor in new.motors.iter().filter(|m| m.axis().is_some()) {
            let Some(before) = self.book.config.motor_index(&motor.name) else { continue };
            let state = &self.book.motors[before];
            let told = !matches!(state.place, Place::Unknown | Place::Estimated);
            let model = MotorModel::new(motor);
            let at = model.to_unit(state.telemetry.steps() as f64);
            let inside = plan_tolerates(&model, at);
            if told && same_steps(&old[before], motor) && !inside {
                let (motor, position) = (motor.name.clone(), model.show(at));
                return Err(ReloadError::Outside { motor, position });
            }
        }
        if !self.roster.fleet.clock().is_virtual() {
            check_soft_pwm(new, self.roster.hardware, self.roster.realtime)?;
        }
        Ok(())
    }

    /// The trace's names for these motors. Where there is a trace they are the same as before: see
    /// [`Machine::may_reload`].
    fn signals(&self, config: &Config) -> Signals {
        self.declared(config).1
    }

    fn declared(&self, config: &Config) -> (TraceBuilder, Signals) {
        let real_time = !self.roster.fleet.clock().is_virtual();
        let mut builder = TraceBuilder::new(self.now());
        let names = Signals::declare(&mut builder, config, real_time);
        (builder, names)
    }

    fn has_same_signals(&self, new: &Config) -> bool {
        let (old, new) = (self.declared(&self.book.config).0, self.declared(new).0);
        old.signals() == new.signals()
    }

    /// What a motor takes along into the new config, where it is opened anew.
    fn carry(&self, motor: MotorIndex, new: &Config) -> Carried {
        let (old, state) = (&self.book.config.motors[motor], &self.book.motors[motor]);
        let mut carried = Carried {
            name: old.name.clone(),
            count: None,
            place: Place::Unknown,
            uncounted: None,
            epoch: state.epoch,
            powered: false,
            phase: state.telemetry.phase(),
            adopted: false,
        };
        let Some(after) = new.motor(&old.name) else { return carried };
        carried.adopted = is_adopted(&self.book.config, new, old, after);
        // Without a budget: current that was given back has to be asked for again.
        let powered = state.powered && !self.book.has_budget();
        carried.powered = powered && keeps_power(&self.book.config, new, old, after);
        if after.drive.is_rate_only() {
            carried.place = Place::Estimated;
        } else if after.axis().is_some() && same_steps(old, after) {
            carried.count = Some(state.telemetry.steps());
            carried.uncounted = state.uncounted;
            let play = old.backlash > 0.0 || after.backlash > 0.0;
            carried.place = match state.place {
                place @ (Place::Unknown | Place::Estimated) => place,
                // Without power a rotor goes where it likes; and nobody knows any more which way a
                // play lies.
                _ if state.powered && (!carried.powered || play) => Place::Unverified,
                place => place,
            };
        }
        carried
    }

    /// What it takes along into the old config, should it come to that.
    fn carry_back(&self, motor: MotorIndex, new: &Config) -> Carried {
        let config = &self.book.config;
        let mut carried = self.carry(motor, config);
        let same = |gpio| line(config, gpio) == line(new, gpio);
        let shared = enable(&config.motors[motor]).is_none_or(same);
        if carried.powered && !shared {
            carried.powered = false;
            if !matches!(carried.place, Place::Unknown | Place::Estimated) {
                carried.place = Place::Unverified;
            }
        }
        carried
    }

    /// Opens some motors of a config.
    fn open_some(
        &mut self,
        config: &Config,
        names: &Signals,
        motors: &[MotorIndex],
        carried: &[Carried],
    ) -> Result<Vec<Fresh>, MachineError> {
        let max_lateness = max_lateness(config, self.roster.hardware);
        let mut slots: Vec<usize> = motors.iter().map(|_| self.roster.fleet.reserve()).collect();
        let nowhere = self.roster.restored.as_ref().map(|_| BTreeMap::new());
        let mut opener = Opener {
            backend: &mut *self.roster.header,
            clock: self.roster.fleet.clock().clone(),
            recorder: self.recorder.clone(),
            enables: std::mem::take(&mut self.roster.enables),
            spin: config.machine.spin,
            max_lateness,
            events: self.roster.reports.clone(),
            inputs: &mut self.roster.inputs,
            fault_line: None,
            // Motors that come with a new config have no place that was kept for them.
            restored: nowhere.as_ref(),
        };
        let outputs = pwm_outputs(motors.iter().map(|&m| &config.motors[m]));
        let mut open = || {
            if !outputs.is_empty() {
                opener.backend.prepare_pwm(&outputs).map_err(MachineError::Backend)?;
            }
            opener.open_enables(config, names, motors)?;
            let mut fresh = Vec::new();
            for (&motor, &slot) in motors.iter().zip(&slots) {
                let c = &config.motors[motor];
                let old = carried.iter().find(|old| old.name == c.name);
                let powered = old.is_some_and(|old| old.powered);
                let phase = old.and_then(|old| old.phase);
                let opened = opener.open_motor(c, &names.motors[motor], slot, powered, phase)?;
                fresh.push(Fresh { motor, slot, opened });
            }
            Ok(fresh)
        };
        let result = open();
        self.roster.enables = opener.enables;
        if result.is_err() {
            outputs.iter().for_each(|output| self.roster.header.forget_pwm(output));
            slots.drain(..).for_each(|slot| self.roster.fleet.give_back(slot));
        }
        result
    }

    /// Needs the enable lines of drivers that are to keep their power while nobody else does.
    fn hold_power(
        &self,
        retiring: &[MotorIndex],
        carried: &[Carried],
        new: &Config,
    ) -> Vec<SharedLine> {
        let powered = retiring.iter().zip(carried).filter(|(_, c)| c.powered);
        let gpios = powered.filter_map(|(&m, _)| enable(&self.book.config.motors[m]));
        // A line that is opened anew has to be given back by all.
        let gpios = gpios.filter(|&gpio| line(&self.book.config, gpio) == line(new, gpio));
        let mut held: Vec<_> = gpios
            .filter_map(|gpio| self.roster.enables.get(&gpio))
            .map(SharedLine::clone)
            .collect();
        for line in &mut held {
            if let Err(e) = line.acquire() {
                log::error!("{e}");
            }
        }
        held
    }

    /// Makes the outputs of motors at rest safe, and ends their loops, which closes them.
    fn end_loops(
        &mut self,
        motors: &[MotorIndex],
        carried: &[Carried],
    ) -> Result<(), MachineError> {
        let config = self.book.config.clone();
        for (&motor, carried) in motors.iter().zip(carried) {
            self.safe[motor] = false;
            let first = match self.book.models[motor].steps {
                None => None,
                // Its levels stay as they are, and are found so.
                Some(_) if carried.adopted => {
                    let tuning = Tuning { release_at_end: false, ..self.tuning(&config, motor) };
                    Some(Command::Tune(tuning))
                }
                Some(_) => Some(Command::Release),
            };
            for command in first.into_iter().chain([Command::Finish]) {
                if let Err(e) = self.roster.fleet.send(motor, command) {
                    log::error!("{e}");
                }
            }
        }
        let deadline = self.now() + self.finish_patience;
        while motors.iter().any(|&m| !self.safe[m]) && self.now() < deadline {
            self.pump(deadline);
        }
        let mut stuck = None;
        for &motor in motors {
            let slot = self.roster.fleet.slot(motor);
            if self.roster.fleet.retire(slot, END_PATIENCE) {
                self.hear_out();
                self.roster.fleet.give_back(slot);
            } else {
                self.book.motors[motor].fault = Some(FaultKind::Silent);
                stuck = Some(self.book.models[motor].name.clone());
            }
            self.roster.forget_pwm(&config, motor);
            self.roster.fault_lines[motor] = None;
        }
        match stuck {
            Some(motor) => Err(MachineError::Threads(format!("the loop of {motor} does not end"))),
            None => Ok(()),
        }
    }

    /// Closes motors again that have been opened, before they had a thread.
    fn close(&mut self, config: &Config, fresh: Vec<Fresh>) {
        for Fresh { motor, slot, opened } in fresh {
            drop(opened);
            self.roster.forget_pwm(config, motor);
            self.roster.fleet.give_back(slot);
        }
    }

    /// Starts the loops of motors that have been opened: all, or none.
    fn start_loops(&mut self, mut fresh: Vec<Fresh>) -> Result<Vec<Started>, MachineError> {
        fresh.sort_by_key(|f| f.slot);
        let mut started = Vec::new();
        let mut failed = None;
        for Fresh { motor, slot, opened } in fresh {
            let Opened { member, mailbox, state, fault_line } = opened;
            if failed.is_some() {
                self.roster.fleet.give_back(slot);
                continue;
            }
            match self.roster.fleet.add(slot, member, mailbox) {
                Ok(()) => started.push(Started { motor, slot, state, fault_line }),
                Err(e) => {
                    self.roster.fleet.give_back(slot);
                    failed = Some(MachineError::Threads(e.to_string()));
                }
            }
        }
        let Some(error) = failed else { return Ok(started) };
        for Started { slot, .. } in started {
            if self.roster.fleet.retire(slot, END_PATIENCE) {
                self.hear_out();
                self.roster.fleet.give_back(slot);
            }
        }
        Err(error)
    }

    /// The old config's motors again, after the new one's could not be had.
    fn restore(&mut self, motors: &[MotorIndex], carried: &[Carried]) {
        let config = self.book.config.clone();
        let names = self.signals(&config);
        let ended: Vec<_> = motors
            .iter()
            .copied()
            .filter(|&m| self.book.motors[m].fault != Some(FaultKind::Silent))
            .collect();
        let mut slots: Vec<_> =
            (0..self.book.models.len()).map(|m| self.roster.fleet.slot(m)).collect();
        for motor in ended {
            let opened = self.open_some(&config, &names, &[motor], carried);
            match opened.and_then(|fresh| self.start_loops(fresh)) {
                Ok(started) => {
                    for Started { motor, slot, state, fault_line } in started {
                        slots[motor] = slot;
                        self.roster.fault_lines[motor] = fault_line;
                        self.replace(motor, state);
                    }
                }
                Err(e) => {
                    log::error!("{}: can't be opened again: {e}", self.book.models[motor].name);
                    self.book.motors[motor].fault = Some(FaultKind::Closed);
                }
            }
        }
        self.roster.fleet.appoint(slots);
        for (&motor, carried) in motors.iter().zip(carried) {
            self.take_along(motor, carried);
        }
    }

    fn replace(&mut self, motor: MotorIndex, state: MotorState) {
        let last = self.book.motors[motor].last.take();
        self.book.motors[motor] = MotorState { last, ..state };
    }

    /// From now on the new config holds.
    fn take_config(
        &mut self,
        new: Arc<Config>,
        started: Vec<Started>,
        carried: &[Carried],
        difference: &Difference,
    ) {
        let old = self.book.config.clone();
        let mut states: Vec<_> =
            std::mem::take(&mut self.book.motors).into_iter().map(Some).collect();
        let mut lines = std::mem::take(&mut self.roster.fault_lines);
        let mut motors = Vec::with_capacity(new.motors.len());
        let mut started: Vec<_> = started.into_iter().map(Some).collect();
        let mut slots = Vec::new();
        for (number, motor) in new.motors.iter().enumerate() {
            let fresh = started.iter_mut().find(|s| s.as_ref().is_some_and(|s| s.motor == number));
            let kept = || {
                let before = old.motor_index(&motor.name)?;
                let fault_line = lines[before].take();
                let slot = self.roster.fleet.slot(before);
                Some(Started { motor: number, slot, state: states[before].take()?, fault_line })
            };
            // Every motor has been started now, or was there before.
            if let Some(found) = fresh.and_then(Option::take).or_else(kept) {
                slots.push(found.slot);
                motors.push(found.state);
                self.roster.fault_lines.push(found.fault_line);
            }
        }
        self.roster.fleet.appoint(slots);
        self.book.take_config(new.clone(), motors);
        let names = self.signals(&new);
        self.position_signals = names.motors.iter().map(|m| m.position).collect();
        self.safe = vec![false; self.book.motors.len()];
        (self.finish_patience, self.book.wake_slack) = patience(&new);
        for carried in carried {
            if let Some(motor) = new.motor_index(&carried.name) {
                self.take_along(motor, carried);
            }
        }
        for motor in difference.tuned.iter().filter_map(|m| new.motor_index(m)) {
            let tuning = self.tuning(&new, motor);
            if let Err(e) = self.roster.fleet.send(motor, Command::Tune(tuning)) {
                log::error!("{e}");
                self.book.motors[motor].fault.get_or_insert(FaultKind::Silent);
            }
        }
    }

    /// A motor that was opened anew is where it was.
    fn take_along(&mut self, motor: MotorIndex, carried: &Carried) {
        let state = &mut self.book.motors[motor];
        state.epoch = carried.epoch;
        if self.book.models[motor].steps.is_none() {
            return;
        }
        state.place = carried.place;
        state.uncounted = carried.uncounted;
        let Some(count) = carried.count else {
            // Its steps are others: the trace has where it counts from now on.
            return self.tell_book(|book| book.counts_anew(motor));
        };
        state.telemetry.set_steps(count);
        if let Err(e) = self.roster.fleet.send(motor, Command::SetCount(count)) {
            log::error!("{e}");
            self.tell_book(|book| book.lose_place(motor));
        }
    }

    fn tuning(&self, config: &Config, motor: MotorIndex) -> Tuning {
        let (c, model) = (&config.motors[motor], &self.book.models[motor]);
        let mut limit = max_lateness(config, self.roster.hardware);
        if let Some(servo) = c.drive.servo() {
            limit = servo_lateness(servo, limit);
        }
        Tuning {
            limits: model.motor_limits(),
            min_interval: min_interval(model),
            release_at_end: c.axis().is_some_and(|axis| axis.releases_on_stop()),
            max_lateness: limit,
        }
    }
}

/// Whether a power budget means the same in both: the same motors, by their numbers, with the same
/// currents.
fn same_power(old: &Config, new: &Config) -> bool {
    let needs = |config: &Config| -> Vec<_> {
        config.motors.iter().map(|m| (m.name.clone(), m.current)).collect()
    };
    old.power == new.power && (old.power.is_none() || needs(old) == needs(new))
}

fn plan_tolerates(model: &MotorModel, position: f64) -> bool {
    let slack = model.to_unit(model.tolerance()) - model.to_unit(0.0);
    (model.travel.min - slack..=model.travel.max + slack).contains(&position)
}

/// Whether an axis that is opened anew finds the levels that its old loop has left, since it holds a load
/// from now on, or shares its enable line with one that does.
fn is_adopted(was: &Config, will_be: &Config, old: &MotorConfig, new: &MotorConfig) -> bool {
    match (&old.drive, &new.drive) {
        (Drive::Coils(a), Drive::Coils(b)) => {
            b.holds_load && a.at_rest == AtRest::Hold && a.gpio == b.gpio
        }
        (a, b) => match (a.step_dir(), b.step_dir()) {
            (Some(a), Some(b)) if a.enable == b.enable && a.sleep == b.sleep => {
                let keeps = |config, gpio| line(config, gpio).is_some_and(|(_, keep)| keep);
                let gpio = a.enable.map(|line| line.gpio);
                gpio.is_some_and(|gpio| keeps(will_be, gpio) && !keeps(was, gpio))
            }
            _ => false,
        },
    }
}

/// Whether a driver that has power need not lose it while its axis is opened anew.
fn keeps_power(was: &Config, will_be: &Config, old: &MotorConfig, new: &MotorConfig) -> bool {
    match (&old.drive, &new.drive) {
        (Drive::StepDir(a), Drive::StepDir(b)) => {
            let same = |gpio| line(was, gpio) == line(will_be, gpio);
            let enable = a.enable == b.enable && a.enable.is_none_or(|line| same(line.gpio));
            let sleep = b.holds_load || a.sleep.is_none() && b.sleep.is_none();
            (enable || is_adopted(was, will_be, old, new)) && sleep
        }
        (Drive::Coils(_), Drive::Coils(_)) => is_adopted(was, will_be, old, new),
        (a, b) => match (a.step_dir(), b.step_dir()) {
            (Some(a), Some(b)) => a.holds_load && b.holds_load && a.enable == b.enable,
            _ => false,
        },
    }
}
