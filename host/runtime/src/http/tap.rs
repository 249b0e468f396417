//! A connection that notes what passes: when the last byte went out, when the first came in, how much came
//! without an answer, and the head of an HTTP/1 answer as it stood on the wire. An HTTP/1 request's head goes
//! out as it was stated, not as hyper spells it.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_rustls::client::TlsStream;

use super::budget::{Budget, OverBudget};
use super::head::{Beginning, Recording, Written};
use super::limits::TURN_MAX_BYTES;

/// A connection, with TLS or without.
#[derive(Debug)]
pub(super) enum Transport {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// The frames with which HTTP/2 keeps a connection in order have at most so many bytes (PING: 17). They
/// are no part of a request.
const HTTP2_CONTROL_MAX_BYTES: usize = 17;
/// Pieces of one write that are handed on; hyper has two, a head and a body.
const PIECES_MAX: usize = 4;

/// A transport under observation.
#[derive(Debug)]
pub(super) struct Tap {
    transport: Transport,
    log: Arc<Mutex<Log>>,
    spelling: Spelling,
    /// Read since the connection last had to wait.
    turn_bytes: usize,
    /// Of HTTP/1: nothing more can be sent, and what the peer said before is still to be read.
    write_failure: Option<io::ErrorKind>,
    /// Nothing of an HTTP/1 request went out yet: an early answer has to wait, for hyper takes an answer without
    /// a request for an error.
    is_silent: bool,
}

/// What was seen. A clone of the `Arc` reads it while hyper owns the [`Tap`].
#[derive(Debug)]
pub(super) struct Log {
    is_http2: bool,
    pub(super) last_write: Option<Instant>,
    pub(super) first_read: Option<Instant>,
    pub(super) read_bytes: u64,
    pub(super) written_bytes: u64,
    budget: Budget,
    over_budget: Option<OverBudget>,
    /// `None` for HTTP/2, and once the head is complete.
    head: Option<Recording>,
}

/// The head of an HTTP/1 request in the order and spelling in which it was stated. hyper's own has the same
/// length, so that it can be put in its place however the writes are cut.
#[derive(Debug)]
enum Spelling {
    Stated(Vec<u8>),
    Replacing {
        head: Vec<u8>,
        written: usize,
    },
    /// It is out, or hyper's stays.
    Done,
}

impl Tap {
    /// `stated` is the head to send in place of an HTTP/1 head of the same length.
    pub(super) fn new(transport: Transport, stated: Option<Vec<u8>>) -> (Self, Arc<Mutex<Log>>) {
        let is_http2 = stated.is_none();
        let log = Log {
            is_http2,
            last_write: None,
            first_read: None,
            read_bytes: 0,
            written_bytes: 0,
            budget: Budget::new(is_http2),
            over_budget: None,
            head: (!is_http2).then(Recording::default),
        };
        let log = Arc::new(Mutex::new(log));
        let tap = Self {
            transport,
            log: Arc::clone(&log),
            spelling: stated.map_or(Spelling::Done, Spelling::Stated),
            turn_bytes: 0,
            write_failure: None,
            is_silent: !is_http2,
        };
        (tap, log)
    }
}

pub(super) fn read(log: &Mutex<Log>) -> MutexGuard<'_, Log> {
    log.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Log {
    fn saw_write(&mut self, bytes: usize) {
        self.written_bytes =
            self.written_bytes.saturating_add(u64::try_from(bytes).unwrap_or(u64::MAX));
        if !self.is_http2 || bytes > HTTP2_CONTROL_MAX_BYTES {
            self.last_write = Some(Instant::now());
        }
    }

    fn saw_read(&mut self, bytes: &[u8]) -> io::Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        self.first_read.get_or_insert_with(Instant::now);
        self.read_bytes =
            self.read_bytes.saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        if let Some(head) = &mut self.head {
            head.add(bytes);
        }
        self.budget.spend(bytes, self.written_bytes).map_err(|over| {
            self.over_budget = Some(over);
            io::Error::other(over)
        })
    }

    /// The final head as the server wrote it. Ends the recording. `None` when it was not seen whole, and for
    /// HTTP/2.
    pub(super) fn take_head(&mut self) -> Option<Written> {
        self.budget.head_is_complete();
        self.head.take()?.written()
    }

    /// How far the head of an HTTP/1 answer came.
    pub(super) fn beginning(&self) -> Option<Beginning> {
        self.head.as_ref().map(Recording::beginning)
    }

    /// Why the connection was given up, if it was. The error itself does not come through the library for HTTP/2.
    pub(super) fn over_budget(&self) -> Option<OverBudget> {
        self.over_budget
    }

    /// What the heads of HTTP/2 had, as compressed.
    pub(super) fn heads_bytes(&self) -> usize {
        self.budget.heads_bytes()
    }
}

impl Spelling {
    /// What to write of the stated head in place of as many bytes of `bytes`; empty when they go out as they are.
    fn part(&mut self, bytes: &[u8]) -> &[u8] {
        if let Self::Stated(stated) = self {
            let head = std::mem::take(stated);
            let end = bytes.windows(4).position(|four| four == b"\r\n\r\n");
            *self = if end.map(|at| at + 4) == Some(head.len()) {
                Self::Replacing { head, written: 0 }
            } else {
                Self::Done
            };
        }
        match self {
            Self::Replacing { head, written } => {
                let left = &head[*written..];
                &left[..left.len().min(bytes.len())]
            }
            Self::Stated(_) | Self::Done => &[],
        }
    }

    fn wrote(&mut self, bytes: usize) {
        if let Self::Replacing { head, written } = self {
            *written += bytes;
            if *written >= head.len() {
                *self = Self::Done;
            }
        }
    }
}

impl AsyncRead for Tap {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.is_silent {
            return Poll::Pending;
        }
        if self.turn_bytes >= TURN_MAX_BYTES {
            self.turn_bytes = 0;
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let before = buffer.filled().len();
        let polled = match &mut self.transport {
            Transport::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Transport::Tls(stream) => Pin::new(stream).poll_read(context, buffer),
        };
        if !matches!(polled, Poll::Ready(Ok(()))) {
            self.turn_bytes = 0;
            return polled;
        }
        let came = &buffer.filled()[before..];
        if let (true, Some(failure)) = (came.is_empty(), self.write_failure) {
            return Poll::Ready(Err(failure.into()));
        }
        self.turn_bytes += came.len();
        Poll::Ready(read(&self.log).saw_read(came))
    }
}

impl AsyncWrite for Tap {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.write_failure.is_some() {
            return Poll::Pending;
        }
        let Self { transport, spelling, .. } = &mut *self;
        let part = spelling.part(bytes);
        let bytes = if part.is_empty() { bytes } else { part };
        let polled = match transport {
            Transport::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Transport::Tls(stream) => Pin::new(stream).poll_write(context, bytes),
        };
        self.noted(context, polled)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.write_failure.is_some() {
            return Poll::Pending;
        }
        let Self { transport, spelling, .. } = &mut *self;
        let first = pieces.first().map_or(&[][..], |piece| piece);
        let part = spelling.part(first);
        let mut respelled = [io::IoSlice::new(&[]); PIECES_MAX];
        let pieces = if part.is_empty() {
            pieces
        } else {
            respelled[0] = io::IoSlice::new(part);
            respelled[1] = io::IoSlice::new(&first[part.len()..]);
            for (place, piece) in respelled[2..].iter_mut().zip(&pieces[1..]) {
                *place = *piece;
            }
            &respelled[..]
        };
        let polled = match transport {
            Transport::Plain(stream) => Pin::new(stream).poll_write_vectored(context, pieces),
            Transport::Tls(stream) => Pin::new(stream).poll_write_vectored(context, pieces),
        };
        self.noted(context, polled)
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
    /// A server may refuse a large body, say why, and close while it is still being sent. hyper ends at the first
    /// failed write; with this one it goes on reading: the answer, or the end, which is then this failure.
    fn keeps_listening(&mut self, context: &Context<'_>, error: &io::Error) -> bool {
        use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset};
        let is_by_peer = matches!(error.kind(), BrokenPipe | ConnectionAborted | ConnectionReset);
        if !is_by_peer || read(&self.log).is_http2 || self.write_failure.is_some() {
            return false;
        }
        self.write_failure = Some(error.kind());
        self.is_silent = false;
        context.waker().wake_by_ref();
        true
    }

    fn noted(
        &mut self,
        context: &Context<'_>,
        polled: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(bytes)) = &polled {
            self.spelling.wrote(*bytes);
            read(&self.log).saw_write(*bytes);
        }
        if let Poll::Ready(Err(error)) = &polled
            && self.keeps_listening(context, error)
        {
            return Poll::Pending;
        }
        // Also behind an error: why the peer refuses may be there to be read.
        if self.is_silent && polled.is_ready() {
            self.is_silent = false;
            context.waker().wake_by_ref();
        }
        polled
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_goes_out_as_stated_however_the_writes_are_cut() {
        let hypers = b"GET / HTTP/1.1\r\nHost: h\r\nX-A: 1\r\n\r\nbody";
        let stated = b"GET / HTTP/1.1\r\nx-A: 1\r\nhost: h\r\n\r\n";
        for cut in 1..hypers.len() {
            let mut spelling = Spelling::Stated(stated.to_vec());
            let mut out = Vec::new();
            while out.len() < hypers.len() {
                let rest = &hypers[out.len()..];
                let part = spelling.part(rest);
                let bytes = if part.is_empty() { rest } else { part };
                let bytes = bytes[..bytes.len().min(cut)].to_vec();
                spelling.wrote(bytes.len());
                out.extend(bytes);
            }
            assert_eq!(out, [&stated[..], b"body"].concat(), "{cut}");
        }
        for other in [&b"GET / HTTP/1.1\r\nx-A: 1\r\n\r\n"[..], b""] {
            assert!(Spelling::Stated(other.to_vec()).part(hypers).is_empty(), "hyper's has more");
        }
    }
}
