//! The revision tree of one document: what happened to it, and which leaf wins.
//!
//! Pure: values in, values out. A tree may have several roots, because stemming forgets the common
//! past and because replication may bring a branch whose past is unknown here.

use super::Revision;
use std::collections::{HashMap, HashSet};

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

/// What was taken away from a tree.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Pruned {
    /// The leaves that are gone.
    pub(crate) revisions: Vec<Revision>,
    /// The bodies that are no longer pointed to.
    pub(crate) bodies: Vec<BodyKey>,
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

    /// The leaf that a revision with this path (newest first) grew out of, when the newest revision of
    /// the path that is known lies further back than `limit` revisions.
    pub(crate) fn leaf_behind(&self, path: &[Revision], limit: usize) -> Option<Revision> {
        if path.len() <= limit {
            return None;
        }
        let known: HashSet<&Revision> = self.nodes.iter().map(|node| &node.revision).collect();
        let place = path.iter().position(|revision| known.contains(revision))?;
        path.get(place).filter(|found| place >= limit && self.is_leaf(found)).cloned()
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
    pub(crate) fn stem(&mut self, limit: usize) -> Vec<BodyKey> {
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

    /// Takes away those of the revisions that are leaves, with what led to them and to no other leaf.
    pub(crate) fn prune(&mut self, revisions: &[Revision]) -> Pruned {
        let leaves: Vec<(Revision, bool)> = self
            .leaves()
            .into_iter()
            .map(|leaf| (leaf.revision.clone(), revisions.contains(&leaf.revision)))
            .collect();
        let mut kept = vec![false; self.nodes.len()];
        for (leaf, _) in leaves.iter().filter(|(_, pruned)| !pruned) {
            let mut next = self.index(leaf);
            while let Some(index) = next.filter(|index| !kept[*index]) {
                kept[index] = true;
                next = self.nodes[index].parent;
            }
        }
        let revisions = leaves.into_iter().filter(|(_, pruned)| *pruned);
        let revisions: Vec<Revision> = revisions.map(|(leaf, _)| leaf).collect();
        let bodies = if revisions.is_empty() { Vec::new() } else { self.retain(&kept) };
        Pruned { revisions, bodies }
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

    /// How many bodies are those of inner revisions: what a compaction would drop.
    pub(crate) fn inner_bodies(&self) -> usize {
        let mut inner = vec![false; self.nodes.len()];
        for parent in self.nodes.iter().filter_map(|node| node.parent) {
            inner[parent] = true;
        }
        let nodes = self.nodes.iter().zip(inner);
        nodes.filter(|(node, inner)| *inner && node.body.is_some()).count()
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
    fn a_leaf_far_behind_is_found() {
        let tree = tree(&["2-b 1-a", "2-c 1-a"]);
        let found =
            |path_: &str, limit| tree.leaf_behind(&path(path_), limit).map(|leaf| leaf.to_string());
        assert_eq!(found("5-e 4-d 3-c 2-b 1-a", 3).as_deref(), Some("2-b"));
        assert_eq!(found("5-e 4-d 3-c 2-b 1-a", 4), None, "grafting meets it");
        assert_eq!(found("4-e 3-d 2-x 1-a", 2), None, "no leaf");
        assert_eq!(found("4-e 3-d 2-x 1-x", 2), None);
    }

    #[test]
    fn old_bodies_are_given_up_one_by_one() {
        let mut tree = tree(&["1-a", "2-b 1-a", "3-c 2-b"]);
        assert_eq!(tree.drop_old_bodies(&"3-c".parse().unwrap(), 1), [1]);
        assert_eq!(tree.drop_old_bodies(&"3-c".parse().unwrap(), 1), [0; 0]);
        assert_eq!(tree.bodies().collect::<Vec<_>>(), [2, 3]);
        assert_eq!(tree.drop_inner_bodies(), [2]);
    }

    #[test]
    fn a_pruned_leaf_takes_along_what_led_to_it_alone() {
        let mut tree = tree(&["1-a", "2-b 1-a", "2-c 1-a", "3-d 2-c"]);
        let prune = |tree: &mut Tree, text: &str| tree.prune(&path(text));
        assert_eq!(prune(&mut tree, "2-c 9-x"), Pruned::default(), "only leaves are pruned");
        let pruned = prune(&mut tree, "3-d");
        assert_eq!((pruned.revisions.len(), pruned.bodies.len()), (1, 2));
        assert_eq!((leaves(&tree), tree.nodes().len()), (vec![String::from("2-b")], 2));
        assert_eq!(prune(&mut tree, "2-b").bodies.len(), 2);
        assert!(tree.winner().is_none() && tree.nodes().is_empty());
    }
}
