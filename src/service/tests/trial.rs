//! A service that is watched at work, and judged by what it promised and what its trace shows.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Mutex;
use std::time::Duration;

use super::bench::serve_with;
use super::judge::Promises;
use super::story::Story;
use super::watch::Watched;
use crate::config::Config;

/// How a service is tried.
pub struct Trial<'k> {
    pub config: &'k Config,
    /// How long a rest may take.
    pub rest: Duration,
    /// How it ended before, if not well.
    pub unclean: Option<&'static str>,
    /// A disk has to know of motors before they leave where they rest.
    pub asks: bool,
}

/// What is wrong, and what was done before.
#[derive(Debug)]
pub struct Wrong {
    pub what: String,
    pub log: Vec<String>,
}

/// What a panic says.
fn said(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("a panic").to_owned()
}

impl Trial<'_> {
    /// Serves, does what `act` does, and looks whether all of it was right.
    pub fn judge(&self, act: impl FnOnce(&mut Watched<'_, '_>)) -> Result<Story, Wrong> {
        self.judge_spoilt(act, |_, _| {})
    }

    /// The same; `spoil` makes something wrong of what was promised, or of the trace.
    pub fn judge_spoilt(
        &self,
        act: impl FnOnce(&mut Watched<'_, '_>),
        spoil: impl FnOnce(&mut Promises, &mut Story),
    ) -> Result<Story, Wrong> {
        let log = Mutex::new(Vec::new());
        let done = catch_unwind(AssertUnwindSafe(|| {
            let config = self.config.clone();
            let (mut promises, mut story) = serve_with(config, self.unclean, self.asks, |bench| {
                let mut watched = Watched::new(bench, self.rest);
                watched.observe();
                let done = catch_unwind(AssertUnwindSafe(|| act(&mut watched)));
                *log.lock().unwrap() = std::mem::take(&mut watched.log);
                if let Err(panic) = done {
                    resume_unwind(panic);
                }
                Promises::of(&watched)
            });
            spoil(&mut promises, &mut story);
            if let Ok(file) = std::env::var("LOCKSTEP_VCD") {
                story.write(&file);
            }
            promises.check(&story);
            let findings = story.findings(self.config);
            assert_eq!(findings, "", "verify");
            story
        }));
        done.map_err(|panic| Wrong { what: said(&*panic), log: log.into_inner().unwrap() })
    }
}
