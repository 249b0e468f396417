//! What must hold of every revision tree, whatever order the revisions came in.

use super::{Revision, codec, tree::Tree};
use proptest::prelude::*;
use std::collections::HashMap;

const LIMIT: usize = 1000;

/// Branches of one history: each extends a random earlier revision by a few edits.
#[derive(Clone, Debug)]
struct Branch {
    path: Vec<Revision>,
    deleted: bool,
}

fn revision(generation: u64, name: usize) -> Revision {
    format!("{generation}-{name:032x}").parse().unwrap()
}

fn history() -> impl Strategy<Value = Vec<Branch>> {
    prop::collection::vec((any::<prop::sample::Index>(), 1usize..4, any::<bool>()), 1..12).prop_map(
        |steps| {
            let mut known: Vec<Vec<Revision>> = vec![Vec::new()];
            let mut name = 0;
            let mut branches = Vec::new();
            for (from, edits, deleted) in steps {
                let mut path = from.get(&known).clone();
                for _ in 0..edits {
                    name += 1;
                    let generation = path.first().map_or(1, |newest| newest.generation + 1);
                    // Not in the order of their making, so that the hash decides something.
                    path.insert(0, revision(generation, name * 7919 % 1009));
                    known.push(path.clone());
                }
                branches.push(Branch { path, deleted });
            }
            branches
        },
    )
}

/// Branches of which some are told with another past than the others: what a replica that stemmed, or
/// one that is wrong, may send.
fn contradictions() -> impl Strategy<Value = Vec<Branch>> {
    let branch = (1u64..5, prop::collection::vec(0usize..3, 1..5), any::<bool>());
    prop::collection::vec(branch, 1..12).prop_map(|branches| {
        let branch = |(oldest, names, deleted): (u64, Vec<usize>, bool)| {
            let mut path: Vec<_> = (oldest..)
                .zip(names)
                .map(|(generation, name)| revision(generation, name))
                .collect();
            path.reverse();
            Branch { path, deleted }
        };
        branches.into_iter().map(branch).collect()
    })
}

fn grow(branches: &[Branch], limit: usize) -> Tree {
    let mut tree = Tree::default();
    for (key, branch) in (1..).zip(branches) {
        tree.graft(&branch.path, branch.deleted, key, limit);
    }
    tree
}

/// Revision, parent and tombstone of each node: what replicas must agree on.
fn shape(tree: &Tree) -> HashMap<Revision, (Option<Revision>, bool)> {
    let nodes = tree.nodes();
    nodes
        .iter()
        .map(|node| {
            let parent = node.parent.map(|parent| nodes[parent].revision.clone());
            (node.revision.clone(), (parent, node.deleted))
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// Replication may deliver branches in any order: the leaves and the winner are the same.
    #[test]
    fn the_order_of_arrival_does_not_matter(branches in history(), seed in any::<u64>()) {
        let forward = grow(&branches, LIMIT);
        let mut shuffled = branches.clone();
        let mut random = seed;
        for index in (1..shuffled.len()).rev() {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            shuffled.swap(index, usize::try_from(random >> 33).unwrap() % (index + 1));
        }
        let other = grow(&shuffled, LIMIT);
        let leaves = |tree: &Tree| {
            tree.leaves().iter().map(|leaf| leaf.revision.clone()).collect::<Vec<_>>()
        };
        prop_assert_eq!(
            shape(&forward).into_keys().collect::<std::collections::BTreeSet<_>>(),
            shape(&other).into_keys().collect::<std::collections::BTreeSet<_>>()
        );
        prop_assert_eq!(leaves(&forward).len(), leaves(&other).len());
        // A tombstone that came after its own child is an inner revision in both.
        let living = |tree: &Tree| tree.leaves().iter().filter(|leaf| !leaf.deleted).count();
        prop_assert_eq!(living(&forward), living(&other));
        prop_assert_eq!(
            forward.winner().map(|node| node.revision.clone()),
            other.winner().map(|node| node.revision.clone())
        );
    }

    /// Delivering everything twice is delivering it once.
    #[test]
    fn a_repeated_delivery_changes_nothing(branches in history()) {
        let once = grow(&branches, LIMIT);
        let mut twice = once.clone();
        for branch in &branches {
            prop_assert_eq!(twice.graft(&branch.path, branch.deleted, 99, LIMIT), [99]);
        }
        prop_assert_eq!(once, twice);
    }

    /// No leaf is lost, and no branch is longer than the limit unless two leaves share it.
    #[test]
    fn stemming_keeps_the_leaves(branches in history(), limit in 1usize..6) {
        let whole = grow(&branches, LIMIT);
        let stemmed = grow(&branches, limit);
        for leaf in stemmed.leaves() {
            prop_assert!(leaf.body.is_some());
            let known = stemmed.path(&leaf.revision).len();
            prop_assert!(known >= 1);
        }
        prop_assert_eq!(
            whole.winner().map(|node| node.revision.clone()),
            stemmed.winner().map(|node| node.revision.clone())
        );
        prop_assert!(stemmed.nodes().len() <= whole.nodes().len());
    }

    /// Every body is either in the tree or was given back: none leaks in the store.
    #[test]
    fn no_body_is_lost_from_sight(branches in history(), limit in 1usize..6) {
        let mut tree = Tree::default();
        let mut gone = Vec::new();
        let mut given = Vec::new();
        for (key, branch) in (1..).zip(&branches) {
            given.push(key);
            gone.extend(tree.graft(&branch.path, branch.deleted, key, limit));
        }
        let mut seen: Vec<_> = tree.bodies().chain(gone).collect();
        seen.sort_unstable();
        prop_assert_eq!(seen, given);
    }

    /// Whatever pasts are told: every leaf can be read, no body leaks, and the tree can be stored.
    #[test]
    fn two_pasts_of_one_revision_leave_a_sound_tree(
        branches in contradictions(), limit in 1usize..9,
    ) {
        let mut tree = Tree::default();
        let mut gone = Vec::new();
        let mut given = Vec::new();
        for (key, branch) in (1..).zip(&branches) {
            given.push(key);
            gone.extend(tree.graft(&branch.path, branch.deleted, key, limit));
            for leaf in tree.leaves() {
                prop_assert!(leaf.body.is_some(), "{:?} is a leaf without a body", leaf.revision);
            }
        }
        let mut seen: Vec<_> = tree.bodies().chain(gone).collect();
        seen.sort_unstable();
        prop_assert_eq!(seen, given);
        prop_assert_eq!(codec::decode(&codec::encode(&tree)), Ok(tree));
    }

    #[test]
    fn the_bytes_give_the_tree_back(branches in history(), limit in 1usize..9) {
        let tree = grow(&branches, limit);
        prop_assert_eq!(codec::decode(&codec::encode(&tree)), Ok(tree));
    }

    /// A damaged store is an error, never a panic.
    #[test]
    fn any_bytes_are_a_tree_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(tree) = codec::decode(&bytes) {
            let _ = tree.leaves().len();
        }
    }

    #[test]
    fn a_changed_byte_never_panics(branches in history(), at in any::<prop::sample::Index>(), bit in 0u8..8) {
        let mut bytes = codec::encode(&grow(&branches, LIMIT));
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        if let Ok(tree) = codec::decode(&bytes) {
            for leaf in tree.leaves() {
                let _ = tree.path(&leaf.revision).len();
            }
        }
    }
}
