use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::board::{Pull, PwmOutput, power_on_pull};
use crate::hal::{Clock, HalError, InputEdge, Level, OnEdge, Waveform};
use crate::units::PulseWidth;

/// A lock whose holder never waits for anything, and whose contents no panic can spoil.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a pin of the simulator is at the moment. It outlives its line: levels and signals stay.
#[derive(Debug)]
pub(super) struct Cell {
    high: AtomicBool,
    pub(super) refuse: AtomicBool,
    role: Role,
}

enum Role {
    Output,
    Input(Mutex<Option<OnEdge>>),
    Pwm(Mutex<Waveform>),
}

impl std::fmt::Debug for Role {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Role::Output => "Output",
            Role::Input(_) => "Input",
            Role::Pwm(_) => "Pwm",
        })
    }
}

impl Cell {
    fn new(level: Level, role: Role) -> Cell {
        Cell { high: AtomicBool::new(level.is_high()), refuse: AtomicBool::new(false), role }
    }

    pub(super) fn output(level: Level) -> Cell {
        Cell::new(level, Role::Output)
    }

    pub(super) fn input(level: Level, on_edge: OnEdge) -> Cell {
        Cell::new(level, Role::Input(Mutex::new(Some(on_edge))))
    }

    pub(super) fn pwm() -> Cell {
        Cell::new(Level::Low, Role::Pwm(Mutex::default()))
    }

    #[inline]
    pub(super) fn level(&self) -> Level {
        Level::from_bool(self.high.load(Ordering::Relaxed))
    }

    #[inline]
    pub(super) fn set(&self, level: Level) {
        self.high.store(level.is_high(), Ordering::Relaxed);
    }

    /// The signal of a PWM pin.
    pub(super) fn wave(&self) -> Option<MutexGuard<'_, Waveform>> {
        match &self.role {
            Role::Pwm(wave) => Some(lock(wave)),
            _ => None,
        }
    }

    /// Has the pin's edges go nowhere from now on.
    pub(super) fn deafen(&self) {
        if let Role::Input(on_edge) = &self.role {
            lock(on_edge).take();
        }
    }

    fn level_at(&self, clock: &Clock) -> Level {
        match self.wave() {
            Some(mut wave) => Level::from_bool(wave.is_high(clock.now())),
            None => self.level(),
        }
    }
}

#[derive(Debug, Default)]
struct Pins {
    /// Levels of pins that nobody has opened yet.
    outside: BTreeMap<u8, Level>,
    opened: BTreeMap<PwmOutput, (String, Arc<Cell>)>,
}

/// The state of a simulated PWM channel.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SimPwmState {
    /// Whether there is a signal.
    pub running: bool,
    /// Its period; zero without a signal.
    pub period: Duration,
    /// The width asked for last; zero without a signal.
    pub width: PulseWidth,
}

/// Shows the pins of a simulator and moves its inputs: for tests, and for faults that are to happen at
/// a chosen moment. Cheap to clone; every clone shows the same pins.
#[derive(Clone, Debug)]
pub struct SimPanel {
    clock: Clock,
    pins: Arc<Mutex<Pins>>,
}

impl SimPanel {
    pub(super) fn new(clock: Clock) -> SimPanel {
        SimPanel { clock, pins: Arc::default() }
    }

    fn cell(&self, output: impl Into<PwmOutput>) -> Option<Arc<Cell>> {
        lock(&self.pins).opened.get(&output.into()).map(|(_, cell)| cell.clone())
    }

    /// The level that `gpio` has now; `None` for a pin that was never opened or set.
    pub fn level(&self, gpio: u8) -> Option<Level> {
        match self.cell(gpio) {
            Some(cell) => Some(cell.level_at(&self.clock)),
            None => lock(&self.pins).outside.get(&gpio).copied(),
        }
    }

    /// Every pin that was opened, by number: its user and the level it has now.
    pub fn levels(&self) -> Vec<(u8, String, Level)> {
        let pins = lock(&self.pins);
        let level = |(output, (who, cell)): (&PwmOutput, &(String, Arc<Cell>))| match output {
            PwmOutput::Gpio(gpio) => Some((*gpio, who.clone(), cell.level_at(&self.clock))),
            PwmOutput::Channel { .. } => None,
        };
        pins.opened.iter().filter_map(level).collect()
    }

    /// The PWM signal that comes out of a pin (its GPIO number serves) or a channel; `None` where none
    /// was opened.
    pub fn pwm(&self, output: impl Into<PwmOutput>) -> Option<SimPwmState> {
        let cell = self.cell(output)?;
        let wave = cell.wave()?;
        Some(SimPwmState {
            running: wave.is_running(),
            period: wave.period().unwrap_or_default(),
            width: wave.width().unwrap_or(PulseWidth::ZERO),
        })
    }

    /// Puts a level on `gpio` from outside, now. An input that it changes has its edge reported, on
    /// this thread, before the call returns. On a pin that nobody has opened it is the level that
    /// whoever opens it will find. Outputs and PWM channels drive their pin themselves: they are left
    /// as they are. Returns whether an input changed.
    pub fn set_level(&self, gpio: u8, level: Level) -> bool {
        let Some(cell) = self.cell(gpio) else {
            lock(&self.pins).outside.insert(gpio, level);
            return false;
        };
        let Role::Input(on_edge) = &cell.role else {
            return false;
        };
        if cell.high.swap(level.is_high(), Ordering::Relaxed) == level.is_high() {
            return false;
        }
        // Taken out for the call, so that it may use the panel.
        let taken = lock(on_edge).take();
        if let Some(mut call) = taken {
            call(InputEdge { level, at: self.clock.now(), number: None });
            lock(on_edge).get_or_insert(call);
        }
        true
    }

    /// Has writes to a pin or channel, which was opened, fail (or succeed again): a back end that
    /// refuses.
    pub fn refuse(&self, output: impl Into<PwmOutput>, refuse: bool) {
        if let Some(cell) = self.cell(output) {
            cell.refuse.store(refuse, Ordering::Relaxed);
        }
    }

    /// Gives `output` to `who` as what `make` makes of the level it has.
    pub(super) fn take(
        &self,
        output: impl Into<PwmOutput>,
        who: &str,
        make: impl FnOnce(Level) -> Cell,
    ) -> Result<Arc<Cell>, HalError> {
        let output = output.into();
        let mut pins = lock(&self.pins);
        let mut present = None;
        if let Some((by, cell)) = pins.opened.get(&output) {
            // The line that was opened has the second reference.
            if Arc::strong_count(cell) > 1 {
                let (who, by) = (who.to_owned(), by.clone());
                return Err(match output {
                    PwmOutput::Gpio(gpio) => HalError::PinTaken { gpio, who, by },
                    PwmOutput::Channel { .. } => HalError::ChannelInUse { output, who, by },
                });
            }
            if cell.wave().is_some_and(|wave| wave.is_running()) {
                let path = PathBuf::from("the simulator's PWM channel");
                return Err(HalError::ChannelBusy { output, path, running: true });
            }
            present = Some(cell.level());
        }
        let untouched = || match output {
            PwmOutput::Gpio(gpio) => {
                pins.outside.get(&gpio).copied().unwrap_or(match power_on_pull(gpio) {
                    Pull::Up => Level::High,
                    Pull::Down | Pull::None => Level::Low,
                })
            }
            PwmOutput::Channel { .. } => Level::Low,
        };
        let cell = Arc::new(make(present.unwrap_or_else(untouched)));
        pins.opened.insert(output, (who.to_owned(), cell.clone()));
        Ok(cell)
    }
}
