use std::fmt;
use std::str::FromStr;

use super::UnitError;

/// A positive ratio of two integers, in lowest terms.
///
/// Steps per unit are such a ratio, so that no error grows with the number of moves.
///
/// ```
/// use lockstep::units::Ratio;
/// // 200 steps a turn, 16 microsteps, 8 mm a turn: 400 steps a millimetre.
/// let steps_per_mm = Ratio::new(200 * 16, 8).unwrap();
/// assert_eq!(steps_per_mm.to_string(), "400");
/// assert_eq!("25792/405".parse::<Ratio>().unwrap().denominator(), 405);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub struct Ratio {
    num: u64,
    den: u64,
}

fn gcd(mut a: u128, mut b: u128) -> u128 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

impl Ratio {
    /// One to one.
    pub const ONE: Ratio = Ratio { num: 1, den: 1 };

    /// `num / den` in lowest terms; `None` where either is 0.
    pub fn new(num: u64, den: u64) -> Option<Ratio> {
        Self::reduced(u128::from(num), u128::from(den))
    }

    fn reduced(num: u128, den: u128) -> Option<Ratio> {
        if num == 0 || den == 0 {
            return None;
        }
        let g = gcd(num, den);
        Some(Ratio { num: u64::try_from(num / g).ok()?, den: u64::try_from(den / g).ok()? })
    }

    /// A decimal or a fraction as it is written: `"8"`, `"12.5"`, `"25792/405"`.
    fn parse(text: &str) -> Option<Ratio> {
        let decimal = |s: &str| -> Option<(u128, u128)> {
            let s = s.trim();
            let (whole, part) = s.split_once('.').unwrap_or((s, ""));
            let digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
            if whole.is_empty() && part.is_empty() || !digits(whole) || !digits(part) {
                return None;
            }
            if whole.len() + part.len() > 18 {
                return None;
            }
            let num: u128 = format!("{whole}{part}").parse().ok()?;
            Some((num, 10u128.pow(part.len() as u32)))
        };
        match text.split_once('/') {
            None => decimal(text).and_then(|(n, d)| Self::reduced(n, d)),
            Some((a, b)) => {
                let ((an, ad), (bn, bd)) = (decimal(a)?, decimal(b)?);
                Self::reduced(an * bd, ad * bn)
            }
        }
    }

    /// The upper integer.
    pub fn numerator(self) -> u64 {
        self.num
    }

    /// The lower integer.
    pub fn denominator(self) -> u64 {
        self.den
    }

    /// `self * other`, or `None` where the result does not fit two 64-bit integers.
    pub fn times(self, other: Ratio) -> Option<Ratio> {
        Self::reduced(
            u128::from(self.num) * u128::from(other.num),
            u128::from(self.den) * u128::from(other.den),
        )
    }

    /// `self / other`, or `None` where the result does not fit two 64-bit integers.
    pub fn over(self, other: Ratio) -> Option<Ratio> {
        self.times(Ratio { num: other.den, den: other.num })
    }

    /// The nearest 64-bit float.
    pub fn to_f64(self) -> f64 {
        self.num as f64 / self.den as f64
    }

    /// `x * self`, with one rounding where the integers are below 2^53 and the product is exact.
    pub fn scale(self, x: f64) -> f64 {
        x * self.num as f64 / self.den as f64
    }

    /// `x / self`, likewise.
    pub fn unscale(self, x: f64) -> f64 {
        x * self.den as f64 / self.num as f64
    }
}

impl FromStr for Ratio {
    type Err = UnitError;
    fn from_str(s: &str) -> Result<Self, UnitError> {
        Ratio::parse(s.trim()).ok_or_else(|| UnitError::NotARatio { text: s.to_string() })
    }
}

impl fmt::Display for Ratio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.den == 1 {
            write!(f, "{}", self.num)
        } else {
            write!(f, "{}/{}", self.num, self.den)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_decimals_and_fractions() {
        for (text, num, den) in [
            ("8", 8, 1),
            ("12.5", 25, 2),
            ("25792/405", 25792, 405),
            ("0.05", 1, 20),
            (" 3 / 1.5", 2, 1),
        ] {
            let r: Ratio = text.parse().unwrap();
            assert_eq!((r.numerator(), r.denominator()), (num, den), "{text}");
        }
        for bad in ["", ".", "0", "-1", "1/0", "a", "1e3", "1/2/3"] {
            assert!(bad.parse::<Ratio>().is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn steps_survive_the_way_to_units_and_back(
            steps in -2_000_000_000i64..2_000_000_000, num in 1u64..1_000_000, den in 1u64..100_000,
        ) {
            let r = Ratio::new(num, den).unwrap();
            prop_assert_eq!(r.scale(r.unscale(steps as f64)).round() as i64, steps);
        }
    }
}
