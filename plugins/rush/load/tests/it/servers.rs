//! Little servers: a thread for each connection, that says what the test wants.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread;

use rustix::net::{SendFlags, send};

/// One connection of a server.
pub(crate) struct Peer {
    pub(crate) stream: TcpStream,
    /// Of all connections, from 0.
    pub(crate) number: usize,
}

/// What a client sent.
pub(crate) struct Request {
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

pub(crate) const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// Listens, and does the same with each connection; it ends with the process.
pub(crate) fn serve(handle: impl Fn(Peer) + Clone + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    thread::spawn(move || {
        for (number, stream) in listener.incoming().enumerate() {
            let Ok(stream) = stream else { return };
            let handle = handle.clone();
            thread::spawn(move || handle(Peer { stream, number }));
        }
    });
    address
}

/// Says the same to each request, for as long as the client wants.
pub(crate) fn answering(answer: impl Into<Vec<u8>>) -> SocketAddr {
    let answer = answer.into();
    serve(move |mut peer| while peer.request().is_some() && peer.say(&answer) {})
}

/// Says the same to one request of each connection, and closes it.
pub(crate) fn answering_once(answer: impl Into<Vec<u8>>) -> SocketAddr {
    let answer = answer.into();
    serve(move |mut peer| {
        if peer.request().is_some() {
            peer.say_last(&answer);
        }
    })
}

impl Peer {
    /// The next request, with its body.
    pub(crate) fn request(&mut self) -> Option<Request> {
        let mut bytes = Vec::new();
        let mut piece = [0; 16 << 10];
        loop {
            let end = bytes.windows(4).position(|window| window == b"\r\n\r\n");
            if let Some(end) = end {
                let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
                let len = head.to_ascii_lowercase();
                let len = len.split("content-length: ").nth(1).map_or(0, |rest| {
                    rest.lines().next().and_then(|len| len.parse().ok()).unwrap_or(0)
                });
                if bytes.len() >= end + 4 + len {
                    return Some(Request { head, body: bytes.split_off(end + 4) });
                }
            }
            match self.stream.read(&mut piece) {
                Ok(len @ 1..) => bytes.extend_from_slice(&piece[..len]),
                _ => return None,
            }
        }
    }

    /// False when the client is gone.
    pub(crate) fn say(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.stream.write_all(bytes.as_ref()).is_ok()
    }

    /// Says its last word: it arrives together with the end of the connection, however busy the machine is.
    pub(crate) fn say_last(&mut self, bytes: impl AsRef<[u8]>) {
        let bytes = bytes.as_ref();
        let flags = SendFlags::MORE | SendFlags::NOSIGNAL;
        // What does not fit goes first.
        let sent = send(&self.stream, bytes, flags).unwrap_or(bytes.len());
        if self.say(&bytes[sent..]) {
            drop(self.stream.shutdown(Shutdown::Write));
        }
    }

    /// Waits until the client is gone.
    pub(crate) fn hang(mut self) {
        let mut piece = [0; 1024];
        while matches!(self.stream.read(&mut piece), Ok(1..)) {}
    }
}
