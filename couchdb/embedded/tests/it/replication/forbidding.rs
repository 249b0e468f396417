//! A target made by hand that has nothing and takes nothing: each document is forbidden.

use serde_json::{Value, json};
use std::net::SocketAddr;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

/// Listens until it is dropped.
pub(crate) struct Forbidding {
    pub(crate) address: SocketAddr,
    _task: JoinSet<()>,
}

impl Forbidding {
    pub(crate) async fn start() -> Forbidding {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut task = JoinSet::new();
        task.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(async move { while_asked(stream).await });
            }
        });
        Forbidding { address, _task: task }
    }
}

async fn while_asked(stream: TcpStream) -> Option<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let (mut line, mut length) = (String::new(), 0);
        stream.read_line(&mut line).await.ok().filter(|read| *read > 0)?;
        loop {
            let mut header = String::new();
            stream.read_line(&mut header).await.ok()?;
            let header = header.trim().to_ascii_lowercase();
            if header.is_empty() {
                break;
            }
            if let Some(text) = header.strip_prefix("content-length: ") {
                length = text.parse().ok()?;
            }
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await.ok()?;
        let asked = serde_json::from_slice(&body).unwrap_or_default();
        let (status, answer) = answer(&line, &asked);
        let text = answer.to_string();
        let head = format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\n\r\n", text.len());
        stream.write_all(format!("{head}{text}").as_bytes()).await.ok()?;
    }
}

fn answer(line: &str, asked: &Value) -> (u16, Value) {
    if line.contains("_revs_diff") {
        let missing =
            |(id, revisions): (&String, &Value)| (id.clone(), json!({"missing": revisions}));
        return (200, asked.as_object().into_iter().flatten().map(missing).collect());
    }
    if line.contains("_bulk_docs") {
        let row = |doc: &Value| json!({"id": doc["_id"], "error": "forbidden", "reason": "no"});
        return (201, asked["docs"].as_array().into_iter().flatten().map(row).collect());
    }
    if line.contains("_ensure_full_commit") || line.starts_with("PUT") {
        return (201, json!({"ok": true, "instance_start_time": "7"}));
    }
    if line.contains("_local") {
        return (404, json!({"error": "not_found", "reason": "missing"}));
    }
    (200, json!({"doc_count": 0, "update_seq": "0", "instance_start_time": "7"}))
}
