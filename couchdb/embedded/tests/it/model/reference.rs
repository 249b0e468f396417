//! The model: revisions with their parents, and the rules of CouchDB written down as plainly as they are said.
//!
//! Source: CouchDB documentation, "Replication and conflict model".

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

/// A revision whose hash has 32 hexadecimal digits: its text orders as its bytes do.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Revision {
    pub(super) generation: u64,
    pub(super) hash: String,
}

impl Revision {
    pub(super) fn read(text: &str) -> Revision {
        let (generation, hash) = text.split_once('-').unwrap();
        Revision { generation: generation.parse().unwrap(), hash: hash.to_owned() }
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.generation, self.hash)
    }
}

/// What is known of a revision.
#[derive(Clone, Debug)]
pub(super) struct Node {
    parent: Option<Revision>,
    deleted: bool,
    pub(super) attachments: BTreeSet<String>,
}

/// A document: all its revisions.
#[derive(Clone, Debug, Default)]
pub(super) struct Document {
    nodes: BTreeMap<Revision, Node>,
}

impl Document {
    /// Adds a revision; one that is there stays as it is. A child of an attachment's edit keeps the others.
    pub(super) fn add(
        &mut self,
        revision: Revision,
        parent: Option<Revision>,
        deleted: bool,
    ) -> &mut Node {
        self.nodes.entry(revision).or_insert(Node { parent, deleted, attachments: BTreeSet::new() })
    }

    pub(super) fn revisions(&self) -> Vec<Revision> {
        self.nodes.keys().cloned().collect()
    }

    fn is_leaf(&self, revision: &Revision) -> bool {
        self.nodes.values().all(|node| node.parent.as_ref() != Some(revision))
    }

    /// The leaves whose tombstone says so, greatest first.
    pub(super) fn leaves_where(&self, wanted: impl Fn(bool) -> bool) -> Vec<Revision> {
        let leaves = self
            .nodes
            .iter()
            .rev()
            .filter(|(revision, node)| self.is_leaf(revision) && wanted(node.deleted));
        leaves.map(|(revision, _)| revision.clone()).collect()
    }

    /// Removes the leaves among these, with what led to them alone; says which those were.
    pub(super) fn purge(&mut self, named: &[Revision]) -> Vec<Revision> {
        let (purged, stay): (Vec<_>, Vec<_>) =
            self.leaves_where(|_| true).into_iter().partition(|leaf| named.contains(leaf));
        let kept: BTreeSet<Revision> = stay.iter().flat_map(|leaf| self.path(leaf)).collect();
        self.nodes.retain(|revision, _| kept.contains(revision));
        purged
    }

    pub(super) fn inner(&self) -> Vec<Revision> {
        self.nodes.keys().filter(|revision| !self.is_leaf(revision)).cloned().collect()
    }

    pub(super) fn is_deleted(&self, revision: &Revision) -> bool {
        self.nodes[revision].deleted
    }

    /// A living leaf before every tombstone; of these the deepest, of these the greatest hash.
    pub(super) fn winner(&self) -> Option<Revision> {
        let of = |deleted: bool| self.leaves_where(move |is| is == deleted).into_iter().next();
        of(false).or_else(|| of(true))
    }

    /// The revision and its past, newest first.
    pub(super) fn path(&self, revision: &Revision) -> Vec<Revision> {
        let mut path = vec![revision.clone()];
        while let Some(parent) = path.last().and_then(|oldest| self.nodes[oldest].parent.clone()) {
            path.push(parent);
        }
        path
    }

    /// Edits of attachments carry the others on; an edit of the document that names none drops them.
    pub(super) fn attachments(&self, revision: &Revision) -> BTreeSet<String> {
        let mut names = BTreeSet::new();
        for revision in self.path(revision) {
            let node = &self.nodes[&revision];
            if node.attachments.is_empty() {
                break;
            }
            names.extend(node.attachments.iter().cloned());
        }
        names
    }
}

/// A database.
#[derive(Clone, Debug)]
pub(super) struct Model {
    pub(super) documents: Vec<Document>,
    /// The documents in the order of their last change.
    order: Vec<usize>,
    /// How many purges of documents there were.
    pub(super) purges: u64,
}

impl Model {
    pub(super) fn new(documents: usize) -> Model {
        Model { documents: vec![Document::default(); documents], order: Vec::new(), purges: 0 }
    }

    /// A document changed: it moves to the end of the feed.
    pub(super) fn touch(&mut self, at: usize) {
        self.order.retain(|other| *other != at);
        self.order.push(at);
    }

    /// Purges revisions of a document. When none of them was a leaf nothing has changed.
    pub(super) fn purge(&mut self, at: usize, named: &[Revision]) -> Vec<Revision> {
        self.purges += 1;
        let purged = self.documents[at].purge(named);
        if self.documents[at].winner().is_none() {
            self.order.retain(|other| *other != at);
        } else if !purged.is_empty() {
            self.touch(at);
        }
        purged
    }

    /// Rows of the feed: id, leaves with the winner first, whether the winner is a tombstone.
    pub(super) fn feed(&self) -> Vec<(String, Vec<String>, bool)> {
        let row = |at: &usize| {
            let document = &self.documents[*at];
            let winner = document.winner().expect("what changed is there");
            let mut others = document.leaves_where(|_| true);
            others.retain(|leaf| *leaf != winner);
            let mut others: Vec<_> = others.iter().map(Revision::to_string).collect();
            others.sort();
            let leaves = std::iter::once(winner.to_string()).chain(others).collect();
            (at.to_string(), leaves, document.is_deleted(&winner))
        };
        self.order.iter().map(row).collect()
    }

    /// The documents whose winner is no tombstone, by id.
    pub(super) fn living(&self) -> Vec<(String, Revision)> {
        let documents = self.documents.iter().enumerate();
        let winners = documents.filter_map(|(at, document)| {
            let winner = document.winner()?;
            (!document.is_deleted(&winner)).then(|| (at.to_string(), winner))
        });
        winners.collect()
    }
}
