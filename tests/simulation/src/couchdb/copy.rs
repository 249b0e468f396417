//! One copy of the database: which leaves of each document it has, the check of a write, and its log.

use std::hash::Hash;

use super::revision::Rev;
use super::tree::{Content, Joined, NOWHERE, Place, Tree};

/// The index of a document in its cluster.
pub(super) type Slot = usize;

/// A log is tidied when it has so many entries for each document, most of them outdated then.
const ENTRIES_PER_DOCUMENT_MAX: usize = 4;

/// A log with fewer entries than this is not worth tidying.
const TIDY_FROM: usize = 256;

/// A write as a copy sees it.
#[derive(Debug, Clone)]
pub(super) struct Edit<B> {
    /// The leaf that it follows.
    pub(super) parent: Option<Rev>,
    /// `None`: a tombstone.
    pub(super) body: Option<B>,
    /// The hash of the new revision, where it is another's to say.
    pub(super) hash: Option<u64>,
}

#[derive(Debug, Clone, Default)]
struct Held {
    /// Sorted, so that equal sets are equal.
    leaves: Vec<Place>,
    /// When it changed last, in the numbers of this copy; 0: never.
    changed: u64,
}

/// One copy.
#[derive(Debug, Clone, Default)]
pub(super) struct Copy {
    documents: Vec<Held>,
    /// What changed, oldest first; an entry counts when its number is still the document's.
    log: Vec<(u64, Slot)>,
    last: u64,
}

impl Copy {
    pub(super) fn leaves(&self, slot: Slot) -> &[Place] {
        self.documents.get(slot).map_or(&[], |held| &held.leaves)
    }

    /// The number of its newest change.
    pub(super) fn last(&self) -> u64 {
        self.last
    }

    /// Checks a write against what this copy has, and stores it; `None` is a conflict.
    ///
    /// In a database that `validates`, a write must also follow something where the document is not there.
    pub(super) fn store<B: Clone + Hash>(
        &mut self,
        slot: Slot,
        tree: &mut Tree<B>,
        edit: &Edit<B>,
        validates: bool,
    ) -> Option<Rev> {
        let held = self.held(slot);
        let follows = match (edit.parent, tree.winner(&held.leaves)) {
            (None, None) => NOWHERE,
            // A copy that does not have the document takes the word of whoever writes.
            (Some(_), None) if validates => return None,
            (Some(parent), None) => tree.find_or_add(parent),
            (parent, Some(winner)) if tree.is_tombstone(winner) => {
                // A deleted document begins again without a revision, and its generations go on.
                if parent.is_some() || edit.body.is_none() {
                    return None;
                }
                winner
            }
            (None, Some(_)) => return None,
            // Any leaf may be followed, also a tombstone beside the winner.
            (Some(parent), Some(_)) => {
                held.leaves.iter().copied().find(|leaf| tree.rev(*leaf) == parent)?
            }
        };
        let parent = (follows != NOWHERE).then(|| tree.rev(follows));
        let rev = match edit.hash {
            Some(hash) => Rev { generation: Rev::generation_after(parent), hash },
            None => Rev::child(parent, edit.body.as_ref()),
        };
        let content = edit.body.clone().map_or(Content::Tombstone, Content::Body);
        let place = tree.child(follows, rev, content);
        let held = self.held(slot);
        match held.leaves.as_mut_slice() {
            [one] if *one == follows => *one = place,
            _ => drop(tree.join(&mut held.leaves, place)),
        }
        self.note(slot);
        Some(rev)
    }

    /// Takes a revision as it is, as replication does; false when it was known.
    pub(super) fn merge<B>(&mut self, slot: Slot, tree: &Tree<B>, new: Place) -> bool {
        let changed = tree.join(&mut self.held(slot).leaves, new) != Joined::Known;
        if changed {
            self.note(slot);
        }
        changed
    }

    /// Its only leaf has another place now; nothing else changed.
    pub(super) fn moved(&mut self, slot: Slot, leaf: Place) {
        let leaves = &mut self.held(slot).leaves;
        leaves.clear();
        leaves.push(leaf);
    }

    /// What changed after this number, oldest first; only those entries count that are the
    /// [latest](Copy::is_latest) of their document.
    pub(super) fn entries_after(&self, after: u64) -> &[(u64, Slot)] {
        let first = self.log.partition_point(|(number, _)| *number <= after);
        &self.log[first..]
    }

    pub(super) fn is_latest(&self, (number, slot): (u64, Slot)) -> bool {
        self.documents[slot].changed == number
    }

    fn held(&mut self, slot: Slot) -> &mut Held {
        if self.documents.len() <= slot {
            self.documents.resize_with(slot + 1, Held::default);
        }
        &mut self.documents[slot]
    }

    fn note(&mut self, slot: Slot) {
        self.last += 1;
        self.documents[slot].changed = self.last;
        let limit = TIDY_FROM.max(self.documents.len() * ENTRIES_PER_DOCUMENT_MAX);
        if self.log.len() >= limit {
            let documents = &self.documents;
            self.log.retain(|(number, slot)| documents[*slot].changed == *number);
        }
        self.log.push((self.last, slot));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edit(parent: Option<Rev>, body: Option<u8>) -> Edit<u8> {
        Edit { parent, body, hash: None }
    }

    #[test]
    fn a_copy_checks_as_couchdb_does() {
        let (mut copy, mut tree) = (Copy::default(), Tree::default());
        let mut store = |parent, body| copy.store(0, &mut tree, &edit(parent, body), true);
        let strange = Rev { generation: 1, hash: 7 };
        assert_eq!(store(Some(strange), Some(1)), None, "a parent that nobody has");
        let first = store(None, Some(1)).unwrap();
        assert_eq!(store(None, Some(1)), None, "the same again");
        let second = store(Some(first), Some(2)).unwrap();
        assert_eq!(store(Some(first), Some(3)), None, "a stale parent");
        let gone = store(Some(second), None).unwrap();
        assert_eq!(gone.generation, 3);
        assert_eq!(store(Some(gone), Some(4)), None, "a deleted document begins without a parent");
        assert_eq!(store(None, None), None, "it is deleted already");
        let again = store(None, Some(1)).unwrap();
        assert_eq!(again, Rev::child(Some(gone), Some(&1u8)));
    }

    #[test]
    fn a_copy_without_the_document_takes_what_follows_the_unknown() {
        let (mut copy, mut tree) = (Copy::default(), Tree::default());
        let strange = Rev { generation: 3, hash: 7 };
        let rev = copy.store(0, &mut tree, &edit(Some(strange), Some(1)), false).unwrap();
        assert_eq!(rev, Rev::child(Some(strange), Some(&1u8)));
        assert_eq!(copy.store(0, &mut tree, &edit(Some(strange), Some(2)), false), None);
        let told = tree.graft(&[strange], Content::Body(9)).unwrap();
        assert!(!copy.merge(0, &tree, told), "it is the past of what is there");
    }

    #[test]
    fn a_leaf_beside_the_winner_may_be_followed() {
        let (mut copy, mut tree) = (Copy::default(), Tree::default());
        let low = tree.graft(&[Rev { generation: 1, hash: 1 }], Content::Body(1)).unwrap();
        let high = tree.graft(&[Rev { generation: 2, hash: 1 }], Content::Body(2)).unwrap();
        assert!(copy.merge(0, &tree, low) && copy.merge(0, &tree, high));
        assert!(!copy.merge(0, &tree, low));
        let parent = Some(tree.rev(low));
        let gone = copy.store(0, &mut tree, &edit(parent, None), true).unwrap();
        let leaves: Vec<Rev> = copy.leaves(0).iter().map(|leaf| tree.rev(*leaf)).collect();
        assert_eq!(leaves.len(), 2);
        assert!(leaves.contains(&gone) && leaves.contains(&tree.rev(high)));
    }

    #[test]
    fn the_log_has_each_document_once_however_often_it_changed() {
        let mut copy = Copy::default();
        let mut trees: Vec<Tree<u32>> = vec![Tree::default(); 3];
        let mut revs = [None; 3];
        for round in 0..3_000u32 {
            let slot = usize::try_from(round % 3).unwrap();
            let edit = Edit { parent: revs[slot], body: Some(round), hash: None };
            revs[slot] = copy.store(slot, &mut trees[slot], &edit, true);
            assert!(revs[slot].is_some());
        }
        let changes = |after: u64| {
            let entries = copy.entries_after(after).iter().copied();
            entries.filter(|entry| copy.is_latest(*entry)).collect::<Vec<_>>()
        };
        assert_eq!(changes(0), [(2_998, 0), (2_999, 1), (3_000, 2)]);
        assert_eq!(changes(2_999), [(3_000, 2)]);
        assert_eq!(changes(3_000), []);
        assert!(copy.log.len() <= TIDY_FROM, "{}", copy.log.len());
    }
}
