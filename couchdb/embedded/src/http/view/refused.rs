//! Why a view gives no rows, in CouchDB's words.

use super::ViewError;
use crate::{
    document::check::NotJson,
    error::StoreError,
    http::refusal::Refusal,
    script::ScriptError,
    view::{design::BadGroup, reduce::BadValue},
};
use http::StatusCode;

impl From<ViewError> for Refusal {
    fn from(error: ViewError) -> Refusal {
        match error {
            ViewError::Store(error) => error.into(),
            ViewError::Script(error) => error.into(),
            ViewError::Value(error) => error.into(),
            ViewError::NotJson(error) => error.into(),
        }
    }
}

impl From<BadValue> for Refusal {
    fn from(error: BadValue) -> Refusal {
        let reason = error.to_string();
        match error {
            // CouchDB's own status: the design document asks for what its rows cannot give.
            BadValue::Stats(_) => {
                Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "invalid_value", reason)
            }
            BadValue::Mixed(_) => {
                Refusal::new(StatusCode::BAD_REQUEST, "builtin_reduce_error", reason)
            }
            BadValue::NotJson => NotJson.into(),
        }
    }
}

impl From<BadGroup> for Refusal {
    fn from(error: BadGroup) -> Refusal {
        let reason = error.to_string();
        match error {
            BadGroup::Language(_) => {
                Refusal::new(StatusCode::BAD_REQUEST, "unknown_query_language", reason)
            }
            BadGroup::Reduction(_) => {
                Refusal::new(StatusCode::BAD_REQUEST, "invalid_design_doc", reason)
            }
            BadGroup::Query => Refusal::not_implemented(&reason),
        }
    }
}

impl From<ScriptError> for Refusal {
    fn from(error: ScriptError) -> Refusal {
        let reason = error.to_string();
        match error {
            ScriptError::Compilation { .. } => {
                Refusal::new(StatusCode::BAD_REQUEST, "compilation_error", reason)
            }
            // CouchDB's words for a function that throws and for an interpreter that is ended.
            ScriptError::Thrown { .. } => {
                Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "unknown_error", reason)
            }
            ScriptError::Limit(_) => {
                Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "os_process_error", reason)
            }
            ScriptError::Closed => StoreError::Closed.into(),
        }
    }
}
