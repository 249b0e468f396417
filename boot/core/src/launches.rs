//! Launches that happen once, whatever becomes of who asks for them.
//!
//! An [`Intent`] is written down before the provider is called, and its token goes along: who falls in between asks again
//! with the same token, and gets the same machines. Until they are listed they count as capacity, so that nobody launches
//! them a second time because a listing is late.

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::instance::{Instance, InstanceId, TAG_LAUNCH};
use crate::provider::LaunchRequest;
use crate::reconcile::Registered;

/// A launch that was decided: the document `launch:<token>`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intent {
    /// Always `launch`.
    pub kind: IntentKind,
    /// The version of blitz that wrote it.
    pub blitz: String,
    /// Its token.
    pub token: String,
    /// The fleet.
    pub fleet: String,
    /// The blitz region.
    pub region: String,
    /// How many machines are asked for.
    pub count: u32,
    /// Whether the provider may take them back.
    pub is_spot: bool,
    /// When it was decided, in milliseconds since 1970.
    pub asked_ms: u64,
    /// The same in the time of the [`History`](crate::scale::History) that it was decided with; once the provider has named its
    /// machines, when it did.
    #[serde(default)]
    pub passed_ms: u64,
    /// When the provider was asked last.
    pub tried_ms: u64,
    /// Answers that left it open what was done.
    #[serde(default)]
    pub unknown_count: u32,
    /// The machines that the provider named; nothing as long as it has not.
    #[serde(default)]
    pub instances: Option<Vec<InstanceId>>,
}

/// The `kind` of an intent's document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IntentKind {
    /// The only one.
    Launch,
}

/// A machine is listed so long after it was asked for, or it is not there: providers that are consistent in the end are so
/// within seconds, in bad hours within minutes. In milliseconds.
pub const LISTED_WITHIN_MS: u64 = 600_000;

/// An open launch is asked for again for so long: what the last question did is then listed before the launch counts no more. In
/// milliseconds.
const ASKED_WITHIN_MS: u64 = LISTED_WITHIN_MS / 2;

/// An open launch is asked for again after so long at first, in milliseconds, and after twice as long each time.
const AGAIN_MS: u64 = 5_000;

/// And after so long at most.
const AGAIN_MS_MAX: u64 = 60_000;

impl Intent {
    /// A launch with the number [`next_number`], which whoever decides keeps.
    #[must_use]
    pub fn new(place: (&str, &str), number: u64, count: u32, is_spot: bool, now_ms: u64) -> Self {
        let (fleet, region) = place;
        Self {
            kind: IntentKind::Launch,
            blitz: env!("CARGO_PKG_VERSION").to_owned(),
            token: token(fleet, region, number),
            fleet: fleet.to_owned(),
            region: region.to_owned(),
            count,
            is_spot,
            asked_ms: now_ms,
            passed_ms: 0,
            tried_ms: now_ms,
            unknown_count: 0,
            instances: None,
        }
    }

    /// The id of its document.
    #[must_use]
    pub fn document_id(&self) -> String {
        format!("launch:{}", self.token)
    }

    /// What the provider is asked for, the first time and each other.
    #[must_use]
    pub fn request(&self) -> LaunchRequest {
        LaunchRequest {
            token: self.token.clone(),
            region: self.region.clone(),
            count: self.count,
            is_spot: self.is_spot,
        }
    }

    /// Of its machines, those that nobody has seen.
    fn missing(&self, listed: &[Instance], engines: &[Registered]) -> u32 {
        let named = self.instances.as_deref().unwrap_or_default();
        let is_of = |one: &&Instance| {
            one.tag(TAG_LAUNCH) == Some(self.token.as_str()) || named.contains(&one.id)
        };
        let mut seen: Vec<&str> =
            listed.iter().filter(is_of).map(|one| one.id.0.as_str()).collect();
        let is_named = |id: &str| named.iter().any(|named| named.0 == id);
        seen.extend(engines.iter().map(|one| one.engine.as_str()).filter(|id| is_named(id)));
        seen.sort_unstable();
        seen.dedup();
        let expected = match &self.instances {
            Some(instances) => u32::try_from(instances.len()).unwrap_or(u32::MAX),
            None => self.count,
        };
        expected.saturating_sub(u32::try_from(seen.len()).unwrap_or(u32::MAX))
    }

    fn next(&self, now_ms: u64, age: u64, missing: u32) -> Next {
        if missing == 0 {
            return Next::Remove { why: "all its machines are listed".to_owned() };
        }
        if age >= LISTED_WITHIN_MS {
            let why = format!(
                "{missing} of its {} machines were not listed for {} s: they count no more",
                self.count,
                age / 1000
            );
            return Next::Remove { why };
        }
        let pause = AGAIN_MS << self.unknown_count.min(4);
        let is_due = now_ms.abs_diff(self.tried_ms) >= pause.min(AGAIN_MS_MAX);
        let is_open = self.instances.is_none() && age < ASKED_WITHIN_MS;
        if is_open && is_due { Next::Ask } else { Next::Wait }
    }
}

/// What is to be done about an intent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// The provider is asked (again), with the same token; then [`History::answered`](crate::scale::History::answered).
    Ask,
    /// Nothing: its machines come.
    Wait,
    /// Its document is removed.
    Remove {
        /// The reason.
        why: String,
    },
}

/// The open intents of a region, compared with what is listed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Settled<'a> {
    /// What is to be done about each.
    pub next: Vec<(&'a Intent, Next)>,
    /// Machines that were asked for and are not seen: [`Capacity::launching`](crate::reconcile::Capacity::launching).
    pub launching: u32,
}

/// Compares the open intents of one region, of which each is so old, with what was listed and registered there.
#[must_use]
pub fn settle<'a>(
    now_ms: u64,
    age_ms: impl Fn(&Intent) -> u64,
    intents: &'a [Intent],
    listed: &[Instance],
    engines: &[Registered],
) -> Settled<'a> {
    let mut settled = Settled::default();
    for intent in intents {
        // One that is seen by its engine alone counts as that engine does, and as long: the launch waits for the listing.
        let next = intent.next(now_ms, age_ms(intent), intent.missing(listed, &[]));
        if !matches!(next, Next::Remove { .. }) {
            let missing = intent.missing(listed, engines);
            settled.launching = settled.launching.saturating_add(missing);
        }
        settled.next.push((intent, next));
    }
    settled
}

/// The number of the next launch: greater than the last one, and no earlier than the time in seconds, so that none returns
/// where the last is forgotten, nor where a clock is set back.
#[must_use]
pub fn next_number(last: u64, now_ms: u64) -> u64 {
    last.saturating_add(1).max(now_ms / 1000)
}

/// The number, so that people see which came first, and what fleet and region it is of: 53 characters at most.
fn token(fleet: &str, region: &str, number: u64) -> String {
    let place = Sha256::digest(format!("{fleet}\n{region}"));
    let digits: String = place.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    format!("{number}-{digits}")
}

#[cfg(test)]
mod tests;
