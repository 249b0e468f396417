//! How a lane gets from one request to the next.
//!
//! Nothing here fails on the spot but by [`Runner::fail`], and no failure leads to another request on the spot: what cannot be sent
//! waits for a connection, whose opening is paced, or for its user to have thought. So no chain of calls can grow.

use blitz_contract::load::ErrorKind;

use super::model::Model;
use super::width::{Seen, Width};
use super::{LATE_NS, Runner};
use crate::connection::Stage;
use crate::lane::{Lane, State};

impl Runner {
    /// A lane begins its next transaction.
    pub(super) fn begin(&mut self, index: u32, due_ns: u64, now_ns: u64) {
        if self.begun >= self.begun_max {
            self.leave(index);
            self.wake_at(now_ns);
            return;
        }
        let number = self.share.nth(self.begun);
        self.begun += 1;
        let lane = &mut self.lanes[index as usize];
        lane.number = number;
        lane.step = 0;
        lane.due_ns = due_ns;
        self.request(index, now_ns);
    }

    /// A lane is to send the request of its step.
    pub(super) fn request(&mut self, index: u32, now_ns: u64) {
        if self.ending.is_some() || self.left == 0 {
            self.leave(index);
            self.wake_at(now_ns);
            return;
        }
        self.left -= 1;
        let lane = &mut self.lanes[index as usize];
        self.active += u32::from(!lane.is_active());
        lane.state = State::Waiting;
        lane.is_again = false;
        lane.is_missing = false;
        lane.began_ns = Lane::NOT_BEGUN;
        let origin = self.script.steps[lane.step()].origin;
        let connection = self.connection_of(index, origin);
        match self.connections[connection as usize].stage {
            Stage::Ready | Stage::Shared => {
                self.has_begun(index, now_ns);
                self.send(index, connection, now_ns);
            }
            Stage::Connecting | Stage::Securing => self.has_begun(index, now_ns),
            _ => self.enqueue(connection, now_ns),
        }
    }

    /// From now on its time-out counts.
    pub(super) fn has_begun(&mut self, index: u32, now_ns: u64) {
        let lane = &mut self.lanes[index as usize];
        lane.began_ns = now_ns;
        if !lane.is_watched {
            lane.is_watched = true;
            let timeout_ns = self.script.steps[lane.step()].timeout_ns;
            self.deadlines.watch(index, now_ns, now_ns.saturating_add(timeout_ns));
            self.next_ns = self.next_ns.min(self.deadlines.next_ns().unwrap_or(u64::MAX));
        }
    }

    /// A request is on its way for the first time.
    pub(super) fn has_sent(&mut self, index: u32, bytes: u64, now_ns: u64) {
        let lane = &mut self.lanes[index as usize];
        lane.state = State::Busy;
        self.busy += 1;
        if lane.is_again {
            self.recorder.repeated(lane.step());
            self.recorder.sent_more(lane.step(), bytes);
            return;
        }
        lane.sent_ns = now_ns;
        self.sent_late_ns = self.sent_late_ns.max(now_ns);
        self.recorder.sent(lane.step(), bytes);
        if let Model::Rate(open) = &mut self.model {
            open.sent_count += 1;
        }
    }

    /// The answer of a lane is whole, and its connection is ready for the next request or shut.
    pub(super) fn answered(&mut self, index: u32, status: u16, now_ns: u64) {
        let lane = &mut self.lanes[index as usize];
        let number = lane.step();
        let step = &self.script.steps[number];
        let service_ns = now_ns.saturating_sub(lane.sent_ns);
        let response_ns = match &mut self.model {
            Model::Rate(open) => {
                open.least_ns = Some(open.least_ns.map_or(service_ns, |ns| ns.min(service_ns)));
                Some(now_ns.saturating_sub(lane.due_ns))
            }
            Model::Users(_) => None,
        };
        self.recorder.answered(number, status, service_ns, response_ns);
        self.busy -= 1;
        let mut is_good = true;
        if let Some(expected) = step.expected.filter(|expected| *expected != status) {
            is_good = false;
            let users = self.users();
            self.recorder.failed(number, ErrorKind::Assert, now_ns, users, || {
                format!("status {status} in place of {expected}")
            });
        }
        let lane = &mut self.lanes[index as usize];
        if lane.is_missing {
            is_good = false;
            let missing = lane.kept.as_mut().and_then(|kept| kept.take_missing());
            let users = self.users();
            self.recorder
                .failed(number, ErrorKind::Extract, now_ns, users, || missing.unwrap_or_default());
        }
        let lane = &mut self.lanes[index as usize];
        if is_good && number + 1 < self.script.steps.len() {
            lane.step += 1;
            lane.due_ns = now_ns;
            lane.state = State::Waiting;
            if let Model::Rate(open) = &mut self.model
                && self.ending.is_none()
            {
                open.ended_count += 1;
                self.recorder.asked(open.ask(1));
            }
            self.request(index, now_ns);
        } else {
            self.finish(index, now_ns);
        }
    }

    /// The request of a lane has no good answer: what is left of its transaction is left out. Its connection is shut
    /// already, where the failure is of the connection.
    pub(super) fn fail(
        &mut self,
        index: u32,
        kind: ErrorKind,
        now_ns: u64,
        text: impl FnOnce() -> String,
    ) {
        let lane = &self.lanes[index as usize];
        let (step, state, is_again) = (lane.step(), lane.state, lane.is_again);
        if state == State::Busy {
            self.busy -= 1;
        } else if let Model::Rate(open) = &mut self.model
            && !is_again
        {
            open.unsent_count += 1;
        }
        let users = self.users();
        self.recorder.failed(step, kind, now_ns, users, text);
        if let Model::Users(closed) = &self.model
            && state == State::Waiting
            && self.left > 0
            && index < closed.users
            && self.ending.is_none()
        {
            // The target cannot be reached: the user does not try again at once.
            self.lanes[index as usize].kept = None;
            self.think(index, now_ns);
        } else {
            self.finish(index, now_ns);
        }
    }

    /// The transaction of a lane is ended, well or not.
    fn finish(&mut self, index: u32, now_ns: u64) {
        let lane = &mut self.lanes[index as usize];
        lane.kept = None;
        match &mut self.model {
            Model::Users(closed) => {
                if index >= closed.users || self.ending.is_some() {
                    self.leave(index);
                } else if closed.think_ns > 0 {
                    self.think(index, now_ns);
                } else {
                    self.begin(index, now_ns, now_ns);
                }
            }
            Model::Rate(open) => {
                open.ended_count += 1;
                self.active -= 1;
                lane.state = State::Out;
                self.offer(index, now_ns);
                self.serve(now_ns);
            }
        }
    }

    /// A user thinks before its next transaction.
    pub(super) fn think(&mut self, index: u32, now_ns: u64) {
        let Model::Users(closed) = &mut self.model else { return };
        let lane = &mut self.lanes[index as usize];
        self.active -= u32::from(lane.is_active());
        lane.state = State::Thinking;
        lane.due_ns = closed.until_ns(now_ns);
        closed.thinking.push_back((lane.due_ns, index));
        let due_ns = lane.due_ns;
        self.wake_at(due_ns);
    }

    /// A lane has nothing to do any more. Its connections go when no other uses them.
    pub(super) fn leave(&mut self, index: u32) {
        let lane = &mut self.lanes[index as usize];
        self.active -= u32::from(lane.is_active());
        lane.state = State::Out;
        lane.kept = None;
        if self.ending.is_some() {
            return;
        }
        let first = self.connection_of(index, 0);
        let is_last = self
            .lanes_of(first)
            .all(|lane| self.lanes.get(lane as usize).is_none_or(|lane| lane.state == State::Out));
        if is_last {
            for connection in first..first + self.origins {
                self.shut(connection);
            }
        }
    }

    /// Open model: a lane without a transaction waits for an arrival, if it has a connection.
    pub(super) fn offer(&mut self, index: u32, now_ns: u64) {
        let first = self.connection_of(index, self.script.steps[0].origin);
        let connection = &self.connections[first as usize];
        let (is_usable, is_shut) = (connection.is_usable(), connection.stage == Stage::Shut);
        let state = if is_usable { State::Free } else { State::Out };
        self.lanes[index as usize].state = state;
        let is_whole =
            self.lanes_of(first).all(|lane| self.lanes[lane as usize].state == State::Out);
        let group = index / self.streams;
        let Model::Rate(open) = &mut self.model else { return };
        if is_usable {
            if open.free.is_empty() {
                open.free_since_ns = now_ns;
            }
            open.free.push(index);
        } else if is_whole && is_shut {
            open.shut.push(group);
        }
    }

    /// Open model: arrivals that are due take free lanes; for those that find none, connections are opened.
    pub(super) fn serve(&mut self, now_ns: u64) {
        if let Model::Rate(open) = &mut self.model {
            open.width.look();
        }
        if now_ns >= self.end_ns {
            // It may have been the last one.
            self.wake_at(now_ns);
        }
        if self.ending.is_some() || self.left == 0 {
            self.wake_at(now_ns);
            return;
        }
        if self.is_too_late(now_ns) {
            return;
        }
        loop {
            let Model::Rate(open) = &mut self.model else { return };
            if open.waiting().min(self.left) == 0 {
                open.width.suffices();
                return;
            }
            let Some(index) = open.free.pop() else { break };
            let first = self.connection_of(index, self.script.steps[0].origin);
            if self.connections[first as usize].is_usable() {
                self.arrive(index, now_ns);
            } else {
                self.offer(index, now_ns);
            }
        }
        let opening_max = Width::opening_max(self.open / self.origins);
        loop {
            let Model::Rate(open) = &mut self.model else { return };
            let wanted = open.waiting().min(self.left);
            if u64::from(open.opening) * u64::from(self.streams) >= wanted
                || open.opening >= opening_max
            {
                return;
            }
            let made = u32::try_from(self.lanes.len()).unwrap_or(u32::MAX) / self.streams;
            let used = made - u32::try_from(open.shut.len()).unwrap_or(made);
            let seen = Seen {
                now_ns,
                looked_ns: self.looked_ns,
                answers: open.ended_count,
                least_ns: open.least_ns,
            };
            if used >= open.width.groups() && !open.width.lacks(seen) {
                if let Some(due_ns) = open.width.due_ns() {
                    self.wake_at(due_ns);
                }
                return;
            }
            let group = open.shut.pop().unwrap_or(made);
            open.opening += 1;
            self.make_group(group);
            let index = group * self.streams;
            let lane = &mut self.lanes[index as usize];
            lane.state = State::Opening;
            lane.step = 0;
            lane.is_again = false;
            lane.began_ns = Lane::NOT_BEGUN;
            let origin = self.script.steps[0].origin;
            self.enqueue(self.connection_of(index, origin), now_ns);
        }
    }

    /// Open model: whether the plan is over, and the arrival that has waited longest has waited for too long, so that nothing more begins.
    pub(super) fn is_too_late(&self, now_ns: u64) -> bool {
        now_ns >= self.end_ns && self.late_ns().is_some_and(|late_ns| now_ns >= late_ns)
    }

    /// Open model: when the arrival that has waited longest, if one waits, is too late to be sent behind the end of the plan.
    pub(super) fn late_ns(&self) -> Option<u64> {
        let Model::Rate(open) = &self.model else { return None };
        let due_ns = open.begun.next_ns().filter(|_| open.waiting() > 0)?;
        Some(due_ns.saturating_add(LATE_NS))
    }

    /// Open model: the arrival that has waited longest takes a lane.
    fn arrive(&mut self, index: u32, now_ns: u64) {
        let Model::Rate(open) = &mut self.model else { return };
        let due_ns = open.begun.next_ns().unwrap_or(now_ns);
        open.begun.advance();
        let could_ns = due_ns.max(open.free_since_ns);
        self.recorder.lag(now_ns.saturating_sub(could_ns));
        self.begin(index, due_ns, now_ns);
    }

    /// Open model: a connection that was opened for an arrival did not get up; the arrival that has waited longest fails
    /// by it, if one still waits.
    pub(super) fn opening_failed(
        &mut self,
        index: u32,
        kind: ErrorKind,
        now_ns: u64,
        text: impl FnOnce() -> String,
    ) {
        let others = self.users();
        let Model::Rate(open) = &mut self.model else { return };
        open.opening -= 1;
        if open.waiting().min(self.left) > 0 && self.ending.is_none() {
            // Those that wait are under way, too, and it was one of them.
            let users = u32::try_from(open.waiting()).unwrap_or(u32::MAX).saturating_add(others);
            self.left -= 1;
            open.begun.advance();
            open.unsent_count += 1;
            open.ended_count += 1;
            self.begun += 1;
            self.recorder.failed(0, kind, now_ns, users, text);
        }
        self.lanes[index as usize].state = State::Out;
        self.offer(index, now_ns);
        self.serve(now_ns);
    }

    /// Open model: a connection that was opened for an arrival is up.
    pub(super) fn opening_done(&mut self, connection: u32, now_ns: u64) {
        for index in self.lanes_of(connection) {
            match self.lanes[index as usize].state {
                State::Opening => {
                    if let Model::Rate(open) = &mut self.model {
                        open.opening -= 1;
                    }
                    self.offer(index, now_ns);
                }
                State::Out => self.offer(index, now_ns),
                _ => {}
            }
        }
        self.serve(now_ns);
    }
}
