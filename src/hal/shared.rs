use std::sync::{Arc, Mutex, MutexGuard, TryLockError};
use std::time::Duration;

use super::{HalError, Level, OutputLine};
use crate::units::Instant;

/// A line that several motors need: the enable line of drivers that share it.
///
/// It is active while any of them needs it. Each motor has a handle of its own (a clone of the first)
/// and says with it when it needs the line and when no longer. Dropping a handle changes nothing: an
/// output keeps its level when the program ends.
///
/// ```
/// use lockstep::hal::{Backend, Clock, Level, OutputStart, SharedLine, SimBackend};
///
/// let mut sim = SimBackend::new(Clock::monotonic());
/// let panel = sim.panel();
/// let line = sim.open_output(22, OutputStart::Level(Level::High), "enable")?;
/// let mut x = SharedLine::new(line, 22, Level::Low, false);
/// let mut y = x.clone();
/// x.acquire()?;
/// y.acquire()?;
/// x.release()?;
/// assert_eq!(panel.level(22), Some(Level::Low)); // y still needs it
/// y.release()?;
/// assert_eq!(panel.level(22), Some(Level::High));
/// # Ok::<(), lockstep::hal::HalError>(())
/// ```
pub struct SharedLine {
    shared: Arc<Shared>,
    /// Whether this handle needs the line.
    holds: bool,
}

struct Shared {
    state: Mutex<State>,
    gpio: u8,
    active: Level,
    keep: bool,
}

struct State {
    line: Box<dyn OutputLine>,
    users: usize,
    since: Instant,
}

/// Longest wait for another handle's write to the line, which takes well under a microsecond.
const PATIENCE: Duration = Duration::from_millis(5);

impl SharedLine {
    /// Shares `line` (GPIO `gpio`, for errors), which is active at the level `active`. With `keep` it
    /// never becomes inactive again once it is active: one of the motors holds a load.
    pub fn new(line: Box<dyn OutputLine>, gpio: u8, active: Level, keep: bool) -> SharedLine {
        // A line that is active already has been so for longer than anybody knows.
        let state = Mutex::new(State { line, users: 0, since: Instant::ZERO });
        SharedLine { shared: Arc::new(Shared { state, gpio, active, keep }), holds: false }
    }

    /// Needs the line from now on. Returns the instant since when it has been active: a driver's wake
    /// time counts from there. Asking twice is asking once.
    ///
    /// # Errors
    ///
    /// The back end refused, or the line stayed locked for 5 ms. The line is then not needed by this
    /// handle.
    pub fn acquire(&mut self) -> Result<Instant, HalError> {
        let mut state = self.shared.lock()?;
        if !self.holds {
            if state.line.level() != self.shared.active {
                state.since = state.line.set(self.shared.active)?;
            }
            state.users += 1;
            self.holds = true;
        }
        Ok(state.since)
    }

    /// No longer needs the line. The last one makes it inactive (never with `keep`). Doing so without
    /// having needed it does nothing.
    ///
    /// # Errors
    ///
    /// The back end refused, or the line stayed locked for 5 ms. The handle then still needs the line,
    /// and the call can be made again.
    pub fn release(&mut self) -> Result<(), HalError> {
        if !self.holds {
            return Ok(());
        }
        let mut state = self.shared.lock()?;
        if state.users == 1 && !self.shared.keep {
            state.line.set(self.shared.active.opposite())?;
        }
        state.users -= 1;
        self.holds = false;
        Ok(())
    }

    /// Whether this handle needs the line.
    pub fn holds(&self) -> bool {
        self.holds
    }

    /// Whether the line is active.
    ///
    /// # Errors
    ///
    /// The line stayed locked for 5 ms.
    pub fn is_active(&self) -> Result<bool, HalError> {
        Ok(self.shared.lock()?.line.level() == self.shared.active)
    }
}

impl Clone for SharedLine {
    /// A handle that does not need the line yet.
    fn clone(&self) -> SharedLine {
        SharedLine { shared: self.shared.clone(), holds: false }
    }
}

impl Shared {
    fn lock(&self) -> Result<MutexGuard<'_, State>, HalError> {
        let began = std::time::Instant::now();
        loop {
            match self.state.try_lock() {
                Ok(state) => return Ok(state),
                // A panic between two fields leaves at worst one user too many: active for too long.
                Err(TryLockError::Poisoned(poisoned)) => return Ok(poisoned.into_inner()),
                Err(TryLockError::WouldBlock) if began.elapsed() < PATIENCE => {
                    std::thread::sleep(Duration::from_micros(20));
                }
                Err(TryLockError::WouldBlock) => {
                    return Err(HalError::LineBusy { gpio: self.gpio, waited: PATIENCE });
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::hal::{Backend, Clock, OutputStart, SimBackend, SimPanel};

    fn shared(start: Level, keep: bool) -> (SharedLine, SimPanel, Clock) {
        let clock = Clock::virtual_time();
        let mut sim = SimBackend::new(clock.clone());
        let panel = sim.panel();
        let line = sim.open_output(22, OutputStart::Level(start), "enable").unwrap();
        (SharedLine::new(line, 22, Level::Low, keep), panel, clock)
    }

    #[test]
    fn the_wake_time_counts_from_the_first_user() {
        let (mut x, _, clock) = shared(Level::High, false);
        let mut y = x.clone();
        clock.set(Instant::from_nanos(100));
        assert_eq!(x.acquire(), Ok(Instant::from_nanos(100)));
        clock.set(Instant::from_nanos(900));
        assert_eq!(y.acquire(), Ok(Instant::from_nanos(100)));
        x.release().unwrap();
        y.release().unwrap();
        clock.set(Instant::from_nanos(1000));
        assert_eq!(x.acquire(), Ok(Instant::from_nanos(1000)));
    }

    #[test]
    fn a_line_that_holds_a_load_stays_active() {
        let (mut x, panel, clock) = shared(Level::Low, true);
        clock.set(Instant::from_nanos(100));
        assert_eq!(x.acquire(), Ok(Instant::ZERO));
        x.release().unwrap();
        drop(x);
        assert_eq!(panel.level(22), Some(Level::Low));
    }

    #[test]
    fn a_refused_release_can_be_made_again() {
        let (mut x, panel, _) = shared(Level::High, false);
        x.acquire().unwrap();
        panel.refuse(22, true);
        assert!(x.release().is_err() && x.holds());
        panel.refuse(22, false);
        x.release().unwrap();
        assert_eq!(panel.level(22), Some(Level::High));
    }

    #[test]
    fn a_lock_that_is_held_ends_the_wait() {
        let (mut x, _, _) = shared(Level::High, false);
        let shared = x.shared.clone();
        let _held = shared.state.lock().unwrap();
        assert!(matches!(x.acquire(), Err(HalError::LineBusy { gpio: 22, .. })));
    }

    proptest! {
        /// Active exactly while one of the handles needs it.
        #[test]
        fn active_while_needed(calls in prop::collection::vec((0usize..3, any::<bool>()), 0..50)) {
            let (first, panel, _) = shared(Level::High, false);
            let mut handles = [first.clone(), first.clone(), first];
            for (who, need) in calls {
                if need {
                    handles[who].acquire().unwrap();
                } else {
                    handles[who].release().unwrap();
                }
                prop_assert_eq!(handles[who].holds(), need);
                let needed = handles.iter().any(SharedLine::holds);
                prop_assert_eq!(panel.level(22), Some(Level::from_bool(!needed)));
            }
        }
    }
}
