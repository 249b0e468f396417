//! HTTP/2 on one connection: the `h2` crate, polled by the loop, without a runtime.
//!
//! The crate wants a transport that says `Pending` and wakes somebody. Here the transport ([`wire`]) says `Pending` where the
//! kernel has nothing, and the loop comes back when epoll says so; what the parts of one connection wake each other for happens within
//! one [`Multiplex::turn`], so that wakers only set marks ([`wake`]).

mod stream;
#[cfg(test)]
mod tests;
mod trouble;
mod wake;
mod wire;

use std::cell::RefCell;
use std::future::Future;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use blitz_contract::load::ErrorKind;
use bytes::Bytes;
use h2::client::{Builder, Connection, SendRequest};

use crate::failure::Failure;
use crate::script::{Kept, Script};
use crate::tls::Session;

use stream::Streams;
use wire::{Io, Wire};

/// Bytes of one stream that a server may send before it hears of us: no answer waits for a window.
const STREAM_WINDOW_BYTES: u32 = 8 << 20;
/// The same of a connection.
const CONNECTION_WINDOW_BYTES: u32 = 64 << 20;
/// Of a head: as much as HTTP/1 answers may have.
const HEAD_BYTES_MAX: u32 = 64 << 10;
/// What one turn reads, so that one connection does not hold up all others.
const TURN_BYTES_MAX: usize = 256 << 10;

/// One connection and its streams.
#[derive(Debug)]
pub(crate) struct Multiplex {
    wire: Rc<RefCell<Wire>>,
    state: State,
    streams: Streams,
    streams_max: usize,
    mark: Arc<wake::Mark>,
    waker: Waker,
    /// Lanes that bytes are counted for: the one that was sent last, and the one that ended last.
    sent_lane: Option<u32>,
    ended_lane: Option<u32>,
}

type Opened = Result<(SendRequest<Bytes>, Connection<Io, Bytes>), h2::Error>;

enum State {
    Opening(Pin<Box<dyn Future<Output = Opened>>>),
    Open {
        send: SendRequest<Bytes>,
        connection: Box<Connection<Io, Bytes>>,
    },
    /// Why.
    Over(Failure),
}

/// What a turn came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Turn {
    /// The socket took less than there is to send.
    pub(crate) wants_write: bool,
    /// More may lie here than this turn took: come back without waiting for epoll.
    pub(crate) wants_turn: bool,
    /// It is gone; what was in flight has failed.
    pub(crate) is_over: bool,
}

/// What became of a lane's request.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Happened {
    /// The answer is whole.
    Answered {
        lane: u32,
        status: u16,
        /// All cookies that the step wants came.
        found: bool,
        /// What the transaction keeps from now on.
        kept: Option<Box<Kept>>,
    },
    /// There is no good answer.
    Failed {
        lane: u32,
        failure: Failure,
        /// The server says that it did nothing with the request: it may be sent again.
        unprocessed: bool,
    },
    /// Bytes of the connection since the last turn, its own frames among them and without what TLS adds, told for a lane that
    /// was active.
    Sent { lane: u32, bytes: u64 },
    /// The same of what came.
    Received { lane: u32, bytes: u64 },
}

/// What a lane sends.
#[derive(Debug)]
pub(crate) struct Sending {
    pub(crate) lane: u32,
    pub(crate) step: usize,
    /// Of the transaction.
    pub(crate) number: u64,
    pub(crate) kept: Option<Box<Kept>>,
}

impl Multiplex {
    /// On a connection that stands, behind its TLS handshake. `came` is the plain text that came with the end of that: servers
    /// speak first. `streams` are at most open at once.
    pub(crate) fn new(
        fd: OwnedFd,
        tls: Option<Box<Session>>,
        came: Vec<u8>,
        streams: u32,
    ) -> Box<Self> {
        let wire = Rc::new(RefCell::new(Wire::new(fd, tls, came)));
        let streams_max = usize::try_from(streams.max(1)).unwrap_or(1);
        let mut builder = Builder::new();
        builder
            .enable_push(false)
            .initial_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .max_header_list_size(HEAD_BYTES_MAX)
            .initial_max_send_streams(streams_max);
        let io = Io(Rc::clone(&wire));
        let opening = Box::pin(async move { builder.handshake::<_, Bytes>(io).await });
        let mark = Arc::new(wake::Mark::default());
        let waker = Waker::from(Arc::clone(&mark));
        Box::new(Self {
            wire,
            state: State::Opening(opening),
            streams: Streams::default(),
            streams_max,
            mark,
            waker,
            sent_lane: None,
            ended_lane: None,
        })
    }

    /// For the loop's epoll.
    pub(crate) fn with_fd<R>(&self, act: impl FnOnce(BorrowedFd<'_>) -> R) -> R {
        act(self.wire.borrow().fd().as_fd())
    }

    /// Whether one more request may be sent: the plan, the server's limit and a GOAWAY decide. False before the first turn.
    pub(crate) fn room(&mut self) -> bool {
        let State::Open { send, .. } = &mut self.state else { return false };
        let allowed = self.streams_max.min(send.current_max_send_streams());
        self.streams.len() < allowed
            && matches!(send.poll_ready(&mut Context::from_waker(&self.waker)), Poll::Ready(Ok(())))
    }

    /// Begins a stream. It goes out with the next turn.
    ///
    /// # Errors
    ///
    /// What cannot be sent, or that the connection takes no more.
    pub(crate) fn send(&mut self, script: &Script, sending: Sending) -> Result<(), Failure> {
        let State::Open { send, .. } = &mut self.state else {
            return Err(Failure::new(ErrorKind::Closed, "HTTP/2: the connection is not open"));
        };
        let (request, body) = script
            .message(sending.step, sending.number, sending.kept.as_deref())
            .map_err(|text| Failure::new(ErrorKind::Parse, text))?;
        let (response, mut stream) = send
            .send_request(request, body.is_empty())
            .map_err(|error| trouble::failure(&error, &self.wire.borrow()).0)?;
        if !body.is_empty() {
            stream
                .send_data(body, true)
                .map_err(|error| trouble::failure(&error, &self.wire.borrow()).0)?;
        }
        self.sent_lane = Some(sending.lane);
        self.streams.begin(sending.lane, sending.step, sending.kept, response);
        Ok(())
    }

    /// Gives a lane's request up: the server is told by a reset, with the next turn.
    pub(crate) fn cancel(&mut self, lane: u32) {
        self.streams.cancel(lane);
    }

    /// Why it is over, when it is.
    pub(crate) fn failure(&self) -> Option<&Failure> {
        match &self.state {
            State::Over(failure) => Some(failure),
            _ => None,
        }
    }

    /// Reads and writes what the socket has and takes, and says what happened. `scratch` is a buffer of the loop to read into.
    /// `is_readable`: epoll says that something came, or the last turn wants another; else the socket is not asked when it had
    /// nothing before.
    pub(crate) fn turn(
        &mut self,
        script: &Script,
        is_readable: bool,
        scratch: &mut Vec<u8>,
        events: &mut Vec<Happened>,
    ) -> Turn {
        self.wire.borrow_mut().begin(std::mem::take(scratch), TURN_BYTES_MAX, is_readable);
        let begin = events.len();
        loop {
            self.mark.clear();
            let over = self.poll();
            self.streams.poll(script, &self.wire, events);
            if let Some(failure) = over {
                self.streams.end(&failure, events);
                self.state = State::Over(failure);
                break;
            }
            if !self.mark.is_set() && !self.streams.is_woken() {
                break;
            }
        }
        for event in &events[begin..] {
            if let Happened::Answered { lane, .. } | Happened::Failed { lane, .. } = event {
                self.ended_lane = Some(*lane);
            }
        }
        let mut wire = self.wire.borrow_mut();
        *scratch = wire.end();
        if let Some(lane) = self.sent_lane.or(self.ended_lane) {
            let (sent, received) = wire.take_counts();
            let of_answers = self.ended_lane.unwrap_or(lane);
            let told = [
                Happened::Sent { lane, bytes: sent },
                Happened::Received { lane: of_answers, bytes: received },
            ];
            events.extend(told.into_iter().filter(|event| {
                !matches!(
                    event,
                    Happened::Sent { bytes: 0, .. } | Happened::Received { bytes: 0, .. }
                )
            }));
        }
        Turn {
            wants_write: wire.is_blocked(),
            wants_turn: wire.is_exhausted(),
            is_over: matches!(self.state, State::Over(_)),
        }
    }

    /// Drives the connection; the failure of what is in flight when it is over.
    fn poll(&mut self) -> Option<Failure> {
        let mut context = Context::from_waker(&self.waker);
        if let State::Opening(opening) = &mut self.state {
            match opening.as_mut().poll(&mut context) {
                Poll::Pending => return None,
                Poll::Ready(Err(error)) => {
                    return Some(trouble::failure(&error, &self.wire.borrow()).0);
                }
                Poll::Ready(Ok((send, connection))) => {
                    self.state = State::Open { send, connection: Box::new(connection) };
                }
            }
        }
        let State::Open { connection, .. } = &mut self.state else {
            return Some(Failure::new(ErrorKind::Closed, "HTTP/2: the connection is over"));
        };
        match Pin::new(&mut **connection).poll(&mut context) {
            Poll::Pending => None,
            Poll::Ready(Ok(())) => Some(trouble::closed(&self.wire.borrow())),
            Poll::Ready(Err(error)) => Some(trouble::failure(&error, &self.wire.borrow()).0),
        }
    }
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Opening(_) => "Opening",
            Self::Open { .. } => "Open",
            Self::Over(_) => "Over",
        })
    }
}
