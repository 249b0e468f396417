//! Performs what the pure `blitz_jobs::keeper` decides, in each region where this gateway has the duty: polls beats,
//! writes ends, removes leaves that lost, takes back versions that kill engines.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use blitz_couchdb::{Client, Database, Revision};
use blitz_jobs::clock::Clock;
use blitz_jobs::duty::{self, Duty};
use blitz_jobs::engine::Beat;
use blitz_jobs::feed::Heard;
use blitz_jobs::guards::Guards;
use blitz_jobs::keeper::{Action, Keeper, Plugin};
use blitz_jobs::plugin::marks::MarkKind;
use blitz_jobs::plugin::{Mark, mark};
use blitz_jobs::region::beats_database;
use blitz_jobs::timing::Timing;
use blitz_jobs::writing::Answer;
use blitz_jobs::{Incarnation, JobId, Run, claim, read};
use tokio::sync::mpsc::Receiver;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::submit::now_ms;

/// The keeper looks again at least this often, and at most: its durations are seconds.
const LOOK_MAX: Duration = Duration::from_secs(1);
const LOOK_MIN: Duration = Duration::from_millis(10);

/// A mark that was not written is written again after this long, so many times: a plugin that goes on killing
/// engines is counted again.
const MARK_AGAIN: Duration = Duration::from_secs(2);
const MARK_TRIES: u32 = 30;

/// Giving the duties back may take this long; then their leases run out by themselves.
const LEAVE_MAX: Duration = Duration::from_secs(2);

/// The duty's name in the region's leases.
const DUTY: &str = "keeper";

/// What the keeper is told.
#[derive(Debug)]
pub(crate) struct Told {
    /// There is this region.
    pub(crate) region: String,
    /// What was heard in it.
    pub(crate) thing: Option<Heard>,
}

/// Who keeps.
#[derive(Debug, Clone)]
pub(crate) struct Worker {
    pub(crate) store: Client,
    pub(crate) timing: Timing,
    /// For people who look at leases.
    pub(crate) name: String,
    pub(crate) incarnation: Incarnation,
}

/// One region.
struct Room {
    keeper: Keeper,
    /// Whether this gateway keeps it.
    on: watch::Receiver<bool>,
}

enum Done {
    Beats(String, Option<Vec<Beat>>),
    /// The copies of the job's database where they are known now, and what was learned of its run.
    Job(JobId, Option<u32>, Vec<Heard>),
    /// The copies as above, and the leaves that are gone.
    Removed(JobId, Option<u32>, Vec<Revision>),
    Marked,
}

/// What the loop owns.
struct Keeping {
    worker: Worker,
    clock: Clock,
    rooms: BTreeMap<String, Room>,
    copies: HashMap<String, u32>,
    tasks: JoinSet<Done>,
    duties: JoinSet<()>,
    /// A duty has changed hands.
    changed: Arc<Notify>,
}

/// Keeps until `stop`, or until nobody tells anything; then gives its duties back.
pub(crate) async fn keep(worker: Worker, mut told: Receiver<Told>, stop: CancellationToken) {
    let mut keeping = Keeping {
        worker,
        clock: Clock::start(),
        rooms: BTreeMap::new(),
        copies: HashMap::new(),
        tasks: JoinSet::new(),
        duties: JoinSet::new(),
        changed: Arc::new(Notify::new()),
    };
    loop {
        let wait = keeping.look();
        let changed = Arc::clone(&keeping.changed);
        tokio::select! {
            () = stop.cancelled() => break,
            thing = told.recv() => {
                let Some(thing) = thing else { break };
                let mut things = vec![thing];
                // A listing brings thousands: they are looked at together.
                things.extend((0..told.max_capacity()).map_while(|_| told.try_recv().ok()));
                things.into_iter().for_each(|thing| keeping.hear(thing, &stop));
            }
            Some(done) = keeping.tasks.join_next() => match done {
                Ok(done) => keeping.done(done),
                Err(error) => tracing::error!(%error, "a task of the keeper failed"),
            },
            () = changed.notified() => {}
            () = tokio::time::sleep(wait) => {}
        }
    }
    stop.cancel();
    let leaves = async { while keeping.duties.join_next().await.is_some() {} };
    if timeout(LEAVE_MAX, leaves).await.is_err() {
        tracing::warn!("the keeper's duties are not given back: no answer");
    }
}

impl Keeping {
    fn hear(&mut self, Told { region, thing }: Told, stop: &CancellationToken) {
        let now = self.clock.now();
        if let Some(Heard::Replaced(database)) = &thing {
            self.copies.remove(database);
        }
        if !self.rooms.contains_key(&region) {
            let room = self.enter(&region, stop);
            self.rooms.insert(region.clone(), room);
        }
        if let (Some(room), Some(thing)) = (self.rooms.get_mut(&region), thing) {
            room.keeper.hear(now, thing);
        }
    }

    /// A region's keeper, and this gateway's side of the duty.
    fn enter(&mut self, region: &str, stop: &CancellationToken) -> Room {
        let Worker { store, timing, name, incarnation } = self.worker.clone();
        let (say, on) = watch::channel(false);
        let (database, clock, changed) =
            (store.database(&beats_database(region)), self.clock, Arc::clone(&self.changed));
        let (stop, mut changes) = (stop.clone(), on.clone());
        let duty = Duty::new(&name, incarnation, timing);
        self.duties.spawn(async move {
            let leave = stop.cancelled();
            let keeps = duty::keep(database, DUTY, duty, || clock.now(), timing.beat, say, leave);
            let tells = async {
                while changes.changed().await.is_ok() {
                    changed.notify_one();
                }
            };
            tokio::join!(keeps, tells);
        });
        Room { keeper: Keeper::new(timing, Guards::default()), on }
    }

    /// Does what is due; gives how long there is nothing more.
    fn look(&mut self) -> Duration {
        let now = self.clock.now();
        let mut due = None;
        let mut actions = Vec::new();
        for room in self.rooms.values_mut().filter(|room| *room.on.borrow()) {
            actions.extend(room.keeper.tick(now));
            for (region, engines) in room.keeper.poll(now) {
                let ids = engines.iter().map(|engine| Beat::document_id(engine)).collect();
                self.tasks.spawn(poll(self.worker.store.clone(), region, ids));
            }
            due = due.into_iter().chain(room.keeper.due()).min();
        }
        for action in actions {
            self.perform(action);
        }
        due.map_or(LOOK_MAX, |due: Duration| due.saturating_sub(now).clamp(LOOK_MIN, LOOK_MAX))
    }

    fn perform(&mut self, action: Action) {
        match action {
            Action::Write { job, over, run } => {
                let (jobs, known) = self.jobs(&job);
                self.tasks.spawn(write(jobs, known, job, over, run));
            }
            Action::Remove { job, losers } => {
                let (jobs, known) = self.jobs(&job);
                self.tasks.spawn(remove(jobs, known, job, losers));
            }
            Action::Yank { plugin, reason } => {
                self.tasks.spawn(yank(self.worker.store.clone(), plugin, reason));
            }
        }
    }

    fn jobs(&self, job: &JobId) -> (Database, Option<u32>) {
        let jobs = self.worker.store.database(&job.jobs_database());
        let known = self.copies.get(jobs.name()).copied();
        (jobs, known)
    }

    fn done(&mut self, done: Done) {
        let now = self.clock.now();
        match done {
            Done::Beats(region, Some(beats)) => {
                if let Some(room) = self.rooms.get_mut(&region) {
                    room.keeper.hear_beats(now, &region, &beats);
                }
            }
            Done::Job(job, copies, things) => {
                self.copies.extend(copies.map(|n| (job.jobs_database(), n)));
                if let Some(room) = self.rooms.get_mut(job.region()) {
                    things.into_iter().for_each(|thing| room.keeper.hear(now, thing));
                }
            }
            Done::Removed(job, copies, gone) => {
                self.copies.extend(copies.map(|n| (job.jobs_database(), n)));
                if let Some(room) = self.rooms.get_mut(job.region()) {
                    room.keeper.remove_answered(now, &job, &gone);
                }
            }
            Done::Beats(_, None) | Done::Marked => {}
        }
    }
}

async fn poll(store: Client, region: String, ids: Vec<String>) -> Done {
    let beats = match read::list(&store.database(&beats_database(&region)), read::keys(ids)).await {
        Ok(rows) => Some(rows.into_iter().map(|(_, _, beat)| beat).collect()),
        Err(error) => {
            tracing::warn!(region, %error, "cannot poll beats");
            None
        }
    };
    Done::Beats(region, beats)
}

/// How many copies the database has; what cannot be asked now is asked again with the next action.
async fn copies(jobs: &Database, known: Option<u32>) -> Option<u32> {
    if known.is_some() {
        return known;
    }
    let info = jobs.info().await;
    let info =
        info.inspect_err(|error| tracing::warn!(%error, "the keeper cannot act, trying again"));
    info.ok().map(|info| info.cluster.n)
}

async fn write(
    jobs: Database,
    known: Option<u32>,
    job: JobId,
    over: Option<Revision>,
    run: Run,
) -> Done {
    let Some(copies) = copies(&jobs, known).await else { return Done::Job(job, None, Vec::new()) };
    let learned = match claim::write(&jobs, copies, &job, over.as_ref(), &run).await {
        Answer::Won(revision) => {
            tracing::info!(%job, state = run.state(), "written by the keeper");
            vec![Heard::Run(job.clone(), revision, run)]
        }
        // The keeper knew less than the store has.
        Answer::Lost => claim::hear(&jobs, copies, &job).await.unwrap_or_default(),
        Answer::Unknown => Vec::new(),
    };
    Done::Job(job, Some(copies), learned)
}

/// Removes leaves that lost.
async fn remove(jobs: Database, known: Option<u32>, job: JobId, mut losers: Vec<Revision>) -> Done {
    let Some(copies) = copies(&jobs, known).await else {
        return Done::Removed(job, None, Vec::new());
    };
    match claim::remove(&jobs, copies, &job, &losers).await {
        Ok(left) => {
            losers.retain(|loser| !left.contains(loser));
            tracing::debug!(%job, left = left.len(), "leaves that lost are removed");
        }
        Err(error) => {
            losers.clear();
            tracing::warn!(%job, %error, "leaves that lost are not removed, trying again");
        }
    }
    Done::Removed(job, Some(copies), losers)
}

/// Takes a version back that kills engines.
async fn yank(store: Client, plugin: Plugin, reason: String) -> Done {
    let Plugin { name, version, .. } = &plugin;
    let yanked = Mark::new(MarkKind::Yanked, name, version, &reason, now_ms());
    for _ in 0..MARK_TRIES {
        match mark(&store, &yanked).await {
            Ok(_) => {
                tracing::warn!(plugin = yanked.label(), reason, "taken back: it kills engines");
                return Done::Marked;
            }
            Err(error) => {
                tracing::warn!(plugin = yanked.label(), %error, "not taken back, trying again");
            }
        }
        tokio::time::sleep(MARK_AGAIN).await;
    }
    Done::Marked
}
