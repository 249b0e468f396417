//! What is done to both sides, and how one is drawn: mostly what makes sense, and often what does not.

use blitz_simulation::couchdb::Rev;

use super::pair::Pair;
use blitz_simulation::random::Random;

/// One operation.
#[derive(Debug, Clone)]
pub(super) enum Operation {
    /// `PUT` with this body; `None` is `{"_deleted": true}`.
    Put { id: u64, parent: Option<Rev>, body: Option<u32> },
    /// `DELETE`.
    Delete { id: u64, rev: Rev },
    /// `_bulk_docs` with `new_edits=false`: newest first, of which only so many are told. No body is a tombstone.
    Merge { id: u64, path: Vec<Rev>, told: usize, body: Option<u32> },
    /// `_bulk_docs` with tombstones over these leaves.
    Remove { id: u64, revs: Vec<Rev> },
    /// `_changes` from so many places earlier.
    Since { back: usize },
}

/// The next operation of a sequence.
pub(super) fn draw(random: &mut Random, pair: &Pair) -> Operation {
    let id = random.pick(&pair.ids).copied().expect("a sequence has documents");
    let leaves = pair.leaves(id);
    let winner = leaves.first().copied();
    let any_leaf = random.pick(&leaves).copied();
    let known = random.pick(&pair.past.of(id)).copied();
    // Few bodies: equal ones must meet.
    let body = Some(u32::try_from(random.below(3)).unwrap_or(0));
    match random.below(20) {
        0..=2 => Operation::Put { id, parent: None, body },
        3..=5 => Operation::Put { id, parent: winner, body },
        6 => Operation::Put { id, parent: any_leaf, body },
        7 => Operation::Put { id, parent: known, body },
        8 => Operation::Put { id, parent: Some(strange(random, pair)), body },
        9 => Operation::Put { id, parent: any_leaf, body: None },
        10 | 11 => Operation::Delete { id, rev: winner.unwrap_or_else(|| strange(random, pair)) },
        12 => Operation::Delete { id, rev: known.unwrap_or_else(|| strange(random, pair)) },
        13..=16 => {
            let path = branch(random, pair, id);
            merge(random, pair, id, path)
        }
        // Again, with another part of its past where the server learns of it.
        17 => match known {
            Some(rev) if pair.is_apache => merge(random, pair, id, pair.past.path(id, rev)),
            Some(rev) => {
                let path = pair.past.path(id, rev);
                Operation::Merge { id, path, told: 1, body: pair.body(rev) }
            }
            None => {
                let path = branch(random, pair, id);
                merge(random, pair, id, path)
            }
        },
        18 if leaves.len() > 1 => Operation::Remove { id, revs: leaves[1..].to_vec() },
        18 => Operation::Remove { id, revs: known.into_iter().collect() },
        _ => Operation::Since { back: random.below(8) },
    }
}

/// A revision of another document, or of none.
fn strange(random: &mut Random, pair: &Pair) -> Rev {
    let other =
        random.pick(&pair.ids).copied().and_then(|id| random.pick(&pair.past.of(id)).copied());
    let made_up = Rev { generation: small(random, 3), hash: random.word() };
    other.filter(|_| made_up.hash.is_multiple_of(2)).unwrap_or(made_up)
}

/// A made up branch, newest first: out of a known revision or of nothing.
fn branch(random: &mut Random, pair: &Pair, id: u64) -> Vec<Rev> {
    let base = random.pick(&pair.past.of(id)).copied().filter(|_| random.below(3) > 0);
    let mut path = base.map_or_else(Vec::new, |rev| pair.past.path(id, rev));
    let first = base.map_or_else(|| small(random, 2), |rev| rev.generation + 1);
    for generation in first..first + small(random, 2) {
        path.insert(0, Rev { generation, hash: random.word() });
    }
    path
}

/// Mostly all of the past is told.
fn merge(random: &mut Random, pair: &Pair, id: u64, path: Vec<Rev>) -> Operation {
    let told = if random.below(4) == 0 { 1 + random.below(path.len()) } else { path.len() };
    let body = pair.body(path[0]);
    Operation::Merge { id, path, told, body }
}

/// From 1 to the bound.
fn small(random: &mut Random, bound: usize) -> u32 {
    u32::try_from(random.below(bound) + 1).unwrap_or(1)
}
