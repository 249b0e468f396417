//! Counts of what came back: answers, errors, bytes and times.

use std::collections::BTreeMap;

use blitz_contract::load::{ErrorKind, Plan, StepTick};
use serde::{Deserialize, Serialize};

use crate::latency::Latency;
use crate::pile::{Keep, Pile};

/// The kind of error that no tick knows: an answer with a status of 4xx or 5xx, in a step that expects none in particular.
pub(crate) const STATUS: &str = "status";
/// Statuses have three digits; any other is counted as this.
const STATUS_OTHER: u16 = 0;

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Tally {
    /// Answers, whatever their status.
    pub hits: u64,
    /// What went wrong.
    pub errors: Errors,
    /// How many of each status; 0 is none of three digits.
    pub statuses: BTreeMap<u16, u64>,
    /// Requests that were sent once more, because the server closed a kept connection before it answered. They are no errors, and
    /// each is one of those that were sent.
    #[serde(default)]
    pub repeated: u64,
    /// Bytes that were sent.
    pub sent_bytes: u64,
    /// Bytes that came.
    pub received_bytes: u64,
    /// Of answers: from when the request was due to the last byte.
    pub response: Latency,
    /// Of answers: from when the request was sent. None where that is the same, in a closed model; see [`Tally::service`].
    #[serde(rename = "service", default, skip_serializing_if = "Option::is_none")]
    pub service_apart: Option<Latency>,
}

/// Requests without a good answer.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Errors {
    /// Of all kinds.
    pub total: u64,
    /// By kind: those of a tick, and `status`, which are answers of 4xx and 5xx in a step without an expected status.
    pub kinds: BTreeMap<String, u64>,
}

impl Errors {
    /// Of one kind.
    #[must_use]
    pub fn of(&self, kind: &str) -> u64 {
        self.kinds.get(kind).copied().unwrap_or(0)
    }

    fn count(&mut self, kind: &str, count: u64) {
        if count > 0 {
            let own = self.kinds.entry(kind.to_owned()).or_default();
            *own = own.saturating_add(count);
            self.total = self.total.saturating_add(count);
        }
    }
}

impl Tally {
    /// From when a request was sent to the last byte of its answer.
    #[must_use]
    pub fn service(&self) -> &Latency {
        self.service_apart.as_ref().unwrap_or(&self.response)
    }

    /// Requests that were not answered in their time.
    #[must_use]
    pub fn timeouts(&self) -> u64 {
        self.errors.of("timeout")
    }

    /// Requests that found no connection: nothing was sent, and that is the target's doing.
    #[must_use]
    pub fn refused(&self) -> u64 {
        [ErrorKind::Connect, ErrorKind::Tls].map(|kind| self.errors.of(word(kind))).iter().sum()
    }

    /// Whether most of it was refused: how busy the generator was with that says nothing about what it measured.
    pub(crate) fn is_refused(&self) -> bool {
        self.refused() > self.hits
    }

    /// Answers with a status of this class, 1 to 5.
    #[must_use]
    pub fn class(&self, class: u16) -> u64 {
        self.statuses.range(class * 100..class * 100 + 100).map(|(_, count)| count).sum()
    }

    /// Requests that came to an end, in whatever way.
    #[must_use]
    pub fn ended(&self) -> u64 {
        let answered = [ErrorKind::Assert, ErrorKind::Extract].map(word);
        let answered = answered.iter().chain([&STATUS]).map(|kind| self.errors.of(kind)).sum();
        self.hits.saturating_add(self.errors.total.saturating_sub(answered))
    }

    /// Errors among the requests that came to an end, 0 to 1.
    #[must_use]
    pub fn error_rate(&self) -> f64 {
        let ended = self.ended();
        if ended == 0 { 0.0 } else { (self.errors.total as f64 / ended as f64).min(1.0) }
    }

    /// The sum of them.
    #[must_use]
    pub fn sum(all: &[&Self]) -> Self {
        if let [one] = all {
            return (*one).clone();
        }
        let mut sum = Self {
            response: Latency::sum(all.iter().map(|one| &one.response)),
            service_apart: all
                .iter()
                .any(|one| one.service_apart.is_some())
                .then(|| Latency::sum(all.iter().map(|one| one.service()))),
            ..Self::default()
        };
        for one in all {
            sum.hits = sum.hits.saturating_add(one.hits);
            sum.repeated = sum.repeated.saturating_add(one.repeated);
            sum.sent_bytes = sum.sent_bytes.saturating_add(one.sent_bytes);
            sum.received_bytes = sum.received_bytes.saturating_add(one.received_bytes);
            for (kind, count) in &one.errors.kinds {
                sum.errors.count(kind, *count);
            }
            for (status, count) in &one.statuses {
                let own = sum.statuses.entry(*status).or_default();
                *own = own.saturating_add(*count);
            }
        }
        sum
    }
}

/// A [`Tally`] that is still being added to.
#[derive(Debug, Clone, Default)]
pub(crate) struct OpenTally {
    statuses: BTreeMap<u16, u64>,
    errors: BTreeMap<ErrorKind, u64>,
    repeated: u64,
    sent_bytes: u64,
    received_bytes: u64,
    /// Where both times are the same.
    same: Pile,
    response: Pile,
    service: Pile,
}

impl OpenTally {
    pub(crate) fn add(&mut self, tick: &StepTick, keep: Keep) {
        for class in &tick.classes {
            for (status, count) in &class.statuses {
                let status = if (100..=999).contains(status) { *status } else { STATUS_OTHER };
                let own = self.statuses.entry(status).or_default();
                *own = own.saturating_add(*count);
            }
            if class.response_us.is_empty() {
                self.same.add(&class.service_us, keep);
            } else {
                self.service.add(&class.service_us, keep);
                self.response.add(&class.response_us, keep);
            }
        }
        for (kind, count) in &tick.errors {
            let own = self.errors.entry(*kind).or_default();
            *own = own.saturating_add(*count);
        }
        self.repeated = self.repeated.saturating_add(tick.repeated);
        self.sent_bytes = self.sent_bytes.saturating_add(tick.sent_bytes);
        self.received_bytes = self.received_bytes.saturating_add(tick.received_bytes);
    }

    pub(crate) fn settle(&mut self) {
        [&mut self.same, &mut self.response, &mut self.service].into_iter().for_each(Pile::settle);
    }

    pub(crate) fn coarsen(&mut self) {
        [&mut self.same, &mut self.response, &mut self.service].into_iter().for_each(Pile::coarsen);
    }

    /// What it is by now. Which answers are errors depends on the status that the plan expects of the step.
    pub(crate) fn tally(&self, step: u32, plan: Option<&Plan>) -> Tally {
        let expected = plan
            .and_then(|plan| plan.steps.get(usize::try_from(step).unwrap_or(usize::MAX)))
            .and_then(|step| step.status);
        let mut errors = Errors::default();
        for (kind, count) in &self.errors {
            errors.count(word(*kind), *count);
        }
        if expected.is_none() {
            errors.count(STATUS, self.statuses.range(400..600).map(|(_, count)| count).sum());
        }
        let both = |apart: &Pile| Latency::from(Pile::sum_of(&[&self.same, apart]));
        Tally {
            hits: self.statuses.values().fold(0, |sum: u64, count| sum.saturating_add(*count)),
            errors,
            statuses: self.statuses.clone(),
            repeated: self.repeated,
            sent_bytes: self.sent_bytes,
            received_bytes: self.received_bytes,
            response: both(&self.response),
            service_apart: (!self.service.is_empty()).then(|| both(&self.service)),
        }
    }
}

/// A kind of error as it is written.
pub(crate) fn word(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::Connect => "connect",
        ErrorKind::Tls => "tls",
        ErrorKind::Timeout => "timeout",
        ErrorKind::Closed => "closed",
        ErrorKind::Parse => "parse",
        ErrorKind::Limit => "limit",
        ErrorKind::Assert => "assert",
        ErrorKind::Extract => "extract",
    }
}
