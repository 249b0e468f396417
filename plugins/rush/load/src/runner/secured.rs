//! The same over TLS: what came is decrypted first, what goes is encrypted.

use std::os::fd::AsFd as _;

use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};

use super::Runner;
use super::exchange::take;
use crate::answer::{Progress, Reader};
use crate::connection::{Connection, Stage, Wire};
use crate::failure::Failure;
use crate::system::Event;
use crate::tls::Session;

fn session(connection: &mut Connection) -> Option<&mut Session> {
    match connection.wire.as_deref_mut() {
        Some(Wire::Tls(session)) => Some(session),
        _ => None,
    }
}

impl Runner {
    pub(super) fn secured_event(&mut self, index: u32, event: Event, now_ns: u64) {
        if event.is_readable() {
            self.secured_receive(index, now_ns);
        }
        let is_open = self.connections[index as usize].socket.is_some();
        if event.is_writable() && is_open {
            self.secured_flush(index, now_ns);
        }
    }

    /// Sends what is encrypted, and encrypts what is left of a request.
    pub(super) fn secured_flush(&mut self, index: u32, now_ns: u64) {
        let lane = self.lane_of(index);
        loop {
            let own = &mut self.connections[index as usize];
            let stage = own.stage;
            let socket = own.socket.take();
            let flushed = match (&socket, session(own)) {
                (Some(socket), Some(session)) => session.flush(socket.as_fd()),
                _ => return,
            };
            own.socket = socket;
            match flushed {
                Ok(true) if stage == Stage::Sending => {
                    if let Err(failure) = self.secured_say(lane, index) {
                        self.secured_failed(index, &failure, now_ns);
                        return;
                    }
                }
                Ok(is_flushed) => {
                    self.watch(index, !is_flushed);
                    return;
                }
                // It will be read, too: what the server said before it comes first.
                Err(_) => {
                    self.watch(index, false);
                    return;
                }
            }
        }
    }

    /// Encrypts more of a request.
    fn secured_say(&mut self, lane: u32, index: u32) -> Result<(), Failure> {
        let lane = &self.lanes[lane as usize];
        let own = &mut self.connections[index as usize];
        let written = own.written as usize;
        let Some(session) = session(own) else { return Ok(()) };
        self.scratch.clear();
        let request =
            self.script.request(lane.step(), lane.number, lane.kept.as_deref(), &mut self.scratch);
        let rest = request.get(written..).unwrap_or_default();
        let said = session.say(rest)?;
        own.written = own.written.saturating_add(u32::try_from(said).unwrap_or(u32::MAX));
        if said == rest.len() {
            own.stage = Stage::Receiving;
        }
        self.recorder.sent_more(lane.step(), said as u64);
        Ok(())
    }

    /// Sends the request of a lane on a connection that is more than a socket.
    pub(super) fn send_wired(&mut self, lane: u32, index: u32, now_ns: u64) {
        let own = &mut self.connections[index as usize];
        if own.stage == Stage::Shared {
            self.send_shared(lane, index, now_ns);
            return;
        }
        own.reader = Reader::new(self.script.steps[self.lanes[lane as usize].step()].is_head);
        own.written = 0;
        own.stage = Stage::Sending;
        self.has_sent(lane, 0, now_ns);
        match self.secured_say(lane, index) {
            Ok(()) => self.secured_flush(index, now_ns),
            // Not on the spot: see `transactions`. What waits to be read, or a time-out, ends it.
            Err(_) => self.connections[index as usize].stage = Stage::Receiving,
        }
    }

    fn secured_receive(&mut self, index: u32, now_ns: u64) {
        let own = &mut self.connections[index as usize];
        let Some(socket) = &own.socket else { return };
        let received = recv(socket, &mut self.buffer[..], RecvFlags::empty());
        let len = match received {
            Ok((len @ 1.., _)) => len,
            Err(Errno::AGAIN | Errno::INTR) => return,
            ended => {
                self.secured_ended(index, ended.err(), now_ns);
                return;
            }
        };
        self.plain.clear();
        let Some(session) = session(own) else { return };
        let came = session.came(&mut self.buffer[..len], &mut self.plain);
        let (is_ready, is_pending, has_ended) =
            (session.is_ready(), session.pending(), session.ended());
        let now_ns = self.clock.now_ns();
        if let Err(failure) = came {
            self.secured_failed(index, &failure, now_ns);
            return;
        }
        if is_pending {
            self.secured_flush(index, now_ns);
        }
        let own = &mut self.connections[index as usize];
        if own.stage == Stage::Securing && is_ready {
            self.recorder.secured(now_ns.saturating_sub(own.began_ns));
            self.established(index, now_ns);
        } else if !self.plain.is_empty() {
            self.secured_take(index, now_ns);
        }
        if has_ended && self.connections[index as usize].socket.is_some() {
            self.secured_ended(index, None, now_ns);
        }
    }

    /// Plain text came.
    fn secured_take(&mut self, index: u32, now_ns: u64) {
        let lane = self.lane_of(index);
        let own = &mut self.connections[index as usize];
        if !matches!(own.stage, Stage::Sending | Stage::Receiving) {
            // Nobody has asked: as on a plain connection, it is closed, and no request is concerned.
            self.abandon(index);
            return;
        }
        let progress = take(
            own,
            &mut self.lanes[lane as usize],
            &self.script,
            &mut self.recorder,
            &mut self.last_heads,
            &self.plain,
        );
        match progress {
            Ok(Progress::More) => {}
            Ok(Progress::Whole) => self.whole(index, now_ns),
            Err(fault) => {
                self.abandon(index);
                self.fail(lane, fault.kind, now_ns, || fault.text.to_owned());
            }
        }
    }

    /// The server has ended the connection, or TLS on it.
    fn secured_ended(&mut self, index: u32, error: Option<Errno>, now_ns: u64) {
        let own = &mut self.connections[index as usize];
        match own.stage {
            Stage::Sending | Stage::Receiving => {
                // Without a word of TLS that this is the end, a body may have been cut off.
                let is_cut = session(own).is_some_and(|session| !session.ended());
                let error = error.or_else(|| is_cut.then_some(Errno::CONNRESET));
                self.ended(index, error, now_ns);
            }
            Stage::Securing => {
                let text = match error {
                    Some(error) => format!("TLS: the server broke the connection: {error}"),
                    None => "TLS: the server closed the connection in the handshake".to_owned(),
                };
                let failure = Failure::new(blitz_contract::load::ErrorKind::Tls, text);
                self.secured_failed(index, &failure, now_ns);
            }
            _ => self.shut(index),
        }
    }

    /// TLS has failed: the connection is of no use.
    fn secured_failed(&mut self, index: u32, failure: &Failure, now_ns: u64) {
        let stage = self.connections[index as usize].stage;
        self.abandon(index);
        if matches!(stage, Stage::Sending | Stage::Receiving) {
            let lane = self.lane_of(index);
            self.fail(lane, failure.kind, now_ns, || failure.text.clone());
        } else {
            self.give_up(index, failure, now_ns);
        }
    }
}
