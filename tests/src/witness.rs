//! A server that a job of the fixture asks and that answers when the story says so: it sees when a run begins, and when
//! it is stopped.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// The server.
#[derive(Debug)]
pub struct Witness {
    listener: TcpListener,
    port: u16,
}

impl Witness {
    /// A witness on a free port of loopback.
    ///
    /// # Panics
    ///
    /// When there is none.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        Self { listener, port }
    }

    /// The words of a job of the fixture that runs until it is answered. It prints `200 OK` and the answer.
    #[must_use]
    pub fn words(&self) -> [String; 2] {
        ["get".to_owned(), format!("http://127.0.0.1:{}/", self.port)]
    }

    /// The next run that begins.
    ///
    /// # Panics
    ///
    /// When the listener fails.
    pub async fn begins(&self) -> Seen {
        let (mut stream, _) = self.listener.accept().await.expect("a connection");
        let (mut head, mut piece) = (Vec::new(), [0; 1024]);
        while !head.ends_with(b"\r\n\r\n") {
            let length = stream.read(&mut piece).await.expect("a request");
            assert!(length > 0, "the request was cut off");
            head.extend_from_slice(&piece[..length]);
        }
        Seen(stream)
    }
}

/// One run of a job, as the witness sees it.
#[derive(Debug)]
pub struct Seen(TcpStream);

impl Seen {
    /// Returns when the run is stopped.
    pub async fn stops(&mut self) {
        let mut piece = [0; 64];
        while matches!(self.0.read(&mut piece).await, Ok(length) if length > 0) {}
    }

    /// Lets the run end well, with this output.
    ///
    /// # Panics
    ///
    /// When it is stopped already.
    pub async fn answer(mut self, text: &str) {
        let length = text.len();
        let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{text}");
        self.0.write_all(answer.as_bytes()).await.expect("a run that listens");
    }
}
