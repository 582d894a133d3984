//! A config after every check: values in base units, names resolved, nothing left to doubt.
//!
//! Positions and speeds are in the motor's own unit: millimetres for a linear axis, degrees for a
//! rotary axis or a servo (see [`MotorUnit`]).

use std::time::Duration;

use crate::board::{Model, PwmOutput, PwmTiming};
use crate::units::{PulseWidth, Ratio};

/// A place in a config file, for errors: byte offsets of the value it speaks of.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Span {
    /// Offset of the first byte.
    pub start: usize,
    /// Offset behind the last byte.
    pub end: usize,
}

/// A checked config.
#[derive(Clone, PartialEq, Debug)]
pub struct Config {
    /// `[machine]`.
    pub machine: MachineConfig,
    /// `[service]`.
    pub service: ServiceConfig,
    /// Every servo and axis, in the order of the file. At least one; names are unique.
    pub motors: Vec<MotorConfig>,
    /// Every program, in the order of the file.
    pub programs: Vec<ProgramConfig>,
    /// `[power]`, if there is one.
    pub power: Option<PowerConfig>,
}

impl Config {
    /// The motor of that name.
    pub fn motor(&self, name: &str) -> Option<&MotorConfig> {
        self.motors.iter().find(|m| m.name == name)
    }

    /// The index of the motor of that name in [`Config::motors`].
    pub fn motor_index(&self, name: &str) -> Option<usize> {
        self.motors.iter().position(|m| m.name == name)
    }

    /// The program of that name.
    pub fn program(&self, name: &str) -> Option<&ProgramConfig> {
        self.programs.iter().find(|p| p.name == name)
    }
}

/// `[machine]`.
#[derive(Clone, PartialEq, Debug)]
pub struct MachineConfig {
    /// The machine's name, for people.
    pub name: String,
    /// What `run` and `serve` start with.
    pub start_program: Option<String>,
    /// Beyond this lateness a move comes to rest. `None`: 1 ms on hardware, no limit on the simulator.
    pub max_lateness: Option<Duration>,
    /// The share of the time between two edges that a motor's loop may spin away to meet the next one,
    /// 0 to 1. It is the price in CPU of a small lateness: the whole of a core where it is 1.
    pub spin: f64,
    /// The board the file is written for, where it says so.
    pub board: Option<Model>,
}

/// `[service]`: what only the service heeds.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ServiceConfig {
    /// The group that may use the control socket, by its name or its number. `None`: the service's own.
    pub group: Option<String>,
}

/// `[power]`: what the motors' supply can give.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PowerConfig {
    /// Milliamperes.
    pub budget: u32,
    /// The least time between two starts that need not be at the same time; zero: none.
    pub stagger: Duration,
}

/// What a motor does when the lease that held it is lost.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub enum LostLease {
    /// It comes to rest, and what was left of its move is dropped.
    #[default]
    Stop,
    /// It comes to rest on its path and can be resumed.
    Hold,
    /// It comes to rest and then goes to this place, in its unit.
    Park(f64),
}

/// The unit of a motor's positions.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MotorUnit {
    /// Millimetres.
    Millimetre,
    /// Degrees.
    Degree,
}

impl MotorUnit {
    /// `mm` or `deg`.
    pub fn symbol(self) -> &'static str {
        match self {
            MotorUnit::Millimetre => "mm",
            MotorUnit::Degree => "deg",
        }
    }
}

/// Limits of a motor's motion in its own unit: units/s, units/s², units/s³, all above zero.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct MotionLimits {
    /// Top speed.
    pub speed: f64,
    /// Largest acceleration.
    pub acceleration: f64,
    /// Largest jerk.
    pub jerk: f64,
}

/// Positions that a motor may take, in its own unit; infinite where unlimited.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Travel {
    /// Lowest position.
    pub min: f64,
    /// Highest position.
    pub max: f64,
}

impl Travel {
    /// Whether `position` lies inside, the ends included.
    pub fn contains(&self, position: f64) -> bool {
        (self.min..=self.max).contains(&position)
    }
}

/// One motor: `[servo.NAME]` or `[axis.NAME]`.
#[derive(Clone, PartialEq, Debug)]
pub struct MotorConfig {
    /// The name behind `servo.` or `axis.`: letters, digits, `-` and `_`.
    pub name: String,
    /// The unit of its positions.
    pub unit: MotorUnit,
    /// Its travel.
    pub travel: Travel,
    /// Its limits.
    pub limits: MotionLimits,
    /// The play of an axis, in its unit, which a move that turns takes up before it begins; 0 for a
    /// servo.
    pub backlash: f64,
    /// It lets go once it has been at rest for this long; `None`: never by itself. Never with a load, nor
    /// for a servo that turns continuously.
    pub release_after: Option<Duration>,
    /// What it draws while it is on, in milliamperes; 0 where there is no power budget.
    pub current: u32,
    /// What it does when the lease that held it is lost.
    pub on_lost_lease: LostLease,
    /// Where its table stands in the file.
    pub span: Span,
    /// How it is driven.
    pub drive: Drive,
}

impl MotorConfig {
    /// What it has as a stepper axis, whatever drives it; `None` for a servo.
    pub fn axis(&self) -> Option<AxisConfig> {
        let backlash = |ratio: Ratio| ratio.scale(self.backlash).round() as i64;
        match &self.drive {
            Drive::Servo(_) => None,
            Drive::StepDir(axis) | Drive::PwmClock(PwmClockDrive { axis, .. }) => {
                Some(AxisConfig {
                    steps_per_unit: axis.steps_per_unit,
                    start_stop_speed: axis.start_stop_speed,
                    reverse: axis.reverse,
                    at_start: axis.at_start,
                    on_stop: axis.on_stop,
                    holds_load: axis.holds_load,
                    wake: axis.timing.wake,
                    backlash: backlash(axis.steps_per_unit),
                })
            }
            Drive::Coils(axis) => Some(AxisConfig {
                steps_per_unit: axis.steps_per_unit,
                start_stop_speed: axis.start_stop_speed,
                reverse: axis.reverse,
                at_start: axis.at_start,
                on_stop: axis.on_stop,
                holds_load: axis.holds_load,
                wake: axis.settle,
                backlash: backlash(axis.steps_per_unit),
            }),
        }
    }
}

impl MotorConfig {
    /// What its position depends on, as a text: two configs in which that is equal mean the same place
    /// by the same count of steps, or by the same angle. Only this release makes the same text.
    pub fn identity(&self) -> String {
        let unit = self.unit.symbol();
        match &self.drive {
            Drive::Servo(s) => {
                let (pulses, trim) = ((s.pulse_min, s.pulse_max), s.trim_ns);
                let angles = (s.angle_min, s.angle_max);
                format!("servo {:?} {pulses:?} {angles:?} {trim} {}", s.output, s.reverse)
            }
            Drive::Coils(c) => format!(
                "coils {unit} {:?} {:?} {:?} {} {:?}",
                c.gpio, c.sequence, c.wiring, c.reverse, c.steps_per_unit
            ),
            Drive::StepDir(a) | Drive::PwmClock(PwmClockDrive { axis: a, .. }) => format!(
                "axis {unit} {} {} {} {} {} {:?} {:?} {:?} {:?} {:?}",
                a.step,
                a.dir,
                a.reverse,
                a.microsteps,
                a.steps_per_revolution,
                a.steps_per_unit,
                a.enable,
                a.mode,
                a.sleep,
                a.reset
            ),
        }
    }
}

/// What every stepper axis has, whatever drives it: see [`MotorConfig::axis`].
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct AxisConfig {
    /// Steps (of the drive: microsteps, or changes of the coils) a unit of travel.
    pub steps_per_unit: Ratio,
    /// Up to this speed, in units/s, it may start and stop at once without losing a step.
    pub start_stop_speed: f64,
    /// Whether a positive move turns the motor the other way.
    pub reverse: bool,
    /// Where the axis is when the machine starts.
    pub at_start: AtStart,
    /// Whether its motor keeps its power when the program stops.
    pub on_stop: AxisStop,
    /// The axis carries a load that would fall: its motor is never released.
    pub holds_load: bool,
    /// From power to the first step, nanoseconds.
    pub wake: u32,
    /// Its play in steps, 0 or more.
    pub backlash: i64,
}

impl AxisConfig {
    /// Whether the motor is let go when the program stops: never with a load.
    pub fn releases_on_stop(&self) -> bool {
        self.on_stop == AxisStop::Release && !self.holds_load
    }
}

/// How a motor is driven.
#[derive(Clone, PartialEq, Debug)]
pub enum Drive {
    /// A hobby servo on a PWM signal.
    Servo(ServoDrive),
    /// A stepper behind a STEP/DIR driver.
    StepDir(StepDirDrive),
    /// A stepper behind a STEP/DIR driver whose STEP is a hardware PWM channel.
    PwmClock(PwmClockDrive),
    /// A stepper whose coils are switched one by one.
    Coils(CoilsDrive),
}

impl Drive {
    /// The lines and the driver of an axis behind a STEP/DIR driver, whatever clocks its steps.
    pub fn step_dir(&self) -> Option<&StepDirDrive> {
        match self {
            Drive::StepDir(axis) | Drive::PwmClock(PwmClockDrive { axis, .. }) => Some(axis),
            Drive::Servo(_) | Drive::Coils(_) => None,
        }
    }

    /// Whether it turns at a rate and has no position.
    pub fn is_rate_only(&self) -> bool {
        matches!(self, Drive::PwmClock(PwmClockDrive { mode: ClockMode::Velocity, .. }))
    }
}

/// A hobby servo.
#[derive(Clone, PartialEq, Debug)]
pub struct ServoDrive {
    /// Where its pulses come from.
    pub output: ServoOutput,
    /// The time from one pulse to the next, whole nanoseconds: what the chip makes of the `frequency`
    /// that the config asks for.
    pub period: Duration,
    /// Shortest pulse it may get.
    pub pulse_min: PulseWidth,
    /// Longest pulse it may get.
    pub pulse_max: PulseWidth,
    /// Angle (degrees) at `pulse_min` (at `pulse_max` if `reverse`). The motor's travel is the range
    /// between the two angles.
    pub angle_min: f64,
    /// Angle (degrees) at `pulse_max` (at `pulse_min` if `reverse`).
    pub angle_max: f64,
    /// Added to every pulse, the two ends included, in nanoseconds.
    pub trim_ns: i32,
    /// Whether the longer pulse is the smaller angle.
    pub reverse: bool,
    /// A pulse that would change by less than this, in nanoseconds, does not, unless it is the last of a
    /// move.
    pub dead_band: u32,
    /// It turns for as long as it has a signal, at a speed that its angle stands for.
    pub continuous: bool,
    /// What it does when the machine starts.
    pub startup: Startup,
    /// What it does on a stop.
    pub on_stop: ServoStop,
}

impl ServoDrive {
    /// The PWM signal that it needs; `None` where its own loop times the pulses.
    pub fn pwm(&self) -> Option<&PwmOutput> {
        match &self.output {
            ServoOutput::Pwm { output, .. } => Some(output),
            ServoOutput::Soft { .. } => None,
        }
    }

    /// How the chip's times relate to those asked of it.
    pub fn timing(&self) -> PwmTiming {
        match self.output {
            ServoOutput::Pwm { timing, .. } => timing,
            ServoOutput::Soft { .. } => PwmTiming::EXACT,
        }
    }

    /// The step in which its pulses go, in nanoseconds: 1 unless the chip counts in coarser ones.
    pub fn grain(&self) -> f64 {
        let timing = self.timing();
        if timing.is_coarse() { timing.step() } else { 1.0 }
    }

    /// Its shortest and its longest pulse, trimmed.
    pub fn pulse_range(&self) -> (PulseWidth, PulseWidth) {
        let trimmed = |width: PulseWidth| {
            PulseWidth::from_nanos(width.as_nanos().saturating_add_signed(self.trim_ns))
        };
        (trimmed(self.pulse_min), trimmed(self.pulse_max))
    }
}

/// Where a servo's pulses come from.
#[derive(Clone, PartialEq, Debug)]
pub enum ServoOutput {
    /// `pwm = { ... }`: a PWM chip.
    Pwm {
        /// The pin, or the channel.
        output: PwmOutput,
        /// How the chip's times relate to those asked of it.
        timing: PwmTiming,
    },
    /// `soft-pwm = { gpio = 23 }`: the servo's own loop, by setting a pin high and low.
    Soft {
        /// The GPIO number of the signal.
        gpio: u8,
        /// Whether it may run without real-time scheduling.
        allow_jitter: bool,
    },
}

/// What a servo does when the machine starts.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Startup {
    /// No signal before its first move.
    Off,
    /// Goes to the middle of its travel.
    Centre,
    /// Goes to an angle in degrees.
    Angle(f64),
    /// Goes to where it stood when the service last ended cleanly; after any other end no signal.
    Last,
}

/// What a servo does on a stop. When the program ends, its signal always ends with it.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum ServoStop {
    /// Goes on holding where it stopped.
    Keep,
    /// Ends its signal: the servo goes limp.
    Release,
    /// Goes to an angle in degrees, then ends its signal when the program ends.
    Park(f64),
}

/// A stepper behind a STEP/DIR driver on GPIO lines.
#[derive(Clone, PartialEq, Debug)]
pub struct StepDirDrive {
    /// GPIO of STEP.
    pub step: u8,
    /// GPIO of DIR.
    pub dir: u8,
    /// The driver's enable line; axes may share it.
    pub enable: Option<LineConfig>,
    /// The driver's fault line, an input.
    pub fault: Option<LineConfig>,
    /// The driver's microstep pins, where the program sets them; else they are strapped.
    pub mode: Vec<ModePin>,
    /// The driver's sleep line: asleep when active. It is left before the first step.
    pub sleep: Option<LineConfig>,
    /// The driver's reset line, which is kept inactive.
    pub reset: Option<LineConfig>,
    /// The driver's timing.
    pub timing: DriverTiming,
    /// The preset's name as the config gives it (`drv8825`), if it does.
    pub driver: Option<String>,
    /// Full steps of the motor a revolution.
    pub steps_per_revolution: u32,
    /// Microsteps a full step.
    pub microsteps: u32,
    /// (Micro)steps a unit of travel.
    pub steps_per_unit: Ratio,
    /// The speed from which the motor may be stopped dead, and to which it may be started, without
    /// losing a step; in the axis' unit a second.
    pub start_stop_speed: f64,
    /// Whether a positive move has DIR low instead of high.
    pub reverse: bool,
    /// Where the axis is when the machine starts.
    pub at_start: AtStart,
    /// What its enable line does when the program stops.
    pub on_stop: AxisStop,
    /// The axis carries a load that would fall: its driver is never released.
    pub holds_load: bool,
}

/// A stepper whose step clock is a hardware PWM channel.
#[derive(Clone, PartialEq, Debug)]
pub struct PwmClockDrive {
    /// All that it has in common with others; its `step` is the PWM channel's GPIO.
    pub axis: StepDirDrive,
    /// Whether its pulses are counted.
    pub mode: ClockMode,
    /// How far the PWM clock's rate may be off, in parts per thousand million.
    pub tolerance_ppb: u32,
    /// What its rate may change by at once, in steps/s: at least what two steps from rest bring it to.
    pub jump: f64,
}

/// What an axis on a PWM step clock promises.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ClockMode {
    /// A position: its pulses come in bursts whose count is proved.
    Position,
    /// A rate, and no position.
    Velocity,
}

/// A stepper whose coils are switched one by one.
#[derive(Clone, PartialEq, Debug)]
pub struct CoilsDrive {
    /// GPIOs of the board's four inputs, in the order of [`CoilDriver::inputs`](super::coil_motors::CoilDriver).
    pub gpio: [u8; 4],
    /// In which order the coils are switched.
    pub sequence: Sequence,
    /// Which of the four inputs belong together.
    pub wiring: CoilWiring,
    /// The board's name as the config, or its motor's preset, gives it: `uln2003`.
    pub driver: String,
    /// The motor's name as the config gives it (`28byj-48`), if it does.
    pub motor: Option<String>,
    /// Full steps of the motor a revolution.
    pub steps_per_revolution: u32,
    /// Steps of the sequence a unit of travel.
    pub steps_per_unit: Ratio,
    /// Up to this speed, in units/s, it may start and stop at once without losing a step.
    pub start_stop_speed: f64,
    /// Whether a positive move goes through the sequence backwards.
    pub reverse: bool,
    /// Where the axis is when the machine starts.
    pub at_start: AtStart,
    /// What its coils do whenever it rests.
    pub at_rest: AtRest,
    /// What its coils do when the program stops.
    pub on_stop: AxisStop,
    /// The axis carries a load that would fall: its coils never let go.
    pub holds_load: bool,
    /// From power to the first step, and from the last step to letting go, at least: nanoseconds in
    /// which the rotor swings in.
    pub settle: u32,
}

/// In which order the coils of a stepper are switched.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sequence {
    /// One coil at a time: four full steps.
    Wave,
    /// Two neighbours at a time: four full steps, with the most torque.
    Full,
    /// One and two in turn: eight half steps.
    Half,
}

impl Sequence {
    /// Steps of the sequence for each full step of the motor.
    pub fn per_full_step(self) -> u32 {
        match self {
            Sequence::Wave | Sequence::Full => 1,
            Sequence::Half => 2,
        }
    }

    /// Its name in a config.
    pub fn name(self) -> &'static str {
        match self {
            Sequence::Wave => "wave",
            Sequence::Full => "full",
            Sequence::Half => "half",
        }
    }
}

/// Which of the four inputs of a board for coils belong together, and must never be on both at once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CoilWiring {
    /// An input for each of four half windings: the first and the third, the second and the fourth pull
    /// against each other.
    Unipolar,
    /// Two inputs for each of two H-bridges: the first two, the last two. Both on short the winding.
    Bipolar,
}

/// What the coils of an axis do whenever it rests.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AtRest {
    /// They hold.
    Hold,
    /// They let go, and take up the same phase again before the next move (never with `holds-load`).
    Release,
}

/// A microstep pin of a driver, and the level it has for the axis' microsteps.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ModePin {
    /// GPIO number.
    pub gpio: u8,
    /// The driver's name for it: `M0`.
    pub name: &'static str,
    /// Whether it is high.
    pub high: bool,
}

/// A control line of a driver.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LineConfig {
    /// GPIO number.
    pub gpio: u8,
    /// Whether the line is active when low.
    pub active_low: bool,
}

/// Times that a STEP/DIR driver asks for, in nanoseconds, from its data sheet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DriverTiming {
    /// STEP high, at least.
    pub step_high: u32,
    /// STEP low, at least.
    pub step_low: u32,
    /// DIR stable before STEP rises.
    pub dir_setup: u32,
    /// DIR stable after STEP falls.
    pub dir_hold: u32,
    /// From enable to the first step.
    pub wake: u32,
}

impl DriverTiming {
    /// The fastest step rate that the pulse and its gap allow, in steps a second.
    pub fn max_step_rate(&self) -> f64 {
        1e9 / (f64::from(self.step_high) + f64::from(self.step_low))
    }
}

/// Where an axis is when the machine starts.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum AtStart {
    /// Nobody knows.
    Unknown,
    /// The person says it is there, in the axis' unit; reported as assumed.
    Assume(f64),
    /// Where it stood when the service last ended cleanly; after any other end nobody knows.
    Restored,
}

/// What an axis' enable line does when the program stops.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AxisStop {
    /// Stays as it is.
    Keep,
    /// Goes inactive (never with `holds-load`).
    Release,
}

/// `[program.NAME]`.
#[derive(Clone, PartialEq, Debug)]
pub struct ProgramConfig {
    /// Its name.
    pub name: String,
    /// For each move that does not say its own.
    pub move_timeout: Option<Duration>,
    /// What happens when a step fails.
    pub on_failure: OnFailure,
    /// The steps.
    pub steps: Vec<StepConfig>,
    /// Where its table stands in the file.
    pub span: Span,
}

/// What a program does when a step fails.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum OnFailure {
    /// Ends.
    #[default]
    Stop,
    /// Goes on with the next step; the program still counts as failed.
    Continue,
}

/// One step of a program and where it stands in the file.
#[derive(Clone, PartialEq, Debug)]
pub struct StepConfig {
    /// What it does.
    pub action: Action,
    /// Where it stands.
    pub span: Span,
}

/// What a step of a program does. Motors are indices into [`Config::motors`], programs into
/// [`Config::programs`].
#[derive(Clone, PartialEq, Debug)]
pub enum Action {
    /// `{ move = { x = "1mm" }, ... }`
    Move(MoveAction),
    /// `{ pause = "500ms" }`
    Pause(Duration),
    /// `{ sweep = { pan = ["-45deg", "45deg"] }, step = "9deg", every = "500ms", times = 2 }`
    Sweep(SweepAction),
    /// `{ keyframes = [ { at = "0s", pan = "0deg" }, ... ] }`
    Keyframes(Vec<Keyframe>),
    /// `{ repeat = 3, steps = [...] }`; `None`: forever.
    Repeat(Option<u32>, Vec<StepConfig>),
    /// `{ run = "wave" }`
    Run(usize),
    /// `{ wait-for = ["door-open"], timeout = "10s" }`: until all of these named events have come.
    WaitFor(WaitAction),
    /// `{ trigger = "part-ready" }`: a named event.
    Trigger(String),
    /// `{ together = [ [...], [...] ] }`: branches side by side. No motor stands in two of them.
    Together(Vec<Vec<StepConfig>>),
}

/// A wait for named events.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WaitAction {
    /// Their names: at least one, each once.
    pub events: Vec<String>,
    /// After this the step has failed.
    pub timeout: Duration,
}

/// A target of one motor in its own unit, and where it stands in the file.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Target {
    /// Index into [`Config::motors`].
    pub motor: usize,
    /// Where to, in the motor's unit.
    pub position: f64,
    /// Where the value stands.
    pub span: Span,
}

/// A move of one or more motors.
#[derive(Clone, PartialEq, Debug)]
pub struct MoveAction {
    /// At least one; each motor once; in the order of the file.
    pub targets: Vec<Target>,
    /// Together or one by one.
    pub order: Order,
    /// Aligned or each at its own best.
    pub arrive: Arrive,
    /// Share of the speed limit, above 0 and at most 1.
    pub speed: f64,
    /// Its own time-out.
    pub timeout: Option<Duration>,
    /// What a fault in one motor means for the others.
    pub on_fault: OnFault,
    /// A program for each motor that falls short: (motor, program).
    pub on_short: Vec<(usize, usize)>,
    /// It does not stop at its end but runs through into the move that stands directly after it, within
    /// this distance of the corner, in its motors' unit. Above 0; only of an aligned move, all of whose
    /// motors have one unit, without a time-out or an `on_short` of its own.
    pub blend: Option<f64>,
}

/// Whether the motors of a move go at once.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Order {
    /// All at once.
    #[default]
    Together,
    /// One after another, in the order they are written.
    OneByOne,
}

/// How the motors of a move arrive.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Arrive {
    /// Together, along the straight line.
    #[default]
    Aligned,
    /// Each as soon as possible.
    Asap,
}

/// What a fault in one motor of a move means for the others.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum OnFault {
    /// They come to rest.
    #[default]
    Stop,
    /// They go on.
    Continue,
}

/// Steps back and forth between two ends.
#[derive(Clone, PartialEq, Debug)]
pub struct SweepAction {
    /// The motors, each with its two ends (the first is where it begins) and where they stand.
    pub motors: Vec<SweepMotor>,
    /// A new target this often.
    pub every: Duration,
    /// How many times there and back; `None`: forever.
    pub times: Option<u32>,
}

/// One motor of a sweep.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct SweepMotor {
    /// Index into [`Config::motors`].
    pub motor: usize,
    /// Where it begins, in the motor's unit.
    pub from: f64,
    /// Where it turns.
    pub to: f64,
    /// Distance between two targets, above 0; the last one before an end may be shorter.
    pub step: f64,
    /// Where its ends stand in the file.
    pub span: Span,
}

/// Positions to be in at a time.
#[derive(Clone, PartialEq, Debug)]
pub struct Keyframe {
    /// Time since the step began; strictly rising from one keyframe to the next.
    pub at: Duration,
    /// The motors it names (those it leaves out go on to their next keyframe).
    pub targets: Vec<Target>,
    /// Where it stands in the file.
    pub span: Span,
}
