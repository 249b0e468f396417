//! The nodes of a cluster, the copies on them, and the documents that they share.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;

use super::copy::{Copy, Slot};
use super::revision::{BuildMixer, Rev};
use super::tree::{Content, Tree};
use super::trouble::{Node, NodeState};
use super::write::Pending;

/// As many copies as a database may have at most: sets of copies are kept as bits of a byte.
pub const COPIES_MAX: usize = 8;

/// One database on a cluster. `I` names a document, `B` is what one says.
///
/// Copy `k` is on node `k`; a cluster may have more nodes than the database has copies, which then only
/// coordinate.
#[derive(Debug, Clone)]
pub struct Cluster<I, B> {
    slots: HashMap<I, Slot, BuildMixer>,
    /// All ids ever used, for listings.
    pub(super) ordered: BTreeMap<I, Slot>,
    pub(super) documents: Vec<Document<I, B>>,
    pub(super) nodes: Vec<Node>,
    pub(super) copies: Vec<Copy>,
    /// Counts the databases under this name, and those that lost everything.
    pub(super) identity: u64,
    pub(super) pending: Vec<Option<Pending<B>>>,
    /// Places in `pending` that may be used again.
    pub(super) free: Vec<u32>,
    pub(super) validates: bool,
    /// Counts the writes.
    pub(super) sent: u64,
}

#[derive(Debug, Clone)]
pub(super) struct Document<I, B> {
    pub(super) id: I,
    pub(super) tree: Tree<B>,
}

impl<I: Clone + Eq + Ord + Hash, B: Clone + Eq + Hash> Cluster<I, B> {
    /// A cluster of so many nodes, all up, with an empty database of so many copies.
    ///
    /// # Panics
    ///
    /// When there is no copy, or there are more copies than nodes or than [`COPIES_MAX`].
    #[must_use]
    pub fn new(nodes: usize, copies: usize) -> Self {
        assert!(
            (1..=COPIES_MAX.min(nodes)).contains(&copies),
            "{copies} copies on {nodes} nodes: there must be 1 to {COPIES_MAX}, each on a node of its own"
        );
        Self {
            slots: HashMap::with_hasher(BuildMixer),
            ordered: BTreeMap::new(),
            documents: Vec::new(),
            nodes: (0..nodes).map(|_| Node::default()).collect(),
            copies: vec![Copy::default(); copies],
            identity: 1,
            pending: Vec::new(),
            free: Vec::new(),
            validates: false,
            sent: 0,
        }
    }

    /// One server with one copy.
    #[must_use]
    pub fn single() -> Self {
        Self::new(1, 1)
    }

    /// The same with a validation function in the database.
    ///
    /// Without one, a copy that does not have a document takes a write that names any parent; with one it refuses, as
    /// if another revision were there. So does a copy that was opened and has not yet taken a write: it does not
    /// know then that there is none.
    ///
    /// Source: `before_docs_update` in `couch_db.erl` of CouchDB 3.5.0, and measured on one node.
    #[must_use]
    pub fn validating(self) -> Self {
        Self { validates: true, ..self }
    }

    /// How many copies the database has: its `n`.
    #[must_use]
    pub fn copies(&self) -> usize {
        self.copies.len()
    }

    /// How many nodes there are.
    #[must_use]
    pub fn nodes(&self) -> usize {
        self.nodes.len()
    }

    /// More than half of the copies: the quorum of reads and writes that ask for none.
    #[must_use]
    pub fn majority(&self) -> usize {
        self.copies.len() / 2 + 1
    }

    /// The identity of the database, `instance_start_time`: another value under the same name is another
    /// database, and no sequence of the earlier one means anything in it.
    #[must_use]
    pub fn identity(&self) -> u64 {
        self.identity
    }

    /// All leaves that any copy has, also on nodes that do not answer: what will be there in the end. No
    /// client sees this.
    #[must_use]
    pub fn leaves_in_the_end(&self, id: &I) -> Vec<Rev> {
        let Some(slot) = self.slot(id) else { return Vec::new() };
        let tree = &self.documents[slot].tree;
        let mut leaves = Vec::new();
        for copy in &self.copies {
            for leaf in copy.leaves(slot) {
                tree.join(&mut leaves, *leaf);
            }
        }
        leaves.iter().map(|leaf| tree.rev(*leaf)).collect()
    }

    /// The leaves that one copy has, in no order.
    pub fn leaves_of_copy(&self, copy: usize, id: &I) -> impl Iterator<Item = Rev> + '_ {
        let found = self.slot(id).map(|slot| (&self.documents[slot].tree, slot));
        found.into_iter().flat_map(move |(tree, slot)| {
            self.copies[copy].leaves(slot).iter().map(|leaf| tree.rev(*leaf))
        })
    }

    /// Stores a revision that was made elsewhere, with its past, newest first: `new_edits=false`. All copies
    /// take it that this node reaches. False when the path is empty.
    pub fn merge(&mut self, at: usize, id: &I, path: &[Rev], body: Option<B>) -> bool {
        let slot = self.slot_or_new(id);
        let content = body.map_or(Content::Tombstone, Content::Body);
        let tree = &mut self.documents[slot].tree;
        let Some(place) = tree.graft(path, content) else { return false };
        for copy in 0..self.copies.len() {
            if self.nodes[copy].state == NodeState::Up && self.connected(at, copy) {
                self.copies[copy].merge(slot, &self.documents[slot].tree, place);
            }
        }
        true
    }

    pub(super) fn slot(&self, id: &I) -> Option<Slot> {
        self.slots.get(id).copied()
    }

    pub(super) fn slot_or_new(&mut self, id: &I) -> Slot {
        if let Some(slot) = self.slots.get(id) {
            return *slot;
        }
        let slot = self.documents.len();
        self.slots.insert(id.clone(), slot);
        self.ordered.insert(id.clone(), slot);
        self.documents.push(Document { id: id.clone(), tree: Tree::default() });
        slot
    }

    /// Forgets the past of a document where all copies have the same leaf alone.
    pub(super) fn tidy(&mut self, slot: Slot) {
        let tree = &mut self.documents[slot].tree;
        if !tree.is_long() {
            return;
        }
        let &[leaf] = self.copies[0].leaves(slot) else { return };
        if self.copies.iter().any(|copy| copy.leaves(slot) != [leaf]) {
            return;
        }
        let leaf = tree.forget_all_but(leaf);
        for copy in &mut self.copies {
            copy.moved(slot, leaf);
        }
    }

    /// The database is deleted and created again under its name.
    pub fn recreate(&mut self) {
        self.identity += 1;
        self.slots.clear();
        self.ordered.clear();
        self.documents.clear();
        self.copies.fill(Copy::default());
        for node in &mut self.nodes {
            node.met.clear();
            node.wiped = false;
            node.is_loaded = false;
        }
        self.abandon_all();
    }
}
