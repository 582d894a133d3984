//! Quantities with their units, and the instant on the monotonic clock.
//!
//! A quantity in a config or on the command line always carries its unit: `"1500us"`, `"50Hz"`,
//! `"8mm"`, `"90deg/s"`, `"0.5mm/s^2"`. A bare number is refused with the units that would serve.

mod instant;
mod quantity;
mod ratio;

pub use instant::Instant;
pub use quantity::{
    Acceleration, Angle, AngularAcceleration, AngularJerk, AngularSpeed, Current, Dimension,
    Frequency, Jerk, Length, Percent, Ppm, PulseWidth, Quantity, Speed, SpeedShare, Time,
    UnitError,
};
pub use ratio::Ratio;
