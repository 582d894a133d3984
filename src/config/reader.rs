//! Walks a parsed TOML document by hand: every value keeps its place, every error is collected, and
//! a table knows which keys were asked for, so that any other is unknown.

use std::cell::RefCell;
use std::str::FromStr;
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{Diagnostic, Source, Span};
use crate::text::nearest;
use crate::units::{Dimension, Quantity, Time, UnitError};

/// A key that a table may have, and a value for it that an error can show.
#[derive(Clone, Copy)]
pub(super) struct Key {
    pub name: &'static str,
    pub example: &'static str,
}

pub(super) const fn key(name: &'static str, example: &'static str) -> Key {
    Key { name, example }
}

/// A value and the key it belongs to.
#[derive(Clone, Copy)]
pub(super) struct Value<'a> {
    pub toml: &'a Spanned<DeValue<'a>>,
    pub key: Key,
}

impl Value<'_> {
    pub fn span(&self) -> Span {
        span_of(self.toml)
    }
}

pub(super) fn span_of<T>(spanned: &Spanned<T>) -> Span {
    let range = spanned.span();
    Span { start: range.start, end: range.end }
}

/// A table, and the keys that were asked of it.
pub(super) struct Table<'a> {
    pub entries: &'a DeTable<'a>,
    /// Its header or, inline, its braces.
    pub span: Span,
    /// What errors call it: `[servo.pan]`.
    pub title: String,
    known: RefCell<Vec<&'static str>>,
}

impl<'a> Table<'a> {
    pub fn new(entries: &'a DeTable<'a>, span: Span, title: String) -> Self {
        Table { entries, span, title, known: RefCell::default() }
    }

    /// The value of a key, which is known from now on.
    pub fn get(&self, key: Key) -> Option<Value<'a>> {
        let mut known = self.known.borrow_mut();
        if !known.contains(&key.name) {
            known.push(key.name);
        }
        self.entries.get(key.name).map(|toml| Value { toml, key })
    }
}

/// Collects the errors of one source.
pub(super) struct Reader<'s> {
    pub source: &'s Source,
    errors: RefCell<Vec<Diagnostic>>,
}

impl<'s> Reader<'s> {
    pub fn new(source: &'s Source) -> Self {
        Reader { source, errors: RefCell::default() }
    }

    /// Whether no error was found yet.
    pub fn is_clean(&self) -> bool {
        self.errors.borrow().is_empty()
    }

    pub fn into_errors(self) -> Vec<Diagnostic> {
        self.errors.into_inner()
    }

    pub fn push(&self, error: Diagnostic) {
        self.errors.borrow_mut().push(error);
    }

    pub fn error(&self, span: Span, message: impl Into<String>, help: impl Into<String>) {
        self.push(Diagnostic::new(span, message).help(help));
    }

    /// The line of a place, for errors that speak of two.
    pub fn line(&self, span: Span) -> usize {
        self.source.position(span.start).line
    }

    /// The text of a place.
    pub fn text(&self, span: Span) -> &'s str {
        self.source.text().get(span.start..span.end).unwrap_or_default()
    }

    /// The value of a key that has to be there.
    pub fn required<'a>(&self, table: &Table<'a>, key: Key) -> Option<Value<'a>> {
        let value = table.get(key);
        if value.is_none() {
            self.error(
                table.span,
                format!("{} has no `{}`", table.title, key.name),
                format!("write `{} = {}`", key.name, key.example),
            );
        }
        value
    }

    /// Reports every key that nobody asked for.
    pub fn finish(&self, table: &Table<'_>) {
        let known = table.known.borrow();
        for (key, _) in table.entries {
            let name: &str = key.get_ref();
            if !known.contains(&name) {
                self.unknown_key(span_of(key), name, &table.title, &known);
            }
        }
    }

    pub fn unknown_key(&self, span: Span, name: &str, title: &str, known: &[&str]) {
        let help = match nearest(name, known.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("its keys are {}", list(known.iter().copied())),
        };
        self.error(span, format!("unknown key `{name}` in {title}"), help);
    }

    fn wrong_type(&self, value: Value<'_>) {
        let is = match value.toml.get_ref() {
            DeValue::String(_) => "a text",
            DeValue::Integer(_) | DeValue::Float(_) => "a number",
            DeValue::Boolean(_) => "true or false",
            DeValue::Datetime(_) => "a date",
            DeValue::Array(_) => "a list",
            DeValue::Table(_) => "a table",
        };
        let Key { name, example } = value.key;
        self.error(
            value.span(),
            format!("`{name}` can't be {is}"),
            format!("write `{name} = {example}`"),
        );
    }

    pub fn string<'a>(&self, value: Value<'a>) -> Option<&'a str> {
        let text = value.toml.get_ref().as_str();
        if text.is_none() {
            self.wrong_type(value);
        }
        text
    }

    pub fn boolean(&self, value: Value<'_>) -> Option<bool> {
        let read = value.toml.get_ref().as_bool();
        if read.is_none() {
            self.wrong_type(value);
        }
        read
    }

    pub fn table<'a>(&self, value: Value<'a>, title: String) -> Option<Table<'a>> {
        match value.toml.get_ref().as_table() {
            Some(entries) => Some(Table::new(entries, value.span(), title)),
            None => {
                self.wrong_type(value);
                None
            }
        }
    }

    /// The elements of a list.
    pub fn list<'a>(&self, value: Value<'a>) -> Option<Vec<Value<'a>>> {
        match value.toml.get_ref().as_array() {
            Some(all) => Some(all.iter().map(|toml| Value { toml, key: value.key }).collect()),
            None => {
                self.wrong_type(value);
                None
            }
        }
    }

    /// A whole number from `low` to `high`.
    pub fn integer(&self, value: Value<'_>, low: i64, high: i64) -> Option<i64> {
        let Some(read) = value.toml.get_ref().as_integer() else {
            self.wrong_type(value);
            return None;
        };
        match i64::from_str_radix(read.as_str(), read.radix()) {
            Ok(n) if (low..=high).contains(&n) => Some(n),
            _ => {
                self.out_of_range(value, &format!("it must lie between {low} and {high}"));
                None
            }
        }
    }

    pub fn out_of_range(&self, value: Value<'_>, range: &str) {
        let text = self.text(value.span()).trim_matches(['"', '\'']);
        self.error(value.span(), format!("`{} = {text}` is out of range", value.key.name), range);
    }

    // The text of a quantity; a number stands for a text that lacks its unit.
    fn quantity_text<'a>(&'a self, value: Value<'a>) -> Option<&'a str> {
        match value.toml.get_ref() {
            DeValue::String(text) => Some(text),
            DeValue::Integer(_) | DeValue::Float(_) => Some(self.text(value.span())),
            _ => {
                self.wrong_type(value);
                None
            }
        }
    }

    /// A quantity of a type that knows its dimension.
    pub fn quantity<T: FromStr<Err = UnitError>>(&self, value: Value<'_>) -> Option<T> {
        self.parsed(value, T::from_str)
    }

    /// A quantity by whatever reads it.
    pub fn parsed<T>(
        &self,
        value: Value<'_>,
        parse: impl Fn(&str) -> Result<T, UnitError>,
    ) -> Option<T> {
        let text = self.quantity_text(value)?;
        parse(text).map_err(|e| self.unit_error(value, &e, "")).ok()
    }

    /// A quantity of a dimension that another key decides; `why` names that key.
    pub fn in_dimension(&self, value: Value<'_>, want: Dimension, why: &str) -> Option<f64> {
        let text = self.quantity_text(value)?;
        Quantity::parse_as(text, want).map_err(|e| self.unit_error(value, &e, why)).ok()
    }

    /// Reports a number without a unit, where nothing else can be known of the value.
    pub fn has_unit(&self, value: Value<'_>, dimension: Dimension) {
        if let Some(text) = self.quantity_text(value)
            && let Err(e @ UnitError::BareNumber { .. }) = Quantity::parse_as(text, dimension)
        {
            self.unit_error(value, &e, "");
        }
    }

    fn unit_error(&self, value: Value<'_>, error: &UnitError, why: &str) {
        match error {
            // The unit that this key has as a rule: microseconds for a pulse.
            UnitError::BareNumber { text, expected, units, base } => {
                let example = value.key.example.trim_matches('"');
                let unit = example.trim_start_matches(|c: char| "+-.0123456789".contains(c));
                let unit = if unit.len() == example.len() { base } else { unit };
                self.error(
                    value.span(),
                    format!("`{text}` has no unit"),
                    format!("write {expected} in {units}, such as \"{text}{unit}\""),
                );
            }
            UnitError::WrongUnit { .. } if !why.is_empty() => {
                self.push(Diagnostic::new(value.span(), format!("{error}, {why}")));
            }
            _ => self.push(Diagnostic::new(value.span(), error.to_string())),
        }
    }

    /// `number`, if it is above 0 and not absurd.
    pub fn above_zero(&self, value: Value<'_>, number: f64) -> Option<f64> {
        if number > 0.0 && number <= MOST {
            return Some(number);
        }
        let range = if number > 0.0 { "that is more than 1e12" } else { "it must be above 0" };
        self.out_of_range(value, range);
        None
    }

    /// A time above 0.
    pub fn duration(&self, value: Value<'_>) -> Option<Duration> {
        let Time(time) = self.quantity(value)?;
        if time.is_zero() {
            self.out_of_range(value, "it must be above 0");
            return None;
        }
        Some(time)
    }

    /// One of a few words.
    pub fn choice<T: Copy>(&self, value: Value<'_>, words: &[(&str, T)]) -> Option<T> {
        let word = self.string(value)?;
        let found = words.iter().find(|w| w.0 == word).map(|w| w.1);
        if found.is_none() {
            self.bad_word(value, word, words.iter().map(|w| w.0));
        }
        found
    }

    pub fn bad_word<'w>(
        &self,
        value: Value<'_>,
        word: &str,
        words: impl Iterator<Item = &'w str> + Clone,
    ) {
        let help = match nearest(word, words.clone()) {
            Some(near) => format!("did you mean \"{near}\"?"),
            None => {
                let all: Vec<_> = words.map(|w| format!("\"{w}\"")).collect();
                format!("write {}", or(&all))
            }
        };
        self.error(value.span(), format!("`{}` can't be \"{word}\"", value.key.name), help);
    }

    /// The index of a name among those that exist.
    pub fn name(&self, span: Span, what: &str, name: &str, names: &[&str]) -> Option<usize> {
        let found = names.iter().position(|n| *n == name);
        if found.is_none() {
            let help = match nearest(name, names.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None if names.is_empty() => format!("the file has no {what} yet"),
                None => format!("there is {}", list(names.iter().copied())),
            };
            self.error(span, format!("there is no {what} `{name}`"), help);
        }
        found
    }
}

/// No speed, distance or jerk of a machine is larger, in its base unit.
pub(super) const MOST: f64 = 1e12;

/// `a`, `b` and `c`, each in backticks.
pub(super) fn list<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let all: Vec<_> = names.map(|n| format!("`{n}`")).collect();
    joined(&all, "and")
}

/// The last two joined by "or", the others by commas.
pub(super) fn or(all: &[String]) -> String {
    joined(all, "or")
}

fn joined(all: &[String], word: &str) -> String {
    match all {
        [] => String::new(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} {word} {last}", first.join(", ")),
    }
}
