//! Input lines: one thread watches the edges of all of them.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use ::rppal::gpio::{Error as GpioError, Event, Gpio, InputPin, Pin, Trigger};

use super::from_rppal;
use crate::board::Pull;
use crate::hal::{Cause, HalError, InputEdge, InputLine, Level, OnEdge};
use crate::units::Instant;

/// How long the thread waits for an edge at a stretch. Opening another input waits as long at most.
const STRETCH: Duration = Duration::from_millis(50);

/// Within this the pin of a line that was dropped is free again.
pub(super) const GIVEN_BACK: Duration = Duration::from_millis(200);

/// How long it waits while there is no line to watch.
const IDLE: Duration = Duration::from_millis(5);

/// Watches input lines, for as long as it or one of the lines lives.
#[derive(Debug)]
pub(super) struct Watcher {
    user: Arc<User>,
}

/// What the watcher and its lines hold: without it the thread ends.
#[derive(Debug)]
struct User(Arc<Shared>);

impl Drop for User {
    fn drop(&mut self) {
        self.0.stop.store(true, Ordering::Relaxed);
    }
}

struct Shared {
    lines: Mutex<Vec<Line>>,
    /// How many calls wait for `lines`: the thread lets them go first.
    callers: AtomicUsize,
    stop: AtomicBool,
    /// The thread has ended.
    blind: AtomicBool,
    cause: Mutex<Option<Cause>>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("blind", &self.blind).finish_non_exhaustive()
    }
}

struct Line {
    pin: Arc<InputPin>,
    on_edge: OnEdge,
    closed: Arc<AtomicBool>,
}

impl Watcher {
    pub(super) fn start(gpio: Gpio) -> io::Result<Watcher> {
        let shared = Arc::new(Shared {
            lines: Mutex::default(),
            callers: AtomicUsize::new(0),
            stop: AtomicBool::new(false),
            blind: AtomicBool::new(false),
            cause: Mutex::default(),
        });
        let of_thread = shared.clone();
        let run = move || {
            let _blind = BlindAtEnd(&of_thread);
            of_thread.run(&gpio);
        };
        // Nobody joins it: it ends within a stretch once nobody needs it.
        thread::Builder::new().name("inputs".into()).spawn(run)?;
        Ok(Watcher { user: Arc::new(User(shared)) })
    }

    /// Makes `pin` an input. When this returns the kernel has armed its edges.
    pub(super) fn watch(
        &self,
        pin: Pin,
        pull: Pull,
        on_edge: OnEdge,
    ) -> Result<HeaderInput, HalError> {
        let gpio = pin.pin();
        let mut pin = match pull {
            Pull::Up => pin.into_input_pullup(),
            Pull::Down => pin.into_input_pulldown(),
            Pull::None => pin.into_input(),
        };
        pin.set_reset_on_drop(false);
        let mut lines = self.user.0.lines_for_caller();
        pin.set_interrupt(Trigger::Both, None)
            .map_err(|e| HalError::NoEdges { gpio, cause: cause(&e) })?;
        let pin = Arc::new(pin);
        let closed = Arc::new(AtomicBool::new(false));
        lines.push(Line { pin: pin.clone(), on_edge, closed: closed.clone() });
        Ok(HeaderInput { gpio, pin, closed, user: self.user.clone() })
    }
}

/// However the thread ends, also by a panic in an `on_edge`, its lines say so from then on.
struct BlindAtEnd<'a>(&'a Shared);

impl Drop for BlindAtEnd<'_> {
    fn drop(&mut self) {
        self.0.blind.store(true, Ordering::Release);
    }
}

impl Shared {
    fn lines(&self) -> MutexGuard<'_, Vec<Line>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The lines, for a call from outside. The thread holds them for a stretch at most, then stands
    /// back while a caller waits.
    fn lines_for_caller(&self) -> MutexGuard<'_, Vec<Line>> {
        self.callers.fetch_add(1, Ordering::SeqCst);
        let lines = self.lines();
        self.callers.fetch_sub(1, Ordering::SeqCst);
        lines
    }

    fn run(&self, gpio: &Gpio) {
        while !self.stop.load(Ordering::Relaxed) {
            if self.callers.load(Ordering::SeqCst) > 0 {
                thread::sleep(Duration::from_millis(1));
                continue;
            }
            let mut lines = self.lines();
            lines.retain_mut(Line::stays);
            if lines.is_empty() {
                drop(lines);
                thread::sleep(IDLE);
                continue;
            }
            let seen = {
                let pins: Vec<&InputPin> = lines.iter().map(|line| &*line.pin).collect();
                let seen = gpio.poll_interrupts(&pins, false, Some(STRETCH));
                seen.map(|edge| edge.map(|(pin, event)| (pin.pin(), event)))
            };
            match seen {
                Ok(None) => {}
                Ok(Some((pin, event))) => {
                    for line in lines.iter_mut().filter(|line| line.pin.pin() == pin) {
                        (line.on_edge)(input_edge(event));
                    }
                }
                Err(GpioError::Io(e)) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    log::error!("the edges of the inputs cannot be watched any longer: {error}");
                    *self.cause.lock().unwrap_or_else(PoisonError::into_inner) =
                        Some(cause(&error));
                    return;
                }
            }
        }
    }
}

impl Line {
    /// False for a line whose user has dropped it; its edges are no longer asked for then.
    fn stays(&mut self) -> bool {
        if !self.closed.load(Ordering::Relaxed) {
            return true;
        }
        // The user may be in the middle of dropping it: then it goes the next time round.
        let Some(pin) = Arc::get_mut(&mut self.pin) else {
            return true;
        };
        // Fails only when the kernel has closed the line, which is what is wanted.
        let _ = pin.clear_interrupt();
        false
    }
}

/// The kernel stamps edges on the monotonic clock unless it is asked for another, and rppal does not.
fn input_edge(event: Event) -> InputEdge {
    InputEdge {
        level: Level::from_bool(event.trigger == Trigger::RisingEdge),
        at: Instant::ZERO + event.timestamp,
        number: Some(event.seqno),
    }
}

fn cause(error: &GpioError) -> Cause {
    match error {
        GpioError::Io(e) => Cause::from(e),
        GpioError::PermissionDenied(_) => {
            Cause::from(&io::Error::from(io::ErrorKind::PermissionDenied))
        }
        _ => Cause::from(&io::Error::from(io::ErrorKind::Other)),
    }
}

/// An input of the header.
#[derive(Debug)]
pub(super) struct HeaderInput {
    gpio: u8,
    pin: Arc<InputPin>,
    closed: Arc<AtomicBool>,
    user: Arc<User>,
}

impl InputLine for HeaderInput {
    fn level(&mut self) -> Result<Level, HalError> {
        let shared = &self.user.0;
        if shared.blind.load(Ordering::Acquire) {
            let cause = *shared.cause.lock().unwrap_or_else(PoisonError::into_inner);
            let unknown = || Cause::from(&io::Error::from(io::ErrorKind::Other));
            return Err(HalError::NoEdges {
                gpio: self.gpio,
                cause: cause.unwrap_or_else(unknown),
            });
        }
        Ok(from_rppal(self.pin.read()))
    }
}

impl Drop for HeaderInput {
    fn drop(&mut self) {
        self.closed.store(true, Ordering::Relaxed);
    }
}
