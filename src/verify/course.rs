//! What every stepper axis has to keep, whatever its steps look like: its count, its travel, its moves
//! and its limits.

use super::Options;
use super::check::{Tally, figure, motion_bounds};
use super::heading::{Heading, Pace};
use super::report::Bound;
use super::staircase::Staircase;
use super::step_motion::StepMotion;
use crate::config::{AtStart, AxisConfig, ClockMode, MotorConfig, PwmClockDrive};

/// What a step may fall short of a whole one in a position, by rounding.
const WHOLE: f64 = 1e-3;

/// The steps of an axis, one by one.
#[derive(Debug)]
pub(super) struct Course {
    name: String,
    unit: &'static str,
    pub axis: AxisConfig,
    required: [f64; 3],
    /// Lowest and highest count of the travel.
    travel: (f64, f64),
    travel_text: String,
    pub moving: bool,
    /// Steps since the trace began.
    steps: i64,
    /// Whether the axis knows where it is: else its travel says nothing.
    placed: bool,
    /// The count, once a position was told, and the range of it.
    count: Option<i64>,
    /// Where the config says that it starts, until its first position is told.
    assumed: Option<i64>,
    range: Option<(i64, i64)>,
    pub in_moves: Tally,
    /// Of the play's steps those that lie below it.
    below: i64,
    /// The play is being taken up for the move to come.
    taking_up: bool,
    taken_up: Tally,
    places: Tally,
    inside: Tally,
    /// None where it may step back to make up for lateness.
    heading: Option<Heading>,
    motion: StepMotion,
    /// On a step clock: in place of speed, acceleration and jerk.
    stairs: Option<Staircase>,
    /// Whether its steps have to add up to its positions.
    counted: bool,
}

impl Course {
    /// `late`: how late an edge may be, nanoseconds, the grain of the trace included.
    pub fn new(motor: &MotorConfig, axis: AxisConfig, options: &Options) -> Course {
        let limits = motor.limits;
        let of = |value: f64| axis.steps_per_unit.scale(value);
        let late = Self::late(options);
        let show = |x: f64| if x.is_finite() { figure(x) } else { "unlimited".to_owned() };
        let unit = motor.unit.symbol();
        let [speed, acceleration, jerk] = [limits.speed, limits.acceleration, limits.jerk].map(of);
        let pace = Pace { speed, acceleration, jerk, late };
        let assumed = match axis.at_start {
            AtStart::Assume(position) => Some(of(position).round() as i64),
            _ => None,
        };
        Course {
            name: motor.name.clone(),
            unit,
            axis,
            required: [limits.speed, limits.acceleration, limits.jerk],
            travel: (of(motor.travel.min).round(), of(motor.travel.max).round()),
            travel_text: format!("{} to {} {unit}", show(motor.travel.min), show(motor.travel.max)),
            moving: false,
            steps: 0,
            placed: true,
            count: None,
            assumed,
            range: None,
            in_moves: Tally::default(),
            below: axis.backlash,
            taking_up: false,
            taken_up: Tally::default(),
            places: Tally::default(),
            inside: Tally::default(),
            heading: Some(Heading::new(Some(pace))),
            motion: StepMotion::new(
                of(limits.speed),
                of(limits.acceleration),
                of(limits.jerk),
                late,
            ),
            stairs: None,
            counted: true,
        }
    }

    /// The steps come from a PWM channel.
    pub fn on_clock(self, drive: &PwmClockDrive, options: &Options) -> Course {
        let acceleration = self.axis.steps_per_unit.scale(self.required[1]);
        let stairs = Staircase::new(drive.jump, acceleration, Self::late(options));
        let counted = drive.mode == ClockMode::Position;
        // A clock that was late makes up for it, even backwards.
        let heading = self.heading.filter(|_| options.late_nanos() == 0);
        Course { stairs: Some(stairs), counted, heading, ..self }
    }

    /// How many steps it may be off its place by the way it steps.
    pub fn off(&self) -> f64 {
        self.stairs.as_ref().map_or(0.0, Staircase::off)
    }

    /// One nanosecond is the grain of the trace; the rest is what real time may add.
    pub fn late(options: &Options) -> u64 {
        options.late_nanos() + 1
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// The speed limit, in steps a second.
    pub fn top_speed(&self) -> f64 {
        self.axis.steps_per_unit.scale(self.required[0])
    }

    /// Two steps are never closer than this.
    pub fn shortest_interval(&self) -> u64 {
        // A late loop may go a quarter faster to catch up; a clock never does.
        let most = if self.stairs.is_some() { 1.0 } else { 1.25 };
        (1e9 / (most * self.top_speed())) as u64
    }

    /// Steps since the trace began.
    pub fn steps(&self) -> i64 {
        self.steps
    }

    /// A step, which may have been held back by up to `held` nanoseconds.
    pub fn step(&mut self, at: u64, up: bool, held: u64) {
        let step = if up { 1 } else { -1 };
        let below = self.below + step;
        if (0..=self.axis.backlash).contains(&below) {
            // In the play: what is moved stands still.
            self.below = below;
            // In a move only where it turns round.
            let turns = self.heading.as_ref().is_some_and(Heading::is_to_turn);
            let fine = !self.moving || turns;
            self.taken_up.look(at, fine, || "backlash is taken up in a move".into());
            if fine && !std::mem::replace(&mut self.taking_up, true) {
                self.motion.begin(at);
            }
            self.motion.edge(at, up, held);
            return;
        }
        if self.moving && std::mem::take(&mut self.taking_up) {
            // It has turned in a jog, at rest.
            self.motion.begin(at);
        }
        self.in_moves.look(at, self.moving, || "a step outside of any move".into());
        self.steps += step;
        if let Some(heading) = &mut self.heading {
            heading.goes(at, up);
        }
        match &mut self.stairs {
            Some(stairs) => stairs.edge(at, up),
            None => self.motion.edge(at, up, held),
        }
        if let Some(count) = &mut self.count {
            *count += step;
            let count = *count;
            if !self.placed {
                return;
            }
            self.reach(count);
            let inside = (self.travel.0..=self.travel.1).contains(&(count as f64));
            self.inside.look(at, inside, || Self::place(&self.axis, self.unit, count));
        }
    }

    fn reach(&mut self, count: i64) {
        let range = self.range.get_or_insert((count, count));
        *range = (range.0.min(count), range.1.max(count));
    }

    fn place(axis: &AxisConfig, unit: &str, count: i64) -> String {
        format!("{} {unit}", figure(axis.steps_per_unit.unscale(count as f64)))
    }

    /// A move begins, with the position that it begins at.
    pub fn start(&mut self, at: u64, position: f64) {
        self.moving = true;
        self.taking_up = false;
        self.motion.start(at);
        self.told(at, position);
    }

    /// The move ends, with the position that it ended at.
    pub fn end(&mut self, at: u64, position: f64) {
        self.moving = false;
        self.heading.iter_mut().for_each(Heading::end);
        self.motion.end();
        self.told(at, position);
    }

    /// The move ends in a halt.
    pub fn halt(&mut self, at: u64) {
        self.moving = false;
        self.heading.iter_mut().for_each(Heading::end);
        self.motion.halt(at);
        if let Some(stairs) = &mut self.stairs {
            stairs.halt();
        }
    }

    /// Whether it never steps back but where its move goes back.
    pub fn keeps_its_way(&self) -> bool {
        self.heading.is_some()
    }

    /// Its direction, where that is looked at.
    pub fn heading_mut(&mut self) -> Option<&mut Heading> {
        self.heading.as_mut()
    }

    /// From now on nobody knows where it is.
    pub fn lose_place(&mut self) {
        self.placed = false;
    }

    /// A person says where it is: nothing moves, and the count goes on from there.
    pub fn set(&mut self, at: u64, position: f64) {
        (self.count, self.assumed) = (None, None);
        self.placed = true;
        self.told(at, position);
    }

    /// Compares the count with a position in the trace.
    fn told(&mut self, at: u64, position: f64) {
        let steps = self.axis.steps_per_unit.scale(position);
        let count = steps.round();
        let whole = (steps - count).abs() <= WHOLE;
        let text = || format!("{position} {} is {} steps", self.unit, figure(steps));
        let told = count as i64;
        // What came before the first position are steps of no move, which have a rule of their own.
        if let Some(assumed) = self.assumed.take() {
            self.places.look(at, told == assumed, || {
                format!("it starts at {told} steps, and the config says at {assumed}")
            });
        }
        match self.count {
            Some(count) if whole => self.places.look(at, count == told, || {
                format!("the edges make {count} steps, the position says {told}")
            }),
            _ => self.places.look(at, whole, text),
        }
        self.count = Some(told);
        if self.placed {
            self.reach(told);
        }
    }

    /// The trace ends: the rows of count and travel, then those of the limits.
    pub fn finish(mut self, at: u64) -> (Vec<Bound>, Vec<Bound>) {
        self.motion.finish(at);
        let name = self.name.as_str();
        let mut counts = vec![self.in_moves.rule(name, "steps in moves alone", "yes")];
        if self.counted {
            let seen = |t: &Tally| format!("{} positions", t.looked());
            counts.push(self.places.bound(name, "steps = position", "exact", seen));
        }
        if self.axis.backlash > 0 {
            let required = format!("{} steps, before a move", self.axis.backlash);
            let seen = |t: &Tally| format!("{} steps", t.looked());
            counts.push(self.taken_up.bound(name, "backlash", required, seen));
        }
        let range = self.range.map_or("-".to_owned(), |(low, high)| {
            let low = figure(self.axis.steps_per_unit.unscale(low as f64));
            format!("{low} to {}", Self::place(&self.axis, self.unit, high))
        });
        counts.push(self.inside.bound(name, "travel", self.travel_text, |_| range));
        counts.extend(self.heading.into_iter().flat_map(|h| h.finish(name)));
        let scale = self.axis.steps_per_unit.to_f64();
        let limits = match self.stairs {
            Some(stairs) => vec![stairs.finish(name, self.unit, scale)],
            None => {
                motion_bounds(name, self.unit, self.motion.limits, self.required, scale).collect()
            }
        };
        (counts, limits)
    }
}
