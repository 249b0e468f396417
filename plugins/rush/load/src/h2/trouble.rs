//! What went wrong on a connection of HTTP/2, in the words of the contract.

use std::io;

use blitz_contract::load::ErrorKind;
use h2::Reason;

use crate::failure::Failure;

use super::wire::Wire;

/// The failure, and whether the server says that it did nothing with the request. Source: RFC 9113, sections 6.8 and 8.7.
pub(super) fn failure(error: &h2::Error, wire: &Wire) -> (Failure, bool) {
    let is_refused =
        error.is_reset() && error.is_remote() && error.reason() == Some(Reason::REFUSED_STREAM);
    // Only streams above the last one that it names are ended by it.
    let is_above = error.is_go_away() && error.is_remote();
    if let Some(failed) = wire.failed() {
        return (failed.clone(), false);
    }
    if wire.speaks_http1() {
        return (Failure::new(ErrorKind::Parse, "HTTP/2: the server answers in HTTP/1"), false);
    }
    if error.is_io() {
        return (error.get_io().map_or_else(|| closed(wire), |io| of_io(io, wire)), false);
    }
    let kind = match error.reason() {
        Some(Reason::ENHANCE_YOUR_CALM) if error.is_library() => ErrorKind::Limit,
        _ if error.is_library() => ErrorKind::Parse,
        Some(_) if error.is_remote() => ErrorKind::Closed,
        _ => ErrorKind::Parse,
    };
    (Failure::new(kind, format!("HTTP/2: {error}")), is_refused || is_above)
}

/// The connection ended without a word.
pub(super) fn closed(wire: &Wire) -> Failure {
    if let Some(failed) = wire.failed() {
        return failed.clone();
    }
    Failure::new(
        ErrorKind::Closed,
        "HTTP/2: the server closed the connection before the answer was whole",
    )
}

fn of_io(error: &io::Error, wire: &Wire) -> Failure {
    match error.kind() {
        _ if wire.has_ended() => closed(wire),
        // As the crate names the end of a connection.
        io::ErrorKind::BrokenPipe | io::ErrorKind::UnexpectedEof => closed(wire),
        io::ErrorKind::InvalidData => Failure::new(ErrorKind::Parse, format!("HTTP/2: {error}")),
        _ => Failure::new(ErrorKind::Closed, format!("HTTP/2: {error}")),
    }
}
