//! From a text to a checked config.

use std::path::Path;

use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use super::parts::ReadMotor;
use super::pins::Board;
use super::program::Names;
use super::reader::{Key, Reader, Table, Value, key, span_of};
use super::*;
use crate::files::{MOST_CONFIG, read_regular};
use crate::units::Percent;

/// A config that passed every check, with its text.
#[derive(Clone, PartialEq, Debug)]
pub struct Loaded {
    /// The config.
    pub config: Config,
    /// Its text, for errors that only show later, such as in a plan.
    pub source: Source,
    /// The board that its pins were checked for.
    pub board: Model,
    /// Nobody named the board: it was checked for what every board can do.
    pub board_assumed: bool,
}

impl Loaded {
    /// Errors that were found after the config was loaded, shown against its text.
    pub fn errors(&self, diagnostics: Vec<Diagnostic>) -> ConfigErrors {
        ConfigErrors::new(self.source.clone(), diagnostics)
    }
}

impl Config {
    /// Reads and checks a config. `name` is what errors call the text, and its file stem is the
    /// machine's name where the text gives none.
    ///
    /// # Errors
    ///
    /// Every error of the text in one go, see [`ConfigErrors`]. Where a table or a line can't be read
    /// as TOML at all, only errors of that kind are reported.
    ///
    /// ```
    /// use lockstep::config::Config;
    ///
    /// let loaded = Config::from_str("[servo.pan]\npwm = { gpio = 18 }\n", "pan.toml")?;
    /// assert_eq!(loaded.config.machine.name, "pan");
    /// assert_eq!(loaded.config.motors[0].limits.speed, 600.0); // degrees a second
    ///
    /// let errors = Config::from_str("[servo.pan]\npwm = { gpio = 17 }\n", "pan.toml").unwrap_err();
    /// assert_eq!(
    ///     errors.to_string(),
    ///     "pan.toml:2:16: error: GPIO17 has no hardware PWM on a Raspberry Pi: \
    ///      use GPIO12, GPIO13, GPIO18 or GPIO19\n\
    ///      \x20 pwm = { gpio = 17 }\n\
    ///      \x20                ^^"
    /// );
    /// # Ok::<(), lockstep::config::ConfigErrors>(())
    /// ```
    pub fn from_str(text: &str, name: &str) -> Result<Loaded, ConfigErrors> {
        Config::from_str_for(text, name, None)
    }

    /// Like [`Config::from_str`], with the pins checked for `board`, whatever the text says.
    ///
    /// # Errors
    ///
    /// As for [`Config::from_str`].
    pub fn from_str_for(
        text: &str,
        name: &str,
        board: Option<Model>,
    ) -> Result<Loaded, ConfigErrors> {
        load(Source::new(name, text), board)
    }

    /// Reads and checks a file.
    ///
    /// # Errors
    ///
    /// One error where the file can't be read, else as for [`Config::from_str`].
    pub fn from_file(path: impl AsRef<Path>) -> Result<Loaded, ConfigErrors> {
        Config::from_file_for(path, None)
    }

    /// Like [`Config::from_file`], with the pins checked for `board`, whatever the file says.
    ///
    /// # Errors
    ///
    /// As for [`Config::from_file`].
    pub fn from_file_for(
        path: impl AsRef<Path>,
        board: Option<Model>,
    ) -> Result<Loaded, ConfigErrors> {
        let path = path.as_ref();
        let name = path.display().to_string();
        let unreadable = |d: Diagnostic| ConfigErrors::new(Source::new(&name, ""), vec![d]);
        let bytes = read_regular(path, MOST_CONFIG).map_err(|e| {
            let help = match e.kind() {
                std::io::ErrorKind::NotFound => {
                    "write its path as `--config FILE`; `lockstep init servo` makes a first one"
                }
                std::io::ErrorKind::PermissionDenied => "make it readable for this user",
                _ => "name a file, of at most 16 MiB",
            };
            unreadable(Diagnostic::of_file(format!("can't read it ({e})")).help(help))
        })?;
        let text = String::from_utf8(bytes).map_err(|e| {
            let good = &e.as_bytes()[..e.utf8_error().valid_up_to()];
            let line = good.iter().filter(|&&b| b == b'\n').count() + 1;
            unreadable(
                Diagnostic::of_file(format!("line {line} is not UTF-8 text"))
                    .help("save the file as UTF-8"),
            )
        })?;
        load(Source::new(&name, &text), board)
    }
}

const MACHINE: Key = key("machine", "{ name = \"stage\" }");
const SERVICE: Key = key("service", "{ group = \"motors\" }");
const GROUP: Key = key("group", "\"motors\"");
const SERVO: Key = key("servo", "{ pan = { pwm = { gpio = 18 } } }");
const AXIS: Key = key("axis", "{ x = { step = { gpio = 17 } } }");
const POWER: Key = key("power", "{ budget = \"3A\" }");
const PROGRAM: Key = key("program", "{ wave = { steps = [ { pause = \"1s\" } ] } }");
/// A fifth of the time between edges: worth its price up to some 20 kHz.
const DEFAULT_SPIN: f64 = 0.2;

const START_PROGRAM: Key = key("start-program", "\"wave\"");
const AFTER_POWER_CUT: Key = key("after-power-cut", "\"wait\"");

/// Names that mean something else where a motor's name can stand: the key of a keyframe's time, and
/// the machine's own signals in a trace.
const RESERVED: [&str; 2] = ["at", "machine"];

fn load(source: Source, board: Option<Model>) -> Result<Loaded, ConfigErrors> {
    let (document, errors) = DeTable::parse_recoverable(source.text());
    let (mut found, intact) = syntax::translate(&source, &errors);
    let mut read = None;
    if intact {
        let r = Reader::new(&source);
        read = document_config(&r, document.get_ref(), board);
        found.extend(r.into_errors());
    }
    match read {
        Some((config, board)) if found.is_empty() => Ok(Loaded {
            config,
            source: source.clone(),
            board: board.model,
            board_assumed: board.assumed,
        }),
        _ => {
            if found.is_empty() {
                // Whoever refuses says why; should one have failed to, silence would be worse.
                let why = "it is refused, and this program can't say why";
                found
                    .push(Diagnostic::of_file(why).help("report this as a mistake of the program"));
            }
            Err(ConfigErrors::new(source.clone(), found))
        }
    }
}

fn document_config(
    r: &Reader<'_>,
    document: &DeTable<'_>,
    board: Option<Model>,
) -> Option<(Config, Board)> {
    let root = Table::new(document, Span::default(), "the file".to_owned());
    let machine = root.get(MACHINE).and_then(|v| r.table(v, "[machine]".to_owned()));
    let service = root.get(SERVICE).and_then(|v| r.table(v, "[service]".to_owned()));
    let power = root.get(POWER).and_then(|v| r.table(v, "[power]".to_owned()));
    let servos = named(r, root.get(SERVO), Named::Motor);
    let axes = named(r, root.get(AXIS), Named::Motor);
    let program_tables = named(r, root.get(PROGRAM), Named::Program);
    r.finish(&root);

    let mut motors: Vec<ReadMotor> = Vec::new();
    motors.extend(servos.iter().map(|(name, table)| servo::read(r, name, table)));
    motors.extend(axes.iter().map(|(name, table)| axis::read(r, name, table)));
    motors.sort_by_key(|m| m.span.start);
    motor_names(r, &motors);

    let programs: Vec<&str> = program_tables.iter().map(|p| p.0).collect();
    let service = service.map(|table| service_config(r, &table)).unwrap_or_default();
    let (machine, board) = machine_config(r, machine.as_ref(), &programs, board);
    pins::check(r, &motors, board);
    let power = power::read(r, power.as_ref(), &motors);
    output::resolve(r, &mut motors, board);

    let motor_names = motors.iter().map(|m| m.name.as_str()).collect();
    let names = Names { motors: &motors, motor_names, programs };
    let programs: Vec<ProgramConfig> =
        program_tables.iter().map(|(name, table)| program::read(r, name, table, &names)).collect();
    flow::check(r, &programs, &names.motor_names);
    let motors = motors.into_iter().map(ReadMotor::finish).collect::<Option<Vec<_>>>()?;
    let power = power.map(|(power, at)| {
        power::check(r, power, at, &motors);
        power
    });
    Some((Config { machine, service, motors, programs, power }, board))
}

fn machine_config(
    r: &Reader<'_>,
    table: Option<&Table<'_>>,
    programs: &[&str],
    board: Option<Model>,
) -> (MachineConfig, Board) {
    let get = |key| table.and_then(|t| t.get(key));
    let name = get(key("name", "\"stage\"")).and_then(|v| r.string(v));
    let start_program = get(START_PROGRAM).and_then(|v| {
        let name = r.string(v)?;
        r.name(v.span(), "program", name, programs).map(|_| name.to_owned())
    });
    let max_lateness = get(key("max-lateness", "\"1ms\"")).and_then(|v| r.duration(v));
    let spin = get(key("spin", "\"20%\"")).and_then(|v| {
        let Percent(percent) = r.quantity(v)?;
        let fine = (0.0..=100.0).contains(&percent);
        if !fine {
            r.out_of_range(v, "it must be from 0% to 100% of the time between two edges");
        }
        fine.then_some(percent / 100.0)
    });
    let in_file = get(key("board", "\"pi-4\"")).and_then(|v| {
        let models = Model::ALL.map(|m| (m.short_name(), m));
        r.choice(v, &models)
    });
    let after_power_cut = get(AFTER_POWER_CUT).and_then(|v| {
        r.choice(v, &[("wait", AfterPowerCut::Wait), ("start", AfterPowerCut::Start)])
    });
    let after_power_cut = after_power_cut.unwrap_or_default();
    if let Some(table) = table {
        r.finish(table);
    }
    let stem = Path::new(r.source.name()).file_stem().map(|s| s.to_string_lossy().into_owned());
    let name = name.map(str::to_owned).or(stem).unwrap_or_else(|| "machine".to_owned());
    let named = board.or(in_file);
    let board =
        Board { model: named.unwrap_or(Model::most_restrictive()), assumed: named.is_none() };
    let spin = spin.unwrap_or(DEFAULT_SPIN);
    let machine =
        MachineConfig { name, start_program, max_lateness, spin, board: in_file, after_power_cut };
    (machine, board)
}

fn service_config(r: &Reader<'_>, table: &Table<'_>) -> ServiceConfig {
    let group = table.get(GROUP).and_then(|v| {
        let group = r.string(v)?;
        let fine = !group.is_empty() && !group.contains(|c: char| c == ':' || c.is_whitespace());
        if !fine {
            r.error(
                v.span(),
                format!("`{group}` is no name of a group"),
                "write one of those in /etc/group",
            );
        }
        fine.then(|| group.to_owned())
    });
    r.finish(table);
    ServiceConfig { group }
}

#[derive(Clone, Copy, PartialEq)]
enum Named {
    Motor,
    Program,
}

/// The tables in `[servo.*]`, `[axis.*]` or `[program.*]`, in the order of the file.
fn named<'a>(r: &Reader<'_>, value: Option<Value<'a>>, what: Named) -> Vec<(&'a str, Table<'a>)> {
    let Some(value) = value else {
        return Vec::new();
    };
    let kind = value.key.name;
    let Some(all) = r.table(value, format!("[{kind}]")) else {
        return Vec::new();
    };
    // `[servo]` with a servo's keys under it.
    let nameless = |(name, toml): (&Spanned<DeString<'_>>, &Spanned<DeValue<'_>>)| {
        let value = toml.get_ref();
        let key: &str = name.get_ref();
        ["pwm", "soft-pwm", "step", "coils", "steps"].contains(&key)
            || !(value.is_table() || is_table_list(value))
    };
    if all.entries.iter().any(nameless) {
        r.error(
            all.span,
            format!("this {kind} has no name"),
            format!("write [{kind}.NAME] with a name of your own"),
        );
        return Vec::new();
    }
    let mut out = Vec::new();
    for (name, toml) in all.entries {
        let name_text: &str = name.get_ref();
        check_name(r, span_of(name), name_text, what);
        let title = format!("[{kind}.{name_text}]");
        match toml.get_ref().as_table() {
            Some(entries) => {
                out.push((name_text, Table::new(entries, span_of(toml), title)));
            }
            None => r.error(
                span_of(name),
                format!("`{kind}.{name_text}` can't be a list"),
                format!("write {title} in single brackets"),
            ),
        }
    }
    out.sort_by_key(|(_, table)| table.span.start);
    out
}

fn is_table_list(value: &DeValue<'_>) -> bool {
    value.as_array().is_some_and(|all| all.iter().any(|v| v.get_ref().is_table()))
}

fn check_name(r: &Reader<'_>, span: Span, name: &str, what: Named) {
    let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    if !plain || !name.starts_with(|c: char| c.is_ascii_alphabetic()) || name.len() > 40 {
        r.error(
            span,
            format!("\"{}\" can't be a name", name.escape_debug()),
            "write a letter, then letters, digits, `-` or `_`, 40 at most",
        );
    } else if what == Named::Motor && RESERVED.contains(&name) {
        r.error(span, format!("`{name}` has another meaning"), "give the motor another name");
    }
}

/// Whether there is a motor, and each name is there once.
fn motor_names(r: &Reader<'_>, motors: &[ReadMotor]) {
    for (i, motor) in motors.iter().enumerate() {
        if let Some(first) = motors[..i].iter().find(|m| m.name == motor.name) {
            r.error(
                motor.span,
                format!("`{}` is a motor already (line {})", motor.name, r.line(first.span)),
                "give one of them another name",
            );
        }
    }
    if motors.is_empty() && r.is_clean() {
        r.push(
            Diagnostic::of_file("there is no motor in it")
                .help("add a [servo.NAME] or [axis.NAME]; `lockstep init servo` shows one"),
        );
    }
}
