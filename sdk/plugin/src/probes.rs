//! The words of probes: packets with a time to live, and what the network says to them.

use std::net::IpAddr;
use std::time::Duration;

pub use blitz_contract::probes::{Answer, Label, Network, Outcome, Probe, Protocol, Target};

use crate::host::HostError;

/// Probes of one [`Session::send`].
pub const PROBES_MAX: usize = 256;

/// A way to one target, open until it is dropped.
pub trait Session {
    /// The target's address, for the whole session.
    fn address(&self) -> IpAddr;

    /// The engine's own address on the way there.
    fn source(&self) -> IpAddr;

    /// What the first link carries, in bytes.
    fn mtu(&self) -> u32;

    /// Since the session was opened. Waiting is measured by this clock: in unit tests no other one moves.
    fn elapsed(&self) -> Duration;

    /// Sends at most [`PROBES_MAX`] probes, in this order. Waits where the engine's rates want that.
    ///
    /// # Errors
    ///
    /// [`HostError::Limit`] for more, for an id that is out already, and past the job's time;
    /// [`HostError::Failed`] for a time to live of 0.
    fn send(&mut self, probes: &[Probe]) -> Result<(), HostError>;

    /// All answers that are there, as soon as there is one; none when so much time has passed, or the job is asked
    /// to end. An answer that comes twice is given twice.
    ///
    /// # Errors
    ///
    /// [`HostError::Failed`] when the network is gone.
    fn next(&mut self, wait: Duration) -> Result<Vec<Answer>, HostError>;

    /// The names of these addresses, waited for no longer than so; `None` for what is not known, or not yet. Only in
    /// a session whose target asks for names, only of the target and of those who answered, and at most 1024 at once.
    fn names(&mut self, addresses: &[IpAddr], wait: Duration) -> Vec<Option<String>>;
}
