//! What happens because its time has come, and what the engine says.

use blitz_contract::load::work::{Order, Said};
use blitz_contract::load::{Closing, ErrorKind, Verdict};
use rustix::event::epoll;

use super::model::Model;
use super::{CONTROL, Ending, Runner};
use crate::clock::SECOND_NS;
use crate::connection::Stage;
use crate::control::{Control, Lost};
use crate::lane::{Lane, State};
use crate::record::{Gauges, split};

/// Lanes whose deadline is looked at before events are taken again: they may all come in one millisecond.
const LANES_AT_ONCE: usize = 256;
/// What is in flight when somebody stops the test may take so long to come: the engine waits for the last tick 600 ms at
/// least.
const GRACE_NS: u64 = 400_000_000;

impl Runner {
    /// Does what is due.
    ///
    /// # Errors
    ///
    /// [`Lost`], when the engine does not hear.
    pub(super) fn instants(&mut self, control: &mut Control, now_ns: u64) -> Result<(), Lost> {
        while now_ns >= self.tick_ns {
            let at_ns = self.tick_ns;
            self.tick(control, at_ns, None)?;
            self.tick_ns = self.next_tick_ns(at_ns);
        }
        if self.ending.is_none() {
            match &mut self.model {
                Model::Users(_) => self.people(now_ns),
                Model::Rate(open) => {
                    let count = open.asked.advance_to(now_ns);
                    if count > 0 {
                        let count = open.ask(count);
                        self.recorder.asked(count);
                        self.serve(now_ns);
                    } else if open.width.due_ns().is_some_and(|due_ns| due_ns <= now_ns) {
                        self.serve(now_ns);
                    }
                }
            }
            if self.is_over(now_ns) {
                self.end(Verdict::Ended, u64::MAX);
            }
        }
        self.overdue(now_ns);
        self.open_queued(now_ns);
        self.next_ns = self.soonest_ns(now_ns);
        Ok(())
    }

    /// Whether nothing more is to be sent. What has begun of an open model is carried out to its end, and what was due is
    /// sent if it does not wait for too long.
    fn is_over(&self, now_ns: u64) -> bool {
        let is_idle = self.active == 0;
        let is_enough = self.left == 0 || self.begun >= self.begun_max;
        if is_idle && is_enough {
            return true;
        }
        if now_ns < self.end_ns {
            return false;
        }
        match &self.model {
            Model::Users(_) => true,
            Model::Rate(open) => is_idle && (open.waiting() == 0 || self.is_too_late(now_ns)),
        }
    }

    /// When something is due next.
    fn soonest_ns(&self, now_ns: u64) -> u64 {
        let mut soonest = self.tick_ns.min(self.deadlines.next_ns().unwrap_or(u64::MAX));
        match &self.ending {
            Some(end) => soonest = soonest.min(end.until_ns),
            None => {
                let end_ns = if now_ns < self.end_ns { Some(self.end_ns) } else { self.late_ns() };
                soonest = soonest.min(self.model.next_ns());
                if let Some(end_ns) = end_ns.filter(|end_ns| *end_ns > now_ns) {
                    soonest = soonest.min(end_ns);
                }
            }
        }
        if !self.queue.is_empty() {
            soonest = soonest.min(self.sockets.next_ns());
        }
        soonest
    }

    /// Something will be due at an instant.
    #[inline]
    pub(super) fn wake_at(&mut self, at_ns: u64) {
        self.next_ns = self.next_ns.min(at_ns);
    }

    /// Users come, go, and stop thinking.
    fn people(&mut self, now_ns: u64) {
        while let Model::Users(closed) = &mut self.model
            && let Some(change) = closed.change(now_ns)
        {
            let before = std::mem::replace(&mut closed.users, change.users);
            if let Some(last) = change.users.checked_sub(1) {
                self.make_group(last / self.streams);
            }
            for lane in before..change.users {
                // One that was to go may not have gone yet.
                if self.lanes[lane as usize].state == State::Out {
                    self.begin(lane, now_ns, now_ns);
                }
            }
            for lane in change.users..before {
                if self.lanes[lane as usize].state == State::Thinking {
                    self.leave(lane);
                }
            }
        }
        while let Model::Users(closed) = &mut self.model
            && let Some((due_ns, lane)) = closed.thinking.front().copied()
            && due_ns <= now_ns
        {
            closed.thinking.pop_front();
            let thinker = &self.lanes[lane as usize];
            if thinker.state == State::Thinking && thinker.due_ns == due_ns {
                self.recorder.lag(now_ns - due_ns);
                self.begin(lane, due_ns, now_ns);
            }
        }
    }

    /// Looks at lanes whose time may be over.
    fn overdue(&mut self, now_ns: u64) {
        for _ in 0..LANES_AT_ONCE {
            let Some(index) = self.deadlines.take(now_ns) else { return };
            let lane = &mut self.lanes[index as usize];
            lane.is_watched = false;
            let has_time = matches!(lane.state, State::Opening | State::Waiting | State::Busy)
                && lane.began_ns != Lane::NOT_BEGUN;
            if !has_time {
                continue;
            }
            let deadline_ns =
                lane.began_ns.saturating_add(self.script.steps[lane.step()].timeout_ns);
            if now_ns < deadline_ns {
                lane.is_watched = true;
                self.deadlines.watch(index, now_ns, deadline_ns);
            } else {
                self.time_out(index, now_ns);
            }
        }
    }

    fn time_out(&mut self, index: u32, now_ns: u64) {
        let lane = &self.lanes[index as usize];
        let step = &self.script.steps[lane.step()];
        let (timeout_ns, origin) = (step.timeout_ns, step.origin);
        let text = |what: &str| format!("{what} within {} ms", timeout_ns / 1_000_000);
        let connection = self.connection_of(index, origin);
        let no_connection = match self.connections[connection as usize].stage {
            Stage::Securing => "the server took the connection, and there was no TLS handshake",
            _ => "no connection",
        };
        match lane.state {
            State::Busy if self.is_http2 => self.cancel(index, now_ns, &text("no whole answer")),
            State::Busy => {
                let stage = self.connections[connection as usize].reader;
                self.abandon(connection);
                let what = if stage.is_begun() { "no whole answer" } else { "no answer" };
                self.fail(index, ErrorKind::Timeout, now_ns, || text(what));
            }
            State::Opening => {
                self.abandon(connection);
                self.opening_failed(index, ErrorKind::Timeout, now_ns, || text(no_connection));
            }
            _ => {
                // Others may wait for the same connection of HTTP/2, each with a time of its own.
                let is_alone = self.streams == 1;
                if is_alone || !self.connections[connection as usize].is_usable() {
                    self.abandon(connection);
                }
                self.fail(index, ErrorKind::Timeout, now_ns, || text(no_connection));
            }
        }
    }

    /// Listens to the engine.
    ///
    /// # Errors
    ///
    /// [`Lost`], when it is gone.
    pub(super) fn hear(&mut self, control: &mut Control, now_ns: u64) -> Result<(), Lost> {
        control.flush()?;
        self.watch_control(control)?;
        for order in control.orders()? {
            match order {
                Order::Stop => self.end(Verdict::Stopped, now_ns.saturating_add(GRACE_NS)),
                Order::Work(_) | Order::Go { .. } => return Err(Lost::Garbled),
            }
        }
        Ok(())
    }

    /// From now on nothing is sent.
    pub(super) fn end(&mut self, verdict: Verdict, until_ns: u64) {
        let is_again = self.ending.is_some();
        let now_ns = self.clock.now_ns();
        let at_ns = self.ending.as_ref().map_or(now_ns.min(self.sent_late_ns), |end| end.at_ns);
        self.ending = Some(Ending { verdict, at_ns, until_ns });
        self.wake_at(until_ns.min(self.clock.now_ns()));
        if is_again {
            return;
        }
        // One that is sent once more was sent: what becomes of it is told.
        let repeats = self.may_repeat();
        for lane in &mut self.lanes {
            if lane.state == State::Waiting && !(lane.is_again && repeats) {
                lane.state = State::Out;
                self.active -= 1;
            }
        }
        for index in std::mem::take(&mut self.queue) {
            if self.lanes_of(index).any(|lane| self.wants(lane, index)) {
                self.queue.push_back(index);
            } else if self.connections[index as usize].stage == Stage::Queued {
                self.connections[index as usize].stage = Stage::Shut;
            }
        }
    }

    /// The end of the second after an instant, or of the warm-up.
    pub(super) fn next_tick_ns(&self, after_ns: u64) -> u64 {
        let second = (after_ns / SECOND_NS + 1) * SECOND_NS;
        if after_ns < self.warm_up_ns { second.min(self.warm_up_ns) } else { second }
    }

    /// Says what happened up to an instant, from the tick before it on.
    ///
    /// # Errors
    ///
    /// [`Lost`], when the engine does not hear.
    pub(super) fn tick(
        &mut self,
        control: &mut Control,
        at_ns: u64,
        closing: Option<Closing>,
    ) -> Result<(), Lost> {
        let second = u32::try_from(at_ns.saturating_sub(1) / SECOND_NS).unwrap_or(u32::MAX);
        let used = self.machine.used();
        let gauges = Gauges {
            users: self.users(),
            connections: self.open,
            backlog: match &self.model {
                Model::Users(_) => 0,
                Model::Rate(open) => open.backlog(),
            },
            cpu_us: used.cpu_us,
            starved_us: used.starved_us,
        };
        let is_warm_up = at_ns <= self.warm_up_ns && self.warm_up_ns > 0;
        let mut tick = self.recorder.tick(second, is_warm_up, gauges);
        tick.closing = closing;
        for part in split(tick) {
            control.say(&Said::Tick(Box::new(part)))?;
        }
        self.watch_control(control)
    }

    /// Users that are there, or transactions that are not ended.
    pub(super) fn users(&self) -> u32 {
        match &self.model {
            Model::Users(closed) => closed.users,
            Model::Rate(_) => self.active,
        }
    }

    /// Waits for room in the engine's socket only while there is something to say.
    fn watch_control(&self, control: &Control) -> Result<(), Lost> {
        let mut flags = epoll::EventFlags::IN;
        if control.is_waiting() {
            flags |= epoll::EventFlags::OUT;
        }
        let token = epoll::EventData::new_u64(CONTROL);
        epoll::modify(&self.epoll, control, token, flags).map_err(|_| Lost::Closed)
    }
}
