//! The values that requests and replies are made of.

use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;

use serde::de::{self, Deserialize, Deserializer, MapAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, Serializer};

use crate::units::{Dimension, Quantity, UnitError};

/// Something for each of several motors, in the order of the line: `{"x":"10mm","y":"5mm"}`.
#[derive(Debug, Clone, PartialEq)]
pub struct Named<T>(pub Vec<(String, T)>);

impl<T> Named<T> {
    /// What is there for a motor.
    pub fn get(&self, motor: &str) -> Option<&T> {
        self.0.iter().find(|(name, _)| name == motor).map(|(_, value)| value)
    }

    /// The motors, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.as_str())
    }

    /// Whether no motor is there.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<T> Default for Named<T> {
    fn default() -> Self {
        Named(Vec::new())
    }
}

impl<T> FromIterator<(String, T)> for Named<T> {
    fn from_iter<I: IntoIterator<Item = (String, T)>>(pairs: I) -> Self {
        Named(pairs.into_iter().collect())
    }
}

impl<T: Serialize> Serialize for Named<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in &self.0 {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Named<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pairs<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Pairs<T> {
            type Value = Named<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object with a key for each motor")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Named<T>, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Named(pairs))
            }
        }

        deserializer.deserialize_map(Pairs(PhantomData))
    }
}

/// Quantities that may be of one of several dimensions, as a motor is linear or turns.
macro_rules! either {
    ($(#[$doc:meta])* $name:ident, $linear:ident, $($other:ident),+, $words:literal, $units:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq)]
        pub struct $name(Quantity);

        impl $name {
            /// The quantity, in the base unit of its dimension.
            pub fn quantity(self) -> Quantity {
                self.0
            }
        }

        impl FromStr for $name {
            type Err = UnitError;

            fn from_str(text: &str) -> Result<Self, UnitError> {
                // The second reading is for the words of its error.
                let quantity = text.parse::<Quantity>().or_else(|_| {
                    let dimension = Dimension::$linear;
                    Quantity::parse_as(text, dimension).map(|value| Quantity { value, dimension })
                });
                let quantity = quantity.map_err(|error| match error {
                    UnitError::BareNumber { text, base, .. } => {
                        UnitError::BareNumber { text, expected: $words, units: $units, base }
                    }
                    error => error,
                })?;
                match quantity.dimension {
                    Dimension::$linear $(| Dimension::$other)+ => Ok($name(quantity)),
                    _ => Err(UnitError::WrongUnit {
                        text: text.trim().to_string(),
                        expected: $words,
                        units: $units,
                    }),
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
            }
        }
    };
}

either!(
    /// Where a motor is to go: a length or an angle.
    Target, Length, Angle, "a length or an angle", "mm or deg (or another length or angle)"
);
either!(
    /// How fast a motor is to go, with its direction: a speed, an angular speed, or of a servo that turns continuously
    /// a share of its full speed.
    Rate, Speed, AngularSpeed, Percent, "a speed",
    "mm/s or deg/s (or another length or angle a second), or % of full speed"
);

pub(super) fn is_false(value: &bool) -> bool {
    !value
}
