//! What a caller is told when a request cannot be served: a code for programs, a sentence for people, and
//! the word that they may have meant.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

/// An answer that is no success.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    status: StatusCode,
    body: Body,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Body {
    error: &'static str,
    reason: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    suggestion: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    known: Option<Vec<String>>,
}

impl Failure {
    fn new(status: StatusCode, error: &'static str, reason: impl Into<String>) -> Self {
        Self { status, body: Body { error, reason: reason.into(), suggestion: None, known: None } }
    }

    pub(crate) fn bad_request(reason: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad_request", reason)
    }

    pub(crate) fn unauthorized(reason: &str) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized", reason)
    }

    pub(crate) fn forbidden(reason: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", reason)
    }

    pub(crate) fn usage(reason: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "usage", reason)
    }

    pub(crate) fn input_too_large(reason: impl Into<String>) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "input_too_large", reason)
    }

    /// The request is right in itself, and not as things stand.
    pub(crate) fn conflict(error: &'static str, reason: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, error, reason)
    }

    /// It may be tried again.
    pub(crate) fn busy() -> Self {
        let reason = "others do the same at this moment; try again";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "busy", reason)
    }

    pub(crate) fn unknown_job(id: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, "unknown_job", format!("no job '{id}'"))
    }

    pub(crate) fn unknown_path() -> Self {
        Self::new(StatusCode::NOT_FOUND, "unknown_path", "there is nothing at this path")
    }

    pub(crate) fn wrong_method() -> Self {
        let reason = "this path does not take this method";
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "wrong_method", reason)
    }

    /// `what` is `plugin` or `region`; the nearest known word is suggested.
    pub(crate) fn unknown(what: Unknown, word: &str, mut known: Vec<String>) -> Self {
        known.sort();
        let (error, name) = match what {
            Unknown::Plugin => ("unknown_plugin", "plugin"),
            Unknown::Region => ("unknown_region", "region"),
        };
        let mut failure = Self::new(StatusCode::NOT_FOUND, error, format!("no {name} '{word}'"));
        failure.body.suggestion = nearest(word, &known);
        failure.body.known = Some(known);
        failure
    }

    /// The store could not be asked. The details are for the log; the caller learns that it may try again.
    pub(crate) fn store(error: &blitz_couchdb::Error) -> Self {
        tracing::warn!(%error, "the store did not do what was asked");
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "store_unreachable",
            "the store does not answer as it should; try again, or see the gateway's log",
        )
    }
}

/// A kind of thing that users name.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Unknown {
    Plugin,
    Region,
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        (self.status, Json(self.body)).into_response()
    }
}

/// The known word that is most like `word`, if any is like it.
fn nearest(word: &str, known: &[String]) -> Option<String> {
    const LIKENESS_MIN: f64 = 0.75;
    known
        .iter()
        .map(|candidate| (strsim::jaro_winkler(word, candidate), candidate))
        .filter(|(likeness, _)| *likeness >= LIKENESS_MIN)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, candidate)| candidate.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typing_error_gets_a_suggestion() {
        let known = ["california", "japan", "virginia"].map(str::to_owned);
        assert_eq!(nearest("jpan", &known).as_deref(), Some("japan"));
        assert_eq!(nearest("virgina", &known).as_deref(), Some("virginia"));
        assert_eq!(nearest("mars", &known), None);
    }
}
