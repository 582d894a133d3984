use std::sync::{Arc, Mutex};

use super::*;
use crate::board::Pull;
use crate::hal::{Clock, InputLine, OnEdge, PwmChannel, SimBackend, SimPanel};
use crate::units::Instant;

fn config(text: &str) -> Config {
    Config::from_str(text, "t").unwrap().config
}

fn stage() -> String {
    include_str!("../../config/xyz-stage.toml").to_owned()
}

fn run(config: &Config) -> (Vec<Finding>, SimPanel) {
    let mut sim = SimBackend::new(Clock::virtual_time());
    let panel = sim.panel();
    let mut told = Vec::new();
    let all = selftest(config, &mut sim, &StopEvent::new(), &mut |f| told.push(f.clone()));
    assert_eq!(all, told);
    (all, panel)
}

fn measured(finding: &Finding) -> (Asked, Seen, &[String]) {
    match &finding.result {
        Ok(Tested::Measured { asked, seen, off }) => (*asked, *seen, off),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_stage_on_the_simulator_is_exact_and_ends_with_all_off() {
    let (all, panel) = run(&config(&stage()));
    let names: Vec<_> = all.iter().map(|f| (f.motor.as_str(), f.function)).collect();
    let axis = |name| [(name, "step"), (name, "step"), (name, "dir")];
    let mut expected = [axis("x"), axis("y"), axis("z")].concat();
    expected.push(("x, y, z", "enable"));
    assert_eq!(names, expected);
    for finding in &all {
        let (asked, seen, off) = measured(finding);
        assert!(off.is_empty(), "{off:?}");
        assert_eq!(seen.count, asked.count);
        for (asked, seen) in [(asked.period, seen.period), (asked.width, seen.width)] {
            let Some(asked) = asked else { continue };
            assert_eq!((seen.unwrap().median, seen.unwrap().jitter()), (asked, Duration::ZERO));
        }
    }
    assert_eq!(panel.level(22), Some(Level::High));
    for low in [17, 23, 25, 27, 24, 16] {
        assert_eq!(panel.level(low), Some(Level::Low), "GPIO{low}");
    }
}

#[test]
fn servos_show_their_three_widths() {
    let channel = "[servo.roll]\npwm = { device = \"pca9685\", channel = 3 }\n";
    let text = format!(
        "[servo.pan]\npwm = {{ gpio = 18 }}\n[servo.tilt]\nsoft-pwm = {{ gpio = 23 }}\n{channel}"
    );
    let (all, panel) = run(&config(&text));
    for servo in ["pan", "tilt"] {
        let of: Vec<_> = all.iter().filter(|f| f.motor == servo).map(measured).collect();
        let widths: Vec<_> = of.iter().map(|m| m.0.width.unwrap().as_micros()).collect();
        assert_eq!(widths, [1000, 1500, 2000]);
        for (asked, seen, off) in of {
            assert!(off.is_empty(), "{servo}: {off:?}");
            assert_eq!(seen.count, SERVO_PULSES);
            // It looks each microsecond.
            let width = seen.width.unwrap().median;
            assert!(width.abs_diff(asked.width.unwrap()) <= Duration::from_micros(1));
        }
    }
    assert!(!panel.pwm(18).unwrap().running);
}

#[test]
fn whoever_holds_a_load_or_shares_its_line_is_left_alone() {
    let at = stage().rfind("on-stop = \"release\"").unwrap();
    let mut holding = stage();
    holding.replace_range(at..at + 19, "holds-load = true");
    let (all, panel) = run(&config(&holding));
    assert_eq!(all.len(), 3);
    for finding in &all {
        let Ok(Tested::Not(why)) = &finding.result else { panic!("{finding:?}") };
        assert!(why.contains("holds a load"), "{why}");
        assert_eq!(why.contains("GPIO22, with z"), finding.motor != "z");
    }
    assert_eq!(panel.levels(), []);
}

#[test]
fn a_stop_ends_it_and_says_nothing_of_what_was_cut_short() {
    let stop = StopEvent::new();
    let mut sim = SimBackend::new(Clock::virtual_time());
    let panel = sim.panel();
    let all = selftest(&config("[servo.pan]\npwm = { gpio = 18 }\n"), &mut sim, &stop, &mut |_| {
        stop.set()
    });
    assert_eq!(all.len(), 1);
    assert!(!panel.pwm(18).unwrap().running);
}

/// A simulator some of whose outputs are not what they are asked to be.
struct Odd {
    sim: SimBackend,
    /// Periods and widths come out times this, in percent.
    percent: u32,
    /// A pin that always reads low.
    stuck: Option<u8>,
    refused: Arc<Mutex<Option<u8>>>,
}

struct OddPwm(Box<dyn PwmChannel>, u32);
struct Stuck(Box<dyn OutputLine>);

impl PwmChannel for OddPwm {
    fn resolution(&self) -> Duration {
        self.0.resolution()
    }
    fn start(&mut self, period: Duration, width: PulseWidth) -> Result<Instant, HalError> {
        let width = PulseWidth::from_nanos(width.as_nanos() / 100 * self.1);
        self.0.start(period * self.1 / 100, width)
    }
    fn prepare(&mut self, period: Duration, width: PulseWidth) -> Result<(), HalError> {
        self.0.prepare(period, width)
    }
    fn enable(&mut self) -> Result<Instant, HalError> {
        self.0.enable()
    }
    fn set_period(&mut self, period: Duration) -> Result<Instant, HalError> {
        self.0.set_period(period)
    }
    fn set_width(&mut self, width: PulseWidth) -> Result<Instant, HalError> {
        self.0.set_width(width)
    }
    fn level(&mut self) -> Option<Level> {
        self.0.level()
    }
    fn disable(&mut self) -> Result<Instant, HalError> {
        self.0.disable()
    }
}

impl OutputLine for Stuck {
    fn set(&mut self, level: Level) -> Result<Instant, HalError> {
        self.0.set(level)
    }
    fn level(&self) -> Level {
        self.0.level()
    }
    fn seen(&self) -> Level {
        Level::Low
    }
}

impl Backend for Odd {
    fn name(&self) -> &'static str {
        "odd"
    }
    fn is_hardware(&self) -> bool {
        false
    }
    fn clock(&self) -> Clock {
        self.sim.clock()
    }
    fn open_pwm(&mut self, output: &PwmOutput, who: &str) -> Result<Box<dyn PwmChannel>, HalError> {
        Ok(Box::new(OddPwm(self.sim.open_pwm(output, who)?, self.percent)))
    }
    fn open_output(
        &mut self,
        gpio: u8,
        start: OutputStart,
        who: &str,
    ) -> Result<Box<dyn OutputLine>, HalError> {
        if *self.refused.lock().unwrap() == Some(gpio) {
            return Err(HalError::Refused { output: gpio.into() });
        }
        let line = self.sim.open_output(gpio, start, who)?;
        Ok(if self.stuck == Some(gpio) { Box::new(Stuck(line)) } else { line })
    }
    fn open_input(
        &mut self,
        gpio: u8,
        pull: Pull,
        who: &str,
        on_edge: OnEdge,
    ) -> Result<Box<dyn InputLine>, HalError> {
        self.sim.open_input(gpio, pull, who, on_edge)
    }
}

fn odd(percent: u32, stuck: Option<u8>, refused: Option<u8>, text: &str) -> Vec<Finding> {
    let sim = SimBackend::new(Clock::virtual_time());
    let mut odd = Odd { sim, percent, stuck, refused: Arc::new(Mutex::new(refused)) };
    selftest(&config(text), &mut odd, &StopEvent::new(), &mut |_| {})
}

#[test]
fn a_clock_that_is_7_percent_fast_is_off() {
    let servo = "[servo.pan]\npwm = { gpio = 18 }\n";
    for (percent, wrong) in [(93, true), (98, true), (100, false)] {
        for finding in odd(percent, None, None, servo) {
            assert_eq!(finding.is_off(), wrong, "{percent}: {finding:?}");
        }
    }
    let fast = odd(93, None, None, servo);
    let off = measured(&fast[1]).2;
    assert!(off[0].starts_with("its period is 18600.") && off[0].ends_with("(-7.0 %)"), "{off:?}");
    assert!(off[1].starts_with("its width is 139"), "{off:?}");
}

#[test]
fn a_pin_that_does_not_follow_is_off_and_one_that_is_refused_fails() {
    let all = odd(100, Some(17), None, &stage());
    for finding in &all {
        assert_eq!(finding.is_off(), finding.port == Some(Port::Gpio(17)), "{finding:?}");
    }
    assert_eq!(measured(&all[0]).2, ["no pulse was seen at the pin"]);
    let all = odd(100, None, Some(23), &stage());
    for finding in &all {
        assert_eq!(finding.result.is_err(), finding.port == Some(Port::Gpio(23)), "{finding:?}");
    }
}
