//! Texts and names as a VCD file can hold them: one word of printable ASCII each.

/// `name` with everything that could split or confuse it replaced; never empty.
pub(super) fn identifier(name: &str) -> String {
    if name.is_empty() {
        return "_".into();
    }
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    name.chars().map(|c| if plain(c) { c } else { '_' }).collect()
}

/// `text` as one word: each byte that is no visible ASCII character, and the backslash, as `\xHH`,
/// which GTKWave shows as the byte it stands for. No text at all is a NUL.
pub(super) fn escape(text: &str, into: &mut String) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    into.clear();
    if text.is_empty() {
        into.push_str("\\x00");
    }
    for byte in text.bytes() {
        if byte.is_ascii_graphic() && byte != b'\\' {
            into.push(byte as char);
        } else {
            into.push_str("\\x");
            into.push(HEX[usize::from(byte >> 4)] as char);
            into.push(HEX[usize::from(byte & 15)] as char);
        }
    }
}

/// What [`escape`] wrote, read back. Also takes the escapes of C that other programs write (`\n`,
/// `\040`); one it does not know stands for itself. Bytes that are no UTF-8 turn into U+FFFD.
pub(super) fn unescape(word: &str) -> String {
    let bytes = word.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let (byte, len) = if bytes[at] == b'\\' { escaped(&bytes[at..]) } else { (bytes[at], 1) };
        if byte != 0 {
            out.push(byte);
        }
        at += len;
    }
    String::from_utf8(out).unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned())
}

/// The byte that the escape at the start of `bytes` stands for, and how long the escape is.
fn escaped(bytes: &[u8]) -> (u8, usize) {
    let number = |from: usize, to: usize, radix| {
        let digits = std::str::from_utf8(bytes.get(from..to)?).ok()?;
        let digits = digits.bytes().all(|b| b.is_ascii_alphanumeric()).then_some(digits)?;
        u8::from_str_radix(digits, radix).ok()
    };
    match bytes.get(1) {
        Some(b'x') => number(2, 4, 16).map_or((b'\\', 1), |byte| (byte, 4)),
        Some(b'0'..=b'3') => number(1, 4, 8).map_or((b'\\', 1), |byte| (byte, 4)),
        Some(b'n') => (b'\n', 2),
        Some(b'r') => (b'\r', 2),
        Some(b't') => (b'\t', 2),
        Some(b'\\') => (b'\\', 2),
        _ => (b'\\', 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_escaped_is_one_word_and_comes_back(text: String) {
            let text = text.replace('\0', "");
            let mut word = String::new();
            escape(&text, &mut word);
            prop_assert!(!word.is_empty());
            prop_assert!(word.bytes().all(|b| b.is_ascii_graphic()), "{word}");
            prop_assert_eq!(unescape(&word), text);
        }

        #[test]
        fn any_word_can_be_read(word: String) {
            unescape(&word);
        }
    }

    #[test]
    fn escapes_of_other_programs_are_understood() {
        assert_eq!(unescape("a\\040b\\nc\\\\d"), "a b\nc\\d");
        assert_eq!(unescape("C:\\q\\xzz\\"), "C:\\q\\xzz\\");
        assert_eq!(unescape("\\xff"), "\u{fffd}");
    }

    #[test]
    fn names_become_plain() {
        assert_eq!(identifier("left-arm_2"), "left-arm_2");
        assert_eq!(identifier("a b.c$end"), "a_b_c_end");
        assert_eq!(identifier(""), "_");
    }
}
