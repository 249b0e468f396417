//! Making, deleting and configuring databases.

use super::{
    database::{DATABASES_MAX, Database, REVS_LIMIT, State, random},
    purge::HISTORY_LIMIT,
    transaction::Transaction,
};
use crate::{error::StoreError, sequence::Identity};
use rusqlite::Connection;
use std::{
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

/// How making a database went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Created {
    Yes,
    Exists,
    /// There are [`DATABASES_MAX`] already.
    TooMany,
}

/// Makes a database.
pub(crate) fn create(
    transaction: &mut Transaction<'_>,
    name: String,
    shards: u32,
) -> Result<Created, StoreError> {
    if transaction.database_named(&name).is_some() {
        return Ok(Created::Exists);
    }
    if transaction.database_count() >= DATABASES_MAX {
        return Ok(Created::TooMany);
    }
    let connection = transaction.connection;
    // Later than every other one, whatever the clock does: clients take it for the identity.
    let newest: i64 =
        connection.query_row("SELECT coalesce(max(started_us), 0) FROM databases", [], |row| {
            row.get(0)
        })?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_micros();
    let started_us = i64::try_from(now).unwrap_or(i64::MAX).max(newest.saturating_add(1));
    let identity = u64::from_be_bytes(random());
    let state = State {
        sequence: 0,
        documents: 0,
        tombstones: 0,
        bytes: 0,
        superseded: 0,
        revs_limit: REVS_LIMIT,
        purge_sequence: 0,
        purges_limit: HISTORY_LIMIT,
        designs: 0,
        security: None,
    };
    let mut statement = connection.prepare_cached(
        "INSERT INTO databases \
         (name, identity, started_us, shards, revs_limit, sequence, documents, tombstones, bytes) \
         VALUES (?1, ?2, ?3, ?4, ?5, 0, 0, 0, 0)",
    )?;
    statement.execute((&name, identity.cast_signed(), started_us, shards, state.revs_limit))?;
    let key = connection.last_insert_rowid();
    let database = Database::new(key, name, Identity(identity), started_us, shards, state);
    transaction.created(Arc::new(database));
    Ok(Created::Yes)
}

/// Deletes a database at once; its rows are removed when the writer is idle. Gives which it was.
pub(crate) fn delete(
    transaction: &mut Transaction<'_>,
    name: &str,
) -> Result<Option<Identity>, StoreError> {
    let Some(database) = transaction.database_named(name) else { return Ok(None) };
    let identity = database.identity;
    let mut statement =
        transaction.connection.prepare_cached("UPDATE databases SET name = NULL WHERE key = ?1")?;
    statement.execute([database.key])?;
    transaction.dropped(database);
    Ok(Some(identity))
}

/// Replaces `_security`.
pub(crate) fn set_security(
    transaction: &mut Transaction<'_>,
    database: &Arc<Database>,
    text: Arc<str>,
) -> Result<(), StoreError> {
    transaction.state(database)?.security = Some(text);
    Ok(())
}

/// Replaces `_revs_limit`. Documents are stemmed to it when they are written next.
pub(crate) fn set_revs_limit(
    transaction: &mut Transaction<'_>,
    database: &Arc<Database>,
    limit: usize,
) -> Result<(), StoreError> {
    transaction.state(database)?.revs_limit = limit;
    Ok(())
}

/// Asks for a compaction; one that runs already goes on.
pub(crate) fn compact(
    transaction: &mut Transaction<'_>,
    database: &Arc<Database>,
) -> Result<(), StoreError> {
    transaction.state(database)?;
    transaction.compact(Arc::clone(database));
    Ok(())
}

/// Every database of a store that was just opened.
pub(super) fn load(connection: &Connection) -> rusqlite::Result<Vec<Arc<Database>>> {
    let mut statement = connection.prepare(
        "SELECT key, name, identity, started_us, shards, sequence, documents, tombstones, bytes, \
         revs_limit, security, superseded, purge_sequence, purges_limit FROM databases WHERE name IS NOT NULL",
    )?;
    let rows = statement.query_map([], |row| {
        let state = State {
            sequence: row.get(5)?,
            documents: row.get(6)?,
            tombstones: row.get(7)?,
            bytes: row.get(8)?,
            superseded: row.get(11)?,
            revs_limit: row.get(9)?,
            designs: 0,
            security: row.get::<_, Option<String>>(10)?.map(Arc::from),
            purge_sequence: row.get(12)?,
            purges_limit: row.get(13)?,
        };
        let identity = Identity(row.get::<_, i64>(2)?.cast_unsigned());
        let database =
            Database::new(row.get(0)?, row.get(1)?, identity, row.get(3)?, row.get(4)?, state);
        Ok(Arc::new(database))
    })?;
    rows.collect()
}
