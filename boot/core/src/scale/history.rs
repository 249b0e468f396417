//! What rounds of scaling know of each other, and what the answer to a launch means.

use serde::{Deserialize, Serialize};

use super::Launched;
use super::backoff::Backoff;
use crate::instance::InstanceId;
use crate::launches::{Intent, next_number};
use crate::pause::Pause;
use crate::provider::ProviderError;
use crate::reconcile::Boots;

/// One region's history, kept in a `_local` document. It is written down before anything that was decided with it is done:
/// the number of a launch must not return.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct History {
    /// The time of day of the last round.
    #[serde(default)]
    at_ms: u64,
    /// What has passed in rounds, in this history's own time: [`STEP_MS_MAX`] between two at most.
    #[serde(default)]
    passed_ms: u64,
    /// The number of the last launch.
    #[serde(default)]
    number: u64,
    /// When something was launched or drained last.
    #[serde(default)]
    changed_ms: Option<u64>,
    /// Since when there have been too many engines.
    #[serde(default)]
    surplus_ms: Option<u64>,
    /// Until when no spot machines are asked for.
    #[serde(default)]
    no_spot_ms: Option<u64>,
    /// What launches that failed have to wait for.
    #[serde(default)]
    backoff: Backoff,
    /// Boots that failed since one did not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    failed_boots: Option<FailedBoots>,
}

/// Machines that ended before their engine had registered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct FailedBoots {
    /// After the rounds that saw some, in a row.
    #[serde(flatten)]
    pause: Pause,
    /// One of the last.
    last: InstanceId,
}

/// Nothing is launched for so long after a boot failed, in milliseconds, and for twice as long after each other: machines that all
/// fail for one reason, such as a bundle that does not run, are paid for each.
const BOOT_PAUSE_MS: u64 = 10_000;

/// And for so long at most: whoever has mended it does not wait for long.
const BOOT_PAUSE_MS_MAX: u64 = 600_000;

/// After there was no room for spot machines, or no quota, others are launched for so long, in milliseconds: room comes back within
/// minutes or hours, and to ask costs one call.
pub const NO_SPOT_MS: u64 = 600_000;

/// What passes between two rounds at most, in milliseconds, as far as launches are concerned: a clock that was set forward makes no
/// launch an old one, whose machines count no more.
pub const STEP_MS_MAX: u64 = 60_000;

/// What becomes of an intent after the provider's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Its document is written so: its machines come, or it is asked for again.
    Keep {
        /// As it is now.
        intent: Intent,
        /// What the provider said.
        why: String,
    },
    /// Its document is removed: nothing was launched.
    Remove {
        /// What the provider said, and what comes of it.
        why: String,
        /// Whether an operator has to do something.
        is_loud: bool,
    },
    /// The other takes its place: it is written down, and asked for at once; then this one's document is removed.
    Instead {
        /// The other.
        intent: Intent,
        /// What the provider said.
        why: String,
    },
}

impl History {
    /// What one answer means. It changes the history, which is to be written down.
    #[must_use]
    pub fn answered(&mut self, now_ms: u64, intent: &Intent, answer: &Launched) -> Outcome {
        let error = match answer {
            Ok(ids) if ids.is_empty() => {
                &ProviderError::NoCapacity("the provider launched none of them".to_owned())
            }
            Ok(ids) => return self.launched(intent, ids),
            Err(error) => error,
        };
        // One answer was lost already: the first request may have been done, whatever refuses the second.
        let is_open = intent.unknown_count > 0 && answer.is_err();
        if matches!(error, ProviderError::Unknown(_)) || is_open {
            let unknown_count = intent.unknown_count.saturating_add(1);
            let intent = Intent { tried_ms: now_ms, unknown_count, ..intent.clone() };
            return Outcome::Keep {
                intent,
                why: format!("{error}: asked again with the same token"),
            };
        }
        // Spot machines have quotas of their own: others may be had when those are used up.
        if intent.is_spot && matches!(error, ProviderError::NoCapacity(_) | ProviderError::Quota(_))
        {
            self.no_spot_ms = Some(now_ms.saturating_add(NO_SPOT_MS));
            let place = (intent.fleet.as_str(), intent.region.as_str());
            let other = self.intend(now_ms, place, intent.count, false);
            return Outcome::Instead { intent: other, why: format!("{error}: not spot, then") };
        }
        let pause = self.backoff.failed(now_ms, error, &intent.token);
        let is_loud = !error.is_transient();
        let why = format!("{error}: not asked again for {} s", pause.div_ceil(1000));
        Outcome::Remove { why, is_loud }
    }

    /// A round saw what became of boots.
    pub fn booted(&mut self, now_ms: u64, boots: &Boots) {
        if boots.is_registered {
            self.failed_boots = None;
        }
        let Some(last) = boots.failed.last().cloned() else { return };
        let failed = self.failed_boots.take();
        let mut pause = failed.map(|failed| failed.pause).unwrap_or_default();
        pause.begin(now_ms, pause.next_ms((BOOT_PAUSE_MS, BOOT_PAUSE_MS_MAX)));
        self.failed_boots = Some(FailedBoots { pause, last });
    }

    fn launched(&mut self, intent: &Intent, ids: &[InstanceId]) -> Outcome {
        self.backoff = Backoff::default();
        let why = format!("{} of {} are launched", ids.len(), intent.count);
        let (instances, passed_ms) = (Some(ids.to_vec()), self.passed_ms);
        Outcome::Keep { intent: Intent { instances, passed_ms, ..intent.clone() }, why }
    }

    /// The next launch, with a number of its own.
    pub(super) fn intend(
        &mut self,
        now_ms: u64,
        place: (&str, &str),
        count: u32,
        is_spot: bool,
    ) -> Intent {
        self.number = next_number(self.number, now_ms);
        self.changed(now_ms);
        let intent = Intent::new(place, self.number, count, is_spot, now_ms);
        Intent { passed_ms: self.passed_ms, ..intent }
    }

    /// Something was launched or drained.
    pub(super) fn changed(&mut self, now_ms: u64) {
        self.changed_ms = Some(now_ms);
    }

    /// A round saw whether there are too many engines. Times of the future are of a clock that was set back since.
    pub(crate) fn hear(&mut self, now_ms: u64, is_surplus: bool) {
        let passed = if self.at_ms == 0 { 0 } else { now_ms.saturating_sub(self.at_ms) };
        self.passed_ms += passed.min(STEP_MS_MAX);
        self.at_ms = now_ms;
        self.changed_ms = self.changed_ms.map(|then| then.min(now_ms));
        let since = self.surplus_ms.unwrap_or(now_ms).min(now_ms);
        self.surplus_ms = is_surplus.then_some(since);
    }

    /// How old a launch is at least. Where this history is a later one than that which it was decided with, it is as old as the
    /// history.
    #[must_use]
    pub fn age_ms(&self, intent: &Intent) -> u64 {
        self.passed_ms.checked_sub(intent.passed_ms).unwrap_or(self.passed_ms)
    }

    /// How long nothing may be drained.
    pub(super) fn cools_ms(&self, now_ms: u64, cool_down_ms: u64) -> u64 {
        let since = self.changed_ms.max(self.surplus_ms).unwrap_or(now_ms);
        cool_down_ms.saturating_sub(now_ms.saturating_sub(since))
    }

    /// Why nothing may be launched, if so.
    pub(super) fn held(&self, now_ms: u64) -> Option<String> {
        self.backoff.held(now_ms).or_else(|| {
            let failed = self.failed_boots.as_ref()?;
            let left = failed.pause.left_ms(now_ms)?;
            Some(format!(
                "not for {} s more, after {} rounds in which machines had ended before their engine registered: look at the log of {}",
                left.div_ceil(1000),
                failed.pause.count,
                failed.last
            ))
        })
    }

    pub(super) fn may_spot(&self, now_ms: u64) -> bool {
        // A pause that is longer than any is of a clock that was set back since.
        let left = self.no_spot_ms.unwrap_or(0).saturating_sub(now_ms);
        !(1..=NO_SPOT_MS).contains(&left)
    }
}
