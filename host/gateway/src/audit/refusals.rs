//! How many refusals get an entry: who is refused a thousand times a second must not fill the store by it. Pure.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

/// Entries of refusals of one tenant in a [`WINDOW`]: enough to see what somebody tries, and 20 KB of documents.
const TOLD_MAX: u32 = 30;

/// Refusals are counted for so long.
const WINDOW: Duration = Duration::from_secs(60);

/// Tenants that are counted at once; above it all begin anew.
const TENANTS_MAX: usize = 10_000;

/// What was refused lately, by tenant.
#[derive(Debug, Default)]
pub(super) struct Refusals(HashMap<String, Count>);

#[derive(Debug)]
struct Count {
    since: Instant,
    told: u32,
    left_out: u64,
}

impl Refusals {
    /// One more refusal: `None` when it is left out, else how many before it were.
    pub(super) fn hear(&mut self, tenant: &str, now: Instant) -> Option<u64> {
        if self.0.len() >= TENANTS_MAX && !self.0.contains_key(tenant) {
            self.0.clear();
        }
        let new = || Count { since: now, told: 0, left_out: 0 };
        let count = self.0.entry(tenant.to_owned()).or_insert_with(new);
        if now.saturating_duration_since(count.since) >= WINDOW {
            (count.since, count.told) = (now, 0);
        }
        if count.told >= TOLD_MAX {
            count.left_out += 1;
            return None;
        }
        count.told += 1;
        Some(std::mem::take(&mut count.left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_refusals_has_few_entries_and_the_next_one_says_how_many_are_missing() {
        let mut refusals = Refusals::default();
        let begin = Instant::now();
        let told = (0..1000).filter(|_| refusals.hear("acme", begin).is_some()).count();
        assert_eq!(told, usize::try_from(TOLD_MAX).unwrap());
        assert_eq!(refusals.hear("other", begin), Some(0), "each tenant for itself");
        assert_eq!(refusals.hear("acme", begin + WINDOW), Some(1000 - u64::from(TOLD_MAX)));
        assert_eq!(refusals.hear("acme", begin + WINDOW), Some(0));
    }
}
