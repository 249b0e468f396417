//! Which of several leaves counts: clusters that were in parts, and copies that check alone, store more than one.

use std::cmp::Reverse;

use blitz_couchdb::Revision;

use super::Run;
use crate::guards::{Guard, Guards};
use crate::start::Start;

/// The leaf that counts among all that a store has: the same everywhere, whoever asks.
///
/// Higher epoch first, then a terminal state, then what the claim that passed the start fence led to, then a claim
/// before an open run, then the lowest attempt, then of two claims the lower generation, then the highest revision hash.
/// Never the higher generation: a minority's retry would have one, and so has a late claim that was stored where another
/// one had yielded and gone. By then a third may have begun, as he saw no other.
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
            // An end that nobody's claim led to stands in every epoch.
            Reverse(claim.map_or(if run.is_final() { u32::MAX } else { 0 }, |c| c.epoch)),
            Reverse(generation),
            // Of two ends that of the engine that began is what came of the job.
            (!is_end, !has_started, matches!(run, Run::Open { .. })),
            claim.map_or(0, |c| c.attempt),
            behind,
            Reverse(revision.hash()),
        )
    })
}
