//! A place in a database's history of changes, opaque to everybody but the server that gave it.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// An update sequence.
///
/// CouchDB gives strings, other servers numbers; both come back to them as they were. Sequences have
/// no order, and one of another database is not refused: the server then silently starts from the
/// beginning. So keep a database's `instance_start_time` beside it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Sequence(Value);

impl Sequence {
    /// Before the first change.
    #[must_use]
    pub fn zero() -> Self {
        Self(Value::from("0"))
    }

    /// After the newest change at the moment when the server reads it.
    ///
    /// What changes between an earlier look at the database and that moment is missed: prefer
    /// [`DatabaseInfo::update_seq`](crate::DatabaseInfo), read before the look.
    #[must_use]
    pub fn now() -> Self {
        Self(Value::from(NOW))
    }

    /// Whether this is [`Sequence::now`].
    pub(crate) fn is_now(&self) -> bool {
        self.0.as_str() == Some(NOW)
    }

    /// How many changes came before it, as CouchDB and others write in front: a hint and no order, for each copy counts by
    /// itself, and a database that was put back to an earlier day counts again. `None` where nothing is said.
    #[must_use]
    pub fn count(&self) -> Option<u64> {
        match &self.0 {
            Value::Number(count) => count.as_u64(),
            Value::String(text) => text.split('-').next()?.parse().ok(),
            _ => None,
        }
    }

    /// The text for a `since` parameter, not yet percent-encoded.
    pub(crate) fn as_parameter(&self) -> Cow<'_, str> {
        match &self.0 {
            Value::String(text) => Cow::Borrowed(text),
            other => Cow::Owned(other.to_string()),
        }
    }
}

const NOW: &str = "now";

impl Default for Sequence {
    fn default() -> Self {
        Self::zero()
    }
}

impl fmt::Display for Sequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.as_parameter())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sequence_goes_back_as_it_came() {
        for (json, parameter, count) in [
            ("\"12-g1A\"", "12-g1A", Some(12)),
            ("17", "17", Some(17)),
            ("[3,\"x\"]", "[3,\"x\"]", None),
            ("\"now\"", "now", None),
        ] {
            let sequence: Sequence = serde_json::from_str(json).unwrap();
            assert_eq!(sequence.as_parameter(), parameter);
            assert_eq!(sequence.count(), count);
            assert_eq!(serde_json::to_string(&sequence).unwrap(), json);
        }
        assert!(Sequence::now().is_now() && !Sequence::zero().is_now());
    }
}
