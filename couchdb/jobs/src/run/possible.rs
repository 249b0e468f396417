//! What a claim in a document may say: a document with anything else is one that cannot be read.

use serde::de::{Deserialize as _, Deserializer, Error as _};

use super::{ATTEMPTS_MAX, Silent};

/// The longest instance id of an engine, in bytes: a host name has at most 253, and each watcher sends it with each
/// poll.
pub(super) const ENGINE_BYTES_MAX: usize = 256;

pub(super) fn attempt<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    let attempt = u32::deserialize(deserializer)?;
    if (1..=ATTEMPTS_MAX).contains(&attempt) {
        return Ok(attempt);
    }
    Err(D::Error::custom(format!("attempt {attempt}, and attempts are from 1 to {ATTEMPTS_MAX}")))
}

pub(super) fn engine<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let engine = String::deserialize(deserializer)?;
    if (1..=ENGINE_BYTES_MAX).contains(&engine.len()) {
        return Ok(engine);
    }
    let bytes = engine.len();
    Err(D::Error::custom(format!(
        "an engine of {bytes} bytes, and ids have 1 to {ENGINE_BYTES_MAX}"
    )))
}

pub(super) fn silent<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Silent>, D::Error> {
    let silent = Vec::<Silent>::deserialize(deserializer)?;
    if u32::try_from(silent.len()).is_ok_and(|count| count <= ATTEMPTS_MAX) {
        return Ok(silent);
    }
    let count = silent.len();
    Err(D::Error::custom(format!("{count} silent attempts, and there are at most {ATTEMPTS_MAX}")))
}
