//! How a connection gets up, and down.

use std::io;
use std::os::fd::AsFd as _;

use blitz_contract::load::ErrorKind;
use rustix::event::epoll;

use super::{Runner, token};
use crate::connection::{Stage, Wire};
use crate::failure::Failure;
use crate::h2::Multiplex;
use crate::lane::State;
use crate::socket;

impl Runner {
    /// A connection is to be opened when its turn has come.
    pub(super) fn enqueue(&mut self, index: u32, now_ns: u64) {
        let connection = &mut self.connections[index as usize];
        if connection.stage == Stage::Shut {
            connection.stage = Stage::Queued;
            self.queue.push_back(index);
        }
        let at_ns = self.sockets.next_ns().max(now_ns);
        self.wake_at(at_ns);
    }

    /// Opens those whose turn has come.
    pub(super) fn open_queued(&mut self, now_ns: u64) {
        while self.sockets.next_ns() <= now_ns
            && let Some(index) = self.queue.pop_front()
        {
            if self.connections[index as usize].stage == Stage::Queued {
                self.connect(index, now_ns);
            }
        }
    }

    fn connect(&mut self, index: u32, now_ns: u64) {
        for lane in self.lanes_of(index) {
            if self.wants(lane, index) {
                // One that is sent again has begun before.
                if !self.lanes[lane as usize].is_again {
                    self.has_begun(lane, now_ns);
                }
            }
        }
        let opened =
            self.sockets.open(self.origin_of(index), now_ns).and_then(|(socket, address)| {
                let connection = &mut self.connections[index as usize];
                connection.epoch = connection.epoch.wrapping_add(1);
                let token = token(index, connection.epoch);
                epoll::add(&self.epoll, &socket, token, epoll::EventFlags::OUT).map_err(|e| {
                    Failure::new(ErrorKind::Connect, format!("watch a connection: {e}"))
                })?;
                connection.socket = Some(socket);
                connection.address = address;
                connection.stage = Stage::Connecting;
                connection.is_full = true;
                connection.is_used = false;
                connection.began_ns = now_ns;
                Ok(())
            });
        if let Err(failure) = opened {
            self.shut(index);
            self.give_up(index, &failure, now_ns);
        }
    }

    /// Whether a lane waits for a connection.
    pub(super) fn wants(&self, lane: u32, connection: u32) -> bool {
        let Some(lane) = self.lanes.get(lane as usize) else { return false };
        matches!(lane.state, State::Waiting | State::Opening)
            && self.script.steps[lane.step()].origin == connection % self.origins
    }

    /// TCP is established.
    pub(super) fn connected(&mut self, index: u32, now_ns: u64) {
        let connection = &mut self.connections[index as usize];
        let trip_ns = now_ns.saturating_sub(connection.began_ns);
        self.recorder.connected(trip_ns);
        connection.began_ns = now_ns;
        self.open += 1;
        let address = connection.address;
        let origin = self.origin_of(index);
        self.sockets.has_answered(origin, address);
        self.trips_ns[origin] = self.trips_ns[origin].min(trip_ns);
        let connection = &mut self.connections[index as usize];
        let tls = self.tls.as_ref().filter(|_| self.secured[origin]);
        let session = tls.map(|tls| tls.session(origin));
        match session {
            Some(Ok(session)) => {
                connection.wire = Some(Box::new(Wire::Tls(session)));
                connection.stage = Stage::Securing;
                self.secured_flush(index, now_ns);
            }
            Some(Err(failure)) => {
                connection.stage = Stage::Securing;
                self.abandon(index);
                self.give_up(index, &failure, now_ns);
            }
            None => self.established(index, now_ns),
        }
    }

    /// All that lies below HTTP is there.
    pub(super) fn established(&mut self, index: u32, now_ns: u64) {
        let connection = &mut self.connections[index as usize];
        connection.stage = Stage::Ready;
        if self.is_http2 {
            let session = match connection.wire.take().map(|wire| *wire) {
                Some(Wire::Tls(session)) => Some(session),
                _ => None,
            };
            let Some(socket) = connection.socket.take() else { return };
            // Over TLS a server may have spoken with the end of the handshake.
            let came = if session.is_some() { std::mem::take(&mut self.plain) } else { Vec::new() };
            let shared = Multiplex::new(socket, session, came, self.streams);
            connection.wire = Some(Box::new(Wire::Shared(shared)));
            connection.stage = Stage::Shared;
            self.turn(index, true, now_ns);
        }
        if self.connections[index as usize].is_usable() {
            self.ready(index, now_ns);
        }
        let own = &self.connections[index as usize];
        if own.wire.is_none() && matches!(own.stage, Stage::Ready | Stage::Receiving) {
            self.watch(index, false);
        }
    }

    /// A connection is usable: what waits for it is sent.
    fn ready(&mut self, index: u32, now_ns: u64) {
        for lane in self.lanes_of(index) {
            if self.wants(lane, index) && self.lanes[lane as usize].state == State::Waiting {
                self.send(lane, index, now_ns);
            }
        }
        if index % self.origins == self.script.steps[0].origin {
            self.opening_done(index, now_ns);
        }
    }

    /// TCP is not established, and will not be.
    pub(super) fn connect_failed(&mut self, index: u32, now_ns: u64) {
        let connection = &self.connections[index as usize];
        let error = match &connection.socket {
            Some(socket) => socket::error_of(socket.as_fd()),
            None => io::ErrorKind::NotConnected.into(),
        };
        let address = connection.address;
        let origin = self.origin_of(index);
        self.shut(index);
        if self.sockets.has_another(origin, address) {
            self.enqueue(index, now_ns);
            return;
        }
        let failure = self.sockets.failure(origin, address, &error);
        self.give_up(index, &failure, now_ns);
    }

    /// There will be no connection for those that wait for it.
    pub(super) fn give_up(&mut self, index: u32, failure: &Failure, now_ns: u64) {
        for lane in self.lanes_of(index) {
            if !self.wants(lane, index) {
                continue;
            }
            let text = || failure.text.clone();
            if self.lanes[lane as usize].state == State::Opening {
                self.opening_failed(lane, failure.kind, now_ns, text);
            } else {
                self.fail(lane, failure.kind, now_ns, text);
            }
        }
    }

    /// Watches a connection for room to write, or no more.
    pub(super) fn watch(&mut self, index: u32, is_full: bool) {
        let connection = &mut self.connections[index as usize];
        if connection.is_full == is_full {
            return;
        }
        connection.is_full = is_full;
        let mut flags = epoll::EventFlags::IN;
        if is_full {
            flags |= epoll::EventFlags::OUT;
        } else if connection.wire.is_none() {
            // By edges: else the kernel looks at each connection a second time after each event. See `receive`.
            flags |= epoll::EventFlags::ET | epoll::EventFlags::RDHUP;
        }
        // It was added, so that the kernel has no reason to refuse; if it does, a time-out ends the request.
        let token = token(index, connection.epoch);
        let _ = match (&connection.socket, connection.wire.as_deref()) {
            (Some(socket), _) => epoll::modify(&self.epoll, socket, token, flags),
            (None, Some(Wire::Shared(shared))) => {
                shared.with_fd(|fd| epoll::modify(&self.epoll, fd, token, flags))
            }
            _ => Ok(()),
        };
    }

    /// Closes a connection of which nothing more is wanted, while its server may want to go on.
    pub(super) fn abandon(&mut self, index: u32) {
        if let Some(socket) = self.connections[index as usize].socket.take() {
            socket::abandon(socket);
        }
        self.shut(index);
    }

    /// Closes a connection, whatever it does.
    pub(super) fn shut(&mut self, index: u32) {
        let connection = &mut self.connections[index as usize];
        if connection.is_open() {
            self.open -= 1;
        }
        // The end of TLS is said where nothing is on its way, as far as the socket takes it at once.
        if let (Stage::Ready, Some(socket), Some(Wire::Tls(session))) =
            (connection.stage, &connection.socket, connection.wire.as_deref_mut())
            && session.close().is_ok()
        {
            drop(session.flush(socket.as_fd()));
        }
        connection.socket = None;
        connection.held = None;
        connection.wire = None;
        connection.epoch = connection.epoch.wrapping_add(1);
        connection.stage = Stage::Shut;
    }
}
