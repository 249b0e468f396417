//! A server that says what a test has written down: it reads requests and answers with given bytes.
//!
//! It knows no CouchDB. It stands on any stream, so that tests with stopped time use it over memory
//! and tests of the socket's behaviour over TCP.

use std::future::Future;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// How long a test waits for a client that does not come: a failed test must end.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a client does next, if it does it at all.
pub(crate) async fn soon<T>(next: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, next).await.expect("the client did not come")
}

/// One connection of a client, seen from the server.
#[derive(Debug)]
pub(crate) struct Wire<S> {
    stream: S,
    unread: Vec<u8>,
}

/// A request as it arrived.
#[derive(Debug)]
pub(crate) struct Asked {
    /// Method and path: `GET /db`.
    pub(crate) line: String,
    /// The header lines, in small letters.
    pub(crate) head: String,
    /// The body.
    pub(crate) body: String,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    pub(crate) fn new(stream: S) -> Self {
        Self { stream, unread: Vec::new() }
    }

    /// Reads a request; `None` when the client has closed.
    pub(crate) async fn asked(&mut self) -> Option<Asked> {
        let head_end = loop {
            if let Some(end) = find(&self.unread, b"\r\n\r\n") {
                break end;
            }
            self.fill().await?;
        };
        let head = String::from_utf8(self.unread.drain(..head_end + 4).collect()).unwrap();
        let (line, head) = head.split_once("\r\n").unwrap();
        let head = head.to_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let length: usize = length.map_or(0, |length| length.parse().unwrap());
        while self.unread.len() < length {
            self.fill().await?;
        }
        let body = String::from_utf8(self.unread.drain(..length).collect()).unwrap();
        let line = line.strip_suffix(" HTTP/1.1").unwrap().to_owned();
        Some(Asked { line, head, body })
    }

    /// Reads a request that must be this one, and gives it back.
    pub(crate) async fn expect(&mut self, line: &str) -> Asked {
        let asked = soon(self.asked()).await.unwrap_or_else(|| panic!("closed instead of {line}"));
        assert_eq!(asked.line, line);
        asked
    }

    /// Sends bytes as they are.
    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).await.unwrap();
        self.stream.flush().await.unwrap();
    }

    /// Sends a whole answer with a JSON body.
    pub(crate) async fn answer(&mut self, status: u16, body: &str) {
        let length = body.len();
        let head = "Content-Type: application/json\r\nCache-Control: must-revalidate";
        self.send(format!(
            "HTTP/1.1 {status} X\r\n{head}\r\nContent-Length: {length}\r\n\r\n{body}"
        ))
        .await;
    }

    /// Sends the head of an answer that goes on in [`Wire::chunk`]s.
    pub(crate) async fn begin(&mut self, status: u16) {
        self.send(format!("HTTP/1.1 {status} X\r\nTransfer-Encoding: chunked\r\n\r\n")).await;
    }

    /// Sends a piece of an answer that was begun.
    pub(crate) async fn chunk(&mut self, text: &str) {
        self.send(format!("{:x}\r\n{text}\r\n", text.len())).await;
    }

    /// Ends an answer that was begun.
    pub(crate) async fn end(&mut self) {
        self.send("0\r\n\r\n").await;
    }

    async fn fill(&mut self) -> Option<()> {
        let mut piece = [0; 4096];
        match self.stream.read(&mut piece).await {
            Ok(0) | Err(_) => None,
            Ok(length) => {
                self.unread.extend_from_slice(&piece[..length]);
                Some(())
            }
        }
    }
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}
