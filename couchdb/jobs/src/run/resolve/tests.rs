//! Leaves that meet: of two homes, of copies that were in parts, of keepers that knew of nothing.

use proptest::prelude::*;

use super::*;
use crate::id::Incarnation;
use crate::run::{Claim, End, Step};
use blitz_contract::Exit;

fn claim(epoch: u32, byte: u8) -> Claim {
    Claim::first(epoch, &format!("e{byte}"), Incarnation::from_random([byte; 16]))
}

fn claimed(epoch: u32, byte: u8) -> Run {
    Run::Claimed { claim: claim(epoch, byte) }
}

fn end() -> End {
    let exit = Exit::Status(0);
    End { exit, chunks: 0, bytes: 0, digest: String::new(), duration_ms: 1 }
}

fn done(epoch: u32, byte: u8) -> Run {
    Run::Done { claim: claim(epoch, byte), end: end() }
}

fn open(epoch: u32, byte: u8) -> Run {
    Run::Open { last: claim(epoch, byte), reason: String::new() }
}

fn lost(epoch: u32, byte: u8, begun: bool) -> Run {
    Run::Lost { claim: Some(claim(epoch, byte)), reason: String::new(), begun }
}

fn expired() -> Run {
    Run::Expired { reason: String::new() }
}

fn cancelled() -> Run {
    Run::Cancelled { claim: None, end: None }
}

/// The verdict of the next home's keeper on a job that it may not begin.
fn forsaken(over: Option<&Run>) -> Run {
    Run::after(over, Step::Forsake { reason: String::new() }).unwrap()
}

/// Asserts that the first of these counts, with which hashes ever.
#[track_caller]
fn first_counts(first: &Run, second: &Run) {
    for hashes in [["a", "b"], ["b", "a"]] {
        for generations in [[1, 1], [1, 9], [9, 1]] {
            let leaf = |at: usize, run: &Run| {
                let text = format!("{}-{}", generations[at], hashes[at]);
                (text.parse::<Revision>().unwrap(), run.clone())
            };
            let leaves = [leaf(0, first), leaf(1, second)];
            let counts = resolve(&leaves, None, Guards::default()).unwrap();
            assert_eq!(counts.1, *first, "beside {second:?}");
        }
    }
}

#[test]
fn of_two_homes_what_the_later_one_has_counts() {
    for (later, earlier) in [
        (claimed(3, 2), claimed(1, 1)),
        (claimed(3, 2), open(1, 1)),
        (open(3, 2), claimed(1, 1)),
        (claimed(2, 2), claimed(1, 1)),
        (done(3, 2), done(1, 1)),
        (lost(3, 2, true), lost(1, 1, true)),
        (done(3, 2), claimed(1, 1)),
    ] {
        first_counts(&later, &earlier);
    }
}

/// Who heard of the end has forgotten the job: nobody would look after the claim.
#[test]
fn an_end_of_an_earlier_home_is_an_end() {
    for end in [done(1, 1), lost(1, 1, true), expired(), cancelled(), forsaken(None)] {
        first_counts(&end, &claimed(3, 2));
        first_counts(&end, &open(3, 2));
    }
}

#[test]
fn an_end_to_which_an_engine_came_tells_more_than_one_of_who_knew_of_none() {
    for epoch in [1, 3] {
        for unknowing in [expired(), cancelled(), forsaken(None), lost(3, 2, true)] {
            first_counts(&done(epoch, 1), &unknowing);
            // Who let the fence pass and did not begin knows that, and running it again is safe.
            first_counts(&lost(epoch, 1, false), &unknowing);
        }
        first_counts(&done(epoch, 1), &lost(3, 2, false));
        first_counts(&lost(epoch, 1, true), &expired());
        // The keeper gave up a claim, and its engine came to its end all the same.
        first_counts(&done(epoch, 1), &forsaken(Some(&claimed(epoch, 1))));
    }
}

#[test]
fn what_the_next_home_says_of_a_job_that_it_may_not_begin_yields_to_what_came_of_it() {
    let (unknown, held) = (forsaken(None), forsaken(Some(&claimed(1, 1))));
    assert_eq!((unknown.state(), unknown.claim()), ("lost", None));
    assert_eq!((held.state(), held.claim()), ("lost", Some(&claim(1, 1))));
    let by_wish = Run::Cancelled { claim: Some(claim(1, 1)), end: Some(end()) };
    for verdict in [unknown.clone(), held.clone()] {
        first_counts(&done(1, 1), &verdict);
        first_counts(&by_wish, &verdict);
        first_counts(&lost(1, 1, false), &verdict);
        first_counts(&verdict, &claimed(1, 1));
    }
    first_counts(&held, &unknown);
    let text = r#"{"state":"lost","reason":""}"#;
    assert_eq!(serde_json::to_string(&unknown).unwrap(), text);
    assert_eq!(serde_json::from_str::<Run>(text).unwrap(), unknown);
}

fn some_leaf() -> impl Strategy<Value = (Revision, Run)> {
    (1u64..5, 0u32..64, 1u32..5, 1u32..4, 1u8..4, 0u8..9).prop_map(
        |(generation, hash, epoch, attempt, byte, kind)| {
            let claim = Claim { attempt, ..claim(epoch, byte) };
            let reason = String::new();
            let run = match kind {
                0 => Run::Claimed { claim },
                1 => Run::Open { last: claim, reason },
                2 => Run::Done { claim, end: end() },
                3 => Run::Lost { claim: Some(claim), reason, begun: true },
                4 => forsaken(None),
                5 => cancelled(),
                6 => Run::Cancelled { claim: Some(claim), end: Some(end()) },
                7 => Run::Poison { claim, reason },
                _ => expired(),
            };
            (format!("{generation}-{hash:032x}").parse().unwrap(), run)
        },
    )
}

proptest! {
    /// Stores hear of leaves in any order and a few at a time, and remove those that lose among those that they know.
    #[test]
    fn what_counts_among_all_counts_among_some_and_what_is_removed_on_the_way_makes_no_difference(
        mut leaves in proptest::collection::vec(some_leaf(), 2..7),
        started in proptest::option::of((1u8..4, 1u32..4)),
        masks in proptest::collection::vec(1u32..128, 1..6),
        order in Just(Vec::from_iter(0..7_usize)).prop_shuffle(),
    ) {
        // Two leaves of one revision are one leaf: a store has no such.
        leaves.sort_by(|one, other| one.0.hash().cmp(other.0.hash()));
        leaves.dedup_by(|one, other| one.0.hash() == other.0.hash());
        let start = started.map(|(byte, attempt)| {
            Start::new(crate::JobId::new("japan", 1), &Claim { attempt, ..claim(1, byte) })
        });
        let of = |leaves: &[(Revision, Run)]| {
            resolve(leaves, start.as_ref(), Guards::default()).cloned()
        };
        let counts = of(&leaves).unwrap();
        let turned: Vec<(Revision, Run)> =
            order.iter().filter_map(|n| leaves.get(*n).cloned()).collect();
        prop_assert_eq!(of(&turned), Some(counts.clone()), "the order of leaves is nothing");
        let mut left = leaves.clone();
        for mask in masks {
            let some: Vec<(Revision, Run)> = (0..)
                .zip(&leaves)
                .filter(|(n, leaf)| mask & (1 << n) != 0 && left.contains(leaf))
                .map(|(_, leaf)| leaf.clone())
                .collect();
            let Some(best) = of(&some) else { continue };
            if some.contains(&counts) {
                prop_assert_eq!(&best, &counts);
            }
            left.retain(|leaf| !some.contains(leaf) || *leaf == best);
            prop_assert_eq!(of(&left), Some(counts.clone()));
            // What has ended for some has ended for all.
            prop_assert!(!best.1.is_final() || counts.1.is_final());
        }
    }
}
