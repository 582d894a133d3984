use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

const MANUAL: &str = include_str!("../../docs/protocol.md");

/// The lines to (`true`) and from the service in the manual, each with its place in the file. A letter in
/// front is another client.
fn examples() -> Vec<(usize, bool, &'static str)> {
    said().into_iter().map(|(n, _, to, line)| (n, to, line)).collect()
}

fn said() -> Vec<(usize, char, bool, &'static str)> {
    let lines = (1..).zip(MANUAL.lines());
    let marked = lines.filter_map(|(n, line)| {
        let letter = line.chars().next().filter(char::is_ascii_uppercase);
        let line = &line[letter.map_or(0, char::len_utf8)..];
        let who = letter.unwrap_or('A');
        let to = line.strip_prefix("-> ").map(|line| (n, who, true, line));
        to.or_else(|| line.strip_prefix("<- ").map(|line| (n, who, false, line)))
    });
    marked.collect()
}

fn value(line: &str) -> Value {
    serde_json::from_str(line).unwrap()
}

/// Every example is read by these types, and written again as it stands; each request has its reply;
/// and what is refused is refused in these words.
#[test]
fn the_manual_is_right() {
    let mut open: std::collections::BTreeMap<char, Result<Incoming, Refusal>> = [].into();
    for (n, who, to, line) in said() {
        if to {
            assert!(!open.contains_key(&who), "line {n}: the request before has no reply");
            let read = Incoming::parse(line);
            if let Ok(incoming) = &read {
                assert_eq!(value(&incoming.to_line()), value(line), "line {n}");
                assert_eq!(Incoming::parse(&incoming.to_line()), read, "line {n}");
            }
            open.insert(who, read);
            continue;
        }
        let read = Outgoing::parse(line).unwrap_or_else(|error| panic!("line {n}: {error}"));
        let outgoing = read.unwrap_or_else(|| panic!("line {n}: it is not known"));
        assert_eq!(value(&outgoing.to_line()), value(line), "line {n}");
        let Outgoing::Reply { id, result } = &outgoing else { continue };
        match open.remove(&who) {
            // Shown alone.
            None => {}
            Some(Ok(request)) => {
                assert_eq!(*id, Some(request.id), "line {n}");
                if let Ok(reply) = result {
                    assert_eq!(reply.word(), request.request.word(), "line {n}");
                }
            }
            Some(Err(refusal)) => assert_eq!(outgoing, refusal.reply(), "line {n}"),
        }
    }
    assert!(open.is_empty(), "the last request has no reply");
}

/// Whether everything that `old` says stands in `new`, too.
fn says_as_much(new: &Value, old: &Value) -> bool {
    match (new, old) {
        (Value::Object(new), Value::Object(old)) => {
            old.iter().all(|(key, o)| new.get(key).is_some_and(|n| says_as_much(n, o)))
        }
        _ => new == old,
    }
}

/// What release 0.1 said, and its clients, is understood to the last field.
#[test]
fn lines_of_release_0_1_are_read() {
    let session = include_str!("../../tests/releases/0.1/session.txt");
    let mut replies = 0;
    for line in session.lines().filter(|line| !line.starts_with('#')) {
        if let Some(line) = line.strip_prefix("-> ") {
            assert_eq!(value(&Incoming::parse(line).unwrap().to_line()), value(line));
        } else {
            let line = line.strip_prefix("<- ").unwrap();
            let read = Outgoing::parse(line).unwrap_or_else(|e| panic!("{e}: {line}")).unwrap();
            assert!(says_as_much(&value(&read.to_line()), &value(line)), "{line}");
            replies += 1;
        }
    }
    assert!(replies > 15);
}

/// What a service leaves out, or says in words that this release does not know, keeps no client from
/// stopping its motors.
#[test]
fn replies_that_say_less_are_understood() {
    let place = r#"{"position":1.0}"#;
    for verb in ["stop", "hold", "halt"] {
        for motors in ["", &format!(r#","motors":{{"x":{place}}}"#), r#","motors":{"x":{}}"#] {
            let line = format!(r#"{{"v":1,"id":1,"ok":true,"do":"{verb}"{motors}}}"#);
            let read = Outgoing::parse(&line).unwrap().unwrap();
            assert!(matches!(read, Outgoing::Reply { result: Ok(_), .. }), "{line}");
        }
    }
    let line = r#"{"v":1,"id":1,"ok":true,"do":"status","at_s":1.5,"state":"ready","motors":{"x":{"state":"idle"}}}"#;
    let Outgoing::Reply { result: Ok(Reply::Status(status)), .. } =
        Outgoing::parse(line).unwrap().unwrap()
    else {
        panic!("{line}")
    };
    let x = status.motors.get("x").unwrap();
    assert!(x.alive && x.at.position.is_none() && x.at.place == "unknown");
    let line = r#"{"v":1,"id":1,"ok":true,"do":"hello","service":"lockstep"}"#;
    assert!(Outgoing::parse(line).unwrap().is_some());
    let line = r#"{"v":1,"id":1,"ok":false,"code":"sulking","message":"no, not now"}"#;
    let Outgoing::Reply { result: Err(error), .. } = Outgoing::parse(line).unwrap().unwrap() else {
        panic!("{line}")
    };
    assert_eq!((error.code, error.message.as_str()), (ErrorCode::Internal, "no, not now"));
}

/// Nothing that can be said is missing in the manual.
#[test]
fn the_manual_is_complete() {
    let (mut requests, mut replies, mut events, mut codes) = (vec![], vec![], vec![], vec![]);
    for (_, to, line) in examples() {
        if to {
            requests.extend(Incoming::parse(line).ok().map(|incoming| incoming.request.word()));
            continue;
        }
        match Outgoing::parse(line).unwrap().unwrap() {
            Outgoing::Reply { result: Ok(reply), .. } => replies.push(reply.word()),
            Outgoing::Reply { result: Err(error), .. } => codes.push(error.code.word()),
            Outgoing::Event(event) => events.push(event.event.word()),
        }
    }
    for verb in Request::WORDS {
        assert!(requests.contains(verb), "no example asks for `{verb}`");
        assert!(replies.contains(verb), "no example answers `{verb}`");
    }
    assert_eq!(Request::WORDS, Reply::WORDS);
    for event in Event::WORDS {
        assert!(events.contains(event), "no example of the event `{event}`");
        assert!(
            MANUAL.contains(&format!("\n| `{event}` | ")),
            "the event `{event}` is not explained"
        );
    }
    for feature in FEATURES {
        let explained = MANUAL.contains(&format!("\n| `{feature}` | "));
        assert!(explained, "the feature `{feature}` is not explained");
    }
    for code in ErrorCode::ALL {
        let word = code.word();
        assert!(codes.contains(&word), "no example of the code `{word}`");
        assert!(MANUAL.contains(&format!("\n| `{word}` | ")), "the code `{word}` is not explained");
        assert_eq!(serde_json::to_value(code).unwrap(), json!(word));
    }
}

fn refused(line: &str) -> (Option<u64>, ErrorCode, String) {
    let refusal = Incoming::parse(line).unwrap_err();
    (refusal.id, refusal.error.code, refusal.error.message)
}

/// The flaws that the manual has no example of.
#[test]
fn flaws_are_named() {
    let cases = [
        (r#""#, "bad-json", "this is no JSON: EOF while parsing a value at column 0"),
        (r#"{"v":1,"id":1,"do":"clear"} x"#, "bad-json", "trailing characters at column 29"),
        (r#"{"id":1,"do":"clear"}"#, "missing-field", "the field `v` is missing"),
        (r#"{"v":1,"do":"clear"}"#, "missing-field", "the field `id` is missing"),
        (r#"{"v":1,"id":1}"#, "missing-field", "the field `do` is missing"),
        (
            r#"{"v":"1","id":1,"do":"clear"}"#,
            "wrong-type",
            "`v`: this must be a whole number from 0 to 4294967295, not the text",
        ),
        (
            r#"{"v":1,"id":"a","do":"clear"}"#,
            "wrong-type",
            "`id`: this must be a whole number, 0 or more, not the text",
        ),
        (
            r#"{"v":1,"id":-1,"do":"clear"}"#,
            "bad-value",
            "`id`: this must be a whole number, 0 or more, not the number -1",
        ),
        (r#"{"v":1,"id":1.5,"do":"clear"}"#, "wrong-type", "not the number 1.5"),
        (r#"{"v":1,"id":1,"do":["clear"]}"#, "wrong-type", "`do`: this must be a text, not a list"),
        (r#"{"v":1,"id":1,"do":"clear","all":true}"#, "unknown-field", "it takes no fields"),
        (
            r#"{"v":1,"id":1,"do":"somersault"}"#,
            "unknown-verb",
            "no verb `somersault` is known; there are hello,",
        ),
        (r#"{"v":1,"id":1,"do":"move","to":{}}"#, "bad-value", "`to`: no motor is named"),
        (r#"{"v":1,"id":1,"do":"move","to":[]}"#, "wrong-type", "`to`: this must be an object"),
        (
            r#"{"v":1,"id":1,"do":"move","to":{"x":"1mm","x":"2mm"}}"#,
            "duplicate-field",
            "the key `x`",
        ),
        (
            r#"{"v":1,"id":1,"do":"move","to":{"x":"1mm/s"}}"#,
            "bad-value",
            "not a length or an angle",
        ),
        (r#"{"v":1,"id":1,"do":"move","to":{"x":"1s"}}"#, "bad-value", "`1s` is not"),
        (
            r#"{"v":1,"id":1,"do":"jog","speed":{"left":"50"},"for":"1s"}"#,
            "bad-value",
            "or % of full speed",
        ),
        (
            r#"{"v":1,"id":1,"do":"move","to":{"x":"1mm"},"speed":"101%"}"#,
            "bad-value",
            "at most 100%",
        ),
        (
            r#"{"v":1,"id":1,"do":"move","to":{"x":"1mm"},"speed":"0%"}"#,
            "bad-value",
            "more than 0%",
        ),
        (r#"{"v":1,"id":1,"do":"move","to":{"x":"1mm"},"timeout":"0s"}"#, "bad-value", "too short"),
        (r#"{"v":1,"id":1,"do":"move","to":{"x":"1mm"},"timeout":5}"#, "wrong-type", "`timeout`"),
        (
            r#"{"v":1,"id":1,"do":"move","to":{"x":"1mm"},"timeout":"-5s"}"#,
            "bad-value",
            "out of range",
        ),
        (
            r#"{"v":1,"id":1,"do":"move","to":{"x":"1mm"},"wait":"yes"}"#,
            "wrong-type",
            "`wait`: this must be true or false, not the text \"yes\"",
        ),
        (
            r#"{"v":1,"id":1,"do":"move","to":{"x":"1mm"},"if-busy":"wait"}"#,
            "bad-value",
            "`if-busy`: `wait` is none of `refuse`, `queue`, `replace`",
        ),
        (
            r#"{"v":1,"id":1,"do":"move","to":{"x":"1mm"},"arrive":7}"#,
            "wrong-type",
            "`arrive`: this must be a word, not the number 7",
        ),
        (r#"{"v":1,"id":1,"do":"jog","speed":{"x":"1mm"},"for":"1s"}"#, "bad-value", "a speed"),
        (r#"{"v":1,"id":1,"do":"jog","speed":{"x":"1mm/s"}}"#, "missing-field", "`for` is missing"),
        (r#"{"v":1,"id":1,"do":"resume","motors":[]}"#, "bad-value", "the list is empty"),
        (
            r#"{"v":1,"id":1,"do":"enable","motors":["x","y","x"]}"#,
            "bad-value",
            "number 3 is named",
        ),
        (r#"{"v":1,"id":1,"do":"override","speed":"-5%"}"#, "bad-value", "more than 0%"),
        (r#"{"v":1,"id":1,"do":"override","speed":"5%","class":"jobs"}"#, "bad-value", "jog"),
        (
            r#"{"v":1,"id":1,"do":"subscribe","topics":["moves","all"]}"#,
            "bad-value",
            "`all` is none",
        ),
        (
            r#"{"v":1,"id":1,"do":"rendezvous","name":"m","parties":-2,"timeout":"1s"}"#,
            "bad-value",
            "not the number -2",
        ),
    ];
    for (line, code, words) in cases {
        let (id, got, message) = refused(line);
        assert_eq!(got.word(), code, "{line}: {message}");
        assert!(message.contains(words), "{line}: {message}");
        let has_id = line.contains(r#""id":1,"#) || line.contains(r#""id":1}"#);
        let readable = !matches!(code, "bad-json" | "duplicate-field");
        assert_eq!(id, (has_id && readable).then_some(1), "{line}");
    }
}

#[test]
fn every_stop_is_urgent_and_may_name_nobody() {
    for verb in ["hold", "stop", "halt"] {
        for motors in ["", r#","motors":[]"#, r#","motors":["x"]"#, r#","motors":null"#] {
            let line = format!(r#"{{"v":1,"id":1,"do":"{verb}"{motors}}}"#);
            assert!(Incoming::parse(&line).unwrap().request.is_urgent());
        }
    }
}

/// What a later service may say is passed over.
#[test]
fn clients_are_lenient() {
    let line = r#"{"v":1,"id":1,"ok":true,"do":"trigger","completed":2,"mood":"good"}"#;
    let reply = Outgoing::parse(line).unwrap().unwrap();
    let result = Ok(Reply::Trigger(TriggerReply { completed: 2 }));
    assert_eq!(reply, Outgoing::Reply { id: Some(1), result });
    for unknown in [
        r#"{"v":1,"seq":1,"at_s":1.0,"event":"weather","rain":true}"#,
        r#"{"v":1,"id":1,"ok":true,"do":"somersault"}"#,
    ] {
        assert_eq!(Outgoing::parse(unknown), Ok(None));
    }
    for wrong in ["7", "{}", r#"{"v":1,"id":1,"ok":true,"do":"trigger"}"#, r#"{"event":"lost"}"#] {
        assert!(Outgoing::parse(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn a_slip_is_told_from_nonsense() {
    let told = |verb: &str| {
        let line = format!(r#"{{"v":1,"id":1,"do":"{verb}"}}"#);
        Incoming::parse(&line).unwrap_err().error.message
    };
    assert!(told("mvoe").ends_with("did you mean `move`?"), "{}", told("mvoe"));
    assert!(told("programlist").ends_with("did you mean `program-list`?"));
    assert!(told("unrelated").contains("; there are "));
}

fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (-1e9..1e9_f64).prop_map(Value::from),
        ".{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(".{0,4}", inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    /// Whatever comes, nothing panics, and what is understood is what was said.
    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let mut lines = LineBuffer::new(MAX_LINE);
        let mut n = 0;
        lines.push(&bytes, |line| {
            n += 1;
            if let Ok(line) = line {
                let _ = (Incoming::parse(&line), Outgoing::parse(&line));
            }
        });
        prop_assert!(n <= bytes.iter().filter(|byte| **byte == b'\n').count());
    }

    /// An example that was spoilt somewhere is read or refused, and never as something that it does
    /// not say: writing it again gives the same.
    #[test]
    fn spoilt_examples_are_read_or_refused(
        which in any::<prop::sample::Index>(), at in any::<prop::sample::Index>(), with in ".{0,3}",
    ) {
        let all: Vec<_> = examples().into_iter().filter(|(_, to, _)| *to).collect();
        let line = all[which.index(all.len())].2;
        let mut spoilt: Vec<char> = line.chars().collect();
        let place = at.index(spoilt.len());
        spoilt.splice(place..=place, with.chars());
        let spoilt: String = spoilt.into_iter().collect();
        match Incoming::parse(&spoilt) {
            Ok(read) => prop_assert_eq!(Incoming::parse(&read.to_line()), Ok(read)),
            Err(refusal) => {
                prop_assert!(!refusal.error.message.is_empty());
                let line = refusal.clone().reply().to_line();
                prop_assert_eq!(Outgoing::parse(&line), Ok(Some(refusal.reply())));
            }
        }
    }

    /// Any JSON goes through an event untouched.
    #[test]
    fn data_is_not_touched(data in json_value(), event in ".{0,12}") {
        let request = Request::Trigger(Trigger { event, data });
        let incoming = Incoming { id: 1, request };
        prop_assert_eq!(Incoming::parse(&incoming.to_line()), Ok(incoming));
    }

    /// However a stream is cut, the same lines come out; and no more than one line is kept.
    #[test]
    fn lines_do_not_depend_on_how_they_come(
        text in "[ab\r\n]{0,120}", cuts in prop::collection::vec(1..20_usize, 0..40),
    ) {
        const MOST: usize = 8;
        let read = |pieces: &[&[u8]]| {
            let (mut lines, mut got, mut most) = (LineBuffer::new(MOST), Vec::new(), 0);
            for piece in pieces {
                lines.push(piece, |line| got.push(line));
                most = most.max(lines.pending());
            }
            (got, most)
        };
        let mut pieces = Vec::new();
        let mut rest = text.as_bytes();
        for cut in cuts {
            let (piece, more) = rest.split_at(cut.min(rest.len()));
            pieces.push(piece);
            rest = more;
        }
        pieces.push(rest);
        let (got, most) = read(&pieces);
        prop_assert!(most <= MOST + 1);
        prop_assert_eq!(&got, &read(&[text.as_bytes()]).0);
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        let expected: Vec<&str> = whole
            .split('\n')
            .map(|line| line.strip_suffix('\r').unwrap_or(line))
            .filter(|line| !line.bytes().all(|byte| byte.is_ascii_whitespace()) || line.len() > MOST)
            .collect();
        prop_assert_eq!(got.len(), expected.len());
        for (got, expected) in got.iter().zip(expected) {
            match got {
                Ok(line) => prop_assert!(line == expected && line.len() <= MOST),
                Err(error) => {
                    prop_assert_eq!(error.code, ErrorCode::LineTooLong);
                    prop_assert!(expected.len() > MOST);
                }
            }
        }
    }
}

#[test]
fn a_long_line_is_refused_and_the_next_is_read() {
    let mut lines = LineBuffer::new(MAX_LINE);
    let mut got = Vec::new();
    for _ in 0..100 {
        lines.push(&[b' '; 4096], |line| got.push(line));
        assert!(lines.pending() <= MAX_LINE + 1);
    }
    lines.push(b"\n{\"v\":1,\"id\":1,\"do\":\"clear\"}\n\xff\n", |line| got.push(line));
    let codes: Vec<_> =
        got.iter().map(|line| line.as_ref().err().map(|error| error.code)).collect();
    assert_eq!(codes, [Some(ErrorCode::LineTooLong), None, Some(ErrorCode::BadJson)]);
    let long = format!(r#"{{"v":1,"id":1,"do":"trigger","event":"{}"}}"#, "a".repeat(MAX_LINE));
    assert_eq!(refused(&long).1, ErrorCode::LineTooLong);
    let wordy = format!(r#"{{"v":1,"id":1,"do":"move","to":{{"x":"{}"}}}}"#, "é".repeat(20_000));
    let (_, code, message) = refused(&wordy);
    assert_eq!((code, message.chars().count()), (ErrorCode::BadValue, 304));
}
