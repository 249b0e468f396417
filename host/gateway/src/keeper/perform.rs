//! What the keeper decided, done on a store: each a task of its own, whose outcome goes back to the keeper's loop.

use std::sync::Arc;
use std::time::Duration;

use blitz_couchdb::{Client, Database, Revision};
use blitz_jobs::clock::now_ms;
use blitz_jobs::engine::Beat;
use blitz_jobs::feed::Heard;
use blitz_jobs::keeper::Plugin;
use blitz_jobs::meeting::Go;
use blitz_jobs::plugin::marks::MarkKind;
use blitz_jobs::plugin::{Mark, mark};
use blitz_jobs::region::beats_database;
use blitz_jobs::writing::Answer;
use blitz_jobs::{JobId, Run, claim, read};

use super::Stay;

/// A mark that was not written is written again after this long, so many times: a plugin that goes on killing
/// engines is counted again.
const MARK_AGAIN: Duration = Duration::from_secs(2);
const MARK_TRIES: u32 = 30;

/// What came of a task.
pub(super) enum Done {
    Beats(String, Stay, Option<Vec<Beat>>),
    /// The copies of the job's database where they are known now, and what was learned of its run.
    Job(JobId, Stay, Option<u32>, Vec<Heard>),
    /// The copies as above, and the leaves that are gone.
    Removed(JobId, Stay, Option<u32>, Vec<Revision>),
    /// What stands as the go of the job, if the store said so.
    Go(JobId, Option<Arc<Go>>),
    Marked,
}

pub(super) async fn poll(home: Client, stay: Stay, region: String, ids: Vec<String>) -> Done {
    let beats = match read::list(&home.database(&beats_database(&region)), read::keys(ids)).await {
        Ok(rows) => Some(rows.into_iter().map(|(_, _, beat)| beat).collect()),
        Err(error) => {
            tracing::warn!(region, %error, "cannot poll beats");
            None
        }
    };
    Done::Beats(region, stay, beats)
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

pub(super) async fn write(
    jobs: Database,
    stay: Stay,
    known: Option<u32>,
    job: JobId,
    over: Option<Revision>,
    run: Run,
) -> Done {
    let Some(copies) = copies(&jobs, known).await else {
        return Done::Job(job, stay, None, Vec::new());
    };
    let learned = match claim::write(&jobs, copies, &job, over.as_ref(), &run).await {
        Answer::Won(revision) => {
            tracing::info!(%job, state = run.state(), "written by the keeper");
            vec![Heard::Run(job.clone(), revision, run)]
        }
        // The keeper knew less than the store has.
        Answer::Lost => claim::hear(&jobs, copies, &job).await.unwrap_or_default(),
        Answer::Unknown => Vec::new(),
    };
    Done::Job(job, stay, Some(copies), learned)
}

/// Removes leaves that lost.
pub(super) async fn remove(
    jobs: Database,
    stay: Stay,
    known: Option<u32>,
    job: JobId,
    mut losers: Vec<Revision>,
) -> Done {
    let Some(copies) = copies(&jobs, known).await else {
        return Done::Removed(job, stay, None, Vec::new());
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
    Done::Removed(job, stay, Some(copies), losers)
}

/// Takes a version back that kills engines.
pub(super) async fn yank(store: Client, plugin: Plugin, reason: String) -> Done {
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
