use super::step_output::{StepOutput, Turn};
use crate::hal::{HalError, Level, OutputLine};
use crate::units::Instant;

/// The four coils of a stepper, in the order in which they pull the rotor round: neighbours in this
/// order are neighbours in the motor, and the first and the third, the second and the fourth pull
/// against each other.
pub struct CoilsSetup {
    /// One line for each coil; on when high.
    pub lines: [Box<dyn OutputLine>; 4],
    /// The states that the coils go through.
    pub phases: Phases,
    /// Whether a step up goes backwards through them.
    pub reverse: bool,
    /// From power to the first step, nanoseconds.
    pub settle: u64,
    /// The phase that the rotor is in, as far as anybody knows: the coils that are on in it, the first the
    /// lowest bit. Coils that are found on tell it better.
    pub phase: Option<u8>,
}

/// The states that coils go through, one for each step, and from the last on to the first.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Phases(&'static [u8]);

impl Phases {
    /// One coil at a time.
    pub const WAVE: Phases = Phases(&[0b0001, 0b0010, 0b0100, 0b1000]);
    /// Two neighbours at a time.
    pub const FULL: Phases = Phases(&[0b0011, 0b0110, 0b1100, 0b1001]);
    /// One and two in turn.
    pub const HALF: Phases =
        Phases(&[0b0001, 0b0011, 0b0010, 0b0110, 0b0100, 0b1100, 0b1000, 0b1001]);

    /// The index of the state after that one, or before it.
    #[inline]
    fn beside(self, index: usize, onward: bool) -> usize {
        let step = if onward { 1 } else { self.0.len() - 1 };
        (index + step) % self.0.len()
    }

    /// The index of the state that shares most with `on`.
    fn nearest(self, on: u8) -> usize {
        let changes = |&i: &usize| (self.0[i] ^ on).count_ones();
        (0..self.0.len()).min_by_key(changes).unwrap_or(0)
    }
}

/// Whether two coils that pull against each other are both on.
fn is_forbidden(on: u8) -> bool {
    on & on >> 2 & 0b0011 != 0
}

/// Steps as phases of four coils.
///
/// From one phase to the next, what goes off goes off before anything goes on: no two coils that pull
/// against each other are ever on together, and no bridge has both of its inputs high.
///
/// The phase is a state of its own and hangs on no count: it moves with the steps that are made, and with
/// nothing else. So the coils take the rotor up where they let it go, whatever was said of its place since.
pub struct Coils {
    s: CoilsSetup,
    /// The coils that are on.
    on: u8,
    /// The index of the state that the rotor is in, also while no coil is on.
    phase: usize,
}

impl Coils {
    /// Takes the coils as their lines were opened. Where they hold a load, they begin in the phase that
    /// they stand in; else in the one that the rotor is said to be in, or in the first where nobody knows: then
    /// it may be pulled by up to half a turn of the sequence when they get their power.
    ///
    /// # Errors
    ///
    /// They were opened in a forbidden state, and the back end refused to switch them off.
    pub fn new(setup: CoilsSetup) -> Result<Coils, HalError> {
        let mut on = 0;
        for (i, line) in setup.lines.iter().enumerate() {
            on |= u8::from(line.level().is_high()) << i;
        }
        let mut coils = Coils { s: setup, on, phase: 0 };
        if is_forbidden(on) {
            coils.set(0)?;
        }
        let stands = Some(coils.on).filter(|&on| on != 0).or(coils.s.phase);
        coils.phase = stands.map_or(0, |on| coils.s.phases.nearest(on));
        Ok(coils)
    }

    /// The coils that are on in the phase that the rotor is in.
    fn pulling(&self) -> u8 {
        self.s.phases.0[self.phase]
    }

    /// Switches to a state: off before on. Says when the last line was written; `None`: none was.
    #[inline]
    fn set(&mut self, wanted: u8) -> Result<Option<Instant>, HalError> {
        let mut at = None;
        for (level, change) in [(Level::Low, self.on & !wanted), (Level::High, wanted & !self.on)] {
            for (i, line) in self.s.lines.iter_mut().enumerate() {
                if change >> i & 1 == 1 {
                    at = Some(line.set(level)?);
                    self.on ^= 1 << i;
                }
            }
        }
        Ok(at)
    }
}

impl StepOutput for Coils {
    fn energise(&mut self) -> Result<Instant, HalError> {
        let phase = self.pulling();
        let mut at = self.set(phase)?;
        for (i, line) in self.s.lines.iter_mut().enumerate() {
            if at.is_none() && phase >> i & 1 == 1 {
                // Nothing to change: written once more, for the time.
                at = Some(line.set(Level::High)?);
            }
        }
        Ok(at.unwrap_or(Instant::ZERO).plus_nanos(self.s.settle))
    }

    fn release(&mut self) -> Result<(), HalError> {
        // Each of them, also where one is refused.
        let mut first = Ok(());
        for (i, line) in self.s.lines.iter_mut().enumerate() {
            if self.on >> i & 1 == 1 {
                match line.set(Level::Low) {
                    Ok(_) => self.on ^= 1 << i,
                    Err(e) if first.is_ok() => first = Err(e),
                    Err(_) => {}
                }
            }
        }
        first
    }

    #[inline]
    fn end_pulse(&mut self, _now: Instant) -> Result<Option<Instant>, HalError> {
        Ok(None)
    }

    fn in_pulse(&self) -> bool {
        false
    }

    #[inline]
    fn turn(&mut self, _up: bool, _now: Instant) -> Result<Turn, HalError> {
        Ok(Turn::Done)
    }

    #[inline]
    fn ready_from(&self) -> Instant {
        Instant::ZERO
    }

    #[inline]
    fn step(&mut self, up: bool) -> Result<Instant, HalError> {
        let next = self.s.phases.beside(self.phase, up != self.s.reverse);
        let at = self.set(self.s.phases.0[next])?;
        self.phase = next;
        Ok(at.unwrap_or(Instant::ZERO))
    }

    #[inline]
    fn phase(&self) -> Option<u8> {
        Some(self.pulling())
    }

    fn abandon(&mut self) {}

    fn make_safe(&mut self) {}
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use proptest::prelude::*;

    use super::*;

    /// Every write to any of the lines, in their order: the coils that are on after it.
    type Log = Arc<Mutex<Vec<u8>>>;

    struct Line {
        coil: usize,
        level: Level,
        all: Arc<Mutex<u8>>,
        log: Log,
        /// The write that is refused, counted down over all lines.
        refuse: Arc<Mutex<u32>>,
    }

    impl OutputLine for Line {
        fn set(&mut self, level: Level) -> Result<Instant, HalError> {
            let mut left = self.refuse.lock().unwrap();
            *left = left.saturating_sub(1);
            if *left == 0 {
                *left = u32::MAX;
                return Err(HalError::Refused { output: (self.coil as u8).into() });
            }
            self.level = level;
            let mut all = self.all.lock().unwrap();
            *all = *all & !(1 << self.coil) | u8::from(level.is_high()) << self.coil;
            self.log.lock().unwrap().push(*all);
            Ok(Instant::from_nanos(7))
        }
        fn level(&self) -> Level {
            self.level
        }
    }

    struct Bench {
        log: Log,
        refuse: Arc<Mutex<u32>>,
        coils: Coils,
    }

    fn bench(phases: Phases, reverse: bool, on: u8, phase: Option<u8>) -> Bench {
        let (log, all) = (Log::default(), Arc::new(Mutex::new(on)));
        let refuse = Arc::new(Mutex::new(u32::MAX));
        let line = |coil: usize| -> Box<dyn OutputLine> {
            let (all, log, refuse) = (all.clone(), log.clone(), refuse.clone());
            let level = Level::from_bool(on >> coil & 1 == 1);
            Box::new(Line { coil, level, all, log, refuse })
        };
        let lines = [line(0), line(1), line(2), line(3)];
        let setup = CoilsSetup { lines, phases, reverse, settle: 1_000, phase };
        Bench { coils: Coils::new(setup).unwrap(), log, refuse }
    }

    /// Coils that pull against each other, told without a formula.
    fn against(on: u8) -> bool {
        [0b0101, 0b1010, 0b0111, 0b1110, 0b1011, 0b1101, 0b1111].contains(&on)
    }

    const ALL: [Phases; 3] = [Phases::WAVE, Phases::FULL, Phases::HALF];

    #[test]
    fn phases_are_neighbours_that_nothing_forbids() {
        for phases in ALL {
            for i in 0..phases.0.len() {
                let (a, b) = (phases.0[i], phases.0[phases.beside(i, true)]);
                assert_eq!(phases.beside(phases.beside(i, true), false), i);
                assert!(!against(a) && a != 0);
                let changed = (a ^ b).count_ones();
                assert_eq!(changed, if phases == Phases::HALF { 1 } else { 2 });
            }
        }
        for on in 0..16 {
            assert_eq!(is_forbidden(on), against(on), "{on:04b}");
        }
    }

    proptest! {
        /// No write ever leaves two coils on that pull against each other, however the steps go, are
        /// let go, taken up again, or refused; and the phase is always that of the steps made since the first.
        #[test]
        fn no_forbidden_state_ever_stands(
            which in 0usize..3, reverse: bool,
            deeds in prop::collection::vec((0u8..8, 0u32..6), 1..200), first in 0usize..8,
        ) {
            let n = ALL[which].0.len();
            let mut b = bench(ALL[which], reverse, 0, Some(ALL[which].0[first % n]));
            let mut count = (first % n) as i64;
            b.coils.energise().unwrap();
            for (deed, refuse) in deeds {
                if refuse > 0 && deed == 7 {
                    *b.refuse.lock().unwrap() = refuse;
                }
                let _ = match deed {
                    0..=2 => b.coils.step(true).map(|_| count += if reverse { -1 } else { 1 }),
                    3..=5 => b.coils.step(false).map(|_| count -= if reverse { -1 } else { 1 }),
                    6 => b.coils.release(),
                    _ => Ok(()),
                };
                if deed < 6 && *b.refuse.lock().unwrap() > 100 {
                    let again = b.coils.energise();
                    prop_assert!(again.is_ok());
                    prop_assert_eq!(b.coils.on, ALL[which].0[count.rem_euclid(n as i64) as usize]);
                    prop_assert_eq!(b.coils.phase(), Some(b.coils.on));
                }
            }
            let log = b.log.lock().unwrap();
            prop_assert!(log.iter().all(|&on| !against(on)), "{:?}", *log);
        }

        /// Coils that are found on hold on, in their phase; those that are found fighting are let go.
        #[test]
        fn what_holds_is_adopted(
            which in 0usize..3, reverse: bool, on in 0u8..16, said in prop::option::of(1u8..10),
        ) {
            let phases = ALL[which];
            let mut b = bench(phases, reverse, on, said);
            if against(on) {
                prop_assert_eq!(b.coils.on, 0);
                return Ok(());
            }
            let awake = b.coils.energise().unwrap();
            prop_assert_eq!(awake, Instant::from_nanos(1_007));
            if phases.0.contains(&on) {
                prop_assert!(b.coils.on == on && b.log.lock().unwrap().iter().all(|l| *l == on));
            } else {
                // Of what holds, as much as can go on holding does.
                let kept = b.log.lock().unwrap().iter().all(|now| now & on != 0);
                prop_assert!(kept || on == 0);
            }
        }
    }

    #[test]
    fn a_turn_of_the_half_sequence_writes_each_line_twice() {
        let mut b = bench(Phases::HALF, false, 0, None);
        b.coils.energise().unwrap();
        (1..=8).for_each(|_| drop(b.coils.step(true)));
        let seen = b.log.lock().unwrap().clone();
        assert_eq!(seen, [1, 3, 2, 6, 4, 12, 8, 9, 1]);
        b.coils.release().unwrap();
        assert_eq!(b.coils.on, 0);
        // Let go and taken up again: the same phase.
        b.coils.energise().unwrap();
        assert_eq!(b.coils.on, 1);
    }

    #[test]
    fn whatever_can_be_let_go_is() {
        let mut b = bench(Phases::FULL, false, 0, None);
        b.coils.energise().unwrap();
        *b.refuse.lock().unwrap() = 1;
        assert_eq!(b.coils.release(), Err(HalError::Refused { output: 0.into() }));
        assert_eq!(b.coils.on, 0b0001);
        b.coils.release().unwrap();
        assert_eq!(b.coils.on, 0);
    }
}
