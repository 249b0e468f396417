//! The loop: one place owns the engine's state and selects over what happens.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use blitz_couchdb::Database;
use blitz_jobs::claim;
use blitz_jobs::clock::Clock;
use blitz_jobs::contest::{self, Action, Contest, Why};
use blitz_jobs::engine::{Beat, EngineDocument};
use blitz_jobs::feed::Heard;
use blitz_jobs::guards::Guards;
use blitz_jobs::region::CONTROL;
use blitz_jobs::{Claim, Incarnation, JobId, Spec, read};
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::arrival::{self, Offer};
use crate::census::{ENGINES_UNKNOWN, FirstCount};
use crate::config::Config;
use crate::ears::Ears;
use crate::error::Error;
use crate::executor::{Execution, Signals};
use crate::gate::Gate;
use crate::going::{GIVE_BACK, Going};
use crate::home::{Home, Kept};
use crate::own::{NotWritten, Own};
use crate::presence::{self, Word};
use crate::pulse::{Pulse, Stroke};
use crate::shelf::Shelf;
use crate::tasks::{Done, Tasks};

/// Things heard that wait for the loop. The feed waits when it is full, which is what a feed can do best.
const HEARD_WAITING: usize = 1024;

/// While jobs are held the loop looks at its clock at least this often, whatever is due: timers stand still
/// while a machine sleeps, and what it holds may be another's when it wakes up.
const LOOK_MAX: Duration = Duration::from_secs(1);

/// The loop rests at least this long when nothing happens: the resolution of timers.
const LOOK_MIN: Duration = Duration::from_millis(1);

/// Without jobs the loop looks this often, for nothing.
const LOOK_IDLE: Duration = Duration::from_secs(3600);

/// Runs an engine until `shutdown`, then lets its jobs end or gives them back.
///
/// # Errors
///
/// [`Error`] when it cannot start, and [`Error::Replaced`] when another process takes its id. Otherwise nothing
/// that happens in the store or in a job ends it.
pub async fn run(config: Config, shutdown: CancellationToken) -> Result<(), Error> {
    let Home { region, copies, beats, engines } = Home::read(&config.store, &config.region).await?;
    let Kept { database: beats, copies: beats_copies } = beats;
    let Kept { database: engines, copies: engines_copies } = engines;
    let mut random = [0; 16];
    getrandom::fill(&mut random).map_err(|e| Error::Random(e.to_string()))?;
    let incarnation = Incarnation::from_random(random);

    let changed = Arc::new(Notify::new());
    let (heard_in, mut heard) = mpsc::channel(HEARD_WAITING);
    let (offers_in, mut offers) = mpsc::channel(HEARD_WAITING);
    let (words_in, mut words) = mpsc::channel(HEARD_WAITING);
    let (gate, mut asked) = Gate::new();
    let clock = Clock::start();
    let mut engine = Engine {
        contest: Contest::new(contest::Config {
            engine: config.id.clone(),
            incarnation: incarnation.clone(),
            region: region.name.clone(),
            epoch: region.home_epoch,
            slots: u32::try_from(config.slots).unwrap_or(u32::MAX).max(1),
            timing: config.timing,
            guards: Guards::default(),
        }),
        clock,
        ears: Ears::new(&config.store, &config.id, heard_in),
        first_count: FirstCount::awaited(clock.now()),
        pulse: Pulse::new(beats, beats_copies, &config.id, incarnation.clone(), config.timing.stop),
        copies,
        gate,
        shelf: Shelf::new(
            config.store.database(CONTROL),
            config.runtime.clone(),
            Arc::clone(&changed),
        ),
        running: HashMap::new(),
        tasks: Tasks::default(),
        replaced: false,
        config: config.clone(),
    };

    // Everything that runs beside the loop ends with `stop`, which comes after the jobs have ended.
    let stop = CancellationToken::new();
    let mut beside = JoinSet::new();
    beside.spawn(arrival::attend(
        engine.shelf.clone(),
        config.region.clone(),
        config.trust.clone(),
        offers_in,
        stop.clone(),
    ));
    let id = EngineDocument::document_id(&config.id);
    beside.spawn(presence::keep(
        config.clone(),
        incarnation.clone(),
        Own::new(engines, id, incarnation, engines_copies, claim::CLAIM_TIMEOUT),
        engine.shelf.clone(),
        Arc::clone(&changed),
        words_in,
        stop.clone(),
    ));

    let mut going = Going::On;
    loop {
        let now = engine.clock.now();
        engine.listen_uncounted(now);
        let actions = engine.contest.tick(now);
        engine.perform(actions);
        // Also when nothing is heard: room is made by what ends here.
        if engine.contest.wants_listing() {
            engine.ears.list_again();
        }
        going = engine.go_on(now, going);
        if going == Going::Over {
            break;
        }
        let rest = engine.rest(going);
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
            Some(word) = words.recv() => match word {
                Word::Engines(count) => engine.hear_count(count),
                Word::Replaced(by) => engine.hear_replaced(&by),
            },
            Some(question) = asked.recv() => {
                let may = engine.contest.may_write(engine.clock.now(), &question.job);
                // Who asked may be gone.
                let _ = question.answer.send(may);
            }
            Some(done) = engine.tasks.next() => engine.done(done),
            () = shutdown.cancelled(), if going == Going::On => {
                engine.contest.drain();
                going = Going::Drains { until: engine.clock.now() + config.drain };
            }
            () = tokio::time::sleep(rest) => {}
        }
    }
    let replaced = engine.replaced;
    engine.leave().await;
    stop.cancel();
    while beside.join_next().await.is_some() {}
    if replaced { Err(Error::Replaced { id: config.id }) } else { Ok(()) }
}

/// What the loop owns.
struct Engine {
    config: Config,
    clock: Clock,
    contest: Contest,
    ears: Ears,
    first_count: FirstCount,
    /// Of each jobs database.
    copies: HashMap<String, u32>,
    pulse: Pulse,
    gate: Gate,
    shelf: Shelf,
    running: HashMap<JobId, Signals>,
    tasks: Tasks,
    /// Another process has this engine's id.
    replaced: bool,
}

impl Engine {
    fn hear(&mut self, thing: Heard) {
        match &thing {
            Heard::Place(place) => {
                let oldest = self.contest.oldest(&place.database).map(ToString::to_string);
                if let Some(leaves) = self.ears.leave(place, oldest) {
                    self.tasks.other(async move {
                        leaves.await;
                        Done::Nothing
                    });
                }
            }
            Heard::Replaced(database) => {
                let (copies, database) = (self.ears.copies(database), database.clone());
                self.tasks.other(async move { Done::Copies(database, copies.await) });
            }
            _ => {}
        }
        let actions = self.contest.hear(self.clock.now(), thing);
        self.perform(actions);
    }

    fn hear_count(&mut self, engines: u64) {
        self.contest.hear_engines(engines);
        if self.first_count.has_come() {
            self.listen();
        }
    }

    /// Hears of jobs though nobody knows how many engines do, when no count comes.
    fn listen_uncounted(&mut self, now: Duration) {
        if self.first_count.is_given_up(now) {
            tracing::warn!("the region's engines are not counted yet, taken for {ENGINES_UNKNOWN}");
            self.contest.hear_engines(ENGINES_UNKNOWN);
            self.listen();
        }
    }

    fn listen(&mut self) {
        for (database, copies) in &self.copies {
            self.ears.follow(database, *copies);
        }
    }

    fn hear_replaced(&mut self, by: &Incarnation) {
        if !self.replaced {
            let (id, by) = (&self.config.id, by.short());
            tracing::error!(id, by, "another process with this engine's id was started");
            self.replaced = true;
        }
    }

    fn perform(&mut self, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::Write { job, over, run } => {
                    let (jobs, copies) = self.jobs(&job);
                    let id = job.clone();
                    self.tasks.write(job, async move {
                        claim::write(&jobs, copies, &id, over.as_ref(), &run).await
                    });
                }
                Action::Fence { job, start, claim } => {
                    let (jobs, _) = self.jobs(&job);
                    self.tasks.fence(job, async move { claim::pass(&jobs, &start, &claim).await });
                }
                Action::Start { spec, claim, time_left } => self.start(spec, claim, time_left),
                Action::Stop { job, why } => {
                    if let Some(signals) = self.running.get(&job) {
                        match why {
                            Why::Cancelled => signals.cancel.cancel(),
                            Why::LostClaim | Why::LostLease | Why::Release => signals.halt.cancel(),
                        }
                        if why.is_loss() {
                            tracing::warn!(%job, ?why, "stopped, and no more is written of it");
                        }
                    }
                }
                Action::Beat { counter, held } => {
                    let stroke = self.pulse.beat(counter, held);
                    self.beat(stroke);
                }
                Action::Poll { engines } => self.poll(engines),
            }
        }
    }

    /// The jobs database of a job, and how many copies it has.
    fn jobs(&self, job: &JobId) -> (Database, u32) {
        let name = job.jobs_database();
        let copies = self.copies.get(&name).copied().unwrap_or(1);
        (self.config.store.database(&name), copies)
    }

    fn start(&mut self, spec: Arc<Spec>, claim: Claim, time_left: Duration) {
        let job = spec.job.clone();
        let signals = Signals::default();
        self.running.insert(job.clone(), signals.clone());
        let execution = Execution {
            shelf: self.shelf.clone(),
            jobs: self.config.store.database(&job.jobs_database()),
            output: self.config.store.database(&job.output_database()),
            gate: self.gate.clone(),
            batch: self.config.timing.batch,
            spec,
            claim,
            time_left,
        };
        self.tasks.job(job, execution.execute(signals));
    }

    fn beat(&mut self, stroke: Option<Stroke>) {
        if let Some(stroke) = stroke.filter(|_| !self.replaced) {
            let sent = self.clock.now();
            self.tasks.beat(async move {
                let (returned, written) = stroke.write().await;
                Done::Beat(sent, returned, written)
            });
        }
    }

    fn poll(&mut self, engines: BTreeSet<String>) {
        let beats = self.pulse.database().clone();
        self.tasks.other(async move {
            let ids = engines.iter().map(|engine| Beat::document_id(engine));
            let answer = read::list::<Beat>(&beats, read::keys(ids)).await;
            let answer = answer.inspect_err(|error| tracing::warn!(%error, "cannot poll beats"));
            Done::Beats(answer.ok().map(|rows| rows.into_iter().map(|(_, _, beat)| beat).collect()))
        });
    }

    fn done(&mut self, done: Done) {
        let now = self.clock.now();
        let actions = match done {
            Done::Write(job, answer) => self.contest.write_answered(now, &job, answer),
            Done::Fence(job, goes) => self.contest.fence_answered(now, &job, goes),
            Done::Job(job, end) => {
                self.running.remove(&job);
                self.contest.job_ended(now, &job, end)
            }
            Done::Beat(sent, returned, written) => {
                match written {
                    Ok(true) => self.contest.beat_acknowledged(now, sent),
                    Ok(false) => tracing::warn!("fewer copies than a majority have the beat"),
                    Err(NotWritten::Replaced { by }) => self.hear_replaced(&by),
                    Err(error) => tracing::warn!(%error, "beat not written"),
                }
                let stroke = self.pulse.done(Some(returned));
                self.beat(stroke);
                Vec::new()
            }
            Done::NoBeat => {
                let stroke = self.pulse.done(None);
                self.beat(stroke);
                Vec::new()
            }
            Done::Beats(answer) => {
                if let Some(beats) = answer {
                    self.contest.hear_beats(now, &self.config.region, &beats);
                }
                Vec::new()
            }
            Done::Copies(database, copies) => {
                if self.copies.insert(database.clone(), copies) != Some(copies) {
                    self.ears.follow(&database, copies);
                }
                Vec::new()
            }
            Done::Nothing => Vec::new(),
        };
        self.perform(actions);
    }

    /// What follows for the engine's life.
    fn go_on(&mut self, now: Duration, going: Going) -> Going {
        let next = going.next(now, self.contest.busy() == 0, self.replaced);
        if matches!(next, Going::GivesBack { .. }) && next != going {
            let actions = self.contest.give_back();
            self.perform(actions);
        }
        next
    }

    /// How long there is nothing to do if nothing happens.
    fn rest(&self, going: Going) -> Duration {
        let now = self.clock.now();
        let due = self.contest.due().into_iter().chain(going.until()).chain(self.first_count.due());
        let max = if self.contest.busy() > 0 { LOOK_MAX } else { LOOK_IDLE };
        due.min().map_or(max, |due| due.saturating_sub(now)).clamp(LOOK_MIN, max)
    }

    /// The last words: nothing is held any more. What could not be given back has no beat from here on.
    async fn leave(mut self) {
        self.tasks.stop().await;
        let Some(stroke) = self.pulse.last().filter(|_| !self.replaced) else { return };
        let written = async { stroke.write().await.1 };
        match tokio::time::timeout(GIVE_BACK, written).await {
            Ok(Ok(_) | Err(NotWritten::Replaced { .. })) => {}
            Ok(Err(error)) => tracing::warn!(%error, "cannot write that nothing is held any more"),
            Err(_) => tracing::warn!("cannot write that nothing is held any more: no answer"),
        }
    }
}
