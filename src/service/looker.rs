//! Looks programs through on a thread of its own, so that a long one keeps nobody waiting but who asked for it.

use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};

use crate::config::Config;
use crate::machine::MachineError;
use crate::moves::Start;
use crate::programs::{LookedThrough, Program};
use crate::runtime::Waker;
use crate::sync::StopEvent;

/// How many programs may wait to be looked through.
const MOST_WAITING: usize = 16;

/// How long the end of the service waits for the thread.
const LAST_LOOK: Duration = Duration::from_secs(1);

/// A program to be looked through.
pub(super) struct Look {
    /// The number that the answer has, too.
    pub number: u64,
    pub config: Arc<Config>,
    pub name: String,
    /// Where the motors are.
    pub starts: Vec<Start>,
    /// Ends it early: nobody wants to know any more.
    pub stop: StopEvent,
}

/// What came of one.
pub(super) type Looked = Result<LookedThrough, MachineError>;

enum Order {
    Look(Box<Look>),
    /// Something large to be given back where that keeps nobody waiting.
    Bury(Box<dyn Send>),
}

/// The thread, and what goes to and fro.
pub(super) struct Looker {
    orders: Option<Sender<Order>>,
    answers: Receiver<(u64, Looked)>,
    ended: Receiver<()>,
    stop: StopEvent,
    #[cfg(test)]
    at_once: Option<AtOnce>,
}

/// In tests: what is asked for is looked through at once, and the answers are kept back as long as the test says.
#[cfg(test)]
struct AtOnce {
    done: Sender<(u64, Looked)>,
    is_busy: Arc<std::sync::atomic::AtomicBool>,
}

/// Why a program is not looked through now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum NoLook {
    /// So many wait for that already.
    TooMany(usize),
    /// The thread is gone.
    Gone,
}

impl Looker {
    /// `waker`: told whenever there is an answer.
    ///
    /// # Errors
    ///
    /// The system gave no thread.
    pub fn start(waker: Waker) -> std::io::Result<Looker> {
        let (orders, to_do) = bounded(MOST_WAITING);
        // One that is looked through now, and those that wait.
        let (done, answers) = bounded(MOST_WAITING + 1);
        let (end, ended) = bounded(1);
        let stop = StopEvent::new();
        let stopped = stop.clone();
        std::thread::Builder::new().name("looker".to_owned()).spawn(move || {
            work(&to_do, &done, &stopped, &waker);
            drop(end);
        })?;
        Ok(Looker {
            orders: Some(orders),
            answers,
            ended,
            stop,
            #[cfg(test)]
            at_once: None,
        })
    }

    /// One without a thread: every program is looked through at once. It answers while it is not busy.
    #[cfg(test)]
    pub fn at_once(is_busy: Arc<std::sync::atomic::AtomicBool>) -> Looker {
        let (done, answers) = crossbeam_channel::unbounded();
        let (_, ended) = bounded(1);
        let at_once = Some(AtOnce { done, is_busy });
        Looker { orders: None, answers, ended, stop: StopEvent::new(), at_once }
    }

    /// Takes a program in, to be looked through when those before it are.
    ///
    /// # Errors
    ///
    /// Too many wait, or the thread is gone.
    pub fn look(&self, look: Look) -> Result<(), NoLook> {
        #[cfg(test)]
        if let Some(AtOnce { done, .. }) = &self.at_once {
            return done.send(look_through(look, &self.stop)).map_err(|_| NoLook::Gone);
        }
        let orders = self.orders.as_ref().ok_or(NoLook::Gone)?;
        orders.try_send(Order::Look(Box::new(look))).map_err(|e| match e {
            TrySendError::Full(_) => NoLook::TooMany(MOST_WAITING),
            TrySendError::Disconnected(_) => NoLook::Gone,
        })
    }

    /// The next answer, if there is one.
    pub fn answer(&self) -> Option<(u64, Looked)> {
        #[cfg(test)]
        if let Some(AtOnce { is_busy, .. }) = &self.at_once
            && is_busy.load(std::sync::atomic::Ordering::Relaxed)
        {
            return None;
        }
        self.answers.try_recv().ok()
    }

    #[cfg(test)]
    pub fn has_answer(&self) -> bool {
        !self.answers.is_empty()
    }

    /// Whether the thread still answers.
    pub fn is_alive(&self) -> bool {
        #[cfg(test)]
        if self.at_once.is_some() {
            return true;
        }
        !matches!(self.ended.try_recv(), Err(crossbeam_channel::TryRecvError::Disconnected))
    }

    /// Gives back something large, such as a config that nobody uses any more, where that keeps nobody waiting.
    pub fn bury(&self, large: impl Send + 'static) {
        if let Some(orders) = &self.orders {
            // Where there is no room it is given back here.
            let _ = orders.try_send(Order::Bury(Box::new(large)));
        }
    }
}

impl Drop for Looker {
    fn drop(&mut self) {
        self.stop.set();
        self.orders = None;
        // Nothing is sent: it ends with the thread.
        if let Err(crossbeam_channel::RecvTimeoutError::Timeout) =
            self.ended.recv_timeout(LAST_LOOK)
        {
            log::warn!("the thread that looks through programs did not end within {LAST_LOOK:?}");
        }
    }
}

fn work(orders: &Receiver<Order>, done: &Sender<(u64, Looked)>, stop: &StopEvent, waker: &Waker) {
    for order in orders {
        if stop.is_set() {
            return;
        }
        let look = match order {
            Order::Look(look) => look,
            Order::Bury(large) => {
                drop(large);
                continue;
            }
        };
        if done.send(look_through(*look, stop)).is_err() {
            return;
        }
        waker.wake();
    }
}

fn look_through(look: Look, stop: &StopEvent) -> (u64, Looked) {
    let Look { number, config, name, starts, stop: unwanted } = look;
    let stopped = || stop.is_set() || unwanted.is_set();
    let looked = Program::new(&config, Some(&name))
        .map(|program| LookedThrough::new(program, starts, &stopped));
    (number, looked)
}
