//! HTTP/1.1 with as little work as possible: the client must not be what is measured.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// A connection that is kept.
pub(crate) struct Wire {
    stream: TcpStream,
    headers: String,
    request: Vec<u8>,
    received: Vec<u8>,
    /// The end of the last answer in `received`.
    end: usize,
    /// Where its body begins.
    body: usize,
}

impl Wire {
    pub(crate) async fn connect(address: &str, headers: &str) -> Self {
        let stream = TcpStream::connect(address).await.expect("the server accepts");
        stream.set_nodelay(true).expect("a socket");
        let headers = format!(
            "Host: {address}\r\nAccept: application/json\r\nContent-Type: application/json\r\n{headers}"
        );
        Self { stream, headers, request: Vec::new(), received: Vec::new(), end: 0, body: 0 }
    }

    /// Asks, and gives the status of the answer once all of it is here.
    pub(crate) async fn ask(&mut self, method: &str, path: &str, body: &str) -> u16 {
        self.send(method, path, body).await;
        self.answer().await
    }

    pub(crate) async fn send(&mut self, method: &str, path: &str, body: &str) {
        use std::io::Write as _;
        self.request.clear();
        let (headers, length) = (&self.headers, body.len());
        write!(
            self.request,
            "{method} {path} HTTP/1.1\r\n{headers}Content-Length: {length}\r\n\r\n{body}"
        )
        .expect("memory");
        self.stream.write_all(&self.request).await.expect("the server reads");
    }

    pub(crate) async fn answer(&mut self) -> u16 {
        let status = self.head().await;
        let head = std::str::from_utf8(&self.received[..self.body]).expect("text");
        let length = header(head, "content-length").and_then(|length| length.parse::<usize>().ok());
        match length {
            Some(length) => {
                self.end = self.body + length;
                while self.received.len() < self.end {
                    self.more().await;
                }
            }
            None => {
                while !self.received.ends_with(b"0\r\n\r\n") {
                    self.more().await;
                }
                self.end = self.received.len();
            }
        }
        status
    }

    /// The head of an answer; what comes behind it is waited for by [`Wire::until`].
    pub(crate) async fn head(&mut self) -> u16 {
        self.received.drain(..self.end);
        self.end = 0;
        loop {
            let found = self.received.windows(4).position(|window| window == b"\r\n\r\n");
            if let Some(at) = found {
                self.body = at + 4;
                self.end = self.body;
                let status = std::str::from_utf8(&self.received[9..12]).expect("text");
                return status.parse().expect("a status");
            }
            self.more().await;
        }
    }

    /// The last answer's body.
    pub(crate) fn body(&self) -> &str {
        std::str::from_utf8(&self.received[self.body..self.end]).expect("text")
    }

    /// The revision in the last answer.
    pub(crate) fn revision(&self) -> String {
        let body = self.body();
        let from = body.find("\"rev\":\"").expect("a revision") + 7;
        let length = body[from..].find('"').expect("its end");
        body[from..from + length].to_owned()
    }

    /// The next piece of an answer without end that holds `text`.
    pub(crate) async fn until(&mut self, text: &str) {
        loop {
            let rest = &self.received[self.end..];
            let found = rest.windows(text.len()).position(|window| window == text.as_bytes());
            if let Some(at) = found {
                self.end += at + text.len();
                self.received.drain(..self.end);
                self.end = 0;
                return;
            }
            self.more().await;
        }
    }

    async fn more(&mut self) {
        let read = self.stream.read_buf(&mut self.received).await.expect("the server answers");
        assert!(read > 0, "the server closed: {}", String::from_utf8_lossy(&self.received));
    }
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        key.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}
