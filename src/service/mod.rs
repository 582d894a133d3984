//! The daemon: owns the motors from boot on, and serves the control socket.

mod desk;
mod heartbeat;
mod line_up;
mod motion;
mod moves;
mod notify;
mod page;
mod pulses;
mod serve;
mod verbs;
mod wire;
mod words;

pub use page::{PageMotor, PageView, StatusPage, read_page, state_number};
pub use serve::{Places, ServeError, runtime_folder, serve};
pub use wire::{ClientId, FromClient, LONGEST_LINE, MOST_CLIENTS, Wire};
