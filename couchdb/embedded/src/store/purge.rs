//! Purging: revisions are removed as if they had never been, and the purge is remembered.
//!
//! What is remembered lets an index that is built elsewhere take out what was purged since it last
//! looked. The history is cut to `_purged_infos_limit` entries with each purge; an index that looks
//! less often than that must be built again, as in CouchDB.

use super::{
    body,
    database::Database,
    list::{PAGE_BYTES, PAGE_ROWS},
    row,
    transaction::Transaction,
};
use crate::{error::StoreError, revision::Revision, sequence::Sequence};
use rusqlite::{Connection, OptionalExtension as _};
use std::sync::Arc;

/// How many purges a database remembers unless `_purged_infos_limit` says otherwise; CouchDB's own.
pub(crate) const HISTORY_LIMIT: u64 = 1000;

/// One purge of one document, as it is remembered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Purged {
    pub(crate) sequence: Sequence,
    pub(crate) id: String,
    /// The revisions that were asked for, whether they were there or not: a JSON array of texts.
    pub(crate) revisions: String,
}

/// Some of the purges after a purge sequence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct History {
    /// In the order of their purge sequences; empty at the end.
    pub(crate) purges: Vec<Purged>,
    /// Every purge after the sequence that was asked for is still known. When not, whatever was
    /// built from documents up to there may hold some that are gone, and must be built again.
    pub(crate) complete: bool,
}

/// Removes revisions of documents. Only leaves can be purged, with what led to them alone; the answer
/// says for each document which of the revisions those were.
///
/// The purge sequence moves by one for each document that was named. The update sequence moves for
/// each document that survives with other leaves, and at least by one.
pub(crate) fn purge(
    transaction: &mut Transaction<'_>,
    database: &Arc<Database>,
    asked: Vec<(String, Vec<Revision>)>,
) -> Result<Vec<(String, Vec<Revision>)>, StoreError> {
    if asked.is_empty() {
        transaction.state(database)?;
        return Ok(Vec::new());
    }
    let before = transaction.state(database)?.sequence;
    let mut answers = Vec::with_capacity(asked.len());
    for (id, revisions) in asked {
        let purged = purge_one(transaction, database, &id, &revisions)?;
        remember(transaction, database, &id, &revisions)?;
        answers.push((id, purged));
    }
    let state = transaction.state(database)?;
    if state.sequence == before {
        state.sequence += 1;
    }
    let oldest = state.purge_sequence.saturating_sub(state.purges_limit);
    let mut statement = transaction
        .connection
        .prepare_cached("DELETE FROM purges WHERE database = ?1 AND sequence <= ?2")?;
    statement.execute((database.key, oldest))?;
    Ok(answers)
}

fn purge_one(
    transaction: &mut Transaction<'_>,
    database: &Arc<Database>,
    id: &str,
    revisions: &[Revision],
) -> Result<Vec<Revision>, StoreError> {
    let connection = transaction.connection;
    let Some(found) = row::get(connection, database.key, id)? else { return Ok(Vec::new()) };
    let mut tree = found.tree;
    let was = tree.winner().map(|winner| winner.deleted);
    let superseded = row::superseded(&tree);
    let pruned = tree.prune(revisions);
    if pruned.revisions.is_empty() {
        return Ok(Vec::new());
    }
    let mut freed = 0;
    for body in pruned.bodies {
        freed += body::remove(connection, body)?;
    }
    let state = transaction.state(database)?;
    state.bytes = state.bytes.saturating_sub(freed);
    state.superseded = (state.superseded + row::superseded(&tree)).saturating_sub(superseded);
    if id.starts_with("_design/") {
        state.designs = state.sequence + 1;
    }
    row::recount(state, was, tree.winner().map(|winner| winner.deleted));
    if tree.nodes().is_empty() {
        let mut statement =
            connection.prepare_cached("DELETE FROM documents WHERE database = ?1 AND id = ?2")?;
        statement.execute((database.key, id))?;
        return Ok(pruned.revisions);
    }
    state.sequence += 1;
    let sequence = state.sequence;
    row::save(connection, database.key, id, sequence, &tree)?;
    let followed = transaction.is_followed(database)?;
    let change =
        followed.then(|| row::change(connection, id, sequence, &tree, None)).transpose()?;
    transaction.changed(database, change)?;
    Ok(pruned.revisions)
}

fn remember(
    transaction: &mut Transaction<'_>,
    database: &Arc<Database>,
    id: &str,
    revisions: &[Revision],
) -> Result<(), StoreError> {
    let state = transaction.state(database)?;
    state.purge_sequence += 1;
    let sequence = state.purge_sequence;
    let texts: serde_json::Value = revisions.iter().map(ToString::to_string).collect();
    let mut statement = transaction.connection.prepare_cached(
        "INSERT INTO purges (database, sequence, id, revisions) VALUES (?1, ?2, ?3, ?4)",
    )?;
    statement.execute((database.key, sequence, id, texts.to_string()))?;
    Ok(())
}

/// Replaces `_purged_infos_limit`. The history is cut to it with the next purge.
pub(crate) fn set_limit(
    transaction: &mut Transaction<'_>,
    database: &Arc<Database>,
    limit: u64,
) -> Result<(), StoreError> {
    transaction.state(database)?.purges_limit = limit;
    Ok(())
}

/// The purges after this purge sequence: as many as fit a page.
pub(super) fn history(
    connection: &Connection,
    database: i64,
    after: Sequence,
) -> Result<History, StoreError> {
    let last: Option<Sequence> = connection
        .prepare_cached("SELECT purge_sequence FROM databases WHERE key = ?1")?
        .query_row([database], |row| row.get(0))
        .optional()?;
    let oldest: Option<Sequence> = connection
        .prepare_cached("SELECT min(sequence) FROM purges WHERE database = ?1")?
        .query_row([database], |row| row.get(0))?;
    let last = last.ok_or(StoreError::DatabaseGone)?;
    let complete = after >= last || oldest.is_some_and(|oldest| oldest <= after.saturating_add(1));
    let mut statement = connection.prepare_cached(
        "SELECT sequence, id, revisions FROM purges WHERE database = ?1 AND sequence > ?2 \
         ORDER BY sequence LIMIT ?3",
    )?;
    let mut found = statement.query((database, after, PAGE_ROWS))?;
    let mut purges = Vec::new();
    let mut bytes = 0;
    while bytes <= PAGE_BYTES
        && let Some(row) = found.next()?
    {
        let purged = Purged { sequence: row.get(0)?, id: row.get(1)?, revisions: row.get(2)? };
        bytes += purged.id.len() + purged.revisions.len();
        purges.push(purged);
    }
    Ok(History { purges, complete })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        options::{Options, Storage},
        store::{Store, databases},
    };

    #[tokio::test]
    async fn a_history_says_when_it_does_not_reach_back() {
        let store = Store::open(Storage::Memory, Options::default()).unwrap();
        store.write(|tx| databases::create(tx, String::from("db"), 1)).await.unwrap();
        let database = store.catalog().get("db").unwrap();
        let told = async |after| {
            let history = store.purges(&database, after).await.unwrap();
            let ids: Vec<String> = history.purges.into_iter().map(|purged| purged.id).collect();
            (ids.join(""), history.complete)
        };
        assert_eq!(told(0).await, (String::new(), true));
        let one = Arc::clone(&database);
        let limited = store.write(move |tx| set_limit(tx, &one, 2)).await;
        limited.unwrap();
        for id in ["a", "b", "c"] {
            let one = Arc::clone(&database);
            let asked = vec![(String::from(id), vec!["1-a".parse().unwrap()])];
            store.write(move |tx| purge(tx, &one, asked)).await.unwrap();
        }
        for (after, ids, complete) in
            [(0, "bc", false), (1, "bc", true), (2, "c", true), (3, "", true)]
        {
            assert_eq!(told(after).await, (String::from(ids), complete), "after {after}");
        }
    }
}
