//! A raw HTTP/1.1 client, so that the tests see the bytes that leave the server, and a server to ask.

use blitz_embedded::{Options, Storage, Store, serve};
use serde_json::Value;
use std::{net::SocketAddr, time::Duration};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

/// Nothing that is right takes so long; what is wrong ends with a message instead of a hang.
const PATIENCE: Duration = Duration::from_secs(30);

/// A server in this process.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    stop: CancellationToken,
    task: JoinHandle<std::io::Result<()>>,
}

impl Server {
    pub(crate) async fn start(storage: Storage, options: Options) -> Server {
        Server::of(Store::open(storage, options).unwrap()).await
    }

    /// Serves a store that is open.
    pub(crate) async fn of(store: std::sync::Arc<Store>) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let task = tokio::spawn(serve(store, listener, stop.clone()));
        Server { address, stop, task }
    }

    /// In memory, with the database "db".
    pub(crate) async fn with_database() -> Server {
        let server = Server::start(Storage::Memory, Options::default()).await;
        assert_eq!(server.ask("PUT /db", "").await.status, 201);
        server
    }

    /// Sends one request on a connection of its own.
    pub(crate) async fn ask(&self, line: &str, body: &str) -> Answer {
        Connection::open(self.address).await.ask(line, body).await
    }

    /// A counter of `/_node/_local/_stats/couchdb`.
    pub(crate) async fn counter(&self, path: &str) -> u64 {
        let answer = self.ask(&format!("GET /_node/_local/_stats/couchdb/{path}"), "").await;
        answer.json()["value"].as_u64().unwrap()
    }

    pub(crate) async fn stop(self) {
        self.stop.cancel();
        patient(self.task).await.unwrap().unwrap();
    }
}

/// An answer that came whole.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|_| panic!("{:?}", String::from_utf8_lossy(&self.body)))
    }

    pub(crate) fn revision(&self) -> String {
        let json = self.json();
        json["rev"].as_str().unwrap_or_else(|| panic!("{json}")).to_owned()
    }
}

pub(crate) struct Connection {
    stream: BufReader<TcpStream>,
}

impl Connection {
    pub(crate) async fn open(address: SocketAddr) -> Connection {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Connection { stream: BufReader::new(stream) }
    }

    /// Sends a request such as `PUT /db` and takes its answer.
    pub(crate) async fn ask(&mut self, line: &str, body: &str) -> Answer {
        self.send(line, "", body).await;
        self.answer(line.starts_with("HEAD ")).await
    }

    /// Sends a request; `headers` end with a line end each.
    pub(crate) async fn send(&mut self, line: &str, headers: &str, body: &str) {
        let length = body.len();
        let request = format!(
            "{line} HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\n\
             Accept: application/json\r\n{headers}Content-Length: {length}\r\n\r\n{body}"
        );
        self.stream.write_all(request.as_bytes()).await.unwrap();
    }

    /// Sends a request without a body to this `Host`.
    pub(crate) async fn send_to(&mut self, host: &str, line: &str) {
        let request = format!("{line} HTTP/1.1\r\nHost: {host}\r\n\r\n");
        self.stream.write_all(request.as_bytes()).await.unwrap();
    }

    /// Sends a document with its attachments behind it; the boundary is `b`.
    pub(crate) async fn put_related(&mut self, line: &str, body: &[u8]) -> Answer {
        self.put_as("multipart/related; boundary=\"b\"", line, body).await
    }

    /// Sends the bytes of an attachment of no special type.
    pub(crate) async fn put_octets(&mut self, line: &str, body: &[u8]) -> Answer {
        self.put_as("application/octet-stream", line, body).await
    }

    async fn put_as(&mut self, content_type: &str, line: &str, body: &[u8]) -> Answer {
        self.put_with(&format!("Content-Type: {content_type}"), line, body).await
    }

    /// PUTs with one more header.
    pub(crate) async fn put_with(&mut self, header: &str, line: &str, body: &[u8]) -> Answer {
        let length = body.len();
        let head = format!(
            "{line} HTTP/1.1\r\nHost: test\r\nAccept: application/json\r\n\
             {header}\r\nContent-Length: {length}\r\n\r\n"
        );
        self.stream.write_all(head.as_bytes()).await.unwrap();
        self.stream.write_all(body).await.unwrap();
        self.answer(false).await
    }

    /// Asks as a replicator does, for parts, and takes them as text.
    pub(crate) async fn multipart(&mut self, line: &str, body: &str) -> String {
        let length = body.len();
        let request = format!(
            "{line} HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\n\
             Accept: multipart/mixed\r\nContent-Length: {length}\r\n\r\n{body}"
        );
        self.stream.write_all(request.as_bytes()).await.unwrap();
        let answer = self.answer(false).await;
        assert_eq!(answer.status, 200, "{line}");
        String::from_utf8(answer.body).unwrap()
    }

    pub(crate) async fn answer(&mut self, head_only: bool) -> Answer {
        let (status, head) = self.head().await;
        self.rest(status, &head, head_only).await
    }

    /// An answer with its head.
    pub(crate) async fn whole(&mut self) -> (u16, String, Vec<u8>) {
        let (status, head) = self.head().await;
        let answer = self.rest(status, &head, false).await;
        (status, head, answer.body)
    }

    async fn rest(&mut self, status: u16, head: &str, head_only: bool) -> Answer {
        let mut body = Vec::new();
        let low = head.to_ascii_lowercase();
        if let Some(rest) = low.split("content-length: ").nth(1) {
            let length: usize = rest.split("\r\n").next().unwrap().parse().unwrap();
            body.resize(if head_only { 0 } else { length }, 0);
            patient(self.stream.read_exact(&mut body)).await.unwrap();
        } else {
            while let Some(chunk) = self.chunk().await {
                body.extend(chunk);
            }
        }
        Answer { status, body }
    }

    pub(crate) async fn head(&mut self) -> (u16, String) {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            let read = patient(self.stream.read_line(&mut head)).await.unwrap();
            assert!(read > 0, "the connection ended after {head:?}");
        }
        (head[9..12].parse().unwrap(), head)
    }

    /// The next chunk of a body; None at its end.
    pub(crate) async fn chunk(&mut self) -> Option<Vec<u8>> {
        let mut length = String::new();
        patient(self.stream.read_line(&mut length)).await.unwrap();
        let length = usize::from_str_radix(length.trim(), 16)
            .unwrap_or_else(|_| panic!("{length:?} is no chunk"));
        let mut chunk = vec![0; length + 2];
        patient(self.stream.read_exact(&mut chunk)).await.unwrap();
        chunk.truncate(length);
        (length > 0).then_some(chunk)
    }
}

/// A continuous feed.
pub(crate) struct Feed {
    connection: Connection,
    text: Vec<u8>,
}

impl Feed {
    /// Opens it and waits for its first bytes, from which on it hears of every commit.
    pub(crate) async fn open(address: SocketAddr, query: &str, body: &str) -> Feed {
        let mut connection = Connection::open(address).await;
        let line = format!("POST /db/_changes?feed=continuous&{query}");
        connection.send(&line, "", body).await;
        assert_eq!(connection.head().await.0, 200);
        Feed { connection, text: Vec::new() }
    }

    /// The next line; None at the end. An empty one is a heartbeat.
    pub(crate) async fn line(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.text.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.text.drain(..=end).collect();
                return Some(String::from_utf8(line).unwrap().trim_end().to_owned());
            }
            self.text.extend(self.connection.chunk().await?);
        }
    }

    /// The next line that is no heartbeat.
    pub(crate) async fn row(&mut self) -> Option<Value> {
        loop {
            let line = self.line().await?;
            if !line.is_empty() {
                return Some(serde_json::from_str(&line).unwrap());
            }
        }
    }

    /// The id of the next change.
    pub(crate) async fn id(&mut self) -> String {
        let row = self.row().await.expect("the feed goes on");
        row["id"].as_str().unwrap_or_else(|| panic!("{row}")).to_owned()
    }
}

/// Waits, but not for ever.
pub(crate) async fn patient<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, work).await.expect("it takes too long")
}
