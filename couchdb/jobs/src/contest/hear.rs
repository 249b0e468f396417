//! What an engine hears: of jobs, of their runs, of cancels, of its region.

use std::sync::Arc;
use std::time::Duration;

use blitz_couchdb::Revision;

use super::phase::{Known, Phase};
use super::taken::is_part;
use super::{Action, Contest, JOBS_KNOWN_MAX, WATCHERS, Why};
use crate::early::EarlyRun;
use crate::engine::Beat;
use crate::feed::Heard;
use crate::guards::Guard;
use crate::id::JobId;
use crate::run::Run;
use crate::spec::Spec;

impl Contest {
    /// Hears one thing of the feed. What is the keeper's, the follower's or its own driver's is passed over.
    pub fn hear(&mut self, now: Duration, thing: Heard) -> Vec<Action> {
        match thing {
            Heard::Spec(spec) => {
                self.hear_spec(now, spec);
                Vec::new()
            }
            Heard::Run(job, revision, run) => self.hear_run(now, &job, revision, run),
            Heard::Unreadable(job, revision) => self.hear_unreadable(now, &job, revision),
            Heard::NoRun(job) => {
                self.hear_no_run(now, &job);
                Vec::new()
            }
            Heard::Cancel(job) => self.hear_cancel(&job),
            Heard::Replaced(database) => self.hear_replaced(&database),
            Heard::Losers(..) | Heard::Ready(_) | Heard::Go(..) | Heard::Place(_) => Vec::new(),
        }
    }

    /// A job is asked for. One of another region is none for this engine: its runs are written in that region's home,
    /// and a claim here would be one beside it.
    pub fn hear_spec(&mut self, now: Duration, spec: Arc<Spec>) {
        let job = spec.job.clone();
        let is_ours =
            job.region() == self.config.region || !self.config.guards.has(Guard::NeighbourRegion);
        if !is_ours || self.jobs.contains_key(&job) {
            return;
        }
        let left = if self.config.is_later(&spec) {
            Some(&mut self.later)
        } else {
            (self.jobs.len() >= JOBS_KNOWN_MAX).then_some(&mut self.left_out)
        };
        if let Some(left) = left {
            let oldest = left.entry(job.jobs_database()).or_insert_with(|| job.clone());
            *oldest = oldest.clone().min(job);
            return;
        }
        let cancelled = self.cancels_early.take(&job).is_some();
        // A copy that got the end before the spec may tell the spec again, and that alone.
        if self.ended.has(&job) {
            return;
        }
        let run = self.runs_early.take(&job);
        let began = *self.began.get_or_insert(now);
        let from = self.config.settled(now, began, &spec);
        let known = Known { cancelled, ..Known::new(spec, from) };
        self.deadlines.insert((known.deadline(), job.clone()));
        self.jobs.insert(job.clone(), known);
        self.wait_for_turn(now, &job);
        match run {
            Some(EarlyRun::Run(revision, run)) => drop(self.hear_run(now, &job, revision, run)),
            Some(EarlyRun::Unreadable(revision)) => {
                drop(self.hear_unreadable(now, &job, revision));
            }
            None => {}
        }
    }

    /// The run of a job has this state: the leaf that counts, as [`crate::run::resolve`] names it. Hearing it
    /// again changes nothing.
    pub fn hear_run(
        &mut self,
        now: Duration,
        job: &JobId,
        revision: Revision,
        run: Run,
    ) -> Vec<Action> {
        if let Run::Claimed { claim } | Run::Open { last: claim, .. } = &run {
            self.hear_of_itself(now, job, claim);
        }
        let Some(known) = self.jobs.get_mut(job) else {
            self.hear_early(job, EarlyRun::Run(revision, run));
            return Vec::new();
        };
        // What this engine's newest claim replaced: a feed that went back.
        if known.replaced.as_ref() == Some(&revision) {
            return Vec::new();
        }
        known.is_unreadable = false;
        let is_known = known.run.as_ref().is_some_and(|(known, _)| *known == revision);
        let incarnation = &self.config.incarnation;
        let is_ours = run.claim().is_some_and(|claim| claim.incarnation == *incarnation);
        let is_our_claim = is_ours && matches!(run, Run::Claimed { .. });
        if let Some(sent) = known.unheard
            && (is_our_claim || !is_known)
        {
            known.unheard = None;
            if is_our_claim {
                self.herd.hear_delay(now.saturating_sub(sent));
            }
        }
        if is_known && !matches!(known.phase, Phase::Claiming { .. }) {
            return Vec::new();
        }
        match &mut known.phase {
            // Our last word is stored, whatever the answer to its write will be; until that comes no other is sent.
            Phase::Closing { run: own, .. } if *own == run => {
                known.run = Some((revision, run));
                Vec::new()
            }
            // Our own claim.
            phase if phase.hold().is_some() && is_ours && is_own_claim(phase, &run) => Vec::new(),
            phase if phase.hold().is_some() => {
                if !self.config.guards.has(Guard::StopWhenFenced) {
                    return Vec::new();
                }
                // Another's claim, or a state that the keeper or a watcher wrote: this engine is fenced.
                known.run = Some((revision, run));
                self.fence(now, job)
            }
            // The answer will say the same.
            Phase::Claiming { heard, .. } if is_our_claim => {
                *heard = None;
                Vec::new()
            }
            Phase::Claiming { over, heard, .. } => {
                let is_new = over.as_ref() != Some(&revision);
                *heard = is_new.then_some((revision, run));
                Vec::new()
            }
            // Our claim whose answer is late or was lost: writing it again finds it, and wins.
            Phase::Waiting { .. } if is_our_claim => self.claim_again(now, job, run),
            _ => {
                known.run = Some((revision, run));
                self.look_at(now, job);
                Vec::new()
            }
        }
    }

    /// The claim that this engine tried to write stands, as the feed says, though no answer said so. Without room
    /// for it, it is left to the watchers.
    fn claim_again(&mut self, now: Duration, job: &JobId, run: Run) -> Vec<Action> {
        let Some(known) = self.jobs.get(job) else { return Vec::new() };
        let is_tried = known.tried.as_ref().is_some_and(|(tried, _)| *tried == run);
        let fits = known.weight(self.config.slots) <= self.slots_free();
        let is_distinct = !self.taken.forbids(&known.spec);
        if !is_tried || known.has_yielded || !fits || !is_distinct {
            return Vec::new();
        }
        if self.gives_back || self.writes.contains(job) {
            return Vec::new();
        }
        vec![self.claim(now, job, run)]
    }

    /// The run of a job cannot be read by this version: nobody may say who has it, and it is left alone until it
    /// can be. A job that is held here is another's for all that is known.
    pub fn hear_unreadable(
        &mut self,
        now: Duration,
        job: &JobId,
        revision: Revision,
    ) -> Vec<Action> {
        let Some(known) = self.jobs.get_mut(job) else {
            self.hear_early(job, EarlyRun::Unreadable(revision));
            return Vec::new();
        };
        if std::mem::replace(&mut known.is_unreadable, true) {
            return Vec::new();
        }
        known.run = None;
        if known.phase.hold().is_some() {
            return self.fence(now, job);
        }
        self.watch.forget(job);
        self.requeue(job);
        Vec::new()
    }

    /// The run of a job was deleted: nobody has it. Who holds it goes on until another claims it, or until its own
    /// last word is refused.
    pub fn hear_no_run(&mut self, now: Duration, job: &JobId) {
        self.runs_early.take(job);
        self.ended.take(job);
        let Some(known) = self.jobs.get_mut(job) else { return };
        if known.run.take().is_none() && !known.is_unreadable {
            return;
        }
        known.is_unreadable = false;
        self.watch.forget(job);
        if matches!(known.phase, Phase::Waiting { .. }) {
            self.look_at(now, job);
        }
    }

    /// The run of a job that is not known, or not any more: of an end nothing else counts.
    fn hear_early(&mut self, job: &JobId, run: EarlyRun) {
        if matches!(&run, EarlyRun::Run(_, run) if run.is_final()) {
            self.runs_early.take(job);
            self.ended.put(job);
        } else {
            self.ended.take(job);
            self.runs_early.put(job.clone(), run);
        }
    }

    /// The run of a job that is not ours has changed.
    pub(super) fn look_at(&mut self, now: Duration, job: &JobId) {
        let Some(known) = self.jobs.get_mut(job) else { return };
        known.judge_from = known.from;
        let run = known.run.as_ref().map(|(_, run)| run);
        let changes = match run {
            Some(run) if run.is_final() => false,
            // An earlier start of this engine may have it.
            Some(run) if is_part(&self.config.engine, run) => {
                self.taken.take(&known.spec);
                true
            }
            _ => self.taken.leave(&known.spec),
        };
        if changes {
            self.requeue_run(job);
        }
        let Some(known) = self.jobs.get_mut(job) else { return };
        match known.run.as_ref().map(|(_, run)| run) {
            Some(run) if run.is_final() => self.forget(job),
            Some(Run::Claimed { claim }) => {
                known.phase = Phase::Waiting { not_before: now };
                if self.is_watcher && known.is_judged(&self.config) {
                    self.watch.hear_claim(now, job, claim);
                } else {
                    self.watch.forget(job);
                }
                self.requeue(job);
            }
            // The keeper ends it.
            _ if now >= known.deadline() => self.forget(job),
            _ => {
                self.watch.forget(job);
                self.wait_for_turn(now, job);
            }
        }
    }

    /// A job that is ours is another's now.
    fn fence(&mut self, now: Duration, job: &JobId) -> Vec<Action> {
        let Some(known) = self.jobs.get_mut(job) else { return Vec::new() };
        match &mut known.phase {
            Phase::Fencing { fenced, .. } => {
                *fenced = true;
                Vec::new()
            }
            Phase::Running { stopping, .. } => {
                if stopping.replace(Why::LostClaim) == Some(Why::LostClaim) {
                    return Vec::new();
                }
                // Also whoever took it for dead is to learn that it lives.
                self.owes_beat = Some(now);
                vec![Action::Stop { job: job.clone(), why: Why::LostClaim }]
            }
            // Its last write will be refused, and its answer finds nobody.
            _ => {
                self.let_go(now, job);
                Vec::new()
            }
        }
    }

    /// A job is not ours any more: what is known of its run says what becomes of it here.
    pub(super) fn let_go(&mut self, now: Duration, job: &JobId) {
        self.give_up(now, job, now);
        self.look_at(now, job);
    }

    /// Somebody cancelled a job.
    pub fn hear_cancel(&mut self, job: &JobId) -> Vec<Action> {
        let Some(known) = self.jobs.get_mut(job) else {
            self.cancels_early.put(job.clone(), ());
            return Vec::new();
        };
        known.cancelled = true;
        if let Phase::Running { stopping: stopping @ None, .. } = &mut known.phase {
            *stopping = Some(Why::Cancelled);
            return vec![Action::Stop { job: job.clone(), why: Why::Cancelled }];
        }
        self.requeue(job);
        Vec::new()
    }

    /// A database was replaced by another of the same name, or is gone: what was claimed in it is void.
    pub fn hear_replaced(&mut self, database: &str) -> Vec<Action> {
        if !self.config.guards.has(Guard::IdentityVoids) {
            return Vec::new();
        }
        let jobs: Vec<JobId> = JobId::of_database(&self.jobs, database).cloned().collect();
        self.left_out.remove(database);
        self.later.remove(database);
        self.runs_early.hear_replaced(database);
        let mut actions = Vec::new();
        for job in jobs {
            let Some(known) = self.jobs.get_mut(&job) else { continue };
            known.void = true;
            match &mut known.phase {
                Phase::Running { stopping, .. } => {
                    if stopping.replace(Why::LostClaim) != Some(Why::LostClaim) {
                        actions.push(Action::Stop { job, why: Why::LostClaim });
                    }
                }
                // Forgotten when the answer comes.
                Phase::Fencing { .. } => {}
                _ => self.forget(&job),
            }
        }
        actions
    }

    /// The region has about so many engines.
    pub fn hear_engines(&mut self, count: u64) {
        self.herd.hear_engines(count);
    }

    /// Begins or ends to watch, when the number of engines says so.
    pub(super) fn take_role(&mut self, now: Duration) {
        let is_watcher =
            !self.leaves_home && self.herd.place(self.herd.engines(), "watch") < WATCHERS;
        if std::mem::replace(&mut self.is_watcher, is_watcher) == is_watcher {
            return;
        }
        if is_watcher {
            for (job, known) in &self.jobs {
                if matches!(known.phase, Phase::Waiting { .. })
                    && known.is_judged(&self.config)
                    && let Some((_, Run::Claimed { claim })) = &known.run
                {
                    self.watch.hear_claim(now, job, claim);
                }
            }
            return;
        }
        self.watch.forget_all();
        let is_late =
            |known: &Known| matches!(known.phase, Phase::Waiting { .. }) && now >= known.deadline();
        let late = self.jobs.iter().filter(|(_, known)| is_late(known));
        let late: Vec<JobId> = late.map(|(job, _)| job.clone()).collect();
        late.iter().for_each(|job| self.forget(job));
    }

    /// The store answered a poll with these beats.
    pub fn hear_beats(&mut self, now: Duration, region: &str, beats: &[Beat]) {
        self.watch.hear_beats(now, region, beats);
    }

    /// This engine can run the plugin with this digest from now on.
    pub fn add_plugin(&mut self, sha256: &str) {
        self.plugins.insert(sha256.to_owned());
        self.requeue_all();
    }

    /// The engine cannot run the plugin of this digest any more: its jobs are left to others.
    pub fn remove_plugin(&mut self, sha256: &str) {
        self.plugins.remove(sha256);
        self.requeue_all();
    }
}

/// Whether a run is the claim by which this engine holds the job.
fn is_own_claim(phase: &Phase, run: &Run) -> bool {
    matches!(run, Run::Claimed { claim } if phase.hold().is_some_and(|hold| hold.claim == *claim))
}
