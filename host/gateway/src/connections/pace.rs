//! How slow bytes may be: the head of a request, its body, and what the other end takes of an answer.

use std::error::Error as _;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use hyper::body::{Frame, Incoming, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

use super::places::{Place, Work};
use crate::limits::Limits;

/// A stream whose heads come in time, and of which the other end reads.
pub(super) struct Paced<S> {
    stream: S,
    place: Arc<Place>,
    /// From the first byte of a head to the request.
    head: Clock,
    /// From the first write that waits to one that does not.
    stall: Clock,
}

/// A limit that is now and then counted.
struct Clock {
    limit: Duration,
    /// Made when it is first counted: most connections never wait.
    sleep: Option<Pin<Box<Sleep>>>,
    runs: bool,
}

impl Clock {
    fn new(limit: Duration) -> Self {
        Self { limit, sleep: None, runs: false }
    }

    /// Counts from now on, if it does not.
    fn start(&mut self) {
        if !self.runs {
            self.runs = true;
            let end = Instant::now() + self.limit;
            match &mut self.sleep {
                Some(sleep) => sleep.as_mut().reset(end),
                None => self.sleep = Some(Box::pin(sleep_until(end))),
            }
        }
    }

    fn stop(&mut self) {
        self.runs = false;
    }

    /// Whether it is over; wakes up when it will be.
    fn is_over(&mut self, context: &mut Context<'_>) -> bool {
        self.runs
            && self.sleep.as_mut().is_some_and(|sleep| sleep.as_mut().poll(context).is_ready())
    }
}

impl<S> Paced<S> {
    pub(super) fn new(stream: S, place: Arc<Place>, limits: &Limits) -> Self {
        let (head, stall) = (Clock::new(limits.head), Clock::new(limits.stall));
        Self { stream, place, head, stall }
    }

    /// What comes of a try to write.
    fn judge<T>(
        &mut self,
        context: &mut Context<'_>,
        tried: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if tried.is_ready() {
            self.stall.stop();
            return tried;
        }
        self.stall.start();
        if self.stall.is_over(context) {
            return Poll::Ready(Err(late("the other end takes no byte", self.stall.limit)));
        }
        Poll::Pending
    }
}

fn late(what: &str, limit: Duration) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, format!("{what} within {limit:?}"))
}

impl<S: AsyncRead + Unpin> AsyncRead for Paced<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let before = buffer.filled().len();
        let read = Pin::new(&mut this.stream).poll_read(context, buffer);
        if !this.place.rests() {
            this.head.stop();
        } else if buffer.filled().len() > before {
            this.head.start();
        }
        if this.head.is_over(context) {
            return Poll::Ready(Err(late("the head of a request did not come", this.head.limit)));
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Paced<S> {
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

/// A body that came too slowly.
#[derive(Debug, thiserror::Error)]
#[error("the request's body comes too slowly: {bytes} bytes in {took:?}")]
pub(crate) struct Slow {
    bytes: u64,
    took: Duration,
}

/// Whether a body could not be read because it came too slowly.
pub(crate) fn is_slow(error: &axum::Error) -> bool {
    let mut cause = error.source();
    while let Some(error) = cause {
        if error.is::<Slow>() {
            return true;
        }
        cause = error.source();
    }
    false
}

/// A request's body, which is to come as fast as the limits say.
pub(super) struct Arriving<B = Incoming> {
    body: B,
    bytes: u64,
    grace: Duration,
    bytes_per_s: u32,
    /// From when somebody reads it: what is not asked for cannot come, as while a publishing waits for its place.
    read: Option<Read>,
}

struct Read {
    begun: Instant,
    /// When what has come so far was too little, or nothing more has come for too long: what came early buys no time to stall.
    end: Pin<Box<Sleep>>,
}

impl<B> Arriving<B> {
    pub(super) fn new(body: B, limits: &Limits) -> Self {
        let (grace, bytes_per_s) = (limits.body, limits.body_bytes_per_s.max(1));
        Self { body, bytes: 0, grace, bytes_per_s, read: None }
    }
}

impl<B> HttpBody for Arriving<B>
where
    B: HttpBody<Data = Bytes, Error: Into<axum::BoxError>> + Unpin,
{
    type Data = Bytes;
    type Error = axum::BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::BoxError>>> {
        let this = &mut *self;
        let (now, grace) = (Instant::now(), this.grace);
        let new = || Read { begun: now, end: Box::pin(sleep_until(now + grace)) };
        let Read { begun, end } = this.read.get_or_insert_with(new);
        let Poll::Ready(came) = Pin::new(&mut this.body).poll_frame(context) else {
            ready!(end.as_mut().poll(context));
            let slow = Slow { bytes: this.bytes, took: begun.elapsed() };
            return Poll::Ready(Some(Err(slow.into())));
        };
        if let Some(Ok(data)) = came.as_ref().map(|came| came.as_ref().map(Frame::data_ref)) {
            this.bytes += data.map_or(0, Bytes::len) as u64;
            let due = Duration::from_secs_f64(this.bytes as f64 / f64::from(this.bytes_per_s));
            let (rate, stall) = (*begun + grace + due, now + grace);
            end.as_mut().reset(rate.min(stall));
        }
        Poll::Ready(came.map(|came| came.map_err(Into::into)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// An answer's body: until its end the connection is at work.
pub(super) struct Leaving {
    body: Body,
    _work: Work,
}

impl Leaving {
    pub(super) fn new(body: Body, work: Work) -> Self {
        Self { body, _work: work }
    }
}

impl HttpBody for Leaving {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests;
