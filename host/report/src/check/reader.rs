//! Reading an expression letter by letter, so that a mistake has a place.

use super::{Bound, Check, CheckError, Clock, Metric, Reading, Relation};
use crate::tally::STATUS;

/// Kinds that `errors.` takes.
const KINDS: [&str; 9] =
    ["connect", "tls", "timeout", "closed", "parse", "limit", "assert", "extract", STATUS];

/// An expression, and how far it is read.
pub(super) struct Reader {
    pub(super) all: Vec<char>,
    pub(super) at: usize,
}

impl Reader {
    pub(super) fn check(mut self) -> Result<Check, CheckError> {
        self.blanks();
        let step = self.step()?;
        let begin = self.at;
        let metric = self.metric()?;
        let is_by_step = !matches!(
            metric,
            Metric::Sent | Metric::Time(Clock::Connect | Clock::Tls | Clock::Lag, _)
        );
        if step.is_some() && !is_by_step {
            self.at = begin;
            return Err(
                self.error("connect, tls, lag and sent are known of all steps together".to_owned())
            );
        }
        self.blanks();
        let relation = self.relation()?;
        self.blanks();
        let bound = self.bound(&metric)?;
        let (mut over_s, mut after_s) = (None, None);
        loop {
            self.blanks();
            if self.at == self.all.len() {
                break;
            }
            let begin = self.at;
            let (word, slot) = match self.word().as_str() {
                "over" => ("over", &mut over_s),
                "after" => ("after", &mut after_s),
                _ => {
                    self.at = begin;
                    return Err(
                        self.error("here may stand: over 10s, after 30s, or nothing".to_owned())
                    );
                }
            };
            if slot.is_some() {
                self.at = begin;
                return Err(self.error(format!("{word} stands once")));
            }
            self.blanks();
            *slot = Some(self.seconds()?);
        }
        let expression: String = self.all.iter().collect::<String>().trim().to_owned();
        let after_s = after_s.unwrap_or(0);
        Ok(Check { expression, step, metric, relation, bound, over_s, after_s })
    }

    pub(super) fn error(&self, rule: String) -> CheckError {
        CheckError { expression: self.all.iter().collect(), at: self.at.min(self.all.len()), rule }
    }

    fn blanks(&mut self) {
        while self.peek().is_some_and(char::is_whitespace) {
            self.at += 1;
        }
    }

    fn peek(&self) -> Option<char> {
        self.all.get(self.at).copied()
    }

    fn take_while(&mut self, fits: impl Fn(char) -> bool) -> String {
        let begin = self.at;
        while self.peek().is_some_and(&fits) {
            self.at += 1;
        }
        self.all[begin..self.at].iter().collect()
    }

    fn word(&mut self) -> String {
        self.take_while(|letter| letter.is_ascii_alphabetic())
    }

    fn skips(&mut self, text: &str) -> bool {
        let length = text.chars().count();
        let is_there = self.all[self.at..].iter().take(length).copied().eq(text.chars());
        if is_there {
            self.at += length;
        }
        is_there
    }

    fn step(&mut self) -> Result<Option<u32>, CheckError> {
        let begin = self.at;
        if !self.skips("step") {
            return Ok(None);
        }
        let number: Option<u32> = self.take_while(|digit| digit.is_ascii_digit()).parse().ok();
        match number {
            Some(number) if number >= 1 && self.skips(".") => Ok(Some(number - 1)),
            _ => {
                self.at = begin;
                Err(self.error(
                    "a step is written step1. or step2., and its metric after it".to_owned(),
                ))
            }
        }
    }

    fn metric(&mut self) -> Result<Metric, CheckError> {
        let begin = self.at;
        let clocks = [
            ("response.", Clock::Response),
            ("service.", Clock::Service),
            ("connect.", Clock::Connect),
            ("tls.", Clock::Tls),
            ("lag.", Clock::Lag),
        ];
        for (word, clock) in clocks {
            if self.skips(word) {
                return self.reading().map(|reading| Metric::Time(clock, reading));
            }
        }
        let word = self.word();
        match word.as_str() {
            "p" | "mean" | "min" | "max" => {
                self.at = begin;
                self.reading().map(|reading| Metric::Time(Clock::Response, reading))
            }
            "timeouts" => Ok(Metric::Errors(Some("timeout".to_owned()))),
            "hits" => Ok(Metric::Hits),
            "rate" => Ok(Metric::Rate),
            "sent" => Ok(Metric::Sent),
            "repeated" => Ok(Metric::Repeated),
            "errors" if self.skips(".") => {
                let begin = self.at;
                let kind = self.word();
                if KINDS.contains(&kind.as_str()) {
                    return Ok(Metric::Errors(Some(kind)));
                }
                self.at = begin;
                Err(self.error(format!("a kind of error is one of {}", KINDS.join(", "))))
            }
            "errors" => Ok(Metric::Errors(None)),
            "status" => self.status(),
            _ => {
                self.at = begin;
                Err(self.error(
                    "a metric is p50, p99.9, mean, min, max, errors, timeouts, hits, status.5xx, rate, sent or repeated; before a time may \
                     stand service., connect., tls. or lag."
                        .to_owned(),
                ))
            }
        }
    }

    fn reading(&mut self) -> Result<Reading, CheckError> {
        let begin = self.at;
        match self.word().as_str() {
            "mean" => return Ok(Reading::Mean),
            "min" => return Ok(Reading::Min),
            "max" => return Ok(Reading::Max),
            "p" => {
                let number = self.take_while(|letter| letter.is_ascii_digit() || letter == '.');
                if let Ok(percent) = number.parse::<f64>()
                    && percent > 0.0
                    && percent <= 100.0
                {
                    return Ok(Reading::Percentile(percent));
                }
            }
            _ => {}
        }
        self.at = begin;
        Err(self.error(
            "a time is read as p50, p99.9 (more than 0, at most 100), mean, min or max".to_owned(),
        ))
    }

    fn status(&mut self) -> Result<Metric, CheckError> {
        let rule = "a status is written status.503 or status.5xx";
        if !self.skips(".") {
            return Err(self.error(rule.to_owned()));
        }
        let begin = self.at;
        let text = self.take_while(|letter| letter.is_ascii_alphanumeric());
        let class = text.strip_suffix("xx").and_then(|class| class.parse::<u16>().ok());
        match (class, text.parse::<u16>()) {
            (Some(class @ 1..=9), _) => Ok(Metric::Status(class * 100, class * 100 + 100)),
            (None, Ok(code @ 100..=999)) => Ok(Metric::Status(code, code + 1)),
            _ => {
                self.at = begin;
                Err(self.error(rule.to_owned()))
            }
        }
    }

    fn relation(&mut self) -> Result<Relation, CheckError> {
        let relations = [
            ("<=", Relation::AtMost),
            (">=", Relation::AtLeast),
            ("<", Relation::Less),
            (">", Relation::More),
        ];
        for (word, relation) in relations {
            if self.skips(word) {
                return Ok(relation);
            }
        }
        Err(self.error("here stands <, <=, > or >=".to_owned()))
    }

    fn number(&mut self) -> Result<f64, CheckError> {
        let begin = self.at;
        let text = self.take_while(|letter| letter.is_ascii_digit() || letter == '.');
        match text.parse::<f64>() {
            Ok(number) if number.is_finite() => Ok(number),
            _ => {
                self.at = begin;
                Err(self.error("here stands a number".to_owned()))
            }
        }
    }

    fn bound(&mut self, metric: &Metric) -> Result<Bound, CheckError> {
        let number = self.number()?;
        let begin = self.at;
        let unit =
            self.take_while(|letter| letter.is_alphabetic() || letter == '/' || letter == '%');
        let found = match (metric, unit.as_str()) {
            (Metric::Time(..), "us") => Some(Bound::Micros(number)),
            (Metric::Time(..), "ms") => Some(Bound::Micros(number * 1e3)),
            (Metric::Time(..), "s") => Some(Bound::Micros(number * 1e6)),
            (Metric::Time(..), "m") => Some(Bound::Micros(number * 60e6)),
            (Metric::Rate, "/s") => Some(Bound::PerSecond(number)),
            (Metric::Errors(_) | Metric::Status(..) | Metric::Sent | Metric::Repeated, "%") => {
                Some(Bound::Share(number / 100.0))
            }
            (
                Metric::Errors(_)
                | Metric::Status(..)
                | Metric::Sent
                | Metric::Repeated
                | Metric::Hits,
                "",
            ) => Some(Bound::Count(number)),
            _ => None,
        };
        found.ok_or_else(|| {
            self.at = begin;
            let rule = match metric {
                Metric::Time(..) => "a time has the unit us, ms, s or m",
                Metric::Rate => "a rate has the unit /s",
                Metric::Hits => "a count has no unit",
                _ => "a count has no unit, and a share has %",
            };
            self.error(rule.to_owned())
        })
    }

    fn seconds(&mut self) -> Result<u32, CheckError> {
        let begin = self.at;
        let number: Option<u32> = self.take_while(|letter| letter.is_ascii_digit()).parse().ok();
        let factor = match self.word().as_str() {
            "s" => Some(1),
            "m" => Some(60),
            _ => None,
        };
        match number.zip(factor).and_then(|(number, factor)| number.checked_mul(factor)) {
            Some(seconds) if (1..=86_400).contains(&seconds) => Ok(seconds),
            _ => {
                self.at = begin;
                Err(self
                    .error("here stand whole seconds or minutes, up to a day: 10s, 5m".to_owned()))
            }
        }
    }
}
