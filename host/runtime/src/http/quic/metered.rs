//! The streams that h3 reads from, bounded: h3 keeps a frame back until it is whole, however large the
//! server says that it is, and takes in more than it gives out.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h3::error::Code;
use h3::quic::{
    BidiStream, Connection, ConnectionErrorIncoming, OpenStreams, RecvStream, SendStream,
    StreamErrorIncoming, StreamId, WriteBuf,
};

/// Bytes of one stream that h3 may take in before it gives something out.
#[derive(Debug)]
pub(super) struct Meter {
    left: AtomicUsize,
    /// What is there already is looked at first; nothing is read meanwhile.
    is_held: AtomicBool,
    is_exceeded: AtomicBool,
}

impl Meter {
    pub(super) fn new(bytes: usize) -> Self {
        Self {
            left: AtomicUsize::new(bytes),
            is_held: AtomicBool::new(false),
            is_exceeded: AtomicBool::new(false),
        }
    }

    /// So many from now on.
    pub(super) fn refill(&self, bytes: usize) {
        self.left.store(bytes, Ordering::Relaxed);
    }

    /// Held, a stream has nothing new to give, and wakes nobody.
    pub(super) fn hold(&self, is_held: bool) {
        self.is_held.store(is_held, Ordering::Relaxed);
    }

    pub(super) fn is_exceeded(&self) -> bool {
        self.is_exceeded.load(Ordering::Relaxed)
    }

    fn take(&self, bytes: usize) -> Result<(), StreamErrorIncoming> {
        // One task reads a stream, so nothing comes between these two.
        match self.left.load(Ordering::Relaxed).checked_sub(bytes) {
            Some(left) => {
                self.left.store(left, Ordering::Relaxed);
                Ok(())
            }
            None => {
                self.is_exceeded.store(true, Ordering::Relaxed);
                let text = "a frame is larger than what is taken".to_owned();
                let connection_error = ConnectionErrorIncoming::InternalError(text);
                Err(StreamErrorIncoming::ConnectionErrorIncoming { connection_error })
            }
        }
    }
}

/// A connection whose request has a meter; each stream that the server opens has one of its own.
pub(super) struct Transport {
    inner: h3_quinn::Connection,
    opener: Opener,
    control_max_bytes: usize,
}

impl Transport {
    pub(super) fn new(
        connection: quinn::Connection,
        meter: Arc<Meter>,
        control_max_bytes: usize,
    ) -> Self {
        let inner = h3_quinn::Connection::new(connection);
        let opener = Opener { inner: Connection::<Bytes>::opener(&inner), meter };
        Self { inner, opener, control_max_bytes }
    }
}

impl Connection<Bytes> for Transport {
    type RecvStream = Incoming;
    type OpenStreams = Opener;

    fn poll_accept_recv(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Incoming, ConnectionErrorIncoming>> {
        let stream = ready!(Connection::<Bytes>::poll_accept_recv(&mut self.inner, cx))?;
        Poll::Ready(Ok(Incoming::new(stream, Arc::new(Meter::new(self.control_max_bytes)))))
    }

    fn poll_accept_bidi(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Both, ConnectionErrorIncoming>> {
        let both = ready!(Connection::<Bytes>::poll_accept_bidi(&mut self.inner, cx))?;
        Poll::Ready(Ok(Both::new(both, Arc::new(Meter::new(self.control_max_bytes)))))
    }

    fn opener(&self) -> Opener {
        let Opener { inner, meter } = &self.opener;
        Opener { inner: inner.clone(), meter: Arc::clone(meter) }
    }
}

impl OpenStreams<Bytes> for Transport {
    type BidiStream = Both;
    type SendStream = h3_quinn::SendStream<Bytes>;

    fn poll_open_bidi(&mut self, cx: &mut Context<'_>) -> Poll<Result<Both, StreamErrorIncoming>> {
        self.opener.poll_open_bidi(cx)
    }

    fn poll_open_send(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Self::SendStream, StreamErrorIncoming>> {
        self.opener.poll_open_send(cx)
    }

    fn close(&mut self, code: Code, reason: &[u8]) {
        self.opener.close(code, reason);
    }
}

/// Opens the stream of the request.
pub(super) struct Opener {
    inner: h3_quinn::OpenStreams,
    meter: Arc<Meter>,
}

impl OpenStreams<Bytes> for Opener {
    type BidiStream = Both;
    type SendStream = h3_quinn::SendStream<Bytes>;

    fn poll_open_bidi(&mut self, cx: &mut Context<'_>) -> Poll<Result<Both, StreamErrorIncoming>> {
        let both = ready!(OpenStreams::<Bytes>::poll_open_bidi(&mut self.inner, cx))?;
        Poll::Ready(Ok(Both::new(both, Arc::clone(&self.meter))))
    }

    fn poll_open_send(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Self::SendStream, StreamErrorIncoming>> {
        OpenStreams::<Bytes>::poll_open_send(&mut self.inner, cx)
    }

    fn close(&mut self, code: Code, reason: &[u8]) {
        OpenStreams::<Bytes>::close(&mut self.inner, code, reason);
    }
}

/// A stream in both directions.
pub(super) struct Both {
    outgoing: h3_quinn::SendStream<Bytes>,
    incoming: Incoming,
}

impl Both {
    fn new(both: h3_quinn::BidiStream<Bytes>, meter: Arc<Meter>) -> Self {
        let (outgoing, stream) = both.split();
        Self { outgoing, incoming: Incoming::new(stream, meter) }
    }
}

impl BidiStream<Bytes> for Both {
    type SendStream = h3_quinn::SendStream<Bytes>;
    type RecvStream = Incoming;

    fn split(self) -> (Self::SendStream, Incoming) {
        (self.outgoing, self.incoming)
    }
}

impl RecvStream for Both {
    type Buf = Bytes;

    fn poll_data(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Bytes>, StreamErrorIncoming>> {
        self.incoming.poll_data(cx)
    }

    fn stop_sending(&mut self, error_code: u64) {
        self.incoming.stop_sending(error_code);
    }

    fn recv_id(&self) -> StreamId {
        self.incoming.recv_id()
    }
}

impl SendStream<Bytes> for Both {
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), StreamErrorIncoming>> {
        self.outgoing.poll_ready(cx)
    }

    fn send_data<T: Into<WriteBuf<Bytes>>>(&mut self, data: T) -> Result<(), StreamErrorIncoming> {
        self.outgoing.send_data(data)
    }

    fn poll_finish(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), StreamErrorIncoming>> {
        self.outgoing.poll_finish(cx)
    }

    fn reset(&mut self, reset_code: u64) {
        self.outgoing.reset(reset_code);
    }

    fn send_id(&self) -> StreamId {
        self.outgoing.send_id()
    }
}

/// What the server sends on one stream.
pub(super) struct Incoming {
    stream: h3_quinn::RecvStream,
    meter: Arc<Meter>,
    id: StreamId,
    /// The stream is lent to a read that has not ended: h3-quinn panics when it is asked anything else.
    is_lent: bool,
}

impl Incoming {
    fn new(stream: h3_quinn::RecvStream, meter: Arc<Meter>) -> Self {
        let id = stream.recv_id();
        Self { stream, meter, id, is_lent: false }
    }
}

impl RecvStream for Incoming {
    type Buf = Bytes;

    fn poll_data(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Bytes>, StreamErrorIncoming>> {
        if self.meter.is_held.load(Ordering::Relaxed) {
            return Poll::Pending;
        }
        let polled = self.stream.poll_data(cx);
        self.is_lent = polled.is_pending();
        let data = ready!(polled)?;
        self.meter.take(data.as_ref().map_or(0, Bytes::len))?;
        Poll::Ready(Ok(data))
    }

    fn stop_sending(&mut self, error_code: u64) {
        // The end of the exchange closes the whole connection anyway.
        if !self.is_lent {
            self.stream.stop_sending(error_code);
        }
    }

    fn recv_id(&self) -> StreamId {
        self.id
    }
}
