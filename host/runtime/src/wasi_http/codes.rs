//! What went wrong in an exchange, as the codes of `wasi:http` say it.

use wasmtime_wasi::p2::bindings::sockets::network::ErrorCode;
use wasmtime_wasi_http::Error;

use crate::http::Failure;
use crate::output::Outlet;
use crate::wasi_sockets::code_of_text;

/// Before the answer. The reasons of refusals, which have no place in a code, go to the outlet.
pub(super) fn error(failure: &Failure, outlet: &Outlet) -> Error {
    tracing::debug!(%failure, "a request of wasi:http failed");
    match failure {
        Failure::Denied(text) => {
            outlet.note_refusal(text);
            Error::HttpRequestDenied
        }
        Failure::Limit(text) => {
            outlet.note_refusal(text);
            Error::InternalError(Some(text.clone()))
        }
        Failure::Unsupported(text) => Error::InternalError(Some(text.clone())),
        Failure::Url(_) => Error::HttpRequestUriInvalid,
        Failure::Resolve(text) => Error::DnsError { rcode: Some(text.clone()), info_code: None },
        Failure::Connect(text) => match code_of_text(text) {
            ErrorCode::ConnectionRefused => Error::ConnectionRefused,
            ErrorCode::RemoteUnreachable => Error::DestinationIpUnroutable,
            ErrorCode::Timeout => Error::ConnectionTimeout,
            _ => Error::DestinationUnavailable,
        },
        // There is no time limit but the one to connect.
        Failure::Timeout(text) if text.starts_with("Resolving") => Error::DnsTimeout,
        Failure::Timeout(_) => Error::ConnectionTimeout,
        Failure::Tls(_) => Error::TlsProtocolError,
        Failure::Certificate(_) => Error::TlsCertificateError,
        Failure::EmptyReply(_) | Failure::Send(_) | Failure::Receive(_) => {
            Error::ConnectionTerminated
        }
        Failure::Partial(_) => Error::HttpResponseIncomplete,
        Failure::Malformed(_) | Failure::Protocol(_) => Error::HttpProtocolError,
    }
}

/// Inside the answer's body.
pub(super) fn error_of_body(failure: &Failure) -> Error {
    tracing::debug!(%failure, "a body of wasi:http failed");
    match failure {
        Failure::Partial(_) => Error::HttpResponseIncomplete,
        Failure::Limit(text) => Error::InternalError(Some(text.clone())),
        Failure::Tls(_) => Error::TlsProtocolError,
        Failure::Malformed(_) | Failure::Protocol(_) => Error::HttpProtocolError,
        Failure::Timeout(_) => Error::ConnectionReadTimeout,
        _ => Error::ConnectionTerminated,
    }
}
