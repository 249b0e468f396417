//! A duty that one worker of several has at a time, by a leased document: pure, events in and actions out. The
//! driver is [`keep`].
//!
//! `lease:<duty>` stands in the region's beats database, which is never replicated. Its holder rewrites it each
//! [`Timing::beat`], and stops [`Timing::stop`] after the *sending* of the last rewriting that was acknowledged. The
//! others read it each [`Timing::poll`], and take it over when it has not changed for [`Timing::dead`] of their own
//! clock over answered polls. Who goes gives it back, so that the next one takes it at once.
//!
//! It saves work and keeps nothing safe: two may hold it for a moment, when a copy of the store was away or a
//! machine slept. That is harmless, since each step that a holder takes is a compare-and-set of its own.

mod keep;

use std::time::Duration;

use blitz_couchdb::Revision;
use serde::{Deserialize, Serialize};

use crate::id::Incarnation;
use crate::timing::Timing;

pub use keep::keep;

/// Polls that may stay without an answer before a worker calls itself blind, and begins to count anew.
const POLLS_MISSED_MAX: u32 = 3;

/// The document `lease:<duty>`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// Always `lease`.
    pub kind: LeaseKind,
    /// The version of blitz that wrote it.
    pub blitz: String,
    /// Who has the duty; absent when it was given back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holder: Option<Holder>,
    /// Rises with each rewriting; 0 when it was given back.
    pub counter: u64,
}

/// The `kind` of a lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LeaseKind {
    /// The only one.
    Lease,
}

/// A worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// Its name, for people.
    pub name: String,
    /// Which start of it.
    pub incarnation: Incarnation,
}

impl Lease {
    /// The id of a duty's lease.
    #[must_use]
    pub fn document_id(duty: &str) -> String {
        format!("lease:{duty}")
    }

    fn new(holder: Option<Holder>, counter: u64) -> Self {
        Self { kind: LeaseKind::Lease, blitz: crate::BUILD.to_owned(), holder, counter }
    }
}

/// What the worker should do. There is one at a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Read the lease, and report with [`Duty::read_answered`].
    Read,
    /// Write it over this revision, and report with [`Duty::write_answered`].
    Write {
        /// The revision that it replaces, if there is one.
        over: Option<Revision>,
        /// The body.
        lease: Lease,
    },
}

/// How a reading was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// There is no lease.
    Nothing,
    /// This one; `None` when this version cannot read it.
    Lease(Revision, Option<Lease>),
    /// No answer.
    Unknown,
}

/// How a write was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Written {
    /// A majority has it.
    Stored(Revision),
    /// The lease had another revision.
    Conflict,
    /// No answer, or fewer copies than a majority: it may be stored.
    Unknown,
}

/// One worker's side of one duty.
#[derive(Debug)]
pub struct Duty {
    me: Holder,
    timing: Timing,
    state: State,
    /// When what is under way was asked for, if something is.
    asked: Option<Duration>,
    goes: bool,
}

#[derive(Debug)]
enum State {
    /// Another has it, as far as is known. `seen`: the revision that was read last, since when, and when last.
    Off { read_due: Duration, seen: Option<Seen> },
    /// This worker has it. `is_unsure`: its last write may be stored, and the lease is read before the next one.
    On { revision: Revision, counter: u64, from: Duration, write_due: Duration, is_unsure: bool },
    /// It gave the duty back, or never had it, and wants it no more.
    Gone,
}

#[derive(Debug)]
struct Seen {
    /// Any rewriting changes it, also by a version whose lease cannot be read here.
    revision: Revision,
    since: Duration,
    polled: Duration,
}

impl Duty {
    /// A worker that knows nothing of the lease yet.
    #[must_use]
    pub fn new(name: &str, incarnation: Incarnation, timing: Timing) -> Self {
        let me = Holder { name: name.to_owned(), incarnation };
        let state = State::Off { read_due: Duration::ZERO, seen: None };
        Self { me, timing, state, asked: None, goes: false }
    }

    /// Whether this worker has the duty now.
    #[must_use]
    pub fn is_on(&self, now: Duration) -> bool {
        match self.state {
            State::On { from, .. } => !self.goes && now < from + self.timing.stop,
            State::Off { .. } | State::Gone => false,
        }
    }

    /// Whether it has gone: nothing is to be done any more.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        matches!(self.state, State::Gone)
    }

    /// The worker goes: it gives back the duty when it has it.
    pub fn go(&mut self) {
        self.goes = true;
    }

    /// What is to be done now, if nothing is under way.
    pub fn tick(&mut self, now: Duration) -> Option<Action> {
        if matches!(self.state, State::On { .. }) && !self.goes && !self.is_on(now) {
            self.state = State::Off { read_due: now, seen: None };
        }
        if self.asked.is_some() {
            return None;
        }
        match &self.state {
            State::On { is_unsure: true, write_due, .. } if self.goes || *write_due <= now => {
                self.ask(now, Action::Read)
            }
            State::On { is_unsure: true, .. } => None,
            State::On { revision, .. } if self.goes => {
                let over = Some(revision.clone());
                self.ask(now, Action::Write { over, lease: Lease::new(None, 0) })
            }
            State::On { revision, counter, write_due, .. } if *write_due <= now => {
                let (over, counter) = (Some(revision.clone()), counter + 1);
                self.take(now, over, counter)
            }
            State::Off { .. } | State::Gone if self.goes => {
                self.state = State::Gone;
                None
            }
            State::Off { read_due, .. } if *read_due <= now => self.ask(now, Action::Read),
            State::Off { .. } | State::On { .. } | State::Gone => None,
        }
    }

    /// When [`Self::tick`] has something to do next, if nothing is answered until then.
    #[must_use]
    pub fn due(&self) -> Option<Duration> {
        let is_idle = self.asked.is_none();
        match &self.state {
            State::On { from, write_due, .. } => {
                let over = (!self.goes).then(|| *from + self.timing.stop);
                let next = is_idle.then_some(if self.goes { Duration::ZERO } else { *write_due });
                over.into_iter().chain(next).min()
            }
            State::Off { .. } if self.goes => is_idle.then_some(Duration::ZERO),
            State::Off { read_due, .. } => is_idle.then_some(*read_due),
            State::Gone => None,
        }
    }

    /// The lease was read, or was not. What follows is returned.
    pub fn read_answered(&mut self, now: Duration, found: Found) -> Option<Action> {
        self.asked = None;
        let next_poll = now + self.timing.poll;
        let has_gone = self.goes && !matches!(self.state, State::On { .. });
        let (revision, lease) = match found {
            _ if has_gone => {
                self.state = State::Gone;
                return None;
            }
            Found::Unknown => {
                match &mut self.state {
                    State::Off { read_due, .. } => *read_due = next_poll,
                    State::On { .. } if self.goes => self.state = State::Gone,
                    State::On { write_due, .. } => *write_due = next_poll,
                    State::Gone => {}
                }
                return None;
            }
            Found::Nothing => return self.take(now, None, 1),
            Found::Lease(revision, lease) => (revision, lease),
        };
        let holder = lease.as_ref().map(|lease| lease.holder.as_ref());
        let counter = lease.as_ref().map_or(0, |lease| lease.counter);
        let is_mine = holder == Some(Some(&self.me));
        if is_mine && self.goes {
            return self
                .ask(now, Action::Write { over: Some(revision), lease: Lease::new(None, 0) });
        }
        // Given back, or written by this worker without an answer: writing it again decides.
        if !self.goes && (is_mine || holder == Some(None)) {
            return self.take(now, Some(revision), counter.saturating_add(1));
        }
        if self.goes {
            self.state = State::Gone;
            return None;
        }
        let patience = self.timing.poll * POLLS_MISSED_MAX;
        let since = match &self.state {
            State::Off { seen: Some(seen), .. }
                if seen.revision == revision && now.saturating_sub(seen.polled) <= patience =>
            {
                seen.since
            }
            _ => now,
        };
        let seen = Some(Seen { revision: revision.clone(), since, polled: now });
        self.state = State::Off { read_due: next_poll, seen };
        if now.saturating_sub(since) >= self.timing.dead {
            return self.take(now, Some(revision), counter.saturating_add(1));
        }
        None
    }

    /// The lease was written, or was not.
    pub fn write_answered(&mut self, now: Duration, lease: &Lease, written: Written) {
        let Some(sent) = self.asked.take() else { return };
        if lease.holder.is_none() {
            // Whatever came of it: who goes does not stay for it, and the lease ends by itself.
            self.state = State::Gone;
            return;
        }
        match written {
            Written::Stored(revision) => {
                self.state = State::On {
                    revision,
                    counter: lease.counter,
                    from: sent,
                    write_due: sent + self.timing.beat,
                    is_unsure: false,
                };
            }
            Written::Conflict => self.state = State::Off { read_due: now, seen: None },
            Written::Unknown => match &mut self.state {
                // Whether it is stored is read a poll later.
                State::On { is_unsure, write_due, .. } => {
                    *is_unsure = true;
                    *write_due = now + self.timing.poll;
                }
                State::Off { read_due, .. } => *read_due = now + self.timing.poll,
                State::Gone => {}
            },
        }
    }

    fn take(&mut self, now: Duration, over: Option<Revision>, counter: u64) -> Option<Action> {
        let lease = Lease::new(Some(self.me.clone()), counter);
        self.ask(now, Action::Write { over, lease })
    }

    fn ask(&mut self, now: Duration, action: Action) -> Option<Action> {
        self.asked = Some(now);
        Some(action)
    }
}

#[cfg(test)]
mod tests;
