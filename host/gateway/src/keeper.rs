//! Performs what the pure `blitz_jobs::keeper` decides: polls beats, writes ends.

use std::collections::HashMap;
use std::time::Duration;

use blitz_couchdb::Client;
use blitz_jobs::JobId;
use blitz_jobs::contest::ClaimAnswer;
use blitz_jobs::engine::Beat;
use blitz_jobs::feed::Heard;
use blitz_jobs::keeper::{Keeper, Write};
use blitz_jobs::read;
use blitz_jobs::region::beats_database;
use blitz_jobs::timing::Timing;
use tokio::sync::mpsc::Receiver;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// The keeper looks again at least this often, and at most: its durations are seconds.
const LOOK_MAX: Duration = Duration::from_secs(1);
const LOOK_MIN: Duration = Duration::from_millis(10);

enum Done {
    Beats(String, Option<Vec<Beat>>),
    Write(JobId, Option<u32>, ClaimAnswer),
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
            thing = heard.recv() => match thing {
                Some(Heard::Spec(spec)) => keeper.hear_spec(begun.elapsed(), &spec),
                Some(Heard::Run(job, revision, run)) => {
                    keeper.hear_run(begun.elapsed(), &job, revision, run);
                }
                Some(Heard::Cancel(job)) => keeper.hear_cancel(&job),
                None => return,
            },
            Some(done) = tasks.join_next() => match done {
                Ok(Done::Beats(region, Some(beats))) => {
                    keeper.hear_beats(begun.elapsed(), &region, &beats);
                }
                Ok(Done::Beats(_, None)) => {}
                Ok(Done::Write(job, known, answer)) => {
                    copies.extend(known.map(|n| (job.jobs_database(), n)));
                    if !matches!(answer, ClaimAnswer::Won(_)) {
                        keeper.write_failed(&job);
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
                return Done::Write(write.job, None, ClaimAnswer::Unknown);
            }
        },
    };
    let over = write.over.as_ref();
    let answer = blitz_jobs::claim::write(&jobs, copies, &write.job, over, &write.run).await;
    if matches!(answer, ClaimAnswer::Won(_)) {
        tracing::info!(job = %write.job, state = write.run.state(), "ended by the keeper");
    }
    Done::Write(write.job, Some(copies), answer)
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
