//! What can go wrong when a store is opened, and later when it works.

use rusqlite::ErrorCode;
use std::path::PathBuf;

/// Why a store could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process (or another [`Store`](crate::Store) of this one) holds the directory.
    #[error(
        "open the store in {directory}: {holder} holds it; stop that process or give another directory",
        directory = directory.display(),
        holder = holder(*pid),
    )]
    InUse {
        /// The directory that was asked for.
        directory: PathBuf,
        /// The process that wrote the lock file, when the file could be read.
        pid: Option<u32>,
    },
    /// The file is not a store, or is damaged.
    #[error("open the store {file}: {detail}; move the file away or restore a copy", file = file.display())]
    Corrupt {
        /// The file that is damaged.
        file: PathBuf,
        /// What was seen.
        detail: String,
    },
    /// A later version of this program wrote the store.
    #[error(
        "open the store {file}: its format is {found} and this program knows up to {known}; use a newer blitz",
        file = file.display()
    )]
    Newer {
        /// The file that is too new.
        file: PathBuf,
        /// The format of the file.
        found: u32,
        /// The newest format that this program reads and writes.
        known: u32,
    },
    /// The directory or a file in it cannot be written.
    #[error("open the store in {path}: it is read-only; give a directory that this user may write", path = path.display())]
    ReadOnly {
        /// What cannot be written.
        path: PathBuf,
    },
    /// The path leads to a file, or through one.
    #[error("open the store in {path}: it is not a directory; give another path", path = path.display())]
    NotDirectory {
        /// What is no directory.
        path: PathBuf,
    },
    /// There is no room for the first bytes.
    #[error("open the store in {path}: the disk is full; free some space and start again", path = path.display())]
    Full {
        /// What could not be written.
        path: PathBuf,
    },
    /// Anything else that the operating system or SQLite refused.
    #[error(
        "open the store in {path}: {cause}; mend that or give another directory",
        path = path.display()
    )]
    Io {
        /// What was being opened.
        path: PathBuf,
        /// What was refused.
        #[source]
        cause: std::io::Error,
    },
}

fn holder(pid: Option<u32>) -> String {
    pid.map_or_else(|| String::from("another process"), |pid| format!("process {pid}"))
}

/// Why the store could not do what a request asked.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum StoreError {
    /// SQLite or the disk under it refused.
    #[error("the store failed: {0}")]
    Failed(std::sync::Arc<str>),
    /// There is no room for what was asked. Nothing of it is kept, and what is there stays.
    #[error("the store's disk is full; free some space, then writes go on by themselves")]
    Full,
    /// The store holds something that it never wrote.
    #[error("the store is damaged: {0}")]
    Damaged(&'static str),
    /// The database was deleted since the request came.
    #[error("the database was deleted")]
    DatabaseGone,
    /// The store is closing down, or its thread died.
    #[error("the store is closed")]
    Closed,
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> StoreError {
        let next = match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => return StoreError::Full,
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
                "; stop the server, move its file away and restore a copy"
            }
            Some(ErrorCode::ReadOnly | ErrorCode::SystemIoFailure) => {
                "; see that its disk can be written, then restart the server"
            }
            _ => "",
        };
        StoreError::Failed(format!("{error}{next}").into())
    }
}

impl From<crate::revision::codec::Damaged> for StoreError {
    fn from(_: crate::revision::codec::Damaged) -> StoreError {
        StoreError::Damaged("a revision tree cannot be read")
    }
}
