//! What went wrong, as WASI's codes say it.

use std::io;

use rustix::io::Errno;
use wasmtime_wasi::p2::bindings::sockets::network::ErrorCode;

use crate::egress::EgressError;

pub(super) fn code(error: &EgressError) -> ErrorCode {
    match error {
        EgressError::Denied(_) => ErrorCode::AccessDenied,
        EgressError::Resolve(_) => ErrorCode::NameUnresolvable,
        EgressError::Malformed(_) => ErrorCode::InvalidArgument,
        EgressError::Connect(text) => code_of_text(text),
    }
}

/// Errors of the system that say how a connection failed.
const ERRNOS: &[Errno] = &[
    Errno::CONNREFUSED,
    Errno::CONNRESET,
    Errno::CONNABORTED,
    Errno::TIMEDOUT,
    Errno::HOSTUNREACH,
    Errno::NETUNREACH,
    Errno::NETDOWN,
    Errno::HOSTDOWN,
    Errno::ACCESS,
    Errno::PERM,
    Errno::ADDRNOTAVAIL,
    Errno::INVAL,
    Errno::MFILE,
    Errno::NFILE,
    Errno::NOBUFS,
    Errno::NOMEM,
];

/// The code for a connection that failed with the system's words for an error, alone or at the end of a text.
///
/// The way out keeps words and not numbers, for it may have tried several addresses.
pub(crate) fn code_of_text(text: &str) -> ErrorCode {
    let found = ERRNOS.iter().find(|errno| {
        let error = io::Error::from(**errno).to_string();
        error.split(" (os error").next().is_some_and(|words| text.ends_with(words))
    });
    found.map_or(ErrorCode::Unknown, |errno| ErrorCode::from(*errno))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_the_system_are_understood() {
        for errno in ERRNOS {
            let text = io::Error::from(*errno).to_string();
            let text = text.split(" (os error").next().unwrap();
            let wanted = ErrorCode::from(*errno);
            assert_eq!(code_of_text(text), wanted, "{text}");
            assert_eq!(code_of_text(&format!("after 3 ms: ::1: {text}")), wanted, "{text}");
        }
        assert_eq!(code_of_text("the sky fell"), ErrorCode::Unknown);
    }
}
