//! What must hold in every state.

use std::fmt;

use blitz_contract::Retry;
use blitz_jobs::Run;

use super::moves::Moves;
use super::state::{Phase, Spent, State};
use super::table::{Id, PAST, holder};
use super::told::Reply;

/// What is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Invariant {
    /// Whoever sees all leaves names the same one, in whatever order they come.
    OneIsResolved,
    /// When some copy has an end, what counts among all copies is an end.
    EndsCount,
    /// An end that a reader of all copies was told is the end for ever.
    EndsStay,
    /// A job that must not run twice begins at most once.
    BegunOnce,
    /// An end that says that the job never began is true.
    NotBegunIsTrue,
    /// An end is over the claim that it ends, and an end of nobody over nobody's claim.
    EndHasItsClaim,
    /// On one branch an attempt is one engine's start's, and each claim has the next number.
    AttemptIsOnes,
    /// A claim that is taken for won while all copies agree is the one that counts; with several copies a first claim.
    WonIsResolved,
    /// One copy, patient watchers: who runs the job is who the document names.
    RunnerIsNamed,
    /// Patient watchers, and one copy, or several that have only first claims, and nothing has gone wrong: at most one
    /// engine runs the job at a time.
    OneRuns,
    /// From every state an end is reached when nothing more goes wrong.
    EndIsReached,
}

impl Invariant {
    /// Every one.
    pub const ALL: &[Self] = &[
        Self::OneIsResolved,
        Self::EndsCount,
        Self::EndsStay,
        Self::BegunOnce,
        Self::NotBegunIsTrue,
        Self::EndHasItsClaim,
        Self::AttemptIsOnes,
        Self::WonIsResolved,
        Self::RunnerIsNamed,
        Self::OneRuns,
        Self::EndIsReached,
    ];

    /// Its name, in words with dashes.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::OneIsResolved => "one-is-resolved",
            Self::EndsCount => "ends-count",
            Self::EndsStay => "ends-stay",
            Self::BegunOnce => "begun-once",
            Self::NotBegunIsTrue => "not-begun-is-true",
            Self::EndHasItsClaim => "end-has-its-claim",
            Self::AttemptIsOnes => "attempt-is-ones",
            Self::WonIsResolved => "won-is-resolved",
            Self::RunnerIsNamed => "runner-is-named",
            Self::OneRuns => "one-runs",
            Self::EndIsReached => "end-is-reached",
        }
    }
}

impl fmt::Display for Invariant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Moves<'_> {
    /// The first invariant that a state breaks. Writes down what readers were told.
    pub(super) fn judge(&mut self, state: &mut State) -> Option<Invariant> {
        if state.begun > 1 {
            return Some(Invariant::BegunOnce);
        }
        let copies = self.config.copies;
        for copy in 0..copies {
            for leaf in state.copies[copy].leaves.iter() {
                if let Some(broken) = self.judge_branch(leaf) {
                    return Some(broken);
                }
            }
        }
        let all = self.all_copies();
        let (reply, resolved) = self.read(state, all);
        if let Reply::Read { leaves, start } = reply
            && leaves.len() > 1
        {
            if self.table.resolve_backwards(leaves, start) != resolved {
                return Some(Invariant::OneIsResolved);
            }
            let is_final = |leaf| self.named(leaf).is_some_and(Run::is_final);
            if leaves.iter().any(is_final) && !is_final(resolved) {
                return Some(Invariant::EndsCount);
            }
        }
        // What several copies say can be told only when they say the same, and nothing is under way.
        if copies == 1 || (state.is_synced(copies) && state.is_quiet()) {
            let is_final = self.named(resolved).is_some_and(Run::is_final);
            if state.announced == 0 && is_final {
                state.announced = resolved;
            } else if state.announced != 0 && state.announced != resolved {
                return Some(Invariant::EndsStay);
            }
            let untrue = matches!(self.named(resolved), Some(Run::Lost { begun: false, .. }));
            if untrue && self.table.retry == Retry::Never && state.begun > 0 {
                return Some(Invariant::NotBegunIsTrue);
            }
        }
        let is_single = copies == 1;
        if (is_single || self.is_calm(state)) && self.config.patient {
            let runs = |engine: &usize| state.actors[*engine].phase == Phase::Running;
            let mut running = (0..self.config.engines).filter(runs);
            if let Some(engine) = running.next() {
                if running.next().is_some() {
                    return Some(Invariant::OneRuns);
                }
                let hold = self.table.run_id_of(state.actors[engine].hold);
                if is_single && hold != self.table.run_id_of(resolved) {
                    return Some(Invariant::RunnerIsNamed);
                }
            }
        }
        None
    }

    /// Several copies have nothing but first claims, and nothing has gone wrong. Otherwise engines may decide by other
    /// copies than each other: a claim by those two of three that answered, a stop by the two that were read. And
    /// what a claim is read to have given up, or another than it, may be on its way to a copy still.
    fn is_calm(&self, state: &State) -> bool {
        let is_first = |leaf: Id| {
            let is_claim = matches!(self.table.run_of(leaf), Some(Run::Claimed { .. }));
            is_claim && self.table.parent(leaf) == 0
        };
        state.spent == Spent::default()
            && state.copies[..self.config.copies]
                .iter()
                .all(|copy| copy.late.is_empty() && copy.leaves.iter().all(is_first))
    }

    /// A leaf against the branch that it ends.
    fn judge_branch(&self, leaf: Id) -> Option<Invariant> {
        let mut at = leaf;
        while at != 0 && self.table.parent(at) != PAST {
            let before = self.table.parent(at);
            let (Some(run), old) = (self.table.run_of(at), self.table.run_of(before)) else {
                at = before;
                continue;
            };
            let held = match old {
                Some(Run::Claimed { claim }) => Some(claim),
                _ => None,
            };
            let ended = match run {
                Run::Done { claim, .. }
                | Run::Failed { claim, .. }
                | Run::Lost { claim: Some(claim), .. }
                | Run::Poison { claim, .. }
                | Run::Cancelled { claim: Some(claim), .. } => Some(claim),
                _ => None,
            };
            let of = |claim: &blitz_jobs::Claim| (holder(claim), claim.attempt);
            if run.is_final() && ended.map(of) != held.map(of) {
                return Some(Invariant::EndHasItsClaim);
            }
            if let Run::Claimed { claim } = run {
                let last = old.and_then(Run::claim);
                let is_same = last.map(of) == Some(of(claim));
                let next = last.map_or(0, |last| last.attempt) + 1;
                if claim.attempt != next && !is_same {
                    return Some(Invariant::AttemptIsOnes);
                }
            }
            at = before;
        }
        None
    }

    /// Whether the job has ended for everybody: one leaf, an end, on every copy, and nobody has anything in hand.
    pub(super) fn is_over(&mut self, state: &State) -> bool {
        let copies = self.config.copies;
        let idle = |phase| matches!(phase, Phase::Idle | Phase::Crashed);
        if !state.is_synced(copies) || !state.actors.iter().all(|actor| idle(actor.phase)) {
            return false;
        }
        let living = state.copies[0].leaves.filter(|leaf| self.table.run_of(leaf).is_some());
        living.len() == 1 && living.iter().all(|leaf| self.named(leaf).is_some_and(Run::is_final))
    }
}
