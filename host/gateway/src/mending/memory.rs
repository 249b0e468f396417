//! What is remembered of replications that fail, and what is to be done about them. Pure: time and answers are passed in.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use blitz_couchdb::Revision;
use serde_json::{Map, Value};

use super::{LOOK, PROBE_MAX};

/// A replication that fails at once after it was mended rests so long, twice as long each time: its other end answers, and
/// something else is wrong. Not longer than [`REST_MAX`], since that may be over too.
const REST_MIN: Duration = Duration::from_secs(1);
/// See [`REST_MIN`].
const REST_MAX: Duration = Duration::from_secs(15);

/// One that does not fail so long after it was mended is well, and the next failure is a new one. Shorter than a cut takes to
/// be noticed: of cuts that come one after the other each is the first.
const WELL_AFTER: Duration = Duration::from_secs(2);

/// An end that has answered is there for so long: what is seen failing then need not wait for another answer.
const THERE: Duration = LOOK;

/// What is remembered, by the ids of documents and the addresses of servers.
#[derive(Debug, Default)]
pub(super) struct Memory {
    /// Those that fail; `None`: the document was not read yet.
    failing: BTreeMap<String, Option<Standing>>,
    mended: BTreeMap<String, Mended>,
    /// When other ends answered last.
    answered: BTreeMap<String, Duration>,
}

/// The document of a replication that fails.
#[derive(Debug)]
pub(super) struct Standing {
    pub(super) revision: Revision,
    pub(super) body: Map<String, Value>,
    /// The servers that must answer before it can go on.
    pub(super) others: Vec<String>,
}

#[derive(Debug)]
struct Mended {
    at: Duration,
    /// How long it rests then.
    rest: Duration,
}

impl Memory {
    /// These fail now, and no others.
    pub(super) fn look(&mut self, now: Duration, failing: BTreeSet<String>) {
        self.failing.retain(|id, _| failing.contains(id));
        self.mended.retain(|id, one| failing.contains(id) || now < one.at + WELL_AFTER);
        // Older than any question that is still to be answered.
        self.answered.retain(|_, at| now < *at + PROBE_MAX + THERE);
        for id in failing {
            self.failing.entry(id).or_default();
        }
    }

    /// Whose documents are to be read.
    pub(super) fn unread(&self) -> Vec<String> {
        let unread = self.failing.iter().filter(|(_, standing)| standing.is_none());
        unread.map(|(id, _)| id.clone()).collect()
    }

    /// A document was read.
    pub(super) fn read(&mut self, id: &str, standing: Standing) {
        if let Some(failing) = self.failing.get_mut(id) {
            *failing = Some(standing);
        }
    }

    /// The servers that are to be asked whether they are there.
    pub(super) fn to_ask(&self, now: Duration) -> BTreeSet<String> {
        let rested = self.failing.iter().filter(|(id, _)| !self.rests(now, id));
        let others = rested.filter_map(|(_, standing)| standing.as_ref());
        others.flat_map(|standing| standing.others.iter().cloned()).collect()
    }

    /// A server was asked at `began`, and answered or did not.
    pub(super) fn asked(&mut self, now: Duration, end: &str, began: Duration, answers: bool) {
        if answers {
            self.answered.insert(end.to_owned(), now);
            return;
        }
        // An answer to a later question counts more than the silence after this one.
        if self.answered.get(end).is_some_and(|at| began <= *at) {
            return;
        }
        // It is away. When it is back, what leads there goes on at once.
        let leads_there = |standing: &Standing| standing.others.iter().any(|other| other == end);
        for (id, standing) in &self.failing {
            if standing.as_ref().is_some_and(leads_there) {
                self.mended.remove(id);
            }
        }
    }

    /// Those that are to be mended now. Each is given once.
    pub(super) fn take_due(&mut self, now: Duration) -> Vec<(String, Standing)> {
        let is_there = |end: &String| self.answered.get(end).is_some_and(|at| now < *at + THERE);
        let is_due = |id: &str, standing: &Standing| {
            !self.rests(now, id) && standing.others.iter().all(is_there)
        };
        let due = self.failing.iter().filter(|(id, standing)| {
            standing.as_ref().is_some_and(|standing| is_due(id, standing))
        });
        let due: Vec<String> = due.map(|(id, _)| id.clone()).collect();
        let taken = due.into_iter().filter_map(|id| {
            let standing = self.failing.remove(&id)??;
            let before = self.mended.get(&id).map(|mended| mended.rest * 2);
            let rest = before.unwrap_or(REST_MIN).min(REST_MAX);
            self.mended.insert(id.clone(), Mended { at: now, rest });
            Some((id, standing))
        });
        taken.collect()
    }

    fn rests(&self, now: Duration, id: &str) -> bool {
        self.mended.get(id).is_some_and(|mended| now < mended.at + mended.rest)
    }
}

#[cfg(test)]
mod tests;
