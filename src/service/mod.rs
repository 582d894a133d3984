//! The daemon: owns the motors from boot on, and serves the control socket.

mod begins;
mod desk;
mod group;
mod heartbeat;
mod journal;
mod line_up;
mod looker;
mod motion;
mod moves;
mod notify;
mod page;
mod pulses;
mod reload;
mod serve;
mod verbs;
mod wire;
mod words;

pub use journal::Journal;
pub use page::{PageMotor, PageView, StatusPage, read_page, state_number};
pub use reload::ConfigFile;
pub use serve::{Places, ServeError, runtime_folder, serve};
pub use wire::{ClientId, FromClient, LONGEST_LINE, MOST_CLIENTS, Wire};
