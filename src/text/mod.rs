//! Words for people: tables in columns, and what a misspelt word was meant to be.

// In tests/cross/arithmetic, which shows nothing to people, columns have no use.
#[allow(dead_code)]
mod columns;
mod nearest;

#[allow(unused_imports)]
pub(crate) use columns::{Columns, fold};
pub(crate) use nearest::nearest;
