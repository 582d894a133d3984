//! `lockstep check`: validates configs and prints what to wire and to write into `config.txt`.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::shared::LookedAt;
use super::wiring::{Note, Row, Wiring, and, wiring};
use super::{Report, outputs, preflight, room};
use crate::board::Model;
use crate::config::{Config, ConfigErrors, Diagnostic, Loaded, consumers};
use crate::text::Columns;
use crate::units::Current;

/// How to check.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options<'a> {
    /// Check the pins for this board, whatever the file says.
    pub board: Option<Model>,
    /// One JSON object instead of text.
    pub json: bool,
    /// Say, too, what this program asks of its motors.
    pub program: Option<&'a str>,
}

/// Checks each file in turn. `look` finds what only shows in a plan, in a file that is right so far.
///
/// The status is 0 if every file is right, else 2.
pub(super) fn check(
    files: &[PathBuf],
    options: Options<'_>,
    look: &dyn Fn(&Loaded) -> LookedAt,
) -> Report {
    let results: Vec<_> = files
        .iter()
        .map(|file| {
            let loaded = Config::from_file_for(file, options.board)?;
            let LookedAt { errors, too_long } = look(&loaded);
            match errors.is_empty() {
                true => Ok((loaded, too_long)),
                false => Err(loaded.errors(errors)),
            }
        })
        .collect();
    let status = if results.iter().all(Result::is_ok) { 0 } else { 2 };
    let mut report = Report { status, ..Report::default() };
    if options.json {
        let all: Vec<Value> = results
            .iter()
            .map(|r| match r {
                Ok((loaded, too_long)) => loaded_json(loaded, too_long, options.program),
                Err(errors) => errors_json(errors),
            })
            .collect();
        report.out = format!("{:#}\n", json!({ "ok": status == 0, "files": all }));
        return report;
    }
    for result in results {
        match result {
            Ok((loaded, too_long)) => {
                if !report.out.is_empty() {
                    report.out.push('\n');
                }
                report.out += &text(&loaded, &too_long);
                if let Some(program) = options.program {
                    report.out += &preflight::text(&loaded.config, program);
                }
            }
            Err(errors) => report.err += &format!("{errors}\n"),
        }
    }
    report
}

/// Reads and checks a text as `check` does a file, with what its programs plan, and says what there is to know about
/// it.
///
/// # Errors
///
/// All of its errors.
pub fn described(
    config: &str,
    name: &str,
    board: Option<Model>,
) -> Result<(Loaded, String), ConfigErrors> {
    let loaded = Config::from_str_for(config, name, board)?;
    let LookedAt { errors, too_long } =
        super::shared::look_at_plans(&loaded.config, None, &|| false);
    if !errors.is_empty() {
        return Err(loaded.errors(errors));
    }
    let told = text(&loaded, &too_long);
    Ok((loaded, told))
}

/// What there is to know about a config that is right.
fn text(loaded: &Loaded, too_long: &[String]) -> String {
    let wiring = wiring(loaded);
    let mut out =
        format!("{}: ok\n{}\n{}\n", loaded.source.name(), contents(loaded), board(loaded));
    out += "\nWiring\n";
    table(&mut out, &wiring);
    out += &power(&loaded.config);
    if wiring.remarks.len() + too_long.len() > 0 {
        out += "\nGood to know\n";
    }
    for remark in wiring.remarks.iter().chain(too_long) {
        out += &format!("  {remark}\n");
    }
    notes(
        &mut out,
        "In /boot/firmware/config.txt (before Debian 12: /boot/config.txt)",
        &wiring.config_txt,
    );
    notes(&mut out, "After each boot", &wiring.commands);
    out
}

/// What the motors draw, where the config has a power budget.
fn power(config: &Config) -> String {
    let Some(power) = config.power else { return String::new() };
    let amperes = |milli: u64| Current(milli as f64 / 1e3);
    let mut out = format!("\nPower, of a budget of {}\n", amperes(power.budget.into()));
    let mut all = 0;
    for one in consumers(&config.motors) {
        all += u64::from(one.current);
        let names: Vec<_> = one.motors.iter().map(|&m| config.motors[m].name.as_str()).collect();
        let when = match (one.always, names.len()) {
            (true, _) => "always",
            (false, 1) => "while it is on",
            (false, _) => "while one of them is on, since they share an enable line",
        };
        out += &format!("  {}: {} {when}\n", and(&names), amperes(one.current.into()));
    }
    let enough = match all <= u64::from(power.budget) {
        true => "all can be on together",
        false => "not all can be on together: moves wait their turn",
    };
    out + &format!("  {enough} ({})\n", amperes(all))
}

/// `  axes x, y and z; programs tour and recover`.
fn contents(loaded: &Loaded) -> String {
    let config = &loaded.config;
    let of_kind = |servo: bool| -> Vec<&str> {
        let all = config.motors.iter().filter(|m| m.is_servo() == servo);
        all.map(|m| m.name.as_str()).collect()
    };
    let programs: Vec<&str> = config.programs.iter().map(|p| p.name.as_str()).collect();
    let mut parts = Vec::new();
    for (one, many, names) in [
        ("servo", "servos", of_kind(true)),
        ("axis", "axes", of_kind(false)),
        ("program", "programs", programs),
    ] {
        match names.len() {
            0 => {}
            1 => parts.push(format!("{one} {}", names[0])),
            _ => parts.push(format!("{many} {}", and(&names))),
        }
    }
    format!("  {}", parts.join("; "))
}

fn board(loaded: &Loaded) -> String {
    if loaded.board_assumed {
        "  its pins suit every Raspberry Pi with 40 header pins (`--board pi-5` checks for one board)"
            .to_owned()
    } else {
        format!("  its pins suit a {}", loaded.board.name())
    }
}

fn function(row: &Row) -> String {
    match row.active {
        Some(level) => format!("{}, active {level}", row.function),
        None => row.function.to_owned(),
    }
}

fn table(out: &mut String, wiring: &Wiring) {
    let all: Vec<&Row> = wiring.rows.iter().chain(&wiring.shared).collect();
    let mut table = Columns::new("<<<<").indented(2);
    table.row(["motor", "function", "GPIO", "header pin"]);
    // So that the tables of most configs are alike.
    table.make_room(&["", "ENABLE, active high", "GPIO27", ""]);
    let mut last = "";
    for (i, row) in all.iter().enumerate() {
        let motor = if row.motor == last { "" } else { &row.motor };
        last = &row.motor;
        let gpio = row.gpio.map(|gpio| format!("GPIO{gpio}"));
        let output = gpio.or_else(|| row.channel.clone()).unwrap_or_default();
        match row.header_pin {
            Some(pin) => table.row([motor, &function(row), &output, &pin.to_string()]),
            None => table.row([motor, &function(row), &output]),
        }
        let ends = all.get(i + 1).is_none_or(|next| next.motor != row.motor);
        let strap = wiring.straps.iter().find(|s| s.motor == row.motor);
        if let (true, Some(strap)) = (ends, strap) {
            table.row(["", strap.what, &strap.text]);
        }
    }
    *out += &table.text(room());
}

fn notes(out: &mut String, title: &str, notes: &[Note]) {
    if notes.is_empty() {
        return;
    }
    *out += &format!("\n{title}\n");
    for note in notes {
        *out += &format!("  # {}\n  {}\n", note.why, note.line);
    }
}

fn errors_json(errors: &ConfigErrors) -> Value {
    let error = |d: &Diagnostic| {
        let at = d.span.map(|s| errors.source.position(s.start));
        json!({
            "line": at.map(|p| p.line),
            "column": at.map(|p| p.column),
            "message": d.message,
            "help": d.help,
        })
    };
    let all: Vec<Value> = errors.diagnostics.iter().map(error).collect();
    json!({ "file": errors.source.name(), "ok": false, "errors": all })
}

fn loaded_json(loaded: &Loaded, too_long: &[String], program: Option<&str>) -> Value {
    let wiring = wiring(loaded);
    let motor = |m: &crate::config::MotorConfig| {
        let lines = wiring.rows.iter().filter(|r| r.motor == m.name).map(|r| {
            json!({
                "function": r.function.to_lowercase(),
                "gpio": r.gpio,
                "channel": r.channel,
                "header_pin": r.header_pin,
                "active": r.active,
            })
        });
        let axis = |s: &&super::wiring::Strap| s.motor == m.name && !m.is_servo();
        let straps = wiring.straps.iter().find(axis).map(|s| &s.text);
        let resolution = m.drive.servo().and_then(outputs::resolution).map(|ns| ns / 1e3);
        json!({
            "name": m.name,
            "kind": m.table(),
            "unit": m.unit.symbol(),
            "lines": lines.collect::<Vec<_>>(),
            "straps": straps,
            "resolution_us": resolution,
        })
    };
    let lines = |notes: &[Note]| notes.iter().map(|n| n.line.clone()).collect::<Vec<_>>();
    let mut all = json!({
        "file": loaded.source.name(),
        "ok": true,
        "machine": loaded.config.machine.name,
        "board": loaded.board.short_name(),
        "board_assumed": loaded.board_assumed,
        "motors": loaded.config.motors.iter().map(motor).collect::<Vec<_>>(),
        "programs": loaded.config.programs.iter().map(|p| &p.name).collect::<Vec<_>>(),
        "remarks": wiring.remarks.iter().chain(too_long).collect::<Vec<_>>(),
        "config_txt": lines(&wiring.config_txt),
        "commands": lines(&wiring.commands),
    });
    if let Some(power) = loaded.config.power {
        let consumer = |one: &crate::config::Consumer| {
            let names = one.motors.iter().map(|&m| &loaded.config.motors[m].name);
            json!({
                "motors": names.collect::<Vec<_>>(),
                "current_a": f64::from(one.current) / 1e3,
                "always": one.always,
            })
        };
        all["power"] = json!({
            "budget_a": f64::from(power.budget) / 1e3,
            "stagger_s": power.stagger.as_secs_f64(),
            "consumers": consumers(&loaded.config.motors).iter().map(consumer).collect::<Vec<_>>(),
        });
    }
    if let Some(program) = program {
        all["program"] = preflight::json(&loaded.config, program);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn file(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
    }

    fn run(names: &[&str], options: Options<'_>) -> Report {
        let files: Vec<PathBuf> = names.iter().map(|n| file(n)).collect();
        check(&files, options, &|_| LookedAt::default())
    }

    #[test]
    fn a_good_file_shows_what_to_wire() {
        let report = run(&["config/xyz-stage.toml"], Options::default());
        assert_eq!((report.status, report.err.as_str()), (0, ""));
        let rest = report.out.split_once(": ok\n").unwrap().1;
        let expected = "  axes x, y and z; programs tour and y-again
  its pins suit every Raspberry Pi with 40 header pins (`--board pi-5` checks for one board)

Wiring
  motor  function             GPIO    header pin
  x      STEP                 GPIO17  11
         DIR                  GPIO27  13
         ENABLE, active low   GPIO22  15
         FAULT, active low    GPIO5   29
         set on the driver    M0 low, M1 low, M2 high
  y      STEP                 GPIO23  16
         DIR                  GPIO24  18
         ENABLE, active low   GPIO22  15
         FAULT, active low    GPIO6   31
         set on the driver    M0 low, M1 low, M2 high
  z      STEP                 GPIO25  22
         DIR                  GPIO16  36
         ENABLE, active low   GPIO22  15
         FAULT, active low    GPIO26  37
         set on the driver    M0 low, M1 low, M2 high

In /boot/firmware/config.txt (before Debian 12: /boot/config.txt)
  # no power for x, y and z until a program runs
  gpio=22=op,dh
";
        assert_eq!(rest, expected);
    }

    #[test]
    fn where_pulses_come_from_and_how_fine_they_are() {
        let text = "[servo.base]\npwm = { device = \"1-0041\", channel = 7, clock-correction = \"-20000ppm\" }\n\
                    [servo.tail]\nsoft-pwm = { gpio = 23 }\n[servo.ear]\npwm = { device = \"pwm-gpio\", gpio = 24 }\n\
                    [servo.head]\npwm = { gpio = 18 }\n";
        let loaded = Config::from_str(text, "t.toml").unwrap();
        let shown = super::text(&loaded, &[]);
        let rest = shown.split_once("\nWiring\n").unwrap().1;
        let expected = "  motor   function             GPIO    header pin
  base    PWM                  channel 7 of 1-0041
          pulses in steps of   4.9us, which is 0.441deg
  tail    soft PWM             GPIO23  16
          pulses timed by      its own loop: 10us late is 0.9deg
  ear     PWM                  GPIO24  18
          pulses timed by      the kernel's interrupts
  head    PWM                  GPIO18  12
          pulses in steps of   0.1us or less, which is 0.009deg
  1-0041  SDA                  GPIO2   3
          SCL                  GPIO3   5

Good to know
  1-0041: corrected for a clock that runs 20000ppm slow
  1-0041 has one period for all its outputs, 20.062ms (49.8Hz), in 4096 steps of 4.9us
  tail: pulses jitter with the wake-ups of the loop that times them;
  on hardware that needs real-time scheduling, or `allow-jitter = true`

In /boot/firmware/config.txt (before Debian 12: /boot/config.txt)
  # hardware PWM on GPIO18
  dtoverlay=pwm,pin=18,func=2
  # up to the Pi 3, analog audio would use the same PWM channels
  dtparam=audio=off
  # 1-0041, the PCA9685 of base
  dtoverlay=i2c-pwm-pca9685a,addr=0x41
  # the kernel's soft PWM on GPIO24
  dtoverlay=pwm-gpio,gpio=24
  # a pulse reaches a PCA9685 in a third of a millisecond, not in more than one
  dtparam=i2c_arm=on,i2c_arm_baudrate=400000
";
        assert_eq!(rest, expected);
    }

    #[test]
    fn every_shipped_config_fits_a_terminal() {
        let all = [
            "servo-sweep",
            "two-servos",
            "xyz-stage",
            "pan-tilt",
            "28byj48-dial",
            "pca9685-arm",
            "pwm-turntable",
        ];
        for name in all {
            let report = run(&[&format!("config/{name}.toml")], Options::default());
            assert_eq!(report.status, 0);
            assert!(report.out.lines().skip(1).all(|l| l.chars().count() <= 100), "{}", report.out);
        }
    }

    #[test]
    fn the_pins_in_the_configs_own_notes_are_right() {
        for name in ["servo-sweep", "two-servos", "pan-tilt", "28byj48-dial", "pca9685-arm"] {
            let text = std::fs::read_to_string(file(&format!("config/{name}.toml"))).unwrap();
            let mut seen = 0;
            for line in text.lines().filter(|l| l.contains(", header pin")) {
                let (before, pin) = line.split_once(", header pin ").unwrap();
                let Some((_, gpio)) = before.rsplit_once("GPIO") else {
                    continue;
                };
                let pin: u8 = pin.trim().parse().unwrap();
                assert_eq!(crate::board::header_pin(gpio.parse().unwrap()), Some(pin), "{line}");
                seen += 1;
            }
            assert!(seen > 0, "{name}");
        }
    }

    #[test]
    fn several_files_come_in_turn_and_one_bad_one_is_enough() {
        let names = ["config/pan-tilt.toml", "tests/wrong/no-pwm.toml", "config/two-servos.toml"];
        let report = run(&names, Options::default());
        assert_eq!(report.status, 2);
        assert_eq!(report.out.matches(": ok\n").count(), 2);
        assert!(report.err.contains("no-pwm.toml:3:16: error: "), "{}", report.err);
        assert!(report.err.ends_with("^^\n"));
    }

    #[test]
    fn the_board_can_be_chosen() {
        let board = Some(Model::Pi4);
        let report = run(&["config/servo-sweep.toml"], Options { board, ..Options::default() });
        assert!(report.out.contains("a Raspberry Pi 4 Model B\n"), "{}", report.out);
        assert!(report.out.contains("\n  dtoverlay=pwm,pin=18,func=2\n"), "{}", report.out);
        assert!(!report.out.contains("audio"));
    }

    #[test]
    fn later_errors_count() {
        let look = |loaded: &Loaded| {
            let step = loaded.config.programs[0].steps[0].span;
            let errors = vec![Diagnostic::new(step, "it takes too long")];
            LookedAt { errors, ..LookedAt::default() }
        };
        let report = check(&[file("config/two-servos.toml")], Options::default(), &look);
        assert_eq!((report.status, report.out.as_str()), (2, ""));
        assert!(report.err.contains(": error: it takes too long\n"), "{}", report.err);
    }

    #[test]
    fn json_says_the_same() {
        let options = Options { json: true, ..Options::default() };
        let report = run(&["config/xyz-stage.toml", "tests/wrong/no-pwm.toml"], options);
        assert_eq!((report.status, report.err.as_str()), (2, ""));
        let all: Value = serde_json::from_str(&report.out).unwrap();
        assert_eq!(all["ok"], false);
        let good = &all["files"][0];
        assert_eq!(good["motors"][1]["lines"][3]["function"], "fault");
        assert_eq!(good["motors"][1]["lines"][3]["header_pin"], 31);
        assert_eq!(good["config_txt"], json!(["gpio=22=op,dh"]));
        let bad = &all["files"][1];
        assert_eq!(
            (&bad["errors"][0]["line"], &bad["errors"][0]["column"]),
            (&json!(3), &json!(16))
        );
    }

    #[test]
    fn a_missing_file_is_one_error() {
        let report = run(&["config/none.toml"], Options::default());
        assert_eq!(report.status, 2);
        assert_eq!(report.err.lines().count(), 1);
        let report = run(&["config/none.toml"], Options { json: true, ..Options::default() });
        let all: Value = serde_json::from_str(&report.out).unwrap();
        assert_eq!(all["files"][0]["errors"][0]["line"], Value::Null);
    }
}
