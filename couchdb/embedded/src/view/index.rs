//! One index: the rows of a group of views in a SQLite file of their own.
//!
//! Rows and the sequence that they were made from change in one transaction, so that an index never
//! claims what it lacks. It can always be made again from the store, which is why its commits do not wait
//! for the disk: after a loss of power it may be older than it was. One that is damaged is made anew.

use super::design::Group;
use crate::{
    error::StoreError,
    sequence::{Identity, Sequence},
};
use rusqlite::{Connection, OpenFlags, OptionalExtension as _};
use std::{path::Path, path::PathBuf, sync::Arc};
use tokio::sync::{Mutex, OwnedMutexGuard, Semaphore};

const TABLES: &str = "
CREATE TABLE state (
    identity INTEGER NOT NULL,   -- of the database
    sequence INTEGER NOT NULL,   -- up to which its documents are in the rows
    purged INTEGER NOT NULL      -- the purge sequence up to which purged ones are not
);
CREATE TABLE views (
    view INTEGER PRIMARY KEY,
    rows INTEGER NOT NULL,
    numbers INTEGER NOT NULL,    -- rows whose value is a number or a list
    objects INTEGER NOT NULL     -- rows whose value is an object
);
CREATE TABLE rows (
    view INTEGER NOT NULL,
    key BLOB NOT NULL,           -- in the order of the view's collation
    id TEXT NOT NULL,
    number INTEGER NOT NULL,     -- among the rows of this document in this view
    kind INTEGER NOT NULL,
    emitted TEXT NOT NULL,       -- the key as JSON
    value TEXT NOT NULL,
    PRIMARY KEY (view, key, id, number)
) WITHOUT ROWID;
CREATE INDEX documents ON rows (id);
";

/// Connections that read an index on disk, beside the one that writes it.
const READERS: usize = 2;

/// What a connection keeps of the file in memory, in KiB (negative in SQLite's words).
const CACHE_KIB: i64 = -8192;

/// An index that is open.
#[derive(Debug)]
pub(crate) struct Index {
    /// Its views. Whoever runs their functions takes them from here, so that they are compiled once.
    pub(crate) group: Group,
    /// None in memory.
    pub(crate) file: Option<PathBuf>,
    writer: Arc<Mutex<Connection>>,
    /// Empty in memory: the writer reads too.
    readers: Vec<Arc<Mutex<Connection>>>,
    free: Arc<Semaphore>,
    /// Held while the index is brought up to date: those who wait for it share the work.
    pub(crate) updating: Mutex<()>,
}

/// A connection to read with; other readers use other ones.
pub(crate) struct Reader {
    connection: OwnedMutexGuard<Connection>,
    _place: tokio::sync::OwnedSemaphorePermit,
}

/// The rows of some documents, to replace those that the index has of them.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    /// Documents whose rows go.
    pub(crate) removed: Vec<String>,
    pub(crate) rows: Vec<NewRow>,
    /// The new purge sequence, where these were purged.
    pub(crate) purged: Option<Sequence>,
}

/// A row to be.
#[derive(Debug)]
pub(crate) struct NewRow {
    pub(crate) view: usize,
    pub(crate) key: Vec<u8>,
    pub(crate) id: String,
    pub(crate) number: usize,
    pub(crate) emitted: Box<str>,
    pub(crate) value: Box<str>,
}

/// What a view counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) rows: u64,
    pub(crate) numbers: u64,
    pub(crate) objects: u64,
}

impl Index {
    /// Opens the index of a group, and makes it when there is none that can be used.
    pub(crate) fn open(
        file: Option<PathBuf>,
        identity: Identity,
        group: Group,
    ) -> Result<Index, StoreError> {
        let views = group.views.len();
        let (writer, readers) = match &file {
            None => (Connection::open_in_memory()?, Vec::new()),
            Some(path) => match open_file(path, identity, views) {
                Ok(opened) => opened,
                Err(error) => {
                    tracing::warn!(%error, file = %path.display(), "a view's index is made anew");
                    remove(path);
                    open_file(path, identity, views)?
                }
            },
        };
        if file.is_none() {
            prepare(&writer)?;
            create(&writer, identity, views)?;
        }
        let places = readers.len().max(1);
        let share = |connection| Arc::new(Mutex::new(connection));
        Ok(Index {
            group,
            file,
            writer: share(writer),
            readers: readers.into_iter().map(share).collect(),
            free: Arc::new(Semaphore::new(places)),
            updating: Mutex::new(()),
        })
    }

    /// Waits for a connection to read with.
    pub(crate) async fn reader(&self) -> Result<Reader, StoreError> {
        let place = Arc::clone(&self.free).acquire_owned().await;
        let place = place.map_err(|_| StoreError::Closed)?;
        for reader in &self.readers {
            if let Ok(connection) = Arc::clone(reader).try_lock_owned() {
                return Ok(Reader { connection, _place: place });
            }
        }
        // In memory; on disk there is a free one for each place.
        let connection = Arc::clone(&self.writer).lock_owned().await;
        Ok(Reader { connection, _place: place })
    }

    /// Up to where the rows are those of the database.
    pub(crate) async fn sequence(&self) -> Result<Sequence, StoreError> {
        let (sequence, _) = self.reader().await?.run(sequence).await?;
        Ok(sequence)
    }

    /// Up to which purge sequence the rows of purged documents are gone.
    pub(crate) async fn purged(&self) -> Result<Sequence, StoreError> {
        let read = |sql: &Connection| {
            let mut statement = sql.prepare_cached("SELECT purged FROM state")?;
            Ok(statement.query_row([], |row| row.get(0))?)
        };
        Ok(self.reader().await?.run(read).await?.0)
    }

    /// Replaces the rows of some documents. They are those of the changes from `from` to `to`.
    pub(crate) async fn apply(
        &self,
        batch: Batch,
        from: Sequence,
        to: Sequence,
    ) -> Result<(), StoreError> {
        let mut writer = Arc::clone(&self.writer).lock_owned().await;
        let work = move || apply(&mut writer, batch, from, to);
        tokio::task::spawn_blocking(work).await.map_err(|_| StoreError::Closed)?
    }

    /// Empties the index: the database is not what it was made from.
    pub(crate) async fn clear(&self) -> Result<(), StoreError> {
        let writer = Arc::clone(&self.writer).lock_owned().await;
        let work = move || {
            let sql = "BEGIN IMMEDIATE; DELETE FROM rows; UPDATE state SET sequence = 0, purged = 0; \
                UPDATE views SET rows = 0, numbers = 0, objects = 0; COMMIT";
            writer.execute_batch(sql).map_err(StoreError::from)
        };
        tokio::task::spawn_blocking(work).await.map_err(|_| StoreError::Closed)?
    }

    /// Gives free pages back to the file system.
    pub(crate) async fn compact(&self) -> Result<(), StoreError> {
        let writer = Arc::clone(&self.writer).lock_owned().await;
        let work = move || writer.execute_batch("VACUUM").map_err(StoreError::from);
        tokio::task::spawn_blocking(work).await.map_err(|_| StoreError::Closed)?
    }
}

impl Reader {
    /// Runs `read` on a thread that may wait for the disk, and takes the connection back.
    pub(crate) async fn run<T: Send + 'static>(
        self,
        read: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<(T, Reader), StoreError> {
        let work = move || read(&self.connection).map(|done| (done, self));
        tokio::task::spawn_blocking(work).await.map_err(|_| StoreError::Closed)?
    }

    /// From here on all reads see the same rows, until it is dropped.
    pub(crate) async fn hold(self) -> Result<Reader, StoreError> {
        let begin = |sql: &Connection| {
            if !sql.is_autocommit() {
                // A request that was given up in the middle left it.
                sql.execute_batch("ROLLBACK")?;
            }
            sql.execute_batch("BEGIN").map_err(StoreError::from)
        };
        Ok(self.run(begin).await?.1)
    }
}

impl Drop for Reader {
    /// In memory the next to use the connection may be the writer.
    fn drop(&mut self) {
        if !self.connection.is_autocommit()
            && let Err(error) = self.connection.execute_batch("ROLLBACK")
        {
            tracing::error!(%error, "a reader of an index could not be let go");
        }
    }
}

type Opened = (Connection, Vec<Connection>);

fn open_file(path: &Path, identity: Identity, views: usize) -> Result<Opened, StoreError> {
    let writer = Connection::open(path)?;
    prepare(&writer)?;
    writer.pragma_update(None, "journal_mode", "WAL")?;
    // Only when the log is worked off, the disk is waited for: a loss of power then takes the newest rows
    // together with their sequence. Without that it could leave pages of different ages, which nobody
    // would notice before a view lacks rows.
    writer.pragma_update(None, "synchronous", "NORMAL")?;
    writer.pragma_update(None, "journal_size_limit", 4 << 20)?;
    let known = writer.query_row("SELECT identity FROM state", [], |row| row.get::<_, i64>(0));
    match known.optional() {
        Ok(Some(known)) if known == identity.0.cast_signed() => {}
        Ok(Some(_)) => return Err(StoreError::Damaged("an index is of another database")),
        // There is no such table yet.
        _ => create(&writer, identity, views)?,
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut readers = Vec::new();
    for _ in 0..READERS {
        let reader = Connection::open_with_flags(path, flags)?;
        prepare(&reader)?;
        // Opens the log now: later the file of its name may be the log of another index, which took the
        // place of this one after a cleanup.
        reader.query_row("SELECT identity FROM state", [], |_| Ok(()))?;
        readers.push(reader);
    }
    Ok((writer, readers))
}

fn prepare(connection: &Connection) -> Result<(), StoreError> {
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    connection.pragma_update(None, "cache_size", CACHE_KIB)?;
    connection.set_prepared_statement_cache_capacity(32);
    Ok(())
}

/// Only a second server of the same store could be in the file, for the time of one batch.
const BUSY_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(5);

fn create(connection: &Connection, identity: Identity, views: usize) -> Result<(), StoreError> {
    let transaction = connection.unchecked_transaction()?;
    transaction.execute_batch(TABLES)?;
    let sql = "INSERT INTO state (identity, sequence, purged) VALUES (?1, 0, 0)";
    transaction.execute(sql, [identity.0.cast_signed()])?;
    for view in 0..views {
        let sql = "INSERT INTO views (view, rows, numbers, objects) VALUES (?1, 0, 0, 0)";
        transaction.execute(sql, [view])?;
    }
    Ok(transaction.commit()?)
}

/// Whether SQLite found a file that is no sound index: a loss of power can leave one.
pub(crate) fn is_damaged(error: &StoreError) -> bool {
    // SQLite's texts for SQLITE_CORRUPT and SQLITE_NOTADB.
    let texts = ["malformed", "not a database"];
    matches!(error, StoreError::Failed(text) if texts.iter().any(|part| text.contains(part)))
}

/// Removes the files of an index.
pub(crate) fn remove(path: &Path) {
    for suffix in ["", "-wal", "-shm", "-journal"] {
        let mut file = path.as_os_str().to_owned();
        file.push(suffix);
        match std::fs::remove_file(&file) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                tracing::warn!(%error, file = %path.display(), "an index could not be removed");
            }
            _ => {}
        }
    }
}

pub(crate) fn sequence(connection: &Connection) -> Result<Sequence, StoreError> {
    let mut statement = connection.prepare_cached("SELECT sequence FROM state")?;
    Ok(statement.query_row([], |row| row.get(0))?)
}

/// How many rows a view has.
pub(crate) fn counts(connection: &Connection, view: usize) -> Result<Counts, StoreError> {
    let mut statement =
        connection.prepare_cached("SELECT rows, numbers, objects FROM views WHERE view = ?1")?;
    Ok(statement.query_row([view], |row| {
        Ok(Counts { rows: row.get(0)?, numbers: row.get(1)?, objects: row.get(2)? })
    })?)
}

/// What a value is to `_sum`.
fn kind(value: &str) -> u8 {
    match value.as_bytes().first() {
        Some(b'{') => OBJECT,
        Some(b'0'..=b'9' | b'-' | b'[') => NUMBER,
        _ => OTHER,
    }
}

const OTHER: u8 = 0;
const NUMBER: u8 = 1;
const OBJECT: u8 = 2;

fn apply(
    connection: &mut Connection,
    batch: Batch,
    from: Sequence,
    to: Sequence,
) -> Result<(), StoreError> {
    let transaction =
        connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    if sequence(&transaction)? != from {
        return Err(StoreError::Damaged("an index was changed by somebody else"));
    }
    let mut added: Vec<[i64; 3]> = Vec::new();
    let mut count = |view: usize, kind: u8, by: i64| {
        if added.len() <= view {
            added.resize(view + 1, [0; 3]);
        }
        added[view][usize::from(kind)] += by;
    };
    {
        let mut delete =
            transaction.prepare_cached("DELETE FROM rows WHERE id = ?1 RETURNING view, kind")?;
        for id in batch.removed {
            let mut rows = delete.query([id])?;
            while let Some(row) = rows.next()? {
                count(row.get(0)?, row.get(1)?, -1);
            }
        }
        let mut insert = transaction.prepare_cached(
            "INSERT INTO rows (view, key, id, number, kind, emitted, value) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )?;
        for row in batch.rows {
            let kind = kind(&row.value);
            count(row.view, kind, 1);
            let NewRow { view, key, id, number, emitted, value } = row;
            insert.execute((view, key, id, number, kind, emitted, value))?;
        }
        let mut update = transaction.prepare_cached(
            "UPDATE views SET rows = rows + ?2, numbers = numbers + ?3, objects = objects + ?4 \
             WHERE view = ?1",
        )?;
        for (view, [others, numbers, objects]) in added.into_iter().enumerate() {
            update.execute((view, others + numbers + objects, numbers, objects))?;
        }
        let mut state = transaction
            .prepare_cached("UPDATE state SET sequence = ?1, purged = coalesce(?2, purged)")?;
        state.execute((to, batch.purged))?;
    }
    Ok(transaction.commit()?)
}
