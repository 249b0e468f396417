//! One transaction of the writer: what it did so far, and what the world hears after its commit.

use super::{
    chores::{Chore, Chores},
    database::{Catalog, Database, State},
};
use crate::{
    error::StoreError,
    feed::{change::Change, herald::Herald},
    stats::Stats,
};
use rusqlite::Connection;
use std::{collections::BTreeMap, sync::Arc};

/// What is told when SQLite undid a transaction although no write of it failed.
const UNDONE: &str = "a transaction was undone without an error";

/// What the writer shares with those who ask.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) catalog: Catalog,
    pub(crate) stats: Stats,
    pub(super) herald: Herald,
}

impl Shared {
    pub(super) fn new() -> std::io::Result<Shared> {
        let herald = Herald::start()?;
        Ok(Shared { catalog: Catalog::default(), stats: Stats::default(), herald })
    }
}

/// A transaction that is open. Dropped without a commit it is rolled back.
pub(crate) struct Transaction<'a> {
    pub(super) connection: &'a Connection,
    shared: &'a Shared,
    open: bool,
    changes_before: u64,
    /// Why nothing of this transaction can be kept: SQLite undid all of it by itself, as it does when
    /// the disk is full, or the end of one write could not be marked.
    lost: Option<StoreError>,
    effects: Effects,
}

/// What becomes visible with the commit.
#[derive(Default)]
struct Effects {
    touched: BTreeMap<i64, Touched>,
    created: Vec<Arc<Database>>,
    dropped: Vec<Arc<Database>>,
    chores: Vec<Chore>,
    compactions: Vec<Arc<Database>>,
    revisions: u64,
}

/// Where the effects stood before one write.
struct Mark {
    touched: BTreeMap<i64, (State, usize)>,
    created: usize,
    dropped: usize,
    chores: usize,
    compactions: usize,
    revisions: u64,
}

impl Effects {
    fn mark(&self) -> Mark {
        let touched = self.touched.iter();
        Mark {
            touched: touched.map(|(key, t)| (*key, (t.state.clone(), t.changes.len()))).collect(),
            created: self.created.len(),
            dropped: self.dropped.len(),
            chores: self.chores.len(),
            compactions: self.compactions.len(),
            revisions: self.revisions,
        }
    }

    fn back_to(&mut self, mut mark: Mark) {
        self.touched.retain(|key, touched| match mark.touched.remove(key) {
            Some((state, changes)) => {
                touched.state = state;
                touched.changes.truncate(changes);
                true
            }
            None => false,
        });
        self.created.truncate(mark.created);
        self.dropped.truncate(mark.dropped);
        self.chores.truncate(mark.chores);
        self.compactions.truncate(mark.compactions);
        self.revisions = mark.revisions;
    }
}

struct Touched {
    database: Arc<Database>,
    state: State,
    changes: Vec<Arc<Change>>,
    /// Changes are collected for feeds.
    followed: bool,
}

impl<'a> Transaction<'a> {
    pub(super) fn begin(
        connection: &'a Connection,
        shared: &'a Shared,
    ) -> Result<Transaction<'a>, StoreError> {
        if !connection.is_autocommit() {
            // The last rollback failed; without this one no write would ever be taken again.
            connection.execute_batch("ROLLBACK")?;
        }
        connection.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        Ok(Transaction {
            connection,
            shared,
            open: true,
            changes_before: connection.total_changes(),
            lost: None,
            effects: Effects::default(),
        })
    }

    /// Runs one write so that its failure undoes itself and nothing else. When that is not possible,
    /// the whole transaction fails: this write, those before it and those after it.
    pub(super) fn alone<T>(
        &mut self,
        write: impl FnOnce(&mut Transaction<'a>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        if let Some(lost) = &self.lost {
            return Err(lost.clone());
        }
        let before = self.effects.mark();
        self.mark("SAVEPOINT one")?;
        let result = write(self);
        if self.connection.is_autocommit() {
            // A statement now would be a transaction of its own and stay, without its state and feeds.
            let failed = result.err().unwrap_or(StoreError::Damaged(UNDONE));
            self.lost = Some(failed.clone());
            return Err(failed);
        }
        if result.is_err() {
            self.effects.back_to(before);
            self.mark("ROLLBACK TO one")?;
        }
        self.mark("RELEASE one")?;
        result
    }

    /// Marks the begin or the end of one write. After a failure nobody can tell what would be kept.
    fn mark(&mut self, sql: &str) -> Result<(), StoreError> {
        let marked = self.connection.prepare_cached(sql).and_then(|mut sql| sql.execute([]));
        marked.map(drop).map_err(|error| {
            let error = StoreError::from(error);
            self.lost = Some(error.clone());
            error
        })
    }

    /// Makes everything durable, then visible: first the state, then the feeds.
    pub(super) fn commit(mut self, chores: &mut Chores) -> Result<(), StoreError> {
        if let Some(lost) = self.lost.take() {
            return Err(lost);
        }
        // A request that was refused changed nothing: no page is written and nothing is synced.
        let changed = self
            .effects
            .touched
            .values()
            .filter(|touched| touched.state != touched.database.state());
        for touched in changed {
            save_state(self.connection, touched.database.key, &touched.state)?;
        }
        let wrote = self.connection.total_changes() != self.changes_before;
        self.connection.prepare_cached("COMMIT")?.execute([])?;
        self.open = false;
        if wrote {
            self.shared.stats.commits.add(1);
        }
        let effects = std::mem::take(&mut self.effects);
        self.shared.stats.document_writes.add(effects.revisions);
        for database in effects.created {
            self.shared.catalog.add(database);
        }
        for touched in effects.touched.into_values() {
            let sequence = touched.state.sequence;
            let moved = touched.database.feed.committed().sequence != sequence;
            touched.database.set_state(touched.state);
            chores.look_at(&touched.database);
            if moved {
                let changes = if touched.followed { touched.changes } else { Vec::new() };
                let hub = &touched.database.feed;
                hub.publish(sequence, changes);
                if hub.has_audiences() {
                    self.shared.herald.call(hub);
                }
            }
        }
        for database in effects.dropped {
            // Not the one of the same name that may have been made after it.
            let current = self.shared.catalog.get(&database.name);
            if current.is_some_and(|current| current.key == database.key) {
                self.shared.catalog.remove(&database.name);
            }
            database.feed.end();
        }
        chores.add(effects.chores);
        for database in effects.compactions {
            chores.compact(&database);
        }
        Ok(())
    }

    /// The database of this name as this transaction sees it.
    pub(super) fn database_named(&self, name: &str) -> Option<Arc<Database>> {
        let created = self.effects.created.iter().rev().find(|database| database.name == name);
        let found = created.cloned().or_else(|| self.shared.catalog.get(name))?;
        self.exists(&found).then_some(found)
    }

    /// How many databases there are.
    pub(super) fn database_count(&self) -> usize {
        self.shared.catalog.len() + self.effects.created.len()
    }

    fn exists(&self, database: &Database) -> bool {
        self.effects.dropped.iter().all(|dropped| dropped.key != database.key)
    }

    pub(super) fn created(&mut self, database: Arc<Database>) {
        self.effects.created.push(database);
    }

    pub(super) fn dropped(&mut self, database: Arc<Database>) {
        self.effects.chores.push(Chore::Bury { database: database.key });
        self.effects.dropped.push(database);
    }

    /// Asks for a compaction, once this is committed.
    pub(super) fn compact(&mut self, database: Arc<Database>) {
        self.effects.compactions.push(database);
    }

    /// The state of a database, to be changed.
    pub(super) fn state(&mut self, database: &Arc<Database>) -> Result<&mut State, StoreError> {
        Ok(&mut self.touch(database)?.state)
    }

    /// Whether a feed will want the changes of this transaction.
    pub(super) fn is_followed(&mut self, database: &Arc<Database>) -> Result<bool, StoreError> {
        Ok(self.touch(database)?.followed)
    }

    /// Remembers a revision that was stored, for those who follow.
    pub(super) fn changed(
        &mut self,
        database: &Arc<Database>,
        change: Option<Change>,
    ) -> Result<(), StoreError> {
        self.effects.revisions += 1;
        let touched = self.touch(database)?;
        touched.changes.extend(change.map(Arc::new));
        Ok(())
    }

    fn touch(&mut self, database: &Arc<Database>) -> Result<&mut Touched, StoreError> {
        let created = || self.effects.created.iter().any(|created| created.key == database.key);
        let current = || {
            let current = self.shared.catalog.get(&database.name);
            current.is_some_and(|current| current.key == database.key)
        };
        if !self.exists(database) || !(current() || created()) {
            return Err(StoreError::DatabaseGone);
        }
        Ok(self.effects.touched.entry(database.key).or_insert_with(|| Touched {
            database: Arc::clone(database),
            state: database.state(),
            changes: Vec::new(),
            followed: database.feed.has_followers(),
        }))
    }
}

impl Drop for Transaction<'_> {
    fn drop(&mut self) {
        if self.open
            && !self.connection.is_autocommit()
            && let Err(error) = self.connection.execute_batch("ROLLBACK")
        {
            tracing::error!(%error, "a transaction of the store could not be rolled back");
        }
    }
}

fn save_state(connection: &Connection, key: i64, state: &State) -> Result<(), StoreError> {
    let mut statement = connection.prepare_cached(
        "UPDATE databases SET sequence = ?2, documents = ?3, tombstones = ?4, bytes = ?5, \
         revs_limit = ?6, security = ?7, purge_sequence = ?8, purges_limit = ?9, \
         superseded = ?10 WHERE key = ?1",
    )?;
    statement.execute((
        key,
        state.sequence,
        state.documents,
        state.tombstones,
        state.bytes,
        state.revs_limit,
        state.security.as_deref(),
        state.purge_sequence,
        state.purges_limit,
        state.superseded,
    ))?;
    Ok(())
}
