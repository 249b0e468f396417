//! The body of an answer over HTTP/3, read at the reader's pace.

use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

use bytes::{Buf, Bytes};

use super::metered::Meter;
use super::{Answering, Connection, FRAME_MAX_BYTES, failure};
use crate::http::failure::Failure;

/// Pieces as they come. Dropping it closes the connection.
pub(in crate::http) struct Incoming {
    stream: Answering,
    meter: Arc<Meter>,
    _connection: Connection,
    received: u64,
    /// What the server said; h3 does not hold it to that.
    expected: Option<u64>,
}

impl Incoming {
    pub(super) fn new(
        stream: Answering,
        meter: Arc<Meter>,
        connection: Connection,
        expected: Option<u64>,
    ) -> Self {
        Self { stream, meter, _connection: connection, received: 0, expected }
    }

    pub(in crate::http) fn expected(&self) -> Option<u64> {
        self.expected
    }

    /// `None` at the end.
    pub(in crate::http) async fn next(&mut self) -> Result<Option<Bytes>, Failure> {
        let Self { stream, meter, .. } = self;
        let next = poll_fn(|cx| {
            // With what came before first: h3 reads ahead each time that it is asked, and would have
            // the body in memory sooner than the reader.
            meter.hold(true);
            let kept = stream.poll_recv_data(cx).map(|next| next.map(bytes));
            meter.hold(false);
            match kept {
                Poll::Ready(next) => Poll::Ready(next),
                Poll::Pending => stream.poll_recv_data(cx).map(|next| next.map(bytes)),
            }
        });
        let next = next.await.map_err(|error| failure::of_body(&error, meter))?;
        meter.refill(FRAME_MAX_BYTES);
        let piece = u64::try_from(next.as_ref().map_or(0, Bytes::len)).unwrap_or(u64::MAX);
        self.received = self.received.saturating_add(piece);
        match self.expected {
            Some(expected) if next.is_none() && self.received < expected => {
                Err(Failure::Partial(format!(
                    "transfer closed with {} bytes remaining to read",
                    expected - self.received
                )))
            }
            Some(expected) if self.received > expected => Err(Failure::Protocol(format!(
                "the answer is not HTTP/3: its body has more than the {expected} bytes that it states"
            ))),
            _ => Ok(next),
        }
    }
}

fn bytes(piece: Option<impl Buf>) -> Option<Bytes> {
    // Not a copy: h3 gives out the packets' own bytes.
    piece.map(|mut piece| piece.copy_to_bytes(piece.remaining()))
}

impl fmt::Debug for Incoming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Incoming").field("received", &self.received).finish_non_exhaustive()
    }
}
