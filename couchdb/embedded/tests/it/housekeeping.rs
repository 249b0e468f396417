//! What is no longer needed goes away by itself, and nobody waits for it or is waited for.

use crate::{
    child::{STALL_TIMEOUT, Served},
    client::{Connection, Server, patient},
};
use blitz_embedded::{Options, Storage};
use serde_json::{Value, json};
use std::{net::SocketAddr, path::Path, time::Duration};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

async fn on_disk(options: Options) -> (tempfile::TempDir, Server, Connection) {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(Storage::Directory(directory.path().to_owned()), options).await;
    let mut connection = Connection::open(server.address).await;
    assert_eq!(connection.ask("PUT /db", "").await.status, 201);
    (directory, server, connection)
}

fn file_bytes(directory: &Path) -> u64 {
    directory.join("store.sqlite").metadata().unwrap().len()
}

/// Writes `count` documents of about `bytes` over `revisions`, and gives their new revisions.
async fn write(
    connection: &mut Connection,
    count: usize,
    bytes: usize,
    revisions: &[String],
) -> Vec<String> {
    let document = |n: usize| {
        let mut document = json!({"_id": format!("d{n}"), "text": "x".repeat(bytes)});
        if let Some(revision) = revisions.get(n) {
            document["_rev"] = json!(revision);
        }
        document
    };
    let docs: Vec<Value> = (0..count).map(document).collect();
    let answer = connection.ask("POST /db/_bulk_docs", &json!({"docs": docs}).to_string()).await;
    assert_eq!(answer.status, 201);
    let rows = answer.json();
    rows.as_array().unwrap().iter().map(|row| row["rev"].as_str().unwrap().to_owned()).collect()
}

/// Asks until it is so.
async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let wait = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    assert!(tokio::time::timeout(Duration::from_secs(120), wait).await.is_ok(), "never: {what}");
}

#[tokio::test]
async fn a_deleted_database_gives_its_bytes_back_to_the_file_system() {
    let (directory, _server, mut connection) = on_disk(Options::default()).await;
    write(&mut connection, 500, 10_000, &[]).await;
    let attachment = vec![7; 3 << 20];
    assert_eq!(connection.put_octets("PUT /db/a/file", &attachment).await.status, 201);
    until("the file has grown", async || file_bytes(directory.path()) > 4 << 20).await;
    assert_eq!(connection.ask("DELETE /db", "").await.status, 200);
    until("the file is small", async || file_bytes(directory.path()) < 200 << 10).await;
}

/// Nobody asks for a compaction; half of the bodies being old is enough.
#[tokio::test]
async fn old_bodies_go_by_themselves_when_they_are_many() {
    let (directory, server, mut connection) = on_disk(Options::default()).await;
    let first = write(&mut connection, 200, 10_000, &[]).await;
    let second = write(&mut connection, 200, 10_000, &first).await;
    let third = write(&mut connection, 200, 10_000, &second).await;
    let fourth = write(&mut connection, 200, 10_000, &third).await;
    until("old bodies are gone", async || {
        let info = server.ask("GET /db", "").await.json();
        info["sizes"]["external"].as_u64().unwrap() < 2_200_000
    })
    .await;
    until("the file is small", async || file_bytes(directory.path()) < 3 << 20).await;
    for n in [0, 199] {
        let read = connection.ask(&format!("GET /db/d{n}"), "").await.json();
        assert_eq!(
            (&read["_rev"], read["text"].as_str().unwrap().len()),
            (&json!(fourth[n]), 10_000)
        );
        let old = connection.ask(&format!("GET /db/d{n}?rev={}", first[n]), "").await;
        assert_eq!(old.status, 404);
    }
}

/// The estimate of garbage outlives the process.
#[tokio::test]
async fn a_start_goes_on_with_what_was_left() {
    let (directory, server, mut connection) = on_disk(Options::default()).await;
    let mut revisions = Vec::new();
    // After the second write garbage is just too little to begin with; the third makes it twice that, and
    // the stop follows at once.
    for _ in 0..3 {
        revisions = write(&mut connection, 1_390, 3_000, &revisions).await;
    }
    drop(connection);
    server.stop().await;
    println!("{} bytes at the stop", file_bytes(directory.path()));
    let storage = Storage::Directory(directory.path().to_owned());
    let _server = Server::start(storage, Options::default()).await;
    // 4 MB live, and up to 4 MiB of garbage may stay when the stop came in the middle of the work; pages
    // are not full.
    until("the file is small", async || file_bytes(directory.path()) < 12 << 20).await;
}

#[tokio::test]
async fn a_few_old_bodies_are_kept_for_who_wants_them() {
    let (_directory, server, mut connection) = on_disk(Options::default()).await;
    let first = write(&mut connection, 5, 1000, &[]).await;
    let second = write(&mut connection, 5, 1000, &first).await;
    write(&mut connection, 5, 1000, &second).await;
    let commits = server.counter("housekeeping_commits").await;
    // Longer than the writer is quiet before it tidies up.
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(server.counter("housekeeping_commits").await, commits);
    let old = connection.ask(&format!("GET /db/d0?rev={}", first[0]), "").await;
    assert_eq!(old.status, 200);
}

#[tokio::test]
async fn a_compaction_forgets_revisions_beyond_the_limit() {
    let (_directory, server, mut connection) = on_disk(Options::default()).await;
    let mut revisions = Vec::new();
    for _ in 0..20 {
        revisions = write(&mut connection, 1, 10, &revisions).await;
    }
    let known = async || {
        let read = server.ask("GET /db/d0?revs=true", "").await.json();
        read["_revisions"]["ids"].as_array().unwrap().len()
    };
    assert_eq!(server.ask("PUT /db/_revs_limit", "5").await.status, 200);
    assert_eq!(known().await, 20);
    assert_eq!(server.ask("POST /db/_compact", "").await.status, 202);
    until("the branch is short", async || known().await == 5).await;
    let read = server.ask("GET /db/d0", "").await.json();
    assert_eq!(read["_rev"], json!(revisions[0]));
}

/// The log is worked off while readers never rest, as far as they let it, and cut back after a burst.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_is_cut_back_after_readers_and_writers() {
    let (directory, server, mut connection) = on_disk(Options::default()).await;
    let mut revisions = write(&mut connection, 100, 3_000, &[]).await;
    let mut readers = tokio::task::JoinSet::new();
    for _ in 0..6 {
        let address = server.address;
        readers.spawn(async move {
            let mut connection = Connection::open(address).await;
            loop {
                let answer = connection.ask("GET /db/_all_docs?include_docs=true", "").await;
                assert_eq!(answer.status, 200);
            }
        });
    }
    let mut longest = 0;
    let log = directory.path().join("store.sqlite-wal");
    for _ in 0..80 {
        revisions = write(&mut connection, 100, 3_000, &revisions).await;
        longest = longest.max(log.metadata().unwrap().len());
    }
    readers.shutdown().await;
    println!("longest log under load: {longest} bytes");
    until("the log is cut back", async || {
        revisions = write(&mut connection, 100, 3_000, &revisions).await;
        log.metadata().unwrap().len() <= LOG_BYTES_MAX
    })
    .await;
}

/// The store cuts it back to this once no reader needs it; several times as much is written above.
const LOG_BYTES_MAX: u64 = 16 << 20;

/// A reader of a feed that keeps of each line only its beginning.
struct Follower {
    stream: TcpStream,
    line: Vec<u8>,
    /// The sequence of the last line that came whole.
    last: Option<String>,
}

impl Follower {
    /// Reads on until a line has this id; an error is a connection that was cut.
    async fn until(&mut self, id: &str) -> std::io::Result<()> {
        let wanted = format!("\"id\":\"{id}\"");
        let mut bytes = vec![0; 256 << 10];
        loop {
            let read = patient(self.stream.read(&mut bytes)).await?;
            if read == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            let mut found = false;
            for part in bytes[..read].split_inclusive(|byte| *byte == b'\n') {
                self.line.extend(part.iter().take(LINE_BYTES));
                if part.ends_with(b"\n") {
                    let line = String::from_utf8_lossy(&self.line).into_owned();
                    self.line.clear();
                    if let Some((_, rest)) = line.split_once("{\"seq\":\"") {
                        self.last = rest.split('"').next().map(str::to_owned);
                        found |= line.contains(&wanted);
                    }
                }
            }
            if found {
                return Ok(());
            }
        }
    }
}

/// Sequence and id stand in front.
const LINE_BYTES: usize = 200;

async fn open_feed(address: SocketAddr, since: &str) -> Follower {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let line = format!(
        "GET /db/_changes?feed=continuous&include_docs=true&heartbeat=60000&since={since} HTTP/1.1\r\n\
         Host: test\r\n\r\n"
    );
    stream.write_all(line.as_bytes()).await.unwrap();
    Follower { stream, line: Vec::new(), last: None }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_feed_that_nobody_reads_is_cut_off_holds_nobody_up_and_resumes() {
    let directory = tempfile::tempdir().unwrap();
    let server = Served::start(directory.path());
    let mut connection = Connection::open(server.address()).await;
    assert_eq!(connection.ask("PUT /db", "").await.status, 201);
    let mut keeps_up = open_feed(server.address(), "now").await;
    let document = json!({"text": "x".repeat(LARGE_BYTES)}).to_string();
    let server_id = server.id();
    // Gives the most that the process held meanwhile: those that are cut off give theirs back.
    let mut put = async |name: &str| {
        let mut held = 0;
        for n in 0..LARGE {
            let answer = connection.ask(&format!("PUT /db/{name}{n}"), &document).await;
            assert_eq!(answer.status, 201);
            keeps_up.until(&format!("{name}{n}")).await.unwrap();
            held = resident_bytes(server_id).max(held);
        }
        held
    };
    // What the store's caches take is not the feeds'.
    let before = put("before").await;
    let mut stopped = Vec::new();
    for _ in 0..STOPPED {
        stopped.push(open_feed(server.address(), "now").await);
    }
    let grown = put("d").await.saturating_sub(before) / STOPPED;
    println!(
        "{} MiB past a feed that nobody reads: it holds {grown} bytes",
        (LARGE * LARGE_BYTES) >> 20
    );
    assert!(grown < HELD_BYTES_MAX, "{grown}");
    // They never read a byte; now they do, what was under way, and learn that they were cut.
    tokio::time::sleep(STALL_TIMEOUT * 2).await;
    let last = format!("d{}", LARGE - 1);
    for mut stopped in stopped {
        stopped.until(&last).await.expect_err("a feed without a reader goes on");
        let since = stopped.last.as_deref().unwrap_or("0").to_owned();
        open_feed(server.address(), &since).await.until(&last).await.unwrap();
    }
}

/// Documents that are far more than all buffers between two ends, and their size.
const LARGE: usize = 40;
const LARGE_BYTES: usize = 1 << 20;

/// Feeds that nobody reads.
const STOPPED: usize = 8;

/// What such a feed may hold: a row that is being sent, two that wait, one that is being made.
const HELD_BYTES_MAX: usize = 5 << 20;

fn resident_bytes(process: u32) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{process}/statm")).unwrap_or_default();
    status.split(' ').nth(1).and_then(|pages| pages.parse::<usize>().ok()).unwrap_or(0) * 4096
}
