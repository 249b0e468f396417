//! The same over HTTP/2: many lanes on one connection, which the `h2` crate carries.
//!
//! What lanes send goes out with the next turn of their connection, all of it at once: a turn is owed, and taken when the
//! events at hand are done.

use blitz_contract::load::ErrorKind;

use super::Runner;
use crate::connection::{Stage, Wire};
use crate::failure::Failure;
use crate::h2::{Happened, Multiplex, Sending};
use crate::lane::State;

impl Runner {
    fn multiplex(&mut self, index: u32) -> Option<&mut Multiplex> {
        match self.connections[index as usize].wire.as_deref_mut() {
            Some(Wire::Shared(shared)) => Some(shared),
            _ => None,
        }
    }

    /// Sends the request of a lane, if there is room for one more; else the lane waits on.
    pub(super) fn send_shared(&mut self, index: u32, connection: u32, now_ns: u64) {
        let lane = &self.lanes[index as usize];
        let sending = Sending {
            lane: index,
            step: lane.step(),
            number: lane.number,
            kept: lane.kept.clone(),
        };
        let Some(Wire::Shared(shared)) = self.connections[connection as usize].wire.as_deref_mut()
        else {
            return;
        };
        if !shared.room() {
            return;
        }
        match shared.send(&self.script, sending) {
            Ok(()) => self.has_sent(index, 0, now_ns),
            // Not on the spot: see `transactions`.
            Err(failure) => {
                self.happened.push(Happened::Failed { lane: index, failure, unprocessed: false });
            }
        }
        self.owe_turn(connection, false);
    }

    /// A connection is to take a turn soon; `is_readable`: the last one has left something behind.
    fn owe_turn(&mut self, connection: u32, is_readable: bool) {
        match self.owed.iter_mut().find(|(owed, _)| *owed == connection) {
            Some((_, known)) => *known |= is_readable,
            None => self.owed.push((connection, is_readable)),
        }
    }

    /// Takes the turns that are owed; those that they lead to are owed again.
    pub(super) fn turns(&mut self, now_ns: u64) {
        for (index, is_readable) in std::mem::take(&mut self.owed) {
            self.turn(index, is_readable, now_ns);
        }
    }

    /// Lets a connection read and write, and does what that leads to.
    pub(super) fn turn(&mut self, index: u32, is_readable: bool, now_ns: u64) {
        let mut happened = std::mem::take(&mut self.happened);
        let own = &mut self.connections[index as usize];
        let turn = match own.wire.as_deref_mut() {
            Some(Wire::Shared(shared)) => {
                Some(shared.turn(&self.script, is_readable, &mut self.buffer, &mut happened))
            }
            _ => None,
        };
        let is_used = own.is_used;
        let is_over = turn.is_some_and(|turn| turn.is_over);
        let failure = self.multiplex(index).and_then(|shared| shared.failure().cloned());
        if is_over {
            self.shut(index);
        }
        for event in happened.drain(..) {
            self.shared_event(index, event, now_ns);
        }
        if self.happened.is_empty() {
            self.happened = happened;
        }
        if is_over && !is_used && !self.connections[index as usize].is_used {
            let text = "the server ended the connection before it answered anything over HTTP/2";
            let failure = failure.unwrap_or_else(|| Failure::new(ErrorKind::Closed, text));
            self.give_up(index, &failure, now_ns);
        } else if is_over {
            if self.lanes_of(index).any(|lane| self.wants(lane, index)) {
                self.enqueue(index, now_ns);
            }
        } else if let Some(turn) = turn {
            if turn.wants_turn {
                self.owe_turn(index, true);
            }
            self.watch(index, turn.wants_write);
            self.fill(index, now_ns);
        }
    }

    /// Sends what waits for room.
    fn fill(&mut self, index: u32, now_ns: u64) {
        for lane in self.lanes_of(index) {
            let is_waiting = self.wants(lane, index)
                && self.lanes[lane as usize].state == State::Waiting
                && self.connections[index as usize].stage == Stage::Shared;
            if is_waiting {
                if !self.multiplex(index).is_some_and(Multiplex::room) {
                    return;
                }
                self.send_shared(lane, index, now_ns);
            }
        }
    }

    fn shared_event(&mut self, connection: u32, event: Happened, now_ns: u64) {
        match event {
            Happened::Answered { lane, status, found, kept } => {
                let own = &mut self.lanes[lane as usize];
                own.kept = kept;
                own.is_missing = !found;
                self.connections[connection as usize].is_used = true;
                self.answered(lane, status, now_ns);
            }
            Happened::Failed { lane, failure, unprocessed } => {
                let own = &mut self.lanes[lane as usize];
                if !own.is_active() {
                    return;
                }
                let is_fresh = !own.is_again && own.state == State::Busy;
                let origin = self.script.steps[own.step()].origin;
                if unprocessed && is_fresh && self.may_repeat() {
                    self.again(lane, self.connection_of(lane, origin), now_ns);
                } else {
                    self.fail(lane, failure.kind, now_ns, || failure.text);
                }
            }
            Happened::Sent { lane, bytes } => {
                self.recorder.sent_more(self.lanes[lane as usize].step(), bytes);
            }
            Happened::Received { lane, bytes } => {
                self.recorder.received(self.lanes[lane as usize].step(), bytes);
            }
        }
    }

    /// Gives up the request of a lane, and leaves the connection to the others.
    pub(super) fn cancel(&mut self, index: u32, now_ns: u64, text: &str) {
        let origin = self.script.steps[self.lanes[index as usize].step()].origin;
        let connection = self.connection_of(index, origin);
        if let Some(shared) = self.multiplex(connection) {
            shared.cancel(index);
            self.owe_turn(connection, false);
        }
        self.fail(index, ErrorKind::Timeout, now_ns, || text.to_owned());
    }
}
