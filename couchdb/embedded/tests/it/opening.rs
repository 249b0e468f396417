//! Opening what is no sound store, or where there is no room: the error says what to do, and not a byte is
//! overwritten.

use crate::{
    child::{Served, leave_out},
    client::{Answer, Connection, Server},
};
use blitz_embedded::{OpenError, Options, Storage, Store};
use serde_json::json;
use std::{
    collections::BTreeMap,
    fs::{self, OpenOptions},
    io::{Seek as _, SeekFrom, Write as _},
    path::{Path, PathBuf},
    process::Command,
};

fn open(directory: &Path) -> Result<std::sync::Arc<Store>, OpenError> {
    Store::open(Storage::Directory(directory.to_owned()), Options::default())
}

/// What a directory holds; without the lock, which names its holder, and the index of SQLite's log, which
/// has nothing of its own.
fn contents(directory: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let own = entries.filter(|path| !path.ends_with("lock") && !path.ends_with("store.sqlite-shm"));
    let mut found: BTreeMap<_, _> =
        own.map(|path| (path.clone(), fs::read(&path).unwrap_or_default())).collect();
    // SQLite makes an empty log before it looks further.
    found.retain(|path, bytes| !(path.ends_with("store.sqlite-wal") && bytes.is_empty()));
    found
}

/// A directory with a store of some hundred documents that was closed.
async fn a_store() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let storage = Storage::Directory(directory.path().to_owned());
    let server = Server::start(storage, Options::default()).await;
    assert_eq!(server.ask("PUT /db", "").await.status, 201);
    let docs: Vec<_> = (0..DOCUMENTS)
        .map(|n| json!({"_id": format!("{n:04}"), "text": "x".repeat(300)}))
        .collect();
    let answer = server.ask("POST /db/_bulk_docs", &json!({"docs": docs}).to_string()).await;
    assert_eq!(answer.status, 201);
    server.stop().await;
    directory
}

const DOCUMENTS: usize = 400;
const PAGE: u64 = 4096;

fn overwrite(file: &Path, at: u64, bytes: &[u8]) {
    let mut file = OpenOptions::new().write(true).open(file).unwrap();
    file.seek(SeekFrom::Start(at)).unwrap();
    file.write_all(bytes).unwrap();
}

fn sqlite(file: &Path, sql: &str) {
    rusqlite::Connection::open(file).unwrap().execute_batch(sql).unwrap();
}

/// Leaves a file whose last process had no time to work off its log.
fn sqlite_with_log(file: &Path, sql: &str) {
    let connection = rusqlite::Connection::open(file).unwrap();
    let keep = rusqlite::config::DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE;
    connection.set_db_config(keep, true).unwrap();
    connection.execute_batch(&format!("PRAGMA journal_mode = WAL; {sql}")).unwrap();
}

#[tokio::test]
async fn what_is_no_sound_store_is_refused_and_not_touched() {
    type Damage = fn(&Path);
    let cases: [(&str, Damage, &[&str]); 9] = [
        (
            "a corrupt header",
            |file| overwrite(file, 0, &[0x5a; 100]),
            &["not a database", "move the file away"],
        ),
        (
            "a page size that is none",
            |file| overwrite(file, 16, &[0x12, 0x34]),
            &["not a database", "move the file away"],
        ),
        (
            "a corrupt first page",
            |file| overwrite(file, 100, &[0x5a; 400]),
            &["malformed", "move the file away"],
        ),
        (
            "half of it is gone",
            |file| {
                let length = fs::metadata(file).unwrap().len();
                OpenOptions::new().write(true).open(file).unwrap().set_len(length / 2).unwrap();
            },
            &["malformed", "move the file away"],
        ),
        (
            "a part of the first page is left",
            |file| OpenOptions::new().write(true).open(file).unwrap().set_len(700).unwrap(),
            &["move the file away"],
        ),
        (
            "a file of another program",
            |file| {
                fs::remove_file(file).unwrap();
                sqlite(file, "CREATE TABLE mine (x); INSERT INTO mine VALUES (1)");
            },
            &["another program", "move the file away"],
        ),
        (
            "a file of another program, with its log",
            |file| {
                fs::remove_file(file).unwrap();
                sqlite_with_log(file, "CREATE TABLE mine (x); INSERT INTO mine VALUES (1)");
                assert!(file.with_extension("sqlite-wal").metadata().unwrap().len() > 0);
            },
            &["another program", "move the file away"],
        ),
        (
            "a file of a newer version, with its log",
            |file| sqlite_with_log(file, "PRAGMA user_version = 99"),
            &["its format is 99", "use a newer blitz"],
        ),
        (
            "a directory",
            |file| {
                fs::remove_file(file).unwrap();
                fs::create_dir(file).unwrap();
                fs::write(file.join("inside"), "kept").unwrap();
            },
            &["it is a directory", "move the file away"],
        ),
    ];
    for (name, damage, words) in cases {
        let directory = a_store().await;
        let file = directory.path().join("store.sqlite");
        damage(&file);
        let before = contents(directory.path());
        let error = open(directory.path()).map(drop).expect_err(name).to_string();
        for word in words.iter().copied().chain([file.to_str().unwrap()]) {
            assert!(error.contains(word), "{name}: {error}");
        }
        assert!(contents(directory.path()) == before, "{name}: something was written");
        // The directory is let go.
        fs::remove_dir_all(directory.path()).unwrap();
        drop(open(directory.path()).unwrap());
    }
}

#[tokio::test]
async fn a_file_without_a_byte_is_a_new_store() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("store.sqlite"), "").unwrap();
    drop(open(directory.path()).unwrap());
}

/// Looking at every page would make each start long. Who reads the damage is told, others are served.
#[tokio::test]
async fn damage_in_the_middle_is_told_to_those_who_read_it() {
    let directory = a_store().await;
    let file = directory.path().join("store.sqlite");
    let pages = fs::metadata(&file).unwrap().len() / PAGE;
    overwrite(&file, pages / 2 * PAGE, &vec![0xff; usize::try_from(PAGE).unwrap()]);
    let before = contents(directory.path());
    let storage = Storage::Directory(directory.path().to_owned());
    let server = Server::start(storage, Options::default()).await;
    let (mut sound, mut told) = (0, 0);
    for n in 0..DOCUMENTS {
        let answer = server.ask(&format!("GET /db/{n:04}"), "").await;
        if answer.status == 200 {
            sound += 1;
            continue;
        }
        assert_eq!(answer.status, 500);
        let reason = answer.json()["reason"].as_str().unwrap().to_owned();
        assert!(reason.contains("malformed") && reason.contains("restore a copy"), "{reason}");
        told += 1;
    }
    assert!(sound > DOCUMENTS / 2 && told > 0, "{sound} sound, {told} told");
    server.stop().await;
    assert!(contents(directory.path()) == before, "something was written");
}

#[tokio::test]
async fn two_processes_do_not_share_a_directory_and_a_killed_one_leaves_it() {
    let directory = tempfile::tempdir().unwrap();
    let first = Served::start(directory.path());
    let mut connection = Connection::open(first.address()).await;
    assert_eq!(connection.ask("PUT /db", "").await.status, 201);
    let second = Served::start(directory.path());
    let refused = second.told.as_ref().unwrap_err();
    let holder = format!("process {} holds it; stop that process", first.id());
    assert!(refused.contains(&holder), "{refused}");
    assert_eq!(connection.ask("PUT /db/a", "{}").await.status, 201);
    first.kill();
    let third = Served::start(directory.path());
    let found = Connection::open(third.address()).await.ask("GET /db/a", "").await;
    assert_eq!(found.status, 200);
}

/// Starts a child in a mount namespace of its own, where the script has changed what is at `$D`.
fn elsewhere(directory: &Path, script: &str) -> Served {
    let script = format!("D=\"$BLITZ_EMBEDDED_TEST_CHILD\"; {script} && exec \"$@\"");
    Served::behind(&["unshare", "-rm", "sh", "-ec", &script, "sh"], directory)
}

/// Whether there are mount namespaces here.
fn has_namespaces() -> bool {
    let tried =
        Command::new("unshare").args(["-rm", "mount", "-t", "tmpfs", "none", "/mnt"]).status();
    if tried.is_ok_and(|status| status.success()) {
        return true;
    }
    leave_out("BLITZ_TEST_NETNS", "no mount namespaces (unshare -rm)");
    false
}

#[tokio::test]
async fn what_is_read_only_is_refused_and_not_touched() {
    if !has_namespaces() {
        return;
    }
    for (name, what) in [("the directory", "$D"), ("the file", "$D/store.sqlite")] {
        let directory = a_store().await;
        let before = contents(directory.path());
        let script =
            format!("mount --bind \"{what}\" \"{what}\" && mount -o remount,bind,ro \"{what}\"");
        let served = elsewhere(directory.path(), &script);
        let refused = served.told.as_ref().expect_err(name);
        assert!(refused.contains("is read-only; give a directory"), "{name}: {refused}");
        drop(served);
        assert!(contents(directory.path()) == before, "{name}: something was written");
    }
}

#[tokio::test]
async fn a_disk_without_room_for_a_store_is_told() {
    if !has_namespaces() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    // The second has room for the lock and the file, and none for a table.
    for (name, room) in [("none at all", "0"), ("a page or two", "8k")] {
        let script = format!(
            "mount -t tmpfs -o size=256k none \"$D\" && {{ head -c {room} /dev/zero > \"$D/room\"; \
             cat /dev/zero > \"$D/filler\" 2>/dev/null; rm \"$D/room\"; }}"
        );
        let served = elsewhere(directory.path(), &script);
        let refused = served.told.as_ref().expect_err(name);
        assert!(refused.contains("disk is full; free some space"), "{name}: {refused}");
    }
}

#[tokio::test]
async fn a_full_disk_refuses_writes_until_there_is_room() {
    if !has_namespaces() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let script = "mount -t tmpfs -o size=6m none \"$D\" && head -c 2500k /dev/zero > \"$D/filler\"";
    let server = elsewhere(directory.path(), script);
    let mut connection = Connection::open(server.address()).await;
    assert_eq!(connection.ask("PUT /db", "").await.status, 201);
    let body = json!({"text": "x".repeat(10_000)}).to_string();
    let mut stored = Vec::new();
    let full: Answer = loop {
        let id = format!("d{}", stored.len());
        let answer = connection.ask(&format!("PUT /db/{id}"), &body).await;
        if answer.status != 201 {
            break answer;
        }
        stored.push((id, answer.revision()));
        assert!(stored.len() < 1000, "the disk does not get full");
    };
    assert_eq!(full.status, 507);
    let told = full.json();
    assert_eq!(told["error"], "insufficient_storage");
    assert!(told["reason"].as_str().unwrap().contains("free some space"), "{told}");
    // Small ones find no room either, and what is there is served.
    for (id, revision) in &stored {
        let answer = connection.ask(&format!("GET /db/{id}"), "").await;
        assert_eq!(answer.json()["_rev"], **revision);
    }
    let info = connection.ask("GET /db", "").await.json();
    assert_eq!(info["doc_count"], json!(stored.len()));

    // The namespace's own view of its disk.
    let inside = PathBuf::from(format!("/proc/{}/root", server.id()));
    let filler = inside.join(directory.path().strip_prefix("/").unwrap()).join("filler");
    fs::remove_file(&filler).unwrap();
    for n in 0..50 {
        let answer = connection.ask(&format!("PUT /db/after{n}"), &body).await;
        assert_eq!(answer.status, 201, "{}", answer.json());
        stored.push((format!("after{n}"), answer.revision()));
    }
    let changes = connection.ask("GET /db/_changes", "").await.json();
    let rows = changes["results"].as_array().unwrap();
    assert_eq!(rows.len(), stored.len());
    for (row, (id, revision)) in rows.iter().zip(&stored) {
        assert_eq!((&row["id"], &row["changes"][0]["rev"]), (&json!(id), &json!(revision)));
    }
}
