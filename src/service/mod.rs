//! The daemon: owns the motors from boot on, and serves the control socket.

mod begins;
mod claims;
mod desk;
mod disk;
mod group;
mod heartbeat;
mod journal;
mod keeping;
mod line_up;
mod looker;
mod mark;
mod motion;
mod notify;
mod page;
mod page_view;
mod pulses;
mod reload;
mod rest;
mod serve;
mod told;
mod verbs;
mod wire;
mod words;

#[cfg(test)]
mod tests;

pub use journal::Journal;
pub use page::{PageCounts, PageFacts, PageOwner, PageSignal, StatusPage, state_number};
pub use page_view::{PageMotor, PageView, read_page};
pub use reload::{ConfigFile, Reading};
pub use serve::{Places, ServeError, runtime_folder, serve, status_page};
pub use wire::{ClientId, FromClient, MOST_CLIENTS, Wire};
