//! The revision tree of one document: what happened to it, and which leaf wins.
//!
//! Pure: values in, values out. A tree may have several roots, because stemming forgets the common
//! past and because replication may bring a branch whose past is unknown here.

use super::Revision;
use std::collections::HashMap;

/// Where the body of a revision lies in the store.
pub(crate) type BodyKey = i64;

/// One revision of the document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Node {
    pub(crate) revision: Revision,
    /// The index of the edit before it, where it is known.
    pub(crate) parent: Option<usize>,
    /// The revision is a tombstone.
    pub(crate) deleted: bool,
    /// None when the body was never here or was dropped.
    pub(crate) body: Option<BodyKey>,
}

/// All known revisions of a document.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tree {
    nodes: Vec<Node>,
}

impl Tree {
    /// The tree of these nodes, or None when a parent is missing or not one generation older.
    pub(crate) fn from_nodes(nodes: Vec<Node>) -> Option<Tree> {
        let sound = nodes.iter().all(|node| match node.parent {
            None => true,
            Some(parent) => nodes.get(parent).is_some_and(|parent| {
                parent.revision.generation.checked_add(1) == Some(node.revision.generation)
            }),
        });
        sound.then_some(Tree { nodes })
    }

    pub(crate) fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    pub(crate) fn find(&self, revision: &Revision) -> Option<&Node> {
        self.nodes.iter().find(|node| node.revision == *revision)
    }

    fn index(&self, revision: &Revision) -> Option<usize> {
        self.nodes.iter().position(|node| node.revision == *revision)
    }

    /// The leaves, the winner first.
    ///
    /// A leaf that is not deleted comes before every tombstone; then the higher generation, then the
    /// greater hash. Every replica computes the same order from the same leaves.
    /// Source: CouchDB documentation, "Replication and conflict model".
    pub(crate) fn leaves(&self) -> Vec<&Node> {
        let mut is_leaf = vec![true; self.nodes.len()];
        for node in &self.nodes {
            if let Some(parent) = node.parent {
                is_leaf[parent] = false;
            }
        }
        let mut leaves: Vec<&Node> = self
            .nodes
            .iter()
            .zip(&is_leaf)
            .filter_map(|(node, is_leaf)| is_leaf.then_some(node))
            .collect();
        leaves.sort_by(|a, b| a.deleted.cmp(&b.deleted).then_with(|| b.revision.cmp(&a.revision)));
        leaves
    }

    /// The leaf that stands for the document; None for an empty tree.
    pub(crate) fn winner(&self) -> Option<&Node> {
        self.leaves().first().copied()
    }

    /// The leaves beside the winner that are tombstones, or that are not, greatest first.
    pub(crate) fn conflicts(&self, deleted: bool) -> Vec<String> {
        let others = self.leaves().into_iter().skip(1).filter(|leaf| leaf.deleted == deleted);
        others.map(|leaf| leaf.revision.to_string()).collect()
    }

    /// Whether grafting this revision would change nothing: it is there with its body, or something
    /// newer already follows it.
    pub(crate) fn has(&self, revision: &Revision) -> bool {
        self.find(revision).is_some_and(|node| node.body.is_some() || !self.is_leaf(revision))
    }

    pub(crate) fn is_leaf(&self, revision: &Revision) -> bool {
        self.index(revision)
            .is_some_and(|index| self.nodes.iter().all(|node| node.parent != Some(index)))
    }

    /// The revision and its known past, newest first.
    pub(crate) fn path(&self, revision: &Revision) -> Vec<&Node> {
        let mut path = Vec::new();
        let mut next = self.index(revision);
        while let Some(index) = next {
            path.push(&self.nodes[index]);
            next = self.nodes[index].parent;
        }
        path
    }

    /// The leaves that grew out of this revision, or the revision itself when it is a leaf.
    pub(crate) fn leaves_after(&self, revision: &Revision) -> Vec<&Node> {
        let mut leaves = self.leaves();
        leaves
            .retain(|leaf| self.path(&leaf.revision).iter().any(|node| node.revision == *revision));
        leaves
    }

    /// Grafts `path` (newest first, generations descending by one) onto the tree.
    ///
    /// `body` and `deleted` belong to the newest revision, which the tree must not [have](Tree::has).
    /// Branches that come to be longer than `limit` revisions are stemmed; the bodies that are
    /// returned are no longer pointed to.
    pub(crate) fn graft(
        &mut self,
        path: &[Revision],
        deleted: bool,
        body: BodyKey,
        limit: usize,
    ) -> Vec<BodyKey> {
        let Some(newest) = path.first().filter(|newest| !self.has(newest)) else {
            return vec![body];
        };
        let mut child: Option<usize> = None;
        for revision in path {
            let known = self.index(revision);
            if let Some(child) = child
                && let Some(parent) = self.nodes[child].parent
                && known != Some(parent)
            {
                // The tree knows another past of this revision; the first that was told stays. What
                // was told now must not be added: it would be a leaf without a body.
                break;
            }
            let index = known.unwrap_or_else(|| {
                self.nodes.push(Node {
                    revision: revision.clone(),
                    parent: None,
                    deleted: false,
                    body: None,
                });
                self.nodes.len() - 1
            });
            if let Some(child) = child {
                self.nodes[child].parent = Some(index);
            }
            child = Some(index);
        }
        if let Some(index) = self.index(newest) {
            self.nodes[index].deleted = deleted;
            self.nodes[index].body = Some(body);
        }
        self.stem(limit)
    }

    /// Forgets what lies more than `limit` revisions back from every leaf.
    fn stem(&mut self, limit: usize) -> Vec<BodyKey> {
        if self.nodes.len() <= limit {
            return Vec::new();
        }
        let mut kept = vec![false; self.nodes.len()];
        for leaf in self.leaves().iter().map(|leaf| leaf.revision.clone()).collect::<Vec<_>>() {
            let mut next = self.index(&leaf);
            for _ in 0..limit.max(1) {
                let Some(index) = next else { break };
                kept[index] = true;
                next = self.nodes[index].parent;
            }
        }
        self.retain(&kept)
    }

    fn retain(&mut self, kept: &[bool]) -> Vec<BodyKey> {
        let mut moved = HashMap::new();
        let mut forgotten = Vec::new();
        let mut nodes = Vec::new();
        for (index, node) in std::mem::take(&mut self.nodes).into_iter().enumerate() {
            if kept[index] {
                moved.insert(index, nodes.len());
                nodes.push(node);
            } else {
                forgotten.extend(node.body);
            }
        }
        for node in &mut nodes {
            node.parent = node.parent.and_then(|parent| moved.get(&parent).copied());
        }
        self.nodes = nodes;
        forgotten
    }

    /// Gives up the bodies of inner revisions that lie more than `kept` behind this leaf.
    ///
    /// CouchDB keeps old bodies until a compaction that somebody must ask for; here a document that
    /// is rewritten for ever stays small by itself.
    pub(crate) fn drop_old_bodies(&mut self, leaf: &Revision, kept: usize) -> Vec<BodyKey> {
        let mut dropped = Vec::new();
        let mut next = self.index(leaf);
        let mut distance = 0;
        while let Some(index) = next {
            if distance > kept {
                // Older ones were dropped when this one's child was written.
                match self.nodes[index].body.take() {
                    Some(body) => dropped.push(body),
                    None => break,
                }
            }
            distance += 1;
            next = self.nodes[index].parent;
        }
        dropped
    }

    /// Gives up the bodies of all inner revisions: what a compaction does.
    pub(crate) fn drop_inner_bodies(&mut self) -> Vec<BodyKey> {
        let mut inner = vec![false; self.nodes.len()];
        for parent in self.nodes.iter().filter_map(|node| node.parent) {
            inner[parent] = true;
        }
        let nodes = self.nodes.iter_mut().zip(inner).filter(|(_, inner)| *inner);
        nodes.filter_map(|(node, _)| node.body.take()).collect()
    }

    /// Every body that the tree still points to.
    pub(crate) fn bodies(&self) -> impl Iterator<Item = BodyKey> + '_ {
        self.nodes.iter().filter_map(|node| node.body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: usize = 1000;

    fn path(revisions: &str) -> Vec<Revision> {
        revisions.split(' ').map(|text| text.parse().unwrap()).collect()
    }

    /// A tree from lines such as "3-c 2-b 1-a" or "5-f!" (deleted).
    fn tree(branches: &[&str]) -> Tree {
        let mut tree = Tree::default();
        for (key, branch) in (1..).zip(branches) {
            let deleted = branch.ends_with('!');
            tree.graft(&path(branch.trim_end_matches('!')), deleted, key, LIMIT);
        }
        tree
    }

    fn leaves(tree: &Tree) -> Vec<String> {
        tree.leaves().iter().map(|leaf| leaf.revision.to_string()).collect()
    }

    #[test]
    fn the_winner_is_alive_then_deep_then_great() {
        for (branches, order) in [
            (&["1-aaa", "1-bbb", "1-abb"][..], &["1-bbb", "1-abb", "1-aaa"][..]),
            (&["2-aaa", "1-fff", "2-aab"], &["2-aab", "2-aaa", "1-fff"]),
            (&["10-001", "9-fff"], &["10-001", "9-fff"]),
            (&["5-fff!", "1-aaa"], &["1-aaa", "5-fff"]),
            (&["2-aaa!", "2-bbb!"], &["2-bbb", "2-aaa"]),
            (&["3-c 2-b 1-a", "3-d 2-b 1-a", "2-e 1-a!", "9-f!"], &["3-d", "3-c", "9-f", "2-e"]),
        ] {
            assert_eq!(leaves(&tree(branches)), order, "{branches:?}");
        }
    }

    #[test]
    fn a_branch_is_grafted_where_its_past_is_known() {
        let mut grown = tree(&["2-b 1-a"]);
        assert_eq!(grown.graft(&path("4-d 3-c 2-b"), false, 9, LIMIT), [0; 0]);
        assert_eq!(leaves(&grown), ["4-d"]);
        let known: Vec<_> =
            grown.path(&"4-d".parse().unwrap()).iter().map(|n| n.revision.to_string()).collect();
        assert_eq!(known, ["4-d", "3-c", "2-b", "1-a"]);
    }

    #[test]
    fn a_stemmed_past_is_learnt_again() {
        let mut tree = tree(&["3-c"]);
        tree.graft(&path("4-d 3-c 2-b 1-a"), false, 9, LIMIT);
        assert_eq!(tree.path(&"4-d".parse().unwrap()).len(), 4);
        assert_eq!(tree.nodes().len(), 4);
    }

    #[test]
    fn a_second_past_of_a_revision_is_not_taken() {
        let mut tree = tree(&["2-b 1-a"]);
        assert_eq!(tree.graft(&path("3-c 2-b 1-x"), false, 9, LIMIT), [0; 0]);
        assert_eq!(leaves(&tree), ["3-c"]);
        assert_eq!(tree.nodes().len(), 3);
    }

    #[test]
    fn a_revision_that_is_there_changes_nothing() {
        let mut tree = tree(&["2-b 1-a"]);
        let before = tree.clone();
        assert_eq!(tree.graft(&path("2-b 1-a"), false, 9, LIMIT), [9]);
        assert_eq!(tree.graft(&path("1-a"), false, 9, LIMIT), [9]);
        assert_eq!(tree, before);
    }

    #[test]
    fn stemming_forgets_what_is_far_from_every_leaf() {
        let mut tree = tree(&["1-a"]);
        tree.graft(&path("2-b 1-a"), false, 2, 2);
        assert_eq!(tree.graft(&path("3-c 2-b"), false, 3, 2), [1]);
        assert_eq!(tree.path(&"3-c".parse().unwrap()).len(), 2);
    }

    #[test]
    fn old_bodies_are_given_up_one_by_one() {
        let mut tree = tree(&["1-a", "2-b 1-a", "3-c 2-b"]);
        assert_eq!(tree.drop_old_bodies(&"3-c".parse().unwrap(), 1), [1]);
        assert_eq!(tree.drop_old_bodies(&"3-c".parse().unwrap(), 1), [0; 0]);
        assert_eq!(tree.bodies().collect::<Vec<_>>(), [2, 3]);
        assert_eq!(tree.drop_inner_bodies(), [2]);
    }
}
