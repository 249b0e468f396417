//! One engine's side of the contest for jobs, as a pure state machine: what it hears goes in, what it should
//! do comes out. The engine performs the actions and reports back; the simulation does the same.
//!
//! A job's way through it is in `phase`: it waits, is being claimed, passes its start fence if it must not run
//! twice, runs, and is closed by the writing of its end (or is given back). Beside that the engine may be a watcher
//! of its region: it judges the claims of engines that fell silent, and takes their jobs when it has a slot.
//!
//! It stays at one home of its region, under one epoch, and claims there only. An engine whose region gets another home has a
//! contest there too, with a start of its own, and [leaves](Contest::leave_home) this one; which jobs are a stay's is in
//! `epoch`.
//!
//! Instants are durations since any fixed moment of this machine's own clock, one that goes on while the machine sleeps.

mod epoch;
mod phase;
mod queue;
mod sharing;
mod taken;
mod hear;
mod answer;
mod starts;
mod tick;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;
use std::time::Duration;

use blitz_couchdb::Revision;

use crate::early::{Early, EarlyRun};
use crate::engine::Held;
use crate::guards::Guards;
use crate::herd::Herd;
use crate::id::{Incarnation, JobId};
use crate::recent::Recent;
use crate::run::{Claim, Run};
use crate::spec::Spec;
use crate::start::Start;
use crate::timing::Timing;
use crate::watch::Watch;
use phase::{Known, Phase};
use taken::Taken;

pub use starts::{BESIDE_MAX, DIED_MAX};
pub use taken::RUNS_TAKEN_MAX;

/// Jobs that an engine knows at once. Above it new ones are not taken in, and the open jobs are listed again
/// when there is room, see [`Contest::wants_listing`].
pub const JOBS_KNOWN_MAX: usize = 100_000;

/// Jobs that an engine remembers to have ended: a copy of the store may tell their specs again, a moment after the
/// others or, when it was away, all at once. One that is told later is claimed, and that claim is refused.
pub const ENDED_MAX: usize = 10_000;

/// About so many engines of a region watch the claims of all others: enough that none being there is a rare thing
/// (e^-8, and then there is the keeper), few enough that their polls are no load.
pub const WATCHERS: u64 = 8;

/// Who contends.
#[derive(Debug, Clone)]
pub struct Config {
    /// The engine's instance id.
    pub engine: String,
    /// Which start of it.
    pub incarnation: Incarnation,
    /// Its region: the jobs of others are not its own, wherever it hears of them.
    pub region: String,
    /// The region's home epoch, or the one after it where `only_safe`.
    pub epoch: u32,
    /// Whether this is the stay of an engine that left its home by itself: it takes only what may run twice.
    pub only_safe: bool,
    /// How much it runs at once: a job takes one slot, or as many as its limits say.
    pub slots: u32,
    /// The durations of the protocol.
    pub timing: Timing,
    /// Its safety rules.
    pub guards: Guards,
}

/// What the engine should do.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Write this run over the revision as [`crate::writing`] says, and report with [`Contest::write_answered`].
    /// There is at most one at a time for a job.
    Write {
        /// The job.
        job: JobId,
        /// The revision of the run that it replaces, if there is one.
        over: Option<Revision>,
        /// The body: a claim of this engine, an end, a giving back, or the verdict on another's claim.
        run: Run,
    },
    /// Pass the start fence as [`crate::start`] says, and report with [`Contest::fence_answered`].
    Fence {
        /// The job.
        job: JobId,
        /// The fence.
        start: Start,
        /// The revision of the claim.
        claim: Revision,
    },
    /// Run the job, and report with [`Contest::job_ended`].
    Start {
        /// What to run.
        spec: Arc<Spec>,
        /// Under which claim.
        claim: Claim,
        /// What is left of the job's time.
        time_left: Duration,
    },
    /// Stop the job that was started, and report with [`Contest::job_ended`] as always.
    Stop {
        /// The job.
        job: JobId,
        /// Why.
        why: Why,
    },
    /// Write a beat with this counter for these jobs, and report with [`Contest::beat_acknowledged`] when
    /// a majority has it.
    Beat {
        /// Rises with each beat.
        counter: u64,
        /// What is held.
        held: Vec<Held>,
    },
    /// Read the beats of these engines, and report with [`Contest::hear_beats`] when the store answers.
    Poll {
        /// Instance ids.
        engines: BTreeSet<String>,
    },
}

/// Why a job must stop here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// Somebody cancelled it: it ends as cancelled.
    Cancelled,
    /// It is another's: write no more output.
    LostClaim,
    /// It may soon be another's, since no beat was acknowledged: write no more output.
    LostLease,
    /// This engine goes, another will run it from its start.
    Release,
}

impl Why {
    /// Whether nothing more may be written of the job.
    #[must_use]
    pub fn is_loss(self) -> bool {
        matches!(self, Self::LostClaim | Self::LostLease)
    }
}

/// The contest as one engine sees it.
#[derive(Debug)]
pub struct Contest {
    config: Config,
    /// When it heard of its first job.
    began: Option<Duration>,
    herd: Herd,
    watch: Watch,
    /// Whether it watches the claims of others: of many engines a few do.
    is_watcher: bool,
    jobs: BTreeMap<JobId, Known>,
    /// The jobs that take slots: claimed, or being claimed, by this engine.
    busy: BTreeSet<JobId>,
    /// The jobs of which a write is under way. It is kept apart from what is known of them: the answer to a write
    /// that means nothing any more must not be taken for that to a later one.
    writes: BTreeSet<JobId>,
    slots_taken: u32,
    /// By other stays of this engine.
    slots_elsewhere: u32,
    /// The jobs that may be claimed, by the instant from which on.
    queue: BTreeSet<(Duration, JobId)>,
    /// When the time of each job is over, waiting or not.
    deadlines: BTreeSet<(Duration, JobId)>,
    /// Cancels and runs that came before their spec.
    cancels_early: Early<()>,
    runs_early: Early<EarlyRun>,
    /// The jobs that have ended of late: whoever tells their specs again tells nothing.
    ended: Recent,
    /// Digests of the plugins that this engine can run.
    plugins: HashSet<String>,
    /// The runs of which this engine has its task.
    taken: Taken,
    /// Of each database the oldest job that was left out because too many were known.
    left_out: BTreeMap<String, JobId>,
    /// Of each database the oldest job that was admitted for a later home: who stays there lists it again.
    later: BTreeMap<String, JobId>,
    /// Other starts of this engine that live, at homes that it has not left yet or is to come back to.
    beside: Vec<Incarnation>,
    leaves_home: bool,
    draining: bool,
    gives_back: bool,
    /// When the next job may be claimed, as of the last tick.
    claim_due: Option<Duration>,
    counter: u64,
    /// What earlier starts of this engine held when they died, by start: said with each beat.
    died: Vec<Held>,
    beat_due: Duration,
    /// It stopped jobs since this instant because its beats failed, or read that it, or an earlier start of it, is taken
    /// for dead, and owes the world a sign that it lives.
    owes_beat: Option<Duration>,
}

impl Contest {
    /// An engine that knows of no job yet.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self {
            began: None,
            herd: Herd::new(&config.engine),
            watch: Watch::new(config.timing, config.guards),
            is_watcher: true,
            config,
            jobs: BTreeMap::new(),
            busy: BTreeSet::new(),
            writes: BTreeSet::new(),
            slots_taken: 0,
            slots_elsewhere: 0,
            queue: BTreeSet::new(),
            deadlines: BTreeSet::new(),
            cancels_early: Early::default(),
            runs_early: Early::default(),
            ended: Recent::new(ENDED_MAX),
            plugins: HashSet::new(),
            taken: Taken::default(),
            left_out: BTreeMap::new(),
            later: BTreeMap::new(),
            beside: Vec::new(),
            leaves_home: false,
            draining: false,
            gives_back: false,
            claim_due: None,
            counter: 0,
            died: Vec::new(),
            beat_due: Duration::ZERO,
            owes_beat: None,
        }
    }

    /// Claims nothing any more.
    pub fn drain(&mut self) {
        self.draining = true;
    }

    /// The drain is over: what still runs is given back, or ended where it must not run twice.
    pub fn give_back(&mut self) -> Vec<Action> {
        self.draining = true;
        self.gives_back = true;
        self.stop_running(|known| {
            Some(if known.may_retry() { Why::Release } else { Why::Cancelled })
        })
    }

    /// The region has another home: this stay claims nothing any more and watches nobody. What may run twice is given back
    /// here at once, so that it can begin there; what must not comes to its end here.
    pub fn leave_home(&mut self) -> Vec<Action> {
        self.draining = true;
        self.leaves_home = true;
        self.stop_running(|known| known.may_retry().then_some(Why::Release))
    }

    fn stop_running(&mut self, why: impl Fn(&Known) -> Option<Why>) -> Vec<Action> {
        let mut actions = Vec::new();
        for job in &self.busy {
            let Some(known) = self.jobs.get_mut(job) else { continue };
            let Some(why) = why(known) else { continue };
            if let Phase::Running { stopping: stopping @ None, .. } = &mut known.phase {
                *stopping = Some(why);
                actions.push(Action::Stop { job: job.clone(), why });
            }
        }
        actions
    }

    /// Whether it watches the claims of others.
    #[must_use]
    pub fn is_watcher(&self) -> bool {
        self.is_watcher
    }

    /// Whether it could claim this job, were it open now.
    #[must_use]
    pub fn has_room(&self, job: &JobId) -> bool {
        let weight = self.jobs.get(job).map(|known| known.weight(self.config.slots));
        !self.draining && weight.is_some_and(|weight| weight <= self.slots_free())
    }

    /// How many jobs are claimed, being claimed, or being closed.
    #[must_use]
    pub fn busy(&self) -> usize {
        self.busy.len()
    }

    /// Whether the output of a job may still be written: its lease is not over, and it is not another's.
    #[must_use]
    pub fn may_write(&self, now: Duration, job: &JobId) -> bool {
        match self.jobs.get(job).map(|known| &known.phase) {
            Some(Phase::Running { hold, stopping }) => {
                !hold.is_over(now, &self.config) && stopping.is_none_or(|why| !why.is_loss())
            }
            Some(Phase::Closing { run, .. }) => run.end().is_some(),
            _ => false,
        }
    }

    /// Whether jobs were left out that could be taken in now: list the open ones again. Says so once.
    pub fn wants_listing(&mut self) -> bool {
        let wants = !self.left_out.is_empty() && self.jobs.len() < JOBS_KNOWN_MAX / 2;
        if wants {
            self.left_out.clear();
        }
        wants
    }

    /// The oldest open job of a database that this engine heard of: a listing after a restart begins there. Jobs
    /// that were left out count until they are wanted again.
    #[must_use]
    pub fn oldest(&self, database: &str) -> Option<&JobId> {
        let known = JobId::of_database(&self.jobs, database).next();
        let left = [&self.left_out, &self.later].into_iter().filter_map(|of| of.get(database));
        known.into_iter().chain(left).min()
    }

    /// What it waits for before it claims, for figures: D, the width of a tier.
    #[must_use]
    pub fn herd_step(&self) -> Duration {
        self.herd.step()
    }
}

#[cfg(test)]
mod tests;
