//! The open jobs of a database, each with what is known of its run: what a follower hears first.

use std::collections::HashMap;

use blitz_couchdb::{AllDocs, Database, Error, Revision, Row};
use serde_json::Value;
use tokio::sync::mpsc::Sender;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::reading::READING_MAX;
use super::{Heard, Stop};
use crate::claim::{self, CLAIM_TIMEOUT};
use crate::id::{DocumentId, JobId};
use crate::read;
use crate::writing::Leaves;

/// Ids in one page of the listing, and the most documents that are read at once.
const PAGE: u64 = 500;

/// Sends the open jobs from the id `start` on.
pub(super) async fn list(
    database: &Database,
    copies: u32,
    mut start: String,
    heard: &Sender<Heard>,
) -> Result<(), Stop> {
    let mut sorter = Sorter { heard, pending: Vec::new() };
    loop {
        // Ids first: pieces of input are large and of no interest here.
        let query = AllDocs { start: Some(start), limit: Some(PAGE), ..AllDocs::default() };
        let page = database.all_docs::<Value>(&query).await?;
        let Some(last) = page.rows.last() else { break };
        start = format!("{}\u{0}", last.id);
        let ids = page.rows.into_iter().map(|row| row.id).filter(|id| is_told(id));
        let documents = AllDocs { include_docs: true, conflicts: true, ..read::keys(ids) };
        let rows = database.all_docs::<Value>(&documents).await?.rows;
        let things: Vec<(Heard, Vec<Revision>)> = rows
            .into_iter()
            .filter_map(|Row { id, revision, doc, conflicts, .. }| {
                Some((Heard::of(id.parse().ok()?, revision, doc?)?, conflicts))
            })
            .collect();
        let mut leaves = all_leaves(database, copies, &things).await?;
        for (thing, conflicts) in things {
            let things = match &thing {
                Heard::Run(job, winner, _) | Heard::Unreadable(job, winner) => {
                    match leaves.remove(job) {
                        Some(leaves) => Heard::of_leaves(job.clone(), &leaves),
                        None => {
                            let losers = losers_of_ended(job, winner, conflicts);
                            [thing].into_iter().chain(losers).collect()
                        }
                    }
                }
                _ => vec![thing],
            };
            for thing in things {
                sorter.push(thing).await?;
            }
        }
    }
    sorter.flush().await
}

/// The leaves of a run that has ended are not read here: there may be thousands of such runs, and only who removes
/// what lost wants to know which leaf that is.
fn losers_of_ended(job: &JobId, winner: &Revision, conflicts: Vec<Revision>) -> Option<Heard> {
    let all = || [winner.clone()].into_iter().chain(conflicts.iter().cloned()).collect();
    (!conflicts.is_empty()).then(|| Heard::Losers(job.clone(), all()))
}

/// Ids of one job sort together (cancel, go, in, ready, run, spec), so a job is complete when its spec comes.
struct Sorter<'a> {
    heard: &'a Sender<Heard>,
    /// Of one job.
    pending: Vec<Heard>,
}

impl Sorter<'_> {
    async fn push(&mut self, thing: Heard) -> Result<(), Stop> {
        if self.pending.first().is_some_and(|first| first.job() != thing.job()) {
            self.flush().await?;
        }
        if matches!(thing, Heard::Spec(_)) && self.pending.iter().any(Heard::is_end) {
            self.pending.retain(|thing| matches!(thing, Heard::Losers(..)));
            return self.flush().await;
        }
        self.pending.push(thing);
        Ok(())
    }

    /// Also of a job without a spec: replication may bring that last.
    async fn flush(&mut self) -> Result<(), Stop> {
        for thing in self.pending.drain(..) {
            self.heard.send(thing).await?;
        }
        Ok(())
    }
}

fn is_told(id: &str) -> bool {
    use DocumentId::{Cancel, Go, Ready, Run, Spec};
    matches!(id.parse(), Ok(Spec(_) | Run(_) | Cancel(_) | Ready(_) | Go(_)))
}

/// A listing has winners alone, of one copy: of runs that have not ended all leaves are read, where there are several or
/// other copies may have more.
async fn all_leaves(
    database: &Database,
    copies: u32,
    things: &[(Heard, Vec<Revision>)],
) -> Result<HashMap<JobId, Leaves>, Error> {
    let mut found = HashMap::new();
    let several = things.iter().filter(|(_, conflicts)| copies > 1 || !conflicts.is_empty());
    let mut jobs = several.filter_map(|(thing, _)| match thing {
        Heard::Run(job, _, run) if !run.is_final() => Some(job.clone()),
        Heard::Unreadable(job, _) => Some(job.clone()),
        _ => None,
    });
    let mut tasks = JoinSet::new();
    // One for all of them: a copy that hangs must not cost this time again for each.
    let until = Instant::now() + CLAIM_TIMEOUT;
    loop {
        while tasks.len() < READING_MAX
            && let Some(job) = jobs.next()
        {
            let database = database.clone();
            tasks.spawn(async move {
                let leaves = claim::leaves_told(&database, copies, &job, until).await;
                (job, leaves)
            });
        }
        match tasks.join_next().await {
            Some(Ok((job, leaves))) => {
                found.insert(job, leaves?);
            }
            // A reading that panicked: its winner is told as it is.
            Some(Err(error)) => tracing::error!(%error, "the leaves of a run were not read"),
            None => return Ok(found),
        }
    }
}
