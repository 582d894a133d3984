//! What a VCD file is read from: counts lines, bounds what one command may take, and reads the two kinds of
//! words that a long trace is made of, times and levels, without the parser.

use std::io::{self, BufRead, Read};

/// The most bytes of one command, a comment or a text. A longer one is no trace, and would take its length in
/// memory.
pub(super) const LONGEST: usize = 1 << 20;

/// A word that [`Source::word`] has read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Word {
    /// `#1200`
    Time(u64),
    /// `1!`: the level, and the number of the identifier code.
    Level(u8, u64),
}

/// A reader with a line end behind its end, which the parser wants behind the last word.
pub(super) struct Source<R> {
    inner: io::Chain<R, &'static [u8]>,
    /// Line ends that something came behind.
    lines: u64,
    /// The last byte was a line end: errors at the end of a line are errors of that line.
    at_end: bool,
    /// Bytes since the command began.
    taken: usize,
}

impl<R: BufRead> Source<R> {
    pub fn new(reader: R) -> Source<R> {
        Source { inner: reader.chain(&b"\n"[..]), lines: 0, at_end: false, taken: 0 }
    }

    /// The line of the last byte, from 1.
    pub fn line(&self) -> u64 {
        self.lines + 1
    }

    /// A command begins.
    pub fn begin(&mut self) {
        self.taken = 0;
    }

    /// The next word, if it is a time or a level and lies in the buffer as a whole. `None`: it is for the
    /// parser, and nothing of it is gone.
    pub fn word(&mut self) -> Option<Word> {
        // An error comes again when the parser reads.
        let buffer = self.inner.fill_buf().ok()?;
        let (mut at, mut ends) = (0, 0);
        let first = loop {
            let byte = *buffer.get(at)?;
            match byte {
                b'\n' => ends += 1,
                b' ' | b'\r' | b'\t' => {}
                byte => break byte,
            }
            at += 1;
        };
        let (mut value, start) = (0u64, at + 1);
        at = start;
        let word = match first {
            b'#' => loop {
                let byte = *buffer.get(at)?;
                match byte {
                    b'0'..=b'9' => {
                        value = value.checked_mul(10)?.checked_add(u64::from(byte - b'0'))?;
                    }
                    b' ' | b'\n' | b'\r' | b'\t' if at > start => break Word::Time(value),
                    _ => return None,
                }
                at += 1;
            },
            b'0' | b'1' => loop {
                let byte = *buffer.get(at)?;
                match byte {
                    // As `IdCode` counts them, the first character the least.
                    b'!'..=b'~' => {
                        let place = 94u64.checked_pow((at - start) as u32)?;
                        let digit = u64::from(byte - b'!') + u64::from(at > start);
                        value = value.checked_add(place.checked_mul(digit)?)?;
                    }
                    b' ' | b'\n' | b'\r' | b'\t' if at > start => {
                        break Word::Level(first - b'0', value);
                    }
                    _ => return None,
                }
                at += 1;
            },
            _ => return None,
        };
        // The white space behind it stays: what is wrong with the word is wrong on its line.
        self.inner.consume(at);
        self.lines += u64::from(self.at_end) + ends;
        self.at_end = false;
        Some(word)
    }

    fn passed(&mut self, bytes: usize, last: bool) {
        self.lines += u64::from(std::mem::replace(&mut self.at_end, last));
        self.taken += bytes;
    }
}

impl<R: BufRead> Read for Source<R> {
    /// One byte at a time, as the parser reads.
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.taken > LONGEST {
            let text = format!("a command of more than {LONGEST} bytes");
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
        let Some(into) = into.first_mut() else { return Ok(0) };
        let first = self.inner.fill_buf()?.first().copied();
        match first {
            Some(byte) => {
                *into = byte;
                self.inner.consume(1);
                self.passed(1, byte == b'\n');
                Ok(1)
            }
            None => {
                self.passed(0, false);
                Ok(0)
            }
        }
    }
}

impl<R: BufRead> BufRead for Source<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.inner.fill_buf()
    }

    fn consume(&mut self, n: usize) {
        for _ in 0..n {
            let byte = self.inner.fill_buf().ok().and_then(|b| b.first().copied());
            self.inner.consume(1);
            self.passed(1, byte == Some(b'\n'));
        }
    }
}
