//! `_changes` through one node: the latest change of each document, from one copy.
//!
//! A sequence means something at its own copy alone. At another it stands for the last time when the two
//! compared themselves, so that a feed that moves begins well before where it was; nothing is left out.

use std::hash::Hash;
use std::slice;

use super::cluster::Cluster;
use super::copy::Slot;
use super::read::Read;
use super::revision::Rev;

/// A place in a feed. The default is its beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Seq {
    identity: u64,
    copy: usize,
    life: u32,
    number: u64,
}

impl Seq {
    /// A place so many changes earlier: where a feed may begin that was asked to go on from here.
    #[must_use]
    pub fn earlier(self, changes: u64) -> Seq {
        Seq { number: self.number.saturating_sub(changes), ..self }
    }
}

/// The latest change of one document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Change<'a, I, B> {
    /// The place after it.
    pub seq: Seq,
    /// The document.
    pub id: &'a I,
    /// Its winning revision.
    pub rev: Rev,
    /// What that says; `None`: it is deleted.
    pub body: Option<&'a B>,
    /// How many leaves there are, tombstones too.
    pub leaves: usize,
}

/// What changed in a copy, oldest change first.
#[derive(Debug)]
pub struct Changes<'a, I, B> {
    cluster: &'a Cluster<I, B>,
    copy: usize,
    entries: slice::Iter<'a, (u64, Slot)>,
    last: Seq,
}

impl<I, B> Changes<'_, I, B> {
    /// The place after the last change, where the feed goes on.
    #[must_use]
    pub fn last_seq(&self) -> Seq {
        self.last
    }
}

impl<'a, I, B> Iterator for Changes<'a, I, B>
where
    I: Clone + Eq + Ord + Hash,
    B: Clone + Eq + Hash,
{
    type Item = Change<'a, I, B>;

    fn next(&mut self) -> Option<Change<'a, I, B>> {
        let copy = &self.cluster.copies[self.copy];
        loop {
            let entry = *self.entries.next()?;
            if !copy.is_latest(entry) {
                continue;
            }
            let (number, slot) = entry;
            let document = &self.cluster.documents[slot];
            let leaves = copy.leaves(slot);
            let winner = document.tree.winner(leaves)?;
            return Some(Change {
                seq: Seq { number, ..self.last },
                id: &document.id,
                rev: document.tree.rev(winner),
                body: document.tree.body(winner),
                leaves: leaves.len(),
            });
        }
    }
}

impl<I: Clone + Eq + Ord + Hash, B: Clone + Eq + Hash> Cluster<I, B> {
    /// What changed after this place, as a feed through this node tells it. A place of another database is its
    /// beginning.
    pub fn changes(&self, at: usize, since: Seq) -> Read<Changes<'_, I, B>> {
        self.nearest_copy(at).map(|copy| Changes {
            cluster: self,
            copy,
            entries: self.copies[copy].entries_after(self.number_at(copy, since)).iter(),
            last: self.last_of(copy),
        })
    }

    /// The place after everything that this node tells of now.
    pub fn now(&self, at: usize) -> Read<Seq> {
        self.nearest_copy(at).map(|copy| self.last_of(copy))
    }

    fn last_of(&self, copy: usize) -> Seq {
        Seq {
            identity: self.identity,
            copy,
            life: self.nodes[copy].life,
            number: self.copies[copy].last(),
        }
    }

    /// Where a feed begins at this copy.
    fn number_at(&self, copy: usize, since: Seq) -> u64 {
        let is_known = since.identity == self.identity
            && self.nodes.get(since.copy).is_some_and(|node| node.life == since.life);
        if !is_known {
            return 0;
        }
        if since.copy == copy {
            return since.number;
        }
        // Whoever read that copy so far has seen all that it had taken of this one by then.
        let met = self.nodes[since.copy].met.iter().rev().find(|met| {
            met.peer == copy && met.peer_life == self.nodes[copy].life && met.own <= since.number
        });
        met.map_or(0, |met| met.theirs)
    }
}
