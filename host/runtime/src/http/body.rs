//! The body of an answer, read at the reader's pace: what is not read stays with the server.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use hyper::body::{Body as _, Frame, Incoming};

use super::clock::{Clock, Phases, Stage};
use super::failure::Failure;
#[cfg(feature = "http3")]
use super::quic;
use super::quiet::quiet;
use super::send::Connection;
use super::tap::{self, Log};

/// What is left of an exchange. Dropping it closes the connection.
#[derive(Debug)]
#[expect(unreachable_pub, reason = "inside a type of the generated bindings")]
pub struct Body {
    /// `None` once the end was seen, or a failure.
    open: Option<Source>,
    /// Arrived, but more than was asked for.
    surplus: Bytes,
    received: u64,
    expected: Option<u64>,
    /// Came behind the body, and was not taken yet.
    trailers: Option<HeaderMap>,
    latest: Duration,
    clock: Clock,
}

/// Where the pieces come from. Dropping it closes the connection.
#[derive(Debug)]
enum Source {
    /// A connection over TCP.
    Tcp { incoming: Incoming, connection: Connection, log: Arc<Mutex<Log>> },
    #[cfg(feature = "http3")]
    Quic(Box<quic::Incoming>),
}

impl Body {
    pub(super) fn new(
        incoming: Incoming,
        connection: Connection,
        log: Arc<Mutex<Log>>,
        clock: Clock,
    ) -> Self {
        Self {
            expected: incoming.size_hint().exact(),
            open: Some(Source::Tcp { incoming, connection, log }),
            surplus: Bytes::new(),
            received: 0,
            trailers: None,
            latest: clock.phases.first_byte,
            clock,
        }
    }

    #[cfg(feature = "http3")]
    pub(super) fn by_quic(incoming: quic::Incoming, clock: Clock) -> Self {
        Self {
            expected: incoming.expected(),
            open: Some(Source::Quic(Box::new(incoming))),
            surplus: Bytes::new(),
            received: 0,
            trailers: None,
            latest: clock.phases.first_byte,
            clock,
        }
    }

    /// The next piece, of 1 to `max_bytes`, as soon as there is any. Empty at the end, and again after it.
    pub(crate) async fn read(&mut self, max_bytes: usize) -> Result<Bytes, Failure> {
        let max_bytes = max_bytes.max(1);
        while self.surplus.is_empty() {
            let Some(source) = &mut self.open else { return Ok(Bytes::new()) };
            let stage = Stage::Body { received: self.received, expected: self.expected };
            let next = source.next(self.received, self.expected);
            let next = quiet(self.clock.within(stage, next)).await;
            self.latest = self.clock.elapsed();
            match next {
                Ok(Some(Next::Data(piece))) => self.surplus = piece,
                Ok(Some(Next::Trailers(trailers))) => self.trailers = Some(trailers),
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

    /// What came behind the body, once its end was seen.
    pub(crate) fn take_trailers(&mut self) -> Option<HeaderMap> {
        self.trailers.take()
    }

    /// From the start of the exchange to the latest arrival, or to the end once it was seen.
    pub(crate) fn total(&self) -> Duration {
        self.latest
    }

    pub(super) fn phases(&self) -> Phases {
        self.clock.phases
    }
}

/// What comes next of a body.
enum Next {
    Data(Bytes),
    Trailers(HeaderMap),
}

impl Source {
    /// `None` at the end; a piece may be empty.
    async fn next(
        &mut self,
        received: u64,
        expected: Option<u64>,
    ) -> Result<Option<Next>, Failure> {
        match self {
            Self::Tcp { incoming, connection, log } => {
                match poll_fn(|context| poll_frame(incoming, connection, context)).await {
                    None => Ok(None),
                    // Trailers have no place in the contract of `web`, but in that of `wasi:http`.
                    Some(Ok(frame)) => Ok(Some(match frame.into_data() {
                        Ok(piece) => Next::Data(piece),
                        Err(frame) => Next::Trailers(frame.into_trailers().unwrap_or_default()),
                    })),
                    Some(Err(error)) => {
                        let over = tap::read(log).over_budget();
                        Err(Failure::of_body(&error, over, received, expected))
                    }
                }
            }
            #[cfg(feature = "http3")]
            Self::Quic(incoming) => Ok(incoming.next().await?.map(Next::Data)),
        }
    }
}

/// Polls the connection only when nothing lies ready: to poll the body first tells the connection that it is wanted.
fn poll_frame(
    incoming: &mut Incoming,
    connection: &mut Connection,
    context: &mut Context<'_>,
) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
    if let Poll::Ready(frame) = Pin::new(&mut *incoming).poll_frame(context) {
        return Poll::Ready(frame);
    }
    connection.poll(context);
    Pin::new(incoming).poll_frame(context)
}
