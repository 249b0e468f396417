//! One change to one document: whether it may happen, and what revision it makes.
//!
//! The rules are CouchDB's, as recorded from 3.5.0; they decide before anything is written.

use super::{
    body,
    body::Body,
    database::Database,
    row::{self, NewRevision, Row},
    transaction::Transaction,
};
use crate::{
    document::{
        attachment::{Attachment, Content, Given},
        packing::Encoding,
    },
    error::StoreError,
    revision::{Revision, digest::digest},
};
use rusqlite::Connection;
use std::sync::Arc;

/// A change that a client asks for.
#[derive(Clone, Debug)]
pub(crate) struct Edit {
    pub(crate) id: String,
    pub(crate) kind: Kind,
}

/// What the change is.
#[derive(Clone, Debug)]
pub(crate) enum Kind {
    /// The document follows its revision before: `new_edits` is true.
    Update {
        /// The revision before and its past, newest first; empty for a new document.
        parent: Vec<Revision>,
        /// A document that is not there may begin with a parent that nobody knows. So it is with
        /// `_bulk_docs` and with `_revisions`.
        unknown_parent: bool,
        deleted: bool,
        text: String,
        attachments: Vec<Given>,
    },
    /// A tombstone over this revision; None when the client named none.
    Delete { revision: Option<Revision> },
    /// A revision that was made elsewhere: `new_edits` is false. Newest first.
    Merge { path: Vec<Revision>, deleted: bool, text: String, attachments: Vec<Given> },
    /// One attachment is put, the rest of the document stays.
    PutAttachment { revision: Option<Revision>, attachment: Given },
    /// One attachment is taken away.
    DeleteAttachment { revision: Option<Revision>, name: String },
    /// Another change, which was allowed beside this winner (None: beside no document). With another
    /// one it is a conflict: who asked may have foreseen the revision that came in between.
    IfWinner { winner: Option<Revision>, then: Box<Kind> },
}

/// How it went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Stored(Revision),
    /// Another revision came first.
    Conflict,
    /// There is no such document.
    Missing,
    /// The document is a tombstone.
    Deleted,
    /// There is no such revision to attach to.
    MissingRevision,
    /// The document has no attachment of this name.
    NoAttachment,
    /// A stub names an attachment that the revision before does not have.
    BadStub(String),
}

/// Makes the change, or says why not.
pub(crate) fn apply(
    transaction: &mut Transaction<'_>,
    database: &Arc<Database>,
    edit: Edit,
) -> Result<Outcome, StoreError> {
    // Fails for a database that was deleted meanwhile: it must not come back to life.
    let limit = transaction.state(database)?.revs_limit;
    let row = row::get(transaction.connection, database.key, &edit.id)?;
    let id = edit.id.as_str();
    match edit.kind {
        Kind::Update { mut parent, unknown_parent, deleted, text, attachments } => {
            parent.truncate(limit);
            let path = match parent_path(row.as_ref(), parent, unknown_parent, deleted) {
                Ok(path) => path,
                Err(outcome) => return Ok(outcome),
            };
            let Resolved { attachments, bad } =
                resolve(transaction, row.as_ref(), &path, attachments, generation_after(&path))?;
            if let Some(name) = bad {
                return Ok(Outcome::BadStub(name));
            }
            store_child(transaction, database, row, id, path, deleted, Body { text, attachments })
        }
        Kind::Delete { revision } => {
            let Some(found) = &row else { return Ok(Outcome::Missing) };
            if is_deleted(found) {
                return Ok(Outcome::Deleted);
            }
            match revision {
                Some(revision) if found.tree.is_leaf(&revision) => {
                    let body = Body { text: String::from("{}"), attachments: Vec::new() };
                    store_child(transaction, database, row, id, vec![revision], true, body)
                }
                _ => Ok(Outcome::Conflict),
            }
        }
        Kind::Merge { mut path, deleted, text, attachments } => {
            let Some(newest) = path.first().cloned() else { return Ok(Outcome::Conflict) };
            if row.as_ref().is_some_and(|row| row.tree.has(&newest)) {
                return Ok(Outcome::Stored(newest));
            }
            // Stemming would forget what lies further back; grafting it first would take long. But the
            // leaf that this grew out of is none any more, however far back it is.
            let covers = row.as_ref().and_then(|row| row.tree.leaf_behind(&path, limit));
            path.truncate(limit);
            let mut before = path.get(1..).unwrap_or_default().to_vec();
            before.extend(covers.clone());
            let Resolved { attachments, bad } =
                resolve(transaction, row.as_ref(), &before, attachments, newest.generation)?;
            if let Some(name) = bad {
                return Ok(Outcome::BadStub(name));
            }
            let body = Body { text, attachments };
            let new = NewRevision { id, path: &path, covers, deleted, body };
            row::store(transaction, database, row, new)?;
            Ok(Outcome::Stored(newest))
        }
        Kind::PutAttachment { revision, attachment } => {
            put_attachment(transaction, database, row, id, revision, attachment)
        }
        Kind::DeleteAttachment { revision, name } => {
            delete_attachment(transaction, database, row, id, revision, &name)
        }
        Kind::IfWinner { winner, then } => {
            let now = row.as_ref().and_then(|row| row.tree.winner()).map(|now| &now.revision);
            if now != winner.as_ref() {
                return Ok(Outcome::Conflict);
            }
            apply(transaction, database, Edit { id: edit.id, kind: *then })
        }
    }
}

pub(super) fn is_deleted(row: &Row) -> bool {
    row.tree.winner().is_some_and(|winner| winner.deleted)
}

/// The revision that an update follows, newest first, or why it must not happen.
pub(super) fn parent_path(
    row: Option<&Row>,
    parent: Vec<Revision>,
    unknown_parent: bool,
    deleted: bool,
) -> Result<Vec<Revision>, Outcome> {
    let Some(row) = row else {
        return if parent.is_empty() || unknown_parent {
            Ok(parent)
        } else {
            Err(Outcome::Conflict)
        };
    };
    if is_deleted(row) {
        // A deleted document is begun again without a revision; its generations go on.
        return match row.tree.winner() {
            Some(winner) if parent.is_empty() && !deleted => Ok(vec![winner.revision.clone()]),
            _ => Err(Outcome::Conflict),
        };
    }
    match parent.first() {
        Some(revision) if row.tree.is_leaf(revision) => Ok(vec![revision.clone()]),
        _ => Err(Outcome::Conflict),
    }
}

fn generation_after(path: &[Revision]) -> u64 {
    path.first().map_or(0, |parent| parent.generation) + 1
}

/// Given attachments as they are stored, or the name of a stub that leads nowhere.
struct Resolved {
    attachments: Vec<Attachment>,
    bad: Option<String>,
}

fn resolve(
    transaction: &Transaction<'_>,
    row: Option<&Row>,
    before: &[Revision],
    given: Vec<Given>,
    generation: u64,
) -> Result<Resolved, StoreError> {
    let connection = transaction.connection;
    let mut resolved = Resolved { attachments: Vec::with_capacity(given.len()), bad: None };
    // Blobs are written only when all stubs are good: a refusal leaves nothing behind.
    let mut data = Vec::new();
    for given in given {
        match given.content {
            Content::Data { content_type, packed } => {
                let stored = u64::try_from(packed.data.len()).unwrap_or(u64::MAX);
                data.push((resolved.attachments.len(), packed.data));
                resolved.attachments.push(Attachment {
                    name: given.name,
                    content_type,
                    revpos: given.revpos.unwrap_or(generation).min(generation),
                    digest: packed.digest,
                    length: packed.length,
                    encoded_length: (packed.encoding == Encoding::Gzip).then_some(stored),
                    blob: 0,
                });
            }
            Content::Stub { digest } => {
                let known = match row {
                    Some(row) => {
                        row::attachment_before(connection, &row.tree, before, &given.name)?
                    }
                    None => None,
                };
                let same = |known: &Attachment| {
                    given.revpos.is_none_or(|revpos| revpos == known.revpos)
                        && digest.as_ref().is_none_or(|digest| *digest == known.digest)
                };
                match known {
                    Some(known) if same(&known) => resolved.attachments.push(known),
                    _ => resolved.bad = Some(given.name),
                }
            }
            Content::Follows { .. } => resolved.bad = Some(given.name),
        }
    }
    if resolved.bad.is_none() {
        for (index, bytes) in data {
            resolved.attachments[index].blob = body::add_blob(connection, &bytes)?;
        }
    }
    Ok(resolved)
}

fn store_child(
    transaction: &mut Transaction<'_>,
    database: &Arc<Database>,
    row: Option<Row>,
    id: &str,
    before: Vec<Revision>,
    deleted: bool,
    body: Body,
) -> Result<Outcome, StoreError> {
    let revision = Revision::new(
        generation_after(&before),
        digest(before.first(), deleted, &body.text, &body.attachments),
    );
    let mut path = vec![revision.clone()];
    path.extend(before);
    let new = NewRevision { id, path: &path, covers: None, deleted, body };
    row::store(transaction, database, row, new)?;
    Ok(Outcome::Stored(revision))
}

/// The revision that an attachment is put to or taken from, with its body.
pub(super) fn attachable(
    connection: &Connection,
    row: Option<&Row>,
    revision: Option<Revision>,
) -> Result<Result<(Vec<Revision>, Body), Outcome>, StoreError> {
    let empty = || Body { text: String::from("{}"), attachments: Vec::new() };
    let Some(row) = row else {
        let missing = Err(Outcome::MissingRevision);
        return Ok(if revision.is_none() { Ok((Vec::new(), empty())) } else { missing });
    };
    if is_deleted(row) && revision.is_none() {
        return Ok(match row.tree.winner() {
            Some(winner) => Ok((vec![winner.revision.clone()], empty())),
            None => Err(Outcome::Conflict),
        });
    }
    let Some(revision) = revision else { return Ok(Err(Outcome::Conflict)) };
    if row.tree.find(&revision).is_none() {
        return Ok(Err(Outcome::MissingRevision));
    }
    if is_deleted(row) || !row.tree.is_leaf(&revision) {
        return Ok(Err(Outcome::Conflict));
    }
    match row::body_of(connection, &row.tree, &revision)? {
        Some(body) => Ok(Ok((vec![revision], body))),
        None => Err(StoreError::Damaged("a leaf has no body")),
    }
}

fn put_attachment(
    transaction: &mut Transaction<'_>,
    database: &Arc<Database>,
    row: Option<Row>,
    id: &str,
    revision: Option<Revision>,
    attachment: Given,
) -> Result<Outcome, StoreError> {
    let (before, mut body) = match attachable(transaction.connection, row.as_ref(), revision)? {
        Ok(found) => found,
        Err(outcome) => return Ok(outcome),
    };
    let generation = generation_after(&before);
    let given = resolve(transaction, row.as_ref(), &before, vec![attachment], generation)?;
    for attachment in given.attachments {
        body.attachments.retain(|old| old.name != attachment.name);
        // Where CouchDB puts it; the order is part of the revision's hash.
        body.attachments.insert(0, attachment);
    }
    store_child(transaction, database, row, id, before, false, body)
}

fn delete_attachment(
    transaction: &mut Transaction<'_>,
    database: &Arc<Database>,
    row: Option<Row>,
    id: &str,
    revision: Option<Revision>,
    name: &str,
) -> Result<Outcome, StoreError> {
    if row.is_none() {
        return Ok(Outcome::Missing);
    }
    let (before, mut body) = match attachable(transaction.connection, row.as_ref(), revision)? {
        Ok(found) => found,
        Err(outcome) => return Ok(outcome),
    };
    let count = body.attachments.len();
    body.attachments.retain(|attachment| attachment.name != name);
    if body.attachments.len() == count {
        return Ok(Outcome::NoAttachment);
    }
    store_child(transaction, database, row, id, before, false, body)
}
