//! Why a request is not done: a status, CouchDB's word for it, and a sentence.

use crate::{
    document::{
        attachment::BadAttachment,
        check::{BadJson, NotJson},
        draft::{BadDraft, BadId},
    },
    error::StoreError,
    revision::BadRevision,
    selector::BadSelector,
    sequence::Malformed,
    store::database::BadName,
};
use http::{Method, StatusCode};
use std::borrow::Cow;

/// The answer to a request that is not done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) status: StatusCode,
    pub(crate) error: &'static str,
    pub(crate) reason: Cow<'static, str>,
    /// The `Allow` header of a 405.
    pub(crate) allow: Option<String>,
}

impl Refusal {
    pub(crate) fn new(
        status: StatusCode,
        error: &'static str,
        reason: impl Into<Cow<'static, str>>,
    ) -> Refusal {
        Refusal { status, error, reason: reason.into(), allow: None }
    }

    pub(crate) fn bad_request(reason: impl Into<Cow<'static, str>>) -> Refusal {
        Refusal::new(StatusCode::BAD_REQUEST, "bad_request", reason)
    }

    pub(crate) fn query(reason: impl Into<Cow<'static, str>>) -> Refusal {
        Refusal::new(StatusCode::BAD_REQUEST, "query_parse_error", reason)
    }

    pub(crate) fn not_found(reason: &'static str) -> Refusal {
        Refusal::new(StatusCode::NOT_FOUND, "not_found", reason)
    }

    pub(crate) fn no_database() -> Refusal {
        Refusal::not_found("Database does not exist.")
    }

    pub(crate) fn conflict() -> Refusal {
        Refusal::new(StatusCode::CONFLICT, "conflict", "Document update conflict.")
    }

    pub(crate) fn unauthorized(reason: &'static str) -> Refusal {
        Refusal::new(StatusCode::UNAUTHORIZED, "unauthorized", reason)
    }

    pub(crate) fn forbidden(reason: impl Into<Cow<'static, str>>) -> Refusal {
        Refusal::new(StatusCode::FORBIDDEN, "forbidden", reason)
    }

    /// Something of CouchDB that this server does not have.
    pub(crate) fn not_implemented(what: &str) -> Refusal {
        Refusal::new(
            StatusCode::NOT_IMPLEMENTED,
            "not_implemented",
            format!("the embedded store does not implement {what}; use Apache CouchDB for it"),
        )
    }

    /// The method is none of these, in CouchDB's order.
    pub(crate) fn method(allowed: &[&str]) -> Refusal {
        let allowed = allowed.join(",");
        Refusal {
            status: StatusCode::METHOD_NOT_ALLOWED,
            error: "method_not_allowed",
            reason: format!("Only {allowed} allowed").into(),
            allow: Some(allowed),
        }
    }

    /// A document that is over the limit, with its id where a request has several.
    pub(crate) fn document_too_large(id: String) -> Refusal {
        Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "document_too_large", id)
    }
}

/// Whether the method is one of these.
pub(crate) fn allow(method: &Method, allowed: &[&str]) -> Result<(), Refusal> {
    // CouchDB takes a HEAD for a GET wherever there is one; its list does not always say so.
    let is_allowed = |method: &Method| allowed.contains(&method.as_str());
    let is_head = *method == Method::HEAD && is_allowed(&Method::GET);
    if is_head || is_allowed(method) { Ok(()) } else { Err(Refusal::method(allowed)) }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Refusal {
        match error {
            StoreError::DatabaseGone => Refusal::no_database(),
            StoreError::Closed => Refusal::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "service_unavailable",
                "the store is closing",
            ),
            StoreError::Full => {
                let full = StatusCode::INSUFFICIENT_STORAGE;
                Refusal::new(full, "insufficient_storage", error.to_string())
            }
            StoreError::Failed(_) | StoreError::Damaged(_) => {
                tracing::error!(%error, "a request failed in the store");
                let reason = error.to_string();
                Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "storage_error", reason)
            }
        }
    }
}

impl From<NotJson> for Refusal {
    fn from(error: NotJson) -> Refusal {
        Refusal::bad_request(error.to_string())
    }
}

impl From<BadJson> for Refusal {
    fn from(error: BadJson) -> Refusal {
        Refusal::bad_request(error.to_string())
    }
}

impl From<BadRevision> for Refusal {
    fn from(error: BadRevision) -> Refusal {
        Refusal::bad_request(error.to_string())
    }
}

impl From<BadId> for Refusal {
    fn from(error: BadId) -> Refusal {
        Refusal::new(StatusCode::BAD_REQUEST, "illegal_docid", error.to_string())
    }
}

impl From<BadName> for Refusal {
    fn from(error: BadName) -> Refusal {
        Refusal::new(StatusCode::BAD_REQUEST, "illegal_database_name", error.to_string())
    }
}

impl From<BadDraft> for Refusal {
    fn from(error: BadDraft) -> Refusal {
        match error {
            BadDraft::Id(bad) => bad.into(),
            BadDraft::Member(_) => {
                Refusal::new(StatusCode::BAD_REQUEST, "doc_validation", error.to_string())
            }
            BadDraft::Attachment(BadAttachment::TooLarge { .. }) => {
                Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", error.to_string())
            }
            BadDraft::Attachment(BadAttachment::Encoding { .. }) => {
                Refusal::new(StatusCode::NOT_IMPLEMENTED, "not_implemented", error.to_string())
            }
            BadDraft::Json(_)
            | BadDraft::NotObject
            | BadDraft::Revision(_)
            | BadDraft::Attachment(_) => Refusal::bad_request(error.to_string()),
        }
    }
}

impl From<BadSelector> for Refusal {
    fn from(error: BadSelector) -> Refusal {
        Refusal::bad_request(error.to_string())
    }
}

impl From<Malformed> for Refusal {
    fn from(error: Malformed) -> Refusal {
        Refusal::bad_request(error.to_string())
    }
}
