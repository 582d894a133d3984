//! Lines out of a stream of bytes.

use super::error::{ErrorCode, ErrorReply};

/// The longest line that the service takes, in bytes, without the line feed.
pub const MAX_LINE: usize = 64 * 1024;

/// Cuts a stream of bytes into lines, and keeps no more than one line of it.
///
/// A line that is too long, or no UTF-8, comes out as an error, and the next one is whole again. Empty
/// lines are passed over, and so is a carriage return before the line feed.
///
/// # Examples
///
/// ```
/// use lockstep::protocol::LineBuffer;
///
/// let mut lines = LineBuffer::new(16);
/// let mut got = Vec::new();
/// for bytes in [&b"{\"v\":1"[..], b"}\n\n12345678901", b"234567890\r\nab\n", b"half a l"] {
///     lines.push(bytes, |line| got.push(line.map_err(|error| error.code.word())));
/// }
/// assert_eq!(got, [Ok("{\"v\":1}".to_string()), Err("line-too-long"), Ok("ab".to_string())]);
/// ```
#[derive(Debug)]
pub struct LineBuffer {
    line: Vec<u8>,
    most: usize,
    /// The line is too long already: the rest of it is thrown away.
    spilled: bool,
}

impl LineBuffer {
    /// For lines of at most `most` bytes, such as [`MAX_LINE`].
    pub fn new(most: usize) -> Self {
        LineBuffer { line: Vec::new(), most, spilled: false }
    }

    /// Takes bytes in, and hands each line that they complete to `each`.
    pub fn push(&mut self, bytes: &[u8], mut each: impl FnMut(Result<String, ErrorReply>)) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let (part, ends) = match piece.split_last() {
                Some((b'\n', part)) => (part, true),
                _ => (piece, false),
            };
            // One more than allowed, as a carriage return may come off again.
            self.spilled |= self.line.len() + part.len() > self.most + 1;
            if self.spilled {
                self.line.clear();
            } else {
                self.line.extend_from_slice(part);
            }
            if ends && let Some(line) = self.complete() {
                each(line);
            }
        }
    }

    /// How many bytes of a line have come that is not complete.
    pub fn pending(&self) -> usize {
        self.line.len()
    }

    fn complete(&mut self) -> Option<Result<String, ErrorReply>> {
        let mut line = std::mem::take(&mut self.line);
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        if std::mem::take(&mut self.spilled) || line.len() > self.most {
            let message = format!("a line may have {} bytes, and this one has more", self.most);
            return Some(Err(ErrorReply::new(ErrorCode::LineTooLong, message)));
        }
        if line.iter().all(u8::is_ascii_whitespace) {
            return None;
        }
        Some(String::from_utf8(line).map_err(|error| {
            let place = error.utf8_error().valid_up_to() + 1;
            let message = format!("this is no JSON: byte {place} is no UTF-8");
            ErrorReply::new(ErrorCode::BadJson, message)
        }))
    }
}
