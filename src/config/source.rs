use std::fmt;
use std::sync::Arc;

use super::Span;

/// The text of a config and its name, kept to show where an error is.
///
/// Cheap to clone. Every [`Span`] in a [`Config`](super::Config) is a range of this text.
#[derive(Clone, PartialEq, Eq)]
pub struct Source {
    name: Arc<str>,
    text: Arc<str>,
}

/// A place in a text as a person counts it: both from 1, columns in characters.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Position {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1; a tab is one character.
    pub column: usize,
}

impl Source {
    /// A text with the name that errors give it, as a rule its path. A byte order mark at the start
    /// is left out.
    pub fn new(name: &str, text: &str) -> Source {
        Source { name: name.into(), text: text.strip_prefix('\u{feff}').unwrap_or(text).into() }
    }

    /// The name that errors give it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The whole text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Where a byte offset lies; the end of the text for an offset behind it.
    pub fn position(&self, offset: usize) -> Position {
        let before = &self.text[..self.floor(offset)];
        let line_start = before.rfind('\n').map_or(0, |i| i + 1);
        Position {
            line: before.bytes().filter(|&b| b == b'\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
        }
    }

    // The nearest character boundary at or before `offset`.
    fn floor(&self, offset: usize) -> usize {
        let mut at = offset.min(self.text.len());
        while !self.text.is_char_boundary(at) {
            at -= 1;
        }
        at
    }

    /// The line on which `span` starts, and under it carets from its start to its end or the line's.
    fn excerpt(&self, span: Span, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let start = self.floor(span.start);
        let line_start = self.text[..start].rfind('\n').map_or(0, |i| i + 1);
        let line_end = self.text[start..].find('\n').map_or(self.text.len(), |i| start + i);
        let line = self.text[line_start..line_end].trim_end_matches('\r');
        let from = self.text[line_start..start].chars().count();
        let to = self.text[line_start..self.floor(span.end).clamp(start, line_end)]
            .trim_end_matches('\r')
            .chars()
            .count();
        // Of a line that no screen shows the part around the error.
        let is_long = line.chars().nth(MOST_LINE).is_some();
        let first = if is_long { from.saturating_sub(MOST_LINE / 2) } else { 0 };
        let rest = || line.chars().skip(first);
        let before = if first > 0 { "... " } else { "" };
        let after = if rest().nth(MOST_LINE).is_some() { " ..." } else { "" };
        let part = rest().take(MOST_LINE).map(shown).collect::<String>();
        writeln!(f, "  {before}{part}{after}")?;
        // The indent repeats the line's own tabs, so that the caret stands right at any tab width.
        let indent: String =
            rest().take(from - first).map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
        let carets =
            to.saturating_sub(from).clamp(1, (MOST_LINE + first).saturating_sub(from).max(1));
        let before = " ".repeat(before.len());
        write!(f, "  {before}{indent}{}", "^".repeat(carets))
    }
}

/// The most characters of a line that are shown, and of what is said of it.
const MOST_LINE: usize = 200;
const MOST_SAID: usize = 1000;

/// Control characters could move the cursor of a terminal.
fn shown(c: char) -> char {
    if c.is_control() && c != '\t' { char::REPLACEMENT_CHARACTER } else { c }
}

/// What is said on one line, which may repeat what stands in the file.
fn said(text: &str) -> String {
    let more = if text.chars().nth(MOST_SAID).is_some() { " ..." } else { "" };
    text.chars().take(MOST_SAID).map(shown).chain(more.chars()).collect()
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Source({:?}, {} bytes)", self.name, self.text.len())
    }
}

/// One error in a config: where, what is wrong, and what to write instead.
///
/// ```
/// use lockstep::config::{Diagnostic, Source, Span};
///
/// let source = Source::new("stage.toml", "speed = 50\n");
/// let error = Diagnostic::new(Span { start: 8, end: 10 }, "`50` has no unit")
///     .help("write a speed, such as \"50mm/s\"");
/// assert_eq!(
///     error.display(&source).to_string(),
///     "stage.toml:1:9: error: `50` has no unit: write a speed, such as \"50mm/s\"\n\
///      \x20 speed = 50\n\
///      \x20         ^^"
/// );
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Diagnostic {
    /// Where it is; `None` where it concerns the file as a whole.
    pub span: Option<Span>,
    /// What is wrong.
    pub message: String,
    /// What to write or do instead, where the message does not say it.
    pub help: Option<String>,
}

impl Diagnostic {
    /// An error at `span`.
    pub fn new(span: Span, message: impl Into<String>) -> Diagnostic {
        Diagnostic { span: Some(span), message: message.into(), help: None }
    }

    /// An error of the file as a whole.
    pub fn of_file(message: impl Into<String>) -> Diagnostic {
        Diagnostic { span: None, message: message.into(), help: None }
    }

    /// The same error with what to write or do instead.
    #[must_use]
    pub fn help(self, help: impl Into<String>) -> Diagnostic {
        Diagnostic { help: Some(help.into()), ..self }
    }

    /// Message and help in one line, without the place.
    pub fn text(&self) -> String {
        match &self.help {
            Some(help) => format!("{}: {help}", self.message),
            None => self.message.clone(),
        }
    }

    /// `FILE:LINE:COLUMN: error: TEXT`, then the line and a caret under it; without a final newline.
    pub fn display<'a>(&'a self, source: &'a Source) -> impl fmt::Display + 'a {
        Shown { diagnostic: self, source }
    }
}

struct Shown<'a> {
    diagnostic: &'a Diagnostic,
    source: &'a Source,
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, text) = (said(&self.source.name), said(&self.diagnostic.text()));
        match self.diagnostic.span {
            None => write!(f, "{name}: error: {text}"),
            Some(span) => {
                let Position { line, column } = self.source.position(span.start);
                writeln!(f, "{name}:{line}:{column}: error: {text}")?;
                self.source.excerpt(span, f)
            }
        }
    }
}

/// Every error of a config, in the order of the file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConfigErrors {
    /// The text they speak of; empty where the file could not be read.
    pub source: Source,
    /// The errors; at least one.
    pub diagnostics: Vec<Diagnostic>,
}

impl ConfigErrors {
    /// These errors, sorted by their place.
    pub fn new(source: Source, mut diagnostics: Vec<Diagnostic>) -> ConfigErrors {
        diagnostics.sort_by_key(|d| d.span.map(|s| s.start));
        ConfigErrors { source, diagnostics }
    }
}

// A file that is no config at all has an error on each of its lines; nobody reads more than these.
const MOST_SHOWN: usize = 100;

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, diagnostic) in self.diagnostics.iter().take(MOST_SHOWN).enumerate() {
            if i > 0 {
                writeln!(f)?;
            }
            diagnostic.display(&self.source).fmt(f)?;
        }
        match self.diagnostics.len().saturating_sub(MOST_SHOWN) {
            0 => Ok(()),
            more => write!(f, "\n{}: error: and {more} more", self.source.name),
        }
    }
}

impl std::error::Error for ConfigErrors {}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shown(text: &str, start: usize, end: usize) -> String {
        Diagnostic::new(Span { start, end }, "no").display(&Source::new("f", text)).to_string()
    }

    #[test]
    fn columns_count_characters_and_carets_follow_tabs() {
        assert_eq!(shown("a = 1\n\tµ = 2\n", 12, 13), "f:2:6: error: no\n  \tµ = 2\n  \t    ^");
        assert_eq!(shown("ab\r\ncd", 0, 6), "f:1:1: error: no\n  ab\n  ^^");
        assert_eq!(shown("ab", 9, 12), "f:1:3: error: no\n  ab\n    ^");
        assert_eq!(shown("", 0, 0), "f:1:1: error: no\n  \n  ^");
        assert_eq!(shown("x\u{1b}[2J", 0, 1), "f:1:1: error: no\n  x\u{fffd}[2J\n  ^");
        let error = Diagnostic::new(Span { start: 0, end: 1 }, "`\u{1b}[2J`");
        let said = error.display(&Source::new("\u{7}f", "x")).to_string();
        assert_eq!(said, "\u{fffd}f:1:1: error: `\u{fffd}[2J`\n  x\n  ^");
    }

    /// Nobody reads a line of a megabyte, nor an error that repeats it.
    #[test]
    fn of_a_long_line_a_part_is_shown() {
        let line = format!("{}!{}", "a".repeat(1 << 20), "b".repeat(1 << 20));
        let at = 1 << 20;
        let part = |end| shown(&line, at, end);
        let text = part(at + 1);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], format!("f:1:{}: error: no", at + 1));
        assert!(lines[1].starts_with("  ... aaa") && lines[1].ends_with("bbb ..."), "{text}");
        assert_eq!(lines[1].find('!'), lines[2].find('^'));
        assert!(part(line.len()).len() < 1000);
        let ends = format!("{}\r\r\n", "a".repeat(200));
        assert!(shown(&ends, 202, 203).ends_with('^'));
        assert!(shown(&line, 0, line.len()).len() < 1000);
        let error = Diagnostic::new(Span { start: 0, end: 1 }, line.as_str());
        assert!(error.display(&Source::new("f", "x")).to_string().len() < 2000);
    }

    #[test]
    fn a_byte_order_mark_takes_no_column() {
        assert_eq!(Source::new("f", "\u{feff}a = 1").position(0), Position { line: 1, column: 1 });
    }

    proptest! {
        #[test]
        fn any_span_of_any_text_can_be_shown(text in "(.|\n|\t|\r\n|é){0,40}", a in 0usize..60, b in 0usize..60) {
            let out = shown(&text, a, b);
            prop_assert!(out.lines().count() >= 2);
            prop_assert!(out.contains('^'));
        }
    }
}
