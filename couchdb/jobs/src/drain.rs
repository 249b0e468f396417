//! `drain:<engine>` in the region's engines database: an order that one start of one engine takes no more jobs and leaves
//! when those that it has are over. The engine itself looks for it when it rewrites its own document.
//!
//! It names the start, so that an order which is left lying ends no later start of the same engine. Whoever gave it takes
//! it away when the engine is gone.

use blitz_couchdb::{Database, Error, Put, PutOptions};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::id::Incarnation;
use crate::read;

/// The longest reason of an order, in characters: it stands in a line of the engine's log.
pub const WHY_CHARS_MAX: usize = 300;

/// An order to leave.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DrainOrder {
    /// Always `drain`.
    pub kind: DrainKind,
    /// The version of blitz that wrote it.
    pub blitz: String,
    /// The instance id.
    pub engine: String,
    /// Which start of it: the one that its document named.
    pub incarnation: Incarnation,
    /// Why, for people.
    #[serde(default)]
    pub why: String,
    /// For people. Milliseconds since 1970.
    #[serde(default)]
    pub at_ms: u64,
}

/// The `kind` of a [`DrainOrder`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DrainKind {
    /// The only one.
    Drain,
}

impl DrainOrder {
    /// An order. The reason is cut to [`WHY_CHARS_MAX`].
    #[must_use]
    pub fn new(engine: &str, incarnation: Incarnation, why: &str, at_ms: u64) -> Self {
        Self {
            kind: DrainKind::Drain,
            blitz: crate::BUILD.to_owned(),
            engine: engine.to_owned(),
            incarnation,
            why: cut(why),
            at_ms,
        }
    }

    /// The id of the order to an engine.
    #[must_use]
    pub fn document_id(engine: &str) -> String {
        format!("drain:{engine}")
    }

    /// The order to an engine, if there is one. One that cannot be read, or that names another engine, is logged and
    /// passed over.
    ///
    /// # Errors
    ///
    /// What the store answers.
    pub async fn read(engines: &Database, engine: &str) -> Result<Option<Self>, Error> {
        let id = Self::document_id(engine);
        let Some(found) = engines.get::<Value>(&id).await? else { return Ok(None) };
        let Some(mut order) = read::document::<Self>(&id, found.body) else { return Ok(None) };
        if order.engine != engine {
            tracing::warn!(id, names = order.engine, "an order for another engine, ignored");
            return Ok(None);
        }
        order.why = cut(&order.why);
        Ok(Some(order))
    }

    /// Gives the order; false when there is one already, which stays.
    ///
    /// # Errors
    ///
    /// What the store answers; asking again is harmless.
    pub async fn write(&self, engines: &Database) -> Result<bool, Error> {
        let id = Self::document_id(&self.engine);
        Ok(engines.put(&id, None, self, PutOptions::default()).await? != Put::Conflict)
    }
}

/// A reason as one line of a log.
fn cut(why: &str) -> String {
    let plain = |c: char| if c.is_control() { ' ' } else { c };
    why.trim().chars().take(WHY_CHARS_MAX).map(plain).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_order_says_which_start_is_meant_and_reads_as_it_was_written() {
        let start = Incarnation::from_random([7; 16]);
        let long = format!(" too\nmany {}", "x".repeat(WHY_CHARS_MAX));
        let order = DrainOrder::new("i-0abc", start.clone(), &long, 5);
        assert_eq!(order.why.chars().count(), WHY_CHARS_MAX);
        assert!(order.why.starts_with("too many x"), "{}", order.why);
        let stored = serde_json::to_value(&order).unwrap();
        assert_eq!((&stored["kind"], &stored["incarnation"]), (&json!("drain"), &json!(start)));
        assert_eq!(serde_json::from_value::<DrainOrder>(stored).unwrap(), order);
    }

    #[test]
    fn what_names_no_start_is_no_order() {
        let least = json!({"kind": "drain", "blitz": "9", "engine": "e1",
            "incarnation": "0123456789abcdef0123456789abcdef", "later": 1});
        assert!(serde_json::from_value::<DrainOrder>(least.clone()).is_ok());
        for (field, value) in [
            ("kind", json!("engine")),
            ("incarnation", json!("any")),
            ("incarnation", json!(null)),
            ("engine", json!(7)),
        ] {
            let mut bad = least.clone();
            bad[field] = value;
            assert!(serde_json::from_value::<DrainOrder>(bad.clone()).is_err(), "{bad}");
        }
    }
}
