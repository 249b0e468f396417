//! What the writer does while nobody waits: removing deleted databases and compacting living ones,
//! a few rows at a time, so that a request never waits for more than one piece.
//!
//! A compaction is asked for by a client, or by the store itself when much of a database is garbage
//! ([`State::wants_compaction`]), as CouchDB's own daemon does.

use super::{
    body,
    database::{Catalog, Database, State},
    transaction::Shared,
};
use crate::{error::StoreError, revision::codec};
use rusqlite::Connection;
use std::{
    collections::VecDeque,
    sync::{Arc, atomic::Ordering},
};

/// How many documents one piece covers: about a millisecond of work.
const PIECE: usize = 100;

/// How many free pages one piece gives back to the file system.
const VACUUM_PAGES: usize = 256;

/// How often a log that a reader needs is tried again, each time after a pause of the writer (20 ms and
/// more): reads are short, and what is left then is worked off with the next writes.
const CHECKPOINT_TRIES: u32 = 500;

/// Something to do in pieces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Chore {
    /// Removes the rows of a deleted database.
    Bury { database: i64 },
    /// Drops the bodies of inner revisions, from the document after `after` on.
    Compact { database: i64, name: String, after: Option<String> },
    /// Gives free pages back.
    Vacuum,
    /// Works off the log, which is what makes the file shorter in the end.
    Checkpoint { tries: u32 },
}

/// What is still to be done.
#[derive(Debug, Default)]
pub(super) struct Chores {
    waiting: VecDeque<Chore>,
    /// One failed: nothing is begun again before the next start.
    failed: bool,
}

impl Chores {
    /// Continues with what an earlier process did not finish.
    pub(super) fn of(connection: &Connection, catalog: &Catalog) -> rusqlite::Result<Chores> {
        let mut statement =
            connection.prepare("SELECT key FROM databases WHERE name IS NULL ORDER BY key")?;
        let keys = statement.query_map([], |row| row.get(0))?;
        let waiting = keys
            .map(|key| key.map(|database| Chore::Bury { database }))
            .collect::<Result<_, _>>()?;
        let mut chores = Chores { waiting, failed: false };
        for database in catalog.all() {
            chores.look_at(&database);
        }
        if free_pages(connection)? > VACUUM_PAGES {
            chores.waiting.push_back(Chore::Vacuum);
        }
        Ok(chores)
    }

    /// Begins a compaction when the database needs one.
    pub(super) fn look_at(&mut self, database: &Arc<Database>) {
        if !self.failed && database.state().wants_compaction() {
            self.compact(database);
        }
    }

    /// Begins a compaction; one that runs already goes on.
    pub(super) fn compact(&mut self, database: &Arc<Database>) {
        if !database.compacting.swap(true, Ordering::Relaxed) {
            let name = database.name.clone();
            let chore = Chore::Compact { database: database.key, name, after: None };
            self.waiting.push_back(chore);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    pub(super) fn add(&mut self, chores: Vec<Chore>) {
        self.waiting.extend(chores);
    }

    /// Leaves everything to the next start, after an error.
    pub(super) fn give_up(&mut self, shared: &Shared) {
        self.failed = true;
        for chore in self.waiting.drain(..) {
            if let Chore::Compact { name, .. } = chore
                && let Some(database) = shared.catalog.get(&name)
            {
                database.compacting.store(false, Ordering::Relaxed);
            }
        }
    }

    /// Does one piece of the first chore. False: a reader is in its way, and it is tried again later.
    pub(super) fn step(
        &mut self,
        connection: &Connection,
        shared: &Shared,
    ) -> Result<bool, StoreError> {
        let Some(chore) = self.waiting.front().cloned() else { return Ok(true) };
        if let Chore::Checkpoint { tries } = chore {
            let whole = checkpoint(connection)?;
            self.waiting.pop_front();
            if !whole && tries < CHECKPOINT_TRIES {
                self.waiting.push_back(Chore::Checkpoint { tries: tries + 1 });
            }
            return Ok(whole);
        }
        let transaction = connection.unchecked_transaction()?;
        let mut visible = Visible::Nothing;
        let next = match chore {
            Chore::Bury { database } => bury(&transaction, database)?,
            Chore::Compact { database, name, after } => {
                let (next, then) = compact(&transaction, shared, database, name, after)?;
                visible = then;
                next
            }
            Chore::Vacuum => vacuum(&transaction)?,
            Chore::Checkpoint { .. } => None,
        };
        transaction.commit()?;
        match visible {
            Visible::Nothing => {}
            Visible::State(database, state) => database.set_state(state),
            Visible::Compacted(database) => database.compacting.store(false, Ordering::Relaxed),
        }
        shared.stats.housekeeping_commits.add(1);
        self.waiting.pop_front();
        if let Some(next) = next {
            self.waiting.push_front(next);
        }
        Ok(true)
    }
}

/// What the world sees once a piece is committed, and not if it is not.
enum Visible {
    Nothing,
    State(Arc<Database>, State),
    Compacted(Arc<Database>),
}

fn bury(connection: &Connection, database: i64) -> Result<Option<Chore>, StoreError> {
    let rows: Vec<(String, Vec<u8>)> = {
        let mut statement = connection.prepare_cached(
            "SELECT id, tree FROM documents WHERE database = ?1 ORDER BY id LIMIT ?2",
        )?;
        let rows = statement.query_map((database, PIECE), |row| Ok((row.get(0)?, row.get(1)?)))?;
        rows.collect::<Result<_, _>>()?
    };
    if rows.is_empty() {
        connection.execute("DELETE FROM locals WHERE database = ?1", [database])?;
        connection.execute("DELETE FROM purges WHERE database = ?1", [database])?;
        connection.execute("DELETE FROM databases WHERE key = ?1", [database])?;
        return Ok(Some(Chore::Vacuum));
    }
    for (id, tree) in rows {
        for key in codec::decode(&tree)?.bodies() {
            body::remove(connection, key)?;
        }
        let mut statement =
            connection.prepare_cached("DELETE FROM documents WHERE database = ?1 AND id = ?2")?;
        statement.execute((database, id))?;
    }
    Ok(Some(Chore::Bury { database }))
}

fn compact(
    connection: &Connection,
    shared: &Shared,
    key: i64,
    name: String,
    after: Option<String>,
) -> Result<(Option<Chore>, Visible), StoreError> {
    let Some(database) = shared.catalog.get(&name).filter(|database| database.key == key) else {
        return Ok((None, Visible::Nothing));
    };
    let rows: Vec<(String, Vec<u8>)> = {
        let mut statement = connection.prepare_cached(
            "SELECT id, tree FROM documents WHERE database = ?1 AND id > ?2 ORDER BY id LIMIT ?3",
        )?;
        let after = after.as_deref().unwrap_or("");
        let rows =
            statement.query_map((key, after, PIECE), |row| Ok((row.get(0)?, row.get(1)?)))?;
        rows.collect::<Result<_, _>>()?
    };
    let Some((last, _)) = rows.last() else {
        return Ok((Some(Chore::Vacuum), Visible::Compacted(database)));
    };
    let next = Chore::Compact { database: key, name, after: Some(last.clone()) };
    // Only this thread writes, so that nothing comes between this and the end.
    let before = database.state();
    let mut state = before.clone();
    for (id, tree) in rows {
        let mut tree = codec::decode(&tree)?;
        let known = tree.nodes().len();
        let mut unused = tree.drop_inner_bodies();
        unused.extend(tree.stem(state.revs_limit));
        if unused.is_empty() && tree.nodes().len() == known {
            continue;
        }
        for body in unused {
            state.bytes = state.bytes.saturating_sub(body::remove(connection, body)?);
            state.superseded = state.superseded.saturating_sub(1);
        }
        let mut statement = connection
            .prepare_cached("UPDATE documents SET tree = ?3 WHERE database = ?1 AND id = ?2")?;
        statement.execute((key, id, codec::encode(&tree)))?;
    }
    let mut visible = Visible::Nothing;
    if state != before {
        let mut statement = connection
            .prepare_cached("UPDATE databases SET bytes = ?2, superseded = ?3 WHERE key = ?1")?;
        statement.execute((key, state.bytes, state.superseded))?;
        visible = Visible::State(database, state);
    }
    Ok((Some(next), visible))
}

fn free_pages(connection: &Connection) -> rusqlite::Result<usize> {
    connection.pragma_query_value(None, "freelist_count", |row| row.get(0))
}

fn vacuum(connection: &Connection) -> Result<Option<Chore>, StoreError> {
    let before = free_pages(connection)?;
    if before == 0 {
        return Ok(None);
    }
    let mut statement =
        connection.prepare(&format!("PRAGMA incremental_vacuum({VACUUM_PAGES})"))?;
    let mut rows = statement.query([])?;
    while rows.next()?.is_some() {}
    let after = free_pages(connection)?;
    Ok(Some(if after > 0 && after < before {
        Chore::Vacuum
    } else {
        Chore::Checkpoint { tries: 0 }
    }))
}

/// Works off what no reader needs any more. Whether that was the whole log.
fn checkpoint(connection: &Connection) -> Result<bool, StoreError> {
    // Passive: it waits for no reader.
    let pages = |row: &rusqlite::Row<'_>| Ok((row.get::<_, i64>(1)?, row.get::<_, i64>(2)?));
    let (log, done) = connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], pages)?;
    Ok(log == done)
}
