//! Where an exchange over HTTP/3 ended too early, in the classes and words of the others.

use h3::error::{ConnectionError, LocalError, StreamError};
use h3::quic::ConnectionErrorIncoming;

use super::metered::Meter;
use crate::http::failure::Failure;
use crate::http::limits::{HEAD_MAX_BYTES, HEADERS_MAX};

/// Before the request was sent, or while it was.
pub(super) fn of_sending(error: &StreamError) -> Failure {
    match error {
        StreamError::HeaderTooBig { max_size, .. } => {
            Failure::Send(format!("the server takes heads of at most {max_size} bytes"))
        }
        StreamError::ConnectionError { 0: error, .. } => of_connection(error),
        error => Failure::Send(format!("Send failure: {}", words(error))),
    }
}

pub(super) fn of_head(error: &StreamError, meter: &Meter) -> Failure {
    if meter.is_exceeded() || matches!(error, StreamError::HeaderTooBig { .. }) {
        return Failure::Limit(format!(
            "the answer's head has more than {HEADERS_MAX} fields or {} KiB",
            HEAD_MAX_BYTES / 1024
        ));
    }
    match error {
        StreamError::ConnectionError { 0: error, .. } => of_connection(error),
        StreamError::StreamError { .. } => {
            Failure::Protocol(format!("the answer is not HTTP/3: {}", words(error)))
        }
        error => Failure::Receive(format!("Recv failure: {}", words(error))),
    }
}

/// Inside the body.
pub(super) fn of_body(error: &StreamError, meter: &Meter) -> Failure {
    if meter.is_exceeded() {
        let text = "the answer's body has a frame that is too large to be passed over";
        return Failure::Limit(text.to_owned());
    }
    match error {
        StreamError::ConnectionError { 0: error, .. } => of_connection(error),
        error => Failure::Receive(format!("Recv failure: {}", words(error))),
    }
}

// The variants are non-exhaustive, so those of a tuple are matched by their fields' numbers.
pub(super) fn of_connection(error: &ConnectionError) -> Failure {
    match error {
        // What we found wrong with the server's frames.
        ConnectionError::Local { error: LocalError::Application { reason, .. }, .. } => {
            Failure::Protocol(format!("the answer is not HTTP/3: {reason}"))
        }
        ConnectionError::Timeout { .. }
        | ConnectionError::Remote { 0: ConnectionErrorIncoming::Timeout, .. } => {
            Failure::Receive("Recv failure: the server fell silent".to_owned())
        }
        ConnectionError::Remote {
            0: ConnectionErrorIncoming::ApplicationClose { error_code },
            ..
        } => {
            let code = h3::error::Code::from(*error_code);
            Failure::Receive(format!("Recv failure: the server closed the connection ({code})"))
        }
        ConnectionError::Remote { 0: ConnectionErrorIncoming::Undefined(error), .. } => {
            Failure::Receive(format!("Recv failure: {error}"))
        }
        error => Failure::Receive(format!("Recv failure: {error}")),
    }
}

fn words(error: &StreamError) -> String {
    match error {
        StreamError::StreamError { reason, .. } => reason.clone(),
        StreamError::RemoteTerminate { code, .. } => {
            format!("the server reset the stream ({code})")
        }
        StreamError::RemoteClosing { .. } => "the server takes no more requests".to_owned(),
        error => error.to_string(),
    }
}
