use std::io::{self, BufReader, Read};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use proptest::prelude::*;

use super::*;

fn at(nanos: u64) -> Instant {
    Instant::from_nanos(nanos)
}

fn vcd(recording: &Recording, comment: &str) -> String {
    let mut out = Vec::new();
    recording.write_vcd(&mut out, comment).unwrap();
    String::from_utf8(out).unwrap()
}

fn all(recording: &Recording) -> Vec<(Instant, SignalId, Value)> {
    let store = &recording.store;
    store.records.iter().map(|&r| (instant(r), SignalId(r.signal), store.value(r))).collect()
}

/// One thing to record: the signal (by kind and number), the time since the last one of that signal,
/// and its value.
#[derive(Clone, Debug)]
enum Entry {
    Edge(usize, u64, bool),
    Real(usize, u64, f64),
    Text(usize, u64, String),
}

fn gap() -> impl Strategy<Value = u64> {
    prop_oneof![Just(0), 1..50_u64, 1..10_000_000_000_u64]
}

fn entry() -> impl Strategy<Value = Entry> {
    let number = prop_oneof![
        any::<f64>().prop_filter("NaN is not equal to itself", |v| !v.is_nan()),
        -1e3..1e3_f64,
        Just(f64::INFINITY),
        Just(f64::MIN_POSITIVE),
    ];
    prop_oneof![
        4 => (0..3_usize, gap(), any::<bool>()).prop_map(|(s, t, v)| Entry::Edge(s, t, v)),
        1 => (0..2_usize, gap(), number).prop_map(|(s, t, v)| Entry::Real(s, t, v)),
        1 => (0..2_usize, gap(), any::<String>()).prop_map(|(s, t, v)| Entry::Text(s, t, v)),
    ]
}

/// A signal and the records that must come out of it.
type Expected = (SignalId, Vec<(Instant, Value)>);

/// Records `entries`, each signal with its own time, and says what must come out of each signal.
fn record(entries: &[Entry]) -> (Recording, Vec<Expected>) {
    let start = at(777);
    let mut builder = TraceBuilder::new(start);
    let ids: Vec<SignalId> = [
        ("x", "step", SignalKind::Wire),
        ("y", "step", SignalKind::Wire),
        ("x", "dir", SignalKind::Wire),
        ("x", "position", SignalKind::Real),
        ("y", "position", SignalKind::Real),
        ("machine", "move", SignalKind::Text),
        ("machine", "note", SignalKind::Text),
    ]
    .into_iter()
    .map(|(scope, name, kind)| builder.add(scope, name, kind))
    .collect();
    let (recorder, trace) = builder.direct();
    let mut expected: Vec<_> = ids.iter().map(|&id| (id, Vec::new())).collect();
    let mut times = vec![0; ids.len()];
    for entry in entries {
        let (index, gap) = match entry {
            Entry::Edge(s, t, _) => (*s, *t),
            Entry::Real(s, t, _) => (s + 3, *t),
            Entry::Text(s, t, _) => (s + 5, *t),
        };
        times[index] += gap;
        let (id, records) = &mut expected[index];
        let when = start.plus_nanos(times[index]);
        let value = match entry {
            Entry::Edge(_, _, high) => {
                recorder.edge(*id, when, *high);
                if *high { Value::High } else { Value::Low }
            }
            Entry::Real(_, _, value) => {
                recorder.real(*id, when, *value);
                Value::Real(*value)
            }
            Entry::Text(_, _, value) => {
                recorder.text(*id, when, value);
                Value::Text(value.replace('\0', "").into())
            }
        };
        let repeats = matches!(value, Value::High | Value::Low)
            && records.last().is_some_and(|(_, last)| *last == value);
        if !repeats {
            records.push((at(times[index]), value));
        }
    }
    (trace.finish(), expected)
}

proptest! {
    #[test]
    fn what_is_recorded_comes_back_from_the_file(
        entries in prop::collection::vec(entry(), 0..120),
        comment: String,
        quiet in gap(),
    ) {
        let (recording, expected) = record(&entries);
        for (id, records) in &expected {
            prop_assert_eq!(&recording.records(*id).collect::<Vec<_>>(), records);
        }
        let end = recording.end().plus_nanos(quiet);
        let recording = recording.until(end);
        let text = vcd(&recording, &comment);
        let file = VcdFile::read(text.as_bytes()).unwrap();
        prop_assert_eq!(file.recording().end(), end);
        for signal in recording.signals() {
            let path = format!("{}.{}", signal.scope(), signal.name());
            let id = file.recording().find(&path).unwrap();
            let read: Vec<_> = file.recording().records(id).collect();
            prop_assert_eq!(read, recording.records(signal.id()).collect::<Vec<_>>());
        }
        // Time order over all signals, and the same bytes again.
        let order: Vec<_> = all(&recording).into_iter().map(|(t, s, _)| (t, s)).collect();
        prop_assert!(order.is_sorted());
        prop_assert_eq!(vcd(&record(&entries).0.until(end), &comment), text);
    }

    #[test]
    fn no_bytes_make_the_reader_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..200),
        words in prop::collection::vec(prop::sample::select(vec![
            "$scope module a $end", "$upscope $end", "$var wire 1 ! w $end", "$var real 64 r n $end",
            "$var string 1 s t $end", "$var reg 8 % bus $end", "$var wire 1 ! alias $end",
            "$timescale 1 ns $end", "$timescale 0 ns $end", "$enddefinitions $end", "#1", "#0",
            "#99999999999999999999", "1!", "b10 %", "b1 !", "r1.5 r", "rx r", "shi s", "s", "1?",
            "$dumpvars", "$end", "$comment", "\n",
        ]), 0..24),
    ) {
        let _ = VcdFile::read(&bytes[..]);
        let text = words.join("\n");
        if let Err(error) = VcdFile::read(text.as_bytes()) {
            prop_assert!(error.line() >= 1 && error.line() <= text.lines().count() as u64 + 2);
        }
    }
}

#[test]
fn the_file_is_what_the_viewers_expect() {
    let mut builder = TraceBuilder::new(at(100));
    let step = builder.add("x", "step", SignalKind::Wire);
    let pulse = builder.add("pan", "pulse", SignalKind::Wire);
    let position = builder.add("x", "position", SignalKind::Real);
    let moves = builder.add("machine", "move", SignalKind::Text);
    let (recorder, trace) = builder.direct();
    recorder.text(moves, at(100), "1 aligned");
    recorder.real(position, at(100), 0.0);
    recorder.edge(step, at(1_100), true);
    recorder.edge(step, at(3_000), false);
    // Hardware edges are filled in late.
    recorder.edge(pulse, at(50), true);
    recorder.edge(pulse, at(1_100), false);
    recorder.real(position, at(3_000), 0.0025);
    let text = vcd(&trace.finish().until(at(5_000)), "a move $end of it");
    let expected = "\
$comment
    a move $ end of it
$end
$comment
    records lost: 0
$end
$timescale 1 ns $end
$scope module x $end
$var wire 1 ! step $end
$var real 64 # position $end
$upscope $end
$scope module pan $end
$var wire 1 \" pulse $end
$upscope $end
$scope module machine $end
$var string 1 $ move $end
$upscope $end
$enddefinitions $end
#0
$dumpvars
x!
$end
1\"
r0.0 #
s1\\x20aligned $
#1000
1!
0\"
#2900
0!
r0.0025 #
#5000
";
    assert_eq!(text, expected);
}

#[test]
fn a_wire_without_an_edge_stays_unknown_in_the_file() {
    let mut builder = TraceBuilder::new(at(0));
    builder.add("pan", "pulse", SignalKind::Wire);
    let (_, trace) = builder.direct();
    let text = vcd(&trace.finish(), "");
    assert!(text.ends_with("#0\n$dumpvars\nx!\n$end\n"), "{text}");
    let changes: Vec<_> = VcdReader::new(text.as_bytes()).unwrap().map(Result::unwrap).collect();
    assert_eq!(changes, [Change { at: at(0), signal: SignalId(0), value: Value::Unknown }]);
}

#[test]
fn a_recorder_that_is_off_records_nothing_and_a_finished_one_neither() {
    let mut builder = TraceBuilder::new(at(0));
    let step = builder.add("x", "step", SignalKind::Wire);
    let note = builder.add("x", "note", SignalKind::Text);
    let off = Recorder::off();
    off.edge(step, at(1), true);
    off.text(note, at(1), "not kept");
    let (recorder, trace) = builder.direct();
    recorder.edge(step, at(1), true);
    let shared = Arc::clone(&trace.shared);
    let recording = trace.finish();
    recorder.edge(step, at(2), false);
    recorder.text(note, at(2), "late");
    assert_eq!(recording.edges(step).collect::<Vec<_>>(), [(at(1), true)]);
    assert_eq!((recording.len(), recording.lost()), (1, 0));
    assert!(shared.lock().records.is_empty());
}

#[test]
fn records_that_do_not_fit_their_signal_count_as_lost() {
    let mut builder = TraceBuilder::new(at(0));
    let step = builder.add("x", "step", SignalKind::Wire);
    assert_eq!(builder.add("x", "step", SignalKind::Real), step);
    let (recorder, trace) = builder.direct();
    recorder.real(step, at(1), 1.0);
    recorder.text(step, at(1), "one");
    recorder.edge(SignalId(7), at(1), true);
    let recording = trace.finish();
    assert_eq!((recording.len(), recording.lost()), (0, 3));
}

#[test]
fn threads_record_through_the_queue_and_nothing_is_unaccounted_for() {
    const EACH: u64 = 20_000;
    // The small queue may overflow: then kept and lost together make up what was sent.
    for capacity in [1, 64, 1 << 17] {
        let mut builder = TraceBuilder::new(at(0));
        let ids: Vec<_> = ["x", "y", "z"].map(|s| builder.add(s, "step", SignalKind::Wire)).into();
        let position = builder.add("x", "position", SignalKind::Real);
        let moves = builder.add("machine", "move", SignalKind::Text);
        let (recorder, trace) = builder.queued(capacity).unwrap();
        let threads: Vec<_> = ids
            .iter()
            .map(|&id| {
                let recorder = recorder.clone();
                thread::spawn(move || {
                    for n in 0..EACH {
                        recorder.edge(id, at(n * 10), n % 2 == 0);
                    }
                })
            })
            .collect();
        recorder.real(position, at(5), 0.5);
        recorder.text(moves, at(3), "1:aligned");
        threads.into_iter().for_each(|t| t.join().unwrap());
        let recording = trace.finish();
        assert_eq!(recording.records(moves).count(), 1, "a text is never lost");
        if capacity == 1 << 17 {
            assert_eq!(recording.lost(), 0);
            assert_eq!(recording.records(position).next(), Some((at(5), Value::Real(0.5))));
            for &id in &ids {
                let edges: Vec<_> = recording.edges(id).collect();
                assert_eq!(edges.len() as u64, EACH);
                assert!((0..EACH).zip(edges).all(|(n, e)| e == (at(n * 10), n % 2 == 0)));
            }
        } else {
            let sent = 3 * EACH + 2;
            assert!(recording.len() as u64 + recording.lost() <= sent);
            assert!(vcd(&recording, "").contains(&format!("records lost: {}\n", recording.lost())));
        }
        recorder.edge(ids[0], at(1 << 40), true);
    }
}

#[test]
fn a_full_queue_drops_and_counts() {
    let mut builder = TraceBuilder::new(at(0));
    let id = builder.add("x", "position", SignalKind::Real);
    let (recorder, trace) = builder.queued(16).unwrap();
    for n in 0..100_000 {
        recorder.real(id, at(n), n as f64);
    }
    let recording = trace.finish();
    assert!(recording.lost() > 0);
    assert_eq!(recording.len() as u64 + recording.lost(), 100_000);
    let text = vcd(&recording, "");
    let file = VcdFile::read(text.as_bytes()).unwrap();
    assert_eq!(file.recording().lost(), recording.lost());
}

#[test]
fn the_collecting_thread_ends_when_the_trace_is_dropped() {
    let (recorder, trace) = TraceBuilder::new(at(0)).queued(4).unwrap();
    let shared = Arc::downgrade(&trace.shared);
    drop((recorder, trace));
    for _ in 0..1_000 {
        if shared.upgrade().is_none() {
            return;
        }
        thread::sleep(Duration::from_millis(5));
    }
    panic!("the thread still runs after 5 s");
}

#[test]
fn errors_name_the_line_and_what_is_wrong() {
    let head = "$timescale 1 ns $end\n$scope module x $end\n$var wire 1 ! step $end\n\
                $var real 64 r position $end\n$upscope $end\n";
    let body = format!("{head}$enddefinitions $end\n");
    for (text, line, reason) in [
        (String::new(), 1, "the file ends before its `$enddefinitions`"),
        (head.to_string(), 6, "the file ends before its `$enddefinitions`"),
        ("$scope module x".to_string(), 1, "the file ends in the middle of a command"),
        ("$enddefinitions $end\n".to_string(), 1, "no `$timescale`"),
        ("$timescale 0 ns $end\n$enddefinitions $end".to_string(), 2, "no `$timescale`"),
        ("$upscope $end\n".to_string(), 1, "without its `$scope`"),
        ("hello\n".to_string(), 1, "unexpected character"),
        (format!("{head}#1\n"), 6, "a value before `$enddefinitions`"),
        (format!("{body}#1\n1?\n"), 8, "`?`, which no `$var` declares"),
        (format!("{body}#5\n#4\n"), 8, "time goes back to 4 ns from 5 ns"),
        (format!("{body}#5\nr1 !\n"), 8, "a number for `x.step`, which is a wire"),
        (format!("{body}#5\n1r\n"), 8, "a wire for `x.position`, which is a number"),
        (format!("{body}#5\nb101 !\n"), 8, "3 bits for `!`"),
        (format!("{body}\n\nrabc r\n"), 9, "invalid float"),
        (format!("{body}$var wire 1 ! a $end\n"), 7, "behind `$enddefinitions`"),
    ] {
        let error = VcdFile::read(text.as_bytes()).unwrap_err();
        let message = error.to_string();
        assert!(message.contains(reason), "{message} ({reason})");
        assert_eq!(error.line(), line, "{message}");
        assert!(message.starts_with(&format!("line {line}: ")), "{message}");
    }
}

#[test]
fn a_failing_file_is_named_as_such() {
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("the disk is gone"))
        }
    }
    let mut reader = BufReader::new(b"$timescale\n".chain(Broken));
    let error = VcdFile::read(&mut reader).unwrap_err();
    assert!(matches!(error, TraceError::Read { .. }));
    assert!(error.to_string().contains("the disk is gone"), "{error}");
}

#[test]
fn files_of_other_programs_are_read() {
    let text = "$date today $end $version some tool $end $timescale 100ps $end
$scope module top $end $scope module sub $end
$var reg 1 ! clk $end $var wire 1 ! clk_too $end $var reg 8 % bus [7:0] $end
$upscope $end $var integer 32 i count $end $upscope $end
$enddefinitions $end
$dumpvars x! b0 % $end
#15 1! b101 % #29 z! b1 ! #1000 $comment the end $end";
    let mut reader = VcdReader::new(text.as_bytes()).unwrap();
    assert_eq!(reader.passed_over(), ["top.sub.bus[7:0]", "top.count"]);
    assert_eq!(reader.lost(), None);
    assert!(reader.by_ref().all(|c| c.is_ok()));
    assert_eq!((reader.now(), reader.comments()), (at(100), &["the end".to_string()][..]));

    let file = VcdFile::read(text.as_bytes()).unwrap();
    let expected = [(at(1), Value::High), (at(2), Value::Unknown), (at(2), Value::High)];
    for path in ["top.sub.clk", "top.sub.clk_too"] {
        let id = file.recording().find(path).unwrap();
        assert_eq!(file.recording().records(id).collect::<Vec<_>>(), expected);
    }
    assert_eq!(file.recording().find("top.sub.bus"), None);
    assert_eq!(file.comments(), ["the end"]);
}

#[test]
fn a_record_is_small() {
    assert_eq!(size_of::<Record>(), 16);
    assert_eq!(size_of::<record::Queued>(), 24);
}
