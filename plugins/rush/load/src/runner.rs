//! The loop. It owns all state, takes events and instants one at a time, and does at once what they lead to.
//!
//! A lane (a user, or a place for an arrival) has one connection for each origin of the plan; with HTTP/2, as many lanes as there
//! are streams share them. Lanes `n * streams` up to `(n + 1) * streams` are group `n`, and use the connections from
//! `n * origins` up.
//!
//! - `model`: what the shape of the plan asks for, and the lanes that wait for it.
//! - `width`: how many connections an open model may have.
//! - `instants`: what happens because its time has come.
//! - `transactions`: how a lane gets from one request to the next.
//! - `connects`: how a connection gets up, and down.
//! - `exchange`: one request and its answer over HTTP/1; the hot path.
//! - `secured`: the same over TLS. `shared`: over HTTP/2.

mod connects;
mod exchange;
mod instants;
mod model;
mod secured;
mod shared;
mod transactions;
mod width;

use std::collections::VecDeque;
use std::os::fd::{AsFd as _, OwnedFd};

use blitz_contract::load::work::Work;
use blitz_contract::load::{Closing, HttpVersion, Scheme, Share, Verdict};
use rustix::event::epoll;

use crate::answer::LastHead;
use crate::clock::Clock;
use crate::connection::{Connection, Stage};
use crate::control::{Control, Lost};
use crate::deadline::Deadlines;
use crate::h2::Happened;
use crate::lane::Lane;
use crate::machine::Machine;
use crate::record::Recorder;
use crate::script::Script;
use crate::socket::{self, Sockets};
use crate::system::{self, Event};
use crate::tls::Tls;
use model::Model;

/// Bytes that are read at once, into the buffer that all connections share.
const BUFFER_BYTES: usize = 64 << 10;
/// Events that are taken at once. More would only make those wait that come after them: between events, arrivals are
/// looked at in any case.
const EVENTS: usize = 256;
/// Connections that are closed in order at the end of a test: each of them holds its port for a minute. With more of them the next
/// test would find no ports, so that they are reset.
const POLITE_MAX: u32 = 1000;
/// What was due in an open model has so long to find a connection when the plan is over. More than a worker stands in line for
/// a processor on a busy machine; what has waited longer waits for a target that does not keep up, and serving it then would
/// be load that the plan does not have.
const LATE_NS: u64 = 1_000_000_000;
/// Of the socket to the engine.
const CONTROL: u64 = u64::MAX;

/// All that a worker knows while its test runs.
#[derive(Debug)]
pub(crate) struct Runner {
    epoll: OwnedFd,
    clock: Clock,
    machine: Machine,
    script: Script,
    tls: Option<Tls>,
    sockets: Sockets,
    recorder: Recorder,
    /// Of each step.
    last_heads: Box<[LastHead]>,
    deadlines: Deadlines,
    share: Share,
    model: Model,
    lanes: Vec<Lane>,
    connections: Vec<Connection>,
    /// Connections that wait to be opened.
    queue: VecDeque<u32>,
    origins: u32,
    /// Which of them have TLS.
    secured: Box<[bool]>,
    /// Of each, the shortest time in which a connection stood: a round trip.
    trips_ns: Box<[u64]>,
    /// Lanes that share connections.
    streams: u32,
    is_http2: bool,
    keep_alive: bool,
    /// Requests that may yet begin, of a plan with a number of them: those that wait for a connection have begun.
    left: u64,
    /// Transactions that have begun, and how many may.
    begun: u64,
    begun_max: u64,
    /// Lanes whose transaction is not ended; those of them that have sent.
    active: u32,
    busy: u32,
    /// Connections that are established.
    open: u32,
    /// When something is to be done that no event tells of.
    next_ns: u64,
    /// All events that had come until then are looked at.
    looked_ns: u64,
    tick_ns: u64,
    warm_up_ns: u64,
    end_ns: u64,
    /// When something was last sent behind that, or the same.
    sent_late_ns: u64,
    ending: Option<Ending>,
    buffer: Vec<u8>,
    scratch: Vec<u8>,
    plain: Vec<u8>,
    happened: Vec<Happened>,
    /// Connections of HTTP/2 that have something to do that no event tells of.
    owed: Vec<(u32, bool)>,
}

/// Nothing more is sent.
#[derive(Debug)]
struct Ending {
    verdict: Verdict,
    at_ns: u64,
    /// What is in flight then is given up.
    until_ns: u64,
}

impl Runner {
    /// Makes everything ready for the start.
    ///
    /// # Errors
    ///
    /// Says what of the work cannot be done.
    pub(crate) fn new(work: &Work, machine: Machine) -> Result<Self, String> {
        let plan = &work.plan;
        let script = Script::new(plan, &work.targets)?;
        let origins = u32::try_from(work.targets.len().max(1)).map_err(|e| e.to_string())?;
        let is_http2 = plan.version == HttpVersion::Http2;
        let streams = if is_http2 { plan.streams.max(1) } else { 1 };
        let groups_max = model::groups_max(work, origins, streams)?;
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)
            .map_err(|e| format!("make an epoll instance: {e}"))?;
        let end = plan.shape.duration().as_nanos();
        let end_ns = u64::try_from(end).unwrap_or(u64::MAX);
        let warm_up_ns = plan.warm_up_ms.saturating_mul(1_000_000);
        let mut runner = Self {
            epoll,
            clock: Clock::starting_in(0),
            machine,
            tls: Tls::new(work)?,
            sockets: Sockets::new(work)?,
            recorder: Recorder::new(plan),
            last_heads: plan.steps.iter().map(|_| LastHead::default()).collect(),
            deadlines: Deadlines::new(script.min_timeout_ns()),
            script,
            share: work.share,
            model: Model::new(plan, work.share, groups_max),
            lanes: Vec::new(),
            connections: Vec::new(),
            queue: VecDeque::new(),
            origins,
            secured: work.targets.iter().map(|at| at.origin.scheme == Scheme::Https).collect(),
            trips_ns: work.targets.iter().map(|_| u64::MAX).collect(),
            streams,
            is_http2,
            keep_alive: plan.keep_alive,
            left: crate::pace::quota(plan, work.share).unwrap_or(u64::MAX),
            begun: 0,
            begun_max: crate::pace::transactions(plan, work.share).unwrap_or(u64::MAX),
            active: 0,
            busy: 0,
            open: 0,
            next_ns: 0,
            looked_ns: 0,
            tick_ns: 0,
            warm_up_ns,
            end_ns,
            sent_late_ns: end_ns,
            ending: None,
            buffer: vec![0; BUFFER_BYTES],
            scratch: Vec::new(),
            plain: Vec::new(),
            happened: Vec::new(),
            owed: Vec::new(),
        };
        runner.tick_ns = runner.next_tick_ns(0);
        Ok(runner)
    }

    /// The test, from its start to the last tick.
    ///
    /// # Errors
    ///
    /// [`Lost`]: the engine is gone, so that there is nobody to do it for.
    pub(crate) fn run(mut self, mut control: Control, clock: Clock) -> Result<(), Lost> {
        let token = epoll::EventData::new_u64(CONTROL);
        epoll::add(&self.epoll, &control, token, epoll::EventFlags::IN)
            .map_err(|_| Lost::Closed)?;
        self.clock = clock;
        self.machine.used();
        let mut events = [Event::NONE; EVENTS];
        loop {
            let now_ns = self.clock.now_ns();
            if now_ns >= self.next_ns {
                self.instants(&mut control, now_ns)?;
            }
            if self.is_done(now_ns) {
                return self.close(control, now_ns);
            }
            let is_owed = !self.owed.is_empty();
            let timeout =
                if is_owed { 0 } else { self.next_ns.saturating_sub(self.clock.now_ns()) };
            let count = system::wait(self.epoll.as_fd(), &mut events, Some(timeout))
                .map_err(|_| Lost::Closed)?;
            let mut now_ns = self.clock.now_ns();
            let waited_ns = now_ns;
            for event in &events[..count] {
                if now_ns >= self.next_ns {
                    self.instants(&mut control, now_ns)?;
                }
                if event.token() == CONTROL {
                    self.hear(&mut control, now_ns)?;
                } else {
                    now_ns = self.event(*event, now_ns);
                }
            }
            if !self.owed.is_empty() {
                self.turns(now_ns);
            }
            if count < EVENTS {
                self.looked_ns = waited_ns;
            }
        }
    }

    /// What became of a connection. Gives the time, where it had to look.
    #[inline]
    fn event(&mut self, event: Event, now_ns: u64) -> u64 {
        let (index, epoch) = of_token(event.token());
        let Some(connection) = self.connections.get(index as usize) else { return now_ns };
        if connection.epoch != epoch {
            return now_ns;
        }
        match connection.stage {
            Stage::Receiving if connection.wire.is_none() => self.receive(index, event.is_ended()),
            _ => {
                self.rare_event(index, event, now_ns);
                self.clock.now_ns()
            }
        }
    }

    fn rare_event(&mut self, index: u32, event: Event, now_ns: u64) {
        let connection = &self.connections[index as usize];
        let is_plain = connection.wire.is_none();
        match connection.stage {
            Stage::Shut | Stage::Queued => {}
            Stage::Connecting if event.is_error() => self.connect_failed(index, now_ns),
            Stage::Connecting => self.connected(index, now_ns),
            Stage::Shared => self.turn(index, event.is_readable(), now_ns),
            // The server has closed it, or speaks without being asked: no request is concerned.
            Stage::Ready if is_plain => self.shut(index),
            Stage::Sending if is_plain => {
                if event.is_readable() {
                    self.receive(index, event.is_ended());
                }
                // What came may have ended it.
                if event.is_writable() && self.connections[index as usize].stage == Stage::Sending {
                    self.send_more(index);
                }
            }
            _ => self.secured_event(index, event, now_ns),
        }
    }

    /// Whether a request that was begun may be sent once more.
    fn may_repeat(&self) -> bool {
        self.ending.as_ref().is_none_or(|end| end.verdict == Verdict::Ended)
    }

    fn is_done(&self, now_ns: u64) -> bool {
        self.ending.as_ref().is_some_and(|end| self.active == 0 || now_ns >= end.until_ns)
    }

    /// Says the rest.
    fn close(mut self, mut control: Control, now_ns: u64) -> Result<(), Lost> {
        let verdict = self.ending.as_ref().map_or(Verdict::Ended, |end| end.verdict);
        if self.open > POLITE_MAX {
            for index in 0..self.connections.len() {
                if let Some(socket) = self.connections[index].socket.take() {
                    socket::abandon(socket);
                }
            }
        }
        let at_us = self.ending.as_ref().map(|end| end.at_ns / 1000);
        let closing = Closing { share: self.share, verdict, text: String::new(), at_us };
        self.tick(&mut control, now_ns, Some(closing))?;
        control.finish()
    }

    /// The connection of a lane to an origin.
    #[inline]
    fn connection_of(&self, lane: u32, origin: u32) -> u32 {
        lane / self.streams * self.origins + origin
    }

    /// The place of its target.
    #[inline]
    fn origin_of(&self, connection: u32) -> usize {
        (connection % self.origins) as usize
    }

    /// The first of the lanes that use a connection.
    #[inline]
    fn lane_of(&self, connection: u32) -> u32 {
        connection / self.origins * self.streams
    }

    /// All lanes that use a connection.
    fn lanes_of(&self, connection: u32) -> std::ops::Range<u32> {
        let first = self.lane_of(connection);
        first..first + self.streams
    }

    /// Makes sure that a group of lanes exists, and its connections.
    fn make_group(&mut self, group: u32) {
        let lanes = (group as usize + 1) * self.streams as usize;
        let connections = (group as usize + 1) * self.origins as usize;
        while self.lanes.len() < lanes {
            self.lanes.push(Lane::new());
        }
        while self.connections.len() < connections {
            self.connections.push(Connection::new());
        }
    }
}

/// What an event tells its connection by.
fn token(index: u32, epoch: u32) -> epoll::EventData {
    epoll::EventData::new_u64(u64::from(epoch) << 32 | u64::from(index))
}

#[expect(clippy::cast_possible_truncation, reason = "the two halves of it")]
fn of_token(token: u64) -> (u32, u32) {
    (token as u32, (token >> 32) as u32)
}
