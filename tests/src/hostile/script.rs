//! What a hostile server does on each connection, as a value.

use std::time::Duration;

use bytes::Bytes;

use super::pki::Identity;

/// One thing after the other, on each connection anew.
#[derive(Debug, Clone)]
pub struct Script {
    /// What stands before the script.
    pub door: Door,
    /// In order.
    pub steps: Vec<Step>,
    /// Leaves with a reset in place of an orderly close.
    pub resets: bool,
    /// Reads nothing but what [`Step::Hear`] and [`Step::HearSome`] ask for. All others read, and drop what they read.
    pub is_deaf: bool,
}

/// What stands before the script.
#[derive(Debug, Clone)]
pub enum Door {
    /// Plain TCP.
    Plain,
    /// A TLS handshake.
    Tls(Identity),
    /// A TLS handshake of which only the first bytes of the server are sent.
    TlsCut(Identity, usize),
}

/// One thing that a server does.
#[derive(Debug, Clone)]
pub enum Step {
    /// Reads up to the end of a request's head, of HTTP/1 or HTTP/2.
    Hear,
    /// Reads whatever comes first.
    HearSome,
    /// Writes this at once.
    Say(Bytes),
    /// Writes this so many times, as fast as it is taken.
    Repeat(Bytes, u64),
    /// Writes this byte by byte, with a pause behind each.
    Drip(Bytes, Duration),
    /// Does nothing for a while.
    Pause(Duration),
    /// Does nothing until the client leaves.
    Hang,
}

/// As often as a client takes it.
pub(super) const FOR_EVER: u64 = u64::MAX;

/// Long enough that a client has read what was said before a reset throws away what it has not.
const BEFORE_RESET: Duration = Duration::from_millis(100);

impl Script {
    /// Hears a request on plain TCP, then does this, then closes.
    #[must_use]
    pub fn answer(steps: impl IntoIterator<Item = Step>) -> Self {
        Self::raw([Step::Hear].into_iter().chain(steps))
    }

    /// Does this on plain TCP, then closes.
    #[must_use]
    pub fn raw(steps: impl IntoIterator<Item = Step>) -> Self {
        Self {
            door: Door::Plain,
            steps: steps.into_iter().collect(),
            resets: false,
            is_deaf: false,
        }
    }

    /// The same behind a TLS handshake.
    #[must_use]
    pub fn tls(mut self, identity: &Identity) -> Self {
        self.door = Door::Tls(identity.clone());
        self
    }

    /// The same with a reset at the end.
    #[must_use]
    pub fn reset(mut self) -> Self {
        if self.steps.iter().any(|step| !matches!(step, Step::Hear | Step::HearSome)) {
            self.steps.push(Step::Pause(BEFORE_RESET));
        }
        self.resets = true;
        self
    }

    /// The same without reading what it does not wait for.
    #[must_use]
    pub fn deaf(mut self) -> Self {
        self.is_deaf = true;
        self
    }
}

/// Writes this at once.
#[must_use]
pub fn say(bytes: impl AsRef<[u8]>) -> Step {
    Step::Say(Bytes::copy_from_slice(bytes.as_ref()))
}

/// Writes this without end.
#[must_use]
pub(super) fn for_ever(bytes: impl AsRef<[u8]>) -> Step {
    times(bytes, FOR_EVER)
}

/// Writes this so many times.
#[must_use]
pub(super) fn times(bytes: impl AsRef<[u8]>, count: u64) -> Step {
    Step::Repeat(Bytes::copy_from_slice(bytes.as_ref()), count)
}

/// Writes a byte each `pause_ms`.
#[must_use]
pub(super) fn drip(bytes: impl AsRef<[u8]>, pause_ms: u64) -> Step {
    Step::Drip(Bytes::copy_from_slice(bytes.as_ref()), Duration::from_millis(pause_ms))
}
