//! A connection that notes what passes: when the last byte went out, when the first came in, and the head
//! of an HTTP/1 answer as it stood on the wire. hyper lower-cases names; people compare with what the
//! server wrote.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_rustls::client::TlsStream;

use super::limits::{HEAD_MAX_BYTES, HEADERS_MAX};

/// A connection, with TLS or without.
#[derive(Debug)]
pub(super) enum Transport {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// The frames with which HTTP/2 keeps a connection in order have at most so many bytes (PING: 17). They
/// are no part of a request.
const HTTP2_CONTROL_MAX_BYTES: usize = 17;

/// A transport under observation.
#[derive(Debug)]
pub(super) struct Tap {
    transport: Transport,
    log: Arc<Mutex<Log>>,
}

/// What was seen. A clone of the `Arc` reads it while hyper owns the [`Tap`].
#[derive(Debug)]
pub(super) struct Log {
    is_http2: bool,
    pub(super) last_write: Option<Instant>,
    pub(super) first_read: Option<Instant>,
    pub(super) read_bytes: u64,
    /// `None` once it is complete or of no use.
    head: Option<Vec<u8>>,
}

impl Tap {
    pub(super) fn new(transport: Transport, is_http2: bool) -> (Self, Arc<Mutex<Log>>) {
        let log = Log {
            is_http2,
            last_write: None,
            first_read: None,
            read_bytes: 0,
            head: (!is_http2).then(Vec::new),
        };
        let log = Arc::new(Mutex::new(log));
        (Self { transport, log: Arc::clone(&log) }, log)
    }
}

pub(super) fn read(log: &Mutex<Log>) -> MutexGuard<'_, Log> {
    log.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Log {
    fn saw_write(&mut self, bytes: usize) {
        if !self.is_http2 || bytes > HTTP2_CONTROL_MAX_BYTES {
            self.last_write = Some(Instant::now());
        }
    }

    fn saw_read(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        self.first_read.get_or_insert_with(Instant::now);
        self.read_bytes = self.read_bytes.saturating_add(u64::try_from(bytes.len()).unwrap_or(0));
        if let Some(head) = &mut self.head {
            let room = HEAD_MAX_BYTES.saturating_sub(head.len());
            head.extend_from_slice(&bytes[..bytes.len().min(room)]);
        }
    }

    /// The fields of the final answer's head as the server wrote them, interim answers passed over. Ends
    /// the recording. `None` when it was not seen whole.
    pub(super) fn take_head(&mut self) -> Option<Vec<(String, Vec<u8>)>> {
        let recorded = self.head.take()?;
        let mut rest = recorded.as_slice();
        loop {
            let mut fields = [httparse::EMPTY_HEADER; HEADERS_MAX];
            let mut head = httparse::Response::new(&mut fields);
            let httparse::Status::Complete(length) = head.parse(rest).ok()? else { return None };
            if !matches!(head.code, Some(100 | 102..=199)) {
                let owned =
                    |field: &httparse::Header<'_>| (field.name.to_owned(), field.value.to_vec());
                return Some(head.headers.iter().map(owned).collect());
            }
            rest = &rest[length..];
        }
    }
}

impl AsyncRead for Tap {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = match &mut self.transport {
            Transport::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Transport::Tls(stream) => Pin::new(stream).poll_read(context, buffer),
        };
        if matches!(polled, Poll::Ready(Ok(()))) {
            read(&self.log).saw_read(&buffer.filled()[before..]);
        }
        polled
    }
}

impl AsyncWrite for Tap {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = match &mut self.transport {
            Transport::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Transport::Tls(stream) => Pin::new(stream).poll_write(context, bytes),
        };
        self.noted(polled)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = match &mut self.transport {
            Transport::Plain(stream) => Pin::new(stream).poll_write_vectored(context, pieces),
            Transport::Tls(stream) => Pin::new(stream).poll_write_vectored(context, pieces),
        };
        self.noted(polled)
    }

    fn is_write_vectored(&self) -> bool {
        match &self.transport {
            Transport::Plain(stream) => stream.is_write_vectored(),
            Transport::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.transport {
            Transport::Plain(stream) => Pin::new(stream).poll_flush(context),
            Transport::Tls(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.transport {
            Transport::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Transport::Tls(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}

impl Tap {
    fn noted(&self, polled: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(bytes)) = &polled {
            read(&self.log).saw_write(*bytes);
        }
        polled
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(pieces: &[&str]) -> Option<Vec<(String, Vec<u8>)>> {
        let mut log = Log {
            is_http2: false,
            last_write: None,
            first_read: None,
            read_bytes: 0,
            head: Some(Vec::new()),
        };
        for piece in pieces {
            log.saw_read(piece.as_bytes());
        }
        log.take_head()
    }

    #[test]
    fn the_head_is_as_the_server_wrote_it() {
        let field = |name: &str, value: &str| (name.to_owned(), value.as_bytes().to_vec());
        assert_eq!(
            head(&[
                "HTTP/1.1 200 OK\r\nX-ONE: 1\r",
                "\nx-Two: 2\r\nX-One: 3\r\n\r\nbody: no\r\n\r\n"
            ]),
            Some(vec![field("X-ONE", "1"), field("x-Two", "2"), field("X-One", "3")])
        );
        assert_eq!(
            head(&[
                "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\nHTTP/1.0 204\r\nServer: s\r\n\r\n"
            ]),
            Some(vec![field("Server", "s")])
        );
        assert_eq!(head(&["HTTP/1.1 200 OK\r\nX-One: 1\r\n"]), None, "not whole");
        assert_eq!(head(&["SSH-2.0-x\r\n\r\n"]), None, "not HTTP");
    }
}
