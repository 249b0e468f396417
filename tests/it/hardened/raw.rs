//! A client that is none: bytes on a socket, as slow and as wrong as a story wants them.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

/// The token of the gateways of these stories.
pub(super) const TOKEN: &str = "token-of-a-test";

/// What comes comes within this time, or the story has failed.
const LIMIT: Duration = Duration::from_secs(30);

/// One connection.
pub(super) struct Raw(TcpStream);

/// The head of a request that is let in, with these further lines.
pub(super) fn head(method: &str, path: &str, lines: &str) -> String {
    let kind = if method == "GET" { "" } else { "content-type: application/json\r\n" };
    format!(
        "{method} {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {TOKEN}\r\n{kind}{lines}\r\n"
    )
}

impl Raw {
    pub(super) async fn open(address: SocketAddr) -> Self {
        Self(TcpStream::connect(address).await.expect("a connection"))
    }

    /// One whose end takes little of what it does not read.
    pub(super) async fn narrow(address: SocketAddr) -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.set_recv_buffer_size(4 << 10).expect("a small buffer");
        Self(socket.connect(address).await.expect("a connection"))
    }

    pub(super) async fn say(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).await.expect("a connection that stands");
    }

    /// Says something to who may have gone: false then.
    pub(super) async fn try_say(&mut self, bytes: &[u8]) -> bool {
        self.0.write_all(bytes).await.is_ok()
    }

    /// Says a byte now and then until it is cut off, and gives what was said meanwhile.
    pub(super) async fn drip(&mut self, pause: Duration) -> String {
        let (mut reads, mut writes) = self.0.split();
        let mut said = Vec::new();
        let drips = async {
            loop {
                tokio::time::sleep(pause).await;
                if writes.write_all(b"a").await.is_err() {
                    // Its end is heard by reading.
                    std::future::pending::<()>().await;
                }
            }
        };
        let reads = timeout(LIMIT, reads.read_to_end(&mut said));
        tokio::select! {
            () = drips => {}
            ended = reads => {
                // A reset is an end too.
                drop(ended.expect("a slow connection is cut"));
            }
        }
        String::from_utf8_lossy(&said).into_owned()
    }

    /// All that is still said, until the other end closes.
    pub(super) async fn rest(&mut self) -> String {
        let mut said = Vec::new();
        let ended = timeout(LIMIT, self.0.read_to_end(&mut said)).await;
        drop(ended.expect("the other end closes"));
        String::from_utf8_lossy(&said).into_owned()
    }

    /// Says no more, and waits until the other end has closed, too. Nothing may have been answered.
    pub(super) async fn hang_up(&mut self) {
        self.0.shutdown().await.expect("a connection that stands");
        assert_eq!(self.rest().await, "", "it was to be begun, and not answered");
    }

    /// What is answered, as far as it comes at once.
    pub(super) async fn first(&mut self) -> String {
        let mut piece = [0; 8 << 10];
        let first = timeout(LIMIT, self.0.read(&mut piece)).await.expect("an answer or an end");
        String::from_utf8_lossy(&piece[..first.unwrap_or(0)]).into_owned()
    }

    /// Says something and gives what is answered, as far as it comes at once.
    pub(super) async fn ask(address: SocketAddr, bytes: &[u8]) -> String {
        let mut raw = Self::open(address).await;
        drop(raw.0.write_all(bytes).await);
        raw.first().await
    }
}
