//! A directory: who holds it, what survives, what is refused.

use crate::client::Server;
use blitz_embedded::{OpenError, Options, Storage, Store};
use std::{path::Path, sync::Arc};

fn open(directory: &Path) -> Result<Arc<Store>, OpenError> {
    Store::open(Storage::Directory(directory.to_owned()), Options::default())
}

#[tokio::test]
async fn everything_is_there_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let storage = Storage::Directory(directory.path().join("made/when/missing"));
    let server = Server::start(storage.clone(), Options::default()).await;
    assert_eq!(server.ask("PUT /db?q=3", "").await.status, 201);
    server.ask("PUT /db/a", r#"{"v":1}"#).await;
    server.ask("PUT /db/_local/c", r#"{"v":2}"#).await;
    server.ask("PUT /db/b/x", "attached").await;
    server.ask("PUT /db/_revs_limit", "7").await;
    server.ask("PUT /db/_security", r#"{"members":{"names":["n"]}}"#).await;
    let paths = [
        "/db",
        "/db/a",
        "/db/_local/c",
        "/db/b/x",
        "/db/_revs_limit",
        "/db/_security",
        "/db/_changes",
    ];
    let mut before = Vec::new();
    for path in paths {
        before.push(server.ask(&format!("GET {path}"), "").await.body);
    }
    let uuid = server.ask("GET /", "").await.json()["uuid"].clone();
    server.stop().await;
    // A store that was closed has no log left: its one file is the whole.
    assert!(!directory.path().join("made/when/missing/store.sqlite-wal").exists());
    let server = Server::start(storage, Options::default()).await;
    for (path, before) in paths.iter().zip(before) {
        assert_eq!(server.ask(&format!("GET {path}"), "").await.body, before, "{path}");
    }
    assert_eq!(server.ask("GET /", "").await.json()["uuid"], uuid);
}

#[test]
fn a_directory_has_one_holder_and_its_name_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let first = open(directory.path()).unwrap();
    let second = open(directory.path()).unwrap_err();
    let OpenError::InUse { pid, .. } = &second else { panic!("{second}") };
    assert_eq!(*pid, Some(std::process::id()));
    assert!(second.to_string().contains(&format!("process {} holds it", std::process::id())));
    drop(first);
    drop(open(directory.path()).unwrap());
}

#[test]
fn what_is_no_store_is_refused_and_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("store.sqlite");

    std::fs::write(&file, "not a database, but long enough to be looked at".repeat(100)).unwrap();
    let error = open(directory.path()).unwrap_err();
    assert!(matches!(error, OpenError::Corrupt { .. }), "{error}");
    assert!(std::fs::read_to_string(&file).unwrap().starts_with("not a database"));

    std::fs::remove_file(&file).unwrap();
    let other = rusqlite::Connection::open(&file).unwrap();
    other.execute_batch("CREATE TABLE mine (x)").unwrap();
    drop(other);
    let error = open(directory.path()).unwrap_err();
    assert!(error.to_string().contains("another program"), "{error}");

    std::fs::remove_file(&file).unwrap();
    drop(open(directory.path()).unwrap());
    let newer = rusqlite::Connection::open(&file).unwrap();
    newer.pragma_update(None, "user_version", 99).unwrap();
    drop(newer);
    let error = open(directory.path()).unwrap_err();
    assert!(matches!(error, OpenError::Newer { found: 99, .. }), "{error}");
}

/// The rights of what is in a directory that others may enter.
#[cfg(unix)]
#[test]
fn the_files_of_a_store_are_for_its_user_alone() {
    use std::{fs::Permissions, os::unix::fs::PermissionsExt as _};
    let directory = tempfile::tempdir().unwrap();
    std::fs::set_permissions(directory.path(), Permissions::from_mode(0o755)).unwrap();
    let check = || {
        for name in ["store.sqlite", "store.sqlite-wal", "store.sqlite-shm", "lock"] {
            let metadata = std::fs::metadata(directory.path().join(name)).unwrap();
            assert_eq!(metadata.permissions().mode() & 0o777, 0o600, "{name}");
        }
    };
    let store = open(directory.path()).unwrap();
    check();
    drop(store);
    // As a version before this one left them.
    for name in ["store.sqlite", "lock"] {
        let path = directory.path().join(name);
        std::fs::set_permissions(path, Permissions::from_mode(0o644)).unwrap();
    }
    let store = open(directory.path()).unwrap();
    check();
    drop(store);
    // A file that is not ours keeps its rights.
    let file = directory.path().join("store.sqlite");
    std::fs::write(&file, "not a database, but long enough to be looked at".repeat(100)).unwrap();
    std::fs::set_permissions(&file, Permissions::from_mode(0o644)).unwrap();
    open(directory.path()).unwrap_err();
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o644);
}

#[test]
fn a_path_that_is_a_file_is_an_error_that_names_it() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    std::fs::write(&file, "").unwrap();
    let error = open(&file).unwrap_err();
    assert!(error.to_string().contains(file.to_str().unwrap()), "{error}");
}
