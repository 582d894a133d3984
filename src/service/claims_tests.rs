use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::service::disk::Folder;
use crate::service::journal::Journal;
use crate::service::mark;

const TEXT: &str = "[axis.x]\nstep = { gpio = 17 }\ndir = { gpio = 27 }\ndriver = \"drv8825\"\n\
    steps-per-revolution = 200\nmicrosteps = 16\ndistance-per-revolution = \"8mm\"\n\
    travel = { min = \"0mm\", max = \"200mm\" }\nmax-speed = \"50mm/s\"\n\
    max-acceleration = \"500mm/s^2\"\nat-start = \"restored\"\n\
    [axis.y]\nstep = { gpio = 22 }\ndir = { gpio = 23 }\ndriver = \"drv8825\"\n\
    steps-per-revolution = 200\nmicrosteps = 16\ndistance-per-revolution = \"8mm\"\n\
    travel = { min = \"0mm\", max = \"200mm\" }\nmax-speed = \"50mm/s\"\n\
    max-acceleration = \"500mm/s^2\"\nat-start = \"restored\"\n";

fn config() -> Config {
    Config::from_str(TEXT, "t").unwrap().config
}

fn at(steps: i64) -> Kept {
    serde_json::from_value(json!({ "steps": steps, "sure": true })).unwrap()
}

fn millis(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// A motor as it really is.
#[derive(Clone, Copy, Debug, Default)]
struct Really {
    steps: i64,
    /// What it is on its way to.
    to: Option<i64>,
    /// It was told to move, and waits for the disk.
    wants: Option<i64>,
    /// For so many milliseconds.
    waits: u64,
    rests_since: u64,
}

/// Two axes, their claims, and a disk that takes its time.
struct World {
    now: Instant,
    x: [Really; 2],
    claims: Claims,
    journal: Journal,
    /// What the disk has, and how often each was written.
    disk: (String, Vec<u8>),
    written: (usize, usize),
    folder: tempfile::TempDir,
    /// What is being written, and when it is done, or has failed.
    writing: Option<(Job, Instant, bool)>,
    delay: u64,
    fails: bool,
    /// What has failed is on the disk nevertheless.
    half: bool,
    /// A motor has been let go although the disk did not take it.
    gave_up: bool,
}

impl World {
    fn new() -> World {
        let folder = tempfile::tempdir().unwrap();
        let journal = Journal::read(folder.path(), "sim", None, None).in_boot("a");
        let now = Instant::ZERO + millis(1000);
        let mut claims = Claims::new(&config(), &BTreeMap::new(), None);
        let mut disk = Folder::new(folder.path());
        let number = journal.begin(&mut disk, None, &claims.stand(now)).unwrap();
        claims.begun(number, now);
        let disk = (disk.journal().unwrap(), disk.block().unwrap());
        World {
            now,
            x: [Really::default(); 2],
            claims,
            journal,
            disk,
            written: (0, 0),
            folder,
            writing: None,
            delay: 10,
            fails: false,
            half: false,
            gave_up: false,
        }
    }

    fn put(&mut self, job: &Job) {
        match job {
            Job::Journal { number, why, stand } => {
                self.disk.0 = self.journal.running(*number, why.as_deref(), stand);
                self.written.0 += 1;
            }
            Job::Block { number, left } => {
                self.disk.1 = mark::block(*number, left);
                self.written.1 += 1;
            }
        }
    }

    /// A turn of the coordinator.
    fn turn(&mut self) {
        if let Some((job, _, fails)) = self.writing.take_if(|w| self.now >= w.1) {
            if !fails || self.half {
                self.put(&job);
            }
            self.claims.done(!fails, self.now);
        }
        for (n, name) in ["x", "y"].into_iter().enumerate() {
            let Some(to) = self.x[n].wants else { continue };
            self.x[n].waits += 5;
            if self.claims.may_leave(&[name], self.now) {
                self.gave_up |= millis(self.x[n].waits) >= PATIENCE;
                (self.x[n].to, self.x[n].wants, self.x[n].waits) = (Some(to), None, 0);
            }
        }
        let x = self.x;
        let of = |name: &str| x[usize::from(name == "y")];
        let places = || {
            let rests = ["x", "y"].into_iter().filter(|n| of(n).to.is_none());
            rests.map(|n| (n.to_owned(), at(of(n).steps))).collect()
        };
        let busy = |name: &str| of(name).to.is_some() || of(name).wants.is_some();
        self.claims.look(self.now, busy, places, None);
        if self.writing.is_none()
            && let Some(job) = self.claims.job(self.now)
        {
            self.writing = Some((job.clone(), self.now + millis(self.delay), self.fails));
        }
    }

    fn run(&mut self, ms: u64) {
        for _ in 0..ms.div_ceil(5) {
            for x in &mut self.x {
                if let Some(to) = x.to {
                    x.steps += (to - x.steps).clamp(-20, 20);
                    if x.steps == to {
                        (x.to, x.rests_since) = (None, self.now.as_nanos() / 1_000_000);
                    }
                }
            }
            self.turn();
            self.now = self.now + millis(5);
        }
    }

    /// The power is cut: what the next start knows.
    fn cut(&self) -> [Option<Kept>; 2] {
        std::fs::write(self.folder.path().join("journal.json"), &self.disk.0).unwrap();
        std::fs::write(self.folder.path().join("journal.mark"), &self.disk.1).unwrap();
        let next = Journal::read(self.folder.path(), "sim", None, None).in_boot("b");
        assert!(next.power_was_cut());
        let places = next.places(&config());
        ["x", "y"].map(|n| places.get(n).copied())
    }
}

#[test]
fn at_rest_is_restored_and_in_motion_is_not() {
    let mut world = World::new();
    world.x[0].wants = Some(4000);
    world.run(3000);
    assert_eq!(world.x[0].steps, 4000);
    // y never moved; x is at rest, but not for long enough.
    world.run(4000);
    assert_eq!(world.cut(), [Some(at(4000)), Some(at(0))]);
    // The first step comes after the disk has it, however slow that is.
    world.delay = 400;
    world.x[0].wants = Some(40_000);
    world.run(350);
    assert_eq!((world.x[0].steps, world.cut()[0]), (4000, Some(at(4000))));
    world.run(100);
    assert!(world.x[0].steps > 4000);
    let unsure = Kept { sure: false, ..at(4000) };
    assert_eq!(world.cut(), [Some(unsure), Some(at(0))]);
    // At work, no move waits, and the disk hears of no more than where it rests, now and then.
    (world.delay, world.written) = (10, (0, 0));
    for to in [0, 4000, 0, 4000] {
        world.x[0].wants = Some(to);
        world.turn();
        world.turn();
        assert!(world.x[0].wants.is_none(), "it has to wait");
        world.run(1_500);
    }
    assert_eq!(world.written.1, 0);
    assert!(world.written.0 <= 2, "{:?}", world.written);
    // A machine at rest has nothing to write, once that is said.
    world.run(10_000);
    world.written = (0, 0);
    world.run(60_000);
    assert_eq!(world.written, (0, 0));
}

#[test]
fn a_dead_disk_holds_nobody_for_long() {
    let mut world = World::new();
    world.x[0].wants = Some(400);
    world.run(9000);
    assert_eq!(world.cut()[0], Some(at(400)));
    world.delay = 1_000_000;
    world.x[0].wants = Some(800);
    world.run(1900);
    assert_eq!(world.x[0].steps, 400);
    world.run(300);
    assert!(world.x[0].steps > 400);
}

#[test]
fn what_becomes_of_the_machine_is_noted_at_once_and_another_config_is_another_place() {
    let mut claims = Claims::new(&config(), &[("x".to_owned(), at(400))].into(), None);
    let mut now = Instant::ZERO + millis(10);
    claims.begun(1, now);
    let places = || BTreeMap::from([("x".to_owned(), at(400))]);
    claims.look(now, |_| false, places, None);
    assert_eq!(claims.job(now), None);
    now = now + millis(10);
    claims.look(now, |_| false, places, Some("x: a fault"));
    let Some(Job::Journal { number: 2, why, stand }) = claims.job(now).cloned() else { panic!() };
    assert_eq!(why.as_deref(), Some("x: a fault"));
    assert_eq!(stand["x"].kept, at(400));
    claims.done(true, now);
    // The same step is another way now.
    let other = TEXT.replace("microsteps = 16", "microsteps = 8");
    claims.adopt(&Config::from_str(&other, "t").unwrap().config);
    now = now + EVERY;
    claims.look(now, |_| false, BTreeMap::new, Some("x: a fault"));
    let Some(Job::Journal { stand, .. }) = claims.job(now) else { panic!() };
    assert!(stand.is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Whatever moves when, however long the disk takes, whether it fails, and whenever the power is
    /// cut: a place that is told for sure is the one where the motor is.
    #[test]
    fn a_cut_at_any_instant_restores_no_other_place(
        deeds in prop::collection::vec((0usize..2, 0i64..4000, 0u64..7000, 0u64..900, any::<u8>()), 1..8),
        written in any::<bool>(),
    ) {
        let mut world = World::new();
        let mut healthy = true;
        for (motor, to, ms, delay, fails) in deeds {
            (world.delay, world.fails, world.half) = (delay, fails < 40, fails % 2 == 1);
            healthy &= !world.fails;
            if world.x[motor].to.is_none() {
                world.x[motor].wants = Some(to);
            }
            world.run(ms);
            if world.gave_up {
                // Then it is wrong, and the log has said so.
                return Ok(());
            }
            let known = world.cut();
            for (x, known) in world.x.iter().zip(known) {
                if let Some(known) = known.filter(|k| k.sure) {
                    prop_assert_eq!((known, x.to), (at(x.steps), None));
                }
            }
            // Nor is it forgotten: what has rested for long is known.
            let now = world.now.as_nanos() / 1_000_000;
            for (x, known) in world.x.iter().zip(known) {
                let rested = now - x.rests_since;
                if healthy && x.to.is_none() && x.wants.is_none() && rested > 9_000 {
                    prop_assert_eq!(known, Some(at(x.steps)));
                }
            }
        }
        // What is being written is there, or not.
        if let Some((job, ..)) = world.writing.take_if(|_| written) {
            world.put(&job);
        }
        let known = world.cut();
        for (x, known) in world.x.iter().zip(known) {
            if let Some(known) = known.filter(|k| k.sure) {
                prop_assert_eq!((known, x.to), (at(x.steps), None));
            }
        }
    }
}
