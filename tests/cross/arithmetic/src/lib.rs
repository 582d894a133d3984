//! The project's modules that compute and read, as they are: units, boards, configs, files, motion, traces.

// Parts are for the modules that are not here.
#![allow(dead_code, unused_imports)]

#[path = "../../../../src/board/mod.rs"]
pub mod board;
#[path = "../../../../src/config/mod.rs"]
pub mod config;
#[path = "../../../../src/files/mod.rs"]
mod files;
#[path = "../../../../src/motion/mod.rs"]
pub mod motion;
#[path = "../../../../src/text/mod.rs"]
mod text;
#[path = "../../../../src/trace/mod.rs"]
pub mod trace;
#[path = "../../../../src/units/mod.rs"]
pub mod units;

#[cfg(test)]
mod tests {
    /// A program that can't unwind could not make its hardware safe.
    #[test]
    fn panics_unwind() {
        let caught = std::panic::catch_unwind(|| panic!("caught"));
        assert_eq!(caught.unwrap_err().downcast_ref::<&str>(), Some(&"caught"));
    }
}
