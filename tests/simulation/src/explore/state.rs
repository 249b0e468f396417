//! One state of the little world: copies of a database, engines, a keeper, and what is under way between them.
//!
//! Time is left out. An engine's lease has run out or it has not; a write is under way until the copy takes it, at any
//! later time; who read something and acts on it later is one who reads and whose write is late.

use super::few::Few;
use super::hash::fingerprint;
use super::table::{Id, Table};

/// Engines of the largest world.
pub(super) const ENGINES_MAX: usize = 3;
/// Copies of the largest world.
pub(super) const COPIES_MAX: usize = 3;
/// The keeper's place among the actors.
pub(super) const KEEPER: usize = ENGINES_MAX;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub(super) struct State {
    pub(super) copies: [Copy; COPIES_MAX],
    pub(super) actors: [Actor; ENGINES_MAX + 1],
    /// The user has cancelled.
    pub(super) cancelled: bool,
    /// How often the job has begun, of a job that must not run twice: 0, 1, or more.
    pub(super) begun: u8,
    /// The end that a reader of all copies was told.
    pub(super) announced: Id,
    pub(super) spent: Spent,
    /// Something did not fit: nothing follows from this state.
    pub(super) cut: bool,
}

/// Faults so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub(super) struct Spent {
    pub(super) losses: u8,
    pub(super) crashes: u8,
    pub(super) outages: u8,
}

/// One copy of the job's database, which checks revisions alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub(super) struct Copy {
    /// It is away: it takes nothing and answers nothing.
    pub(super) is_down: bool,
    /// The leaves of the run, living and deleted.
    pub(super) leaves: Few,
    /// The fences.
    pub(super) starts: Few,
    /// Writes of the run and fences for whose answer nobody waits any more, and which may still arrive.
    pub(super) late: Few,
    pub(super) late_starts: Few,
    /// What it said to each actor's write.
    pub(super) replies: [Said; ENGINES_MAX + 1],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub(super) enum Said {
    /// Nothing was asked.
    #[default]
    Nothing,
    /// It was asked, and has not taken it.
    Pending,
    Ok,
    /// It stored the body, under another revision than was expected.
    Other,
    Conflict,
    /// It is away.
    Away,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub(super) struct Actor {
    pub(super) phase: Phase,
    /// Which start of the engine.
    pub(super) start: u8,
    /// The claims that it has sent, where they are bounded.
    pub(super) tries: u8,
    /// It has done something: before that it is like any other that has not.
    pub(super) is_touched: bool,
    /// Its lease has run out.
    pub(super) is_late: bool,
    /// The machine of the write or fence under way.
    pub(super) machine: Id,
    /// What the write asked of the copies.
    pub(super) request: Request,
    /// The revision of the claim that it holds.
    pub(super) hold: Id,
    /// The claim that it tried, or the last word that it has to write.
    pub(super) run: Id,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub(super) enum Phase {
    #[default]
    Idle,
    /// Its claim is under way, or its taking over.
    Claiming,
    /// Its start fence is under way.
    Fencing,
    /// It runs the job.
    Running,
    /// Its last word is to be written, or under way.
    Closing,
    /// Its verdict on another's claim, or the keeper's end, is under way.
    Judging,
    Crashed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub(super) enum Request {
    #[default]
    None,
    Write {
        target: Id,
        quorum: u8,
    },
    Start {
        start: Id,
    },
}

impl State {
    /// Every leaf that some copy has and that no copy has gone beyond.
    pub(super) fn leaves(&mut self, table: &Table, copies: impl Iterator<Item = usize>) -> Few {
        let mut all = Few::default();
        for copy in copies {
            self.cut |= !merge(table, &mut all, self.copies[copy].leaves);
        }
        all
    }

    /// The fence that a reader of these copies is given.
    pub(super) fn start(&mut self, table: &Table, copies: impl Iterator<Item = usize>) -> Id {
        let mut all = Few::default();
        for copy in copies {
            for start in self.copies[copy].starts.iter() {
                self.cut |= !all.put(start);
            }
        }
        table.start_named(all)
    }

    /// Whether these copies have the same.
    pub(super) fn is_synced(&self, copies: usize) -> bool {
        let first = &self.copies[0];
        self.copies[..copies]
            .iter()
            .all(|copy| !copy.is_down && copy.leaves == first.leaves && copy.starts == first.starts)
    }

    /// Whether no write is under way or late.
    pub(super) fn is_quiet(&self) -> bool {
        self.copies.iter().all(|copy| {
            copy.late.is_empty()
                && copy.late_starts.is_empty()
                && !copy.replies.contains(&Said::Pending)
        })
    }

    /// By what it is told apart from other states. Whether an engine has done something only says what can be left
    /// out.
    pub(super) fn key(&self, copies: usize) -> u128 {
        let mut state = *self;
        for actor in &mut state.actors {
            actor.is_touched = false;
        }
        let Self { copies: all, actors, cancelled, begun, announced, spent, cut } = state;
        fingerprint(&(&all[..copies], actors, cancelled, begun, announced, spent, cut))
    }

    /// The same state with its copies in order: which of them is which makes no difference.
    pub(super) fn in_order(mut self, copies: usize) -> Self {
        self.copies[..copies].sort_unstable();
        self
    }
}

/// Adds leaves to leaves. False when there is no room.
pub(super) fn merge(table: &Table, into: &mut Few, other: Few) -> bool {
    let mut fits = true;
    for leaf in other.iter() {
        if into.iter().any(|own| own == leaf || table.is_before(leaf, own)) {
            continue;
        }
        *into = into.filter(|own| !table.is_before(own, leaf));
        fits &= into.put(leaf);
    }
    fits
}

impl Copy {
    /// Takes a write of the run as CouchDB does: over a living leaf that it has, or as the first.
    pub(super) fn write(&mut self, table: &mut Table, target: Id) -> (Said, bool) {
        let (parent, run) = (table.parent(target), table.run_id_of(target));
        if parent != 0 {
            if !self.leaves.has(parent) || table.run_of(parent).is_none() {
                return (Said::Conflict, true);
            }
            self.leaves.take(parent);
            return (Said::Ok, self.leaves.put(target));
        }
        if self.leaves.is_empty() {
            return (Said::Ok, self.leaves.put(target));
        }
        if self.leaves.iter().any(|leaf| table.run_of(leaf).is_some()) {
            return (Said::Conflict, true);
        }
        // A document that is deleted is created again over its deletion.
        let winner = |leaf: &Id| {
            let revision = table.revision(*leaf);
            (revision.generation(), revision.hash().to_owned())
        };
        let over = self.leaves.iter().max_by_key(winner).unwrap_or_default();
        let child = table.child(over, run);
        self.leaves.take(over);
        (Said::Other, self.leaves.put(child))
    }

    /// Takes the create of a fence.
    pub(super) fn create(&mut self, start: Id) -> (Said, bool) {
        if self.starts.is_empty() {
            (Said::Ok, self.starts.put(start))
        } else {
            (Said::Conflict, true)
        }
    }
}
