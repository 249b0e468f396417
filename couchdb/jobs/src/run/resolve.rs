//! Which of several leaves counts: clusters that were in parts, and copies that check alone, store more than one.

use std::cmp::Reverse;

use blitz_couchdb::Revision;

use super::Run;
use crate::guards::{Guard, Guards};
use crate::start::Start;

/// The leaf that counts among all that a store has: the same everywhere, whoever asks.
///
/// A terminal state first, then what the claim that passed the start fence led to, then of ends that which tells most of
/// what happened (an engine came to it; an engine knows that it never began; who wrote it knew of nothing), then the
/// higher epoch, then a claim before an open run, then the lowest attempt, then of two claims the lower generation, then
/// the highest revision hash. Never the higher generation: a minority's retry would have one, and so has a late claim
/// that was stored where another one had yielded and gone. By then a third may have begun, as he saw no other.
///
/// An end comes before the claim of a later home, too. Whoever heard of an end has forgotten the job, its watchers among
/// them, its readers have gone, and its database may be dropped: a claim that came after that would have nobody who looks
/// after it.
///
/// It is an order of all leaves that there can be: each has its place whatever stands beside it. Leaves meet by
/// replication a few at a time, and those that lose are removed wherever they lose; were there three of which each loses
/// to another, all three would be removed, and a job that has ended would begin again.
#[must_use]
pub fn resolve<'a>(
    leaves: &'a [(Revision, Run)],
    start: Option<&Start>,
    guards: Guards,
) -> Option<&'a (Revision, Run)> {
    leaves.iter().min_by_key(|(revision, run)| {
        let claim = run.claim();
        let has_started = start.is_some_and(|start| claim.is_some_and(|claim| start.is_of(claim)));
        let is_end = run.is_final() && guards.has(Guard::EndsFirst);
        let generation =
            if guards.has(Guard::GenerationIsNothing) { 0 } else { revision.generation() };
        // What stood before it on its branch.
        let behind = match run {
            Run::Claimed { .. } if guards.has(Guard::GenerationIsNothing) => revision.generation(),
            _ => 0,
        };
        (
            (Reverse(generation), !is_end, !has_started, if is_end { guess(run) } else { 0 }),
            (Reverse(run.epoch()), matches!(run, Run::Open { .. })),
            claim.map_or(0, |c| c.attempt),
            behind,
            Reverse(revision.hash()),
        )
    })
}

/// How little an end tells of what happened: an engine came to it; an engine knows that it never began; nobody who
/// wrote it knew of anything else.
fn guess(run: &Run) -> u8 {
    match run {
        run if run.end().is_some() => 0,
        Run::Lost { begun: false, .. } => 1,
        _ => 2,
    }
}

#[cfg(test)]
mod tests;
