//! `[program.NAME]` and its steps.

use std::sync::Arc;

use super::moves::{KEYFRAMES, MOVE, SWEEP, keyframes, move_action, sweep};
use super::parts::ReadMotor;
use super::reader::{Key, Reader, Table, Value, key, list, span_of};
use super::spin::{SPIN, spin};
use super::*;

const STEPS: Key = key("steps", "[ { pause = \"500ms\" } ]");
const MOVE_TIMEOUT: Key = key("move-timeout", "\"10s\"");
const ON_FAILURE: Key = key("on-failure", "\"stop\"");

const PAUSE: Key = key("pause", "\"500ms\"");
const SHARE: Key = key("share", "true");
const REPEAT: Key = key("repeat", "3");
const RUN: Key = key("run", "\"wave\"");
const WAIT_FOR: Key = key("wait-for", "[\"door-open\"]");
const TIMEOUT: Key = key("timeout", "\"10s\"");
const TRIGGER: Key = key("trigger", "\"part-ready\"");
const TOGETHER: Key = key("together", "[ [ { run = \"wave\" } ], [ { run = \"nod\" } ] ]");
const ACTIONS: [Key; 10] =
    [MOVE, PAUSE, SWEEP, KEYFRAMES, SPIN, REPEAT, RUN, WAIT_FOR, TRIGGER, TOGETHER];

/// The longest name of an event, in bytes; how many a step may wait for; and for how long.
const LONGEST_EVENT: usize = 128;
const MOST_EVENTS: usize = 32;
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// What the steps of a program can name.
pub(super) struct Names<'a> {
    pub motors: &'a [ReadMotor],
    pub motor_names: Vec<&'a str>,
    pub programs: Vec<&'a str>,
}

pub(super) fn read(
    r: &Reader<'_>,
    name: &str,
    table: &Table<'_>,
    names: &Names<'_>,
) -> ProgramConfig {
    let move_timeout = table.get(MOVE_TIMEOUT).and_then(|v| r.duration(v));
    let on_failure = table
        .get(ON_FAILURE)
        .and_then(|v| r.choice(v, &[("stop", OnFailure::Stop), ("continue", OnFailure::Continue)]));
    let steps = r.required(table, STEPS).map(|v| steps(r, v, names)).unwrap_or_default();
    r.finish(table);
    ProgramConfig {
        name: name.to_owned(),
        move_timeout,
        on_failure: on_failure.unwrap_or_default(),
        steps,
        span: table.span,
    }
}

/// Every step that could be read.
fn steps(r: &Reader<'_>, value: Value<'_>, names: &Names<'_>) -> Arc<[StepConfig]> {
    let Some(all) = r.list(value) else {
        return Arc::default();
    };
    if all.is_empty() {
        let what = if value.key.name == TOGETHER.name { "this branch" } else { "`steps`" };
        r.error(
            value.span(),
            format!("{what} has nothing in it"),
            format!("write at least one step, such as {{ pause = {} }}", PAUSE.example),
        );
    }
    all.into_iter().filter_map(|v| step(r, v, names)).collect()
}

fn step(r: &Reader<'_>, value: Value<'_>, names: &Names<'_>) -> Option<StepConfig> {
    let Some(entries) = value.toml.get_ref().as_table() else {
        r.error(
            value.span(),
            "a step is a table",
            format!("write it in braces, such as {{ pause = {} }}", PAUSE.example),
        );
        return None;
    };
    let present: Vec<Key> = ACTIONS.into_iter().filter(|a| entries.contains_key(a.name)).collect();
    let table = Table::new(
        entries,
        value.span(),
        match present[..] {
            [action] => format!("a `{}` step", action.name),
            _ => "a step".to_owned(),
        },
    );
    let [action] = present[..] else {
        return no_single_action(r, &table, &present);
    };
    let value = table.get(action)?;
    let action = match action.name {
        "move" => move_action(r, &table, value, names).map(Action::Move),
        "pause" => {
            let share = table.get(SHARE).map_or(Some(false), |v| r.boolean(v));
            let lasts = r.duration(value);
            lasts.zip(share).map(|(lasts, share)| Action::Pause(PauseAction { lasts, share }))
        }
        "sweep" => sweep(r, &table, value, names).map(Action::Sweep),
        "keyframes" => keyframes(r, value, names).map(Action::Keyframes),
        "spin" => spin(r, &table, value, names).map(Action::Spin),
        "wait-for" => wait_for(r, &table, value).map(Action::WaitFor),
        "trigger" => event(r, value).map(Action::Trigger),
        "repeat" => repeat(r, &table, value, names),
        "run" => r
            .string(value)
            .and_then(|name| r.name(value.span(), "program", name, &names.programs))
            .map(Action::Run),
        _ => together(r, value, names),
    };
    r.finish(&table);
    Some(StepConfig { action: action?, span: table.span })
}

fn no_single_action(r: &Reader<'_>, table: &Table<'_>, present: &[Key]) -> Option<StepConfig> {
    let actions = ACTIONS.map(|a| a.name);
    if present.is_empty() {
        // As a rule a slip of the pen.
        for (key, _) in table.entries {
            if crate::text::nearest(key.get_ref(), actions).is_some() {
                r.unknown_key(span_of(key), key.get_ref(), &table.title, &actions);
                return None;
            }
        }
        r.error(
            table.span,
            "this step does not say what to do",
            format!("write one of {}", list(actions.into_iter())),
        );
    } else {
        r.error(
            table.span,
            format!("this step has {} at once", list(present.iter().map(|a| a.name))),
            "write a step for each",
        );
    }
    None
}

/// A number of times, or `"forever"`, which is `None` inside.
pub(super) fn count(r: &Reader<'_>, value: Value<'_>) -> Option<Option<u32>> {
    if value.toml.get_ref().is_str() {
        return r.choice(value, &[("forever", None)]);
    }
    let times = r.integer(value, 1, i64::from(u32::MAX))?;
    Some(u32::try_from(times).ok())
}

/// The name of an event.
fn event(r: &Reader<'_>, value: Value<'_>) -> Option<String> {
    let name = r.string(value)?;
    if name.is_empty() || name.len() > LONGEST_EVENT {
        r.error(
            value.span(),
            format!("the name of an event can't have {} bytes", name.len()),
            format!("give it 1 to {LONGEST_EVENT}"),
        );
        return None;
    }
    Some(name.to_owned())
}

fn wait_for(r: &Reader<'_>, table: &Table<'_>, value: Value<'_>) -> Option<WaitAction> {
    let timeout = r.required(table, TIMEOUT).and_then(|v| {
        let timeout = r.duration(v)?;
        if timeout > LONGEST_WAIT {
            r.out_of_range(v, "a wait may last 60s at most");
            return None;
        }
        Some(timeout)
    });
    let all = r.list(value)?;
    if all.is_empty() || all.len() > MOST_EVENTS {
        r.error(
            value.span(),
            format!("{} events to wait for", all.len()),
            format!("name 1 to {MOST_EVENTS}, such as {}", WAIT_FOR.example),
        );
        return None;
    }
    let mut events: Vec<String> = Vec::with_capacity(all.len());
    for one in all {
        let name = event(r, one)?;
        if events.contains(&name) {
            r.error(
                one.span(),
                format!("`{name}` is named twice, and comes once"),
                "leave one of them out",
            );
            return None;
        }
        events.push(name);
    }
    Some(WaitAction { events, timeout: timeout? })
}

fn repeat(
    r: &Reader<'_>,
    table: &Table<'_>,
    value: Value<'_>,
    names: &Names<'_>,
) -> Option<Action> {
    let times = count(r, value);
    let steps = steps(r, r.required(table, STEPS)?, names);
    Some(Action::Repeat(times?, steps))
}

fn together(r: &Reader<'_>, value: Value<'_>, names: &Names<'_>) -> Option<Action> {
    let branches = r.list(value)?;
    if branches.len() < 2 {
        r.error(
            value.span(),
            format!("`together` has {} of the two branches that it needs", branches.len()),
            format!("write `together = {}`", TOGETHER.example),
        );
    }
    Some(Action::Together(branches.into_iter().map(|b| steps(r, b, names)).collect()))
}
