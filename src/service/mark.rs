//! Which motors have left the place that the journal has for them: one block beside it, written in place.
//!
//! A motor has to be noted as moving before its first step, so this is as little as can be synced: no file
//! changes its name or its length. The block bears the number of the journal that it is about, so a newer
//! journal makes it void, and a sum, so that what was torn by the cut is known as that.

use crate::files::sum;

/// What a disk writes in one go.
const BLOCK: usize = 512;
const LEFT: u8 = b'm';
const RESTS: u8 = b'-';

/// What the block says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Marks {
    /// For the journal of this number: whether each of its motors, in their order, has left.
    Of(u64, Vec<bool>),
    /// It is not there, or torn: any motor may have left.
    Unreadable,
}

impl Marks {
    /// Whether the motor at that place in the journal of that number may have left.
    pub fn has_left(&self, number: u64, motor: usize) -> bool {
        match self {
            Marks::Of(of, left) if *of == number => left.get(motor).copied().unwrap_or(true),
            // About a journal that has been replaced since.
            Marks::Of(of, _) => *of > number,
            Marks::Unreadable => true,
        }
    }

    /// The number of the journal that it is about; 0 where it can't be read.
    pub fn number(&self) -> u64 {
        match self {
            Marks::Of(number, _) => *number,
            Marks::Unreadable => 0,
        }
    }

    /// Reads a block.
    pub fn read(block: &[u8]) -> Marks {
        let read = || {
            let line = std::str::from_utf8(block).ok()?.lines().next()?;
            let (said, told) = line.rsplit_once(' ')?;
            let (number, motors) = said.split_once(' ')?;
            if told != sum(said.as_bytes()) || motors.bytes().any(|b| b != LEFT && b != RESTS) {
                return None;
            }
            Some(Marks::Of(number.parse().ok()?, motors.bytes().map(|b| b == LEFT).collect()))
        };
        read().unwrap_or(Marks::Unreadable)
    }
}

/// The block for the journal of that number, whose motors have left as `left` says.
pub(super) fn block(number: u64, left: &[bool]) -> Vec<u8> {
    let marks: String = left.iter().map(|&l| char::from(if l { LEFT } else { RESTS })).collect();
    let said = format!("{number} {marks}");
    let mut block = format!("{said} {}\n", sum(said.as_bytes())).into_bytes();
    block.resize(block.len().next_multiple_of(BLOCK), b' ');
    block
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_mark_is_about_one_journal() {
        let left = [true, false, true];
        let block = block(7, &left);
        assert_eq!(block.len(), BLOCK);
        let marks = Marks::read(&block);
        assert_eq!(marks, Marks::Of(7, left.to_vec()));
        let of = |number| (0..4).map(|m| marks.has_left(number, m)).collect::<Vec<_>>();
        assert_eq!(of(7), [true, false, true, true]);
        assert_eq!(of(8), [false; 4], "the journal has been written since");
        assert_eq!(of(6), [true; 4], "the journal has been put back");
        assert_eq!(Marks::read(&[]), Marks::Unreadable);
        assert!(Marks::Unreadable.has_left(7, 1));
        assert_eq!(super::block(1, &[false; 600]).len(), 2 * BLOCK);
    }

    proptest! {
        /// Whatever of the block was written, nobody who had left is told to rest.
        #[test]
        fn a_torn_block_hides_nobody(at in 0usize..512, with in any::<u8>(), cut in any::<bool>()) {
            let left = [true, false, true, false];
            let mut block = block(41, &left);
            if cut { block.truncate(at) } else { block[at] = with }
            let marks = Marks::read(&block);
            for (motor, left) in left.iter().enumerate() {
                prop_assert!(!left || marks.has_left(41, motor));
            }
        }
    }
}
