//! Serde form of an optional duration as a number of seconds; zero means `None`.

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

pub(super) fn serialize<S: Serializer>(
    duration: &Option<Duration>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    duration.map_or(0.0, |duration| duration.as_secs_f64()).serialize(serializer)
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Duration>, D::Error> {
    let seconds = Option::<f64>::deserialize(deserializer)?.unwrap_or(0.0);
    let duration = Duration::try_from_secs_f64(seconds).map_err(D::Error::custom)?;
    Ok(Some(duration).filter(|duration| !duration.is_zero()))
}
