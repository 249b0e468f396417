//! What is due: leases that ran out, last words, verdicts, claims, beats, polls.

use std::time::Duration;

use super::phase::{Closing, Phase};
use super::{Action, Contest, WATCHERS, Why};
use crate::engine::Held;
use crate::id::JobId;
use crate::run::{Run, Step};
use crate::watch;

impl Contest {
    /// What is to be done now.
    pub fn tick(&mut self, now: Duration) -> Vec<Action> {
        self.take_role(now);
        let mut actions = self.stop_without_lease(now);
        self.drop_late(now);
        actions.extend(self.closings(now));
        actions.extend(self.verdicts(now));
        while let Some(claim) = self.next_claim(now) {
            actions.push(claim);
        }
        self.claim_due = self.next_claim_due(now);
        actions.extend(self.beat(now));
        for engines in self.watch.poll(now).into_values() {
            actions.push(Action::Poll { engines });
        }
        actions
    }

    /// Stops what others may take soon: this engine's beats were not acknowledged for too long.
    fn stop_without_lease(&mut self, now: Duration) -> Vec<Action> {
        let mut actions = Vec::new();
        for job in &self.busy {
            let Some(known) = self.jobs.get_mut(job) else { continue };
            if let Phase::Running { hold, stopping } = &mut known.phase
                && stopping.is_none_or(|why| !why.is_loss())
                && hold.is_over(now, &self.config)
            {
                *stopping = Some(Why::LostLease);
                self.owes_beat = Some(now);
                actions.push(Action::Stop { job: job.clone(), why: Why::LostLease });
            }
        }
        actions
    }

    /// Forgets jobs whose time was over while they waited: the keeper ends them.
    fn drop_late(&mut self, now: Duration) {
        while let Some((at, job)) = self.deadlines.first().cloned()
            && at <= now
        {
            self.deadlines.pop_first();
            if !self.busy.contains(&job) && !self.watch.watches(&job) {
                self.forget(&job);
            }
        }
    }

    /// Judges the claims of engines that fell silent: their jobs are taken, opened for others, or ended.
    fn verdicts(&mut self, now: Duration) -> Vec<Action> {
        let (herd, turn) = (&self.herd, self.config.timing.take_turns);
        let turns = |job: &JobId| u32::try_from(herd.place(WATCHERS, job.as_str())).unwrap_or(0);
        let silences = self.watch.silent(now, |job| turn * turns(job));
        let mut actions = Vec::new();
        for silence in silences {
            let job = silence.job;
            let Some(known) = self.jobs.get(&job) else { continue };
            let Some((over, run @ Run::Claimed { .. })) = known.run.clone() else { continue };
            let waits = matches!(known.phase, Phase::Waiting { .. });
            if !waits || now < known.judge_from || self.writes.contains(&job) {
                continue;
            }
            let may_take = !self.draining
                && known.is_fit(&self.config, &self.plugins, &self.taken)
                && known.weight(self.config.slots) <= self.slots_free()
                && now < known.deadline();
            let step = Step::Dead {
                incarnation: silence.claim.incarnation.clone(),
                counter: silence.counter,
                survivors: silence.survivors,
                may_retry: known.may_retry() && !known.cancelled,
                reason: watch::reason(&silence.claim, self.config.timing.dead),
                taker: may_take.then(|| self.taker()),
            };
            let Ok(run) = Run::after(Some(&run), step) else { continue };
            if matches!(run, Run::Claimed { .. }) {
                actions.push(self.claim(now, &job, run));
            } else if let Some(known) = self.jobs.get_mut(&job) {
                known.phase = Phase::Judging { run: run.clone() };
                actions.push(self.write(&job, Some(over), run));
            }
        }
        actions
    }

    fn beat(&mut self, now: Duration) -> Option<Action> {
        if self.busy.is_empty() && self.owes_beat.is_none() || now < self.beat_due {
            return None;
        }
        let mut held: Vec<Held> = self
            .busy
            .iter()
            .filter_map(|job| {
                let attempt = self.jobs.get(job)?.phase.beating()?.claim.attempt;
                Some(Held::new(job.clone(), attempt))
            })
            .collect();
        if held.is_empty() && self.owes_beat.is_none() {
            return None;
        }
        for Held { job, .. } in &held {
            if let Some(hold) = self.jobs.get_mut(job).and_then(|known| known.phase.hold_mut()) {
                hold.named_from.get_or_insert(now);
            }
        }
        held.extend(self.died.iter().cloned());
        self.counter += 1;
        self.beat_due = now + self.config.timing.beat;
        Some(Action::Beat { counter: self.counter, held })
    }

    /// When [`Self::tick`] has something to do next, if nothing is heard until then.
    #[must_use]
    pub fn due(&self) -> Option<Duration> {
        let deadline = self.deadlines.first().map(|(at, _)| *at);
        let held = self.busy.iter().filter_map(|job| {
            let phase = &self.jobs.get(job)?.phase;
            let own = match phase {
                Phase::Closing { write: Closing::Due { at, .. }, .. } => Some(*at),
                Phase::Running { hold, stopping } if stopping.is_none_or(|why| !why.is_loss()) => {
                    hold.over_at(&self.config)
                }
                _ => None,
            };
            own.into_iter().chain(phase.beating().map(|_| self.beat_due)).min()
        });
        let owed = self.owes_beat.map(|_| self.beat_due);
        held.chain(self.claim_due).chain(deadline).chain(owed).chain(self.watch.due()).min()
    }
}
