//! One request and its answer over HTTP/1: one `send`, one `recv`, nothing else.

use blitz_contract::load::ErrorKind;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};

use super::{BUFFER_BYTES, Runner};
use crate::answer::{LastHead, Progress, Reader};
use crate::connection::Stage;
use crate::lane::{Lane, State};
use crate::socket::words;

/// Full buffers that are read from one connection before others have their turn: a megabyte.
const READS_AT_ONCE: usize = 16;
/// A server that closes a kept connection just when a request is on its way to it is heard of within a round trip, and what it and
/// we wait for a processor. One that closes later has had the request, and is at fault.
const RACE_NS: u64 = 10_000_000;

impl Runner {
    /// Sends the request of a lane on a connection that is ready for it.
    #[inline]
    pub(super) fn send(&mut self, index: u32, connection: u32, now_ns: u64) {
        if self.connections[connection as usize].wire.is_some() {
            self.send_wired(index, connection, now_ns);
            return;
        }
        let lane = &self.lanes[index as usize];
        let own = &mut self.connections[connection as usize];
        let Some(socket) = &own.socket else { return };
        self.scratch.clear();
        let request =
            self.script.request(lane.step(), lane.number, lane.kept.as_deref(), &mut self.scratch);
        // An error will be read, too: what the server said before it comes first.
        let sent = send(socket, request, SendFlags::NOSIGNAL);
        let is_whole =
            !matches!(sent, Ok(sent) if sent < request.len()) && sent != Err(Errno::AGAIN);
        let sent = sent.unwrap_or(0);
        own.reader = Reader::new(self.script.steps[lane.step()].is_head);
        own.written = u32::try_from(sent).unwrap_or(u32::MAX);
        own.stage = if is_whole { Stage::Receiving } else { Stage::Sending };
        self.has_sent(index, sent as u64, now_ns);
        if !is_whole {
            self.watch(connection, true);
        }
    }

    /// Sends what is left of a request, as far as it goes.
    pub(super) fn send_more(&mut self, index: u32) {
        let lane = &self.lanes[self.lane_of(index) as usize];
        let own = &mut self.connections[index as usize];
        let Some(socket) = &own.socket else { return };
        self.scratch.clear();
        // It is made again, and is the same: nothing has to be kept of it.
        let request =
            self.script.request(lane.step(), lane.number, lane.kept.as_deref(), &mut self.scratch);
        let rest = request.get(own.written as usize..).unwrap_or_default();
        let is_whole = match send(socket, rest, SendFlags::NOSIGNAL) {
            Ok(sent) => {
                own.written = own.written.saturating_add(u32::try_from(sent).unwrap_or(u32::MAX));
                self.recorder.sent_more(lane.step(), sent as u64);
                sent == rest.len()
            }
            Err(Errno::AGAIN | Errno::INTR) => false,
            Err(_) => true,
        };
        if is_whole {
            own.stage = Stage::Receiving;
            self.watch(index, false);
        }
    }

    /// Reads what is there of an answer, and goes on when it is whole. Gives the time.
    ///
    /// Events come by edges: what is left in the socket is not told again. A read that does not fill the buffer has taken all, but for
    /// the end of the connection where the event told of that.
    #[inline]
    pub(super) fn receive(&mut self, index: u32, is_ended: bool) -> u64 {
        let epoch = self.connections[index as usize].epoch;
        let mut last_ns = 0;
        for _ in 0..READS_AT_ONCE {
            let (len, now_ns) = self.receive_once(index);
            last_ns = now_ns;
            let may_have_more = len == BUFFER_BYTES || is_ended && len > 0;
            let own = &self.connections[index as usize];
            if !may_have_more || own.epoch != epoch {
                return now_ns;
            }
            if own.stage == Stage::Ready {
                if is_ended {
                    // No request is concerned.
                    self.shut(index);
                }
                return now_ns;
            }
        }
        // The others are to have their turn: the kernel tells it again.
        if !self.connections[index as usize].is_full {
            self.connections[index as usize].is_full = true;
            self.watch(index, false);
        }
        last_ns
    }

    /// Reads once. Gives how much came, and the time.
    #[inline]
    fn receive_once(&mut self, index: u32) -> (usize, u64) {
        let own = &mut self.connections[index as usize];
        let Some(socket) = &own.socket else { return (0, self.clock.now_ns()) };
        let received = recv(socket, &mut self.buffer[..], RecvFlags::empty());
        let now_ns = self.clock.now_ns();
        let len = match received {
            Ok((len @ 1.., _)) => len,
            Err(Errno::AGAIN | Errno::INTR) => return (0, now_ns),
            ended => {
                self.ended(index, ended.err(), now_ns);
                return (0, now_ns);
            }
        };
        let lane = index / self.origins;
        let progress = take(
            own,
            &mut self.lanes[lane as usize],
            &self.script,
            &mut self.recorder,
            &mut self.last_heads,
            &self.buffer[..len],
        );
        match progress {
            Ok(Progress::More) => {}
            Ok(Progress::Whole) => self.whole(index, now_ns),
            Err(fault) => {
                self.abandon(index);
                self.fail(lane, fault.kind, now_ns, || fault.text.to_owned());
            }
        }
        (len, now_ns)
    }

    /// The answer on a connection is whole.
    #[inline]
    pub(super) fn whole(&mut self, index: u32, now_ns: u64) {
        let own = &mut self.connections[index as usize];
        let status = own.reader.status();
        if own.stage == Stage::Receiving && self.keep_alive && own.reader.is_lasting() {
            own.stage = Stage::Ready;
            own.is_used = true;
        } else {
            // Also where it came before the request was sent: nobody knows where the next one would begin.
            self.abandon(index);
        }
        self.answered(self.lane_of(index), status, now_ns);
    }

    /// The server has ended a connection on which a request is.
    #[cold]
    pub(super) fn ended(&mut self, index: u32, error: Option<Errno>, now_ns: u64) {
        let number = self.lane_of(index);
        let own = &mut self.connections[index as usize];
        let is_begun = own.reader.is_begun();
        let end = own.reader.end(&mut own.held);
        let is_used = own.is_used;
        if error.is_none() && end.is_ok() {
            let status = own.reader.status();
            self.shut(index);
            self.answered(number, status, now_ns);
            return;
        }
        self.shut(index);
        let lane = &self.lanes[number as usize];
        let after_ns = now_ns.saturating_sub(lane.sent_ns);
        let is_race = after_ns <= self.trips_ns[self.origin_of(index)].saturating_add(RACE_NS);
        let may_again = is_used && !is_begun && is_race && !lane.is_again && self.may_repeat();
        if may_again && self.script.steps[lane.step()].is_idempotent {
            self.again(number, index, now_ns);
            return;
        }
        let text = || match (error, end) {
            (Some(error), _) => {
                format!("the server broke the connection: {}", words(&error.into()))
            }
            (None, Err(fault)) => fault.text.to_owned(),
            (None, Ok(())) => String::new(),
        };
        let kind = match (error, end) {
            (None, Err(fault)) => fault.kind,
            _ => ErrorKind::Closed,
        };
        self.fail(number, kind, now_ns, text);
    }

    /// Sends a request once more, on a new connection. The server closed the one that it had kept open, and not a byte came: it closed
    /// it before it saw the request, as any server may, and clients send again what may be sent twice. It is counted, and its time
    /// goes on: what this costs is in the figures. Source: RFC 9112, section 9.3.1.
    pub(super) fn again(&mut self, index: u32, connection: u32, now_ns: u64) {
        let lane: &mut Lane = &mut self.lanes[index as usize];
        lane.is_again = true;
        lane.state = State::Waiting;
        self.busy -= 1;
        self.enqueue(connection, now_ns);
    }
}

/// Reads a piece of an answer.
#[inline]
pub(super) fn take(
    own: &mut crate::connection::Connection,
    lane: &mut Lane,
    script: &crate::script::Script,
    recorder: &mut crate::record::Recorder,
    last_heads: &mut [LastHead],
    bytes: &[u8],
) -> Result<Progress, crate::answer::Fault> {
    let number = lane.step();
    recorder.received(number, bytes.len() as u64);
    let extracts = script.steps[number].extracts;
    // Where something is wanted of a head, each is read.
    let last = if extracts { None } else { last_heads.get_mut(number) };
    own.reader.take(bytes, &mut own.held, last, &mut |headers| {
        if extracts {
            lane.is_missing = !script.extract(number, headers, &mut lane.kept);
        }
    })
}
