use std::collections::{HashMap, VecDeque};
use std::io::{self, BufRead};

use thiserror::Error;
use vcd::{Command, IdCode, ParseError, Parser, TimescaleUnit, VarType};

use super::source::{Source, Word};
use super::write::LOST;
use super::{Signal, SignalId, SignalKind, Value, text};
use crate::units::Instant;

/// Why a file could not be read as VCD, and on which line.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TraceError {
    /// The file itself could not be read.
    #[error("line {line}: cannot read on: {source}")]
    Read {
        /// The line that was being read, from 1.
        line: u64,
        /// What the system said.
        source: io::Error,
    },
    /// What stands there is no VCD, or none that makes sense.
    #[error("line {line}: {reason}")]
    Format {
        /// The line, from 1.
        line: u64,
        /// What is wrong, in words.
        reason: String,
    },
}

impl TraceError {
    /// The line of the file, from 1.
    pub fn line(&self) -> u64 {
        match self {
            TraceError::Read { line, .. } | TraceError::Format { line, .. } => *line,
        }
    }
}

/// A change that a [`VcdReader`] found.
#[derive(Clone, PartialEq, Debug)]
pub struct Change {
    /// When, on the trace's own clock.
    pub at: Instant,
    /// Which signal.
    pub signal: SignalId,
    /// Its value from then on.
    pub value: Value,
}

/// At most so many signals, since each takes memory.
const SIGNALS: usize = 1 << 16;

/// At most so many comments are kept.
const COMMENTS: usize = 1 << 10;

/// Reads a VCD file change by change, however long it is, without keeping it in memory.
///
/// It takes files of any time unit (parts of a nanosecond are cut off) and nested scopes, whose
/// names it joins with dots. Variables that are neither a single wire nor a number or text, such as
/// buses, are passed over ([`VcdReader::passed_over`]).
///
/// ```
/// use lockstep::trace::{Value, VcdReader};
///
/// let file = "$timescale 1 us $end
/// $scope module x $end
/// $var wire 1 ! step $end
/// $upscope $end
/// $enddefinitions $end
/// #5
/// 1!
/// ";
/// let mut reader = VcdReader::new(file.as_bytes())?;
/// assert_eq!(reader.signals()[0].name(), "step");
/// let change = reader.next().unwrap()?;
/// assert_eq!((change.at.as_nanos(), change.value), (5_000, Value::High));
/// assert!(reader.next().is_none());
/// # Ok::<(), lockstep::trace::TraceError>(())
/// ```
pub struct VcdReader<R: BufRead> {
    parser: Parser<Source<R>>,
    signals: Vec<Signal>,
    /// The signals that share an identifier code; none for a variable that is passed over.
    codes: HashMap<IdCode, Vec<SignalId>>,
    /// By the number of their code, the wires that have a code of their own.
    wires: Vec<Option<SignalId>>,
    passed_over: Vec<String>,
    comments: Vec<String>,
    /// Nanoseconds a time step: a fraction.
    scale: Option<(u64, u64)>,
    now: u64,
    found: VecDeque<Change>,
    failed: bool,
}

/// The number of a code: its characters are digits, the first the least. `None`: it is longer than any number.
fn number(code: IdCode) -> Option<usize> {
    let mut number: usize = 0;
    for (nth, byte) in code.to_string().bytes().enumerate() {
        let place = 94usize.checked_pow(u32::try_from(nth).ok()?)?;
        let digit = usize::from(byte.checked_sub(b'!')?) + usize::from(nth > 0);
        number = number.checked_add(place.checked_mul(digit)?)?;
    }
    Some(number)
}

impl<R: BufRead> VcdReader<R> {
    /// Reads the header, up to `$enddefinitions`.
    ///
    /// # Errors
    ///
    /// [`TraceError`] with the line where the file ends to make sense.
    pub fn new(reader: R) -> Result<VcdReader<R>, TraceError> {
        let mut this = VcdReader {
            parser: Parser::new(Source::new(reader)),
            signals: Vec::new(),
            codes: HashMap::new(),
            wires: Vec::new(),
            passed_over: Vec::new(),
            comments: Vec::new(),
            scale: None,
            now: 0,
            found: VecDeque::new(),
            failed: false,
        };
        let mut scopes: Vec<String> = Vec::new();
        loop {
            let Some(command) = this.command()? else {
                return Err(this.cut_off("the file ends before its `$enddefinitions`"));
            };
            match command {
                Command::Enddefinitions => break,
                Command::Timescale(n, unit) => this.scale = Some(scale(n, unit)),
                Command::ScopeDef(_, name) => scopes.push(name),
                Command::Upscope => {
                    if scopes.pop().is_none() {
                        return Err(this.wrong("an `$upscope` without its `$scope`"));
                    }
                }
                Command::VarDef(kind, size, code, name, index) => {
                    let name = index.map_or(name.clone(), |i| format!("{name}{i}"));
                    if this.signals.len() + this.passed_over.len() == SIGNALS {
                        return Err(this.wrong(format!("more than {SIGNALS} signals")));
                    }
                    this.declare(kind, size, code, scopes.join("."), name);
                }
                Command::Comment(comment) => this.comment(comment),
                Command::Date(_) | Command::Version(_) => {}
                _ => return Err(this.wrong("a value before `$enddefinitions`")),
            }
        }
        if this.scale.is_none_or(|s| s.0 == 0) {
            return Err(
                this.wrong("the header has no `$timescale`, such as `$timescale 1 ns $end`")
            );
        }
        // Codes are short where one wrote the file who did not want it long.
        for (code, signals) in &this.codes {
            if let (&[only], Some(number)) = (signals.as_slice(), number(*code))
                && number < SIGNALS
                && this.signals[only.index()].kind == SignalKind::Wire
            {
                this.wires.resize(this.wires.len().max(number + 1), None);
                this.wires[number] = Some(only);
            }
        }
        Ok(this)
    }

    fn comment(&mut self, comment: String) {
        if self.comments.len() < COMMENTS {
            self.comments.push(comment);
        }
    }

    fn declare(&mut self, kind: VarType, size: u32, code: IdCode, scope: String, name: String) {
        let kind = match kind {
            VarType::Real => SignalKind::Real,
            VarType::String => SignalKind::Text,
            VarType::Event | VarType::Integer | VarType::Parameter | VarType::Time => {
                return self.pass_over(code, &scope, &name);
            }
            _ if size == 1 => SignalKind::Wire,
            _ => return self.pass_over(code, &scope, &name),
        };
        let id = SignalId(self.signals.len() as u32);
        self.codes.entry(code).or_default().push(id);
        self.signals.push(Signal { id, scope, name, kind });
    }

    fn pass_over(&mut self, code: IdCode, scope: &str, name: &str) {
        self.codes.entry(code).or_default();
        self.passed_over.push(format!("{scope}.{name}"));
    }

    /// The signals that the header names, in its order.
    pub fn signals(&self) -> &[Signal] {
        &self.signals
    }

    /// The variables that are passed over, as `scope.name`.
    pub fn passed_over(&self) -> &[String] {
        &self.passed_over
    }

    /// The comments read so far, the first 1024 of them.
    pub fn comments(&self) -> &[String] {
        &self.comments
    }

    /// How many records the recording lost, where its file says so.
    pub fn lost(&self) -> Option<u64> {
        self.comments.iter().find_map(|c| c.strip_prefix(LOST)?.parse().ok())
    }

    /// The time reached so far, on the trace's own clock; behind the last change, the file's end.
    pub fn now(&self) -> Instant {
        Instant::from_nanos(self.now)
    }

    fn line(&mut self) -> u64 {
        self.parser.reader().line()
    }

    pub(super) fn wrong(&mut self, reason: impl Into<String>) -> TraceError {
        TraceError::Format { line: self.line(), reason: reason.into() }
    }

    /// The file ends too early. The line end that `new` puts behind the file does not count.
    fn cut_off(&mut self, reason: &str) -> TraceError {
        let line = self.line().saturating_sub(1).max(1);
        TraceError::Format { line, reason: reason.into() }
    }

    fn command(&mut self) -> Result<Option<Command>, TraceError> {
        self.parser.reader().begin();
        let Some(result) = self.parser.next() else {
            return Ok(None);
        };
        result.map(Some).map_err(|error| {
            let parse = error.get_ref().and_then(|e| e.downcast_ref::<ParseError>());
            match parse {
                Some(e) => self.wrong(e.kind().to_string()),
                None if error.kind() == io::ErrorKind::UnexpectedEof => {
                    self.cut_off("the file ends in the middle of a command")
                }
                None => TraceError::Read { line: self.line(), source: error },
            }
        })
    }

    /// Takes in one command; changes end up in `found`.
    fn take(&mut self, command: Command) -> Result<(), TraceError> {
        match command {
            Command::Timestamp(time) => self.tick(time),
            Command::ChangeScalar(code, value) => {
                self.found(code, SignalKind::Wire, wire(value));
                self.check(code, SignalKind::Wire)
            }
            Command::ChangeVector(code, bits) => match (bits.len(), bits.get(0)) {
                (1, Some(bit)) => {
                    self.found(code, SignalKind::Wire, wire(bit));
                    self.check(code, SignalKind::Wire)
                }
                _ if self.codes.get(&code).is_some_and(Vec::is_empty) => Ok(()),
                (n, _) => {
                    Err(self.wrong(format!("{n} bits for `{code}`, which is no bus of this file")))
                }
            },
            Command::ChangeReal(code, value) => {
                self.found(code, SignalKind::Real, Value::Real(value));
                self.check(code, SignalKind::Real)
            }
            Command::ChangeString(code, word) => {
                let value = Value::Text(text::unescape(&word).into());
                self.found(code, SignalKind::Text, value);
                self.check(code, SignalKind::Text)
            }
            Command::Comment(comment) => {
                self.comment(comment);
                Ok(())
            }
            Command::Begin(_) | Command::End(_) | Command::Date(_) | Command::Version(_) => Ok(()),
            _ => Err(self.wrong("a declaration behind `$enddefinitions`")),
        }
    }

    fn tick(&mut self, time: u64) -> Result<(), TraceError> {
        let (num, den) = self.scale.unwrap_or((1, 1));
        let nanos = match den {
            1 => time.checked_mul(num),
            den => u64::try_from(u128::from(time) * u128::from(num) / u128::from(den)).ok(),
        };
        let Some(nanos) = nanos else {
            return Err(self.wrong(format!("time {time} is beyond 584 years")));
        };
        if nanos < self.now {
            return Err(self.wrong(format!(
                "time goes back to {nanos} ns from {} ns: times must rise",
                self.now
            )));
        }
        self.now = nanos;
        Ok(())
    }

    fn found(&mut self, code: IdCode, kind: SignalKind, value: Value) {
        for &signal in self.codes.get(&code).into_iter().flatten() {
            if self.signals[signal.index()].kind == kind {
                let (at, value) = (Instant::from_nanos(self.now), value.clone());
                self.found.push_back(Change { at, signal, value });
            }
        }
    }

    /// Whether `code` is declared, and its signals are of `kind`.
    fn check(&mut self, code: IdCode, kind: SignalKind) -> Result<(), TraceError> {
        let Some(signals) = self.codes.get(&code) else {
            return Err(self.wrong(format!("a value for `{code}`, which no `$var` declares")));
        };
        let other = signals.iter().map(|s| &self.signals[s.index()]).find(|s| s.kind != kind);
        let Some(Signal { scope, name, kind: declared, .. }) = other else { return Ok(()) };
        let (found, declared) = (words(kind), words(*declared));
        let reason = format!("{found} for `{scope}.{name}`, which is {declared}");
        Err(self.wrong(reason))
    }
}

impl<R: BufRead> VcdReader<R> {
    /// The next change of a wire, as long as nothing comes but times and levels: a trace has little else.
    /// `None` where the parser has to see what comes.
    fn plain(&mut self) -> Result<Option<Change>, TraceError> {
        while let Some(word) = self.parser.reader().word() {
            match word {
                Word::Time(time) => self.tick(time)?,
                Word::Level(level, code) => {
                    let value = if level == 1 { Value::High } else { Value::Low };
                    let wire = usize::try_from(code).ok().and_then(|n| self.wires.get(n).copied());
                    if let Some(Some(signal)) = wire {
                        let at = Instant::from_nanos(self.now);
                        return Ok(Some(Change { at, signal, value }));
                    }
                    let code = IdCode::from(code);
                    self.found(code, SignalKind::Wire, value);
                    self.check(code, SignalKind::Wire)?;
                    return Ok(self.found.pop_front());
                }
            }
        }
        Ok(None)
    }

    fn look_for_change(&mut self) -> Result<Option<Change>, TraceError> {
        loop {
            if let Some(change) = self.found.pop_front() {
                return Ok(Some(change));
            }
            if let Some(change) = self.plain()? {
                return Ok(Some(change));
            }
            match self.command()? {
                None => return Ok(None),
                Some(command) => self.take(command)?,
            }
        }
    }
}

impl<R: BufRead> Iterator for VcdReader<R> {
    type Item = Result<Change, TraceError>;

    /// The next change; nothing more comes behind an error.
    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let found = self.look_for_change().transpose();
        self.failed = matches!(found, Some(Err(_)));
        found
    }
}

fn words(kind: SignalKind) -> &'static str {
    match kind {
        SignalKind::Wire => "a wire",
        SignalKind::Real => "a number",
        SignalKind::Text => "a text",
    }
}

fn wire(value: vcd::Value) -> Value {
    match value {
        vcd::Value::V0 => Value::Low,
        vcd::Value::V1 => Value::High,
        vcd::Value::X | vcd::Value::Z => Value::Unknown,
    }
}

/// Nanoseconds in `n` of the unit, as a fraction.
fn scale(n: u32, unit: TimescaleUnit) -> (u64, u64) {
    let n = u64::from(n);
    match unit {
        TimescaleUnit::S => (n * 1_000_000_000, 1),
        TimescaleUnit::MS => (n * 1_000_000, 1),
        TimescaleUnit::US => (n * 1_000, 1),
        TimescaleUnit::NS => (n, 1),
        TimescaleUnit::PS => (n, 1_000),
        TimescaleUnit::FS => (n, 1_000_000),
    }
}
