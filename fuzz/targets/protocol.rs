//! Whatever bytes come on the control socket: each line is a request that reads the same again, or a refusal that a
//! client can read. No panic, and none gets lost.
#![no_main]

use libfuzzer_sys::fuzz_target;
use lockstep::protocol::{Incoming, LineBuffer, MAX_LINE, Outgoing};

fuzz_target!(|bytes: &[u8]| {
    // In pieces of uneven length, as they come from a socket.
    let mut lines = LineBuffer::new(MAX_LINE);
    let (mut rest, mut length) = (bytes, 1);
    while !rest.is_empty() {
        let (piece, behind) = rest.split_at(length.min(rest.len()));
        lines.push(piece, |line| match line {
            Ok(line) => read(&line),
            Err(error) => refused(Outgoing::Reply { id: None, result: Err(error) }),
        });
        (rest, length) = (behind, length * 3 % 4096 + 1);
    }
    if let Ok(text) = std::str::from_utf8(bytes) {
        read(text);
    }
});

fn read(line: &str) {
    match Incoming::parse(line) {
        Ok(incoming) => {
            let written = incoming.to_line();
            assert!(!written.contains('\n'));
            // What is written can be longer than what was read, by units and escapes, but not without end.
            assert!(written.len() <= 8 * line.len() + 256, "{line}\n{written}");
            if written.len() <= MAX_LINE {
                assert_eq!(Incoming::parse(&written).expect("it was a request"), incoming);
            }
        }
        Err(refusal) => refused(refusal.reply()),
    }
    // A client reads leniently: what it understood it understands again.
    if let Ok(Some(outgoing)) = Outgoing::parse(line) {
        let written = outgoing.to_line();
        assert_eq!(Outgoing::parse(&written).expect("it was a reply or event"), Some(outgoing));
    }
}

fn refused(reply: Outgoing) {
    let line = reply.to_line();
    assert!(!line.contains('\n'));
    assert_eq!(Outgoing::parse(&line).expect("a client can read it"), Some(reply));
}
