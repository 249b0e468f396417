//! How long launches wait after one that failed: each kind of failure by itself, and longer each time.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::pause::Pause;
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
    #[serde(flatten)]
    pause: Pause,
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
        let mut pause = self.kinds.remove(&kind).map(|failures| failures.pause).unwrap_or_default();
        let ms = pause.next_ms(kind.pauses());
        let chance =
            Sha256::digest(token).iter().take(2).fold(0, |sum, byte| sum << 8 | u64::from(*byte));
        let ms = ms + ms / 4 * chance / 0x1_0000;
        pause.begin(now_ms, ms);
        let text = error.to_string().chars().take(TEXT_CHARS_MAX).collect();
        self.kinds.insert(kind, Failures { pause, text });
        ms
    }

    /// Why nothing may be launched, if so.
    pub(super) fn held(&self, now_ms: u64) -> Option<String> {
        let left = |failures: &Failures| {
            let left = failures.pause.left_ms(now_ms)?;
            Some((left, failures.pause.count, failures.text.clone()))
        };
        let (left, count, text) = self.kinds.values().filter_map(left).max()?;
        Some(format!(
            "not for {} s more, after {count} launches that failed: {text}",
            left.div_ceil(1000)
        ))
    }
}
