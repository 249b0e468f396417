//! How long launches wait after one that failed: each kind of failure by itself, and longer each time.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::provider::ProviderError;

/// Failures since the last launch that was answered well.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Backoff {
    #[serde(default)]
    kinds: BTreeMap<Kind, Failures>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    NoCapacity,
    Quota,
    Throttled,
    Refused,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Failures {
    count: u32,
    until_ms: u64,
    /// How long that was from the last of them on.
    pause_ms: u64,
    text: String,
}

/// Characters of an error that is kept.
const TEXT_CHARS_MAX: usize = 500;

impl Kind {
    fn of(error: &ProviderError) -> Self {
        match error {
            ProviderError::NoCapacity(_) | ProviderError::Unknown(_) => Self::NoCapacity,
            ProviderError::Quota(_) => Self::Quota,
            ProviderError::Throttled(_) => Self::Throttled,
            ProviderError::Denied(_) | ProviderError::Invalid(_) => Self::Refused,
        }
    }

    /// The first pause, and the longest, in milliseconds.
    fn pauses(self) -> (u64, u64) {
        match self {
            // Room comes and goes.
            Self::NoCapacity => (20_000, 300_000),
            // Until machines of the account end, or a person has asked for more.
            Self::Quota => (60_000, 900_000),
            // Buckets of calls fill up within seconds.
            Self::Throttled => (5_000, 120_000),
            // Nothing helps but a person.
            Self::Refused => (900_000, 3_600_000),
        }
    }
}

impl Backoff {
    /// Says how long to wait, in milliseconds. The token spreads those that failed together by up to a quarter.
    pub(super) fn failed(&mut self, now_ms: u64, error: &ProviderError, token: &str) -> u64 {
        let kind = Kind::of(error);
        let count = self.kinds.get(&kind).map_or(0, |failures| failures.count).saturating_add(1);
        let (first, most) = kind.pauses();
        let pause = first.saturating_mul(1 << (count - 1).min(20)).min(most);
        let chance =
            Sha256::digest(token).iter().take(2).fold(0, |sum, byte| sum << 8 | u64::from(*byte));
        let pause = pause + pause / 4 * chance / 0x1_0000;
        let text = error.to_string().chars().take(TEXT_CHARS_MAX).collect();
        let until_ms = now_ms.saturating_add(pause);
        self.kinds.insert(kind, Failures { count, until_ms, pause_ms: pause, text });
        pause
    }

    /// Why nothing may be launched, if so. A pause that is longer than it was at first is of a clock that was set back since.
    pub(super) fn held(&self, now_ms: u64) -> Option<String> {
        let left = |failures: &Failures| {
            let left = failures.until_ms.saturating_sub(now_ms);
            let is_held = (1..=failures.pause_ms).contains(&left);
            is_held.then(|| (left, failures.count, failures.text.clone()))
        };
        let (left, count, text) = self.kinds.values().filter_map(left).max()?;
        Some(format!(
            "not for {} s more, after {count} launches that failed: {text}",
            left.div_ceil(1000)
        ))
    }
}
