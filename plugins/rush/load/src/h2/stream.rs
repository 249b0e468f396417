//! The streams of one connection that wait for their answers.

use std::cell::RefCell;
use std::future::Future as _;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};

use h2::RecvStream;
use h2::client::ResponseFuture;
use http::header::SET_COOKIE;

use crate::failure::Failure;
use crate::script::{Kept, Script};

use super::wake::{Queue, waker};
use super::wire::Wire;
use super::{Happened, trouble};

/// All of them. A place is used again, with its waker.
#[derive(Debug, Default)]
pub(super) struct Streams {
    places: Vec<Place>,
    free: Vec<usize>,
    queue: Arc<Queue>,
    /// Kept for its memory.
    woken: Vec<usize>,
}

#[derive(Debug)]
struct Place {
    waker: Waker,
    stream: Option<Stream>,
}

#[derive(Debug)]
struct Stream {
    lane: u32,
    step: usize,
    kept: Option<Box<Kept>>,
    phase: Phase,
}

#[derive(Debug)]
enum Phase {
    Head(ResponseFuture),
    Body { body: RecvStream, status: u16, found: bool },
}

impl Streams {
    pub(super) fn len(&self) -> usize {
        self.places.len() - self.free.len()
    }

    /// Whether one of them wants to be polled.
    pub(super) fn is_woken(&self) -> bool {
        !self.queue.is_empty()
    }

    pub(super) fn begin(
        &mut self,
        lane: u32,
        step: usize,
        kept: Option<Box<Kept>>,
        response: ResponseFuture,
    ) {
        let place = self.free.pop().unwrap_or_else(|| {
            self.places.push(Place { waker: waker(&self.queue, self.places.len()), stream: None });
            self.places.len() - 1
        });
        let stream = Stream { lane, step, kept, phase: Phase::Head(response) };
        self.places[place].stream = Some(stream);
        // Polled once, so that it knows its waker.
        self.places[place].waker.wake_by_ref();
    }

    pub(super) fn cancel(&mut self, lane: u32) {
        for (number, place) in self.places.iter_mut().enumerate() {
            // Dropping its last handle resets a stream.
            if place.stream.take_if(|stream| stream.lane == lane).is_some() {
                self.free.push(number);
            }
        }
    }

    /// Polls those that were woken.
    pub(super) fn poll(
        &mut self,
        script: &Script,
        wire: &RefCell<Wire>,
        events: &mut Vec<Happened>,
    ) {
        let mut woken = std::mem::take(&mut self.woken);
        self.queue.drain(&mut woken);
        for number in woken.drain(..) {
            let Some(place) = self.places.get_mut(number) else { continue };
            let Some(stream) = &mut place.stream else { continue };
            let Poll::Ready(found) = stream.poll(script, &mut Context::from_waker(&place.waker))
            else {
                continue;
            };
            let Some(Stream { lane, kept, .. }) = place.stream.take() else { continue };
            self.free.push(number);
            events.push(match found {
                Ok((status, found)) => Happened::Answered { lane, status, found, kept },
                Err(error) => {
                    let (failure, unprocessed) = trouble::failure(&error, &wire.borrow());
                    Happened::Failed { lane, failure, unprocessed }
                }
            });
        }
        self.woken = woken;
    }

    /// The connection is over: what is left has failed.
    pub(super) fn end(&mut self, failure: &Failure, events: &mut Vec<Happened>) {
        for place in self.places.drain(..) {
            if let Some(Stream { lane, .. }) = place.stream {
                events.push(Happened::Failed {
                    lane,
                    failure: failure.clone(),
                    unprocessed: false,
                });
            }
        }
        self.free.clear();
    }
}

impl Stream {
    /// Status, and whether all wanted cookies came, when the answer is whole.
    fn poll(
        &mut self,
        script: &Script,
        context: &mut Context<'_>,
    ) -> Poll<Result<(u16, bool), h2::Error>> {
        if let Phase::Head(response) = &mut self.phase {
            let (head, body) = ready!(Pin::new(response).poll(context))?.into_parts();
            let cookies = head.headers.get_all(SET_COOKIE).iter().map(http::HeaderValue::as_bytes);
            let found = script.extract_values(self.step, cookies, &mut self.kept);
            self.phase = Phase::Body { body, status: head.status.as_u16(), found };
        }
        let Phase::Body { body, status, found } = &mut self.phase else { return Poll::Pending };
        while !body.is_end_stream() {
            match ready!(body.poll_data(context)) {
                Some(Ok(data)) => body.flow_control().release_capacity(data.len())?,
                Some(Err(error)) => return Poll::Ready(Err(error)),
                None => {
                    // Behind the last byte there may be trailers: with them it is whole.
                    ready!(body.poll_trailers(context))?;
                    break;
                }
            }
        }
        Poll::Ready(Ok((*status, *found)))
    }
}
