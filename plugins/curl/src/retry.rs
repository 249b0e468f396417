//! `--retry`: which ends of a transfer are worth another attempt, and when it is made.
//!
//! curl's rules: what may pass by itself is tried again after 1 s, 2 s, 4 s and so on up to 10 min, or
//! after `--retry-delay`, and not before `Retry-After`. An attempt that could not begin within the job's time
//! is not waited for.

use std::time::{Duration, SystemTime};

use blitz_plugin::Arguments;

use crate::exit::{Code, Problem};
use crate::instant::seconds_of_http_date;

/// Before the first retry, as in curl.
const PAUSE_FIRST: Duration = Duration::from_secs(1);

/// Pauses double up to here, as in curl.
const PAUSE_MAX: Duration = Duration::from_secs(600);

/// The statuses that may pass by themselves.
const PASSING: &[u16] = &[408, 429, 500, 502, 503, 504];

/// What the command line says.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Retries {
    count: u64,
    /// `None` doubles.
    pause: Option<Duration>,
    /// From the first attempt to the last retry.
    time_max: Option<Duration>,
    on_refused: bool,
    on_all: bool,
}

/// Why another attempt is worth it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    Status,
    Timeout,
    Refused,
    /// `--retry-all-errors`.
    Any,
}

/// What to do after an attempt.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// The attempt was the last one.
    End,
    /// The same, and why it is not what one would expect.
    EndWith(&'static str),
    /// Another attempt after a pause, of which this is told.
    Again(Duration, String),
}

/// The attempts so far.
#[derive(Debug)]
pub(crate) struct Course {
    settings: Retries,
    left: u64,
    pause: Duration,
}

impl Retries {
    pub(crate) fn read(args: &Arguments) -> Result<Self, Problem> {
        let count = args.value("retry").map_or(Ok(0), |text| {
            text.parse().map_err(|_| {
                Problem::usage(format!("option --retry: {text:?} is not a count of retries"))
            })
        })?;
        let time =
            |name| args.value(name).and_then(blitz_plugin::duration).filter(|time| !time.is_zero());
        Ok(Self {
            count,
            pause: time("retry-delay"),
            time_max: time("retry-max-time"),
            on_refused: args.has("retry-connrefused"),
            on_all: args.has("retry-all-errors"),
        })
    }
}

impl Cause {
    /// Reads the end of an attempt. `expected` is the status of `--status`, which is no reason to ask again.
    pub(crate) fn of(
        outcome: Result<(), &Problem>,
        status: Option<u16>,
        expected: Option<u16>,
        settings: Retries,
    ) -> Option<Self> {
        match outcome.map_err(|problem| problem.code) {
            Err(Code::TimedOut | Code::CouldNotResolve) => Some(Self::Timeout),
            Err(Code::CouldNotConnect) if settings.on_refused && is_refusal(outcome) => {
                Some(Self::Refused)
            }
            Ok(()) | Err(Code::HttpReturnedError) if expected.is_none() || status != expected => {
                let passes = status.is_some_and(|status| PASSING.contains(&status));
                match (passes, outcome.is_err() && settings.on_all) {
                    (true, _) => Some(Self::Status),
                    (false, true) => Some(Self::Any),
                    (false, false) => None,
                }
            }
            // The target policy will not change its mind.
            Err(Code::Refused | Code::Usage) => None,
            Err(_) if settings.on_all => Some(Self::Any),
            _ => None,
        }
    }
}

/// The host gives one kind of failure for all that keeps a connection from being made.
fn is_refusal(outcome: Result<(), &Problem>) -> bool {
    outcome.is_err_and(|problem| problem.text.contains("refused"))
}

impl Course {
    pub(crate) fn new(settings: Retries) -> Self {
        Self { settings, left: settings.count, pause: settings.pause.unwrap_or(PAUSE_FIRST) }
    }

    /// How many retries were made.
    pub(crate) fn made(&self) -> u64 {
        self.settings.count - self.left
    }

    /// Whether there will be another attempt. `elapsed` since the first one began, `job_left` of the job's time.
    pub(crate) fn next(
        &mut self,
        cause: Option<Cause>,
        retry_after: Option<Duration>,
        elapsed: Duration,
        job_left: Duration,
    ) -> Next {
        let Some(cause) = cause.filter(|_| self.left > 0) else { return Next::End };
        if self.settings.time_max.is_some_and(|time_max| elapsed >= time_max) {
            return Next::End;
        }
        let asked = retry_after.filter(|_| cause == Cause::Status).unwrap_or_default();
        let pause = self.pause.max(asked);
        if !asked.is_zero()
            && self.settings.time_max.is_some_and(|max| elapsed.saturating_add(pause) > max)
        {
            return Next::EndWith(
                "The Retry-After: time would make this command line exceed the maximum allowed time \
                 for retries.",
            );
        }
        if pause >= job_left {
            return Next::EndWith(
                "The job's time would be over before the next retry; give more with --timeout.",
            );
        }
        let text = match cause {
            Cause::Status => ": HTTP error",
            Cause::Timeout => ": timeout",
            Cause::Refused => ": connection refused",
            Cause::Any => "(retrying all errors)",
        };
        let seconds = pause.as_secs();
        let text =
            format!("Problem {text}. Will retry in {seconds} seconds. {} retries left.", self.left);
        self.left -= 1;
        if self.settings.pause.is_none() {
            self.pause = (self.pause * 2).min(PAUSE_MAX);
        }
        Next::Again(pause, text)
    }
}

/// What `Retry-After` asks for: seconds, or a date. What cannot be read asks for nothing, as in curl.
pub(crate) fn retry_after(value: &str, now: SystemTime) -> Option<Duration> {
    if let Ok(seconds) = value.trim().parse() {
        return Some(Duration::from_secs(seconds));
    }
    let at = u64::try_from(seconds_of_http_date(value.trim())?).ok()?;
    (SystemTime::UNIX_EPOCH + Duration::from_secs(at)).duration_since(now).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(100_000);

    fn course(count: u64) -> Course {
        Course::new(Retries { count, ..Retries::default() })
    }

    #[test]
    fn pauses_double_up_to_ten_minutes() {
        let mut course = course(12);
        let mut pauses = Vec::new();
        while let Next::Again(pause, _) =
            course.next(Some(Cause::Timeout), None, Duration::ZERO, LONG)
        {
            pauses.push(pause.as_secs());
        }
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 600, 600]);
        assert_eq!(course.made(), 12);
    }

    #[test]
    fn what_is_told_is_curls() {
        let said = |cause| match course(2).next(Some(cause), None, Duration::ZERO, LONG) {
            Next::Again(_, text) => text,
            other => format!("{other:?}"),
        };
        for (cause, text) in [
            (Cause::Status, "Problem : HTTP error. Will retry in 1 seconds. 2 retries left."),
            (Cause::Timeout, "Problem : timeout. Will retry in 1 seconds. 2 retries left."),
            (
                Cause::Refused,
                "Problem : connection refused. Will retry in 1 seconds. 2 retries left.",
            ),
            (Cause::Any, "Problem (retrying all errors). Will retry in 1 seconds. 2 retries left."),
        ] {
            assert_eq!(said(cause), text);
        }
    }

    #[test]
    fn limits_end_the_course() {
        let second = Duration::from_secs;
        let limited = Retries { count: 9, time_max: Some(second(10)), ..Retries::default() };
        for (after, elapsed, job_left, expected) in [
            (None, 9, 100, "again 1"),
            (None, 10, 100, "end"),
            (Some(5), 1, 100, "again 5"),
            (Some(5), 6, 100, "The Retry-After: time"),
            (None, 1, 1, "The job's time"),
            (Some(5), 1, 5, "The job's time"),
        ] {
            let next = Course::new(limited).next(
                Some(Cause::Status),
                after.map(second),
                second(elapsed),
                second(job_left),
            );
            let said = match next {
                Next::Again(pause, _) => format!("again {}", pause.as_secs()),
                Next::End => "end".to_owned(),
                Next::EndWith(text) => text.to_owned(),
            };
            assert!(said.starts_with(expected), "{after:?} {elapsed} {job_left}: {said}");
        }
        assert_eq!(course(0).next(Some(Cause::Status), None, second(0), LONG), Next::End);
        assert_eq!(course(1).next(None, None, second(0), LONG), Next::End);
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        for (value, seconds) in [
            ("120", Some(120)),
            (" 0 ", Some(0)),
            ("Sun, 09 Sep 2001 01:46:50 GMT", Some(10)),
            ("Sun, 09 Sep 2001 01:46:30 GMT", None),
            ("soon", None),
            ("-1", None),
        ] {
            assert_eq!(retry_after(value, now).map(|d| d.as_secs()), seconds, "{value}");
        }
    }
}
