//! From a document that a client sent to an edit of the store, and from the outcome to an answer.

use super::{call::Call, refusal::Refusal};
use crate::{
    document::draft::Draft,
    revision::Revision,
    store::{
        database::Database,
        edit::{self, Edit, Kind, Outcome},
        transaction::Transaction,
    },
};
use http::{StatusCode, header};
use std::sync::Arc;

/// The default of `w` and the most that can agree: there is one copy.
const COPIES: u32 = 1;

/// What is wrong with a document that was made elsewhere and does not say by which revision.
const NEEDS_REVISION: &str =
    "When `new_edits: false`, the document needs `_rev` or `_revisions` specified";

/// Where a document came from decides what its revisions mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// A PUT or POST of one document.
    Single,
    /// A row of `_bulk_docs`.
    Bulk,
    /// `new_edits` is false.
    Replica,
}

/// The edit that a draft asks for.
pub(crate) fn edit(
    draft: Draft,
    id: String,
    origin: Origin,
    limit: usize,
) -> Result<Edit, Refusal> {
    if draft.body.len() > limit {
        let reason = if origin == Origin::Single { String::new() } else { id };
        return Err(Refusal::document_too_large(reason));
    }
    check_design(&id, &draft.body)?;
    let Draft { revision, history, deleted, body, attachments, .. } = draft;
    let text = String::from(body);
    let kind = if origin == Origin::Replica {
        let path = match (revision, history) {
            (Some(revision), history) if history.is_empty() => vec![revision],
            (None, history) if history.is_empty() => {
                return Err(Refusal::bad_request(NEEDS_REVISION));
            }
            (Some(revision), history) if history.first() != Some(&revision) => {
                return Err(Refusal::bad_request(
                    "`_rev` and `_revisions` name different revisions",
                ));
            }
            (_, history) => history,
        };
        Kind::Merge { path, deleted, text, attachments }
    } else {
        let told = revision.is_none() && !history.is_empty();
        let parent = match revision {
            Some(revision) => vec![revision],
            None => history,
        };
        let unknown_parent = told || origin == Origin::Bulk;
        Kind::Update { parent, unknown_parent, deleted, text, attachments }
    };
    Ok(Edit { id, kind })
}

/// A validate function that is not run would let through what its author forbade.
fn check_design(id: &str, body: &str) -> Result<(), Refusal> {
    let validates = id.starts_with("_design/")
        && body.contains("validate_doc_update")
        && crate::document::object::members(body)?
            .is_some_and(|members| members.get("validate_doc_update").is_some());
    if validates { Err(Refusal::not_implemented("validate_doc_update")) } else { Ok(()) }
}

/// The revision that a request names in its URL or in `If-Match`.
pub(crate) fn named_revision(call: &Call) -> Result<Option<Revision>, Refusal> {
    let from_query: Option<Revision> = call.query.get("rev").map(str::parse).transpose()?;
    let from_header: Option<Revision> =
        call.header(header::IF_MATCH).map(|tag| tag.trim_matches('"').parse()).transpose()?;
    match (from_query, from_header) {
        (Some(query), Some(header)) if query != header => {
            Err(Refusal::bad_request("Document rev and etag have different values"))
        }
        (query, header) => Ok(query.or(header)),
    }
}

/// The same, beside the `_rev` of a body.
pub(crate) fn merge_revision(call: &Call, draft: &mut Draft) -> Result<(), Refusal> {
    let Some(named) = named_revision(call)? else { return Ok(()) };
    match &draft.revision {
        Some(own) if *own != named => Err(Refusal::bad_request(
            "Document rev from request body and query string have different values",
        )),
        _ => {
            draft.revision = Some(named);
            Ok(())
        }
    }
}

/// Whether more copies shall agree than there are. CouchDB then stores and answers 202.
pub(crate) fn is_below_quorum(call: &Call) -> bool {
    let asked = call.query.get("w").and_then(|text| text.parse::<u32>().ok());
    asked.is_some_and(|copies| copies > COPIES)
}

/// Applies one edit.
pub(crate) async fn apply(
    call: &Call,
    database: &Arc<Database>,
    one: Edit,
) -> Result<Outcome, Refusal> {
    let database = Arc::clone(database);
    let write = move |transaction: &mut Transaction<'_>| edit::apply(transaction, &database, one);
    Ok(call.store().write(write).await?)
}

/// The revision that was stored, or the answer that says why none was.
pub(crate) fn stored(outcome: Outcome, id: &str) -> Result<Revision, Refusal> {
    match outcome {
        Outcome::Stored(revision) => Ok(revision),
        Outcome::Conflict => Err(Refusal::conflict()),
        Outcome::Missing => Err(Refusal::not_found("missing")),
        Outcome::Deleted => Err(Refusal::not_found("deleted")),
        Outcome::MissingRevision => {
            Err(Refusal::new(StatusCode::CONFLICT, "not_found", "missing_rev"))
        }
        Outcome::NoAttachment => Err(Refusal::not_found("Document is missing attachment")),
        Outcome::BadStub(name) => Err(Refusal::new(
            StatusCode::PRECONDITION_FAILED,
            "missing_stub",
            format!("Invalid attachment stub in {id} for {name}"),
        )),
    }
}
