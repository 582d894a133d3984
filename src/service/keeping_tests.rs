use std::io;

use super::*;
use crate::machine::Move;
use crate::units::Length;

const TEXT: &str = "[axis.x]\nstep = { gpio = 17 }\ndir = { gpio = 27 }\ndriver = \"drv8825\"\n\
    steps-per-revolution = 200\nmicrosteps = 16\ndistance-per-revolution = \"8mm\"\n\
    travel = { min = \"0mm\", max = \"200mm\" }\nmax-speed = \"50mm/s\"\n\
    max-acceleration = \"500mm/s^2\"\nat-start = \"restored\"\n";

/// A disk in memory, and what is on it.
#[derive(Clone, Default)]
struct Memory {
    journals: Arc<Mutex<Vec<String>>>,
    blocks: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Disk for Memory {
    fn write(&mut self, journal: &str) -> io::Result<()> {
        self.journals.lock().unwrap().push(journal.to_owned());
        Ok(())
    }

    fn mark(&mut self, block: &[u8]) -> io::Result<()> {
        self.blocks.lock().unwrap().push(block.to_owned());
        Ok(())
    }
}

/// Writes after having been asked so often.
struct Slow {
    disk: Memory,
    work: Option<Work>,
    asked: u32,
}

impl Scribe for Slow {
    fn begin(&mut self, work: Work) {
        assert!(self.work.is_none());
        (self.work, self.asked) = (Some(work), 0);
    }

    fn ended(&mut self) -> Option<io::Result<()>> {
        self.asked += 1;
        match self.work.take_if(|_| self.asked > 20)? {
            Work::Journal(text) => Some(self.disk.write(&text)),
            Work::Block(block) => Some(self.disk.mark(&block)),
        }
    }

    fn finish(&mut self, _: Duration) -> bool {
        self.work.is_none()
    }
}

/// In virtual time: a move from rest waits for its block, goes on without one while it is at work, and
/// where the machine rested is noted.
#[test]
fn a_machine_keeps_its_journal() {
    let folder = tempfile::tempdir().unwrap();
    let config = Config::from_str(TEXT, "t").unwrap().config;
    let mut machine = Machine::builder(config).virtual_time().restore([].into()).build().unwrap();
    let journal = Journal::read(folder.path(), "sim", None, None).in_boot("a");
    let memory = Memory::default();
    let scribe =
        |disk: Memory| Ok(Box::new(Slow { disk, work: None, asked: 0 }) as Box<dyn Scribe>);
    let keeping = Keeping::begin_with(&journal, &machine, None, memory.clone(), scribe).unwrap();
    machine.ask_before_leaving(keeping.gate());
    let run = |machine: &mut Machine, seconds: f64| {
        let until = machine.now() + Duration::from_secs_f64(seconds);
        while machine.now() < until {
            keeping.look(machine, None);
            let next = (machine.now() + Duration::from_millis(10)).min(until);
            machine.work(next);
        }
    };
    let blocks = || memory.blocks.lock().unwrap().len();
    let last = || memory.journals.lock().unwrap().last().unwrap().clone();
    machine.set_position("x", Length(10.0)).unwrap();
    run(&mut machine, 10.0);
    assert!(last().contains("\"steps\":4000") && !last().contains("moving"), "{}", last());
    assert_eq!(blocks(), 1, "the empty one");
    // From rest: the motor stands still until the block is written.
    let id = machine.start(&Move::new().to("x", Length(11.0))).unwrap();
    run(&mut machine, 0.05);
    assert_eq!((blocks(), machine.position("x")), (1, Some(10.0)));
    while blocks() == 1 {
        assert_eq!(machine.position("x"), Some(10.0));
        run(&mut machine, 0.01);
    }
    assert!(machine.wait(id).all_reached());
    // At work: none of the next moves waits.
    for to in [12.0, 13.0, 14.0] {
        run(&mut machine, 0.5);
        let (id, before) =
            (machine.start(&Move::new().to("x", Length(to))).unwrap(), machine.now());
        assert!(machine.wait(id).all_reached());
        assert!(machine.now().since(before) < Duration::from_millis(300));
    }
    assert_eq!(blocks(), 2);
    run(&mut machine, 10.0);
    assert!(last().contains("\"steps\":5600") && !last().contains("moving"), "{}", last());
    // A stop takes back what waits; told to be elsewhere, it is not where the journal has it.
    let id = machine.start(&Move::new().to("x", Length(20.0))).unwrap();
    machine.stop_move(id);
    assert!(!machine.wait(id).all_reached());
    assert_eq!(machine.position("x"), Some(14.0));
    run(&mut machine, 10.0);
    machine.set_position("x", Length(0.0)).unwrap();
    assert!(!keeping.is_noted(&["x"], machine.now()));
    let written = blocks();
    while !keeping.is_noted(&["x"], machine.now()) {
        run(&mut machine, 0.01);
    }
    assert_eq!(blocks(), written + 1);
    run(&mut machine, 10.0);
    assert!(last().contains("\"steps\":0,"), "{}", last());
    assert!(keeping.close());
    machine.finish();
}

/// The real thread and the real folder.
#[test]
fn the_thread_writes_and_wakes() {
    let folder = tempfile::tempdir().unwrap();
    let config = Config::from_str(TEXT, "t").unwrap().config;
    let mut machine = Machine::builder(config).realtime(false).restore([].into()).build().unwrap();
    let journal = Journal::read(folder.path(), "sim", None, None).in_boot("a");
    let keeping = Keeping::begin(&journal, &machine, None).unwrap();
    machine.ask_before_leaving(keeping.gate());
    keeping.look(&machine, Some("a fault"));
    let said = || std::fs::read_to_string(folder.path().join("journal.json")).unwrap();
    let until = std::time::Instant::now() + Duration::from_secs(60);
    while !said().contains("a fault") {
        assert!(std::time::Instant::now() < until, "{}", said());
        machine.work(machine.now() + Duration::from_millis(100));
        keeping.look(&machine, Some("a fault"));
    }
    assert!(keeping.close());
    // Nothing is written any more, and nobody is kept from moving.
    assert!(keeping.is_noted(&["x"], machine.now()));
    machine.finish();
}
