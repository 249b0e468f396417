//! From a document that a client sent to an edit of the store, and from the outcome to an answer.

use super::{admit::admit, call::Call, refusal::Refusal, trouble};
use crate::{
    document::draft::Draft,
    revision::Revision,
    store::{
        database::Database,
        edit::{Edit, Kind, Outcome},
    },
};
use http::{StatusCode, header};
use std::sync::Arc;

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

/// A revision that an edit shall follow. One that cannot be here is no leaf.
pub(crate) fn followed(text: &str) -> Result<Revision, Refusal> {
    if Revision::is_beyond(text) { Err(Refusal::conflict()) } else { Ok(text.parse()?) }
}

/// The revision that a request names in its URL or in `If-Match`.
pub(crate) fn named_revision(call: &Call) -> Result<Option<Revision>, Refusal> {
    let from_query = call.query.get("rev").map(followed).transpose()?;
    let from_header =
        call.header(header::IF_MATCH).map(|tag| followed(tag.trim_matches('"'))).transpose()?;
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

/// How many copies shall agree; None leaves it to the database.
pub(crate) fn quorum(call: &Call) -> Option<u32> {
    call.query.get("w").and_then(|text| text.parse().ok())
}

/// Whether fewer copies agreed than were asked for. CouchDB then stores and answers 202.
pub(crate) fn is_below_quorum(call: &Call) -> bool {
    let copies = call.server.trouble.copies();
    quorum(call).is_some_and(|asked| asked > copies) || call.is_disagreed()
}

/// Applies one edit.
pub(crate) async fn apply(
    call: &Call,
    database: &Arc<Database>,
    one: Edit,
) -> Result<Outcome, Refusal> {
    let mut admitted = admit(call, database, vec![one]).await?;
    let Some(one) = admitted.pop().transpose()? else { return Ok(Outcome::Missing) };
    trouble::apply(call, database, one).await
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
