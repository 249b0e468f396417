//! What happened in one second.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Distribution;
use super::share::Share;

/// One second of a load test, of a worker, an engine, or all of them. All counts are of this second alone, and add up. A second
/// with much in it may come as several ticks.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Tick {
    /// Since the start: 0 is the first one. What is of a request stands in the second in which it ended.
    pub second: u32,
    /// Users that are active at its end, or transactions that are not ended.
    #[serde(default)]
    pub users: u32,
    /// Connections that are open at its end.
    #[serde(default)]
    pub connections: u32,
    /// Requests that were due: in an open model by the plan, in a closed one as many as were sent.
    #[serde(default)]
    pub asked: u64,
    /// Requests that were sent.
    #[serde(default)]
    pub sent: u64,
    /// Requests that are due and not sent, at its end.
    #[serde(default)]
    pub backlog: u64,
    /// By step of the transaction; a step of which nothing ended is left out.
    #[serde(default)]
    pub steps: Vec<StepTick>,
    /// From when a request was due and could be sent to when it was sent, in microseconds: the generator's own lag. Waiting for
    /// a free connection is not in it.
    #[serde(default)]
    pub lag_us: Distribution,
    /// Of connections that were made: TCP alone, in microseconds.
    #[serde(default)]
    pub connect_us: Distribution,
    /// Of connections that were made: the TLS handshake, in microseconds.
    #[serde(default)]
    pub tls_us: Distribution,
    /// CPU time that the busiest worker used in it, in microseconds.
    #[serde(default)]
    pub cpu_us: u64,
    /// Time in which the machine ran somebody else in place of a worker that wanted to run, in microseconds, of the
    /// worker that had most of it.
    #[serde(default)]
    pub starved_us: u64,
    /// It is of the warm-up, and does not count.
    #[serde(default, skip_serializing_if = "is_false")]
    pub is_warm_up: bool,
    /// The first failure of the whole test and the first time-out, in the tick in which they came.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub firsts: Vec<First>,
    /// This is the last one of an engine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closing: Option<Closing>,
}

/// One step in one second.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct StepTick {
    /// Its place in the plan, from 0.
    pub step: u32,
    /// Answers, by the first digit of their status.
    #[serde(default)]
    pub classes: Vec<ClassTick>,
    /// What went wrong, and how often. An answer whose status was not the expected one is here, too.
    #[serde(default)]
    pub errors: BTreeMap<ErrorKind, u64>,
    /// Requests that were sent once more, because the server closed a kept connection before it answered, or said over HTTP/2 that
    /// it had not looked at them. Each is counted once among those that were sent.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub repeated: u64,
    /// Bytes that were sent.
    #[serde(default)]
    pub sent_bytes: u64,
    /// Bytes that came.
    #[serde(default)]
    pub received_bytes: u64,
}

/// Answers of one class of status.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct ClassTick {
    /// 1 to 5, and 0 for anything else.
    pub class: u8,
    /// How many of each status.
    pub statuses: BTreeMap<u16, u64>,
    /// From when a request was sent to the last byte of its answer, in microseconds.
    pub service_us: Distribution,
    /// The same from when it was due; empty where that is the same, in a closed model.
    #[serde(default, skip_serializing_if = "Distribution::is_empty")]
    pub response_us: Distribution,
}

/// How a request ends without a good answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorKind {
    /// No connection.
    Connect,
    /// No TLS, or a certificate that is not trusted.
    Tls,
    /// Not in its time.
    Timeout,
    /// The peer closed or reset the connection before its answer was whole.
    Closed,
    /// What came is no HTTP.
    Parse,
    /// A head or a body larger than is read.
    Limit,
    /// Another status than the expected one.
    Assert,
    /// A cookie that was to become a variable did not come.
    Extract,
}

/// The first of its kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct First {
    /// What.
    pub kind: ErrorKind,
    /// Since the start, in milliseconds.
    pub at_ms: u64,
    /// Users at that moment, or transactions that were not ended.
    pub users: u32,
    /// In words.
    pub text: String,
}

/// How it ended on one engine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Closing {
    /// Of this engine.
    pub share: Share,
    /// Why.
    pub verdict: Verdict,
    /// In words, where it did not simply end.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub text: String,
    /// From the start to when nothing more was to be sent, in microseconds: the end of the plan, an earlier end, or a later one
    /// where something that was due before it was sent behind it. A rate is reckoned by it. None where nobody could say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_us: Option<u64>,
}

/// Why a load test ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It was whole.
    Ended,
    /// Somebody stopped it, or its job's time was over: what is there counts, and is a part.
    Stopped,
    /// The target may not be loaded any more.
    Revoked,
    /// A worker failed: what is there is a part.
    Failed,
}

impl Tick {
    /// The sum of both: of the same second, of other workers or engines.
    pub fn add(&mut self, other: &Self) {
        self.users = self.users.saturating_add(other.users);
        self.connections = self.connections.saturating_add(other.connections);
        self.asked = self.asked.saturating_add(other.asked);
        self.sent = self.sent.saturating_add(other.sent);
        self.backlog = self.backlog.saturating_add(other.backlog);
        for step in &other.steps {
            match self.steps.iter_mut().find(|own| own.step == step.step) {
                Some(own) => own.add(step),
                None => self.steps.push(step.clone()),
            }
        }
        self.lag_us.add(&other.lag_us);
        self.connect_us.add(&other.connect_us);
        self.tls_us.add(&other.tls_us);
        self.cpu_us = self.cpu_us.max(other.cpu_us);
        self.starved_us = self.starved_us.max(other.starved_us);
        self.is_warm_up |= other.is_warm_up;
        for first in &other.firsts {
            match self.firsts.iter_mut().find(|own| own.kind == first.kind) {
                Some(own) if own.at_ms <= first.at_ms => {}
                Some(own) => *own = first.clone(),
                None => self.firsts.push(first.clone()),
            }
        }
        if self.closing.is_none() {
            self.closing.clone_from(&other.closing);
        }
    }
}

impl StepTick {
    /// The sum of both.
    pub fn add(&mut self, other: &Self) {
        for class in &other.classes {
            match self.classes.iter_mut().find(|own| own.class == class.class) {
                Some(own) => own.add(class),
                None => self.classes.push(class.clone()),
            }
        }
        for (kind, count) in &other.errors {
            let own = self.errors.entry(*kind).or_default();
            *own = own.saturating_add(*count);
        }
        self.repeated = self.repeated.saturating_add(other.repeated);
        self.sent_bytes = self.sent_bytes.saturating_add(other.sent_bytes);
        self.received_bytes = self.received_bytes.saturating_add(other.received_bytes);
    }
}

impl ClassTick {
    /// The sum of both.
    pub fn add(&mut self, other: &Self) {
        for (status, count) in &other.statuses {
            let own = self.statuses.entry(*status).or_default();
            *own = own.saturating_add(*count);
        }
        self.service_us.add(&other.service_us);
        self.response_us.add(&other.response_us);
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
fn is_false(value: &bool) -> bool {
    !value
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
fn is_zero(value: &u64) -> bool {
    *value == 0
}
