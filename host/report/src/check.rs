//! What a test must hold to, as `--fail` takes it: `p99<300ms`, `errors<0.1% over 10s`, `step2.service.p95<=1s after 30s`.
//!
//! ```text
//! check   = metric ("<" | "<=" | ">" | ">=") value { "over" seconds | "after" seconds }
//! metric  = [ "stepN." ] ( [ "response." | "service." | "connect." | "tls." | "lag." ] ( "pQ" | "mean" | "min" | "max" )
//!         | "errors" [ "." kind ] | "timeouts" | "hits" | "status." ( code | class "xx" ) | "rate" | "sent" | "repeated" )
//! ```
//!
//! Times are from when a request was due, unless `service.` stands before them. `errors` and `timeouts` are counts, or shares
//! of the requests that ended; `status` is a count, or a share of the answers; `rate` is answers per second; `sent` is a count,
//! or a share of what was asked; `repeated` is a count, or a share of the requests that ended. Steps count from 1. With `over 10s` every window of 10 seconds must hold, by steps of one
//! second; `after 30s` leaves out the first 30 seconds. Connections, lag and `sent` are not known by step.

mod reader;

use std::fmt;
use std::str::FromStr;

use self::reader::Reader;
use crate::words::plain;

/// Letters of an expression: no sensible one is as long.
const LETTERS_MAX: usize = 200;

/// One thing that must hold.
#[derive(Debug, Clone, PartialEq)]
pub struct Check {
    /// As it was written.
    pub expression: String,
    /// From 0.
    pub(crate) step: Option<u32>,
    pub(crate) metric: Metric,
    pub(crate) relation: Relation,
    pub(crate) bound: Bound,
    pub(crate) over_s: Option<u32>,
    pub(crate) after_s: u32,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Metric {
    Time(Clock, Reading),
    Errors(Option<String>),
    Hits,
    /// From the first to before the last.
    Status(u16, u16),
    Rate,
    Sent,
    Repeated,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Clock {
    Response,
    Service,
    Connect,
    Tls,
    Lag,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Reading {
    /// 0 to 100.
    Percentile(f64),
    Mean,
    Min,
    Max,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Relation {
    Less,
    AtMost,
    More,
    AtLeast,
}

/// The value on the right, with what it is of.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Bound {
    Micros(f64),
    Count(f64),
    /// 0 to 1.
    Share(f64),
    PerSecond(f64),
}

/// What came of a check.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Outcome {
    /// As it was written.
    pub expression: String,
    /// Whether it is met. What was not measured is not.
    pub holds: bool,
    /// It is met, and would be had the generator not been the limit.
    #[serde(default)]
    pub is_proven: bool,
    /// The value, in the words of its kind.
    pub measured: String,
    /// All of it in one line.
    pub text: String,
}

/// What is wrong with an expression; its text has a line with the expression and one with a caret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckError {
    /// The expression.
    pub expression: String,
    /// Where, in letters from 0.
    pub at: usize,
    /// What should stand there.
    pub rule: String,
}

impl std::error::Error for CheckError {}

impl fmt::Display for CheckError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { expression, at, rule } = self;
        write!(f, "{rule}\n  {expression}\n  {:at$}^", "")
    }
}

impl Relation {
    pub(crate) fn holds(self, value: f64, bound: f64) -> bool {
        match self {
            Self::Less => value < bound,
            Self::AtMost => value <= bound,
            Self::More => value > bound,
            Self::AtLeast => value >= bound,
        }
    }

    /// Whether great values are the bad ones.
    pub(crate) fn is_ceiling(self) -> bool {
        matches!(self, Self::Less | Self::AtMost)
    }
}

impl FromStr for Check {
    type Err = CheckError;

    fn from_str(text: &str) -> Result<Self, CheckError> {
        let reader = Reader { all: plain(text).chars().collect(), at: 0 };
        if text.chars().count() > LETTERS_MAX {
            return Err(reader.error(format!("an expression has at most {LETTERS_MAX} letters")));
        }
        reader.check()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_are_read() {
        use Metric::{Errors, Hits, Rate, Sent, Status, Time};
        use Reading::{Max, Mean, Percentile};
        for (text, metric, bound, over_s, after_s) in [
            ("p99<300ms", Time(Clock::Response, Percentile(99.0)), Bound::Micros(3e5), None, 0),
            ("p99.9 <= 1s", Time(Clock::Response, Percentile(99.9)), Bound::Micros(1e6), None, 0),
            ("mean<.5s", Time(Clock::Response, Mean), Bound::Micros(5e5), None, 0),
            ("service.max<1m", Time(Clock::Service, Max), Bound::Micros(6e7), None, 0),
            (
                "connect.p50<90us",
                Time(Clock::Connect, Percentile(50.0)),
                Bound::Micros(90.0),
                None,
                0,
            ),
            ("errors<0.1% over 10s after 1m", Errors(None), Bound::Share(0.001), Some(10), 60),
            ("errors.closed<1", Errors(Some("closed".to_owned())), Bound::Count(1.0), None, 0),
            ("timeouts<5", Errors(Some("timeout".to_owned())), Bound::Count(5.0), None, 0),
            ("rate>=100/s after 5s over 2s", Rate, Bound::PerSecond(100.0), Some(2), 5),
            ("sent>=99%", Sent, Bound::Share(0.99), None, 0),
            ("repeated<1", Metric::Repeated, Bound::Count(1.0), None, 0),
            ("repeated<1% over 5s", Metric::Repeated, Bound::Share(0.01), Some(5), 0),
            ("hits>1000", Hits, Bound::Count(1000.0), None, 0),
            ("status.5xx<1", Status(500, 600), Bound::Count(1.0), None, 0),
            ("status.404<1%", Status(404, 405), Bound::Share(0.01), None, 0),
        ] {
            let check: Check = text.parse().unwrap_or_else(|e| panic!("{e}"));
            assert_eq!(
                (&check.metric, check.over_s, check.after_s),
                (&metric, over_s, after_s),
                "{text}"
            );
            assert_eq!(format!("{:?}", check.bound), format!("{bound:?}"), "{text}");
        }
        let step: Check = "step2.p95<1s".parse().unwrap();
        assert_eq!(step.step, Some(1));
    }

    #[test]
    fn mistakes_have_a_caret() {
        let errors: Vec<String> = [
            "",
            "p99",
            "p99<",
            "p99<300",
            "p99<300mx",
            "p101<1s",
            "p99=1s",
            "warp<1s",
            "errors.x<1",
            "errors<1ms",
            "rate>=5",
            "status.6x<1",
            "step0.p99<1s",
            "step1.lag.p99<1s",
            "p99<1s over",
            "p99<1s over 1.5s",
            "p99<1s over 1s over 2s",
            "p99<1s\u{1b}[2J",
            "service.errors<1",
            "hits<1%",
        ]
        .iter()
        .map(|text| text.parse::<Check>().unwrap_err().to_string())
        .collect();
        insta::assert_snapshot!(errors.join("\n"));
    }

    proptest::proptest! {
        #[test]
        fn nothing_panics(text in ".{0,40}", near in "(step[0-9]\\.)?(p[0-9.]{1,4}|errors|status\\.[0-9x]{1,3})[<>]=?[0-9.]{1,5}(ms|s|%|/s)?( over [0-9]{1,6}[sm])?") {
            for text in [text, near] {
                if let Err(error) = text.parse::<Check>() {
                    assert!(error.at <= error.expression.chars().count());
                }
            }
        }
    }
}
