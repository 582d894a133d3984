//! A place in a program, and the way from there to the next.

use super::program::{At, ListId, Program};
use crate::config::Action;
use crate::motor::MotorIndex;

/// A place in a program. It is owned, and a clone of it goes its own way.
///
/// It stands before something ([`Cursor::here`]), and goes on past it, or into it ([`Cursor::go_on`]): who carries
/// a step out does so in between.
#[derive(Clone, Debug)]
pub(super) struct Cursor {
    program: Program,
    frames: Vec<Frame>,
}

/// A list of steps that the cursor is in, with its place there.
#[derive(Clone, Copy, Debug)]
enum Frame {
    Steps {
        list: ListId,
        next: usize,
    },
    Repeat {
        list: ListId,
        left: Option<u32>,
        /// The mark that its last turn began with.
        began: Option<u64>,
    },
}

/// What a cursor stands before.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Here {
    /// A step. One that runs a program or repeats is gone into.
    Step(At),
    /// Another turn of a repetition.
    Turn,
    /// The end of a repetition's last turn.
    LastTurn,
    /// The end of the steps of a list, and of a program where they are all of it.
    Over { program: Option<usize> },
    /// The end of all.
    End,
}

impl Cursor {
    /// Before the first step of a list.
    pub fn at_list(program: &Program, list: ListId) -> Cursor {
        Cursor { program: program.clone(), frames: vec![Frame::Steps { list, next: 0 }] }
    }

    /// Before the first step of a program, by its number in the config.
    pub fn at_program(program: &Program, number: usize) -> Cursor {
        let first = program.list_of(number).map(|list| Frame::Steps { list, next: 0 });
        Cursor { program: program.clone(), frames: first.into_iter().collect() }
    }

    pub fn program(&self) -> &Program {
        &self.program
    }

    pub fn here(&self) -> Here {
        let Some(&frame) = self.frames.last() else { return Here::End };
        match frame {
            Frame::Steps { list, next } if next < self.program.steps(list).len() => {
                Here::Step(At { list, step: next })
            }
            Frame::Steps { list, .. } => Here::Over { program: self.program.whole_program(list) },
            Frame::Repeat { left: Some(0), .. } => Here::LastTurn,
            // There is no turn of nothing.
            Frame::Repeat { list, .. } if self.program.steps(list).is_empty() => Here::LastTurn,
            Frame::Repeat { .. } => Here::Turn,
        }
    }

    /// Past what it stands before: a step, the end of a list, or of a repetition. Into what runs a program or
    /// repeats, and into another turn.
    pub fn go_on(&mut self) {
        match self.here() {
            Here::Step(at) => {
                let inner = match &self.program.step(at).action {
                    Action::Run(number) => {
                        self.program.list_of(*number).map(|list| Frame::Steps { list, next: 0 })
                    }
                    Action::Repeat(left, _) => {
                        let list = self.program.lists_in(at).first();
                        list.map(|&list| Frame::Repeat { list, left: *left, began: None })
                    }
                    _ => None,
                };
                self.skip();
                self.frames.extend(inner);
            }
            Here::Turn => {
                self.begin_turn(None);
            }
            Here::LastTurn | Here::Over { .. } => self.leave(),
            Here::End => {}
        }
    }

    /// Past a step, without going into it.
    pub fn skip(&mut self) {
        if let Some(Frame::Steps { next, .. }) = self.frames.last_mut() {
            *next += 1;
        }
    }

    /// Out of the list or the repetition that it is in, wherever it stands there.
    pub fn leave(&mut self) {
        self.frames.pop();
    }

    /// Begins another turn of the repetition that it stands before. False, and nothing is done, where the turn before
    /// began with the same mark: one that took nothing would be followed by the next one without end.
    pub fn begin_turn(&mut self, mark: Option<u64>) -> bool {
        let Some(Frame::Repeat { list, left, began }) = self.frames.last_mut() else {
            return false;
        };
        if mark.is_some() && std::mem::replace(began, mark) == mark {
            return false;
        }
        *began = mark;
        *left = left.map(|n| n.saturating_sub(1));
        let list = *list;
        self.frames.push(Frame::Steps { list, next: 0 });
        true
    }

    /// The list whose rules hold here.
    pub fn list(&self) -> Option<ListId> {
        self.frames.iter().rev().find_map(|frame| match frame {
            Frame::Steps { list, .. } => Some(*list),
            Frame::Repeat { .. } => None,
        })
    }

    /// Out of the innermost program that it is in, with all that was begun there.
    pub fn leave_program(&mut self) {
        while let Some(frame) = self.frames.pop() {
            if let Frame::Steps { list, .. } = frame
                && self.program.whole_program(list).is_some()
            {
                return;
            }
        }
    }

    /// There is nothing left to do.
    pub fn end(&mut self) {
        self.frames.clear();
    }

    pub fn is_over(&self) -> bool {
        self.frames.is_empty()
    }

    /// How many lists and repetitions it is in.
    pub fn depth(&self) -> usize {
        self.frames.len()
    }

    /// The motors that may still move from here on. `under_way`: also by the step that it has just passed.
    pub fn motors_left(&self, under_way: bool, see: &mut dyn FnMut(MotorIndex)) {
        for (depth, frame) in self.frames.iter().enumerate() {
            let passed = usize::from(under_way && depth + 1 == self.frames.len());
            let (list, from) = match *frame {
                Frame::Steps { list, next } => (list, next.saturating_sub(passed)),
                Frame::Repeat { left: Some(0), .. } => continue,
                Frame::Repeat { list, .. } => (list, 0),
            };
            self.program.motors_from(list, from).for_each(&mut *see);
        }
    }
}
