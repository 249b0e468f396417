//! The body of an answer, read at the reader's pace: what is not read stays with the server.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Incoming};

use super::clock::{Clock, Phases, Stage};
use super::failure::Failure;
use super::send::Connection;

/// What is left of an exchange. Dropping it closes the connection.
#[derive(Debug)]
#[expect(unreachable_pub, reason = "the generated bindings re-export it")]
pub struct Body {
    /// `None` once the end was seen, or a failure.
    open: Option<(Incoming, Connection)>,
    /// Arrived, but more than was asked for.
    surplus: Bytes,
    received: u64,
    expected: Option<u64>,
    latest: Duration,
    clock: Clock,
}

impl Body {
    pub(super) fn new(incoming: Incoming, connection: Connection, clock: Clock) -> Self {
        Self {
            expected: incoming.size_hint().exact(),
            open: Some((incoming, connection)),
            surplus: Bytes::new(),
            received: 0,
            latest: clock.phases.first_byte,
            clock,
        }
    }

    /// The next piece, of 1 to `max_bytes`, as soon as there is any. Empty at the end, and again after it.
    pub(crate) async fn read(&mut self, max_bytes: usize) -> Result<Bytes, Failure> {
        let max_bytes = max_bytes.max(1);
        while self.surplus.is_empty() {
            let Some((incoming, _)) = &mut self.open else { return Ok(Bytes::new()) };
            let stage = Stage::Body { received: self.received, expected: self.expected };
            let next = async {
                match incoming.frame().await {
                    None => Ok(None),
                    Some(Ok(frame)) => Ok(Some(frame)),
                    Some(Err(e)) => Err(Failure::of_body(&e, self.received, self.expected)),
                }
            };
            let next = self.clock.within(stage, next).await;
            self.latest = self.clock.elapsed();
            match next {
                // Trailers have no place in the contract.
                Ok(Some(frame)) => self.surplus = frame.into_data().unwrap_or_default(),
                Ok(None) => self.open = None,
                Err(failure) => {
                    self.open = None;
                    return Err(failure);
                }
            }
            self.received += u64::try_from(self.surplus.len()).unwrap_or(0);
        }
        Ok(self.surplus.split_to(max_bytes.min(self.surplus.len())))
    }

    /// From the start of the exchange to the latest arrival, or to the end once it was seen.
    pub(crate) fn total(&self) -> Duration {
        self.latest
    }

    pub(super) fn phases(&self) -> Phases {
        self.clock.phases
    }
}
