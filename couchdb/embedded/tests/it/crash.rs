//! The server is killed again and again in the middle of its work: what it acknowledged is there, and
//! its file is whole.

use crate::{
    child::Served,
    client::{Connection, patient},
};
use serde_json::{Value, json};
use std::{
    collections::{HashMap, HashSet},
    net::SocketAddr,
    path::Path,
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::JoinSet,
};

const KILLS: usize = 100;

/// Writers that work at the same time.
const WRITERS: usize = 6;

/// The kill comes within this time after the writers began.
const MOMENT_US_MAX: u64 = 90_000;

/// How often the whole file is looked at; every page of it is read.
const CHECK_EVERY: usize = 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_acknowledged_write_survives_a_hundred_kills() {
    let begun = Instant::now();
    let directory = tempfile::tempdir().unwrap();
    let mut known = Known::default();
    let mut random = Random::new();
    println!("seed {}", random.0);
    for round in 0..KILLS {
        let server = Served::start(directory.path());
        let address = server.address();
        Connection::open(address).await.ask("PUT /db", "").await;
        let mut writers = JoinSet::new();
        for writer in 0..WRITERS {
            let random = Random(random.next() | 1);
            writers
                .spawn(Writer::open(address, format!("r{round}-w{writer}"), random).await.work());
        }
        tokio::time::sleep(Duration::from_micros(random.next() % MOMENT_US_MAX)).await;
        server.kill();
        while let Some(writer) = patient(writers.join_next()).await {
            known.learn(writer.unwrap());
        }
        if (round + 1) % CHECK_EVERY == 0 {
            check_file(directory.path());
        }
    }
    let server = Served::start(directory.path());
    let moved = known.check(server.address()).await;
    server.stop();
    check_file(directory.path());
    println!(
        "{KILLS} kills, {} writes acknowledged on {} documents, {} writes cut off of which {moved} are \
         there, nothing lost, {:.1} s",
        known.acknowledged,
        known.documents.len(),
        known.doubtful.len(),
        begun.elapsed().as_secs_f64(),
    );
}

/// A copy is looked at, log and all: the next start shall find what the kill left.
fn check_file(directory: &Path) {
    let copy = tempfile::tempdir().unwrap();
    for name in ["store.sqlite", "store.sqlite-wal"] {
        let from = directory.join(name);
        if from.exists() {
            std::fs::copy(from, copy.path().join(name)).unwrap();
        }
    }
    let sql = rusqlite::Connection::open(copy.path().join("store.sqlite")).unwrap();
    let found: String = sql.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(found, "ok");
    // No body without a tree that names it would be too slow to ask; no change without a body is not.
    let dangling = "SELECT count(*) FROM documents LEFT JOIN bodies ON bodies.key = body \
                    WHERE bodies.key IS NULL";
    let dangling: i64 = sql.query_row(dangling, [], |row| row.get(0)).unwrap();
    assert_eq!(dangling, 0, "documents without the body of their winner");
}

/// What was acknowledged of a document last.
#[derive(Clone)]
struct Document {
    revision: String,
    deleted: bool,
    attachment: Option<String>,
}

/// What the writers were told.
#[derive(Default)]
struct Known {
    documents: HashMap<String, Document>,
    /// Documents of a write that was cut off: it may have happened, or not.
    doubtful: HashSet<String>,
    acknowledged: usize,
}

impl Known {
    fn learn(&mut self, writer: Writer) {
        self.documents.extend(writer.documents);
        self.doubtful.extend(writer.in_flight);
        self.acknowledged += writer.acknowledged;
    }

    /// Every document is as it was acknowledged, or one cut off write further. Gives how many are further.
    async fn check(&self, address: SocketAddr) -> usize {
        let mut connection = Connection::open(address).await;
        let changes = connection.ask("GET /db/_changes?style=all_docs", "").await.json();
        let mut found = HashMap::new();
        let mut last = 0;
        for row in changes["results"].as_array().unwrap() {
            let sequence: u64 =
                row["seq"].as_str().unwrap().split('-').next().unwrap().parse().unwrap();
            assert!(sequence > last, "the feed goes on: {row}");
            last = sequence;
            let leaves = row["changes"].as_array().unwrap();
            assert_eq!(leaves.len(), 1, "{row}");
            let deleted = row["deleted"] == json!(true);
            let id = row["id"].as_str().unwrap().to_owned();
            let revision = leaves[0]["rev"].as_str().unwrap().to_owned();
            assert!(found.insert(id, (revision, deleted)).is_none(), "twice in the feed: {row}");
        }
        let info = connection.ask("GET /db", "").await.json();
        let deleted = found.values().filter(|(_, deleted)| *deleted).count();
        assert_eq!(info["doc_del_count"], json!(deleted));
        assert_eq!(info["doc_count"], json!(found.len() - deleted));

        let mut moved = 0;
        for (id, document) in &self.documents {
            let (revision, deleted) =
                found.get(id).unwrap_or_else(|| panic!("{id} was acknowledged and is lost"));
            if *revision != document.revision {
                assert!(
                    self.doubtful.contains(id),
                    "{id} has {revision}, not {}",
                    document.revision
                );
                let line = format!("GET /db/{id}?rev={revision}&revs=true");
                let past = connection.ask(&line, "").await.json();
                let before = past["_revisions"]["ids"][1].as_str().unwrap();
                assert!(document.revision.ends_with(before), "{id}: {past}");
                moved += 1;
                continue;
            }
            assert_eq!(*deleted, document.deleted, "{id}");
            if let Some(content) = &document.attachment {
                let answer = connection.ask(&format!("GET /db/{id}/file"), "").await;
                assert_eq!(answer.body, content.as_bytes(), "{id}");
            }
        }
        let unknown =
            |id: &&String| !self.documents.contains_key(*id) && !self.doubtful.contains(*id);
        assert_eq!(found.keys().find(unknown), None, "nobody wrote it");
        moved
            + self
                .doubtful
                .iter()
                .filter(|id| !self.documents.contains_key(*id) && found.contains_key(*id))
                .count()
    }
}

/// A client that writes until its connection is cut.
struct Writer {
    stream: TcpStream,
    name: String,
    random: Random,
    documents: HashMap<String, Document>,
    in_flight: Vec<String>,
    acknowledged: usize,
}

impl Writer {
    async fn open(address: SocketAddr, name: String, random: Random) -> Writer {
        let stream = TcpStream::connect(address).await.unwrap();
        let documents = HashMap::new();
        Writer { stream, name, random, documents, in_flight: Vec::new(), acknowledged: 0 }
    }

    async fn work(mut self) -> Writer {
        for number in 0_u64.. {
            if self.one(number).await.is_err() {
                break;
            }
        }
        self
    }

    /// One write of a kind that chance decides.
    async fn one(&mut self, number: u64) -> std::io::Result<()> {
        let alive = self.documents.iter().find(|(_, document)| !document.deleted);
        let alive = alive.map(|(id, document)| (id.clone(), document.clone()));
        let new = format!("{}-{number}", self.name);
        match (self.random.next() % 8, alive) {
            (0 | 1, Some((id, document))) => {
                let body = json!({"_rev": document.revision, "n": number}).to_string();
                self.write(&format!("PUT /db/{id}"), &body, &id, false, None).await
            }
            (2, Some((id, document))) => {
                let line = format!("DELETE /db/{id}?rev={}", document.revision);
                self.write(&line, "", &id, true, None).await
            }
            (3, Some((id, document))) => {
                let content = format!("{id} {number} ").repeat(200);
                let line = format!("PUT /db/{id}/file?rev={}", document.revision);
                self.write(&line, &content, &id, false, Some(content.clone())).await
            }
            (4, _) => self.bulk(&new).await,
            _ => {
                let body = json!({"n": number, "text": "x".repeat(200)}).to_string();
                self.write(&format!("PUT /db/{new}"), &body, &new, false, None).await
            }
        }
    }

    async fn write(
        &mut self,
        line: &str,
        body: &str,
        id: &str,
        deleted: bool,
        attachment: Option<String>,
    ) -> std::io::Result<()> {
        self.in_flight = vec![id.to_owned()];
        let (status, answer) = self.ask(line, body).await?;
        assert!(matches!(status, 200 | 201), "{line}: {status} {answer}");
        let revision = answer["rev"].as_str().unwrap().to_owned();
        self.documents.insert(id.to_owned(), Document { revision, deleted, attachment });
        self.acknowledged += 1;
        self.in_flight.clear();
        Ok(())
    }

    async fn bulk(&mut self, prefix: &str) -> std::io::Result<()> {
        let ids: Vec<String> = (0..5).map(|n| format!("{prefix}-bulk-{n}")).collect();
        let docs: Vec<Value> = ids.iter().map(|id| json!({"_id": id, "bulk": true})).collect();
        self.in_flight = ids;
        let body = json!({"docs": docs}).to_string();
        let (status, answer) = self.ask("POST /db/_bulk_docs", &body).await?;
        assert_eq!(status, 201, "{answer}");
        for row in answer.as_array().unwrap() {
            let text =
                |name: &str| row[name].as_str().unwrap_or_else(|| panic!("{row}")).to_owned();
            let document = Document { revision: text("rev"), deleted: false, attachment: None };
            self.documents.insert(text("id"), document);
            self.acknowledged += 1;
        }
        self.in_flight.clear();
        Ok(())
    }

    /// A request whose failure is no failure of the test.
    async fn ask(&mut self, line: &str, body: &str) -> std::io::Result<(u16, Value)> {
        let length = body.len();
        let request = format!(
            "{line} HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\n\
             Content-Length: {length}\r\n\r\n{body}"
        );
        self.stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        loop {
            if patient(self.stream.read_buf(&mut answer)).await? == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            let text = str::from_utf8(&answer).unwrap();
            let Some((head, rest)) = text.split_once("\r\n\r\n") else { continue };
            let head = head.to_ascii_lowercase();
            let length = head.split("content-length: ").nth(1).unwrap().split("\r\n").next();
            if rest.len() == length.unwrap().parse::<usize>().unwrap() {
                return Ok((head[9..12].parse().unwrap(), serde_json::from_str(rest).unwrap()));
            }
        }
    }
}

/// Marsaglia's xorshift; good enough for moments, and a seed that can be told.
struct Random(u64);

impl Random {
    fn new() -> Random {
        let since = std::time::UNIX_EPOCH.elapsed().unwrap();
        Random(u64::from(since.subsec_nanos()) | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}
