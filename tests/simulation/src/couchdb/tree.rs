//! What one document went through: all its revisions, known once for all copies of it.
//!
//! A revision's past is the same wherever it is known, so copies share it and differ only in their
//! leaves ([`copy`](super::copy)). A [`Place`] is a revision's index here.

use super::revision::Rev;

/// The index of a revision in its tree.
pub(super) type Place = u32;

/// Stands for no place.
pub(super) const NOWHERE: Place = Place::MAX;

/// A tree with fewer revisions than this is not worth tidying.
const TIDY_FROM: usize = 64;

/// How much of a leaf's past stays when the rest is forgotten. Nothing in a database of jobs is told of what
/// lies further back; CouchDB's own limit is 1000.
const PAST_KEPT: usize = 16;

/// What a revision says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Content<B> {
    /// Only its name was told, as the past of another.
    Unknown,
    /// The document is deleted.
    Tombstone,
    /// This.
    Body(B),
}

#[derive(Debug, Clone)]
struct Node<B> {
    rev: Rev,
    parent: Place,
    first_child: Place,
    next_sibling: Place,
    content: Content<B>,
}

/// All revisions of a document.
#[derive(Debug, Clone)]
pub(super) struct Tree<B> {
    nodes: Vec<Node<B>>,
    first_root: Place,
}

/// How a revision was taken into a set of leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Joined {
    /// It was there, or something that follows it.
    Known,
    /// It follows one of the leaves, or is the first.
    Grown,
    /// It stands beside the others.
    Branched,
}

impl<B> Default for Tree<B> {
    fn default() -> Self {
        Self { nodes: Vec::new(), first_root: NOWHERE }
    }
}

impl<B> Tree<B> {
    fn node(&self, place: Place) -> &Node<B> {
        &self.nodes[index(place)]
    }

    pub(super) fn rev(&self, place: Place) -> Rev {
        self.node(place).rev
    }

    pub(super) fn body(&self, place: Place) -> Option<&B> {
        match &self.node(place).content {
            Content::Body(body) => Some(body),
            Content::Tombstone | Content::Unknown => None,
        }
    }

    pub(super) fn is_tombstone(&self, place: Place) -> bool {
        self.body(place).is_none()
    }

    /// The leaf that stands for the document: alive before deleted, then the higher generation, then the
    /// greater hash.
    pub(super) fn winner(&self, leaves: &[Place]) -> Option<Place> {
        match leaves {
            [one] => Some(*one),
            _ => leaves
                .iter()
                .copied()
                .max_by_key(|leaf| (!self.is_tombstone(*leaf), self.rev(*leaf))),
        }
    }

    /// The revision below this parent (or among the roots); it is added when it is new.
    pub(super) fn child(&mut self, parent: Place, rev: Rev, content: Content<B>) -> Place {
        let mut next =
            if parent == NOWHERE { self.first_root } else { self.node(parent).first_child };
        while next != NOWHERE {
            if self.node(next).rev == rev {
                let node = &mut self.nodes[index(next)];
                if matches!(node.content, Content::Unknown) {
                    node.content = content;
                }
                return next;
            }
            next = self.node(next).next_sibling;
        }
        let place = self.add(rev, content);
        self.hang(place, parent);
        place
    }

    fn add(&mut self, rev: Rev, content: Content<B>) -> Place {
        let place = Place::try_from(self.nodes.len()).expect("fewer revisions than memory holds");
        let (parent, first_child, next_sibling) = (NOWHERE, NOWHERE, NOWHERE);
        self.nodes.push(Node { rev, parent, first_child, next_sibling, content });
        place
    }

    /// Puts a revision below its parent, which it did not have so far.
    fn hang(&mut self, place: Place, parent: Place) {
        let before =
            if parent == NOWHERE { self.first_root } else { self.node(parent).first_child };
        let node = &mut self.nodes[index(place)];
        node.parent = parent;
        node.next_sibling = before;
        if parent == NOWHERE {
            self.first_root = place;
        } else {
            self.nodes[index(parent)].first_child = place;
        }
    }

    /// Takes a root out of the list of roots: its past was told.
    fn unroot(&mut self, place: Place) {
        let after = self.node(place).next_sibling;
        if self.first_root == place {
            self.first_root = after;
            return;
        }
        let mut next = self.first_root;
        while next != NOWHERE {
            let sibling = self.node(next).next_sibling;
            if sibling == place {
                self.nodes[index(next)].next_sibling = after;
                return;
            }
            next = sibling;
        }
    }

    fn find(&self, rev: Rev) -> Option<Place> {
        let found = self.nodes.iter().position(|node| node.rev == rev)?;
        Place::try_from(found).ok()
    }

    /// The place of a revision, of which only the name is known when it is new.
    pub(super) fn find_or_add(&mut self, rev: Rev) -> Place {
        self.find(rev).unwrap_or_else(|| {
            let place = self.add(rev, Content::Unknown);
            self.hang(place, NOWHERE);
            place
        })
    }

    /// Adds a revision that was made elsewhere with its past, newest first, generations descending by one.
    /// Where another past is known, the first that was told stays. `None` for an empty path.
    pub(super) fn graft(&mut self, path: &[Rev], content: Content<B>) -> Option<Place> {
        let mut content = Some(content);
        let mut newest = None;
        let mut child = NOWHERE;
        for rev in path {
            let known = self.find(*rev);
            if child != NOWHERE && self.node(child).parent != NOWHERE {
                child = self.node(child).parent;
                if known == Some(child) {
                    continue;
                }
                break;
            }
            let given = content.take().unwrap_or(Content::Unknown);
            let place = match known {
                Some(place) => {
                    let node = &mut self.nodes[index(place)];
                    if newest.is_none() && matches!(node.content, Content::Unknown) {
                        node.content = given;
                    }
                    place
                }
                None => {
                    let place = self.add(*rev, given);
                    self.hang(place, NOWHERE);
                    place
                }
            };
            if child != NOWHERE {
                self.unroot(child);
                self.hang(child, place);
            }
            newest.get_or_insert(place);
            child = place;
        }
        newest
    }

    /// A revision and its past as far as it is known, the newest first.
    pub(super) fn path(&self, leaf: Place) -> Vec<Rev> {
        let mut path = Vec::new();
        let mut next = leaf;
        while next != NOWHERE {
            path.push(self.rev(next));
            next = self.node(next).parent;
        }
        path
    }

    /// Whether the revision is anywhere in it.
    pub(super) fn has_node(&self, rev: Rev) -> bool {
        self.find(rev).is_some()
    }

    /// Whether this leaf is the revision, or follows it.
    fn follows(&self, leaf: Place, earlier: Place) -> bool {
        let generation = self.rev(earlier).generation;
        let mut next = leaf;
        while next != NOWHERE && self.rev(next).generation > generation {
            next = self.node(next).parent;
        }
        next == earlier
    }

    /// Takes a revision into a set of leaves, as replication does. The set stays sorted.
    pub(super) fn join(&self, leaves: &mut Vec<Place>, new: Place) -> Joined {
        let before = leaves.len();
        // Even one that is there may have got a past meanwhile.
        leaves.retain(|leaf| *leaf == new || !self.follows(new, *leaf));
        let grown = before == 0 || leaves.len() < before;
        if leaves.iter().any(|leaf| self.follows(*leaf, new)) {
            return if grown { Joined::Grown } else { Joined::Known };
        }
        let place = leaves.partition_point(|leaf| *leaf < new);
        leaves.insert(place, new);
        if grown { Joined::Grown } else { Joined::Branched }
    }

    /// Whether one of these leaves is the revision or follows it.
    #[cfg(test)]
    pub(super) fn has(&self, leaves: &[Rev], rev: Rev) -> bool {
        let Some(place) = self.find(rev) else { return false };
        leaves.iter().filter_map(|leaf| self.find(*leaf)).any(|leaf| self.follows(leaf, place))
    }

    /// Whether forgetting the past is worth the work.
    pub(super) fn is_long(&self) -> bool {
        self.nodes.len() >= TIDY_FROM
    }

    /// Forgets all but this leaf, which is the only one of all copies, and the names of its last ancestors.
    /// Gives its new place.
    pub(super) fn forget_all_but(&mut self, leaf: Place) -> Place {
        let mut path = Vec::with_capacity(PAST_KEPT);
        let mut next = leaf;
        while next != NOWHERE && path.len() < PAST_KEPT {
            path.push(self.rev(next));
            next = self.node(next).parent;
        }
        let content = std::mem::replace(&mut self.nodes[index(leaf)].content, Content::Unknown);
        self.nodes.clear();
        self.first_root = NOWHERE;
        let mut place = NOWHERE;
        for (distance, rev) in path.iter().enumerate().rev() {
            if distance > 0 {
                place = self.child(place, *rev, Content::Unknown);
            }
        }
        self.child(place, path[0], content)
    }
}

fn index(place: Place) -> usize {
    usize::try_from(place).expect("32 bits fit")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rev(generation: u32, hash: u64) -> Rev {
        Rev { generation, hash }
    }

    fn joined(tree: &Tree<u8>, places: &[Place]) -> Vec<Rev> {
        let mut leaves = Vec::new();
        for place in places {
            tree.join(&mut leaves, *place);
        }
        leaves.iter().map(|leaf| tree.rev(*leaf)).collect()
    }

    #[test]
    fn a_revision_that_follows_takes_the_place_of_its_past() {
        let mut tree = Tree::default();
        let first = tree.child(NOWHERE, rev(1, 1), Content::Body(1));
        let second = tree.child(first, rev(2, 1), Content::Body(2));
        let other = tree.child(first, rev(2, 2), Content::Body(3));
        assert_eq!(tree.child(first, rev(2, 1), Content::Body(2)), second);
        assert_eq!(joined(&tree, &[first, second]), [rev(2, 1)]);
        assert_eq!(joined(&tree, &[second, first]), [rev(2, 1)]);
        assert_eq!(joined(&tree, &[second, other, first]), [rev(2, 1), rev(2, 2)]);
    }

    #[test]
    fn the_winner_is_alive_then_deep_then_great() {
        let mut tree = Tree::default();
        let low = tree.child(NOWHERE, rev(1, 5), Content::Body(1));
        let great = tree.child(NOWHERE, rev(1, 9), Content::Body(1));
        let deep = tree.child(great, rev(2, 0), Content::Body(1));
        let dead = tree.child(deep, rev(3, 0), Content::Tombstone);
        for (leaves, winner) in
            [(&[low, great][..], great), (&[low, deep], deep), (&[low, dead], low), (&[dead], dead)]
        {
            assert_eq!(tree.winner(leaves), Some(winner), "{leaves:?}");
        }
        assert_eq!(tree.winner(&[]), None);
    }

    #[test]
    fn a_past_that_is_told_later_joins_what_is_there() {
        let mut tree = Tree::default();
        let newest = tree.graft(&[rev(3, 1)], Content::Body(3)).unwrap();
        let before = tree.graft(&[rev(2, 1), rev(1, 1)], Content::Body(2)).unwrap();
        assert_eq!(joined(&tree, &[newest, before]).len(), 2);
        assert_eq!(tree.graft(&[rev(3, 1), rev(2, 1)], Content::Body(9)), Some(newest));
        assert_eq!(joined(&tree, &[newest, before]), [rev(3, 1)]);
        let mut as_they_were = vec![newest.min(before), newest.max(before)];
        assert_eq!(tree.join(&mut as_they_were, newest), Joined::Grown);
        assert_eq!(as_they_were, [newest]);
        assert_eq!(tree.body(newest), Some(&3));
        // Another past of the same revision: the first stays, and no leaf without a body appears.
        tree.graft(&[rev(3, 1), rev(2, 7)], Content::Body(9));
        assert_eq!(tree.find(rev(2, 7)), None);
    }

    #[test]
    fn a_long_past_is_forgotten() {
        let mut tree = Tree::default();
        let mut place = NOWHERE;
        for generation in 1..=100u32 {
            place = tree.child(place, rev(generation, 1), Content::Body(generation));
        }
        assert!(tree.is_long());
        let leaf = tree.forget_all_but(place);
        assert!(!tree.is_long());
        assert_eq!((tree.rev(leaf), tree.body(leaf)), (rev(100, 1), Some(&100)));
        let before = tree.find(rev(90, 1)).unwrap();
        assert!(tree.follows(leaf, before));
    }
}
