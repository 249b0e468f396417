//! Gathers the tasks of one run that begin together: who is there when the time has come, and what is written for
//! whom. A part of the keeper, across regions; pure, like it.
//!
//! A task is there from its ready on. The run begins when all its tasks are there or have ended, and else so long after the
//! first was there, with a quorum of more than half; below it nobody begins. What was decided is the go in the database
//! of the run's first task, which takes only the first that is created: two keepers that decide at once, also
//! differently, agree when they have read it. The other tasks get copies of it, with what is left of the delay.
//!
//! A keeper that starts hears again of what is open. Of tasks that ended before that it hears nothing, and waits for
//! them as for any other.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use crate::early::Early;
use crate::feed::Heard;
use crate::id::JobId;
use crate::meeting::Go;
use crate::recent::Recent;
use crate::spec::Spec;
use crate::timing::{GATHER, GO_DELAY};

/// Ends that are remembered: feeds of several shards, and of several regions, may bring them before the specs of the run.
const ENDED_MAX: usize = 10_000;

/// A write that is not seen to have been taken is asked for again after this long: as long as a write may take.
pub const AGAIN: Duration = Duration::from_secs(5);

/// What is to be written, create-only, see [`Go::write`]. What stands then is told by [`Gather::hear_go`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Write {
    /// Whose go.
    pub job: JobId,
    /// What.
    pub go: Arc<Go>,
}

/// The runs of several tasks that have not ended.
#[derive(Debug)]
pub struct Gather {
    patience: Duration,
    delay: Duration,
    /// By their first task.
    runs: BTreeMap<JobId, Gathering>,
    /// The first task of each task's run.
    firsts: HashMap<JobId, JobId>,
    /// Runs of which a task was ready, or for which it is decided: those that something is to be done for.
    open: BTreeSet<JobId>,
    readies_early: Early<()>,
    gos_early: Early<Arc<Go>>,
    ended: Recent,
}

#[derive(Debug)]
struct Gathering {
    /// In the order of the run.
    tasks: Vec<Task>,
    first_ready: Option<Duration>,
    /// What stands at the first task, and since when that is known.
    decided: Option<(Duration, Arc<Go>)>,
}

#[derive(Debug)]
struct Task {
    job: JobId,
    /// Its spec was heard.
    heard: bool,
    ready: bool,
    ended: bool,
    /// Its go stands.
    told: bool,
    /// Its go was asked for: not again before this instant.
    asked_until: Duration,
}

impl Default for Gather {
    fn default() -> Self {
        Self::new(GATHER, GO_DELAY)
    }
}

impl Gather {
    /// Waits for so long after the first task was ready, and has all begin so long after hearing it.
    #[must_use]
    pub fn new(patience: Duration, delay: Duration) -> Self {
        Self {
            patience,
            delay,
            runs: BTreeMap::new(),
            firsts: HashMap::new(),
            open: BTreeSet::new(),
            readies_early: Early::default(),
            gos_early: Early::default(),
            ended: Recent::new(ENDED_MAX),
        }
    }

    /// Hears one thing of a feed; most of it is not for here.
    pub fn hear(&mut self, now: Duration, thing: &Heard) {
        match thing {
            Heard::Spec(spec) => self.hear_spec(now, spec),
            Heard::Ready(ready) => self.hear_ready(now, &ready.job),
            Heard::Go(job, go) => self.hear_go(now, job, Arc::clone(go)),
            Heard::Run(job, _, run) if run.is_final() => self.hear_end(job),
            Heard::Replaced(database) => self.hear_replaced(database),
            _ => {}
        }
    }

    /// A task is asked for. One that does not name itself among its run's, or names others than they do, is alone.
    fn hear_spec(&mut self, now: Duration, spec: &Spec) {
        let Some(first) = spec.tasks.first().filter(|_| spec.tasks.len() > 1) else { return };
        if !self.runs.contains_key(first) {
            self.enter(now, first, &spec.tasks);
        }
        let Some(run) = self.runs.get_mut(first) else { return };
        if !run.tasks.iter().map(|task| &task.job).eq(&spec.tasks) {
            tracing::warn!(job = %spec.job, %first, "a task of a run that has other tasks, left alone");
        } else if let Some(task) = run.task(&spec.job) {
            task.heard = true;
        }
        self.tidy(first);
    }

    /// A run that was not known, and what was heard of its tasks before.
    fn enter(&mut self, now: Duration, first: &JobId, tasks: &[JobId]) {
        let mut run = Gathering::new(tasks);
        for task in &mut run.tasks {
            self.firsts.entry(task.job.clone()).or_insert_with(|| first.clone());
            task.ended = self.ended.has(&task.job);
            task.ready = self.readies_early.take(&task.job).is_some();
            if task.ready {
                run.first_ready = Some(now);
            }
            let go = self.gos_early.take(&task.job);
            task.told = go.is_some();
            if task.job == *first {
                run.decided = go.map(|go| (now, go));
            }
        }
        if run.first_ready.is_some() || run.decided.is_some() {
            self.open.insert(first.clone());
        }
        self.runs.insert(first.clone(), run);
    }

    /// A task has all that it needs, and waits.
    pub fn hear_ready(&mut self, now: Duration, job: &JobId) {
        let Some((first, run)) = self.run_of(job) else {
            return self.readies_early.put(job.clone(), ());
        };
        if let Some(task) = run.task(job) {
            task.ready = true;
            run.first_ready.get_or_insert(now);
            self.open.insert(first);
        }
    }

    /// This stands as the go of a task.
    pub fn hear_go(&mut self, now: Duration, job: &JobId, go: Arc<Go>) {
        let Some((first, run)) = self.run_of(job) else {
            return self.gos_early.put(job.clone(), go);
        };
        if let Some(task) = run.task(job) {
            task.told = true;
        }
        if *job == first && run.decided.is_none() {
            run.decided = Some((now, go));
        }
        self.open.insert(first.clone());
        self.tidy(&first);
    }

    fn hear_end(&mut self, job: &JobId) {
        let Some((first, run)) = self.run_of(job) else { return self.ended.put(job) };
        if let Some(task) = run.task(job) {
            task.ended = true;
        }
        self.tidy(&first);
    }

    fn hear_replaced(&mut self, database: &str) {
        let gone = self.firsts.keys().filter(|job| job.jobs_database() == database);
        for job in gone.cloned().collect::<Vec<JobId>>() {
            self.hear_end(&job);
        }
        // There the decision would stand.
        let gone = JobId::of_database(&self.runs, database);
        for first in gone.cloned().collect::<Vec<JobId>>() {
            self.forget(&first);
        }
    }

    /// What is to be written now, for the runs whose first task is in a region that this keeper `keeps`.
    pub fn tick(&mut self, now: Duration, keeps: impl Fn(&str) -> bool) -> Vec<Write> {
        let mut writes = Vec::new();
        for first in self.open.iter().filter(|first| keeps(first.region())) {
            let Some(run) = self.runs.get_mut(first) else { continue };
            if let Some(go) = run.decision(now, self.patience, self.delay) {
                writes.push(run.write(now, 0, &go));
            }
            if let Some((since, go)) = run.decided.clone() {
                let left = go.delay().saturating_sub(now.saturating_sub(since));
                let delay_ms = u64::try_from(left.as_millis()).unwrap_or(u64::MAX);
                let copy = Arc::new(Go { delay_ms, ..(*go).clone() });
                for place in 0..run.tasks.len() {
                    if run.tasks[place].owes_copy() && run.tasks[place].asked_until <= now {
                        writes.push(run.write(now, place, &copy));
                    }
                }
            }
        }
        writes
    }

    /// When something is to be written next, if nothing is heard until then.
    #[must_use]
    pub fn due(&self, keeps: impl Fn(&str) -> bool) -> Option<Duration> {
        let open = self.open.iter().filter(|first| keeps(first.region()));
        open.filter_map(|first| self.runs.get(first)?.due(self.patience)).min()
    }

    fn run_of(&mut self, job: &JobId) -> Option<(JobId, &mut Gathering)> {
        let first = self.firsts.get(job)?;
        Some((first.clone(), self.runs.get_mut(first)?))
    }

    /// Forgets a run for which nothing is left to do.
    fn tidy(&mut self, first: &JobId) {
        if self.runs.get(first).is_some_and(Gathering::is_over) {
            self.forget(first);
        }
    }

    fn forget(&mut self, first: &JobId) {
        self.open.remove(first);
        for task in self.runs.remove(first).map(|run| run.tasks).unwrap_or_default() {
            if self.firsts.get(&task.job) == Some(first) {
                self.firsts.remove(&task.job);
            }
            // The spec of another may still come.
            if task.ended {
                self.ended.put(&task.job);
            }
        }
    }
}

impl Gathering {
    fn new(tasks: &[JobId]) -> Self {
        let task = |job: &JobId| Task {
            job: job.clone(),
            heard: false,
            ready: false,
            ended: false,
            told: false,
            asked_until: Duration::ZERO,
        };
        Self { tasks: tasks.iter().map(task).collect(), first_ready: None, decided: None }
    }

    fn task(&mut self, job: &JobId) -> Option<&mut Task> {
        self.tasks.iter_mut().find(|task| task.job == *job)
    }

    /// When it is to be decided who begins.
    fn decides_at(&self, patience: Duration) -> Option<Duration> {
        let first = self.first_ready?;
        let all = self.tasks.iter().all(|task| task.ready || task.ended);
        Some(if all { first } else { first.saturating_add(patience) })
    }

    fn due(&self, patience: Duration) -> Option<Duration> {
        if self.decided.is_none() {
            let asked = self.tasks.first()?.asked_until;
            return Some(self.decides_at(patience)?.max(asked));
        }
        self.tasks.iter().filter(|task| task.owes_copy()).map(|task| task.asked_until).min()
    }

    fn decision(&self, now: Duration, patience: Duration, delay: Duration) -> Option<Arc<Go>> {
        if self.decided.is_some() || self.due(patience)? > now {
            return None;
        }
        let is_member = |task: &&Task| task.ready && !task.ended;
        let jobs = |tasks: Vec<&Task>| tasks.into_iter().map(|task| task.job.clone()).collect();
        let (members, missing): (Vec<&Task>, Vec<&Task>) = self.tasks.iter().partition(is_member);
        let (there, asked) = (members.len(), self.tasks.len());
        if there * 2 > asked {
            return Some(Arc::new(Go::begin(jobs(members), jobs(missing), delay)));
        }
        let why = if missing.iter().all(|task| task.ended) {
            "the other tasks have ended".to_owned()
        } else {
            format!("the others were not ready {} s after the first", patience.as_secs_f64())
        };
        let reason = format!(
            "{there} of {asked} engines can begin, and it takes more than half of them: {why}; start more engines, or ask \
             for fewer (--engines)"
        );
        Some(Arc::new(Go::refuse(jobs(missing), reason)))
    }

    fn write(&mut self, now: Duration, place: usize, go: &Arc<Go>) -> Write {
        let task = &mut self.tasks[place];
        task.asked_until = now + AGAIN;
        Write { job: task.job.clone(), go: Arc::clone(go) }
    }

    /// Whether everybody who was heard of has ended, or all have their go.
    fn is_over(&self) -> bool {
        self.tasks.iter().all(|task| task.ended || task.told)
            || self.tasks.iter().all(|task| task.ended || !task.heard && !task.ready)
    }
}

impl Task {
    fn owes_copy(&self) -> bool {
        !self.told && !self.ended
    }
}

#[cfg(test)]
mod tests;
