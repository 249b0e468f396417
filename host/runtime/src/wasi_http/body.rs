//! The bodies: a request's is collected under a budget, an answer's is read as the guest reads it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::stream;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::Frame;
use tokio::sync::OwnedSemaphorePermit;
use wasmtime_wasi_http::Error;
use wasmtime_wasi_http::p2::body::{HyperIncomingBody, HyperOutgoingBody};

use super::{Piece, codes};
use crate::http::Body;
use crate::limits::Size;

/// Bytes that the bodies of a run's requests may still take. A clone is the same budget.
#[derive(Debug, Clone)]
pub(super) struct Budget {
    left: Arc<AtomicUsize>,
    max_bytes: usize,
}

/// A whole body; its bytes go back to the budget with it.
pub(super) struct Collected {
    pub(super) bytes: Bytes,
    _taken: Taken,
}

struct Taken {
    left: Arc<AtomicUsize>,
    bytes: usize,
}

impl Budget {
    pub(super) fn new(max_bytes: usize) -> Self {
        Self { left: Arc::new(AtomicUsize::new(max_bytes)), max_bytes }
    }

    /// Waits for the end of the body that the guest writes.
    pub(super) async fn collect(&self, mut body: HyperOutgoingBody) -> Result<Collected, Error> {
        let mut taken = Taken { left: Arc::clone(&self.left), bytes: 0 };
        let mut whole = BytesMut::new();
        while let Some(frame) = body.frame().await {
            match frame?.into_data() {
                Ok(piece) => {
                    if !taken.take(piece.len()) {
                        return Err(self.exceeded());
                    }
                    whole.extend_from_slice(&piece);
                }
                Err(frame) => {
                    if frame.into_trailers().is_ok_and(|trailers| !trailers.is_empty()) {
                        let text = "this host sends no trailers with a request";
                        return Err(Error::InternalError(Some(text.to_owned())));
                    }
                }
            }
        }
        Ok(Collected { bytes: whole.freeze(), _taken: taken })
    }

    fn exceeded(&self) -> Error {
        let max_bytes = u64::try_from(self.max_bytes).unwrap_or(u64::MAX);
        tracing::debug!(limit = %Size(max_bytes), "the bodies of a run's requests are too large");
        Error::HttpRequestBodySize(Some(max_bytes))
    }
}

impl Taken {
    fn take(&mut self, bytes: usize) -> bool {
        let take = |left: usize| left.checked_sub(bytes);
        let is_taken = self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok();
        self.bytes += if is_taken { bytes } else { 0 };
        is_taken
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.left.fetch_add(self.bytes, Ordering::Relaxed);
    }
}

/// Largest piece of an answer that is handed on at once.
const PIECE_MAX_BYTES: usize = 64 * 1024;

struct Answered {
    body: Body,
    /// The longest silence of the server.
    between: Option<Duration>,
    /// Among the run's open bodies.
    _place: OwnedSemaphorePermit,
}

/// The body of an answer, with its trailers. Dropping it closes the connection.
pub(super) fn answered(
    body: Body,
    between: Option<Duration>,
    place: OwnedSemaphorePermit,
) -> HyperIncomingBody {
    let answered = Answered { body, between, _place: place };
    let pieces = stream::unfold(Some(answered), |answered| async move {
        let mut answered = answered?;
        let piece = answered.next().await?;
        let is_last = !matches!(&piece, Ok(frame) if frame.is_data());
        Some((piece, (!is_last).then_some(answered)))
    });
    StreamBody::new(pieces).boxed_unsync()
}

impl Answered {
    async fn next(&mut self) -> Option<Piece> {
        let reading = self.body.read(PIECE_MAX_BYTES);
        let piece = match self.between {
            None => reading.await,
            Some(limit) => match tokio::time::timeout(limit, reading).await {
                Ok(piece) => piece,
                Err(_late) => return Some(Err(Error::ConnectionReadTimeout)),
            },
        };
        match piece {
            Ok(piece) if !piece.is_empty() => Some(Ok(Frame::data(piece))),
            Ok(_end) => self.body.take_trailers().map(|trailers| Ok(Frame::trailers(trailers))),
            Err(failure) => Some(Err(codes::error_of_body(&failure))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(pieces: &[&'static str], trailer: Option<&str>) -> HyperOutgoingBody {
        let data = pieces.iter().map(|piece| Ok(Frame::data(Bytes::from_static(piece.as_bytes()))));
        let trailers = trailer.map(|name| {
            let name = http::HeaderName::from_bytes(name.as_bytes()).unwrap();
            Ok(Frame::trailers([(name, http::HeaderValue::from_static("x"))].into_iter().collect()))
        });
        let frames: Vec<Piece> = data.chain(trailers).collect();
        StreamBody::new(stream::iter(frames)).boxed_unsync()
    }

    #[tokio::test]
    async fn bodies_are_collected_under_one_budget() {
        let budget = Budget::new(6);
        let first = budget.collect(body(&["ab", "cd"], None)).await.unwrap();
        assert_eq!(first.bytes, "abcd");
        let second = budget.collect(body(&["efg"], None)).await;
        assert!(matches!(second, Err(Error::HttpRequestBodySize(Some(6)))));
        drop(first);
        // Also what was refused half-way is given back.
        let third = budget.collect(body(&["efg", "hij"], None)).await.unwrap();
        assert_eq!(third.bytes, "efghij");
    }

    #[tokio::test]
    async fn trailers_of_a_request_are_refused() {
        let refused = Budget::new(6).collect(body(&["ab"], Some("x-sum"))).await;
        assert!(
            matches!(refused, Err(Error::InternalError(Some(text))) if text.contains("trailers"))
        );
    }
}
