//! Where an exchange ended too early. The classes are those of the WIT; the texts use curl's words where
//! curl has them.

use std::error::Error as _;
use std::io;

use url::Host;

use super::clock::Clock;
use super::limits::{HEAD_MAX_BYTES, HEADERS_MAX};
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

    /// An error before the head was complete; `received` bytes of it had come.
    pub(super) fn of_head(error: &hyper::Error, received: u64) -> Self {
        if error.is_parse() && error.to_string().contains("too large") {
            return Self::Limit(format!(
                "the answer's head has more than {HEADERS_MAX} fields or {} KiB",
                HEAD_MAX_BYTES / 1024
            ));
        }
        if error.is_parse() {
            return Self::Protocol(format!("the answer is not HTTP: {}", root_text(error)));
        }
        match io_kind(error) {
            Some(io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted) => {
                Self::Receive("Recv failure: Connection reset by peer".to_owned())
            }
            Some(io::ErrorKind::BrokenPipe | io::ErrorKind::WriteZero) => {
                Self::Send("Send failure: Broken pipe".to_owned())
            }
            Some(io::ErrorKind::InvalidData) => Self::Tls(root_text(error)),
            Some(io::ErrorKind::UnexpectedEof) | None if received == 0 && is_end(error) => {
                Self::EmptyReply("Empty reply from server".to_owned())
            }
            Some(io::ErrorKind::UnexpectedEof) | None if is_end(error) => Self::Receive(
                "Recv failure: the connection was closed inside the answer's head".to_owned(),
            ),
            _ => Self::Receive(format!("Recv failure: {}", root_text(error))),
        }
    }

    /// An error inside the body.
    pub(super) fn of_body(error: &hyper::Error, received: u64, expected: Option<u64>) -> Self {
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
