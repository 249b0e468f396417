//! Asks for notices about the machine for as long as it is polled.

use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::mpsc::Sender;
use tokio::time::MissedTickBehavior;

use super::{Imds, NotTold, notice};
use crate::going::Leave;

/// Between two rounds of questions. EC2 asks to look this often; of the two minutes of a notice it costs 5 s at most.
const EACH: Duration = Duration::from_secs(5);

/// An interruption of the machine, and when.
const INTERRUPTION: &str = "/latest/meta-data/spot/instance-action";

/// That one is likely.
const REBALANCE: &str = "/latest/meta-data/events/recommendations/rebalance";

/// The state that its Auto Scaling group wants it to have.
const LIFECYCLE: &str = "/latest/meta-data/autoscaling/target-lifecycle-state";

/// Tells each notice once. A service that goes away is asked on, and said to be away once.
pub(crate) async fn watch(mut imds: Imds, leaves: Sender<Leave>) {
    let mut seen = Seen::default();
    let mut rounds = tokio::time::interval(EACH);
    rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        rounds.tick().await;
        let mut trouble = None;
        for path in [INTERRUPTION, REBALANCE, LIFECYCLE] {
            match imds.get(path).await {
                Ok(text) => {
                    if let Some(leave) = seen.hear(path, text, Timestamp::now())
                        // Nobody listens any more: the engine has ended.
                        && leaves.send(leave).await.is_err()
                    {
                        return;
                    }
                }
                Err(error) => trouble = trouble.or(Some(error)),
            }
        }
        match seen.end_round(trouble) {
            Some(Turn::Away(reason)) => tracing::warn!(
                reason,
                "the instance metadata does not tell whether the machine is taken away; it is asked on"
            ),
            Some(Turn::Back) => tracing::info!("the instance metadata answers again"),
            None => {}
        }
    }
}

/// What was heard so far.
#[derive(Debug, Default)]
struct Seen {
    /// The last notices, by path: each is told once.
    told: Vec<(&'static str, String)>,
    is_away: bool,
}

/// The service is not as it was in the round before.
#[derive(Debug, PartialEq, Eq)]
enum Turn {
    Away(String),
    Back,
}

impl Seen {
    /// What follows from a document, or from there being none.
    fn hear(&mut self, path: &'static str, text: Option<String>, now: Timestamp) -> Option<Leave> {
        if self.told.iter().any(|(known, last)| *known == path && Some(last) == text.as_ref()) {
            return None;
        }
        self.told.retain(|(known, _)| *known != path);
        let text = text?;
        let leave = match path {
            INTERRUPTION => {
                let leave = notice::interruption(&text, now);
                if leave.is_none() {
                    tracing::warn!(path, "a notice that this version cannot read, ignored");
                }
                leave
            }
            REBALANCE => Some(notice::rebalance()),
            _ => notice::lifecycle(&text),
        };
        self.told.push((path, text));
        leave
    }

    fn end_round(&mut self, trouble: Option<NotTold>) -> Option<Turn> {
        let was_away = std::mem::replace(&mut self.is_away, trouble.is_some());
        match trouble {
            Some(not_told) if !was_away => Some(Turn::Away(not_told.to_string())),
            None if was_away => Some(Turn::Back),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_notice_is_told_once_and_one_that_changes_again() {
        let mut seen = Seen::default();
        let now = "2026-11-22T10:00:00Z".parse().unwrap();
        let text = |time: &str| Some(format!(r#"{{"action":"stop","time":"{time}"}}"#));
        let left = |leave: Option<Leave>| leave.map(|leave| leave.time.as_secs());
        assert_eq!(left(seen.hear(INTERRUPTION, None, now)), None);
        let first = text("2026-11-22T10:02:00Z");
        assert_eq!(left(seen.hear(INTERRUPTION, first, now)), Some(100));
        assert_eq!(left(seen.hear(INTERRUPTION, text("2026-11-22T10:02:00Z"), now)), None);
        assert_eq!(left(seen.hear(INTERRUPTION, text("2026-11-22T10:01:00Z"), now)), Some(40));
        let rebalance = || Some(r#"{"noticeTime":"2026-11-22T10:00:00Z"}"#.to_owned());
        assert!(seen.hear(REBALANCE, rebalance(), now).is_some());
        assert!(seen.hear(REBALANCE, rebalance(), now).is_none());
        for (state, leaves) in [("InService", false), ("Terminated", true), ("Terminated", false)] {
            let heard = seen.hear(LIFECYCLE, Some(state.to_owned()), now);
            assert_eq!(heard.is_some(), leaves, "{state}");
        }
        assert!(seen.hear(INTERRUPTION, Some("<html>".to_owned()), now).is_none());
    }

    #[test]
    fn a_service_that_goes_away_is_told_of_once_until_it_answers() {
        let mut seen = Seen::default();
        let gone = || Some(NotTold::NotNow("gone".to_owned()));
        assert_eq!(seen.end_round(None), None);
        assert_eq!(seen.end_round(gone()), Some(Turn::Away("gone".to_owned())));
        assert_eq!(seen.end_round(gone()), None);
        assert_eq!(seen.end_round(None), Some(Turn::Back));
        assert_eq!(seen.end_round(None), None);
        assert!(seen.end_round(gone()).is_some());
    }
}
