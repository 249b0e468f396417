//! How an engine waits for a store that cannot be entered: longer each time up to a ceiling, and not with a line in the log
//! each time.

use std::time::Duration;

use tokio::time::Instant;

/// Between two tries: the first, and the longest. A store that is started beside its engines is found at once, one that
/// comes back after hours within seconds.
const WAIT_FIRST: Duration = Duration::from_millis(250);
const WAIT_MAX: Duration = Duration::from_secs(5);

/// The same reason is said again after this long.
const SAY_AGAIN: Duration = Duration::from_secs(60);

/// What is known of the tries so far.
#[derive(Debug, Default)]
pub(crate) struct Patience {
    bound: Duration,
    said: Option<(String, Instant)>,
}

impl Patience {
    /// Whether a try has failed.
    pub(crate) fn is_tried(&self) -> bool {
        self.said.is_some()
    }

    /// Whether this reason is to be said: it is new, or was said long ago.
    pub(crate) fn says(&mut self, reason: &str) -> bool {
        let is_said =
            self.said.as_ref().is_some_and(|(said, at)| said == reason && at.elapsed() < SAY_AGAIN);
        if !is_said {
            self.said = Some((reason.to_owned(), Instant::now()));
        }
        !is_said
    }

    /// How long to wait before the next try: between half and all of a bound that doubles, so that a thousand engines
    /// that lost one store do not come back in one moment.
    pub(crate) fn wait(&mut self) -> Duration {
        self.bound = (self.bound * 2).clamp(WAIT_FIRST, WAIT_MAX);
        // Without a random source all that is lost is the spread.
        let random = getrandom::u32().unwrap_or(u32::MAX / 2);
        let half = self.bound / 2;
        half + half.mul_f64(f64::from(random) / f64::from(u32::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_reason_is_said_once_in_a_while_and_tries_become_rare() {
        let mut patience = Patience::default();
        assert!(!patience.is_tried());
        assert!(patience.says("refused") && !patience.says("refused") && patience.is_tried());
        assert!(patience.says("silent") && patience.says("refused"));
        tokio::time::advance(SAY_AGAIN).await;
        assert!(patience.says("refused"));
        let waits: Vec<Duration> = (0..8).map(|_| patience.wait()).collect();
        assert!(waits[0] <= WAIT_FIRST && waits[0] >= WAIT_FIRST / 2, "{waits:?}");
        assert!(waits[7] <= WAIT_MAX && waits[7] >= WAIT_MAX / 2, "{waits:?}");
    }
}
