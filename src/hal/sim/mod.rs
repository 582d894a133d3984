//! The simulator: lines and channels that nothing hangs on, on the real or the virtual clock.

mod lines;
mod panel;

pub use panel::{SimPanel, SimPwmState};

use super::{
    Backend, Clock, HalError, InputLine, Level, OnEdge, OutputLine, OutputStart, PwmChannel,
};
use crate::board::{Pull, PwmOutput};
use lines::{SimInput, SimOutput, SimPwm};
use panel::Cell;

/// The simulator's back end.
///
/// On a monotonic clock its lines are timed by the threads that drive them, as on hardware; in virtual
/// time every edge happens exactly when it is asked for. What is opened on it can be watched, and
/// inputs be moved, through its [`SimPanel`].
///
/// ```
/// use lockstep::hal::{Backend, Clock, Level, OutputStart, SimBackend};
///
/// let mut sim = SimBackend::new(Clock::monotonic());
/// let panel = sim.panel();
/// let mut step = sim.open_output(17, OutputStart::Level(Level::Low), "x.step")?;
/// step.set(Level::High)?;
/// assert_eq!(panel.level(17), Some(Level::High));
/// # Ok::<(), lockstep::hal::HalError>(())
/// ```
#[derive(Debug)]
pub struct SimBackend {
    clock: Clock,
    panel: SimPanel,
}

impl SimBackend {
    /// A simulator on `clock`.
    pub fn new(clock: Clock) -> SimBackend {
        SimBackend { panel: SimPanel::new(clock.clone()), clock }
    }

    /// The panel that shows its pins and moves its inputs.
    pub fn panel(&self) -> SimPanel {
        self.panel.clone()
    }
}

impl Backend for SimBackend {
    fn name(&self) -> &'static str {
        "sim"
    }

    fn is_hardware(&self) -> bool {
        false
    }

    fn clock(&self) -> Clock {
        self.clock.clone()
    }

    fn open_pwm(&mut self, output: &PwmOutput, who: &str) -> Result<Box<dyn PwmChannel>, HalError> {
        let pin = self.panel.take(output.clone(), who, |_| Cell::pwm())?;
        Ok(Box::new(SimPwm::new(output.clone(), pin, self.clock.clone())))
    }

    fn open_output(
        &mut self,
        gpio: u8,
        start: OutputStart,
        who: &str,
    ) -> Result<Box<dyn OutputLine>, HalError> {
        let pin = self.panel.take(gpio, who, |present| {
            Cell::output(match start {
                OutputStart::Level(level) => level,
                OutputStart::Adopt => present,
            })
        })?;
        Ok(Box::new(SimOutput::new(gpio, pin, self.clock.clone())))
    }

    fn open_input(
        &mut self,
        gpio: u8,
        pull: Pull,
        who: &str,
        on_edge: OnEdge,
    ) -> Result<Box<dyn InputLine>, HalError> {
        let pin = self.panel.take(gpio, who, |present| {
            Cell::input(
                match pull {
                    Pull::Up => Level::High,
                    Pull::Down => Level::Low,
                    Pull::None => present,
                },
                on_edge,
            )
        })?;
        Ok(Box::new(SimInput::new(pin)))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};
    use std::time::Duration;

    use super::*;
    use crate::hal::InputEdge;
    use crate::units::{Instant, PulseWidth};

    fn virtual_sim() -> (SimBackend, SimPanel, Clock) {
        let clock = Clock::virtual_time();
        let sim = SimBackend::new(clock.clone());
        let panel = sim.panel();
        (sim, panel, clock)
    }

    #[test]
    fn a_pin_has_one_user_until_its_line_is_dropped() {
        let (mut sim, _, _) = virtual_sim();
        let line = sim.open_output(17, OutputStart::Level(Level::Low), "x.step").unwrap();
        assert_eq!(
            sim.open_pwm(&17.into(), "pan").err(),
            Some(HalError::PinTaken { gpio: 17, who: "pan".into(), by: "x.step".into() })
        );
        drop(line);
        sim.open_pwm(&17.into(), "pan").unwrap();
    }

    #[test]
    fn outputs_keep_their_level_when_dropped_and_can_be_adopted() {
        let (mut sim, panel, _) = virtual_sim();
        panel.set_level(22, Level::High);
        let mut line = sim.open_output(22, OutputStart::Adopt, "z.enable").unwrap();
        assert_eq!(line.level(), Level::High);
        line.set(Level::Low).unwrap();
        drop(line);
        assert_eq!(panel.level(22), Some(Level::Low));
        let line = sim.open_output(22, OutputStart::Adopt, "z.enable").unwrap();
        assert_eq!(line.level(), Level::Low);
        // An untouched pin has the level of its pull at power-on.
        assert_eq!(sim.open_output(5, OutputStart::Adopt, "a").unwrap().level(), Level::High);
        assert_eq!(sim.open_output(23, OutputStart::Adopt, "b").unwrap().level(), Level::Low);
    }

    #[test]
    fn levels_list_every_pin_in_order() {
        let (mut sim, panel, _) = virtual_sim();
        let mut dir = sim.open_output(27, OutputStart::Level(Level::Low), "x.dir").unwrap();
        let _step = sim.open_output(17, OutputStart::Level(Level::Low), "x.step").unwrap();
        dir.set(Level::High).unwrap();
        let levels = panel.levels();
        assert_eq!(levels, [(17, "x.step".into(), Level::Low), (27, "x.dir".into(), Level::High)]);
    }

    #[test]
    fn edges_are_exact_in_virtual_time() {
        let (mut sim, _, clock) = virtual_sim();
        let mut line = sim.open_output(17, OutputStart::Level(Level::Low), "x.step").unwrap();
        clock.set(Instant::from_nanos(77));
        assert_eq!(line.set(Level::High), Ok(Instant::from_nanos(77)));
    }

    #[test]
    fn inputs_are_moved_from_the_panel() {
        let (mut sim, panel, clock) = virtual_sim();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let into = seen.clone();
        let on_edge = Box::new(move |edge: InputEdge| into.lock().unwrap().push(edge));
        let mut fault = sim.open_input(24, Pull::Up, "y.fault", on_edge).unwrap();
        assert_eq!(fault.level(), Ok(Level::High));
        clock.set(Instant::from_nanos(2_000_000_000));
        assert!(panel.set_level(24, Level::Low));
        assert!(!panel.set_level(24, Level::Low));
        assert_eq!(fault.level(), Ok(Level::Low));
        let at = Instant::from_nanos(2_000_000_000);
        assert_eq!(*seen.lock().unwrap(), [InputEdge { level: Level::Low, at, number: None }]);
        drop(fault);
        panel.set_level(24, Level::High);
        assert_eq!(seen.lock().unwrap().len(), 1);
    }

    #[test]
    fn an_edge_callback_may_use_the_panel() {
        let (mut sim, panel, _) = virtual_sim();
        let answer = panel.clone();
        let on_edge = Box::new(move |edge: InputEdge| {
            answer.set_level(25, edge.level);
        });
        let _in = sim.open_input(24, Pull::Up, "a", on_edge).unwrap();
        let mut out = sim.open_input(25, Pull::Up, "b", Box::new(|_| ())).unwrap();
        panel.set_level(24, Level::Low);
        assert_eq!(out.level(), Ok(Level::Low));
    }

    #[test]
    fn pwm_follows_its_phase() {
        let (mut sim, panel, clock) = virtual_sim();
        let mut pwm = sim.open_pwm(&12.into(), "pan").unwrap();
        assert_eq!(pwm.level(), Some(Level::Low));
        assert_eq!(
            pwm.set_width(PulseWidth::from_micros(1500)),
            Err(HalError::NotRunning { output: 12.into() })
        );
        let period = Duration::from_millis(20);
        let long = PulseWidth::from_micros(20_001);
        let too_long = HalError::PulseTooLong { output: 12.into(), width: long, period };
        assert_eq!(pwm.start(period, long), Err(too_long.clone()));
        pwm.start(period, PulseWidth::from_micros(1500)).unwrap();
        assert_eq!(
            pwm.start(period, PulseWidth::ZERO),
            Err(HalError::AlreadyRunning { output: 12.into() })
        );
        assert_eq!(pwm.set_width(long), Err(too_long));
        for (us, level) in [(0, Level::High), (1499, Level::High), (1500, Level::Low)] {
            clock.set(Instant::from_nanos(us * 1000));
            assert_eq!((pwm.level(), panel.level(12)), (Some(level), Some(level)), "{us}");
        }
        let state = panel.pwm(12).unwrap();
        assert_eq!((state.period, state.width), (period, PulseWidth::from_micros(1500)));
        // Dropping a channel leaves its signal alone.
        drop(pwm);
        clock.set(Instant::from_nanos(20_000_000));
        assert_eq!(panel.level(12), Some(Level::High));
        assert!(panel.pwm(12).unwrap().running);
    }

    #[test]
    fn a_reopened_channel_still_knows_its_signal() {
        let (mut sim, _, _) = virtual_sim();
        let mut pwm = sim.open_pwm(&12.into(), "pan").unwrap();
        pwm.start(Duration::from_millis(20), PulseWidth::from_micros(1500)).unwrap();
        drop(pwm);
        let busy = sim.open_pwm(&12.into(), "pan").err();
        assert!(matches!(busy, Some(HalError::ChannelBusy { running: true, .. })));
    }
}
