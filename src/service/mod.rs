//! The daemon: owns the motors from boot on, and serves the control socket.

mod page;
mod wire;

pub use page::{PageMotor, PageView, StatusPage, read_page, state_number};
pub use wire::{ClientId, FromClient, LONGEST_LINE, MOST_CLIENTS, Wire};
