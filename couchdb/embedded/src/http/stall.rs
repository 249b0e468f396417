//! A client that does not read what it asked for: its connection is cut after a while.
//!
//! A feed makes no more than its connection takes, so that a slow client holds a bounded number of
//! bytes: the pieces that wait ([`PIECES_MAX`](super::reply::PIECES_MAX)), hyper's buffer, and the
//! system's. What it would hold for ever is a connection and its feed. So a connection that has bytes
//! to send and could send none of them for the time of [`Options::stall_timeout`] ends; the client
//! comes back and resumes from the last sequence that it has read.
//!
//! [`Options::stall_timeout`]: crate::Options::stall_timeout

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep},
};

/// A stream whose writes must make progress.
pub(super) struct Watched<S> {
    stream: S,
    limit: Duration,
    /// Made at the first write that waits, so that most connections have none.
    clock: Option<Pin<Box<Sleep>>>,
    waits: bool,
}

impl<S> Watched<S> {
    pub(super) fn new(stream: S, limit: Duration) -> Watched<S> {
        Watched { stream, limit, clock: None, waits: false }
    }

    /// What comes of a try to write.
    fn judge<T>(
        &mut self,
        context: &mut Context<'_>,
        tried: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if tried.is_ready() {
            self.waits = false;
            return tried;
        }
        let limit = self.limit;
        let clock = self.clock.get_or_insert_with(|| Box::pin(sleep(limit)));
        if !self.waits {
            self.waits = true;
            clock.as_mut().reset(Instant::now() + limit);
        }
        match clock.as_mut().poll(context) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(()) => {
                let text = format!("the client took no byte for {limit:?}");
                Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, text)))
            }
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let tried = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.judge(context, tried)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let tried = Pin::new(&mut self.stream).poll_write_vectored(context, pieces);
        self.judge(context, tried)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let tried = Pin::new(&mut self.stream).poll_flush(context);
        self.judge(context, tried)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let tried = Pin::new(&mut self.stream).poll_shutdown(context);
        self.judge(context, tried)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    #[tokio::test]
    async fn a_reader_that_stops_is_cut_off_and_one_that_is_slow_is_not() {
        let limit = Duration::from_millis(200);
        let (near, mut far) = duplex(64);
        let mut watched = Watched::new(near, limit);
        let begun = Instant::now();
        let slow = async {
            // Each read is in time; all of them together are not.
            let mut bytes = [0; 32];
            for _ in 0..8 {
                sleep(limit / 4).await;
                far.read_exact(&mut bytes).await.unwrap();
            }
        };
        let (written, ()) = tokio::join!(watched.write_all(&[7; 256]), slow);
        written.unwrap();
        assert!(begun.elapsed() > limit);
        let error = watched.write_all(&[7; 256]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut, "{error}");
    }
}
