//! The loop: one place owns the engine's state and selects over what happens.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use blitz_couchdb::{Client, Database, Revision};
use blitz_jobs::contest::{Action, ClaimAnswer, Contest, Why};
use blitz_jobs::engine::{Beat, BeatKind, Held};
use blitz_jobs::feed::{self, Heard};
use blitz_jobs::region::{CONTROL, Region};
use blitz_jobs::{Incarnation, JobId};
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::arrival::{self, Offer};
use crate::config::Config;
use crate::executor::{Execution, Signals};
use crate::shelf::Shelf;
use crate::{own, presence};

/// Things heard that wait for the loop. The feed waits when it is full, which is what a feed can do best.
const HEARD_WAITING: usize = 1024;

/// Why an engine could not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The region has no document in the control database.
    #[error(
        "no region {0:?} in the store; 'blitz gateway --region {0}' or 'blitz up --region {0}' makes one"
    )]
    UnknownRegion(String),
    /// The store did not answer as it should.
    #[error("start engine: {0}")]
    Store(#[from] blitz_couchdb::Error),
    /// No random bytes.
    #[error("start engine: the system gives no random numbers: {0}")]
    Random(String),
}

/// Runs an engine until `shutdown`, then lets its jobs end or gives them back.
///
/// # Errors
///
/// [`Error`] when it cannot start. Afterwards nothing that happens in the store or in a job ends it.
pub async fn run(config: Config, shutdown: CancellationToken) -> Result<(), Error> {
    let region = region(&config.store, &config.region).await?;
    let mut random = [0; 16];
    getrandom::fill(&mut random).map_err(|e| Error::Random(e.to_string()))?;
    let incarnation = Incarnation::from_random(random);
    let changed = Arc::new(Notify::new());
    let control = config.store.database(CONTROL);
    let mut engine = Engine {
        contest: Contest::new(
            config.id.clone(),
            incarnation.clone(),
            region.home_epoch,
            config.slots.max(1),
            config.timing,
        ),
        beats: config.store.database(&region.beats_database()),
        beat_revision: None,
        copies: copies(&config.store, &region).await?,
        begun: Instant::now(),
        shelf: Shelf::new(control, config.runtime.clone(), Arc::clone(&changed)),
        running: HashMap::new(),
        tasks: JoinSet::new(),
        gives_back: false,
        jobs_of_tasks: HashMap::new(),
        incarnation: incarnation.clone(),
        config: config.clone(),
    };

    // Everything that runs beside the loop ends with `stop`, which comes after the jobs have ended.
    let stop = CancellationToken::new();
    let (heard_in, mut heard) = mpsc::channel(HEARD_WAITING);
    let (offers_in, mut offers) = mpsc::channel(HEARD_WAITING);
    let mut beside = JoinSet::new();
    for name in region.jobs_databases() {
        let database = config.store.database(&name);
        let heard_in = heard_in.clone();
        let stop = stop.clone();
        beside.spawn(async move {
            let _ = stop.run_until_cancelled(feed::follow(database, heard_in)).await;
        });
    }
    beside.spawn(arrival::attend(
        engine.shelf.clone(),
        config.region.clone(),
        config.trust.clone(),
        offers_in,
        stop.clone(),
    ));
    beside.spawn(presence::keep(
        config.clone(),
        incarnation,
        config.store.database(&region.engines_database()),
        engine.shelf.clone(),
        Arc::clone(&changed),
        stop.clone(),
    ));

    let mut drain_until: Option<Instant> = None;
    loop {
        let actions = engine.contest.tick(engine.begun.elapsed());
        engine.perform(actions);
        if let Some(until) = drain_until
            && (engine.running.is_empty() && engine.contest.busy() == 0 || Instant::now() >= until)
        {
            break;
        }
        let due = engine.contest.due().map(|due| engine.begun + due);
        let wake = due.into_iter().chain(drain_until).min();
        tokio::select! {
            Some(thing) = heard.recv() => {
                engine.hear(thing);
                // A listing brings thousands: they are looked at together.
                for _ in 0..HEARD_WAITING {
                    let Ok(thing) = heard.try_recv() else { break };
                    engine.hear(thing);
                }
            }
            Some(offer) = offers.recv() => match offer {
                Offer::Add(sha256) => engine.contest.add_plugin(&sha256),
                Offer::Remove(sha256) => engine.contest.remove_plugin(&sha256),
            },
            Some(done) = engine.tasks.join_next() => engine.done(done),
            () = shutdown.cancelled(), if drain_until.is_none() => {
                engine.contest.drain();
                drain_until = Some(Instant::now() + config.drain);
            }
            () = tokio::time::sleep_until(wake.unwrap_or_else(Instant::now)), if wake.is_some() => {}
        }
    }
    engine.give_back().await;
    stop.cancel();
    while beside.join_next().await.is_some() {}
    Ok(())
}

async fn region(store: &Client, name: &str) -> Result<Region, Error> {
    let known = store.database(CONTROL).get::<Region>(&format!("region:{name}")).await;
    match known {
        Ok(Some(region)) => Ok(region.body),
        Ok(None) | Err(blitz_couchdb::Error::NotFound { .. }) => {
            Err(Error::UnknownRegion(name.to_owned()))
        }
        Err(error) => Err(error.into()),
    }
}

/// How many copies the region's jobs databases have: a claim asks for the agreement of all.
async fn copies(store: &Client, region: &Region) -> Result<u32, Error> {
    let mut copies = 1;
    for name in region.jobs_databases() {
        copies = copies.max(store.database(&name).info().await?.cluster.n);
    }
    Ok(copies)
}

/// What the loop owns.
struct Engine {
    config: Config,
    incarnation: Incarnation,
    contest: Contest,
    copies: u32,
    begun: Instant,
    beats: Database,
    beat_revision: Option<Revision>,
    shelf: Shelf,
    running: HashMap<JobId, Signals>,
    tasks: JoinSet<Done>,
    /// The drain is over: what is still won is given back at once.
    gives_back: bool,
    /// Which job a task runs, for the case that it panics.
    jobs_of_tasks: HashMap<tokio::task::Id, JobId>,
}

/// What a task of the engine has come to.
enum Done {
    Claim(JobId, ClaimAnswer),
    /// Whether its end is written.
    Job(JobId, bool),
    Beat {
        sent: Duration,
        revision: Option<Revision>,
    },
}

impl Engine {
    fn hear(&mut self, thing: Heard) {
        let actions = match thing {
            Heard::Spec(spec) => {
                self.contest.hear_spec(self.begun.elapsed(), *spec);
                Vec::new()
            }
            Heard::Run(job, revision, run) => self.contest.hear_run(&job, revision, run),
            Heard::Cancel(job) => self.contest.hear_cancel(&job),
        };
        self.perform(actions);
    }

    fn perform(&mut self, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::Claim { job, over, run } => {
                    let jobs = self.config.store.database(&job.jobs_database());
                    let copies = self.copies;
                    self.tasks.spawn(async move {
                        let answer =
                            blitz_jobs::claim::write(&jobs, copies, &job, over.as_ref(), &run);
                        let answer = answer.await;
                        Done::Claim(job, answer)
                    });
                }
                Action::Start { spec, run, revision, time_left } => {
                    self.start(*spec, run, revision, time_left);
                }
                Action::Stop { job, why } => {
                    if let Some(signals) = self.running.get(&job) {
                        match why {
                            Why::Cancelled => signals.cancel.cancel(),
                            Why::LostClaim => signals.fence.cancel(),
                        }
                    }
                }
                Action::Beat { counter, held } => self.beat(counter, held),
            }
        }
    }

    fn start(
        &mut self,
        spec: blitz_jobs::Spec,
        run: blitz_jobs::Run,
        revision: Revision,
        time_left: Duration,
    ) {
        let job = spec.job.clone();
        let signals = Signals::default();
        if self.gives_back {
            signals.release.cancel();
        }
        self.running.insert(job.clone(), signals.clone());
        let execution = Execution {
            shelf: self.shelf.clone(),
            jobs: self.config.store.database(&job.jobs_database()),
            output: self.config.store.database(&job.output_database()),
            copies: self.copies,
            batch: self.config.timing.batch,
            spec,
            run,
            revision,
            time_left,
        };
        let running = job.clone();
        let task = self.tasks.spawn(async move {
            let has_ended = execution.execute(signals).await;
            Done::Job(job, has_ended)
        });
        self.jobs_of_tasks.insert(task.id(), running);
    }

    fn beat(&mut self, counter: u64, held: Vec<Held>) {
        let beats = self.beats.clone();
        let revision = self.beat_revision.clone();
        let sent = self.begun.elapsed();
        let beat = Beat {
            kind: BeatKind::Beat,
            blitz: blitz_jobs::BUILD.to_owned(),
            engine: self.config.id.clone(),
            incarnation: self.incarnation.clone(),
            counter,
            held,
        };
        self.tasks.spawn(async move {
            let id = Beat::document_id(&beat.engine);
            let written = own::write(&beats, &id, revision, &beat).await;
            let written = written.inspect_err(|error| tracing::warn!(%error, "beat not written"));
            Done::Beat { sent, revision: written.ok() }
        });
    }

    fn done(&mut self, done: Result<Done, tokio::task::JoinError>) {
        match done {
            Ok(Done::Claim(job, answer)) => {
                let actions = self.contest.claim_answered(self.begun.elapsed(), &job, answer);
                self.perform(actions);
            }
            Ok(Done::Job(job, has_ended)) => self.forget(&job, has_ended),
            Ok(Done::Beat { sent, revision: Some(revision) }) => {
                self.beat_revision = Some(revision);
                self.contest.beat_acknowledged(sent);
            }
            Ok(Done::Beat { revision: None, .. }) => self.beat_revision = None,
            // A bug. The job's beats end here, and so the keeper ends the job.
            Err(error) => {
                tracing::error!(%error, "a task of the engine failed");
                if let Some(job) = self.jobs_of_tasks.remove(&error.id()) {
                    self.forget(&job, false);
                }
            }
        }
    }

    fn forget(&mut self, job: &JobId, has_ended: bool) {
        self.running.remove(job);
        self.jobs_of_tasks.retain(|_, running| running != job);
        if has_ended {
            self.contest.finished(job);
        } else {
            self.contest.stopped(self.begun.elapsed(), job);
        }
    }

    /// At the end of the drain: jobs that still run are given back, or ended where they must not run twice.
    async fn give_back(&mut self) {
        self.gives_back = true;
        for signals in self.running.values() {
            signals.release.cancel();
        }
        let limit = Instant::now() + GIVE_BACK;
        while !self.tasks.is_empty() {
            match tokio::time::timeout_at(limit, self.tasks.join_next()).await {
                Ok(Some(done)) => self.done(done),
                Ok(None) | Err(_) => break,
            }
        }
        self.tasks.shutdown().await;
    }
}

/// Writing the ends of jobs that are given back may take this long; then the keeper notices.
const GIVE_BACK: Duration = Duration::from_secs(3);
