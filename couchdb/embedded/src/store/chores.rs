//! What the writer does while nobody waits: removing deleted databases and compacting living ones,
//! a few rows at a time, so that a request never waits for more than one piece.

use super::{
    body,
    database::{Database, State},
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

/// Something to do in pieces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Chore {
    /// Removes the rows of a deleted database.
    Bury { database: i64 },
    /// Drops the bodies of inner revisions, from the document after `after` on.
    Compact { database: i64, name: String, after: Option<String> },
    /// Gives free pages back.
    Vacuum,
}

/// What is still to be done.
#[derive(Debug, Default)]
pub(super) struct Chores {
    waiting: VecDeque<Chore>,
}

impl Chores {
    /// Continues with the burials that an earlier process did not finish.
    pub(super) fn of(connection: &Connection) -> rusqlite::Result<Chores> {
        let mut statement =
            connection.prepare("SELECT key FROM databases WHERE name IS NULL ORDER BY key")?;
        let keys = statement.query_map([], |row| row.get(0))?;
        let waiting = keys
            .map(|key| key.map(|database| Chore::Bury { database }))
            .collect::<Result<_, _>>()?;
        Ok(Chores { waiting })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    pub(super) fn add(&mut self, chores: Vec<Chore>) {
        self.waiting.extend(chores);
    }

    /// Leaves everything to the next start, after an error.
    pub(super) fn give_up(&mut self, shared: &Shared) {
        for chore in self.waiting.drain(..) {
            if let Chore::Compact { name, .. } = chore
                && let Some(database) = shared.catalog.get(&name)
            {
                database.compacting.store(false, Ordering::Relaxed);
            }
        }
    }

    /// Does one piece of the first chore.
    pub(super) fn step(
        &mut self,
        connection: &Connection,
        shared: &Shared,
    ) -> Result<(), StoreError> {
        let Some(chore) = self.waiting.front().cloned() else { return Ok(()) };
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
        Ok(())
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
    let mut freed = 0;
    for (id, tree) in rows {
        let mut tree = codec::decode(&tree)?;
        let inner = tree.drop_inner_bodies();
        if inner.is_empty() {
            continue;
        }
        for body in inner {
            freed += body::remove(connection, body)?;
        }
        let mut statement = connection
            .prepare_cached("UPDATE documents SET tree = ?3 WHERE database = ?1 AND id = ?2")?;
        statement.execute((key, id, codec::encode(&tree)))?;
    }
    let mut visible = Visible::Nothing;
    if freed > 0 {
        // Only this thread writes, so that nothing comes between these two.
        let mut state = database.state();
        state.bytes = state.bytes.saturating_sub(freed);
        let mut statement =
            connection.prepare_cached("UPDATE databases SET bytes = ?2 WHERE key = ?1")?;
        statement.execute((key, state.bytes))?;
        visible = Visible::State(database, state);
    }
    Ok((Some(next), visible))
}

fn vacuum(connection: &Connection) -> Result<Option<Chore>, StoreError> {
    let free = || connection.pragma_query_value(None, "freelist_count", |row| row.get::<_, i64>(0));
    let before = free()?;
    if before == 0 {
        return Ok(None);
    }
    let mut statement =
        connection.prepare(&format!("PRAGMA incremental_vacuum({VACUUM_PAGES})"))?;
    let mut rows = statement.query([])?;
    while rows.next()?.is_some() {}
    Ok((free()? < before).then_some(Chore::Vacuum))
}
