//! What the host lends a running plugin.

use std::io::Write;

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
