//! What can go wrong between a caller and CouchDB, one variant for each thing a caller does differently.

use std::error::Error as StdError;
use std::time::Duration;

/// A request that gave no usable answer.
///
/// A refused revision check, a write below its quorum and a missing document are not errors: see
/// [`Put`](crate::Put) and the methods of [`Database`](crate::Database). Texts read after "failed to".
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A name, an id or an address that cannot be used. Nothing was sent.
    #[error("use {value:?} as {what}: {reason}")]
    Invalid {
        /// What the value was meant to be.
        what: &'static str,
        /// The value, without secrets.
        value: String,
        /// Why not, and what to give instead.
        reason: String,
    },
    /// A body that cannot be written as a JSON object. Nothing was sent.
    #[error("write the body for {request} as a JSON object: {source}")]
    Encode {
        /// Method and address.
        request: String,
        /// What serde said.
        source: serde_json::Error,
    },
    /// 401: the server does not accept the name or the password.
    #[error(
        "be let in at {request}: {reason} (give the name and password of a CouchDB user: \
         http://NAME:PASSWORD@HOST:PORT; a token may have expired)"
    )]
    Unauthorized {
        /// Method and address.
        request: String,
        /// The server's own words.
        reason: String,
    },
    /// 403: the user may not do this, or a validation function of the database refused the document.
    #[error("be allowed {request}: {reason} (see the database's _security and design documents)")]
    Forbidden {
        /// Method and address.
        request: String,
        /// The server's own words.
        reason: String,
    },
    /// The database does not exist.
    #[error("find database {database:?} for {request}: create it first")]
    NotFound {
        /// Its name.
        database: String,
        /// Method and address.
        request: String,
    },
    /// Any other answer that the request cannot use.
    #[error("get an answer that fits {request}: status {code}, {error}: {reason}")]
    Status {
        /// Method and address.
        request: String,
        /// The HTTP status.
        code: u16,
        /// CouchDB's word for it, empty when the answer was not CouchDB's.
        error: String,
        /// The server's own words.
        reason: String,
    },
    /// The connection could not be made, or broke before the whole answer had arrived.
    #[error(
        "reach the server for {request}: {source}{}",
        if *.sent { " (whether it took effect is unknown: read before you write again)" } else { "" }
    )]
    Unreachable {
        /// Method and address.
        request: String,
        /// Whether it may have taken effect: it writes, and may have reached the server.
        sent: bool,
        /// What the transport said.
        source: Box<dyn StdError + Send + Sync>,
    },
    /// No whole answer in time. The request may still take effect.
    #[error(
        "finish {request} within {after:?} (a write may still take effect: read before you write again)"
    )]
    Timeout {
        /// Method and address.
        request: String,
        /// How long was waited.
        after: Duration,
    },
    /// An answer that is not what CouchDB says in this place, or does not fit the type asked for.
    #[error("understand the answer to {request}: {source}")]
    Decode {
        /// Method and address.
        request: String,
        /// What serde said.
        source: serde_json::Error,
    },
    /// An answer, or a line of a feed, larger than this client reads.
    #[error("read the answer to {request}: larger than the limit of {limit_bytes} bytes")]
    TooLarge {
        /// Method and address.
        request: String,
        /// The limit.
        limit_bytes: usize,
    },
}

impl Error {
    /// Whether a write that ended so may have been stored all the same.
    ///
    /// Then only reading tells; the client itself never repeats such a write.
    #[must_use]
    pub fn is_outcome_unknown(&self) -> bool {
        match self {
            Self::Timeout { .. } | Self::Decode { .. } | Self::TooLarge { .. } => true,
            Self::Unreachable { sent, .. } => *sent,
            Self::Status { code, .. } => *code >= 500,
            Self::Invalid { .. }
            | Self::Encode { .. }
            | Self::Unauthorized { .. }
            | Self::Forbidden { .. }
            | Self::NotFound { .. } => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unreachable(sent: bool) -> Error {
        let request = "PUT http://h:1/db/a".to_owned();
        Error::Unreachable { request, sent, source: "connection refused".into() }
    }

    #[test]
    fn only_a_request_that_was_sent_has_an_unknown_outcome() {
        assert!(unreachable(true).is_outcome_unknown());
        assert!(!unreachable(false).is_outcome_unknown());
    }

    #[test]
    fn the_text_names_the_request_and_the_next_step() {
        assert_eq!(
            unreachable(false).to_string(),
            "reach the server for PUT http://h:1/db/a: connection refused"
        );
        assert_eq!(
            unreachable(true).to_string(),
            "reach the server for PUT http://h:1/db/a: connection refused \
             (whether it took effect is unknown: read before you write again)"
        );
    }
}
