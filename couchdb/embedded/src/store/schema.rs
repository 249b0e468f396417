//! The tables, the version of their format, and what is asked of every connection.
//!
//! All databases live in one SQLite file: one write-ahead log, so that writes to several databases
//! share one commit and one fdatasync.

use rusqlite::{Connection, OptionalExtension as _};

/// `PRAGMA user_version` of the files that this program writes.
pub(super) const FORMAT: u32 = 2;

/// `PRAGMA application_id`: "bltz". A SQLite file without it is not ours.
pub(super) const APPLICATION: i32 = 0x626c_747a;

/// The bytes of one piece of an attachment: what a reader holds in memory at a time.
pub(crate) const CHUNK_BYTES: usize = 256 << 10;

/// An attachment's pieces have the keys `blob * CHUNKS_MAX + n`, so that no index is needed.
/// With [`CHUNK_BYTES`] this would allow 16 GiB.
pub(super) const CHUNKS_MAX: i64 = 1 << 16;

const TABLES: &str = "
CREATE TABLE meta (
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE databases (
    key INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT UNIQUE,          -- NULL: deleted, its rows are being removed
    identity INTEGER NOT NULL, -- random; part of every sequence that is given out
    started_us INTEGER NOT NULL,
    shards INTEGER NOT NULL,   -- the q that was asked for: told, not used
    revs_limit INTEGER NOT NULL,
    security TEXT,             -- NULL: administrators only
    sequence INTEGER NOT NULL,
    documents INTEGER NOT NULL,
    tombstones INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    superseded INTEGER NOT NULL DEFAULT 0, -- bodies that a compaction would drop
    purge_sequence INTEGER NOT NULL DEFAULT 0,
    purges_limit INTEGER NOT NULL DEFAULT 1000
);

-- The revision, the tombstone flag and the body are those of the winner.
CREATE TABLE documents (
    database INTEGER NOT NULL,
    id TEXT NOT NULL,
    sequence INTEGER NOT NULL,
    revision TEXT NOT NULL,
    deleted INTEGER NOT NULL,
    body INTEGER,
    tree BLOB NOT NULL,
    PRIMARY KEY (database, id)
) WITHOUT ROWID;
CREATE UNIQUE INDEX changes ON documents (database, sequence);

-- Bodies are appended; only trees point to them.
CREATE TABLE bodies (
    key INTEGER PRIMARY KEY,
    text TEXT NOT NULL,
    attachments TEXT
);

CREATE TABLE locals (
    database INTEGER NOT NULL,
    id TEXT NOT NULL,
    revision INTEGER NOT NULL,
    text TEXT NOT NULL,
    PRIMARY KEY (database, id)
) WITHOUT ROWID;

-- Keys are never used again: somebody may still be reading an attachment that is gone.
CREATE TABLE blobs (
    key INTEGER PRIMARY KEY AUTOINCREMENT,
    uses INTEGER NOT NULL,     -- bodies that carry it
    length INTEGER NOT NULL
);
CREATE TABLE chunks (
    key INTEGER PRIMARY KEY,
    data BLOB NOT NULL
);

-- What was purged, for indexes that were built before.
CREATE TABLE purges (
    database INTEGER NOT NULL,
    sequence INTEGER NOT NULL, -- of purges, not of changes
    id TEXT NOT NULL,
    revisions TEXT NOT NULL,
    PRIMARY KEY (database, sequence)
) WITHOUT ROWID;
";

/// What brings a file of each earlier format to the next: the first is of format 1.
const MIGRATIONS: [&str; 1] = ["
ALTER TABLE databases ADD COLUMN superseded INTEGER NOT NULL DEFAULT 0;
ALTER TABLE databases ADD COLUMN purge_sequence INTEGER NOT NULL DEFAULT 0;
ALTER TABLE databases ADD COLUMN purges_limit INTEGER NOT NULL DEFAULT 1000;
CREATE TABLE purges (
    database INTEGER NOT NULL,
    sequence INTEGER NOT NULL,
    id TEXT NOT NULL,
    revisions TEXT NOT NULL,
    PRIMARY KEY (database, sequence)
) WITHOUT ROWID;
"];

/// What a file turned out to be.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// Nothing; the tables were made.
    New,
    /// A store of this format.
    Ours,
    /// A store of a later format.
    Newer(u32),
    /// A SQLite file of some other program.
    Foreign,
}

/// Settings of a connection that writes. `durable` is false in memory.
pub(super) fn prepare_writer(connection: &Connection, durable: bool) -> rusqlite::Result<()> {
    connection.busy_timeout(BUSY_TIMEOUT)?;
    if durable {
        // A commit returns after fdatasync of the log: what is acknowledged survives the machine.
        connection.pragma_update(None, "synchronous", "FULL")?;
        // After a burst the log is cut back to this many bytes.
        connection.pragma_update(None, "journal_size_limit", 16 << 20)?;
    }
    prepare_reader(connection)
}

/// Settings of every connection.
pub(super) fn prepare_reader(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    // Negative: in KiB.
    connection.pragma_update(None, "cache_size", -16_384)?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(())
}

/// Nobody else should be in the file; this is for a person who looks at it with `sqlite3`.
const BUSY_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(5);

/// Looks at the file and makes the tables in an empty one.
pub(super) fn prepare_file(connection: &Connection, durable: bool) -> rusqlite::Result<Found> {
    let number = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let version = number("user_version")?;
    let application = number("application_id")?;
    let tables: i64 =
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if tables > 0 && application != i64::from(APPLICATION) {
        return Ok(Found::Foreign);
    }
    let version = u32::try_from(version).unwrap_or(u32::MAX);
    if version > FORMAT {
        return Ok(Found::Newer(version));
    }
    if tables > 0 {
        if durable {
            connection.pragma_update(None, "journal_mode", "WAL")?;
        }
        migrate(connection, version)?;
        return Ok(Found::Ours);
    }
    // Must come before the first table; lets removed databases give their pages back.
    connection.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
    if durable {
        connection.pragma_update(None, "journal_mode", "WAL")?;
    }
    connection.execute_batch("BEGIN IMMEDIATE")?;
    connection.execute_batch(TABLES)?;
    connection.pragma_update(None, "application_id", APPLICATION)?;
    connection.pragma_update(None, "user_version", FORMAT)?;
    connection.execute_batch("COMMIT")?;
    Ok(Found::New)
}

/// Brings the tables of an earlier format to this one: all of it, or nothing.
fn migrate(connection: &Connection, found: u32) -> rusqlite::Result<()> {
    if found == FORMAT {
        return Ok(());
    }
    let transaction = connection.unchecked_transaction()?;
    let done = usize::try_from(found.saturating_sub(1)).unwrap_or(usize::MAX);
    for statements in MIGRATIONS.iter().skip(done) {
        transaction.execute_batch(statements)?;
    }
    transaction.pragma_update(None, "user_version", FORMAT)?;
    transaction.commit()
}

/// A value of the table `meta`, made by `make` when it is not there.
pub(super) fn meta(
    connection: &Connection,
    name: &str,
    make: impl FnOnce() -> String,
) -> rusqlite::Result<String> {
    let known: Option<String> = connection
        .query_row("SELECT value FROM meta WHERE name = ?1", [name], |row| row.get(0))
        .optional()?;
    if let Some(value) = known {
        return Ok(value);
    }
    let value = make();
    connection.execute("INSERT INTO meta (name, value) VALUES (?1, ?2)", (name, &value))?;
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The tables as the first version of this program made them, as far as they have changed since.
    const FORMAT_1: &str = "
        CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
        CREATE TABLE databases (
            key INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT UNIQUE, identity INTEGER NOT NULL,
            started_us INTEGER NOT NULL, shards INTEGER NOT NULL, revs_limit INTEGER NOT NULL,
            security TEXT, sequence INTEGER NOT NULL, documents INTEGER NOT NULL,
            tombstones INTEGER NOT NULL, bytes INTEGER NOT NULL
        );
        INSERT INTO databases VALUES (1, 'db', 7, 8, 2, 1000, NULL, 5, 4, 1, 99);
        PRAGMA user_version = 1;
    ";

    #[test]
    fn a_file_of_format_1_becomes_one_of_this_format_and_keeps_its_rows() {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(FORMAT_1).unwrap();
        connection.pragma_update(None, "application_id", APPLICATION).unwrap();
        for _ in 0..2 {
            assert_eq!(prepare_file(&connection, false).unwrap(), Found::Ours);
            let version: u32 =
                connection.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap();
            assert_eq!(version, FORMAT);
        }
        let row: (i64, u64, u64, u64) = connection
            .query_row(
                "SELECT identity, sequence, purge_sequence, purges_limit FROM databases",
                [],
                |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)),
            )
            .unwrap();
        assert_eq!(row, (7, 5, 0, super::super::purge::HISTORY_LIMIT));
        let fresh = Connection::open_in_memory().unwrap();
        assert_eq!(prepare_file(&fresh, false).unwrap(), Found::New);
        let columns = |connection: &Connection, table: &str| -> Vec<String> {
            let sql = format!("SELECT name FROM pragma_table_info('{table}') ORDER BY cid");
            let mut statement = connection.prepare(&sql).unwrap();
            let rows = statement.query_map([], |row| row.get(0)).unwrap();
            rows.map(Result::unwrap).collect()
        };
        assert_eq!(columns(&connection, "purges"), columns(&fresh, "purges"));
        let sorted = |connection: &Connection| {
            let mut columns = columns(connection, "databases");
            columns.sort();
            columns
        };
        assert_eq!(sorted(&connection), sorted(&fresh));
    }
}
