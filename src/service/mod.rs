//! The daemon: owns the motors from boot on, and serves the control socket.

mod wire;

pub use wire::{ClientId, FromClient, LONGEST_LINE, MOST_CLIENTS, Wire};
