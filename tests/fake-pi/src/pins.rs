//! The outside of the pins: levels that are put on them, and the kernel's events for watched lines.
//! The inside, the registers, is played by preload.c in the program under test.

use std::fs::File;
use std::io::{self, Write};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use memmap2::MmapRaw;

use crate::boards::Board;
use crate::log::{Log, now};
use crate::options::Injection;

/// Words of the page behind the registers; preload.c has the same list.
const OUTSIDE: usize = 0;
const DRIVEN: usize = 2;
const WATCHED: usize = 3;

/// The bit of an RP1 pad that switches its input buffer on.
const READABLE: u32 = 0x40;

pub struct Pins {
    memory: MmapRaw,
    registers: usize,
    levels: usize,
    rp1: bool,
    log: Log,
}

impl Pins {
    /// Takes the file behind /dev/gpiomem and gives every pin its state after power-on and overlays:
    /// `pwm` pins have their PWM function, all others are inputs, pulled up to GPIO8 and down above.
    pub fn new(file: &File, board: &Board, pwm: &[u8], log: Log) -> io::Result<Pins> {
        file.set_len((board.registers() + 4096) as u64)?;
        let memory = MmapRaw::map_raw(file)?;
        let levels = if board.rp1 { 0x10008 } else { 0x34 };
        let pins = Pins { memory, registers: board.registers(), levels, rp1: board.rp1, log };
        for gpio in 0..28u8 {
            let function = board.pwm_pin(gpio).filter(|_| pwm.contains(&gpio)).map(|pin| pin.2);
            if board.rp1 {
                // After power-on RP1's pins have no function (31), and cannot be read; the kernel's
                // pin controller switches both on.
                let ctrl = pins.word(4 + usize::from(gpio) * 8);
                ctrl.store(function.unwrap_or(31), Ordering::SeqCst);
                let readable = if function.is_some() { READABLE } else { 0 };
                pins.pad(gpio).store(0x96 & !READABLE | readable, Ordering::SeqCst);
            } else {
                let select = pins.word(usize::from(gpio / 10) * 4);
                select.fetch_or(function.unwrap_or(0) << (gpio % 10 * 3), Ordering::SeqCst);
            }
            pins.put(gpio, gpio <= 8);
        }
        Ok(pins)
    }

    fn word(&self, offset: usize) -> &AtomicU32 {
        assert!(offset.is_multiple_of(4) && offset + 4 <= self.memory.len());
        // SAFETY: the assertion keeps the word inside the mapping, which lives as long as `self` and
        // starts at a page; both sides touch these words as 32-bit atomics or volatile words only.
        unsafe { AtomicU32::from_ptr(self.memory.as_mut_ptr().add(offset).cast()) }
    }

    fn control(&self, word: usize) -> &AtomicU32 {
        self.word(self.registers + word * 4)
    }

    /// Puts a level on a pin from outside. A pin that the program drives keeps the program's level.
    pub fn put(&self, gpio: u8, high: bool) {
        let bit = 1 << gpio;
        set(self.control(OUTSIDE), bit, high);
        if self.control(DRIVEN).load(Ordering::SeqCst) & bit == 0 {
            set(self.word(self.levels), bit, high && self.is_readable(gpio));
        }
    }

    /// The pad of an RP1 pin.
    fn pad(&self, gpio: u8) -> &AtomicU32 {
        self.word(0x20004 + usize::from(gpio) * 4)
    }

    fn is_readable(&self, gpio: u8) -> bool {
        !self.rp1 || self.pad(gpio).load(Ordering::SeqCst) & READABLE != 0
    }

    /// Makes the edges, each its time after the program first watches the pin. Returns when all are
    /// made.
    pub fn inject(&self, mut injections: Vec<Injection>) {
        injections.sort_by_key(|i| i.after);
        let mut watched_since = [0u64; 28];
        let mut sequence = [0u32; 28];
        while !injections.is_empty() {
            let watched = self.control(WATCHED).load(Ordering::SeqCst);
            for (pin, since) in watched_since.iter_mut().enumerate() {
                if watched >> pin & 1 == 1 && *since == 0 {
                    *since = now();
                }
            }
            injections.retain(|i| {
                let since = watched_since[usize::from(i.pin)];
                let due = since != 0 && now() >= since + i.after.as_nanos() as u64;
                if due {
                    // Each line is a request of its own.
                    let sequence = &mut sequence[usize::from(i.pin)];
                    *sequence += 1;
                    self.edge(i.pin, i.high, *sequence);
                }
                !due
            });
            thread::sleep(Duration::from_micros(100));
        }
    }

    fn edge(&self, pin: u8, high: bool, sequence: u32) {
        self.put(pin, high);
        let at = now();
        let level = if high { "high" } else { "low" };
        self.log.line(&format!("inject {pin} {level} {at}"));
        // struct gpio_v2_line_event of linux/gpio.h.
        let mut event = [0u8; 48];
        event[0..8].copy_from_slice(&at.to_ne_bytes());
        let kind: u32 = if high { 1 } else { 2 };
        let words = [kind, pin.into(), sequence, sequence];
        for (place, word) in event[8..].chunks_mut(4).zip(words) {
            place.copy_from_slice(&word.to_ne_bytes());
        }
        let fifo = format!("/dev/.fake-pi/line-{pin}");
        let written = File::options().write(true).open(&fifo).and_then(|mut f| f.write_all(&event));
        if let Err(error) = written {
            eprintln!("fake-pi: no event on {fifo}: {error}");
        }
    }
}

fn set(word: &AtomicU32, bit: u32, high: bool) {
    if high {
        word.fetch_or(bit, Ordering::SeqCst);
    } else {
        word.fetch_and(!bit, Ordering::SeqCst);
    }
}
