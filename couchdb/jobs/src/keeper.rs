//! The keeper ends what no engine can: jobs that nobody took in time, that were cancelled before anybody
//! began, or whose engine is gone and no engine watches; and it removes the leaves that lost (`losers`). A role of
//! the gateway; pure, like the contest.
//!
//! One keeper works at a time, see [`crate::duty`]. Should two do for a moment, each step is a compare-and-set, and the
//! first one wins.

mod epoch;
mod losers;
mod quarantine;
mod watched;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use blitz_contract::Retry;
use blitz_couchdb::Revision;

use crate::contest::WATCHERS;
use crate::early::{Early, EarlyRun};
use crate::engine::Beat;
use crate::feed::Heard;
use crate::guards::Guards;
use crate::id::JobId;
use crate::run::{Run, Step};
use crate::spec::Spec;
use crate::timing::Timing;
use crate::watch::{self, Watch};

pub use losers::LOSERS_MAX;
pub use quarantine::{POISONED_MAX, Plugin, Quarantine};

use epoch::Home;
use losers::Losers;
use watched::Watched;

/// What the keeper wants done.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Write a step, as [`crate::writing`] says.
    Write {
        /// The job.
        job: JobId,
        /// The revision that it replaces, if there is one.
        over: Option<Revision>,
        /// The new state.
        run: Run,
    },
    /// Remove those of these leaves of the job's run that lost, see [`crate::claim::remove`], and report with
    /// [`Keeper::remove_answered`]. Without a report it is asked for again.
    Remove {
        /// The job.
        job: JobId,
        /// Revisions.
        losers: Vec<Revision>,
    },
    /// Mark this version of a plugin as yanked, see [`crate::plugin`]: its jobs kill engines.
    Yank {
        /// Which version.
        plugin: Plugin,
        /// Why, for its publisher and its users.
        reason: String,
    },
}

/// What the keeper knows of the jobs that have not ended.
#[derive(Debug)]
pub struct Keeper {
    home: Home,
    jobs: BTreeMap<JobId, Watched>,
    cancels_early: Early<()>,
    runs_early: Early<EarlyRun>,
    watch: Watch,
    /// When each job is to be looked at next.
    looks: BTreeSet<(Duration, JobId)>,
    losers: Losers,
    quarantine: Quarantine,
    yanks: Vec<(Plugin, String)>,
}

impl Keeper {
    /// A keeper that knows of no job, at the first home of a region; see [`Self::hear_epoch`].
    #[must_use]
    pub fn new(timing: Timing, guards: Guards) -> Self {
        Self {
            home: Home { epoch: 1, timing, guards },
            jobs: BTreeMap::new(),
            cancels_early: Early::default(),
            runs_early: Early::default(),
            watch: Watch::new(timing, guards),
            looks: BTreeSet::new(),
            losers: Losers::new(timing),
            quarantine: Quarantine::default(),
            yanks: Vec::new(),
        }
    }

    /// The home that this keeper keeps has this epoch: it is told before anything of a region that has moved, and again when
    /// the region moves here. Jobs that were heard of before are counted anew from now on. Hearing it again, or an earlier
    /// one, changes nothing.
    pub fn hear_epoch(&mut self, now: Duration, epoch: u32) {
        if epoch <= self.home.epoch {
            return;
        }
        self.home.epoch = epoch;
        for watched in self.jobs.values_mut() {
            watched.count_from(now, &self.home);
        }
        let jobs: Vec<JobId> = self.jobs.keys().cloned().collect();
        for job in jobs {
            self.judge(now, &job);
            self.replan(&job);
        }
    }

    /// Hears one thing of the feed.
    pub fn hear(&mut self, now: Duration, thing: Heard) {
        match thing {
            Heard::Spec(spec) => self.hear_spec(now, &spec),
            Heard::Run(job, revision, run) => self.hear_run(now, &job, revision, run),
            Heard::Losers(job, losers) => self.hear_losers(&job, losers),
            Heard::Unreadable(job, revision) => self.hear_unreadable(now, &job, revision),
            Heard::NoRun(job) => self.hear_no_run(now, &job),
            Heard::Cancel(job) => self.hear_cancel(&job),
            Heard::Replaced(database) => self.hear_replaced(&database),
            // The former two are for who gathers the tasks of a run.
            Heard::Ready(_) | Heard::Go(..) | Heard::Place(_) => {}
        }
    }

    /// A job is asked for.
    pub fn hear_spec(&mut self, now: Duration, spec: &Spec) {
        if self.jobs.contains_key(&spec.job) {
            return;
        }
        let cancelled = self.cancels_early.take(&spec.job).is_some();
        let run = self.runs_early.take(&spec.job);
        if let Some(EarlyRun::Run(_, run)) = &run
            && run.is_final()
        {
            self.hear_end(&spec.job, Plugin::of(spec), run);
            return;
        }
        let watched = Watched::new(spec, &self.home, now, cancelled);
        self.jobs.insert(spec.job.clone(), watched);
        match run {
            Some(EarlyRun::Run(revision, run)) => self.hear_run(now, &spec.job, revision, run),
            Some(EarlyRun::Unreadable(revision)) => {
                self.hear_unreadable(now, &spec.job, revision);
            }
            None => self.replan(&spec.job),
        }
    }

    /// The run of a job has this state: the leaf that counts.
    pub fn hear_run(&mut self, now: Duration, job: &JobId, revision: Revision, run: Run) {
        let Some(watched) = self.jobs.get_mut(job) else {
            self.runs_early.put(job.clone(), EarlyRun::Run(revision, run));
            return;
        };
        if watched.run.as_ref().is_some_and(|(known, _)| *known == revision) {
            return;
        }
        if run.is_final() {
            if let Some(watched) = self.forget(job) {
                self.hear_end(job, watched.plugin, &run);
            }
            return;
        }
        watched.wait_anew(now);
        watched.unreadable = None;
        watched.run = Some((revision, run));
        self.judge(now, job);
        self.replan(job);
    }

    /// Watches who has a job, where silence is to be the end of his claim.
    fn judge(&mut self, now: Duration, job: &JobId) {
        let Some(watched) = self.jobs.get(job) else { return };
        match watched.judged(&self.home) {
            Some(claim) => self.watch.hear_claim(now, job, claim),
            None => self.watch.forget(job),
        }
    }

    /// The run of a job cannot be read by this version. A newer one may have it, so that it gets all its time; then
    /// it is ended over what cannot be read, for nobody will.
    pub fn hear_unreadable(&mut self, now: Duration, job: &JobId, revision: Revision) {
        let Some(watched) = self.jobs.get_mut(job) else {
            self.runs_early.put(job.clone(), EarlyRun::Unreadable(revision));
            return;
        };
        if watched.unreadable.as_ref() == Some(&revision) {
            return;
        }
        if watched.unreadable.is_none() {
            watched.wait_anew(now);
        }
        watched.asked_until = Duration::ZERO;
        watched.run = None;
        watched.unreadable = Some(revision);
        self.watch.forget(job);
        self.replan(job);
    }

    /// The run of a job was deleted: it is queued again.
    pub fn hear_no_run(&mut self, now: Duration, job: &JobId) {
        self.runs_early.take(job);
        let Some(watched) = self.jobs.get_mut(job) else { return };
        if watched.run.take().is_none() && watched.unreadable.take().is_none() {
            return;
        }
        watched.unreadable = None;
        watched.wait_anew(now);
        self.watch.forget(job);
        self.replan(job);
    }

    /// The run of a job has leaves beside the one that counts; these are they, or all of its leaves.
    pub fn hear_losers(&mut self, job: &JobId, losers: Vec<Revision>) {
        self.losers.hear(job, losers);
    }

    /// A removal was answered: these of its leaves are gone, or lose no more. The others are asked for again.
    pub fn remove_answered(&mut self, now: Duration, job: &JobId, gone: &[Revision]) {
        self.losers.hear_gone(now, job, gone);
    }

    /// Somebody cancelled a job.
    pub fn hear_cancel(&mut self, job: &JobId) {
        match self.jobs.get_mut(job) {
            Some(watched) => watched.cancelled = true,
            None => self.cancels_early.put(job.clone(), ()),
        }
        self.replan(job);
    }

    /// A database was replaced by another of the same name, or is gone: its jobs are no more.
    pub fn hear_replaced(&mut self, database: &str) {
        let gone: Vec<JobId> = JobId::of_database(&self.jobs, database).cloned().collect();
        for job in gone {
            self.forget(&job);
        }
        self.losers.hear_replaced(database);
        // A run that came again after its end would pass for that of a job that comes back.
        self.runs_early.hear_replaced(database);
    }

    /// The regions and engines whose beats are to be polled now, if it is time.
    pub fn poll(&mut self, now: Duration) -> BTreeMap<String, BTreeSet<String>> {
        self.watch.poll(now)
    }

    /// The store answered a poll with these beats; engines without one are silent.
    pub fn hear_beats(&mut self, now: Duration, region: &str, beats: &[Beat]) {
        self.watch.hear_beats(now, region, beats);
    }

    /// The steps that are due. One that is not seen to be taken is asked for again after a beat.
    pub fn tick(&mut self, now: Duration) -> Vec<Action> {
        let removals = self.losers.tick(now).into_iter();
        let mut actions: Vec<Action> =
            removals.map(|(job, losers)| Action::Remove { job, losers }).collect();
        let yanks = std::mem::take(&mut self.yanks).into_iter();
        actions.extend(yanks.map(|(plugin, reason)| Action::Yank { plugin, reason }));
        while let Some((at, job)) = self.looks.first().cloned()
            && at <= now
        {
            self.looks.pop_first();
            if let Some(watched) = self.jobs.get_mut(&job) {
                watched.look = None;
                if let Some(step) = watched.step(now, &self.home, job.region()) {
                    actions.extend(watched.write(now, &self.home.timing, &job, step));
                }
            }
            self.replan(&job);
        }
        // Engines go first: they can take a job, and the keeper can only open it for them.
        let after = self.home.timing.take_turns * u32::try_from(WATCHERS).unwrap_or(u32::MAX);
        for silence in self.watch.silent(now, |_| after) {
            let Some(watched) = self.jobs.get_mut(&silence.job) else { continue };
            if now < watched.asked_until.max(watched.from) {
                continue;
            }
            let step = Step::Dead {
                incarnation: silence.claim.incarnation.clone(),
                counter: silence.counter,
                survivors: silence.survivors,
                may_retry: watched.retry == Retry::Safe && !watched.cancelled,
                reason: watch::reason(&silence.claim, self.home.timing.dead),
                taker: None,
            };
            actions.extend(watched.write(now, &self.home.timing, &silence.job, step));
        }
        actions
    }

    /// When something may be due next, if nothing is heard until then.
    #[must_use]
    pub fn due(&self) -> Option<Duration> {
        let yanks = (!self.yanks.is_empty()).then_some(Duration::ZERO);
        let look = self.looks.first().map(|(at, _)| *at);
        let due = yanks.into_iter().chain(self.losers.due()).chain(look);
        due.chain(self.watch.due()).min()
    }

    /// A job has ended: a poisoned one counts against its plugin, and one that the plugin ended for it.
    fn hear_end(&mut self, job: &JobId, plugin: Plugin, run: &Run) {
        if matches!(run, Run::Done { .. }) {
            self.quarantine.hear_done(&plugin);
        }
        if matches!(run, Run::Poison { .. })
            && let Some(reason) = self.quarantine.hear_poison(job, &plugin)
        {
            self.yanks.push((plugin, reason));
        }
    }

    fn forget(&mut self, job: &JobId) -> Option<Watched> {
        self.watch.forget(job);
        let watched = self.jobs.remove(job)?;
        if let Some(look) = watched.look {
            self.looks.remove(&(look, job.clone()));
        }
        Some(watched)
    }

    /// Gives the job its place among the looks.
    fn replan(&mut self, job: &JobId) {
        let Some(watched) = self.jobs.get_mut(job) else { return };
        let look = watched.look_at(&self.home);
        if look == watched.look {
            return;
        }
        if let Some(at) = watched.look {
            self.looks.remove(&(at, job.clone()));
        }
        if let Some(at) = look {
            self.looks.insert((at, job.clone()));
        }
        watched.look = look;
    }
}

#[cfg(test)]
mod tests;
