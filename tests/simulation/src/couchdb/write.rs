//! The coordinator of a write: it asks all copies at once, and [counts](super::tally).

use std::hash::Hash;

use super::cluster::{COPIES_MAX, Cluster};
use super::copy::{Edit, Slot};
use super::revision::Rev;
use super::tally::{Answer, Reply, Tally};
use super::trouble::NodeState;

/// A write of one document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Write<I, B> {
    /// The document.
    pub id: I,
    /// The leaf that it follows; `None` for a new document, or one that was deleted.
    pub parent: Option<Rev>,
    /// What it says; `None` deletes.
    pub body: Option<B>,
    /// How many copies must take it.
    pub w: usize,
    /// The hash of the new revision where another server has said it; `None`: from parent and body.
    pub hash: Option<u64>,
}

impl<I, B> Write<I, B> {
    /// A document with this body over that revision.
    pub fn put(id: I, parent: Option<Rev>, body: B, w: usize) -> Self {
        Self { id, parent, body: Some(body), w, hash: None }
    }

    /// A tombstone over that revision.
    pub fn delete(id: I, parent: Rev, w: usize) -> Self {
        Self { id, parent: Some(parent), body: None, w, hash: None }
    }
}

/// Names a write on its way. Once the write is over it names nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WriteId {
    place: u32,
    number: u64,
}

/// What became of a write when it was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sent {
    /// It was answered at once.
    Answered(Answer),
    /// It is on its way: to the copies of [`Cluster::on_the_way`], or it waits for a node that hangs.
    Travelling(WriteId),
}

impl Sent {
    /// The answer, when there is one already.
    #[must_use]
    pub fn answer(self) -> Option<Answer> {
        match self {
            Sent::Answered(answer) => Some(answer),
            Sent::Travelling(_) => None,
        }
    }
}

/// A write whose messages have not all arrived, or that has no answer yet.
#[derive(Debug, Clone)]
pub(super) struct Pending<B> {
    id: WriteId,
    coordinator: usize,
    slot: Slot,
    edit: Edit<B>,
    tally: Tally,
    /// Copies whose message is on its way or lies at a node that hangs, as bits.
    undelivered: u8,
    /// Of these, those that lie at a node that hangs.
    pub(super) queued: u8,
    answered: bool,
    /// The coordinator hangs and has not even read the request.
    pub(super) unread: bool,
}

impl<I: Clone + Eq + Ord + Hash, B: Clone + Eq + Hash> Cluster<I, B> {
    /// A write whose messages reach all copies now.
    ///
    /// It travels on only where a node hangs whose answer is needed.
    pub fn write_now(&mut self, at: usize, write: Write<I, B>) -> Sent {
        let all_up = self.nodes.iter().all(|node| node.state == NodeState::Up);
        if !all_up {
            return match self.send(at, write) {
                Sent::Travelling(id) => {
                    let mut answer = None;
                    for copy in bits(self.on_the_way_bits(id)) {
                        answer = answer.or(self.arrive(id, copy));
                    }
                    answer.map_or(Sent::Travelling(id), Sent::Answered)
                }
                answered @ Sent::Answered(_) => answered,
            };
        }
        let slot = self.slot_or_new(&write.id);
        let edit = Edit { parent: write.parent, body: write.body, hash: write.hash };
        let mut tally = Tally::new(write.w);
        for copy in 0..self.copies.len() {
            if self.connected(at, copy) {
                tally.replies[copy] = self.store(copy, slot, &edit);
            }
        }
        self.tidy(slot);
        Sent::Answered(tally.answer(true).unwrap_or(Answer::Unavailable))
    }

    /// Writes that are made at the same time: each copy sees them in an order of its own, which `draw` decides
    /// (it gives a number below its argument). The answers come in the order of the writes.
    pub fn race(
        &mut self,
        writes: Vec<(usize, Write<I, B>)>,
        mut draw: impl FnMut(usize) -> usize,
    ) -> Vec<Sent> {
        let mut sent: Vec<Sent> =
            writes.into_iter().map(|(at, write)| self.send(at, write)).collect();
        // One that is answered is still on its way to the other copies, so its name is kept.
        let ways: Vec<(usize, WriteId)> = (0..)
            .zip(&sent)
            .filter_map(|(place, one)| match one {
                Sent::Travelling(id) => Some((place, *id)),
                Sent::Answered(_) => None,
            })
            .collect();
        for copy in 0..self.copies.len() {
            let mut arriving = ways.clone();
            arriving.retain(|(_, id)| self.on_the_way_bits(*id) & bit(copy) != 0);
            shuffle(&mut arriving, &mut draw);
            for (place, id) in arriving {
                if let Some(answer) = self.arrive(id, copy) {
                    sent[place] = Sent::Answered(answer);
                }
            }
        }
        sent
    }

    /// Sends a write through this node. Nothing is stored before its messages [arrive](Cluster::arrive).
    pub fn send(&mut self, at: usize, write: Write<I, B>) -> Sent {
        let unread = match self.nodes[at].state {
            NodeState::Up => false,
            NodeState::Down => return Sent::Answered(Answer::Refused),
            NodeState::Hung { .. } => true,
        };
        let slot = self.slot_or_new(&write.id);
        let mut pending = Pending {
            id: self.next_id(),
            coordinator: at,
            slot,
            edit: Edit { parent: write.parent, body: write.body, hash: write.hash },
            tally: Tally::new(write.w),
            undelivered: 0,
            queued: 0,
            answered: false,
            unread,
        };
        if !unread {
            self.ask_all(&mut pending);
            if pending.undelivered == 0 {
                self.free.push(pending.id.place);
                return Sent::Answered(Answer::Unavailable);
            }
        }
        let id = pending.id;
        self.pending[place(id)] = Some(pending);
        Sent::Travelling(id)
    }

    fn ask_all(&self, pending: &mut Pending<B>) {
        for copy in 0..self.copies.len() {
            if self.is_asked(pending.coordinator, copy) {
                pending.tally.replies[copy] = Reply::Waiting;
                pending.undelivered |= bit(copy);
            }
        }
    }

    /// The copies that a message of this write is on its way to: each of them must [arrive](Cluster::arrive) or
    /// be [lost](Cluster::lose) in the end. Copies on a node that hangs are among them until they have arrived
    /// there.
    pub fn on_the_way(&self, write: WriteId) -> impl Iterator<Item = usize> + use<I, B> {
        bits(self.on_the_way_bits(write))
    }

    fn on_the_way_bits(&self, write: WriteId) -> u8 {
        self.pending_of(write).map_or(0, |pending| pending.undelivered & !pending.queued)
    }

    /// The message of a write reaches a copy, and the copy's reply its coordinator. Gives the answer when this
    /// decides it.
    ///
    /// At a node that hangs it is kept until the node goes on; at one that is down or cut off it is lost.
    pub fn arrive(&mut self, write: WriteId, copy: usize) -> Option<Answer> {
        let coordinator = self.pending_of(write)?.coordinator;
        if self.on_the_way_bits(write) & bit(copy) == 0 {
            return None;
        }
        match self.nodes[copy].state {
            NodeState::Down => self.lose(write, copy),
            _ if !self.connected(coordinator, copy) => self.lose(write, copy),
            NodeState::Hung { .. } => {
                self.nodes[copy].queue.push(write);
                self.pending_of_mut(write)?.queued |= bit(copy);
                None
            }
            NodeState::Up => self.deliver(write, copy, true),
        }
    }

    /// The message of a write reaches a copy, but the coordinator never hears of it: the connection broke in
    /// between.
    pub fn arrive_unheard(&mut self, write: WriteId, copy: usize) -> Option<Answer> {
        if self.on_the_way_bits(write) & bit(copy) == 0 || self.nodes[copy].state != NodeState::Up {
            return self.lose(write, copy);
        }
        self.deliver(write, copy, false)
    }

    /// The message of a write never reaches a copy, and the coordinator notices.
    pub fn lose(&mut self, write: WriteId, copy: usize) -> Option<Answer> {
        let pending = self.pending_of_mut(write)?;
        pending.undelivered &= !bit(copy);
        pending.queued &= !bit(copy);
        pending.tally.replies[copy] = Reply::Failed;
        self.decide(write)
    }

    /// The coordinator waits no longer, as after [`QUORUM_TIMEOUT`](super::QUORUM_TIMEOUT). What is on its way
    /// may still arrive. `None` when it was answered before.
    pub fn time_out(&mut self, write: WriteId) -> Option<Answer> {
        let pending = self.pending_of_mut(write)?;
        if pending.answered || pending.unread {
            return None;
        }
        pending.answered = true;
        let answer = pending.tally.answer(true);
        self.release(write);
        answer
    }

    /// Applies a write to a copy that is up.
    pub(super) fn deliver(&mut self, write: WriteId, copy: usize, heard: bool) -> Option<Answer> {
        let mut pending = self.take(write)?;
        let slot = pending.slot;
        let reply = self.store(copy, slot, &pending.edit);
        pending.undelivered &= !bit(copy);
        pending.queued &= !bit(copy);
        if pending.tally.replies[copy] == Reply::Waiting {
            pending.tally.replies[copy] = if heard { reply } else { Reply::Failed };
        }
        self.pending[place(write)] = Some(pending);
        self.tidy(slot);
        self.decide(write)
    }

    /// The answer, when it is decided and the coordinator can give it.
    pub(super) fn decide(&mut self, write: WriteId) -> Option<Answer> {
        let coordinator = self.pending_of(write)?.coordinator;
        let up = self.nodes[coordinator].state == NodeState::Up;
        let pending = self.pending_of_mut(write)?;
        let mut answer = None;
        if !pending.answered && !pending.unread && up {
            answer = pending.tally.answer(false);
            pending.answered = answer.is_some();
        }
        self.release(write);
        answer
    }

    /// The coordinator, which hung, reads the request now; all copies get it at once.
    pub(super) fn read_request(&mut self, write: WriteId) -> Option<Answer> {
        let mut pending = self.take(write)?;
        pending.unread = false;
        self.ask_all(&mut pending);
        self.pending[place(write)] = Some(pending);
        let mut answer = self.decide(write);
        for copy in bits(self.on_the_way_bits(write)) {
            answer = answer.or(self.arrive(write, copy));
        }
        answer
    }

    /// The coordinator is gone, or the copy's node will not answer: how this changes each write on its way.
    pub(super) fn reconsider(&mut self, write: WriteId) -> Option<Answer> {
        let pending = self.pending_of(write)?;
        let (coordinator, queued) = (pending.coordinator, pending.queued);
        let gone = self.nodes[coordinator].state == NodeState::Down;
        let unreachable: Vec<usize> =
            bits(queued).filter(|copy| !self.is_asked(coordinator, *copy)).collect();
        let pending = self.pending_of_mut(write)?;
        for copy in unreachable {
            pending.tally.replies[copy] = Reply::Failed;
        }
        if gone {
            pending.answered = true;
            pending.unread = false;
        }
        self.decide(write)
    }

    /// All writes that are on their way.
    pub(super) fn under_way(&self) -> Vec<WriteId> {
        self.pending.iter().flatten().map(|pending| pending.id).collect()
    }

    /// The database that they were for is gone.
    pub(super) fn abandon_all(&mut self) {
        for node in &mut self.nodes {
            node.queue.clear();
        }
        self.free.clear();
        self.pending.clear();
    }

    fn store(&mut self, copy: usize, slot: Slot, edit: &Edit<B>) -> Reply {
        let node = &mut self.nodes[copy];
        let validates = self.validates || !node.is_loaded;
        let tree = &mut self.documents[slot].tree;
        match self.copies[copy].store(slot, tree, edit, validates) {
            Some(rev) => {
                node.is_loaded = true;
                Reply::Stored(rev)
            }
            None => Reply::Conflict,
        }
    }

    fn next_id(&mut self) -> WriteId {
        self.sent += 1;
        let place = self.free.pop().unwrap_or_else(|| {
            self.pending.push(None);
            let last = self.pending.len() - 1;
            u32::try_from(last).expect("fewer writes on their way than memory holds")
        });
        WriteId { place, number: self.sent }
    }

    /// Forgets a write that is over.
    fn release(&mut self, write: WriteId) {
        let over = self
            .pending_of(write)
            .is_some_and(|pending| pending.answered && pending.undelivered == 0);
        if over {
            self.pending[place(write)] = None;
            self.free.push(write.place);
        }
    }

    fn pending_of(&self, write: WriteId) -> Option<&Pending<B>> {
        self.pending.get(place(write))?.as_ref().filter(|pending| pending.id == write)
    }

    fn pending_of_mut(&mut self, write: WriteId) -> Option<&mut Pending<B>> {
        self.pending.get_mut(place(write))?.as_mut().filter(|pending| pending.id == write)
    }

    /// Takes a write out, to work with it beside the rest; it must be put back.
    fn take(&mut self, write: WriteId) -> Option<Pending<B>> {
        self.pending_of(write)?;
        self.pending[place(write)].take()
    }

    /// The writes that lie unread at this node, which hangs.
    pub(super) fn unread_at(&self, node: usize) -> Vec<WriteId> {
        let mut ids = self.under_way();
        ids.retain(|id| self.pending_of(*id).is_some_and(|p| p.unread && p.coordinator == node));
        ids
    }
}

pub(super) fn bit(copy: usize) -> u8 {
    1u8 << copy
}

/// The copies of a set, in order.
fn bits(set: u8) -> impl Iterator<Item = usize> {
    (0..COPIES_MAX).filter(move |copy| set & bit(*copy) != 0)
}

fn place(write: WriteId) -> usize {
    usize::try_from(write.place).expect("32 bits fit")
}

/// Fisher and Yates.
pub(super) fn shuffle<T>(all: &mut [T], draw: &mut impl FnMut(usize) -> usize) {
    for last in (1..all.len()).rev() {
        all.swap(last, draw(last + 1));
    }
}
