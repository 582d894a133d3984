//! Inputs: what a line's raw edges mean.
//!
//! A contact bounces, a cable picks up what runs beside it, and the kernel tells of an edge what the level was
//! when it came to look. So nobody acts on an edge: a [`Filter`] confirms a level once it has stood for a while,
//! and says when the first edge of that change was. A [`Watcher`] feeds the filters of a machine's lines.

mod filter;
mod watch;

pub use filter::{Change, Condition, Edge, Filter, Rejected, Rules, Why};
pub use watch::{LineSpec, WatchError, Watched, Watcher};
