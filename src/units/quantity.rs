use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;

use super::Ratio;

/// What a quantity measures.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
#[allow(missing_docs)]
pub enum Dimension {
    Time,
    Frequency,
    Length,
    Speed,
    Acceleration,
    Jerk,
    Angle,
    AngularSpeed,
    AngularAcceleration,
    AngularJerk,
    Percent,
    PercentRate,
    PercentJerk,
    Deviation,
    Current,
}

impl Dimension {
    /// The dimension in a few words, as an error names it: `a speed`.
    pub fn name(self) -> &'static str {
        match self {
            Dimension::Time => "a time",
            Dimension::Frequency => "a frequency",
            Dimension::Length => "a length",
            Dimension::Speed => "a speed",
            Dimension::Acceleration => "an acceleration",
            Dimension::Jerk => "a jerk",
            Dimension::Angle => "an angle",
            Dimension::AngularSpeed => "an angular speed",
            Dimension::AngularAcceleration => "an angular acceleration",
            Dimension::AngularJerk => "an angular jerk",
            Dimension::Percent => "a percentage",
            Dimension::PercentRate => "an acceleration as a share of full speed",
            Dimension::PercentJerk => "a jerk as a share of full speed",
            Dimension::Deviation => "a deviation",
            Dimension::Current => "a current",
        }
    }

    /// The unit that values of this dimension are kept in: `mm/s` for a speed.
    pub fn base_unit(self) -> &'static str {
        match self {
            Dimension::Time => "s",
            Dimension::Frequency => "Hz",
            Dimension::Length => "mm",
            Dimension::Speed => "mm/s",
            Dimension::Acceleration => "mm/s^2",
            Dimension::Jerk => "mm/s^3",
            Dimension::Angle => "deg",
            Dimension::AngularSpeed => "deg/s",
            Dimension::AngularAcceleration => "deg/s^2",
            Dimension::AngularJerk => "deg/s^3",
            Dimension::Percent => "%",
            Dimension::PercentRate => "%/s",
            Dimension::PercentJerk => "%/s^2",
            Dimension::Deviation => "ppm",
            Dimension::Current => "A",
        }
    }

    /// The units that are understood, for an error's hint: `"mm, um, cm, m or in"`.
    pub fn units(self) -> &'static str {
        match self {
            Dimension::Time => "ns, us, ms, s, min or h",
            Dimension::Frequency => "Hz, kHz or MHz",
            Dimension::Length => "mm, um, cm, m or in",
            Dimension::Speed => "mm/s (or another length a second or minute)",
            Dimension::Acceleration => "mm/s^2 (or another length)",
            Dimension::Jerk => "mm/s^3 (or another length)",
            Dimension::Angle => "deg or turn",
            Dimension::AngularSpeed => "deg/s, turn/s or rpm",
            Dimension::AngularAcceleration => "deg/s^2 or turn/s^2",
            Dimension::AngularJerk => "deg/s^3 or turn/s^3",
            Dimension::Percent => "%",
            Dimension::PercentRate => "%/s",
            Dimension::PercentJerk => "%/s^2",
            Dimension::Deviation => "ppm (millionths; 1% is 10000ppm)",
            Dimension::Current => "A or mA",
        }
    }
}

/// Why a text is no quantity, with what to write instead.
#[derive(Clone, PartialEq, Debug, Error)]
#[non_exhaustive]
pub enum UnitError {
    /// A number without a unit.
    #[error("`{text}` has no unit: write {expected} in {units}, such as \"{text}{base}\"")]
    BareNumber {
        /// The text as it stood.
        text: String,
        /// What was expected, in words.
        expected: &'static str,
        /// The units that serve.
        units: &'static str,
        /// The base unit.
        base: &'static str,
    },
    /// The unit is of another dimension, or of none.
    #[error("`{text}` is not {expected}: write it in {units}")]
    WrongUnit {
        /// The text as it stood.
        text: String,
        /// What was expected, in words.
        expected: &'static str,
        /// The units that serve.
        units: &'static str,
    },
    /// The part before the unit is no number.
    #[error("`{text}` is not {expected}: write a number and a unit, such as \"1{base}\"")]
    NotANumber {
        /// The text as it stood.
        text: String,
        /// What was expected, in words.
        expected: &'static str,
        /// The base unit.
        base: &'static str,
    },
    /// The value does not fit its type.
    #[error("`{text}` is out of range: {range}")]
    OutOfRange {
        /// The text as it stood.
        text: String,
        /// The range that holds.
        range: &'static str,
    },
    /// No positive ratio of integers.
    #[error(
        "`{text}` is not a ratio: write a positive number or a fraction of two, such as \"25792/405\""
    )]
    NotARatio {
        /// The text as it stood.
        text: String,
    },
}

/// A number with its dimension, in the dimension's base unit (see [`Dimension::base_unit`]).
///
/// ```
/// use lockstep::units::{Dimension, Quantity};
/// let q: Quantity = "3cm/s".parse().unwrap();
/// assert_eq!((q.value, q.dimension), (30.0, Dimension::Speed));
/// ```
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Quantity {
    /// The number, in the base unit.
    pub value: f64,
    /// What it measures.
    pub dimension: Dimension,
}

// name, dimension, and the exact factor to the base unit
const UNITS: &[(&str, Dimension, u64, u64)] = &[
    ("ns", Dimension::Time, 1, 1_000_000_000),
    ("us", Dimension::Time, 1, 1_000_000),
    ("µs", Dimension::Time, 1, 1_000_000),
    ("μs", Dimension::Time, 1, 1_000_000),
    ("ms", Dimension::Time, 1, 1_000),
    ("s", Dimension::Time, 1, 1),
    ("min", Dimension::Time, 60, 1),
    ("h", Dimension::Time, 3600, 1),
    ("Hz", Dimension::Frequency, 1, 1),
    ("kHz", Dimension::Frequency, 1_000, 1),
    ("MHz", Dimension::Frequency, 1_000_000, 1),
    ("um", Dimension::Length, 1, 1_000),
    ("µm", Dimension::Length, 1, 1_000),
    ("mm", Dimension::Length, 1, 1),
    ("cm", Dimension::Length, 10, 1),
    ("m", Dimension::Length, 1_000, 1),
    ("in", Dimension::Length, 127, 5),
    ("deg", Dimension::Angle, 1, 1),
    ("°", Dimension::Angle, 1, 1),
    ("turn", Dimension::Angle, 360, 1),
    ("%", Dimension::Percent, 1, 1),
    ("ppm", Dimension::Deviation, 1, 1),
    ("A", Dimension::Current, 1, 1),
    ("mA", Dimension::Current, 1, 1_000),
];

fn unit(name: &str) -> Option<(Dimension, u64, u64)> {
    if name == "rpm" {
        return Some((Dimension::AngularSpeed, 6, 1));
    }
    let (base, per) =
        name.split_once('/').map_or((name, None), |(b, p)| (b.trim(), Some(p.trim())));
    let &(_, dimension, num, den) = UNITS.iter().find(|u| u.0 == base)?;
    let Some(per) = per else {
        return Some((dimension, num, den));
    };
    let (order, per_num) = match per {
        "s" => (1, 1),
        "min" => (1, 60),
        "s^2" | "s2" | "s²" => (2, 1),
        "s^3" | "s3" | "s³" => (3, 1),
        _ => return None,
    };
    let dimension = match (dimension, order) {
        (Dimension::Length, 1) => Dimension::Speed,
        (Dimension::Length, 2) => Dimension::Acceleration,
        (Dimension::Length, 3) => Dimension::Jerk,
        (Dimension::Angle, 1) => Dimension::AngularSpeed,
        (Dimension::Angle, 2) => Dimension::AngularAcceleration,
        (Dimension::Angle, 3) => Dimension::AngularJerk,
        // A share of full speed is a speed already.
        (Dimension::Percent, 1) => Dimension::PercentRate,
        (Dimension::Percent, 2) => Dimension::PercentJerk,
        _ => return None,
    };
    Some((dimension, num, den * per_num))
}

fn split(text: &str) -> (&str, &str) {
    let text = text.trim();
    // An `e` belongs to the number only where an exponent follows it.
    let bytes = text.as_bytes();
    let mut end = 0;
    while end < bytes.len() {
        let exponent = matches!(bytes[end], b'e' | b'E')
            && end > 0
            && matches!(bytes.get(end + 1), Some(b'0'..=b'9' | b'-' | b'+'));
        let sign = matches!(bytes[end], b'-' | b'+')
            && (end == 0 || matches!(bytes[end - 1], b'e' | b'E'));
        if !(bytes[end].is_ascii_digit() || bytes[end] == b'.' || exponent || sign) {
            break;
        }
        end += 1;
    }
    (&text[..end], text[end..].trim())
}

impl Quantity {
    /// Reads `text` as a quantity of the dimension `want`.
    ///
    /// # Errors
    ///
    /// [`UnitError`] says what is wrong and which units serve.
    pub fn parse_as(text: &str, want: Dimension) -> Result<f64, UnitError> {
        let (expected, units, base) = (want.name(), want.units(), want.base_unit());
        let (number, name) = split(text);
        let text = text.trim().to_string();
        let Ok(value) = number.parse::<f64>() else {
            return Err(UnitError::NotANumber { text, expected, base });
        };
        if name.is_empty() {
            return Err(UnitError::BareNumber { text, expected, units, base });
        }
        match unit(name) {
            Some((d, num, den)) if d == want => {
                let value = value * num as f64 / den as f64;
                if value.is_finite() {
                    Ok(value)
                } else {
                    Err(UnitError::OutOfRange { text, range: "it must be finite" })
                }
            }
            _ => Err(UnitError::WrongUnit { text, expected, units }),
        }
    }

    /// The exact value of `text` as a ratio, in the base unit of its dimension (a positive length or
    /// angle): `"8mm"` is 8/1 mm, `"0.1in"` is 127/50 mm.
    ///
    /// # Errors
    ///
    /// [`UnitError`] where it is no quantity, not positive, or has more than 18 digits.
    pub fn parse_exact(text: &str) -> Result<(Ratio, Dimension), UnitError> {
        let q: Quantity = text.parse()?;
        let (number, name) = split(text);
        let ratio: Ratio = number.parse()?;
        unit(name)
            .and_then(|(_, num, den)| ratio.times(Ratio::new(num, den)?))
            .map(|r| (r, q.dimension))
            .ok_or_else(|| UnitError::NotARatio { text: text.to_string() })
    }
}

impl FromStr for Quantity {
    type Err = UnitError;
    fn from_str(text: &str) -> Result<Self, UnitError> {
        let (_, name) = split(text);
        let dimension = unit(name).map_or(Dimension::Length, |u| u.0);
        Ok(Quantity { value: Quantity::parse_as(text, dimension)?, dimension })
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.value, self.dimension.base_unit())
    }
}

macro_rules! quantity {
    ($(#[$doc:meta])* $name:ident, $dimension:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, PartialOrd, Debug, Default)]
        pub struct $name(pub f64);

        impl FromStr for $name {
            type Err = UnitError;
            fn from_str(s: &str) -> Result<Self, UnitError> {
                Quantity::parse_as(s, Dimension::$dimension).map($name)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}{}", self.0, Dimension::$dimension.base_unit())
            }
        }

        quantity!(@serde $name);
    };
    (@serde $name:ident) => {
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

quantity!(/** A length in millimetres. */ Length, Length);
quantity!(/** A speed in millimetres a second. */ Speed, Speed);
quantity!(/** An acceleration in mm/s². */ Acceleration, Acceleration);
quantity!(/** A jerk in mm/s³. */ Jerk, Jerk);
quantity!(/** An angle in degrees. */ Angle, Angle);
quantity!(/** An angular speed in degrees a second. */ AngularSpeed, AngularSpeed);
quantity!(/** An angular acceleration in deg/s². */ AngularAcceleration, AngularAcceleration);
quantity!(/** An angular jerk in deg/s³. */ AngularJerk, AngularJerk);
quantity!(/** A percentage: 50.0 is half. */ Percent, Percent);
quantity!(/** By how many millionths something is off: a clock that runs fast, say. */ Ppm, Deviation);
quantity!(/** A current in amperes. */ Current, Current);

/// A share of a motor's full speed with its direction, in percent, from -100 to 100: `"50%"`, `"-12.5%"`.
#[derive(Clone, Copy, PartialEq, PartialOrd, Debug, Default)]
pub struct SpeedShare(f64);

impl SpeedShare {
    /// That many percent; `None` beyond full speed, or where it is no number.
    pub fn percent(percent: f64) -> Option<SpeedShare> {
        (-100.0..=100.0).contains(&percent).then_some(SpeedShare(percent))
    }

    /// In percent.
    pub fn as_percent(self) -> f64 {
        self.0
    }
}

impl FromStr for SpeedShare {
    type Err = UnitError;
    fn from_str(s: &str) -> Result<Self, UnitError> {
        let percent = Quantity::parse_as(s, Dimension::Percent)?;
        SpeedShare::percent(percent).ok_or_else(|| UnitError::OutOfRange {
            text: s.trim().to_string(),
            range: "full speed is 100%, the other way -100%",
        })
    }
}

impl fmt::Display for SpeedShare {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%", self.0)
    }
}

quantity!(@serde SpeedShare);

/// A time that is not negative, in whole nanoseconds: `"500ms"`, `"10s"`, `"1.9us"`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default, Hash)]
pub struct Time(pub Duration);

impl FromStr for Time {
    type Err = UnitError;
    fn from_str(s: &str) -> Result<Self, UnitError> {
        let seconds = Quantity::parse_as(s, Dimension::Time)?;
        let nanos = (seconds * 1e9).round();
        if (0.0..=9e18).contains(&nanos) {
            Ok(Time(Duration::from_nanos(nanos as u64)))
        } else {
            Err(UnitError::OutOfRange {
                text: s.to_string(),
                range: "it must lie between 0 and 285 years",
            })
        }
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ns = self.0.as_nanos();
        for (unit, size) in [("s", 1_000_000_000u128), ("ms", 1_000_000), ("us", 1_000)] {
            // The largest unit that leaves at most three decimals.
            if ns >= size && (ns * 1000).is_multiple_of(size) {
                return write!(f, "{}{unit}", ns as f64 / size as f64);
            }
        }
        write!(f, "{ns}ns")
    }
}

quantity!(@serde Time);

/// The width of a pulse in whole nanoseconds, up to 4.29 s: `"1500us"`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default, Hash)]
pub struct PulseWidth(u32);

impl PulseWidth {
    /// No pulse.
    pub const ZERO: PulseWidth = PulseWidth(0);

    /// A width of `nanos` nanoseconds.
    pub const fn from_nanos(nanos: u32) -> Self {
        PulseWidth(nanos)
    }

    /// A width of `micros` microseconds; the largest width where it does not fit.
    pub const fn from_micros(micros: u32) -> Self {
        PulseWidth(micros.saturating_mul(1000))
    }

    /// The multiple of `step` nanoseconds (above 0) that is nearest to `nanos` and lies from `min` to
    /// `max`, rounded to a nanosecond. Where none lies there, the first one above `min`.
    ///
    /// ```
    /// use lockstep::units::PulseWidth;
    ///
    /// let (min, max) = (PulseWidth::from_micros(1000), PulseWidth::from_micros(2000));
    /// let nearest = |nanos| PulseWidth::nearest(nanos, 4880.0, min, max).as_nanos();
    /// assert_eq!(nearest(1_500_000.0), 307 * 4880);
    /// assert_eq!((nearest(0.0), nearest(9e9)), (205 * 4880, 409 * 4880));
    /// ```
    pub fn nearest(nanos: f64, step: f64, min: PulseWidth, max: PulseWidth) -> PulseWidth {
        let first = (f64::from(min.0) / step).ceil();
        let last = (f64::from(max.0) / step).floor().max(first);
        PulseWidth(((nanos / step).round().clamp(first, last) * step).round() as u32)
    }

    /// The width in nanoseconds.
    pub const fn as_nanos(self) -> u32 {
        self.0
    }

    /// The width in microseconds.
    pub fn as_micros_f64(self) -> f64 {
        f64::from(self.0) / 1000.0
    }
}

impl FromStr for PulseWidth {
    type Err = UnitError;
    fn from_str(s: &str) -> Result<Self, UnitError> {
        let nanos = (Quantity::parse_as(s, Dimension::Time)? * 1e9).round();
        if (0.0..=f64::from(u32::MAX)).contains(&nanos) {
            Ok(PulseWidth(nanos as u32))
        } else {
            Err(UnitError::OutOfRange {
                text: s.to_string(),
                range: "a pulse lasts from 0 to 4.29s",
            })
        }
    }
}

impl fmt::Display for PulseWidth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}us", self.as_micros_f64())
    }
}

quantity!(@serde PulseWidth);

/// A frequency in hertz, above zero: `"50Hz"`, `"1.2kHz"`.
#[derive(Clone, Copy, PartialEq, PartialOrd, Debug)]
pub struct Frequency(f64);

impl Frequency {
    /// A frequency of `hertz`; `None` unless it is above 0 and at most 1 GHz.
    pub fn from_hertz(hertz: f64) -> Option<Self> {
        (hertz > 0.0 && hertz <= 1e9).then_some(Frequency(hertz))
    }

    /// The frequency in hertz.
    pub fn hertz(self) -> f64 {
        self.0
    }

    /// The period, rounded to whole nanoseconds.
    pub fn period(self) -> Duration {
        Duration::from_nanos((1e9 / self.0).round() as u64)
    }
}

impl FromStr for Frequency {
    type Err = UnitError;
    fn from_str(s: &str) -> Result<Self, UnitError> {
        Frequency::from_hertz(Quantity::parse_as(s, Dimension::Frequency)?).ok_or_else(|| {
            UnitError::OutOfRange {
                text: s.to_string(),
                range: "a frequency lies above 0 and up to 1GHz",
            }
        })
    }
}

impl fmt::Display for Frequency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}Hz", self.0)
    }
}

quantity!(@serde Frequency);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn units_convert_to_the_base_unit() {
        for (text, value, dimension) in [
            ("1500us", 0.0015, Dimension::Time),
            ("3 cm", 30.0, Dimension::Length),
            ("-4.5mm", -4.5, Dimension::Length),
            ("50mm/s", 50.0, Dimension::Speed),
            ("600mm/min", 10.0, Dimension::Speed),
            ("1m/s^2", 1000.0, Dimension::Acceleration),
            ("1e3mm/s^3", 1000.0, Dimension::Jerk),
            ("2turn", 720.0, Dimension::Angle),
            ("10rpm", 60.0, Dimension::AngularSpeed),
            ("0.5deg/s^3", 0.5, Dimension::AngularJerk),
            ("1in", 25.4, Dimension::Length),
            ("50%", 50.0, Dimension::Percent),
            ("400%/s", 400.0, Dimension::PercentRate),
            ("60%/min", 1.0, Dimension::PercentRate),
            ("4000 %/s^2", 4000.0, Dimension::PercentJerk),
            ("-1200ppm", -1200.0, Dimension::Deviation),
            ("800mA", 0.8, Dimension::Current),
        ] {
            let q: Quantity = text.parse().unwrap();
            assert_eq!((q.value, q.dimension), (value, dimension), "{text}");
        }
    }

    #[test]
    fn errors_say_what_to_write() {
        let e = "50".parse::<Speed>().unwrap_err().to_string();
        assert_eq!(
            e,
            "`50` has no unit: write a speed in mm/s (or another length a second or minute), such as \"50mm/s\""
        );
        let e = "50deg/s".parse::<Speed>().unwrap_err();
        assert!(matches!(e, UnitError::WrongUnit { .. }), "{e}");
        for bad in ["", "mm", "x mm", "1.2.3mm", "--1mm"] {
            assert!(matches!(bad.parse::<Length>(), Err(UnitError::NotANumber { .. })), "{bad}");
        }
        assert!("-1ms".parse::<Time>().is_err());
        assert!("5s".parse::<PulseWidth>().is_err());
        assert!("0Hz".parse::<Frequency>().is_err());
        assert!("1e999mm".parse::<Length>().is_err());
    }

    #[test]
    fn shares_of_full_speed() {
        for (text, percent) in [("50%", 50.0), ("-12.5 %", -12.5), ("0%", 0.0), ("-100%", -100.0)] {
            let share: SpeedShare = text.parse().unwrap();
            assert_eq!(share.as_percent(), percent, "{text}");
            assert_eq!(share.to_string().parse::<SpeedShare>().unwrap(), share);
        }
        for (text, says) in [
            ("50", "has no unit: write a percentage in %, such as \"50%\""),
            ("0.5", "has no unit"),
            ("100.1%", "out of range: full speed is 100%, the other way -100%"),
            ("-101%", "out of range"),
            ("30deg/s", "is not a percentage"),
            ("50%/s", "is not a percentage"),
        ] {
            let error = text.parse::<SpeedShare>().unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
        assert_eq!(SpeedShare::percent(f64::NAN), None);
    }

    #[test]
    fn exact_ratios() {
        let (r, d) = Quantity::parse_exact("8mm").unwrap();
        assert_eq!((r.numerator(), r.denominator(), d), (8, 1, Dimension::Length));
        let (r, _) = Quantity::parse_exact("0.1in").unwrap();
        assert_eq!((r.numerator(), r.denominator()), (127, 50));
        let (r, d) = Quantity::parse_exact("1turn").unwrap();
        assert_eq!((r.numerator(), d), (360, Dimension::Angle));
        assert!(Quantity::parse_exact("-8mm").is_err());
    }

    #[test]
    fn times_print_short() {
        for (text, out) in
            [("500ms", "500ms"), ("1.5s", "1.5s"), ("1900ns", "1.9us"), ("2min", "120s")]
        {
            assert_eq!(text.parse::<Time>().unwrap().to_string(), out);
        }
    }

    proptest! {
        #[test]
        fn nothing_panics(text in ".{0,12}") {
            let _ = text.parse::<Quantity>();
            let _ = text.parse::<Time>();
            let _ = text.parse::<PulseWidth>();
            let _ = Quantity::parse_exact(&text);
        }

        #[test]
        fn display_reads_back(v in -1e6f64..1e6, w in 0u32..4_000_000_000) {
            prop_assert_eq!(Speed(v).to_string().parse::<Speed>().unwrap(), Speed(v));
            prop_assert_eq!(PulseWidth(w).to_string().parse::<PulseWidth>().unwrap(), PulseWidth(w));
        }
    }
}
