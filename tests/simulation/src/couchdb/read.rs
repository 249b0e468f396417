//! The coordinator of a read: it asks copies, and answers with what it got.
//!
//! It never says that its quorum was missed, and it waits for a copy that hangs where those that answer differ.
//!
//! Source: `fabric_doc_open_revs.erl` and `fabric_doc_open.erl` of CouchDB 3.5.0.

use std::hash::Hash;
use std::ops::RangeBounds;

use super::cluster::{COPIES_MAX, Cluster};
use super::copy::Slot;
use super::revision::Rev;
use super::tree::{Joined, Place};
use super::trouble::NodeState;
use super::write::shuffle;

/// What a client gets of a read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Read<T> {
    /// This.
    Answered(T),
    /// Nothing, until [`QUORUM_TIMEOUT`](super::QUORUM_TIMEOUT): a node hangs whose answer is needed. Then 500.
    Silent,
    /// 503: no copy can be asked.
    Unavailable,
    /// The connection was refused.
    Refused,
}

impl<T> Read<T> {
    /// What was answered.
    pub fn answer(self) -> Option<T> {
        match self {
            Read::Answered(answer) => Some(answer),
            Read::Silent | Read::Unavailable | Read::Refused => None,
        }
    }

    pub(super) fn map<U>(self, change: impl FnOnce(T) -> U) -> Read<U> {
        match self {
            Read::Answered(answer) => Read::Answered(change(answer)),
            Read::Silent => Read::Silent,
            Read::Unavailable => Read::Unavailable,
            Read::Refused => Read::Refused,
        }
    }
}

/// A leaf of a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Leaf<'a, B> {
    /// Its revision.
    pub rev: Rev,
    /// What it says; `None` for a tombstone.
    pub body: Option<&'a B>,
}

/// A document of a listing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row<'a, I, B> {
    /// Its id.
    pub id: &'a I,
    /// Its winning revision.
    pub rev: Rev,
    /// What that says.
    pub body: &'a B,
}

/// The copies that a read may ask.
struct Asked {
    copies: [usize; COPIES_MAX],
    count: usize,
    /// Another is waited for and will not answer.
    hangs: bool,
}

impl<I: Clone + Eq + Ord + Hash, B: Clone + Eq + Hash> Cluster<I, B> {
    /// All leaves of a document, tombstones too, the winner first: `open_revs=all` with this `r`.
    ///
    /// `draw` decides in which order the copies answer; it gives a number below its argument.
    pub fn leaves(
        &self,
        at: usize,
        id: &I,
        r: usize,
        draw: impl FnMut(usize) -> usize,
    ) -> Read<Vec<Leaf<'_, B>>> {
        let asked = match self.asked(at, draw) {
            Read::Answered(asked) => asked,
            other => return other.map(|_| Vec::new()),
        };
        let Some(slot) = self.slot(id) else {
            return if asked.hangs && asked.count < r {
                Read::Silent
            } else {
                Read::Answered(Vec::new())
            };
        };
        let tree = &self.documents[slot].tree;
        let mut union: Vec<Place> = Vec::new();
        let mut is_met = false;
        for (before, copy) in asked.copies[..asked.count].iter().enumerate() {
            let found = self.copies[*copy].leaves(slot);
            let as_many = found.len() == union.len();
            let mut branched = false;
            for leaf in found {
                branched |= tree.join(&mut union, *leaf) == Joined::Branched;
            }
            // The first reply has nothing to agree with, so `r=1` asks two copies where there is a document.
            is_met = as_many && !branched && before + 1 >= r;
            if is_met {
                break;
            }
        }
        if !is_met && asked.hangs {
            return Read::Silent;
        }
        union.sort_by_key(|leaf| std::cmp::Reverse((!tree.is_tombstone(*leaf), tree.rev(*leaf))));
        Read::Answered(union.iter().map(|leaf| self.leaf(slot, *leaf)).collect())
    }

    /// The winning revision of a document, `None` when there is none or it is deleted: `GET` with this `r`.
    ///
    /// `draw` decides in which order the copies answer; it gives a number below its argument.
    pub fn get(
        &self,
        at: usize,
        id: &I,
        r: usize,
        draw: impl FnMut(usize) -> usize,
    ) -> Read<Option<Leaf<'_, B>>> {
        let asked = match self.asked(at, draw) {
            Read::Answered(asked) => asked,
            other => return other.map(|_| None),
        };
        let mut replies = [None; COPIES_MAX];
        if let Some(slot) = self.slot(id) {
            let tree = &self.documents[slot].tree;
            for (place, copy) in asked.copies[..asked.count].iter().enumerate() {
                replies[place] = tree.winner(self.copies[*copy].leaves(slot));
                let same = replies[..=place].iter().filter(|reply| **reply == replies[place]);
                if same.count() >= r {
                    return Read::Answered(self.alive(slot, replies[place]));
                }
            }
            if asked.hangs {
                return Read::Silent;
            }
            // No quorum: what is alive, and of that the greatest.
            let alive = replies.iter().flatten().filter(|leaf| !tree.is_tombstone(**leaf));
            let greatest = alive.copied().max_by_key(|leaf| tree.rev(*leaf));
            return Read::Answered(self.alive(slot, greatest));
        }
        if asked.hangs && asked.count < r { Read::Silent } else { Read::Answered(None) }
    }

    /// The winning revisions of the documents of a range that are not deleted, in the order of their ids:
    /// `_all_docs`, which asks one copy.
    pub fn list(&self, at: usize, range: impl RangeBounds<I>) -> Read<Vec<Row<'_, I, B>>> {
        self.nearest_copy(at).map(|copy| {
            let rows = self.ordered.range(range).filter_map(|(id, slot)| {
                let tree = &self.documents[*slot].tree;
                let winner = tree.winner(self.copies[copy].leaves(*slot))?;
                Some(Row { id, rev: tree.rev(winner), body: tree.body(winner)? })
            });
            rows.collect()
        })
    }

    /// The copy that listings and feeds through this node come from: its own, or the first that it reaches.
    pub(super) fn nearest_copy(&self, at: usize) -> Read<usize> {
        match self.nodes[at].state {
            NodeState::Down => return Read::Refused,
            NodeState::Hung { .. } => return Read::Silent,
            NodeState::Up if at < self.copies.len() => return Read::Answered(at),
            NodeState::Up => {}
        }
        let mut copies = 0..self.copies.len();
        if let Some(copy) = copies.find(|copy| self.connected(at, *copy) && self.is_up(*copy)) {
            return Read::Answered(copy);
        }
        let hangs = (0..self.copies.len()).any(|copy| self.is_asked(at, copy));
        if hangs { Read::Silent } else { Read::Unavailable }
    }

    fn asked(&self, at: usize, mut draw: impl FnMut(usize) -> usize) -> Read<Asked> {
        match self.nodes[at].state {
            NodeState::Down => return Read::Refused,
            NodeState::Hung { .. } => return Read::Silent,
            NodeState::Up => {}
        }
        let mut asked = Asked { copies: [0; COPIES_MAX], count: 0, hangs: false };
        for copy in 0..self.copies.len() {
            if !self.is_asked(at, copy) {
                continue;
            }
            if self.is_up(copy) {
                asked.copies[asked.count] = copy;
                asked.count += 1;
            } else {
                asked.hangs = true;
            }
        }
        if asked.count == 0 {
            return if asked.hangs { Read::Silent } else { Read::Unavailable };
        }
        shuffle(&mut asked.copies[..asked.count], &mut draw);
        Read::Answered(asked)
    }

    fn alive(&self, slot: Slot, place: Option<Place>) -> Option<Leaf<'_, B>> {
        place.map(|place| self.leaf(slot, place)).filter(|leaf| leaf.body.is_some())
    }

    pub(super) fn leaf(&self, slot: Slot, place: Place) -> Leaf<'_, B> {
        let tree = &self.documents[slot].tree;
        Leaf { rev: tree.rev(place), body: tree.body(place) }
    }
}
