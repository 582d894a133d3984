//! What a field must be beyond its type. An error is told with the field's name.

use std::time::Duration;

use serde::de::{self, Deserialize, Deserializer};

use super::values::Named;
use crate::units::{Percent, Time};

/// A list with something in it, each once.
pub(super) fn at_least_one<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + PartialEq,
{
    let list = Vec::<T>::deserialize(deserializer)?;
    if list.is_empty() {
        return Err(de::Error::custom("the list is empty: name at least one"));
    }
    for (place, item) in list.iter().enumerate() {
        if list[..place].contains(item) {
            let place = place + 1;
            return Err(de::Error::custom(format_args!("number {place} is named twice")));
        }
    }
    Ok(list)
}

/// A list with something in it, if there is one.
pub(super) fn some_list<'de, D, T>(deserializer: D) -> Result<Option<Vec<T>>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + PartialEq,
{
    struct List<T>(Vec<T>);

    impl<'de, T: Deserialize<'de> + PartialEq> Deserialize<'de> for List<T> {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            at_least_one(deserializer).map(List)
        }
    }

    Ok(Option::<List<T>>::deserialize(deserializer)?.map(|list| list.0))
}

/// Something for at least one motor.
pub(super) fn every_one<'de, D, T>(deserializer: D) -> Result<Named<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    let named = Named::deserialize(deserializer)?;
    if named.is_empty() {
        return Err(de::Error::custom("no motor is named: name at least one"));
    }
    Ok(named)
}

/// A time above 0.
pub(super) fn not_zero<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Time, D::Error> {
    let time = Time::deserialize(deserializer)?;
    if time.0 == Duration::ZERO {
        return Err(de::Error::custom("0s is too short: write a time above 0"));
    }
    Ok(time)
}

/// A time above 0, if there is one.
pub(super) fn some_time<'de, D>(deserializer: D) -> Result<Option<Time>, D::Error>
where
    D: Deserializer<'de>,
{
    struct NotZero(Time);

    impl<'de> Deserialize<'de> for NotZero {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            not_zero(deserializer).map(NotZero)
        }
    }

    Ok(Option::<NotZero>::deserialize(deserializer)?.map(|time| time.0))
}

/// A percentage above 0.
pub(super) fn positive<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Percent, D::Error> {
    let percent = Percent::deserialize(deserializer)?;
    if percent.0 <= 0.0 {
        return Err(de::Error::custom(format_args!("{percent} is no speed: write more than 0%")));
    }
    Ok(percent)
}

/// A percentage above 0 and at most 100, if there is one.
pub(super) fn some_share<'de, D>(deserializer: D) -> Result<Option<Percent>, D::Error>
where
    D: Deserializer<'de>,
{
    let Some(share) = Option::<Percent>::deserialize(deserializer)? else {
        return Ok(None);
    };
    if !(share.0 > 0.0 && share.0 <= 100.0) {
        let what = format_args!("{share} of the speed limits: write more than 0% and at most 100%");
        return Err(de::Error::custom(what));
    }
    Ok(Some(share))
}
