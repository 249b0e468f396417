//! What the writer would make of an edit, worked out by a reader: the documents that validate functions
//! compare. Nothing is written here.
//!
//! The writer decides again about revisions when its turn comes. The old document shown here is the body
//! of the revision that the edit names, and a revision never changes: either the edit still follows that
//! revision and the judgement holds, or it does not and the writer answers with a conflict. An edit that
//! shows no documents was not judged: what a reader refuses stays refused, even if the writer, after other
//! edits, would not refuse it any more.

use super::{
    body::Body,
    edit::{Edit, Kind, Outcome, attachable, is_deleted, parent_path},
    row::{self, Row},
};
use crate::{
    document::{
        attachment::{Attachment, Content, Given},
        render::{self, Told},
    },
    error::StoreError,
    revision::Revision,
};
use rusqlite::Connection;
use serde_json::{Value, json};

/// What a reader sees coming of an edit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    /// A new revision, which is to be judged.
    Documents(Preview),
    /// The writer would refuse it now, and nobody judged it: it must not reach the writer, for whom an
    /// edit before it may have changed that.
    Refused(Outcome),
    /// The revision is there already, and the writer has nothing to do.
    Known,
}

/// The two documents as JSON, as CouchDB shows them to `validate_doc_update`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Preview {
    pub(crate) new: Box<str>,
    /// None where nothing is followed: a document that is new, or begun again after its deletion.
    pub(crate) old: Option<Box<str>>,
    /// There is nothing of this document, not even a tombstone.
    pub(crate) is_first: bool,
}

/// The documents of one edit, or why there are none.
pub(super) fn preview(
    connection: &Connection,
    database: i64,
    edit: &Edit,
) -> Result<Seen, StoreError> {
    let row = row::get(connection, database, &edit.id)?;
    seen(connection, row.as_ref(), &edit.id, &edit.kind)
}

fn seen(
    connection: &Connection,
    row: Option<&Row>,
    id: &str,
    kind: &Kind,
) -> Result<Seen, StoreError> {
    match kind {
        Kind::IfWinner { then, .. } => seen(connection, row, id, then),
        Kind::Update { parent, unknown_parent, deleted, text, attachments } => {
            let mut path = match parent_path(row, parent.clone(), *unknown_parent, *deleted) {
                Ok(path) => path,
                Err(outcome) => return Ok(Seen::Refused(outcome)),
            };
            let stubs = match stubs(connection, row, &path, attachments)? {
                Ok(stubs) => stubs,
                Err(outcome) => return Ok(Seen::Refused(outcome)),
            };
            if row.is_some_and(is_deleted) {
                // It begins anew for those who look at it.
                path.clear();
            }
            let new = document(id, &path, text, *deleted, &stubs);
            shown(connection, row, id, new, path.first())
        }
        Kind::Merge { path, deleted, text, attachments } => {
            let known = |revision: &&Revision| row.is_some_and(|row| row.tree.has(revision));
            let before = path.get(1..).unwrap_or_default();
            match path.first() {
                None => return Ok(Seen::Refused(Outcome::Conflict)),
                Some(newest) if known(&newest) => return Ok(Seen::Known),
                Some(_) => {}
            }
            let stubs = match stubs(connection, row, before, attachments)? {
                Ok(stubs) => stubs,
                Err(outcome) => return Ok(Seen::Refused(outcome)),
            };
            let new = document(id, path, text, *deleted, &stubs);
            shown(connection, row, id, new, before.iter().find(known))
        }
        Kind::Delete { revision } => {
            let Some(found) = row else { return Ok(Seen::Refused(Outcome::Missing)) };
            if is_deleted(found) {
                return Ok(Seen::Refused(Outcome::Deleted));
            }
            let Some(revision) = revision.as_ref().filter(|leaf| found.tree.is_leaf(leaf)) else {
                return Ok(Seen::Refused(Outcome::Conflict));
            };
            let new = document(id, std::slice::from_ref(revision), "{}", true, &[]);
            shown(connection, row, id, new, Some(revision))
        }
        Kind::PutAttachment { revision, attachment } => {
            let (path, body) = match attachable(connection, row, revision.clone())? {
                Ok(found) => found,
                Err(outcome) => return Ok(Seen::Refused(outcome)),
            };
            let mut beside = stubs(connection, row, &path, std::slice::from_ref(attachment))?
                .unwrap_or_default();
            beside.extend(kept(&body, &attachment.name));
            with_attachments(connection, row, id, path, &body, &beside)
        }
        Kind::DeleteAttachment { revision, name } => {
            if row.is_none() {
                return Ok(Seen::Refused(Outcome::Missing));
            }
            let (path, body) = match attachable(connection, row, revision.clone())? {
                Ok(found) => found,
                Err(outcome) => return Ok(Seen::Refused(outcome)),
            };
            if body.attachments.iter().all(|attachment| attachment.name != *name) {
                return Ok(Seen::Refused(Outcome::NoAttachment));
            }
            let beside: Vec<_> = kept(&body, name).collect();
            with_attachments(connection, row, id, path, &body, &beside)
        }
    }
}

fn with_attachments(
    connection: &Connection,
    row: Option<&Row>,
    id: &str,
    mut path: Vec<Revision>,
    body: &Body,
    beside: &[(&str, Value)],
) -> Result<Seen, StoreError> {
    if row.is_some_and(is_deleted) {
        path.clear();
    }
    let new = document(id, &path, &body.text, false, beside);
    shown(connection, row, id, new, path.first())
}

fn shown(
    connection: &Connection,
    row: Option<&Row>,
    id: &str,
    new: Box<str>,
    before: Option<&Revision>,
) -> Result<Seen, StoreError> {
    let old = old(connection, row, id, before)?;
    Ok(Seen::Documents(Preview { new, old, is_first: row.is_none() }))
}

/// The attachments that stay beside the one of this name.
fn kept<'a>(body: &'a Body, name: &'a str) -> impl Iterator<Item = (&'a str, Value)> {
    let others = body.attachments.iter().filter(move |attachment| attachment.name != name);
    others.map(|attachment| (&*attachment.name, stub(attachment)))
}

fn stub(attachment: &Attachment) -> Value {
    json!(render::attachment(attachment, None, Told::default()))
}

/// Attachments by their names, without their bytes.
type Stubs<'a> = Vec<(&'a str, Value)>;

/// Given attachments as stubs, or what the writer says to one that leads nowhere.
fn stubs<'a>(
    connection: &Connection,
    row: Option<&Row>,
    before: &[Revision],
    given: &'a [Given],
) -> Result<Result<Stubs<'a>, Outcome>, StoreError> {
    let mut shown = Vec::with_capacity(given.len());
    for given in given {
        let stub = match &given.content {
            // Its revision is not yet known; CouchDB says 0 too.
            Content::Data { content_type, packed } => {
                json!({"content_type": content_type, "revpos": 0, "length": packed.length, "stub": true})
            }
            Content::Stub { .. } => {
                let known = match row {
                    Some(row) => {
                        row::attachment_before(connection, &row.tree, before, &given.name)?
                    }
                    None => None,
                };
                let Some(known) = known else {
                    return Ok(Err(Outcome::BadStub(given.name.clone())));
                };
                stub(&known)
            }
            Content::Follows { .. } => return Ok(Err(Outcome::BadStub(given.name.clone()))),
        };
        shown.push((&*given.name, stub));
    }
    Ok(Ok(shown))
}

/// A stored revision with its whole path.
fn old(
    connection: &Connection,
    row: Option<&Row>,
    id: &str,
    revision: Option<&Revision>,
) -> Result<Option<Box<str>>, StoreError> {
    let (Some(row), Some(revision)) = (row, revision) else { return Ok(None) };
    let Some(body) = row::body_of(connection, &row.tree, revision)? else { return Ok(None) };
    let deleted = row.tree.find(revision).is_some_and(|node| node.deleted);
    let path: Vec<Revision> =
        row.tree.path(revision).into_iter().map(|node| node.revision.clone()).collect();
    let stubs = body.attachments.iter().map(|one| (&*one.name, stub(one)));
    let stubs: Vec<_> = stubs.collect();
    Ok(Some(document(id, &path, &body.text, deleted, &stubs)))
}

/// A document with its revisions, newest first; without any when the path is empty.
fn document(
    id: &str,
    path: &[Revision],
    body: &str,
    deleted: bool,
    stubs: &[(&str, Value)],
) -> Box<str> {
    let mut text = Vec::with_capacity(body.len() + 128);
    let mut member = |before: &str, value: &Value| {
        text.extend_from_slice(before.as_bytes());
        render::append(&mut text, value);
    };
    member("{\"_id\":", &Value::from(id));
    if let Some(newest) = path.first() {
        member(",\"_rev\":", &Value::from(newest.to_string()));
        member(",\"_revisions\":", &render::revisions(path));
    }
    if deleted {
        member(",\"_deleted\":", &Value::from(true));
    }
    for (place, (name, stub)) in stubs.iter().enumerate() {
        let before = if place == 0 { ",\"_attachments\":{" } else { "," };
        member(before, &Value::from(*name));
        member(":", stub);
    }
    if !stubs.is_empty() {
        text.push(b'}');
    }
    let inner = body.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')).unwrap_or("");
    if !inner.trim().is_empty() {
        text.push(b',');
        text.extend_from_slice(inner.as_bytes());
    }
    text.push(b'}');
    // Every part of it is text.
    String::from_utf8(text).unwrap_or_default().into()
}
