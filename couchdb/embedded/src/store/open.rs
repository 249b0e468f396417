//! Opening a store: the lock, the file, its format, the connections.

use super::{
    Store,
    chores::Chores,
    database, databases,
    engine::Engine,
    lock::{self, DirectoryLock},
    schema::{self, Found},
    transaction::{Shared, Transaction},
};
use crate::{
    error::{OpenError, StoreError},
    options::{Options, Storage},
    revision::hex,
};
use rusqlite::{Connection, ErrorCode, OpenFlags, config::DbConfig};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

/// The one file of a store, beside its lock and SQLite's log.
const FILE: &str = "store.sqlite";

pub(super) fn open(storage: Storage, options: Options) -> Result<Store, OpenError> {
    match storage {
        Storage::Memory => {
            let path = Path::new(":memory:");
            let open = || -> rusqlite::Result<Store> {
                let connection = Connection::open_in_memory()?;
                schema::prepare_writer(&connection, false)?;
                schema::prepare_file(&connection, false)?;
                start(connection, Vec::new(), None, options)
            };
            open().map_err(|error| explain(path, &error))
        }
        Storage::Directory(directory) => {
            let lock = DirectoryLock::take(&directory)?;
            let file = directory.join(FILE);
            // SQLite would make it with the rights that the umask leaves, and its log like it.
            lock::open_private(&file).map_err(|cause| lock::open_error(file.clone(), cause))?;
            let open = || on_disk(&file, lock, options);
            match open() {
                Ok(opened) => opened,
                Err(error) => Err(explain(&file, &error)),
            }
        }
    }
}

fn on_disk(
    file: &Path,
    lock: DirectoryLock,
    options: Options,
) -> rusqlite::Result<Result<Store, OpenError>> {
    let writer = Connection::open(file)?;
    // Until it is known to be ours, not even its log is worked off.
    writer.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    schema::prepare_writer(&writer, true)?;
    let corrupt = |detail: &str| {
        Ok(Err(OpenError::Corrupt { file: file.to_owned(), detail: detail.to_owned() }))
    };
    match schema::prepare_file(&writer, true)? {
        Found::New | Found::Ours => {
            writer.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false)?;
            for suffix in ["", "-wal", "-shm"] {
                let mut path = file.as_os_str().to_owned();
                path.push(suffix);
                lock::tighten(Path::new(&path));
            }
        }
        Found::Newer(found) => {
            return Ok(Err(OpenError::Newer {
                file: file.to_owned(),
                found,
                known: schema::FORMAT,
            }));
        }
        Found::Foreign => return corrupt("it is a SQLite file of another program"),
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut readers = Vec::new();
    for _ in 0..Engine::readers() {
        let reader = Connection::open_with_flags(file, flags)?;
        schema::prepare_reader(&reader)?;
        readers.push(reader);
    }
    start(writer, readers, Some(lock), options).map(Ok)
}

fn start(
    writer: Connection,
    readers: Vec<Connection>,
    lock: Option<DirectoryLock>,
    options: Options,
) -> rusqlite::Result<Store> {
    let directory = lock.as_ref().map(|lock| lock.directory().to_owned());
    let uuid = schema::meta(&writer, "uuid", database::random_id)?;
    // The only refusal is that of a thread; SQLite's error carries it to the caller.
    let thread = |error| rusqlite::Error::ToSqlConversionFailure(Box::new(error));
    let shared = Arc::new(Shared::new().map_err(thread)?);
    for database in databases::load(&writer)? {
        shared.catalog.add(database);
    }
    let cookie_secret = schema::meta(&writer, "cookie_secret", || hex(&database::random::<32>()))?;
    let mut chores = Chores::of(&writer, &shared.catalog)?;
    // Its own error is one of SQLite or says that the store is damaged; both end in `explain`.
    make_system(&writer, &shared, &mut chores)
        .map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))?;
    let engine = Engine::start(writer, readers, Arc::clone(&shared), chores).map_err(thread)?;
    Ok(Store { engine, shared, options, uuid, directory, cookie_secret, _lock: lock })
}

/// Makes the databases of the system that are missing.
fn make_system(
    writer: &Connection,
    shared: &Shared,
    chores: &mut Chores,
) -> Result<(), StoreError> {
    if database::SYSTEM.iter().all(|name| shared.catalog.get(name).is_some()) {
        return Ok(());
    }
    let mut transaction = Transaction::begin(writer, shared)?;
    for name in database::SYSTEM {
        databases::create(&mut transaction, name.to_owned(), SYSTEM_SHARDS)?;
    }
    transaction.commit(chores)
}

/// The `q` that they tell of; CouchDB's default.
const SYSTEM_SHARDS: u32 = 2;

/// What SQLite's refusal means to the caller.
fn explain(file: &Path, error: &rusqlite::Error) -> OpenError {
    let path: PathBuf = file.to_owned();
    match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => {
            OpenError::Corrupt { file: path, detail: error.to_string() }
        }
        Some(ErrorCode::DiskFull) => OpenError::Full { path },
        Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => OpenError::ReadOnly { path },
        Some(ErrorCode::CannotOpen) => {
            // SQLite does not say why; the operating system does.
            let reason = std::fs::OpenOptions::new().read(true).write(true).open(file);
            match reason {
                Err(cause) => lock::open_error(path, cause),
                Ok(_) => OpenError::Io { path, cause: std::io::Error::other(error.to_string()) },
            }
        }
        _ => OpenError::Io { path, cause: std::io::Error::other(error.to_string()) },
    }
}
