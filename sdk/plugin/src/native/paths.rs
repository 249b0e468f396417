//! What a host is asked by name, with JSON for question and answer: messages to DNS servers, networks, and sessions of
//! probes.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use blitz_contract::native::wire::ask as words;
use blitz_contract::native::{Bytes, DENIED, HostTable, LIMIT, OK};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::borrow;
use crate::host::HostError;
use crate::probes::{Answer, Probe, Session, Target};
use crate::web::milliseconds;

/// The answer of one call of the host, or its refusal.
pub(super) fn heard(call: impl FnOnce(*mut Bytes) -> u32) -> Result<Vec<u8>, HostError> {
    let mut out = Bytes::NONE;
    let status = call(&raw mut out);
    let answer = borrow(out).to_vec();
    if status == OK {
        return Ok(answer);
    }
    let text = String::from_utf8_lossy(&answer).into_owned();
    Err(match status {
        DENIED => HostError::Denied(text),
        LIMIT => HostError::Limit(text),
        _ => HostError::Failed(text),
    })
}

/// Asks an import by its name.
pub(super) fn ask<Q: Serialize + ?Sized, A: DeserializeOwned>(
    host: &HostTable,
    import: &str,
    question: &Q,
) -> Result<A, HostError> {
    let json = serde_json::to_vec(question).map_err(|e| HostError::Failed(e.to_string()))?;
    let HostTable { context, ask, .. } = *host;
    let (import, question) = (Bytes::of(import.as_bytes()), Bytes::of(&json));
    // SAFETY: the host's own function, with its context and bytes that live as long as the call.
    #[expect(unsafe_code, reason = "the tables are of C")]
    let answer = heard(|out| unsafe { ask(context, import, question, out) })?;
    serde_json::from_slice(&answer).map_err(|e| HostError::Failed(e.to_string()))
}

/// A way to one target, which is given back when it is dropped.
pub(super) struct LentSession {
    host: &'static HostTable,
    opened: words::Opened,
}

impl LentSession {
    pub(super) fn open(host: &'static HostTable, target: &Target) -> Result<Self, HostError> {
        Ok(Self { host, opened: ask(host, words::PROBES_OPEN, target)? })
    }

    fn of(&self) -> words::Of {
        words::Of { session: self.opened.session }
    }
}

impl Session for LentSession {
    fn address(&self) -> IpAddr {
        self.opened.address
    }

    fn source(&self) -> IpAddr {
        self.opened.source
    }

    fn mtu(&self) -> u32 {
        self.opened.mtu
    }

    fn elapsed(&self) -> Duration {
        // A host that gives sessions has this.
        let elapsed = ask(self.host, words::PROBES_ELAPSED, &self.of());
        Duration::from_micros(elapsed.unwrap_or_default())
    }

    fn send(&mut self, probes: &[Probe]) -> Result<(), HostError> {
        let question = words::Send { session: self.opened.session, probes: probes.to_vec() };
        ask(self.host, words::PROBES_SEND, &question)
    }

    fn next(&mut self, wait: Duration) -> Result<Vec<Answer>, HostError> {
        let wait_us = u64::try_from(wait.as_micros()).unwrap_or(u64::MAX);
        let question = words::Next { session: self.opened.session, wait_us };
        ask(self.host, words::PROBES_NEXT, &question)
    }

    fn names(&mut self, addresses: &[IpAddr], wait: Duration) -> Vec<Option<String>> {
        let question = words::Names {
            session: self.opened.session,
            addresses: addresses.iter().map(ToString::to_string).collect(),
            wait_ms: milliseconds(wait),
        };
        let unknown = |_| vec![None; addresses.len()];
        ask(self.host, words::PROBES_NAMES, &question).unwrap_or_else(unknown)
    }
}

impl Drop for LentSession {
    fn drop(&mut self) {
        // A host that cannot close it ends the run, and the session with it.
        ask::<_, ()>(self.host, words::PROBES_CLOSE, &self.of()).ok();
    }
}

impl fmt::Debug for LentSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("LentSession").field(&self.opened).finish()
    }
}
