//! A wire between a client and a store that remembers every byte the client sends, as the requests that it means.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy};
use tokio::net::{TcpListener, TcpStream};

/// Bytes that are carried at once.
const PIECE_BYTES: usize = 64 << 10;

/// One request as it was sent.
#[derive(Debug, Clone)]
pub struct Sent {
    /// The method.
    pub method: String,
    /// Path and query, as they stood on the wire.
    pub target: String,
    /// The lines of the head behind the first.
    pub head: String,
    /// The body.
    pub body: Vec<u8>,
}

/// What was sent on each connection.
type Connections = Arc<Mutex<Vec<Vec<u8>>>>;

/// The wire. It ends with the runtime that it was started in.
#[derive(Debug)]
pub struct Recorder {
    /// Where it listens.
    pub address: SocketAddr,
    connections: Connections,
}

impl Recorder {
    /// A wire to the server at this address.
    ///
    /// # Panics
    ///
    /// When there is no free port.
    pub async fn to(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let connections = Connections::default();
        let all = Arc::clone(&connections);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(carry(stream, server, Arc::clone(&all)));
            }
        });
        Self { address, connections }
    }

    /// All requests so far; those of one connection in their order. One that is under way is left out.
    ///
    /// # Panics
    ///
    /// When something was sent that is no request with a length.
    #[must_use]
    pub fn requests(&self) -> Vec<Sent> {
        let all = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter().flat_map(|bytes| requests(bytes)).collect()
    }
}

async fn carry(client: TcpStream, server: SocketAddr, all: Connections) {
    let Ok(server) = TcpStream::connect(server).await else { return };
    for stream in [&client, &server] {
        stream.set_nodelay(true).ok();
    }
    let place = {
        let mut all = all.lock().unwrap_or_else(PoisonError::into_inner);
        all.push(Vec::new());
        all.len() - 1
    };
    let (mut asks, mut told) = client.into_split();
    let (mut answers, mut asked) = server.into_split();
    let forth = async {
        let mut piece = vec![0; PIECE_BYTES];
        while let Ok(length @ 1..) = asks.read(&mut piece).await {
            all.lock().unwrap_or_else(PoisonError::into_inner)[place]
                .extend_from_slice(&piece[..length]);
            if asked.write_all(&piece[..length]).await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = forth => {}
        _ = copy(&mut answers, &mut told) => {}
    }
}

/// Takes what one connection has sent apart.
fn requests(mut bytes: &[u8]) -> Vec<Sent> {
    let mut all = Vec::new();
    while let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
        let head = std::str::from_utf8(&bytes[..end]).expect("a head is text");
        let (first, head) = head.split_once("\r\n").unwrap_or((head, ""));
        let mut words = first.split(' ');
        let mut word = || words.next().expect("METHOD TARGET VERSION").to_owned();
        let (method, target, version) = (word(), word(), word());
        assert!(version == "HTTP/1.1" && words.next().is_none(), "{first:?}");
        let value = |name: &str| {
            let lines = head.lines().filter_map(|line| line.split_once(':'));
            let mut found = lines.filter(|(own, _)| own.eq_ignore_ascii_case(name));
            found.next().map(|(_, value)| value.trim())
        };
        assert_eq!(value("transfer-encoding"), None, "{first}: a body without a length");
        let length = value("content-length").map_or(0, |n| n.parse().expect("a length"));
        let Some(body) = bytes.get(end + 4..end + 4 + length) else { break };
        all.push(Sent { method, target, head: head.to_owned(), body: body.to_vec() });
        bytes = &bytes[end + 4 + length..];
    }
    all
}
