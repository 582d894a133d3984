//! The examples of `docs/protocol.md`, run against a live service and compared, reply by reply.
//!
//! Each block that has requests is a session of its own with a service that has just begun, on the machine
//! that the document describes. A letter in front of an arrow is another client. What a reply says has to
//! be what stands there; only what is another each time is looked at for its kind alone: instants,
//! durations, lateness, tokens, clients' numbers, and where a motor is that was caught on its way.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Lines, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use crate::service_common::{LONG, Service};
use serde_json::Value;

const MANUAL: &str = include_str!("../../docs/protocol.md");

struct Line {
    number: usize,
    who: char,
    to: bool,
    text: &'static str,
}

/// The fenced blocks of a language, each with the number of the line before its first.
fn blocks(language: &str) -> Vec<(usize, &'static str)> {
    let head = format!("```{language}\n");
    let begins = MANUAL.match_indices(&head).map(|(at, _)| at + head.len());
    begins
        .map(|begin| {
            let length = MANUAL[begin..].find("```").unwrap();
            (MANUAL[..begin].lines().count(), &MANUAL[begin..begin + length])
        })
        .collect()
}

fn lines((before, block): (usize, &'static str)) -> Vec<Line> {
    let read = |(n, line): (usize, &'static str)| {
        let letter = line.chars().next().filter(char::is_ascii_uppercase);
        let rest = &line[usize::from(letter.is_some())..];
        let text = rest.strip_prefix("-> ").or_else(|| rest.strip_prefix("<- "))?;
        let (who, to) = (letter.unwrap_or('A'), rest.starts_with("->"));
        Some(Line { number: before + 1 + n, who, to, text })
    };
    block.lines().enumerate().filter_map(read).collect()
}

fn value(line: &str) -> Value {
    serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"))
}

/// A client's end of its connection.
struct Client {
    stream: UnixStream,
    lines: Lines<BufReader<UnixStream>>,
    /// Replies and events that came before the line that was waited for.
    replies: Vec<Value>,
    events: Vec<Value>,
}

impl Client {
    fn new(service: &Service) -> Client {
        let stream = UnixStream::connect(service.socket()).unwrap();
        stream.set_read_timeout(Some(LONG)).unwrap();
        let lines = BufReader::new(stream.try_clone().unwrap()).lines();
        Client { stream, lines, replies: Vec::new(), events: Vec::new() }
    }

    fn say(&self, line: &str) {
        (&self.stream).write_all(format!("{line}\n").as_bytes()).unwrap();
    }

    /// The next reply, or the next event of that kind; other events are left out.
    fn hear(&mut self, event: Option<&str>) -> Value {
        loop {
            match event {
                None if !self.replies.is_empty() => return self.replies.remove(0),
                Some(kind) => {
                    if let Some(at) = self.events.iter().position(|e| e["event"] == kind) {
                        return self.events.drain(..=at).next_back().unwrap();
                    }
                }
                None => {}
            }
            let line = value(&self.lines.next().expect("the service has hung up").unwrap());
            let queue =
                if line.get("event").is_some() { &mut self.events } else { &mut self.replies };
            queue.push(line);
        }
    }
}

/// What is found to differ, and where.
struct Comparison {
    /// Where a motor was caught on its way, its position is another each time.
    caught: bool,
    wrong: Vec<String>,
}

impl Comparison {
    fn compare(&mut self, path: &str, said: &Value, real: &Value) {
        let key = path.rsplit('.').next().unwrap_or_default();
        match (said, real) {
            (Value::Object(said), Value::Object(real)) => {
                let outer = self.caught;
                // One at rest is where it is.
                let rests = real.get("state").is_some_and(|s| s == "idle" || s == "off");
                self.caught =
                    (outer && !rests) || real.get("outcome").is_some_and(|o| o == "short");
                for key in said.keys().filter(|key| !real.contains_key(*key)) {
                    self.wrong.push(format!("{path}.{key} is not there"));
                }
                for (key, real) in real {
                    match said.get(key) {
                        Some(said) => self.compare(&format!("{path}.{key}"), said, real),
                        None => self.wrong.push(format!("{path}.{key} is there: {real}")),
                    }
                }
                let at = real.get("position").and_then(Value::as_f64);
                let in_mm = real.get("unit").is_some_and(|unit| unit == "mm");
                if let (Some(steps), Some(at), true) = (real.get("steps"), at, in_mm) {
                    assert_eq!(steps.as_i64(), Some((at * 400.0).round() as i64));
                }
                self.caught = outer;
            }
            (Value::Array(said), Value::Array(real)) if said.len() == real.len() => {
                for (said, real) in said.iter().zip(real) {
                    self.compare(path, said, real);
                }
            }
            (Value::Number(_), Value::Number(_)) if is_variable(key) => {}
            (Value::Number(_), Value::Number(_))
                if self.caught && ["position", "steps", "by"].contains(&key) => {}
            (Value::String(said), Value::String(real))
                if ["token", "release"].contains(&key) && !said.is_empty() && !real.is_empty() => {}
            _ if said == real => {}
            _ => self.wrong.push(format!("{path}: {said} stands there, and it is {real}")),
        }
    }
}

fn is_variable(key: &str) -> bool {
    const KEYS: &[&str] =
        &["at_s", "wall_s", "left_s", "duration_s", "p50", "p99", "max", "seq", "client"];
    KEYS.contains(&key)
}

/// Runs one block; says what is wrong with it.
fn run(machine: &str, lines: &[Line]) -> Vec<String> {
    let service = Service::start(machine);
    let mut clients: BTreeMap<char, Client> = BTreeMap::new();
    // As the document has them, and as they are.
    let mut tokens: Vec<(String, String)> = Vec::new();
    let mut wrong = Vec::new();
    for (n, line) in lines.iter().enumerate() {
        let client = clients.entry(line.who).or_insert_with(|| Client::new(&service));
        if line.to {
            let said = tokens.iter().fold(line.text.to_owned(), |l, t| l.replace(&t.0, &t.1));
            client.say(&said);
            let answered = lines.get(n + 1).is_some_and(|next| !next.to && next.who == line.who);
            if !answered {
                // It waits before the others go on.
                std::thread::sleep(Duration::from_secs(1));
            }
            continue;
        }
        let said = value(line.text);
        let real = client.hear(said.get("event").and_then(Value::as_str));
        if let (Some(said), Some(real)) = (said["token"].as_str(), real["token"].as_str()) {
            tokens.push((said.to_owned(), real.to_owned()));
        }
        let verb = said["do"].as_str().unwrap_or_default();
        let caught =
            ["hold", "stop", "halt", "status"].contains(&verb) || said["event"] == "motors";
        let mut comparison = Comparison { caught, wrong: Vec::new() };
        comparison.compare("", &said, &real);
        let place = |what: String| format!("docs/protocol.md:{}: {what}\n  {real}", line.number);
        wrong.extend(comparison.wrong.into_iter().map(place));
    }
    drop(clients);
    service.end();
    wrong
}

#[test]
fn the_manuals_examples_are_what_a_service_says() {
    let machine = blocks("toml").first().expect("the machine of the examples").1;
    let sessions: Vec<_> = blocks("text").into_iter().map(lines).collect();
    let sessions: Vec<_> = sessions.into_iter().filter(|s| s.iter().any(|l| l.to)).collect();
    assert!(sessions.len() > 12, "{}", sessions.len());
    let mut wrong = Vec::new();
    for some in sessions.chunks(4) {
        std::thread::scope(|scope| {
            let run = |session: &'_ [Line]| run(machine, session);
            let handles: Vec<_> = some.iter().map(|s| scope.spawn(move || run(s))).collect();
            handles.into_iter().for_each(|h| wrong.extend(h.join().unwrap()));
        });
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// The sample of a refusal that stands alone in the document, by its code.
fn sample(code: &str) -> Value {
    let alone = blocks("text").into_iter().map(lines).filter(|s| s.iter().all(|l| !l.to));
    let samples = alone.flatten().map(|line| value(line.text));
    samples
        .into_iter()
        .find(|s| s["code"] == code)
        .unwrap_or_else(|| panic!("no sample of `{code}`"))
}

fn assert_as_sampled(code: &str, real: &Value) {
    let mut comparison = Comparison { caught: false, wrong: Vec::new() };
    let mut said = sample(code);
    said["id"] = real["id"].clone();
    comparison.compare("", &said, real);
    assert!(comparison.wrong.is_empty(), "{code}: {}\n{real}", comparison.wrong.join("\n"));
}

/// What no example shows, since it takes too many lines, is said as it stands there, too.
#[test]
fn refusals_that_take_more_than_a_line_are_as_they_stand_there() {
    let machine = blocks("toml").first().unwrap().1;
    let service = Service::start(machine);
    let mut client = Client::new(&service);
    let mut ask = |line: String| {
        client.say(&line);
        client.hear(None)
    };
    assert_as_sampled("line-too-long", &ask("x".repeat(70_000)));
    let mut last = Value::Null;
    for id in 0..40 {
        last =
            ask(format!(r#"{{"v":1,"id":{id},"do":"move","to":{{"pan":"1deg"}},"after":"60s"}}"#));
        if last["ok"] == false {
            break;
        }
    }
    assert_as_sampled("queue-full", &last);
    for id in 0..300 {
        last = ask(format!(r#"{{"v":1,"id":{id},"do":"save","motors":["x"]}}"#));
        if last["ok"] == false {
            break;
        }
    }
    assert_as_sampled("stack-full", &last);
    // They wait for the first, and so does the reply to the one too many.
    client.say(r#"{"v":1,"id":1,"do":"wait-events","events":["never"],"timeout":"500ms"}"#);
    (2..=66).for_each(|id| client.say(&format!(r#"{{"v":1,"id":{id},"do":"events"}}"#)));
    let replies: Vec<_> = (1..=66).map(|_| client.hear(None)).collect();
    assert_as_sampled("too-many", &replies[65]);
    let crowd: Vec<_> = (0..80).map(|_| Client::new(&service)).collect();
    let refused = crowd.into_iter().rev().find_map(|mut client| {
        let line = client.lines.next()?.ok()?;
        Some(value(&line))
    });
    assert_as_sampled("too-many-clients", &refused.unwrap());
    drop(client);
    service.end();
    // After a crash.
    let mut service = Service::start(machine);
    // It listens before its journal says that it runs; once it answers, it does.
    service.status();
    service.child.kill().unwrap();
    let service = Service::start_in(service.gone());
    let mut client = Client::new(&service);
    client.say(r#"{"v":1,"id":1,"do":"move","to":{"x":"1mm"}}"#);
    assert_as_sampled("fault", &client.hear(None));
    std::fs::write(service.config(), machine.replacen("\"50mm/s\"", "\"50\"", 1)).unwrap();
    client.say(r#"{"v":1,"id":2,"do":"reload"}"#);
    let mut refused = client.hear(None);
    // Where the file lies is another matter.
    for error in refused["errors"].as_array_mut().unwrap() {
        let place = error.as_str().unwrap().split_once("machine.toml").unwrap().1;
        *error = Value::from(format!("/etc/lockstep/lockstep.toml{place}"));
    }
    assert_as_sampled("config", &refused);
    drop(client);
    service.end();
}
