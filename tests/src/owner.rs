//! A web server whose owner shows signs: what a load test must find before it loads a target, and while it does.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

/// Longest head; more is the test's mistake.
const HEAD_BYTES_MAX: usize = 64 << 10;

/// One server on this machine. Its host is an address that is neither loopback nor private to whoever judges it, and leads here
/// all the same. `/` answers with a short 200, other paths with what is shown there, or 404.
#[derive(Debug, Clone)]
pub struct Owner {
    port: u16,
    seen: Arc<Mutex<Seen>>,
}

#[derive(Debug, Default)]
struct Seen {
    shown: BTreeMap<String, (u16, String)>,
    load: u64,
    connections: u64,
}

impl Owner {
    /// Starts it on a port of the system's choice.
    ///
    /// # Panics
    ///
    /// When there is none.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let owner = Self { port, seen: Arc::default() };
        let own = owner.clone();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                own.with(|seen| seen.connections += 1);
                let own = own.clone();
                tokio::spawn(async move {
                    let mut head = Vec::new();
                    while !head.ends_with(b"\r\n\r\n") && head.len() < HEAD_BYTES_MAX {
                        if stream.read_buf(&mut head).await.unwrap_or(0) == 0 {
                            return;
                        }
                    }
                    let head = String::from_utf8_lossy(&head).into_owned();
                    let (status, body) = own.answer(head.split(' ').nth(1).unwrap_or_default());
                    let length = body.len();
                    let answer = format!(
                        "HTTP/1.1 {status} X\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
                    );
                    stream.write_all(answer.as_bytes()).await.ok();
                });
            }
        });
        owner
    }

    fn answer(&self, path: &str) -> (u16, String) {
        self.with(|seen| match path {
            "/" => {
                seen.load += 1;
                (200, String::new())
            }
            path => seen.shown.get(path).cloned().unwrap_or((404, String::new())),
        })
    }

    fn with<T>(&self, act: impl FnOnce(&mut Seen) -> T) -> T {
        act(&mut self.seen.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// With its port.
    #[must_use]
    pub fn host(&self) -> String {
        format!("0.0.0.0:{}", self.port)
    }

    /// What is loaded.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}/", self.host())
    }

    /// Shows this at a path from now on.
    pub fn show(&self, path: &str, status: u16, body: &str) {
        self.with(|seen| seen.shown.insert(path.to_owned(), (status, body.to_owned())));
    }

    /// Requests of load tests so far.
    #[must_use]
    pub fn load(&self) -> u64 {
        self.with(|seen| seen.load)
    }

    /// All connections so far.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.with(|seen| seen.connections)
    }
}
