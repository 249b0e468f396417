//! What no client should send: the answer is CouchDB's or a clear refusal, never a 500 of ours, never
//! silence, and the server lives on.
//!
//! Each row of a table is a request, the status that ours answers, its word, and what Apache CouchDB
//! 3.5.0 answered to the same bytes: `""` when that was the same status. Where it answered 500 or hung,
//! ours says 400. [`bodies`] and [`parameters`] are well-formed HTTP, [`framing`] is not.

mod bodies;
mod framing;
mod parameters;

use crate::client::{Server, patient};
use serde_json::Value;
use std::net::SocketAddr;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

/// What a server sent to bytes of any kind.
#[derive(Debug)]
struct Said {
    /// None when it ended the connection without a word.
    status: Option<u16>,
    body: Vec<u8>,
}

impl Said {
    /// The member `error`; empty when the body is no JSON, as hyper's own refusals have none.
    fn error(&self) -> String {
        let json: Value = serde_json::from_slice(&self.body).unwrap_or_default();
        json["error"].as_str().unwrap_or_default().to_owned()
    }
}

/// Sends bytes on a connection of their own, and reads until the answer is whole or the server ends it.
async fn send(address: SocketAddr, bytes: &[u8]) -> Said {
    patient(async {
        let stream = TcpStream::connect(address).await.unwrap();
        let (mut read, mut write) = stream.into_split();
        // The server may answer and close before it has read all: that is no failure here.
        let sent = async { write.write_all(bytes).await.ok() };
        let answer = async {
            let mut got = Vec::new();
            while !is_whole(&got) && read.read_buf(&mut got).await.unwrap_or(0) > 0 {}
            got
        };
        let (got, _) = tokio::join!(answer, sent);
        let status = str::from_utf8(got.get(9..12).unwrap_or_default()).ok();
        let head_end = find(&got, b"\r\n\r\n").map_or(got.len(), |at| at + 4);
        Said { status: status.and_then(|text| text.parse().ok()), body: got[head_end..].to_vec() }
    })
    .await
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

fn is_whole(got: &[u8]) -> bool {
    let Some(head_end) = find(got, b"\r\n\r\n") else { return false };
    let head = String::from_utf8_lossy(&got[..head_end]).to_ascii_lowercase();
    match head.split("content-length: ").nth(1) {
        Some(rest) => {
            let length: usize = rest.split("\r\n").next().unwrap().parse().unwrap();
            got.len() >= head_end + 4 + length
        }
        None => got.ends_with(b"0\r\n\r\n") && head.contains("chunked"),
    }
}

/// A request with the headers that make it well-formed, and these.
fn request(line: &[u8], headers: &str, body: &[u8]) -> Vec<u8> {
    let mut request = line.to_vec();
    let length = body.len();
    request.extend_from_slice(
        format!(
            " HTTP/1.1\r\nHost: test\r\nAccept: application/json\r\n{headers}Content-Length: {length}\r\n\r\n"
        )
        .as_bytes(),
    );
    request.extend_from_slice(body);
    request
}

const JSON: &str = "Content-Type: application/json\r\n";

/// A row: what is sent, the status and the word of the answer, and what CouchDB said when that differs.
type Row<'a> = (&'a [u8], &'a [u8], u16, &'a str, &'a str);

/// Sends every row and compares.
async fn check(server: &Server, headers: &str, rows: &[Row<'_>]) {
    let mut wrong = Vec::new();
    for (line, body, status, error, _couchdb) in rows {
        let said = send(server.address, &request(line, headers, body)).await;
        if said.status != Some(*status) || said.error() != *error {
            let line = String::from_utf8_lossy(line);
            let body = String::from_utf8_lossy(&body[..body.len().min(80)]);
            wrong.push(format!("{line:.100} {body}: wanted {status} {error}, got {said:.300?}"));
        }
        lives(server).await;
    }
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

/// The server still does its work.
async fn lives(server: &Server) {
    assert_eq!(server.ask("GET /_up", "").await.status, 200);
}
