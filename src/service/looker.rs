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

/// How many large things may wait to be given back. It looks for them also while it looks through a program.
const MOST_GRAVES: usize = 64;

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

/// Something large to be given back where that keeps nobody waiting.
type Grave = Box<dyn Send>;

/// The thread, and what goes to and fro.
pub(super) struct Looker {
    orders: Option<Sender<Look>>,
    graves: Option<Sender<Grave>>,
    answers: Receiver<(u64, Looked)>,
    ended: Receiver<()>,
    stop: StopEvent,
    #[cfg(test)]
    at_once: Option<AtOnce>,
    /// In tests: what has been buried stays here.
    #[cfg(test)]
    buried: Receiver<Grave>,
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
        let (graves, buried) = bounded(MOST_GRAVES);
        // One that is looked through now, and those that wait.
        let (done, answers) = bounded(MOST_WAITING + 1);
        let (end, ended) = bounded(1);
        let stop = StopEvent::new();
        let stopped = stop.clone();
        std::thread::Builder::new().name("looker".to_owned()).spawn(move || {
            work(&to_do, &buried, &done, &stopped, &waker);
            drop(end);
        })?;
        Ok(Looker {
            orders: Some(orders),
            graves: Some(graves),
            answers,
            ended,
            stop,
            #[cfg(test)]
            at_once: None,
            #[cfg(test)]
            buried: crossbeam_channel::never(),
        })
    }

    /// One without a thread: every program is looked through at once. It answers while it is not busy.
    #[cfg(test)]
    pub fn at_once(is_busy: Arc<std::sync::atomic::AtomicBool>) -> Looker {
        let (done, answers) = crossbeam_channel::unbounded();
        let ((_, ended), (graves, buried)) = (bounded(1), bounded(MOST_GRAVES));
        let (stop, at_once) = (StopEvent::new(), Some(AtOnce { done, is_busy }));
        Looker { orders: None, graves: Some(graves), answers, ended, stop, at_once, buried }
    }

    /// Gives back what has been buried in one without a thread. How much that was.
    #[cfg(test)]
    pub fn clear_graves(&self) -> usize {
        self.buried.try_iter().count()
    }

    /// Takes a program in, to be looked through when those before it are.
    ///
    /// # Errors
    ///
    /// Too many wait, or the thread is gone.
    pub fn look(&self, look: Look) -> Result<(), NoLook> {
        #[cfg(test)]
        if let Some(AtOnce { done, .. }) = &self.at_once {
            let looked = look_through(look, &|| self.stop.is_set());
            return done.send(looked).map_err(|_| NoLook::Gone);
        }
        let orders = self.orders.as_ref().ok_or(NoLook::Gone)?;
        orders.try_send(look).map_err(|e| match e {
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
        if let Some(graves) = &self.graves {
            // Where there is no room it is given back here.
            let _ = graves.try_send(Box::new(large));
        }
    }
}

impl Drop for Looker {
    fn drop(&mut self) {
        self.stop.set();
        (self.orders, self.graves) = (None, None);
        // Nothing is sent: it ends with the thread.
        if let Err(crossbeam_channel::RecvTimeoutError::Timeout) =
            self.ended.recv_timeout(LAST_LOOK)
        {
            log::warn!("the thread that looks through programs did not end within {LAST_LOOK:?}");
        }
    }
}

fn work(
    orders: &Receiver<Look>,
    graves: &Receiver<Grave>,
    done: &Sender<(u64, Looked)>,
    stop: &StopEvent,
    waker: &Waker,
) {
    loop {
        crossbeam_channel::select! {
            // The ends of both come together.
            recv(graves) -> grave => match grave {
                Ok(grave) => drop(grave),
                Err(_) => return,
            },
            recv(orders) -> look => {
                let Ok(look) = look else { return };
                if stop.is_set() {
                    return;
                }
                let stopped = || {
                    graves.try_iter().for_each(drop);
                    stop.is_set()
                };
                if done.send(look_through(look, &stopped)).is_err() {
                    return;
                }
                waker.wake();
            }
        }
    }
}

fn look_through(look: Look, stopped: &dyn Fn() -> bool) -> (u64, Looked) {
    let Look { number, config, name, starts, stop: unwanted } = look;
    let stopped = || stopped() || unwanted.is_set();
    let looked = Program::new(&config, Some(&name))
        .map(|program| LookedThrough::new(program, starts, &stopped));
    (number, looked)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;
    use std::thread::ThreadId;

    /// Tells which thread gives it back.
    struct Large(mpsc::Sender<ThreadId>);

    impl Drop for Large {
        fn drop(&mut self) {
            self.0.send(std::thread::current().id()).unwrap();
        }
    }

    /// A program that is looked through for as long as nobody stops that keeps none of it from being given back.
    #[test]
    fn large_things_are_given_back_on_the_thread_also_while_it_looks() {
        let steps =
            vec!["{ move = { pan = \"10deg\" } }, { move = { pan = \"0deg\" } }"; 4000].join(", ");
        let text =
            format!("[servo.pan]\npwm = {{ gpio = 18 }}\n[program.p]\nsteps = [ {steps} ]\n");
        let config = Arc::new(Config::from_str(&text, "test").unwrap().config);
        let machine = crate::machine::Machine::builder(Config::clone(&config)).virtual_time();
        let machine = machine.build().unwrap();
        let looker = Looker::start(machine.waker()).unwrap();
        let (given, back) = mpsc::channel();
        let mut looks = 0;
        for number in 0..8 {
            let (name, starts) = ("p".to_owned(), machine.starts());
            let look =
                Look { number, config: config.clone(), name, starts, stop: StopEvent::new() };
            looker.look(look).unwrap();
            // More of them than have room, but not all at once.
            for _ in 0..20 {
                looker.bury(Large(given.clone()));
                let by = back.recv_timeout(Duration::from_secs(60)).unwrap();
                assert_ne!(by, std::thread::current().id());
            }
        }
        while looks < 8 {
            looks += usize::from(looker.answer().is_some());
            std::thread::yield_now();
        }
    }
}
