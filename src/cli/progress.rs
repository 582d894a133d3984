use std::fmt::Write;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::{logging, table};
use crate::machine::{Machine, Progress};
use crate::units::Time;

/// A run shorter than this shows no progress.
const PATIENCE: Duration = Duration::from_secs(1);

/// How often the line is written anew.
const EVERY: Duration = Duration::from_millis(100);

/// One line on the terminal that says how far the run is; nothing where standard error is none.
pub(super) struct ProgressLine {
    begun: Instant,
    drawn: Instant,
    duration: Option<Duration>,
    bar: Option<ProgressBar>,
    off: bool,
}

impl ProgressLine {
    /// A line for a run of that duration, if it is known.
    pub fn new(duration: Option<Duration>, off: bool) -> ProgressLine {
        let now = Instant::now();
        ProgressLine { begun: now, drawn: now, duration, bar: None, off }
    }

    pub fn update(&mut self, machine: &Machine, progress: &Progress) {
        if self.off || self.begun.elapsed() < PATIENCE || self.drawn.elapsed() < EVERY {
            return;
        }
        self.drawn = Instant::now();
        let bar = self.bar.get_or_insert_with(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
            // The one style that needs no template; it is cut at the terminal's width.
            let style = ProgressStyle::with_template("{wide_msg}");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
            logging::stand_on(Some(bar.clone()));
            bar
        });
        bar.set_message(text(machine, progress, self.duration));
    }
}

impl Drop for ProgressLine {
    fn drop(&mut self) {
        if let Some(bar) = self.bar.take() {
            logging::stand_on(None);
            bar.finish_and_clear();
        }
    }
}

fn text(machine: &Machine, progress: &Progress, duration: Option<Duration>) -> String {
    let mut text = format!("{:.1} s", progress.elapsed.as_secs_f64());
    // Writing to a `String` can't fail.
    if let Some(duration) = duration {
        let _ = write!(text, " of {}", Time(duration));
    }
    let _ = write!(text, "  move {}", progress.moves);
    for motor in &machine.config().motors {
        if let Some(position) = machine.position(&motor.name) {
            let position = table::number(position);
            let _ = write!(text, "  {} {position} {}", motor.name, motor.unit.symbol());
        }
    }
    text += if machine.is_stopped() { "  stopping" } else { "  (Ctrl-C stops)" };
    text
}
