use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::board::PwmOutput;

fn load(text: &str) -> Config {
    Config::from_str(text, "test.toml").unwrap_or_else(|e| panic!("{e}")).config
}

const SHIPPED: [&str; 5] = [
    include_str!("../../config/servo-sweep.toml"),
    include_str!("../../config/two-servos.toml"),
    include_str!("../../config/xyz-stage.toml"),
    include_str!("../../config/pan-tilt.toml"),
    include_str!("../../config/pca9685-arm.toml"),
];

const AXIS: &str = r#"
step = { gpio = 17 }
dir = { gpio = 27 }
steps-per-revolution = 200
"#;

fn step_dir(text: &str) -> (MotorConfig, StepDirDrive) {
    let motor = load(text).motors.remove(0);
    let Drive::StepDir(drive) = motor.drive.clone() else { panic!("no axis") };
    (motor, drive)
}

#[test]
fn three_lines_make_a_servo() {
    let config = load("# my first\n[servo.pan]\npwm = { gpio = 18 }\n");
    let motor = &config.motors[0];
    assert_eq!((motor.name.as_str(), motor.unit), ("pan", MotorUnit::Degree));
    assert_eq!(motor.travel, Travel { min: -45.0, max: 45.0 });
    assert_eq!(motor.limits, MotionLimits { speed: 600.0, acceleration: 6000.0, jerk: 60_000.0 });
    let Drive::Servo(drive) = &motor.drive else { panic!("no servo") };
    assert_eq!(drive.period.as_nanos(), 20_000_000);
    assert_eq!((drive.pulse_min.as_nanos(), drive.pulse_max.as_nanos()), (1_000_000, 2_000_000));
    assert_eq!((drive.startup, drive.on_stop), (Startup::Off, ServoStop::Keep));
    assert_eq!(config.machine.name, "test");
}

#[test]
fn steps_per_unit_are_exact() {
    let text = format!(
        "[axis.r]{AXIS}microsteps = 32\ngear-ratio = \"25792/405\"\ndriver = \"drv8825\"\n\
         distance-per-revolution = \"360deg\"\ntravel = \"unlimited\"\n\
         max-speed = \"1rpm\"\nmax-acceleration = \"0.5turn/s^2\"\n"
    );
    let (motor, drive) = step_dir(&text);
    assert_eq!(motor.unit, MotorUnit::Degree);
    assert_eq!(motor.travel, Travel { min: f64::NEG_INFINITY, max: f64::INFINITY });
    assert_eq!(motor.limits, MotionLimits { speed: 6.0, acceleration: 180.0, jerk: 1800.0 });
    let exact = crate::units::Ratio::new(200 * 32 * 25_792, 405 * 360);
    assert_eq!(Some(drive.steps_per_unit), exact);
    assert_eq!((drive.timing.step_high, drive.timing.wake), (1_900, 1_700_000));
    assert_eq!((drive.at_start, drive.on_stop), (AtStart::Unknown, AxisStop::Keep));
}

#[test]
fn times_can_be_written_out() {
    let text = format!(
        "[axis.x]{AXIS}microsteps = 10\ngear-ratio = 2\n\
         driver = {{ step-high = \"2us\", step-low = \"3us\", dir-setup = \"1us\", dir-hold = \"0us\", \
         wake = \"2ms\" }}\n\
         distance-per-revolution = \"0.2in\"\ntravel = {{ min = \"-1cm\", max = \"1cm\" }}\n\
         max-speed = \"1mm/s\"\nmax-acceleration = \"1mm/s^2\"\nat-start = {{ assume = \"-10mm\" }}\n"
    );
    let (_, drive) = step_dir(&text);
    assert_eq!(
        drive.timing,
        DriverTiming {
            step_high: 2000,
            step_low: 3000,
            dir_setup: 1000,
            dir_hold: 0,
            wake: 2_000_000
        }
    );
    assert_eq!(drive.driver, None);
    assert_eq!(drive.at_start, AtStart::Assume(-10.0));
    assert_eq!(drive.steps_per_unit.to_string(), "100000/127");
}

#[test]
fn both_spellings_of_the_centre() {
    for word in ["centre", "center"] {
        let config = load(&format!("[servo.pan]\npwm = {{ gpio = 18 }}\nstartup = \"{word}\"\n"));
        let Drive::Servo(drive) = &config.motors[0].drive else { panic!("no servo") };
        assert_eq!(drive.startup, Startup::Centre);
    }
}

#[test]
fn motors_stand_in_the_order_of_the_file() {
    let axis = |name: &str, step, dir| {
        format!(
            "[axis.{name}]\nstep = {{ gpio = {step} }}\ndir = {{ gpio = {dir} }}\n\
             steps-per-revolution = 200\nmicrosteps = 1\ndriver = \"a4988\"\n\
             distance-per-revolution = \"8mm\"\ntravel = \"unlimited\"\n\
             max-speed = \"1mm/s\"\nmax-acceleration = \"1mm/s^2\"\n"
        )
    };
    let text = format!(
        "{}[servo.pan]\npwm = {{ gpio = 18 }}\n{}[program.p]\nsteps = [{{ move = {{ z = \"1mm\", a = \"2mm\" }} }}]\n",
        axis("z", 5, 6),
        axis("a", 7, 8)
    );
    let config = load(&text);
    let names: Vec<_> = config.motors.iter().map(|m| m.name.as_str()).collect();
    assert_eq!(names, ["z", "pan", "a"]);
    let Action::Move(m) = &config.programs[0].steps[0].action else { panic!("no move") };
    assert_eq!(m.targets.iter().map(|t| t.motor).collect::<Vec<_>>(), [0, 2]);
    let span = m.targets[1].span;
    assert_eq!(&text[span.start..span.end], "\"2mm\"");
}

#[test]
fn the_board_decides_what_pins_can_do() {
    let text = "[servo.a]\npwm = { gpio = 12 }\n[servo.b]\npwm = { gpio = 18 }\n";
    assert!(Config::from_str(text, "t").is_err());
    assert!(Config::from_str_for(text, "t", Some(Model::Pi4)).is_err());
    let loaded = Config::from_str_for(text, "t", Some(Model::Pi5)).unwrap();
    assert_eq!((loaded.board, loaded.board_assumed), (Model::Pi5, false));
    assert_eq!(loaded.config.machine.board, None);
    let named = format!("[machine]\nboard = \"pi-5\"\n{text}");
    let loaded = Config::from_str(&named, "t").unwrap();
    assert_eq!((loaded.board, loaded.board_assumed), (Model::Pi5, false));
    assert!(Config::from_str_for(&named, "t", Some(Model::Zero)).is_err());
}

#[test]
fn the_speed_that_an_error_proposes_is_accepted() {
    let axis = |speed: &str| {
        let text = format!(
            "[axis.x]{AXIS}microsteps = 16\ndriver = \"dm542\"\ndistance-per-revolution = \"3mm\"\n\
             travel = \"unlimited\"\nmax-speed = \"{speed}\"\nmax-acceleration = \"9mm/s^2\"\n"
        );
        Config::from_str(&text, "t").map(|_| ())
    };
    let message = axis("5m/s").unwrap_err().diagnostics[0].text();
    let proposed = message.split("at most \"").nth(1).unwrap().split('"').next().unwrap();
    axis(proposed).unwrap();
    // And it is close to the limit: 200000 steps a second, 1066.7 steps a millimetre.
    assert_eq!(proposed, "187mm/s");
}

#[test]
fn a_file_that_cannot_be_read_is_one_error() {
    let error = Config::from_file("/nowhere/at-all.toml").unwrap_err();
    let text = error.to_string();
    assert!(text.starts_with("/nowhere/at-all.toml: error: can't read it"), "{text}");
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(Config::from_file(folder.path()).unwrap_err().diagnostics.len(), 1);
    let latin = folder.path().join("latin.toml");
    std::fs::write(&latin, b"[machine]\nname = \"\xe9\"\n").unwrap();
    let text = Config::from_file(&latin).unwrap_err().to_string();
    assert!(text.ends_with("line 2 is not UTF-8 text: save the file as UTF-8"), "{text}");
}

#[test]
fn later_errors_show_against_the_same_text() {
    let loaded = Config::from_str(SHIPPED[2], "xyz.toml").unwrap();
    let tour = loaded.config.program("tour").unwrap();
    let late = Diagnostic::new(tour.steps[1].span, "too long").help("raise its `timeout`");
    let text = loaded.errors(vec![late]).to_string();
    let line = SHIPPED[2].lines().position(|l| l.contains("180mm")).unwrap() + 1;
    assert!(text.starts_with(&format!("xyz.toml:{line}:3: error: too long: raise its")), "{text}");
}

#[test]
fn many_errors_are_cut_short() {
    let text: String = (0..500).map(|i| format!("k{i} = 1\n")).collect();
    let errors = Config::from_str(&text, "t").unwrap_err();
    assert_eq!(errors.diagnostics.len(), 500);
    assert!(errors.to_string().ends_with("\nt: error: and 400 more"));
}

const VALUES: [&str; 24] = [
    "0",
    "-1",
    "18",
    "300",
    "1.5",
    "inf",
    "true",
    "{}",
    "[]",
    "[[]]",
    "1979-05-27",
    "\"\"",
    "\"x\"",
    "\"pan\"",
    "\"0mm\"",
    "\"-5mm\"",
    "\"1e15mm\"",
    "\"10deg\"",
    "\"1000deg\"",
    "\"0us\"",
    "\"3s\"",
    "\"50%\"",
    "{ gpio = 18 }",
    "{ min = \"1mm\", max = \"2mm\" }",
];

// Nothing may panic, and what is refused can be shown.
fn survives(text: &str) {
    if let Err(errors) = Config::from_str(text, "t") {
        assert!(!errors.diagnostics.is_empty());
        assert!(!errors.to_string().contains("can't say why"), "{text}");
        assert!(!errors.to_string().is_empty());
        for d in errors.diagnostics {
            assert!(d.span.is_none_or(|s| s.start <= s.end && s.end <= text.len()), "{d:?}");
        }
    }
}

#[test]
fn deep_nesting_is_refused() {
    for n in [100, 10_000, 100_000] {
        survives(&format!("a = {}{}", "[".repeat(n), "]".repeat(n)));
        survives(&format!("a = {}", "{a=".repeat(n)));
        survives(&format!("{}b = 1", "a.".repeat(n)));
        survives(&format!("[{}b]", "a.".repeat(n)));
        let steps = "{ repeat = 2, steps = [ ";
        survives(&format!(
            "[servo.a]\npwm = {{ gpio = 18 }}\n[program.p]\nsteps = [ {}{}]",
            steps.repeat(n),
            "] }".repeat(n)
        ));
    }
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in "(?s).{0,200}") {
        survives(&text);
    }

    #[test]
    fn any_mutation_of_a_shipped_config_is_read_or_refused(
        which in 0usize..SHIPPED.len(),
        cuts in prop::collection::vec((any::<prop::sample::Index>(), 0usize..12, "[ \\[\\]{}=\",.a-z0-9#\n\u{b5}-]{0,6}"), 1..6),
    ) {
        let mut text = SHIPPED[which].to_owned();
        for (at, length, insert) in cuts {
            let mut start = at.index(text.len());
            while !text.is_char_boundary(start) { start -= 1; }
            let mut end = (start + length).min(text.len());
            while !text.is_char_boundary(end) { end += 1; }
            text.replace_range(start..end, &insert);
        }
        survives(&text);
    }

    /// Lines swapped, doubled and left out keep the syntax and disturb everything else.
    #[test]
    fn any_shuffle_of_lines_is_read_or_refused(
        picks in prop::collection::vec((0usize..4, any::<prop::sample::Index>()), 0..60),
    ) {
        let lines: Vec<Vec<&str>> = SHIPPED
            .iter()
            .map(|s| s.lines().filter(|l| !l.is_empty() && !l.starts_with('#')).collect())
            .collect();
        let text: Vec<&str> = picks.iter().map(|(w, i)| lines[*w][i.index(lines[*w].len())]).collect();
        survives(&text.join("\n"));
    }

    /// Values that are whole, but the wrong ones: every refusal has its reason.
    #[test]
    fn any_exchange_of_values_is_read_or_refused(
        which in 0usize..SHIPPED.len(),
        swaps in prop::collection::vec((any::<prop::sample::Index>(), 0usize..VALUES.len()), 1..5),
    ) {
        // Everything between `= ` or `[` and the next `,`, `}`, `]` or blank.
        let text = SHIPPED[which];
        let mut places: Vec<usize> = Vec::new();
        let mut at = 0;
        for line in text.split_inclusive('\n') {
            if !line.trim_start().starts_with('#') {
                places.extend(line.match_indices("= ").map(|(i, _)| at + i + 2));
            }
            at += line.len();
        }
        let mut chosen: Vec<(usize, usize)> =
            swaps.iter().map(|(i, v)| (places[i.index(places.len())], *v)).collect();
        chosen.sort_unstable();
        chosen.dedup_by_key(|c| c.0);
        let mut out = text.to_owned();
        for (start, value) in chosen.into_iter().rev() {
            let rest = &out[start..];
            let length = match rest.as_bytes()[0] {
                b'{' | b'[' => continue,
                _ => rest.find([',', ' ', '}', ']', '\n']).unwrap_or(rest.len()),
            };
            out.replace_range(start..start + length, VALUES[value]);
        }
        survives(&out);
    }

    /// A number in a quantity's place, whatever it is, is never taken.
    #[test]
    fn bare_numbers_are_refused(n in any::<f64>()) {
        let text = format!("[servo.pan]\npwm = {{ gpio = 18 }}\nmax-speed = {n:?}\n");
        prop_assert!(Config::from_str(&text, "t").is_err());
    }
}

/// Said on one channel, a correction holds for the chip; the period is what the chip makes of it.
#[test]
fn a_chip_has_one_clock() {
    let text = "[servo.a]\npwm = { device = \"pca9685\", channel = 0 }\n\
                [servo.b]\npwm = { device = \"pca9685-pwm\", channel = 1, clock-correction = \"40000ppm\" }\n\
                [servo.c]\npwm = { gpio = 18, clock-correction = \"-1200ppm\" }\n\
                [servo.d]\npwm = { gpio = 19 }\nfrequency = \"100Hz\"\n";
    let config = load(text);
    let servo = |name: &str| match &config.motor(name).unwrap().drive {
        Drive::Servo(servo) => servo.clone(),
        _ => panic!("no servo"),
    };
    let (a, b, c, d) = (servo("a"), servo("b"), servo("c"), servo("d"));
    assert_eq!((a.timing(), a.period), (b.timing(), b.period));
    // 127 cycles of 26 MHz make a step.
    assert_eq!(a.period, Duration::from_nanos(20_007_385));
    assert!((a.grain() - 127.0 * 1e3 / 26.0).abs() < 1e-6, "{}", a.grain());
    assert_eq!(c.timing(), d.timing());
    assert_eq!((c.timing().asked(20_000_000), c.grain()), (19_976_000, 1.0));
    assert_eq!((c.period.as_millis(), d.period.as_millis()), (20, 10));
}

#[test]
fn a_pin_names_its_chip() {
    let config = load("[servo.a]\npwm = { device = \"pwm-gpio\", gpio = 23 }\n");
    let Drive::Servo(servo) = &config.motors[0].drive else { panic!("no servo") };
    let device = "pwm_gpio@17".to_owned();
    assert_eq!(servo.pwm(), Some(&PwmOutput::Channel { device, channel: 0 }));
}
