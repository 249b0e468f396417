//! The two streams of a TCP connection.
//!
//! A write that the kernel does not take at once goes on in a task, so that it also gets on while the guest
//! waits for something else; the next one has to wait for it.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};

use bytes::{Buf as _, Bytes, BytesMut};
use tokio::net::TcpStream;
use wasmtime_wasi::async_trait;
use wasmtime_wasi::p2::{InputStream, OutputStream, Pollable, StreamError, StreamResult};
use wasmtime_wasi::runtime::{AbortOnDropJoinHandle, spawn};

/// Largest piece that is read or written at once, and so what one connection holds in our memory.
const PIECE_MAX_BYTES: usize = 64 * 1024;

/// A connection, shared by its socket and its two streams.
#[derive(Clone)]
pub(super) struct Connection {
    stream: Arc<TcpStream>,
    is_read_closed: Arc<AtomicBool>,
    writer: Arc<Mutex<Writer>>,
}

enum Writer {
    Open,
    /// A write is on its way. `closes`: it is the last one.
    Busy {
        write: AbortOnDropJoinHandle<io::Result<()>>,
        closes: bool,
    },
    /// With the reason, until it was told.
    Closed(Option<io::Error>),
}

impl Connection {
    pub(super) fn new(stream: TcpStream) -> Self {
        Self {
            stream: Arc::new(stream),
            is_read_closed: Arc::default(),
            writer: Arc::new(Mutex::new(Writer::Open)),
        }
    }

    pub(super) fn stream(&self) -> &TcpStream {
        &self.stream
    }

    pub(super) fn streams(&self) -> (Input, Output) {
        (Input(self.clone()), Output(self.clone()))
    }

    pub(super) fn close_read(&self) {
        self.is_read_closed.store(true, Ordering::Relaxed);
        // Fails when the peer closed already.
        let _already = rustix::net::shutdown(&self.stream, rustix::net::Shutdown::Read);
    }

    /// After the write that is on its way.
    pub(super) fn close_write(&self) {
        let mut writer = self.writer();
        match std::mem::replace(&mut *writer, Writer::Closed(None)) {
            Writer::Open => end(&self.stream),
            Writer::Busy { write, closes: false } => {
                let stream = Arc::clone(&self.stream);
                let write = spawn(async move {
                    write.await?;
                    end(&stream);
                    Ok(())
                });
                *writer = Writer::Busy { write, closes: true };
            }
            other => *writer = other,
        }
    }

    fn writer(&self) -> MutexGuard<'_, Writer> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends `bytes`, in a task what does not go out at once.
    fn write(&self, mut bytes: Bytes) -> StreamResult<()> {
        let mut writer = self.writer();
        match &*writer {
            Writer::Open => {}
            Writer::Closed(_) => return Err(StreamError::Closed),
            Writer::Busy { .. } => {
                return Err(StreamError::trap("wrote more than check-write allowed"));
            }
        }
        match write_now(&self.stream, &mut bytes) {
            Ok(()) if bytes.is_empty() => Ok(()),
            Ok(()) => {
                let stream = Arc::clone(&self.stream);
                let write = spawn(async move {
                    while !bytes.is_empty() {
                        stream.writable().await?;
                        write_now(&stream, &mut bytes)?;
                    }
                    Ok(())
                });
                *writer = Writer::Busy { write, closes: false };
                Ok(())
            }
            Err(error) => {
                *writer = Writer::Closed(None);
                Err(failed(error))
            }
        }
    }

    /// How much may be written now; 0 while a write is on its way.
    fn room(&self) -> StreamResult<usize> {
        let mut writer = self.writer();
        // Whoever waits for the write polls it again.
        let _is_idle = writer.poll_idle(&mut Context::from_waker(Waker::noop()));
        match &mut *writer {
            Writer::Open => Ok(PIECE_MAX_BYTES),
            Writer::Busy { .. } => Ok(0),
            Writer::Closed(reason) => Err(reason.take().map_or(StreamError::Closed, failed)),
        }
    }

    /// Waits until no write is on its way. What came of it is left for [`Self::room`].
    async fn idle(&self) {
        poll_fn(|context| self.writer().poll_idle(context)).await;
    }
}

impl Writer {
    fn poll_idle(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if let Self::Busy { write, closes } = self {
            let done = ready!(Pin::new(write).poll(context));
            *self = match (done, *closes) {
                (Ok(()), false) => Self::Open,
                (Ok(()), true) => Self::Closed(None),
                (Err(error), _) => Self::Closed(Some(error)),
            };
        }
        Poll::Ready(())
    }
}

/// Sends as much as the kernel takes.
fn write_now(stream: &TcpStream, bytes: &mut Bytes) -> io::Result<()> {
    while !bytes.is_empty() {
        match stream.try_write(bytes) {
            Ok(written) => bytes.advance(written),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn end(stream: &TcpStream) {
    // Fails when the peer closed already.
    let _already = rustix::net::shutdown(stream, rustix::net::Shutdown::Write);
}

/// As `network-error-code` reads it.
fn failed(error: io::Error) -> StreamError {
    match error.kind() {
        io::ErrorKind::BrokenPipe => StreamError::Closed,
        _ => StreamError::LastOperationFailed(error.into()),
    }
}

/// What the peer sends.
pub(super) struct Input(Connection);

#[async_trait]
impl InputStream for Input {
    fn read(&mut self, size: usize) -> StreamResult<Bytes> {
        if self.0.is_read_closed.load(Ordering::Relaxed) {
            return Err(StreamError::Closed);
        }
        if size == 0 {
            return Ok(Bytes::new());
        }
        let mut piece = BytesMut::zeroed(size.min(PIECE_MAX_BYTES));
        match self.0.stream.try_read(&mut piece) {
            Ok(0) => {
                self.0.is_read_closed.store(true, Ordering::Relaxed);
                Err(StreamError::Closed)
            }
            Ok(length) => {
                piece.truncate(length);
                Ok(piece.freeze())
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Bytes::new()),
            Err(error) => {
                self.0.is_read_closed.store(true, Ordering::Relaxed);
                Err(failed(error))
            }
        }
    }
}

#[async_trait]
impl Pollable for Input {
    async fn ready(&mut self) {
        if !self.0.is_read_closed.load(Ordering::Relaxed) {
            // An error is told by the read that follows.
            let _readable = self.0.stream.readable().await;
        }
    }
}

/// What goes to the peer. Dropping it tells the peer that there is no more.
pub(super) struct Output(Connection);

#[async_trait]
impl OutputStream for Output {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        if bytes.len() > PIECE_MAX_BYTES {
            return Err(StreamError::trap("wrote more than check-write allowed"));
        }
        self.0.write(bytes)
    }

    /// Nothing to do: what was written is on its way.
    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        self.0.room()
    }

    /// Before the stream is dropped: what the guest was told is written is not given up.
    async fn cancel(&mut self) {
        self.0.idle().await;
    }
}

#[async_trait]
impl Pollable for Output {
    async fn ready(&mut self) {
        self.0.idle().await;
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        self.0.close_write();
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt as _;
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn what_was_written_arrives_before_the_end() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stream, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
        let (mut peer, _) = accepted.unwrap();
        let connection = Connection::new(stream.unwrap());
        let (_input, mut output) = connection.streams();
        let piece = Bytes::from(vec![7; PIECE_MAX_BYTES]);
        let mut written = 0;
        // Until the kernel takes no more and the rest of a piece waits in a task.
        while output.check_write().unwrap() > 0 {
            output.write(piece.clone()).unwrap();
            written += piece.len();
        }
        assert!(matches!(output.write(piece.clone()), Err(StreamError::Trap(_))));
        connection.close_write();
        let mut read = Vec::new();
        let (read_all, ()) = tokio::join!(peer.read_to_end(&mut read), output.cancel());
        assert_eq!((read_all.unwrap(), read.len()), (written, written));
        assert!(matches!(output.check_write(), Err(StreamError::Closed)));
    }

    #[tokio::test]
    async fn a_peer_that_is_gone_ends_both_streams() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stream, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
        let (mut input, mut output) = Connection::new(stream.unwrap()).streams();
        drop(accepted);
        input.ready().await;
        assert!(matches!(input.read(10), Err(StreamError::Closed)));
        assert!(matches!(input.read(10), Err(StreamError::Closed)));
        let piece = Bytes::from_static(b"anybody there?");
        while output.check_write().is_ok() && output.write(piece.clone()).is_ok() {
            output.ready().await;
            tokio::task::yield_now().await;
        }
        assert!(matches!(output.check_write(), Err(StreamError::Closed)));
    }
}
