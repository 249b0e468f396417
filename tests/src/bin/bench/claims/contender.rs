//! One engine of the contest without a plugin runtime: the real feed, contest and claim, as `blitz-engine` joins
//! them, and jobs that are over at once.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use blitz_contract::Exit;
use blitz_couchdb::{AllDocs, Database, Put, PutOptions, Revision};
use blitz_jobs::contest::{Action, Config, Contest};
use blitz_jobs::engine::{Beat, BeatKind, Held};
use blitz_jobs::feed::{self, Asked, Heard};
use blitz_jobs::guards::Guards;
use blitz_jobs::timing::Timing;
use blitz_jobs::writing::Answer;
use blitz_jobs::{Claim, End, Incarnation, JobId, Run, Spec};
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, JoinSet};

use super::site::{HOLD, PLUGIN, REGION, Site};

/// Things heard that wait for the loop, as an engine has it.
const HEARD_WAITING: usize = 1_024;

/// The embedded store has one copy of everything.
const COPIES: u32 = 1;

/// What all contenders have done together.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    puts: AtomicUsize,
    refused: AtomicUsize,
    ends_heard: AtomicUsize,
}

impl Tally {
    /// Writes of claims.
    pub(crate) fn puts(&self) -> usize {
        self.puts.load(Ordering::Relaxed)
    }

    /// Those that another was before.
    pub(crate) fn refused(&self) -> usize {
        self.refused.load(Ordering::Relaxed)
    }

    /// How often any of them has heard that a job is over.
    pub(crate) fn ends_heard(&self) -> usize {
        self.ends_heard.load(Ordering::Relaxed)
    }
}

/// What the bench is told.
#[derive(Debug)]
pub(crate) enum News {
    /// A claim stands.
    Won { job: JobId, engine: String, at: Instant },
    /// The end of a job is stored.
    Ended { job: JobId },
}

/// A running engine.
#[derive(Debug)]
pub(crate) struct Contender(JoinHandle<()>);

impl Contender {
    /// Starts it in a region that has about so many engines.
    pub(crate) fn start(
        site: &Site,
        id: &str,
        engines: usize,
        timing: Timing,
        tally: &Arc<Tally>,
        news: &mpsc::Sender<News>,
    ) -> Self {
        let client = site.client();
        let mut random = [0; 16];
        let seed = blitz_jobs::plugin::sha256(id.as_bytes());
        random.copy_from_slice(&seed.as_bytes()[..16]);
        let incarnation = Incarnation::from_random(random);
        let mut contest = Contest::new(Config {
            engine: id.to_owned(),
            incarnation: incarnation.clone(),
            region: site.region.name.clone(),
            epoch: site.region.home_epoch,
            only_safe: false,
            slots: 1,
            timing,
            guards: Guards::default(),
        });
        contest.hear_engines(u64::try_from(engines).unwrap_or(u64::MAX));
        contest.add_plugin(PLUGIN);
        let engine = Engine {
            id: id.to_owned(),
            incarnation,
            contest,
            jobs: site.jobs(&client),
            beats: client.database(&site.region.beats_database()),
            beat_revision: None,
            begun: tokio::time::Instant::now(),
            tasks: JoinSet::new(),
            tally: Arc::clone(tally),
            news: news.clone(),
        };
        Self(tokio::spawn(engine.run()))
    }

    /// Ends it as a loss of power would: it beats no more and writes nothing.
    pub(crate) async fn kill(self) {
        self.0.abort();
        assert!(self.0.await.is_err_and(|error| error.is_cancelled()), "it had ended by itself");
    }
}

struct Engine {
    id: String,
    incarnation: Incarnation,
    contest: Contest,
    jobs: Database,
    beats: Database,
    beat_revision: Option<Revision>,
    begun: tokio::time::Instant,
    /// Ended with the engine.
    tasks: JoinSet<Done>,
    tally: Arc<Tally>,
    news: mpsc::Sender<News>,
}

enum Done {
    Write { job: JobId, is_claim: bool, answer: Answer, at: Instant },
    Beat { sent: Duration, revision: Option<Revision> },
    Polled(Option<Vec<Beat>>),
}

impl Engine {
    async fn run(mut self) {
        let (heard_in, mut heard) = mpsc::channel(HEARD_WAITING);
        let mut feeds = JoinSet::new();
        feeds.spawn(feed::follow(self.jobs.clone(), COPIES, None, Asked::never(), heard_in));
        loop {
            let actions = self.contest.tick(self.begun.elapsed());
            self.perform(actions);
            let due = self.contest.due().map(|due| self.begun + due);
            let wake = async {
                match due {
                    Some(due) => tokio::time::sleep_until(due).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                Some(thing) = heard.recv() => {
                    self.hear(thing);
                    while let Ok(thing) = heard.try_recv() {
                        self.hear(thing);
                    }
                }
                Some(done) = self.tasks.join_next() => self.done(done.expect("no panic")).await,
                () = wake => {}
            }
        }
    }

    fn hear(&mut self, thing: Heard) {
        let now = self.begun.elapsed();
        let actions = match thing {
            Heard::Spec(spec) => {
                self.contest.hear_spec(now, spec);
                Vec::new()
            }
            Heard::Run(job, revision, run) => {
                if run.is_final() {
                    self.tally.ends_heard.fetch_add(1, Ordering::Relaxed);
                }
                self.contest.hear_run(now, &job, revision, run)
            }
            Heard::Cancel(job) => self.contest.hear_cancel(&job),
            Heard::Replaced(database) => self.contest.hear_replaced(&database),
            // What a cluster, a foreign hand or a restart brings: there is none of them here.
            _ => Vec::new(),
        };
        self.perform(actions);
    }

    fn perform(&mut self, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::Write { job, over, run } => self.write(job, over, run),
                Action::Start { spec, claim, .. } => self.start(&spec, &claim),
                // Nothing runs, and no job of this bench has a fence.
                Action::Stop { .. } | Action::Fence { .. } => {}
                Action::Beat { counter, held } => self.beat(counter, held),
                Action::Poll { engines } => self.poll(engines),
            }
        }
    }

    fn write(&mut self, job: JobId, over: Option<Revision>, run: Run) {
        let is_claim = matches!(run, Run::Claimed { .. });
        self.tally.puts.fetch_add(usize::from(is_claim), Ordering::Relaxed);
        let jobs = self.jobs.clone();
        self.tasks.spawn(async move {
            let answer = blitz_jobs::claim::write(&jobs, COPIES, &job, over.as_ref(), &run).await;
            Done::Write { job, is_claim, answer, at: Instant::now() }
        });
    }

    /// The job ends at once, unless its first engine is to hold it for ever.
    fn start(&mut self, spec: &Spec, claim: &Claim) {
        if claim.attempt == 1 && spec.args.iter().any(|arg| arg == HOLD) {
            return;
        }
        let end = End {
            exit: Exit::Status(0),
            chunks: 0,
            bytes: 0,
            digest: String::new(),
            duration_ms: 0,
        };
        let actions = self.contest.job_ended(self.begun.elapsed(), &spec.job, Some(end));
        self.perform(actions);
    }

    fn beat(&mut self, counter: u64, held: Vec<Held>) {
        let (beats, revision) = (self.beats.clone(), self.beat_revision.clone());
        let sent = self.begun.elapsed();
        let beat = Beat {
            kind: BeatKind::Beat,
            blitz: blitz_jobs::BUILD.to_owned(),
            engine: self.id.clone(),
            incarnation: self.incarnation.clone(),
            counter,
            held,
        };
        self.tasks.spawn(async move {
            let id = Beat::document_id(&beat.engine);
            let put = beats.put(&id, revision.as_ref(), &beat, PutOptions::default()).await;
            let revision = match put {
                Ok(Put::Created(revision) | Put::Accepted(revision)) => Some(revision),
                Ok(Put::Conflict) | Err(_) => None,
            };
            Done::Beat { sent, revision }
        });
    }

    fn poll(&mut self, engines: BTreeSet<String>) {
        let beats = self.beats.clone();
        self.tasks.spawn(async move {
            let keys = engines.iter().map(|engine| Beat::document_id(engine)).collect();
            let query = AllDocs { keys: Some(keys), include_docs: true, ..AllDocs::default() };
            let page = beats.all_docs::<Beat>(&query).await.ok();
            Done::Polled(page.map(|page| page.rows.into_iter().filter_map(|row| row.doc).collect()))
        });
    }

    async fn done(&mut self, done: Done) {
        let now = self.begun.elapsed();
        let actions = match done {
            Done::Write { job, is_claim, answer, at } => {
                self.tell(&job, is_claim, &answer, at).await;
                self.contest.write_answered(now, &job, answer)
            }
            Done::Beat { sent, revision } => {
                if revision.is_some() {
                    self.contest.beat_acknowledged(now, sent);
                }
                self.beat_revision = revision;
                Vec::new()
            }
            Done::Polled(beats) => {
                if let Some(beats) = beats {
                    self.contest.hear_beats(now, REGION, &beats);
                }
                Vec::new()
            }
        };
        self.perform(actions);
    }

    /// Tells the bench how a write was answered: a claim, or an end.
    async fn tell(&self, job: &JobId, is_claim: bool, answer: &Answer, at: Instant) {
        match answer {
            Answer::Won(_) => {
                let (job, engine) = (job.clone(), self.id.clone());
                let news =
                    if is_claim { News::Won { job, engine, at } } else { News::Ended { job } };
                // The bench may have seen enough.
                self.news.send(news).await.ok();
            }
            Answer::Lost if is_claim => {
                self.tally.refused.fetch_add(1, Ordering::Relaxed);
            }
            _ => {}
        }
    }
}
