//! Leaves that lost, and their removal: asked for again after growing pauses until none of them is left, and of a
//! few runs at a time. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use blitz_couchdb::Revision;

use crate::id::JobId;
use crate::timing::Timing;

/// Runs with losing leaves that wait for their removal. More come from a cluster in trouble, and are told again when
/// they change, or when the next keeper lists them.
pub const LOSERS_MAX: usize = 10_000;

/// Leaves of one run that are removed at once. Of more the rest is told again, since each removal is a change.
const LEAVES_MAX: usize = 1_000;

/// Runs whose leaves are being removed at once: nobody waits for it, and each costs two reads and a write.
pub(super) const REMOVING_MAX: usize = 16;

/// So often a removal is asked for: with the pauses between them a quarter of an hour, as a store may be away.
pub(super) const TRIES_MAX: u32 = 12;

/// The longest pause, in presences of [`Timing`]: five minutes.
const PAUSE_MAX_PRESENCES: u32 = 5;

/// The runs with leaves that are to be removed.
#[derive(Debug)]
pub(super) struct Losers {
    timing: Timing,
    runs: BTreeMap<JobId, Losing>,
    /// Those whose removal is to be asked for, each from an instant on.
    waiting: BTreeSet<(Duration, JobId)>,
    /// Those whose removal was asked for, each with the instant from which on no answer is expected any more.
    asked: BTreeSet<(Duration, JobId)>,
}

#[derive(Debug)]
struct Losing {
    losers: Vec<Revision>,
    /// How often it was asked for.
    tries: u32,
    stage: Stage,
}

#[derive(Debug, Clone, Copy)]
enum Stage {
    Waiting(Duration),
    Asked(Duration),
}

impl Losers {
    pub(super) fn new(timing: Timing) -> Self {
        Self { timing, runs: BTreeMap::new(), waiting: BTreeSet::new(), asked: BTreeSet::new() }
    }

    /// The run of a job has these leaves beside the one that counts.
    pub(super) fn hear(&mut self, job: &JobId, mut losers: Vec<Revision>) {
        losers.truncate(LEAVES_MAX);
        let is_full = self.runs.len() >= LOSERS_MAX;
        match self.runs.get_mut(job) {
            // The pause goes on.
            Some(losing) if losing.losers == losers => {}
            Some(losing) => {
                losing.losers = losers;
                losing.tries = 0;
                if let Stage::Waiting(_) = losing.stage {
                    self.wait(job, Duration::ZERO);
                }
            }
            None if is_full => {}
            None => {
                let stage = Stage::Waiting(Duration::ZERO);
                self.runs.insert(job.clone(), Losing { losers, tries: 0, stage });
                self.wait(job, Duration::ZERO);
            }
        }
    }

    /// A removal was answered: these leaves are gone, or lose no more. Those that are left are asked for again.
    pub(super) fn hear_gone(&mut self, now: Duration, job: &JobId, gone: &[Revision]) {
        let Some(losing) = self.runs.get_mut(job) else { return };
        losing.losers.retain(|loser| !gone.contains(loser));
        if losing.losers.is_empty() {
            self.forget(job);
        } else if let Stage::Asked(_) = losing.stage {
            self.pause(now, job);
        }
    }

    /// A database is gone, and all leaves in it.
    pub(super) fn hear_replaced(&mut self, database: &str) {
        let gone: Vec<JobId> = JobId::of_database(&self.runs, database).cloned().collect();
        gone.iter().for_each(|job| self.forget(job));
    }

    /// The removals that are to be asked for now.
    pub(super) fn tick(&mut self, now: Duration) -> Vec<(JobId, Vec<Revision>)> {
        while let Some((until, job)) = self.asked.first().cloned()
            && until <= now
        {
            self.pause(now, &job);
        }
        let mut removals = Vec::new();
        while self.asked.len() < REMOVING_MAX
            && let Some((from, job)) = self.waiting.first().cloned()
            && from <= now
        {
            self.waiting.pop_first();
            let Some(losing) = self.runs.get_mut(&job) else { continue };
            let until = now + self.timing.dead;
            losing.tries += 1;
            losing.stage = Stage::Asked(until);
            removals.push((job.clone(), losing.losers.clone()));
            self.asked.insert((until, job));
        }
        removals
    }

    /// When [`Self::tick`] has something to do next, if nothing is answered until then.
    pub(super) fn due(&self) -> Option<Duration> {
        let has_room = self.asked.len() < REMOVING_MAX;
        let waiting = self.waiting.first().filter(|_| has_room);
        waiting.into_iter().chain(self.asked.first()).map(|(at, _)| *at).min()
    }

    /// A removal was not answered, or not all of it was done: it is asked for again later, or not any more.
    fn pause(&mut self, now: Duration, job: &JobId) {
        match self.runs.get(job).map(|losing| losing.tries) {
            Some(tries) if tries < TRIES_MAX => {
                let max = self.timing.presence * PAUSE_MAX_PRESENCES;
                let pause = self.timing.poll * 2_u32.saturating_pow(tries.saturating_sub(1));
                self.wait(job, now + pause.min(max));
            }
            _ => self.forget(job),
        }
    }

    fn wait(&mut self, job: &JobId, from: Duration) {
        let Some(losing) = self.runs.get_mut(job) else { return };
        let before = std::mem::replace(&mut losing.stage, Stage::Waiting(from));
        self.take_place(job, before);
        self.waiting.insert((from, job.clone()));
    }

    fn forget(&mut self, job: &JobId) {
        if let Some(losing) = self.runs.remove(job) {
            self.take_place(job, losing.stage);
        }
    }

    fn take_place(&mut self, job: &JobId, stage: Stage) {
        match stage {
            Stage::Waiting(from) => self.waiting.remove(&(from, job.clone())),
            Stage::Asked(until) => self.asked.remove(&(until, job.clone())),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const S: Duration = Duration::from_secs(1);

    fn losers() -> Losers {
        Losers::new(Timing::of_tests())
    }

    fn revisions(texts: &[&str]) -> Vec<Revision> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn what_is_gone_is_not_asked_for_again_and_what_is_left_is() {
        let (job, both) = (JobId::new("japan", 1), revisions(&["1-b", "1-c"]));
        let mut losers = losers();
        losers.hear(&job, both.clone());
        assert_eq!(losers.due(), Some(Duration::ZERO));
        assert_eq!(losers.tick(S), [(job.clone(), both.clone())]);
        assert!(losers.tick(S).is_empty(), "it is under way");
        losers.hear_gone(S, &job, &both[..1]);
        assert!(losers.tick(S).is_empty());
        assert_eq!(losers.due(), Some(3 * S), "after a poll, which is 2 s here");
        assert_eq!(losers.tick(3 * S), [(job.clone(), both[1..].to_vec())]);
        losers.hear_gone(4 * S, &job, &both[1..]);
        assert_eq!((losers.due(), losers.runs.len()), (None, 0));
        losers.hear_gone(5 * S, &job, &both);
        assert_eq!(losers.due(), None, "an answer that comes twice");
    }

    #[test]
    fn a_removal_without_an_answer_is_asked_for_again_with_growing_pauses_and_not_for_ever() {
        let (job, one) = (JobId::new("japan", 1), revisions(&["1-b"]));
        let mut losers = losers();
        losers.hear(&job, one.clone());
        let mut asked = Vec::new();
        while let Some(due) = losers.due() {
            // The feed tells it again and again: that is no reason to hurry.
            losers.hear(&job, one.clone());
            asked.extend(losers.tick(due).iter().map(|_| due.as_secs()));
        }
        assert_eq!(asked.len(), usize::try_from(TRIES_MAX).unwrap());
        let gaps: Vec<u64> = asked.windows(2).map(|pair| pair[1] - pair[0]).collect();
        let wanted = [27, 29, 33, 41, 57, 89, 153, 281, 325, 325, 325];
        assert_eq!(gaps, wanted, "25 s without an answer and the pause");
        assert!(losers.runs.is_empty());
        losers.hear(&job, one);
        assert_eq!(losers.due(), Some(Duration::ZERO), "until it is told again");
    }

    #[test]
    fn other_leaves_of_the_same_run_are_asked_for_without_a_pause() {
        let job = JobId::new("japan", 1);
        let (first, second) = (revisions(&["1-b"]), revisions(&["1-c", "1-d"]));
        let mut losers = losers();
        losers.hear(&job, first.clone());
        losers.tick(S);
        losers.hear(&job, second.clone());
        losers.hear_gone(S, &job, &first);
        assert_eq!(losers.tick(3 * S), [(job.clone(), second.clone())]);
        losers.hear_gone(3 * S, &job, &[]);
        losers.hear(&job, first.clone());
        assert_eq!(losers.tick(3 * S), [(job, first)]);
    }

    #[test]
    fn some_runs_at_a_time_and_no_more_than_fit() {
        let mut losers = losers();
        for _ in 0..=LOSERS_MAX {
            losers.hear(&JobId::new("japan", 1), revisions(&["1-b"]));
        }
        assert_eq!(losers.runs.len(), LOSERS_MAX);
        let mut removed = 0;
        while losers.due().is_some() {
            let removals = losers.tick(S);
            assert!((1..=REMOVING_MAX).contains(&removals.len()), "{}", removals.len());
            assert!(losers.tick(S).is_empty() && losers.due() != Some(Duration::ZERO));
            removed += removals.len();
            for (job, leaves) in removals {
                losers.hear_gone(S, &job, &leaves);
            }
        }
        assert_eq!(removed, LOSERS_MAX);
    }

    #[test]
    fn a_replaced_database_has_no_losers_any_more() {
        let (job, other) = (JobId::new("japan", 1), JobId::new("japan", 11));
        let mut losers = losers();
        losers.hear(&job, revisions(&["1-b"]));
        losers.tick(S);
        losers.hear(&other, revisions(&["1-b"]));
        losers.hear_replaced("blitz-jobs-japan-1");
        assert_eq!(losers.tick(S), [(other, revisions(&["1-b"]))]);
        losers.hear_gone(S, &job, &[]);
        assert!(losers.asked.len() == 1 && losers.waiting.is_empty());
    }

    #[derive(Debug, Clone)]
    enum Event {
        Hear(usize, Vec<usize>),
        Gone(usize, Vec<usize>),
        Replaced,
        Pass(u32),
    }

    fn event() -> impl Strategy<Value = Event> {
        let some = || proptest::collection::vec(0..4_usize, 1..4);
        prop_oneof![
            (0..20_usize, some()).prop_map(|(job, of)| Event::Hear(job, of)),
            (0..20_usize, some()).prop_map(|(job, of)| Event::Gone(job, of)),
            Just(Event::Replaced),
            (0..40_u32).prop_map(Event::Pass),
        ]
    }

    proptest! {
        #[test]
        fn every_run_has_one_place_and_time_always_comes_to_an_end(
            events in proptest::collection::vec(event(), 0..200),
        ) {
            let jobs: Vec<JobId> =
                (0..20).map(|n| JobId::new(if n < 15 { "japan" } else { "oregon" }, 1)).collect();
            let leaves = revisions(&["1-a", "1-b", "1-c", "1-d"]);
            let of = |of: Vec<usize>| of.into_iter().map(|n| leaves[n].clone()).collect::<Vec<_>>();
            let (mut losers, mut now) = (losers(), Duration::ZERO);
            for event in events {
                match event {
                    Event::Hear(job, some) => losers.hear(&jobs[job], of(some)),
                    Event::Gone(job, some) => losers.hear_gone(now, &jobs[job], &of(some)),
                    Event::Replaced => losers.hear_replaced("blitz-jobs-japan-1"),
                    Event::Pass(seconds) => now += S * seconds,
                }
                losers.tick(now);
                prop_assert!(losers.asked.len() <= REMOVING_MAX);
                prop_assert_eq!(losers.asked.len() + losers.waiting.len(), losers.runs.len());
                prop_assert!(losers.due().is_none_or(|due| due > now), "{:?} at {:?}", losers, now);
            }
            for _ in 0..1_000 {
                let Some(due) = losers.due() else { break };
                now = now.max(due);
                losers.tick(now);
            }
            prop_assert!(losers.runs.is_empty(), "it gives up at last: {:?}", losers);
        }
    }
}
