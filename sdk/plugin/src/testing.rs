//! A host for unit tests: answers are canned, and what the plugin gave is recorded.

use std::collections::{BTreeMap, VecDeque};
use std::io::{self, Write};
use std::time::Duration;

use blitz_contract::Manifest;
use blitz_contract::arguments::Declared;

use crate::host::{Host, HostError};
use crate::plugin::{Plugin, RawCall, dispatch};
use crate::web::{
    Answer, Body, Connection, Failure, FailureKind, Headers, Phases, Request, Tls, Version,
};

/// Bytes of an output file's name, as the host has it: `PATH_MAX` of Linux.
const FILE_NAME_MAX_BYTES: usize = 4096;

/// Output files of one run, as the host has it.
const OUTPUT_FILES_MAX: usize = 64;

/// Runs a plugin as the host would, with the text of its `plugin.toml`; gives its exit status.
///
/// # Panics
///
/// When the manifest is not valid.
pub fn run<P: Plugin>(manifest: &str, args: &[&str], host: &mut FakeHost) -> u8 {
    let manifest = Manifest::from_toml(manifest).expect("plugin.toml is valid");
    let call = RawCall {
        args: args.iter().map(|&arg| arg.to_owned()).collect(),
        region: "testing".to_owned(),
        deadline: Duration::from_secs(60),
    };
    let declared: Vec<Declared<'_>> = manifest.arguments.iter().map(Into::into).collect();
    dispatch::<P>(&manifest.name, &declared, call, host)
}

/// Records everything and never waits.
#[derive(Debug, Default)]
pub struct FakeHost {
    /// What [`Host::read_input`] finds, by name.
    pub inputs: BTreeMap<String, Vec<u8>>,
    /// What the next exchanges give, in order; none left is a failure to connect.
    pub answers: VecDeque<Result<CannedAnswer, Failure>>,
    /// The requests made, in order.
    pub requests: Vec<Request>,
    /// The output files, by name.
    pub outputs: BTreeMap<String, Vec<u8>>,
    /// The records given, as (kind, JSON).
    pub events: Vec<(String, serde_json::Value)>,
    /// The command's standard output.
    pub stdout: Recorder,
    /// The command's standard error.
    pub stderr: Recorder,
}

/// A stream that remembers its bytes and where it was flushed.
#[derive(Debug, Default)]
pub struct Recorder {
    /// All bytes.
    pub bytes: Vec<u8>,
    /// How many bytes stood there at each flush that showed something new.
    pub flushed_at: Vec<usize>,
    /// Writing fails from here on: the reader is gone.
    pub is_closed: bool,
}

impl FakeHost {
    /// Adds an answer for the next exchange.
    #[must_use]
    pub fn answers(mut self, answer: CannedAnswer) -> Self {
        self.answers.push_back(Ok(answer));
        self
    }

    /// Makes the next exchange fail.
    #[must_use]
    pub fn fails(mut self, failure: Failure) -> Self {
        self.answers.push_back(Err(failure));
        self
    }

    /// Gives an input of the user's machine.
    #[must_use]
    pub fn input(mut self, name: &str, bytes: impl Into<Vec<u8>>) -> Self {
        self.inputs.insert(name.to_owned(), bytes.into());
        self
    }

    /// Standard output as text.
    #[must_use]
    pub fn stdout_text(&self) -> String {
        String::from_utf8_lossy(&self.stdout.bytes).into_owned()
    }

    /// Standard error as text.
    #[must_use]
    pub fn stderr_text(&self) -> String {
        String::from_utf8_lossy(&self.stderr.bytes).into_owned()
    }
}

impl Write for Recorder {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.is_closed {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.flushed_at.last().copied().unwrap_or(0) < self.bytes.len() {
            self.flushed_at.push(self.bytes.len());
        }
        Ok(())
    }
}

impl Host for FakeHost {
    fn stdout(&mut self) -> &mut dyn Write {
        &mut self.stdout
    }

    fn stderr(&mut self) -> &mut dyn Write {
        &mut self.stderr
    }

    fn read_input(
        &mut self,
        name: &str,
        offset: u64,
        bytes_max: u32,
    ) -> Result<Vec<u8>, HostError> {
        let Some(whole) = self.inputs.get(name) else {
            return Err(HostError::Denied(format!("{name:?} did not come with the job")));
        };
        let offset = usize::try_from(offset).unwrap_or(usize::MAX);
        let bytes_max = usize::try_from(bytes_max).unwrap_or(usize::MAX);
        let rest = whole.get(offset..).unwrap_or_default();
        Ok(rest[..rest.len().min(bytes_max)].to_vec())
    }

    fn write_output(&mut self, name: &str, bytes: &[u8]) -> Result<(), HostError> {
        if name.is_empty() || name.len() > FILE_NAME_MAX_BYTES || name.contains(char::is_control) {
            return Err(HostError::Failed(format!(
                "a file name has 1 to {FILE_NAME_MAX_BYTES} bytes and no control characters"
            )));
        }
        if !self.outputs.contains_key(name) && self.outputs.len() >= OUTPUT_FILES_MAX {
            return Err(HostError::Limit(format!(
                "a run writes at most {OUTPUT_FILES_MAX} files; {name:?} is one more"
            )));
        }
        self.outputs.entry(name.to_owned()).or_default().extend_from_slice(bytes);
        Ok(())
    }

    fn emit(&mut self, kind: &str, body: &str) -> Result<(), HostError> {
        let body = serde_json::from_str(body)
            .map_err(|error| HostError::Failed(format!("event {kind}: {error}")))?;
        self.events.push((kind.to_owned(), body));
        Ok(())
    }

    fn exchange(&mut self, request: &Request) -> Result<Answer, Failure> {
        self.requests.push(request.clone());
        let nothing = || Err(Failure::new(FailureKind::Connect, "the test has no answer left"));
        self.answers.pop_front().unwrap_or_else(nothing).map(CannedAnswer::into_answer)
    }
}

/// An answer as a test writes it.
#[derive(Debug, Clone)]
pub struct CannedAnswer {
    /// The status code.
    pub status: u16,
    /// The reason phrase.
    pub reason: String,
    /// The protocol.
    pub version: Version,
    /// The headers.
    pub headers: Headers,
    /// The body, in the pieces in which it arrives.
    pub pieces: VecDeque<Vec<u8>>,
    /// How the body ends; `None` is well.
    pub failure: Option<Failure>,
    /// Where the time went.
    pub phases: Phases,
    /// The instant of the body's end.
    pub total_us: u64,
    /// The handshake.
    pub tls: Option<Tls>,
}

impl CannedAnswer {
    /// An empty HTTP/1.1 answer whose phases pass at 1, 2, 3, 4, 5 and 6 ms.
    #[must_use]
    pub fn new(status: u16, reason: &str) -> Self {
        Self {
            status,
            reason: reason.to_owned(),
            version: Version::Http11,
            headers: Vec::new(),
            pieces: VecDeque::new(),
            failure: None,
            phases: Phases {
                dns_us: 1000,
                connect_us: 2000,
                tls_us: 3000,
                sent_us: 4000,
                first_byte_us: 5000,
            },
            total_us: 6000,
            tls: None,
        }
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.as_bytes().to_vec()));
        self
    }

    /// Adds a piece of the body.
    #[must_use]
    pub fn piece(mut self, piece: impl Into<Vec<u8>>) -> Self {
        self.pieces.push_back(piece.into());
        self
    }

    /// Ends the body with a failure, behind its pieces.
    #[must_use]
    pub fn then_fails(mut self, failure: Failure) -> Self {
        self.failure = Some(failure);
        self
    }

    fn into_answer(self) -> Answer {
        Answer {
            status: self.status,
            reason: self.reason.into_bytes(),
            version: self.version,
            headers: self.headers,
            phases: self.phases,
            connection: Connection {
                resolver: Some("system".to_owned()),
                addresses: vec!["192.0.2.1".to_owned()],
                remote: Some("192.0.2.1:80".to_owned()),
                local: Some("198.51.100.7:40000".to_owned()),
                tls: self.tls,
            },
            body: Box::new(CannedBody {
                pieces: self.pieces,
                failure: self.failure,
                total_us: self.total_us,
            }),
        }
    }
}

#[derive(Debug)]
struct CannedBody {
    pieces: VecDeque<Vec<u8>>,
    failure: Option<Failure>,
    total_us: u64,
}

impl Body for CannedBody {
    fn read(&mut self, bytes_max: u32) -> Result<Vec<u8>, Failure> {
        let bytes_max = usize::try_from(bytes_max).unwrap_or(usize::MAX);
        let Some(mut piece) = self.pieces.pop_front() else {
            return self.failure.take().map_or_else(|| Ok(Vec::new()), Err);
        };
        if piece.len() > bytes_max {
            self.pieces.push_front(piece.split_off(bytes_max));
        }
        Ok(piece)
    }

    fn total_us(&self) -> u64 {
        self.total_us
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_files_are_refused_as_by_the_host() {
        let mut host = FakeHost::default();
        let long = "n".repeat(FILE_NAME_MAX_BYTES + 1);
        for name in ["", "a\nb", &long] {
            let refused = host.write_output(name, b"x");
            assert!(matches!(refused, Err(HostError::Failed(_))), "{name:?}: {refused:?}");
        }
        for number in 0..OUTPUT_FILES_MAX {
            host.write_output(&number.to_string(), b"x").unwrap();
        }
        assert!(matches!(host.write_output("more", b"x"), Err(HostError::Limit(_))));
        assert_eq!(host.write_output("0", b"y"), Ok(()), "one that is there goes on");
    }
}
