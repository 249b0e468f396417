//! What replication reads: the leaves of a document with their pasts, as `open_revs=all&revs=true` tells them.
//!
//! It is stored elsewhere by [`Cluster::merge`], which checks nothing: revision trees grow together, whatever each of the
//! two sides decided.

use std::hash::Hash;

use super::cluster::Cluster;
use super::read::Read;
use super::revision::Rev;

/// A leaf of a document as replication carries it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Carried<B> {
    /// Its revisions as far as they are known, the newest first, generations descending by one.
    pub path: Vec<Rev>,
    /// What it says; `None` for a tombstone.
    pub body: Option<B>,
}

impl<I: Clone + Eq + Ord + Hash, B: Clone + Eq + Hash> Cluster<I, B> {
    /// All leaves of a document, tombstones too, as the copy nearest to this node has them.
    pub fn carry(&self, at: usize, id: &I) -> Read<Vec<Carried<B>>> {
        self.nearest_copy(at).map(|copy| {
            let Some(slot) = self.slot(id) else { return Vec::new() };
            let tree = &self.documents[slot].tree;
            let leaves = self.copies[copy].leaves(slot).iter();
            leaves
                .map(|leaf| Carried { path: tree.path(*leaf), body: tree.body(*leaf).cloned() })
                .collect()
        })
    }

    /// Whether any copy has, or has had, this revision of a document.
    #[must_use]
    pub fn knows(&self, id: &I, rev: Rev) -> bool {
        self.slot(id).is_some_and(|slot| self.documents[slot].tree.has_node(rev))
    }
}

#[cfg(test)]
mod tests {
    use super::super::Write;
    use super::*;

    fn carry(from: &Cluster<u8, u8>, to: &mut Cluster<u8, u8>) {
        for carried in from.carry(0, &1).answer().unwrap() {
            assert!(to.merge(0, &1, &carried.path, carried.body));
        }
    }

    fn put(cluster: &mut Cluster<u8, u8>, parent: Option<Rev>, body: u8) -> Rev {
        let sent = cluster.write_now(0, Write::put(1, parent, body, 2));
        sent.answer().and_then(super::super::Answer::stored).expect("nobody else writes")
    }

    #[test]
    fn two_clusters_that_decided_apart_have_both_leaves_in_the_end() {
        let (mut here, mut there) = (Cluster::new(3, 3), Cluster::single());
        let first = put(&mut here, None, 1);
        carry(&here, &mut there);
        let (mine, other) = (put(&mut here, Some(first), 2), put(&mut there, Some(first), 3));
        assert!(!here.knows(&1, other) && here.knows(&1, first));
        for _ in 0..2 {
            carry(&here, &mut there);
            carry(&there, &mut here);
        }
        let mut both = [mine, other];
        both.sort_unstable();
        for cluster in [&here, &there] {
            let mut leaves = cluster.leaves_in_the_end(&1);
            leaves.sort_unstable();
            assert_eq!(leaves, both);
        }
    }

    #[test]
    fn what_was_carried_is_followed_by_what_comes_of_it() {
        let (mut here, mut there) = (Cluster::single(), Cluster::single());
        let first = put(&mut here, None, 1);
        carry(&here, &mut there);
        let second = put(&mut here, Some(first), 2);
        assert_eq!(
            there.write_now(0, Write::delete(1, first, 1)).answer().unwrap().stored(),
            Some(Rev::child(Some(first), None::<&u8>))
        );
        carry(&there, &mut here);
        carry(&here, &mut there);
        let [mut ours, mut theirs] = [&here, &there].map(|cluster| cluster.leaves_in_the_end(&1));
        ours.sort_unstable();
        theirs.sort_unstable();
        assert_eq!((ours.len(), ours), (2, theirs));
        let alive = there.get(0, &1, 1, |_| 0).answer().flatten().map(|leaf| leaf.rev);
        assert_eq!(alive, Some(second));
    }
}
