//! What the TOML parser says about a text that is no TOML, in words for a person.

use super::{Diagnostic, Source, Span};

/// The errors of the parser, one for each line, and whether the tables and keys are still where the
/// person put them, so that the rest of the file can be checked too.
pub(super) fn translate(source: &Source, errors: &[toml::de::Error]) -> (Vec<Diagnostic>, bool) {
    let mut out: Vec<Diagnostic> = Vec::new();
    let mut intact = true;
    let mut last_line = 0;
    for error in errors {
        let span = error.span().map_or(Span::default(), |r| Span { start: r.start, end: r.end });
        let text = source.text().get(span.start..span.end).unwrap_or_default();
        let line = source.position(span.start).line;
        let unquoted = error.message().starts_with("string values must be quoted");
        let duplicate = error.message() == "duplicate key";
        intact &= (unquoted && !text.is_empty()) || duplicate;
        // What follows on the same line is as a rule an echo of the first.
        if line == last_line {
            continue;
        }
        last_line = line;
        out.push(if unquoted && text.is_empty() {
            Diagnostic::new(span, "the value is missing").help("write it behind the `=`")
        } else if unquoted {
            Diagnostic::new(span, format!("`{text}` has no quotes"))
                .help(format!("write \"{}\"", text.trim()))
        } else if duplicate {
            Diagnostic::new(span, format!("`{text}` is here for the second time"))
                .help("leave one of them out")
        } else {
            Diagnostic::new(span, format!("this is not TOML: {}", error.message()))
        });
    }
    (out, intact)
}
