//! Sessions of probes on a tape: what was sent, what came back, and the time that passed.

use std::net::IpAddr;

use blitz_contract::probes::{Answer, Probe};
use serde::{Deserialize, Serialize};

use crate::bindings::blitz::plugin::probes::Error;

pub(crate) const OPEN: &str = "probes.open";
pub(crate) const ELAPSED: &str = "probes.elapsed";
pub(crate) const SEND: &str = "probes.send";
pub(crate) const NEXT: &str = "probes.next";
pub(crate) const NAMES: &str = "probes.names";

/// What was found at the opening of a session.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Opened {
    pub(crate) address: IpAddr,
    pub(crate) source: IpAddr,
    pub(crate) mtu: u32,
}

/// A call of `send`; a session is known by its number.
#[derive(Serialize)]
pub(crate) struct AskedSend<'a> {
    pub(crate) session: u64,
    pub(crate) probes: &'a [Probe],
}

/// A call of `next`.
#[derive(Serialize)]
pub(crate) struct AskedNext {
    pub(crate) session: u64,
    pub(crate) wait_us: u64,
}

/// A call of `names`.
#[derive(Serialize)]
pub(crate) struct AskedNames<'a> {
    pub(crate) session: u64,
    pub(crate) addresses: &'a [String],
    pub(crate) wait_ms: u64,
}

/// What came of a call.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Heard<T> {
    Done(T),
    Denied(String),
    Limit(String),
    Failed(String),
}

pub(crate) type Answers = Vec<Answer>;

impl<T> From<Result<T, Error>> for Heard<T> {
    fn from(heard: Result<T, Error>) -> Self {
        match heard {
            Ok(done) => Self::Done(done),
            Err(Error::Denied(text)) => Self::Denied(text),
            Err(Error::Limit(text)) => Self::Limit(text),
            Err(Error::Failed(text)) => Self::Failed(text),
        }
    }
}

impl<T> From<Heard<T>> for Result<T, Error> {
    fn from(heard: Heard<T>) -> Self {
        match heard {
            Heard::Done(done) => Ok(done),
            Heard::Denied(text) => Err(Error::Denied(text)),
            Heard::Limit(text) => Err(Error::Limit(text)),
            Heard::Failed(text) => Err(Error::Failed(text)),
        }
    }
}
