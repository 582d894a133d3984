mod aside;
mod changes;
mod late_fleet;
mod late_loops;
mod own_limits;
#[allow(dead_code, missing_docs)]
#[path = "../../../tests/machine/support.rs"]
pub(crate) mod support;
mod threads;
