//! Where an exchange ended too early. The classes are those of the WIT; the texts use curl's words where
//! curl has them.

use std::error::Error as _;
use std::io;

use url::Host;

use super::budget::OverBudget;
use super::clock::Clock;
use super::head::Beginning;
use super::limits::{HEAD_MAX_BYTES, HEADERS_MAX};
use super::tap::Log;
use crate::egress::EgressError;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Failure {
    #[error("{0}")]
    Denied(String),
    #[error("{0}")]
    Limit(String),
    #[error("{0}")]
    Unsupported(String),
    #[error("{0}")]
    Url(String),
    #[error("{0}")]
    Resolve(String),
    #[error("{0}")]
    Connect(String),
    #[error("{0}")]
    Timeout(String),
    #[error("{0}")]
    Tls(String),
    #[error("{0}")]
    Certificate(String),
    #[error("{0}")]
    EmptyReply(String),
    #[error("{0}")]
    Send(String),
    #[error("{0}")]
    Receive(String),
    #[error("{0}")]
    Partial(String),
    #[error("{0}")]
    Malformed(String),
    #[error("{0}")]
    Protocol(String),
}

impl Failure {
    /// There is no connection to this host and port.
    pub(super) fn of_egress(
        error: EgressError,
        host: &Host<String>,
        port: u16,
        clock: &Clock,
    ) -> Self {
        match error {
            EgressError::Denied(denied) => Self::Denied(denied.to_string()),
            EgressError::Resolve(text) => Self::Resolve(text),
            EgressError::Malformed(text) => Self::Url(text),
            EgressError::Connect(reasons) => {
                let ms = clock.elapsed().as_millis();
                let host = bare(host);
                Self::Connect(format!(
                    "Failed to connect to {host} port {port} after {ms} ms: {reasons}"
                ))
            }
        }
    }

    /// An error before the head was complete.
    pub(super) fn of_head(error: &hyper::Error, log: &Log) -> Self {
        if let Some(over) = log.over_budget() {
            return Self::Limit(over.to_string());
        }
        let cause = root_text(error);
        if is_head_too_large(error, &cause, log) {
            return Self::of_large_head();
        }
        let beginning = log.beginning();
        if error.is_parse() {
            return match beginning {
                Some(Beginning::StatusLine) => {
                    Self::Malformed(format!("Weird server reply: {cause}"))
                }
                _ => Self::Protocol(format!("the answer is not HTTP: {cause}")),
            };
        }
        let kind = io_kind(error);
        let is_end = is_end(error);
        // A peer that does not want HTTP/2 closes at once; which of our writes notices is chance.
        let is_gone = matches!(kind, Some(io::ErrorKind::BrokenPipe | io::ErrorKind::NotConnected));
        match (kind, beginning) {
            (_, None) if log.heads_bytes() == 0 && (is_end || is_gone) => Self::empty_reply(),
            (Some(io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted), _) => {
                Self::Receive("Recv failure: Connection reset by peer".to_owned())
            }
            (Some(io::ErrorKind::BrokenPipe | io::ErrorKind::WriteZero), _) => {
                Self::Send("Send failure: Broken pipe".to_owned())
            }
            (Some(io::ErrorKind::InvalidData), _) => Self::Tls(format!("TLS failed: {cause}")),
            (_, Some(Beginning::Nothing | Beginning::Unfinished)) if is_end => Self::empty_reply(),
            (_, Some(Beginning::Foreign)) if is_end => {
                Self::Protocol("the answer is not HTTP: it has no status line".to_owned())
            }
            _ if is_end => Self::Receive(
                "Recv failure: the connection was closed inside the answer's head".to_owned(),
            ),
            _ => Self::Receive(format!("Recv failure: {cause}")),
        }
    }

    pub(super) fn of_large_head() -> Self {
        Self::Limit(format!(
            "the answer's head has more than {HEADERS_MAX} fields or {} KiB",
            HEAD_MAX_BYTES / 1024
        ))
    }

    fn empty_reply() -> Self {
        Self::EmptyReply("Empty reply from server".to_owned())
    }

    /// An error inside the body.
    pub(super) fn of_body(
        error: &hyper::Error,
        over: Option<OverBudget>,
        received: u64,
        expected: Option<u64>,
    ) -> Self {
        if let Some(over) = over {
            return Self::Limit(over.to_string());
        }
        if root_text(error).contains("too_many_data_frames") {
            return Self::Limit(
                "the server sent its body in more small HTTP/2 frames than are kept for a slow reader"
                    .to_owned(),
            );
        }
        let ended = io_kind(error) == Some(io::ErrorKind::UnexpectedEof) || is_end(error);
        match (ended, expected) {
            (true, Some(expected)) => Self::Partial(format!(
                "transfer closed with {} bytes remaining to read",
                expected.saturating_sub(received)
            )),
            (true, None) => {
                Self::Partial("transfer closed with outstanding read data remaining".to_owned())
            }
            (false, _) => Self::Receive(format!("Recv failure: {}", root_text(error))),
        }
    }
}

/// HTTP/1 says it in hyper's words. The library for HTTP/2 has names for a head far beyond its limit; one that is
/// just beyond it, it calls a breach of the protocol, which a head of so many bytes seldom is otherwise.
fn is_head_too_large(error: &hyper::Error, cause: &str, log: &Log) -> bool {
    let names = ["header_list_way_too_large", "too_many_continuations"];
    (error.is_parse() && error.to_string().contains("too large"))
        || names.iter().any(|name| cause.contains(name))
        || (cause.starts_with("stream error detected") && log.heads_bytes() > HEAD_MAX_BYTES / 4)
}

/// A host without the brackets of a URL.
fn bare(host: &Host<String>) -> String {
    match host {
        Host::Ipv6(v6) => v6.to_string(),
        other => other.to_string(),
    }
}

/// The connection ended without an error of its own.
fn is_end(error: &hyper::Error) -> bool {
    error.is_incomplete_message()
        || error.is_canceled()
        || error.is_closed()
        || io_kind(error) == Some(io::ErrorKind::UnexpectedEof)
}

fn io_kind(error: &hyper::Error) -> Option<io::ErrorKind> {
    let mut cause = error.source();
    while let Some(error) = cause {
        if let Some(io) = error.downcast_ref::<io::Error>() {
            return Some(io.kind());
        }
        cause = error.source();
    }
    None
}

fn root_text(error: &hyper::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = plain(&error.to_string());
        cause = error.source();
    }
    text
}

/// An error of the system without its number: `Connection refused`.
pub(super) fn plain(text: &str) -> String {
    text.split(" (os error").next().unwrap_or(text).to_owned()
}
