//! A web server that keeps connections and counts what it is asked: what a load test loads.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// Longest head; more is the test's mistake.
const HEAD_BYTES_MAX: usize = 64 << 10;

/// One server on loopback. It ends with the runtime that it was started in.
///
/// `/slow-MS` answers after so many milliseconds, `/status-CODE` with that status, `/close` closes after its answer, `/cut`
/// breaks off in the middle, and everything else is a short 200. Requests have no bodies.
#[derive(Debug, Clone)]
pub struct Counter {
    /// Where it listens.
    pub address: SocketAddr,
    seen: Arc<Mutex<Seen>>,
}

#[derive(Debug, Default)]
struct Seen {
    /// Requests, by method and target.
    requests: BTreeMap<String, u64>,
    connections: u64,
    agents: BTreeMap<String, u64>,
}

impl Counter {
    /// Starts it on a port of the system's choice.
    ///
    /// # Panics
    ///
    /// When there is none.
    pub async fn start() -> Self {
        Self::serve_at(TcpListener::bind("127.0.0.1:0").await.expect("a free port"))
    }

    /// The same at a listener.
    ///
    /// # Panics
    ///
    /// When it has no address.
    #[must_use]
    pub fn serve_at(listener: TcpListener) -> Self {
        let address = listener.local_addr().expect("an address");
        let counter = Self { address, seen: Arc::default() };
        let own = counter.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                own.with(|seen| seen.connections += 1);
                tokio::spawn(own.clone().serve(stream));
            }
        });
        counter
    }

    /// The address of a path.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// All requests so far.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.with(|seen| seen.requests.values().sum())
    }

    /// How often each request line came, without its version.
    #[must_use]
    pub fn by_target(&self) -> BTreeMap<String, u64> {
        self.with(|seen| seen.requests.clone())
    }

    /// How often each `User-Agent` came.
    #[must_use]
    pub fn agents(&self) -> BTreeMap<String, u64> {
        self.with(|seen| seen.agents.clone())
    }

    /// Connections so far.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.with(|seen| seen.connections)
    }

    fn with<T>(&self, look: impl FnOnce(&mut Seen) -> T) -> T {
        look(&mut self.seen.lock().unwrap_or_else(PoisonError::into_inner))
    }

    async fn serve(self, mut stream: TcpStream) {
        stream.set_nodelay(true).ok();
        let (mut bytes, mut piece) = (Vec::new(), [0; 4096]);
        loop {
            while let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
                let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
                bytes.drain(..end + 4);
                if !self.answer(&mut stream, &head).await {
                    return;
                }
            }
            match stream.read(&mut piece).await {
                Ok(length) if length > 0 && bytes.len() < HEAD_BYTES_MAX => {
                    bytes.extend_from_slice(&piece[..length]);
                }
                _ => return,
            }
        }
    }

    /// False closes the connection.
    async fn answer(&self, stream: &mut TcpStream, head: &str) -> bool {
        let mut words = head.split(' ');
        let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or("/"));
        let agent = head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("user-agent").then(|| value.trim().to_owned())
        });
        self.with(|seen| {
            *seen.requests.entry(format!("{method} {target}")).or_default() += 1;
            *seen.agents.entry(agent.unwrap_or_default()).or_default() += 1;
        });
        let number = |name: &str| target.strip_prefix(name)?.parse::<u64>().ok();
        if let Some(ms) = number("/slow-") {
            tokio::time::sleep(Duration::from_millis(ms)).await;
        }
        let status = number("/status-").unwrap_or(200);
        let closes = matches!(target, "/close" | "/cut");
        let length = if target == "/cut" { 1000 } else { 2 };
        let connection = if closes { "close" } else { "keep-alive" };
        let answer = format!(
            "HTTP/1.1 {status} x\r\nContent-Length: {length}\r\nConnection: {connection}\r\n\r\n42"
        );
        stream.write_all(answer.as_bytes()).await.is_ok() && !closes
    }
}
