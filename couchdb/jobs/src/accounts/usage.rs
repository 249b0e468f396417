//! `usage:<tenant>:<hour>:<gateway>`: what a tenant used in an hour of the clock (UTC), as one gateway counted it.
//!
//! Each run of a gateway has a name of its own, and only it writes its documents: there are no conflicts, and what a gateway
//! counted before it was started again is another's. The sum over all of them is what was used.

use std::ops::AddAssign;

use serde::{Deserialize, Serialize};

/// An hour of the clock, in milliseconds.
pub const HOUR_MS: u64 = 3_600_000;

/// Hours of a day.
pub const DAY_HOURS: u64 = 24;

/// Documents are kept for so many hours after their own: 32 days, so that each month can be looked at when it is over.
pub const KEPT_HOURS: u64 = 32 * DAY_HOURS;

/// The document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Always `usage`.
    pub kind: UsageKind,
    /// The version of blitz that wrote it.
    pub blitz: String,
    /// How often it was written: of two that are heard the later one counts, whichever is heard last.
    pub count: u64,
    /// What was used.
    pub counts: Counts,
}

/// The `kind` of a [`Usage`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UsageKind {
    /// The only one.
    Usage,
}

/// What was used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Jobs that were accepted.
    #[serde(default)]
    pub jobs: u64,
    /// Load tests that were accepted, in milliseconds of one engine: what a job may take when it is accepted, and what it took
    /// once its end is heard.
    #[serde(default)]
    pub load_ms: u64,
    /// Bytes that jobs have said, counted at their ends.
    #[serde(default)]
    pub output_bytes: u64,
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.jobs = self.jobs.saturating_add(other.jobs);
        self.load_ms = self.load_ms.saturating_add(other.load_ms);
        self.output_bytes = self.output_bytes.saturating_add(other.output_bytes);
    }
}

/// What a document's id says.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UsageId {
    /// Whose usage.
    pub tenant: String,
    /// Which hour since 1970.
    pub hour: u64,
    /// Who counted: a name that no other run of a gateway has.
    pub gateway: String,
}

impl UsageId {
    /// That of an id; `None` for another document.
    #[must_use]
    pub fn read(id: &str) -> Option<Self> {
        let (tenant, rest) = id.strip_prefix("usage:")?.split_once(':')?;
        let (hour, gateway) = rest.split_once(':')?;
        let hour = hour.parse().ok()?;
        Some(Self { tenant: tenant.to_owned(), hour, gateway: gateway.to_owned() })
    }

    /// The documents of a tenant from one hour on: the first id, and one behind the last. Hours have six digits until the year
    /// 2084, so that ids sort as hours do.
    #[must_use]
    pub fn since(tenant: &str, hour: u64) -> (String, String) {
        (format!("usage:{tenant}:{hour:06}:"), Self::behind(tenant))
    }

    /// An id behind all of a tenant, and before those of the next one.
    #[must_use]
    pub fn behind(tenant: &str) -> String {
        format!("usage:{tenant};")
    }
}

impl std::fmt::Display for UsageId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "usage:{}:{:06}:{}", self.tenant, self.hour, self.gateway)
    }
}

impl Usage {
    /// The document of these counts.
    #[must_use]
    pub fn new(count: u64, counts: Counts) -> Self {
        Self { kind: UsageKind::Usage, blitz: crate::BUILD.to_owned(), count, counts }
    }
}

/// The hour of a moment, in hours since 1970.
#[must_use]
pub fn hour_of(now_ms: u64) -> u64 {
    now_ms / HOUR_MS
}

/// The first hour of the day of an hour.
#[must_use]
pub fn day_of(hour: u64) -> u64 {
    hour - hour % DAY_HOURS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_says_whose_which_hour_and_who_counted() {
        let id = UsageId { tenant: "a-b".to_owned(), hour: 490_123, gateway: "0f:1".to_owned() };
        assert_eq!(id.to_string(), "usage:a-b:490123:0f:1");
        assert_eq!(UsageId::read(&id.to_string()), Some(id));
        for other in ["usage:a", "usage:a:x:g", "tenant:a:1:g", "usage:a:1"] {
            assert_eq!(UsageId::read(other), None, "{other}");
        }
    }

    #[test]
    fn the_documents_of_a_tenant_lie_together() {
        let id = |tenant: &str, hour| {
            UsageId { tenant: tenant.to_owned(), hour, gateway: "g".to_owned() }.to_string()
        };
        let (first, behind) = UsageId::since("ab", 5);
        for (tenant, hour, is_in) in [
            ("ab", 5, true),
            ("ab", 99_999, true),
            ("ab", 490_000, true),
            ("ab", 4, false),
            ("ab-c", 5, false),
            ("ab1", 5, false),
            ("abc", 5, false),
            ("a", 5, false),
        ] {
            let id = id(tenant, hour);
            assert_eq!(first <= id && id < behind, is_in, "{id}");
        }
    }
}
