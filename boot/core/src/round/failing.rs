//! What failed, and when it is tried again: an action that cannot be done must not fill the audit and the provider's patience.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::pause::Pause;

/// What failed once is tried again after so long, in milliseconds, and after twice as long each time: that is one round first.
const AGAIN_MS: u64 = 5_000;

/// And after so long at most: what an operator has mended is done within it.
const AGAIN_MS_MAX: u64 = 600_000;

/// What was not tried again for so long is about something that is no more.
const FORGOTTEN_MS: u64 = 2 * AGAIN_MS_MAX;

/// Actions that failed, by their word and what they are about.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Failing(BTreeMap<String, Pause>);

impl Failing {
    /// Forgets what is not tried any more, and what a clock that was set back since has put off for too long.
    pub(super) fn tidy(&mut self, now_ms: u64) {
        self.0.retain(|_, pause| {
            now_ms < pause.until_ms.saturating_add(FORGOTTEN_MS)
                && pause.until_ms.saturating_sub(now_ms) <= AGAIN_MS_MAX
        });
    }

    /// Why it is not tried now, if so.
    pub(super) fn holds(&self, key: &str, now_ms: u64) -> Option<String> {
        let pause = self.0.get(key)?;
        let left = pause.left_ms(now_ms)?;
        let (count, left_s) = (pause.count, left.div_ceil(1000));
        Some(format!("failed {count} times, and is tried again in {left_s} s"))
    }

    pub(super) fn failed(&mut self, key: &str, now_ms: u64) {
        let pause = self.0.entry(key.to_owned()).or_default();
        pause.begin(now_ms, pause.next_ms((AGAIN_MS, AGAIN_MS_MAX)));
    }

    pub(super) fn succeeded(&mut self, key: &str) {
        self.0.remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fails_is_tried_less_and_less_and_at_last_every_ten_minutes() {
        let mut failing = Failing::default();
        let (mut now, mut pauses) = (1_000_000, Vec::new());
        for _ in 0..10 {
            assert_eq!(failing.holds("mark i-1", now), None);
            failing.failed("mark i-1", now);
            let pause =
                (1..).find(|s| failing.holds("mark i-1", now + s * 1000).is_none()).unwrap();
            pauses.push(pause);
            now += pause * 1000;
            failing.tidy(now);
        }
        assert_eq!(pauses, [5, 10, 20, 40, 80, 160, 320, 600, 600, 600]);
        let said = {
            failing.failed("mark i-1", now);
            failing.holds("mark i-1", now).unwrap()
        };
        assert_eq!(said, "failed 11 times, and is tried again in 600 s");
        assert_eq!(failing.holds("mark i-2", now), None, "another");
        failing.succeeded("mark i-1");
        assert_eq!(failing, Failing::default());
    }

    #[test]
    fn a_clock_that_is_set_holds_up_nothing_for_long() {
        let mut failing = Failing::default();
        failing.failed("drain i-1", 9_000_000);
        failing.tidy(1_000_000);
        assert_eq!(failing, Failing::default(), "set back");
        failing.failed("drain i-1", 1_000_000);
        failing.tidy(9_000_000);
        assert_eq!(failing, Failing::default(), "long ago");
    }
}
