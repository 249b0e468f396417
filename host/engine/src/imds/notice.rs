//! What a notice about the machine means for the jobs that run on it. Pure.

use std::time::Duration;

use jiff::Timestamp;
use serde::Deserialize;

use crate::going::Leave;

/// EC2 tells of an interruption two minutes ahead: a notice that says more is by a clock that is not ours, and one that
/// says no time is taken for one that was just given.
const NOTICE_MAX: Duration = Duration::from_secs(120);

/// What is left of the time when the jobs must be over: for giving back those that are not, saying good-bye, and the end of
/// the process.
const MARGIN: Duration = Duration::from_secs(20);

/// The longest word of a notice in a line of the log, in characters.
const WORD_CHARS_MAX: usize = 32;

/// `spot/instance-action`.
#[derive(Debug, Deserialize)]
struct InstanceAction {
    action: String,
    #[serde(default)]
    time: String,
}

/// What the document of an interruption says at this moment of this machine's clock; `None` when it cannot be read.
///
/// The two clocks may differ. The time that is left is never more than EC2 ever gives, and where none is left jobs are
/// given back at once.
pub(super) fn interruption(text: &str, now: Timestamp) -> Option<Leave> {
    let InstanceAction { action, time } = serde_json::from_str(text).ok()?;
    let action: String = action.chars().filter(|c| !c.is_control()).take(WORD_CHARS_MAX).collect();
    // It freezes the machine as soon as it is told.
    let left = match (action.as_str(), time.parse::<Timestamp>()) {
        ("hibernate", _) => Duration::ZERO,
        (_, Ok(at)) => at.duration_since(now).try_into().unwrap_or(Duration::ZERO),
        (_, Err(_)) => NOTICE_MAX,
    };
    let time = left.min(NOTICE_MAX).saturating_sub(MARGIN);
    Some(Leave { why: format!("the provider takes the machine back (spot, {action})"), time })
}

/// The machine may be taken back before long.
pub(super) fn rebalance() -> Leave {
    Leave::with_the_last_job("the provider recommends to leave the machine (rebalance)".to_owned())
}

/// What the state that its group wants it to have says.
pub(super) fn lifecycle(text: &str) -> Option<Leave> {
    let is_wanted = text.trim() != "Terminated";
    let why = "its Auto Scaling group ends the machine".to_owned();
    (!is_wanted).then(|| Leave::with_the_last_job(why))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::going::LINGER_MAX;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn an_interruption_leaves_the_time_until_it_less_a_margin() {
        let now = at("2026-11-22T10:00:00Z");
        for (time, left) in [
            ("2026-11-22T10:02:00Z", 100),
            ("2026-11-22T10:01:00Z", 40),
            ("2026-11-22T10:00:20Z", 0),
            ("2026-11-22T10:00:05Z", 0),
            // A clock that goes before, and one that goes after.
            ("2026-11-22T09:00:00Z", 0),
            ("0001-01-01T00:00:00Z", 0),
            ("2026-11-22T13:00:00Z", 100),
            ("9999-12-30T00:00:00Z", 100),
            // No time.
            ("soon", 100),
            ("", 100),
        ] {
            for action in ["terminate", "stop", "something new"] {
                let text = format!(r#"{{"action": "{action}", "time": "{time}"}}"#);
                let leave = interruption(&text, now).unwrap();
                assert_eq!(leave.time, Duration::from_secs(left), "{text}");
                assert!(leave.why.contains(action), "{leave:?}");
            }
        }
        let frozen = r#"{"action": "hibernate", "time": "2026-11-22T10:02:00Z"}"#;
        assert_eq!(interruption(frozen, now).unwrap().time, Duration::ZERO);
        assert_eq!(interruption(r#"{"action":"stop"}"#, now).unwrap().time.as_secs(), 100);
    }

    #[test]
    fn what_is_no_notice_is_none() {
        let now = at("2026-11-22T10:00:00Z");
        for text in
            ["", "<html>", "null", "[]", r#"{"time": "2026-11-22T10:02:00Z"}"#, r#"{"action": 7}"#]
        {
            assert_eq!(interruption(text, now), None, "{text}");
        }
        let long = format!(r#"{{"action": "{}\n"}}"#, "x".repeat(10_000));
        assert!(interruption(&long, now).unwrap().why.len() < 100);
    }

    #[test]
    fn a_group_ends_a_machine_and_a_rebalance_is_no_hurry() {
        assert_eq!(lifecycle("InService"), None);
        assert_eq!(lifecycle(""), None);
        assert_eq!(lifecycle("Terminated\n").unwrap().time, LINGER_MAX);
        assert_eq!(rebalance().time, LINGER_MAX);
    }
}
