//! The row of a document: its revision tree, its place in the feed, its winner.

use super::{
    body,
    body::Body,
    database::{Database, State},
    transaction::Transaction,
};
use crate::{
    document::{attachment::Attachment, render::Render},
    error::StoreError,
    feed::change::Change,
    revision::{Revision, codec, tree::Tree},
    sequence::Sequence,
};
use rusqlite::{Connection, OptionalExtension as _};
use std::sync::Arc;

/// How many superseded bodies a branch keeps. Readers of a conflict or of a change that has moved on
/// may want the last few; a document that is rewritten for ever must not grow for ever.
pub(super) const OLD_BODIES_MAX: usize = 10;

/// A document that the store knows.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) sequence: Sequence,
    pub(crate) tree: Tree,
}

/// The row of this id.
pub(super) fn get(
    connection: &Connection,
    database: i64,
    id: &str,
) -> Result<Option<Row>, StoreError> {
    let mut statement = connection
        .prepare_cached("SELECT sequence, tree FROM documents WHERE database = ?1 AND id = ?2")?;
    let found: Option<(Sequence, Vec<u8>)> =
        statement.query_row((database, id), |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
    match found {
        Some((sequence, tree)) => Ok(Some(Row { sequence, tree: codec::decode(&tree)? })),
        None => Ok(None),
    }
}

/// A revision that is about to be stored.
pub(super) struct NewRevision<'a> {
    pub(super) id: &'a str,
    /// Newest first.
    pub(super) path: &'a [Revision],
    /// The leaf that it grew out of, where that lies further back than `path` reaches.
    pub(super) covers: Option<Revision>,
    pub(super) deleted: bool,
    pub(super) body: Body,
}

/// Grafts a revision onto the document's tree, moves the document to the end of the feed, and counts.
/// A revision that is there already changes nothing.
pub(super) fn store(
    transaction: &mut Transaction<'_>,
    database: &Arc<Database>,
    row: Option<Row>,
    new: NewRevision<'_>,
) -> Result<(), StoreError> {
    let connection = transaction.connection;
    let Some(newest) = new.path.first() else { return Ok(()) };
    let was = row.as_ref().map(|row| row.tree.winner().is_some_and(|winner| winner.deleted));
    let mut tree = row.map(|row| row.tree).unwrap_or_default();
    if tree.has(newest) {
        return Ok(());
    }
    let limit = transaction.state(database)?.revs_limit;
    let superseded_before = superseded(&tree);
    let (key, added) = body::add(connection, &new.body)?;
    let mut unused = new.covers.map_or_else(Vec::new, |leaf| tree.prune(&[leaf]).bodies);
    unused.extend(tree.graft(new.path, new.deleted, key, limit));
    unused.extend(tree.drop_old_bodies(newest, OLD_BODIES_MAX));
    let mut freed = 0;
    for body in unused {
        freed += body::remove(connection, body)?;
    }
    let state = transaction.state(database)?;
    state.superseded = (state.superseded + superseded(&tree)).saturating_sub(superseded_before);
    state.sequence += 1;
    state.bytes = state.bytes.saturating_add(added).saturating_sub(freed);
    let sequence = state.sequence;
    if new.id.starts_with("_design/") {
        state.designs = sequence;
    }
    let winner = tree.winner().ok_or(StoreError::Damaged("a document has no leaf"))?;
    recount(state, was, Some(winner.deleted));
    save(connection, database.key, new.id, sequence, &tree)?;
    let change = if transaction.is_followed(database)? {
        let won = if winner.body == Some(key) { Some(&new.body) } else { None };
        Some(change(connection, new.id, sequence, &tree, won)?)
    } else {
        None
    };
    transaction.changed(database, change)
}

/// How many bodies of the tree a compaction would drop.
pub(super) fn superseded(tree: &Tree) -> u64 {
    u64::try_from(tree.inner_bodies()).unwrap_or(u64::MAX)
}

/// Counts a document as what its winner is now instead of what it was: Some(true) for a tombstone,
/// None for a document that is not there.
pub(super) fn recount(state: &mut State, was: Option<bool>, is: Option<bool>) {
    let count = |state: &mut State, deleted: bool, add: bool| {
        let count = if deleted { &mut state.tombstones } else { &mut state.documents };
        *count = if add { *count + 1 } else { count.saturating_sub(1) };
    };
    if was != is {
        was.into_iter().for_each(|deleted| count(state, deleted, false));
        is.into_iter().for_each(|deleted| count(state, deleted, true));
    }
}

/// Writes the row of a document whose tree has a leaf.
pub(super) fn save(
    connection: &Connection,
    database: i64,
    id: &str,
    sequence: Sequence,
    tree: &Tree,
) -> Result<(), StoreError> {
    let winner = tree.winner().ok_or(StoreError::Damaged("a document has no leaf"))?;
    let mut statement = connection.prepare_cached(
        "INSERT INTO documents (database, id, sequence, revision, deleted, body, tree) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) \
         ON CONFLICT (database, id) DO UPDATE SET sequence = excluded.sequence, \
         revision = excluded.revision, deleted = excluded.deleted, body = excluded.body, \
         tree = excluded.tree",
    )?;
    statement.execute((
        database,
        id,
        sequence,
        winner.revision.to_string(),
        winner.deleted,
        winner.body,
        codec::encode(tree),
    ))?;
    Ok(())
}

/// The change that feeds hear of. `body` is the winner's, where the caller has it.
pub(super) fn change(
    connection: &Connection,
    id: &str,
    sequence: Sequence,
    tree: &Tree,
    body: Option<&Body>,
) -> Result<Change, StoreError> {
    let leaves = tree.leaves();
    let winner = leaves.first().ok_or(StoreError::Damaged("a document has no leaf"))?;
    let text = match body {
        Some(body) => render(id, &winner.revision, winner.deleted, body),
        None => match winner.body {
            Some(key) => render(id, &winner.revision, winner.deleted, &body::get(connection, key)?),
            None => return Err(StoreError::Damaged("a leaf has no body")),
        },
    };
    let revisions = leaves.iter().map(|leaf| leaf.revision.to_string()).collect();
    Ok(Change::new(sequence, id, winner.deleted, revisions, Some(text)))
}

/// A document with its attachments as stubs.
pub(super) fn render(
    id: &str,
    revision: &impl std::fmt::Display,
    deleted: bool,
    body: &Body,
) -> Box<str> {
    let text = Render::new(id, revision)
        .body(&body.text)
        .deleted(deleted)
        .stubs(&body.attachments)
        .finish();
    // Every part of it is text.
    String::from_utf8(text).unwrap_or_default().into()
}

/// The body of a revision, when it is there.
pub(super) fn body_of(
    connection: &Connection,
    tree: &Tree,
    revision: &Revision,
) -> Result<Option<Body>, StoreError> {
    match tree.find(revision).and_then(|node| node.body) {
        Some(key) => body::get(connection, key).map(Some),
        None => Ok(None),
    }
}

/// The newest attachment of this name on the way back from `revision`.
pub(super) fn attachment_before(
    connection: &Connection,
    tree: &Tree,
    path: &[Revision],
    name: &str,
) -> Result<Option<Attachment>, StoreError> {
    for revision in path {
        if let Some(body) = body_of(connection, tree, revision)? {
            return Ok(body.attachments.into_iter().find(|attachment| attachment.name == name));
        }
    }
    Ok(None)
}
