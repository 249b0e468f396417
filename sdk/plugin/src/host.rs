//! What the host lends a running plugin.

use std::io::Write;
use std::net::{IpAddr, TcpStream, UdpSocket};
use std::time::Duration;

use crate::dns;
use crate::load::{LoadTest, Plan};
use crate::probes::{Network, Session, Target};
use crate::web::{Answer, Failure, Request};

/// Everything outside the plugin.
///
/// On WASM it is the host's imports, in unit tests [`FakeHost`](crate::testing). Clocks and random
/// numbers come from `std` on both.
pub trait Host {
    /// The command's standard output, line-buffered; flush to show a part of a line.
    fn stdout(&mut self) -> &mut dyn Write;

    /// The command's standard error, line-buffered.
    fn stderr(&mut self) -> &mut dyn Write;

    /// Up to `bytes_max` bytes from `offset` of a file of the user's machine that an argument named;
    /// `-` is stdin. An empty answer is the end.
    ///
    /// # Errors
    ///
    /// [`HostError::Denied`] for a name that did not come with the job.
    fn read_input(&mut self, name: &str, offset: u64, bytes_max: u32)
    -> Result<Vec<u8>, HostError>;

    /// Appends to a file on the user's machine that an argument of the kind `output-file` named.
    ///
    /// The host takes any name. The user's side writes those that the command line named, and leaves
    /// out the others with a line on the user's stderr.
    ///
    /// # Errors
    ///
    /// [`HostError::Failed`] for a name that is empty, longer than 4096 bytes or has control characters,
    /// [`HostError::Limit`] for the 65th file of a run. Past the job's output limit the run is
    /// stopped: that is no error here.
    fn write_output(&mut self, name: &str, bytes: &[u8]) -> Result<(), HostError>;

    /// Gives a structured record beside stdout: one JSON document of at most 64 KiB.
    ///
    /// # Errors
    ///
    /// [`HostError::Limit`] for a larger one, [`HostError::Failed`] for a body that is not JSON.
    fn emit(&mut self, kind: &str, body: &str) -> Result<(), HostError>;

    /// Makes one HTTP exchange, and comes back with the head of the answer. Redirects are not followed.
    ///
    /// # Errors
    ///
    /// [`Failure`] says where it ended; [`FailureKind::Denied`](crate::web::FailureKind::Denied) when the plugin lacks the grant `web`
    /// or the engine's target policy refuses the address.
    fn exchange(&mut self, request: &Request) -> Result<Answer, Failure>;

    /// Opens a TCP connection. The engine resolves `host`, and holds the address against its target policy.
    ///
    /// # Errors
    ///
    /// [`HostError::Denied`] without the grant `sockets` or when the policy refuses the address,
    /// [`HostError::Limit`] for one socket too many, [`HostError::Failed`] for what the network said.
    fn connect(&mut self, host: &str, port: u16, timeout: Duration)
    -> Result<TcpStream, HostError>;

    /// Opens a UDP socket that speaks with this one peer.
    ///
    /// # Errors
    ///
    /// As [`Host::connect`].
    fn connect_udp(&mut self, host: &str, port: u16) -> Result<UdpSocket, HostError>;

    /// Asks the DNS one question.
    ///
    /// # Errors
    ///
    /// [`HostError::Denied`] without the grant `dns` or when the policy refuses the resolver,
    /// [`HostError::Failed`] when no answer came. An answer that says "no such name" is an answer.
    fn lookup(&mut self, question: &dns::Question) -> Result<dns::Answer, HostError>;

    /// Sends one whole DNS message, once, and waits for its answer.
    ///
    /// # Errors
    ///
    /// As [`Host::lookup`].
    fn dns_exchange(&mut self, message: &dns::Message) -> Result<dns::Reply, HostError>;

    /// Opens a session of probes to one target.
    ///
    /// # Errors
    ///
    /// [`HostError::Denied`] without the grant `probes` or when the policy refuses the target,
    /// [`HostError::Failed`] when it has no address, or when the engine cannot send such probes; says what is missing.
    fn probes(&mut self, target: &Target) -> Result<Box<dyn Session>, HostError>;

    /// Whose addresses these are, in their order, by a database that the engine's operator has put there.
    ///
    /// # Errors
    ///
    /// [`HostError::Failed`] on an engine without one.
    fn networks(&mut self, addresses: &[IpAddr]) -> Result<Vec<Option<Network>>, HostError>;

    /// Begins a load test: the engine's own workers send what the plan says, and tell each second what came of it. Comes back
    /// when the test has begun, which waits for all engines of the run.
    ///
    /// A target is loaded only where it is the engine's own network, where the engine's operator lists it, or where its
    /// owner has agreed.
    ///
    /// # Errors
    ///
    /// [`HostError::Denied`] without the grant `load`, or when nobody has agreed to a target; then no packet was sent.
    /// [`HostError::Limit`] for more than this engine gives, for a second test beside the first, and in a job that is asked
    /// to end. [`HostError::Failed`] for a plan that cannot be carried out (says which place of it), a target without an
    /// address, and too few engines.
    fn load(&mut self, plan: &Plan) -> Result<Box<dyn LoadTest>, HostError>;

    /// Adds to a counter of the run's `metrics` record. The name is 1 to 40 of a-z, 0-9 and `_`, and ends
    /// with its unit.
    ///
    /// # Errors
    ///
    /// [`HostError::Failed`] for another name, [`HostError::Limit`] for one name too many.
    fn count(&mut self, name: &str, by: u64) -> Result<(), HostError>;

    /// Adds values to a distribution of the run's `metrics` record. One call with many values costs hardly
    /// more than one with one.
    ///
    /// # Errors
    ///
    /// As [`Host::count`].
    fn observe(&mut self, name: &str, values: &[u64]) -> Result<(), HostError>;

    /// What is left of the job's time. The host ends what runs longer.
    fn time_left(&mut self) -> Duration;

    /// Whether the job was asked to end. Only a plugin whose manifest names `limits.grace_ms` sees that: it has
    /// so long for its last words. Others are ended at once.
    fn is_cancelled(&mut self) -> bool;

    /// Waits; true when it came back early, because the job was asked to end.
    fn pause(&mut self, time: Duration) -> bool;
}

/// Why the host did not do what was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HostError {
    /// The plugin was not given this right; names the missing grant.
    #[error("{0}")]
    Denied(String),
    /// A limit was reached; names the limit, its value and what was asked.
    #[error("{0}")]
    Limit(String),
    /// It was tried and did not work; says what happened.
    #[error("{0}")]
    Failed(String),
}

/// Reads an input from its start to its end.
///
/// # Errors
///
/// As [`Host::read_input`].
pub fn read_whole_input(host: &mut dyn Host, name: &str) -> Result<Vec<u8>, HostError> {
    /// Large enough that a call's cost vanishes, small beside any memory limit.
    const PIECE_BYTES: u32 = 256 * 1024;
    let mut whole = Vec::new();
    let mut offset = 0;
    loop {
        let piece = host.read_input(name, offset, PIECE_BYTES)?;
        if piece.is_empty() {
            return Ok(whole);
        }
        offset += u64::try_from(piece.len()).unwrap_or(u64::MAX);
        whole.extend_from_slice(&piece);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::FakeHost;

    #[test]
    fn an_input_longer_than_a_piece_is_read_to_its_end() {
        let long = vec![7; 600 * 1024];
        let mut host = FakeHost::default().input("long", long.clone()).input("empty", "");
        assert_eq!(read_whole_input(&mut host, "long"), Ok(long));
        assert_eq!(read_whole_input(&mut host, "empty"), Ok(Vec::new()));
        assert!(matches!(read_whole_input(&mut host, "other"), Err(HostError::Denied(_))));
    }
}
