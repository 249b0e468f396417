//! Moments and lengths of time, as people type them and as they are told. Pure, but for the clock and the time zone of this machine.

use std::time::Duration;

use blitz_jobs::clock::now_ms;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _};

use crate::commands::parse_duration;

/// Seconds of a day.
const DAY_S: u64 = 86_400;

/// The longest time that can be typed, in days: a hundred years, so that no sum of it and now is too large for anybody.
const DAYS_MAX: u64 = 36_525;

/// A length of time: days (`30d`), or what other flags take as a time.
pub(crate) fn length(text: &str) -> Result<Duration, String> {
    let days = text.strip_suffix('d').and_then(|days| days.parse::<u64>().ok());
    let length = match days {
        Some(days) => Some(Duration::from_secs(days.saturating_mul(DAY_S))),
        None => parse_duration(text).ok(),
    };
    let is_possible = |length: &Duration| {
        (Duration::from_millis(1)..=Duration::from_secs(DAYS_MAX * DAY_S)).contains(length)
    };
    length.filter(is_possible).ok_or_else(|| "use 30d, 12h, 30m or 90s".to_owned())
}

/// A moment to come, as typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Until {
    /// There is no such moment.
    Never,
    /// So long from now.
    In(Duration),
    /// Milliseconds since 1970.
    At(u64),
}

impl Until {
    /// `never`, a length of time, a day (to its end, here), or a moment as `2027-01-31T12:00:00Z`.
    pub(crate) fn read(text: &str) -> Result<Self, String> {
        if text == "never" {
            return Ok(Self::Never);
        }
        if let Ok(length) = length(text) {
            return Ok(Self::In(length));
        }
        let end_of_day = |day: Date| moment_of_day(day.checked_add(1.day()).ok()?);
        moment(text, end_of_day)
            .map(Self::At)
            .ok_or_else(|| "use 30d, 2027-01-31, 2027-01-31T12:00:00Z or never".to_owned())
    }

    /// The moment, in milliseconds since 1970.
    pub(crate) fn ms(self) -> Option<u64> {
        match self {
            Self::Never => None,
            Self::In(length) => Some(now_ms().saturating_add(millis(length))),
            Self::At(ms) => Some(ms),
        }
    }
}

/// A moment that was: so long ago, a day (from its beginning, here), or a moment as `2027-01-31T12:00:00Z`. Milliseconds since
/// 1970.
pub(crate) fn since(text: &str) -> Result<u64, String> {
    if let Ok(length) = length(text) {
        return Ok(now_ms().saturating_sub(millis(length)));
    }
    moment(text, moment_of_day)
        .ok_or_else(|| "use 1h, 7d, 2027-01-31 or 2027-01-31T12:00:00Z".to_owned())
}

fn moment(text: &str, of_day: impl Fn(Date) -> Option<u64>) -> Option<u64> {
    match text.parse::<Timestamp>() {
        Ok(moment) => u64::try_from(moment.as_millisecond()).ok(),
        Err(_) => of_day(text.parse::<Date>().ok()?),
    }
}

/// The beginning of a day where this machine is.
fn moment_of_day(day: Date) -> Option<u64> {
    let begin = day.to_zoned(TimeZone::system()).ok()?;
    u64::try_from(begin.timestamp().as_millisecond()).ok()
}

fn millis(length: Duration) -> u64 {
    u64::try_from(length.as_millis()).unwrap_or(u64::MAX)
}

/// How long something still takes, never less than it is: `40 s`, `12 min`, `3 h`, `29 days`.
pub(crate) fn lasting(length: Duration) -> String {
    let seconds = millis(length).div_ceil(1000);
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds.div_ceil(60)),
        7200..172_800 => format!("{} h", seconds.div_ceil(3600)),
        _ => format!("{} days", seconds.div_ceil(DAY_S)),
    }
}

/// When something ends: `in 29 days`, `over`.
pub(crate) fn ends(at_ms: u64, now_ms: u64) -> String {
    match at_ms.saturating_sub(now_ms) {
        0 => "over".to_owned(),
        left => format!("in {}", lasting(Duration::from_millis(left))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_have_days() {
        for (text, seconds) in [("30d", Some(2_592_000)), ("12h", Some(43_200)), ("90", Some(90))] {
            assert_eq!(length(text).ok().map(|length| length.as_secs()), seconds, "{text}");
        }
        for text in ["0d", "d", "7 days", "99999999999999999999d", "36526d", "-1d", "1w", ""] {
            assert_eq!(length(text).unwrap_err(), "use 30d, 12h, 30m or 90s", "{text}");
        }
    }

    #[test]
    fn moments_are_lengths_days_and_instants() {
        assert_eq!(Until::read("never"), Ok(Until::Never));
        assert_eq!(Until::read("1d"), Ok(Until::In(Duration::from_secs(DAY_S))));
        assert_eq!(Until::read("1970-01-01T00:00:05Z"), Ok(Until::At(5000)));
        for text in ["tomorrow", "2027-13-01", "1960-01-01T00:00:00Z", ""] {
            assert!(Until::read(text).is_err() && since(text).is_err(), "{text}");
        }
        // A day's end is the next one's beginning, wherever this machine is.
        let Ok(Until::At(end)) = Until::read("2027-01-30") else { panic!("a day") };
        assert_eq!(since("2027-01-31"), Ok(end));
        let hour_ago = since("1h").unwrap();
        assert!((3_600_000..3_660_000).contains(&(now_ms() - hour_ago)));
    }

    #[test]
    fn what_is_left_is_never_told_too_short() {
        for (seconds, text) in [
            (0, "0 s"),
            (40, "40 s"),
            (120, "2 min"),
            (661, "12 min"),
            (7201, "3 h"),
            (172_801, "3 days"),
            (2_592_000, "30 days"),
        ] {
            assert_eq!(lasting(Duration::from_secs(seconds)), text);
        }
        assert_eq!(ends(2000, 1000), "in 1 s");
        assert_eq!(ends(1000, 1000), "over");
    }
}
