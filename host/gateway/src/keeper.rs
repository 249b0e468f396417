//! Performs what the pure `blitz_jobs::keeper` decides: polls beats, writes ends.

use std::collections::HashMap;
use std::time::Duration;

use blitz_couchdb::{Client, Revision};
use blitz_jobs::contest::ClaimAnswer;
use blitz_jobs::engine::Beat;
use blitz_jobs::feed::Heard;
use blitz_jobs::id::DocumentId;
use blitz_jobs::keeper::{Keeper, Write};
use blitz_jobs::read;
use blitz_jobs::region::beats_database;
use blitz_jobs::run::RunDocument;
use blitz_jobs::timing::Timing;
use blitz_jobs::{JobId, Run};
use tokio::sync::mpsc::Receiver;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// The keeper looks again at least this often, and at most: its durations are seconds.
const LOOK_MAX: Duration = Duration::from_secs(1);
const LOOK_MIN: Duration = Duration::from_millis(10);

enum Done {
    Beats(String, Option<Vec<Beat>>),
    /// The copies of the job's database, and what is stored of its run, where they are known now.
    Write(JobId, Option<u32>, Option<(Revision, Run)>),
}

/// Keeps until `heard` is closed.
pub(crate) async fn keep(store: Client, timing: Timing, mut heard: Receiver<Heard>) {
    let begun = Instant::now();
    let mut keeper = Keeper::new(timing);
    let mut copies: HashMap<String, u32> = HashMap::new();
    let mut tasks: JoinSet<Done> = JoinSet::new();
    loop {
        let now = begun.elapsed();
        for write in keeper.tick(now) {
            let known = copies.get(&write.job.jobs_database()).copied();
            tasks.spawn(perform(store.clone(), known, write));
        }
        for (region, engines) in keeper.poll(now) {
            tasks.spawn(poll(store.clone(), region, engines.into_iter().collect()));
        }
        let wait = keeper
            .due()
            .map_or(LOOK_MAX, |due| due.saturating_sub(begun.elapsed()).clamp(LOOK_MIN, LOOK_MAX));
        tokio::select! {
            thing = heard.recv() => {
                let Some(thing) = thing else { return };
                hear(&mut keeper, begun.elapsed(), thing);
                // A listing brings thousands: they are looked at together.
                for _ in 0..heard.max_capacity() {
                    let Ok(thing) = heard.try_recv() else { break };
                    hear(&mut keeper, begun.elapsed(), thing);
                }
            },
            Some(done) = tasks.join_next() => match done {
                Ok(Done::Beats(region, Some(beats))) => {
                    keeper.hear_beats(begun.elapsed(), &region, &beats);
                }
                Ok(Done::Beats(_, None)) => {}
                Ok(Done::Write(job, known, stored)) => {
                    copies.extend(known.map(|n| (job.jobs_database(), n)));
                    if let Some((revision, run)) = stored {
                        keeper.hear_run(begun.elapsed(), &job, revision, run);
                    }
                }
                Err(error) => tracing::error!(%error, "a task of the keeper failed"),
            },
            () = tokio::time::sleep(wait) => {}
        }
    }
}

async fn perform(store: Client, known: Option<u32>, write: Write) -> Done {
    let jobs = store.database(&write.job.jobs_database());
    let copies = match known {
        Some(copies) => copies,
        None => match jobs.info().await {
            Ok(info) => info.cluster.n,
            Err(error) => {
                tracing::warn!(job = %write.job, %error, "cannot end the job, trying again");
                return Done::Write(write.job, None, None);
            }
        },
    };
    let over = write.over.as_ref();
    let answer = blitz_jobs::claim::write(&jobs, copies, &write.job, over, &write.run).await;
    let stored = match answer {
        ClaimAnswer::Won(revision) => {
            tracing::info!(job = %write.job, state = write.run.state(), "ended by the keeper");
            Some((revision, write.run))
        }
        // The keeper knew less than the store has.
        ClaimAnswer::Lost => {
            let id = DocumentId::Run(write.job.clone()).to_string();
            let known = jobs.get::<RunDocument>(&id).await.ok().flatten();
            known.map(|known| (known.revision, known.body.run))
        }
        ClaimAnswer::Unknown => None,
    };
    Done::Write(write.job, Some(copies), stored)
}

fn hear(keeper: &mut Keeper, now: Duration, thing: Heard) {
    match thing {
        Heard::Spec(spec) => keeper.hear_spec(now, &spec),
        Heard::Run(job, revision, run) => keeper.hear_run(now, &job, revision, run),
        Heard::Cancel(job) => keeper.hear_cancel(&job),
    }
}

async fn poll(store: Client, region: String, engines: Vec<String>) -> Done {
    let ids = engines.iter().map(|engine| Beat::document_id(engine));
    let beats = match read::list(&store.database(&beats_database(&region)), read::keys(ids)).await {
        Ok(rows) => Some(rows.into_iter().map(|(_, _, beat)| beat).collect()),
        Err(error) => {
            tracing::warn!(region, %error, "cannot poll beats");
            None
        }
    };
    Done::Beats(region, beats)
}
