//! Performs what [`crate::writing`] and [`crate::start`] decide, on a real store.

use std::time::Duration;

use blitz_couchdb::{BulkOutcome, BulkRow, Database, Error, Put, PutOptions, Revision};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::feed::Heard;
use crate::guards::Guards;
use crate::id::{DocumentId, JobId};
use crate::read;
use crate::run::{Run, RunDocument, RunKind};
use crate::start::{self, Fencing, Start};
use crate::writing::{Answer, Ask, Leaves, Next, PutReply, Reply, Writing};

/// An answer is waited for this long: losers of a race on a cluster with a hung node hear nothing for
/// 60 s, and by then the job could have run.
pub const CLAIM_TIMEOUT: Duration = Duration::from_secs(5);

/// Writes `run` over `over`, and says whether it stands. `copies` is how many the job's database has.
pub async fn write(
    jobs: &Database,
    copies: u32,
    job: &JobId,
    over: Option<&Revision>,
    run: &Run,
) -> Answer {
    let id = DocumentId::Run(job.clone()).to_string();
    let document = RunDocument::new(run.clone());
    let (mut writing, mut ask) =
        Writing::begin(copies, over.cloned(), run.clone(), Guards::default());
    loop {
        let reply = match ask {
            Ask::Leaves => Reply::Leaves(leaves(jobs, copies, job).await.ok()),
            Ask::AllLeaves => {
                let read = tokio::time::timeout(CLAIM_TIMEOUT, leaves_of(jobs, copies, job));
                Reply::Leaves(read.await.ok().and_then(Result::ok))
            }
            Ask::Put { over, quorum } => {
                Reply::Put(put(jobs, &id, over.as_ref(), &document, quorum).await)
            }
            Ask::Remove(own) => {
                let removed = json!({"kind": RunKind::Run, "_deleted": true});
                put(jobs, &id, Some(&own), &removed, None).await;
                Reply::Removed
            }
        };
        match writing.hear(reply) {
            Next::Ask(next) => ask = next,
            Next::Decided(answer) => return answer,
        }
    }
}

/// Passes the start fence of a claim: whether the job may begin.
pub async fn pass(jobs: &Database, start: &Start, claim: &Revision) -> bool {
    let id = DocumentId::Start(start.job.clone()).to_string();
    let (mut fencing, mut ask) = Fencing::begin(start.clone(), claim.clone(), Guards::default());
    loop {
        let reply = match ask {
            start::Ask::Create(start) => {
                start::Reply::Put(put(jobs, &id, None, &start, None).await)
            }
            // With all guards on nobody asks for these.
            start::Ask::Child(_) | start::Ask::Read => start::Reply::Read(None),
        };
        match fencing.hear(&reply) {
            start::Next::Ask(next) => ask = next,
            start::Next::Decided(goes) => return goes,
        }
    }
}

/// The leaves of a run from a majority of copies, and its start fence when there are several.
///
/// # Errors
///
/// What the store answers.
pub async fn leaves(jobs: &Database, copies: u32, job: &JobId) -> Result<Leaves, Error> {
    leaves_of(jobs, copies / 2 + 1, job).await
}

/// The same for who was told by a feed or a listing that there is something to read: from all copies, so that the one
/// which told is among them. Two others of three may agree on what was before, and what it told is not told again.
/// Where not all have answered by `until`, one of them hangs, and the majority that is left has the one which told.
///
/// # Errors
///
/// What the store answers.
pub(crate) async fn leaves_told(
    jobs: &Database,
    copies: u32,
    job: &JobId,
    until: Instant,
) -> Result<Leaves, Error> {
    match tokio::time::timeout_at(until, leaves_of(jobs, copies, job)).await {
        Ok(Ok(leaves)) => Ok(leaves),
        Ok(Err(_)) | Err(_) => leaves(jobs, copies, job).await,
    }
}

/// The same from so many copies.
async fn leaves_of(jobs: &Database, quorum: u32, job: &JobId) -> Result<Leaves, Error> {
    let id = DocumentId::Run(job.clone()).to_string();
    let mut leaves = Leaves::default();
    for leaf in jobs.leaves::<Value>(&id, Some(quorum)).await? {
        match read::document::<RunDocument>(&id, leaf.body) {
            Some(document) => leaves.runs.push((leaf.revision, document.run)),
            None => leaves.unreadable.push(leaf.revision),
        }
    }
    if leaves.runs.len() > 1 {
        let id = DocumentId::Start(job.clone()).to_string();
        let start = jobs.get::<Value>(&id).await?;
        leaves.start = start.and_then(|found| read::document(&id, found.body));
    }
    Ok(leaves)
}

/// What the store has of a run, as a follower would be told: for who lost a write, and knew less than the store.
///
/// # Errors
///
/// What the store answers.
pub async fn hear(jobs: &Database, copies: u32, job: &JobId) -> Result<Vec<Heard>, Error> {
    Ok(Heard::of_leaves(job.clone(), &leaves(jobs, copies, job).await?))
}

/// Removes leaves of a run that lost, those of `losers` that still do: the leaves are read and resolved again, and
/// the one that counts stays, whoever asked. Returns those that were not removed, which may be asked for again.
///
/// # Errors
///
/// What the store answers.
pub async fn remove(
    jobs: &Database,
    copies: u32,
    job: &JobId,
    losers: &[Revision],
) -> Result<Vec<Revision>, Error> {
    let id = DocumentId::Run(job.clone()).to_string();
    let leaves = leaves(jobs, copies, job).await?;
    let lost: Vec<&Revision> =
        leaves.losers(Guards::default()).filter(|leaf| losers.contains(leaf)).collect();
    if lost.is_empty() {
        return Ok(Vec::new());
    }
    // With its kind, by which replications choose what they carry: the leaf is to go everywhere.
    let tombstone =
        |leaf: &&Revision| json!({"_id": id, "_rev": leaf, "_deleted": true, "kind": RunKind::Run});
    let tombstones: Vec<Value> = lost.iter().map(tombstone).collect();
    let rows = jobs.bulk(&tombstones).await?;
    let is_stored =
        |row: &BulkRow| matches!(row.outcome, BulkOutcome::Stored(_) | BulkOutcome::Accepted(_));
    let left = lost.into_iter().zip(&rows).filter(|(_, row)| !is_stored(row));
    Ok(left.map(|(leaf, _)| leaf.clone()).collect())
}

async fn put<T: Serialize + Sync>(
    jobs: &Database,
    id: &str,
    over: Option<&Revision>,
    body: &T,
    quorum: Option<u32>,
) -> PutReply {
    let options = PutOptions { quorum, timeout: Some(CLAIM_TIMEOUT) };
    match jobs.put(id, over, body, options).await {
        Ok(Put::Created(revision)) => PutReply::Created(revision),
        Ok(Put::Accepted(revision)) => PutReply::Accepted(revision),
        Ok(Put::Conflict) => PutReply::Conflict,
        Err(error @ (Error::NotFound { .. } | Error::Forbidden { .. })) => {
            tracing::warn!(id, %error, "not written, and never will be");
            PutReply::Refused
        }
        Err(error) => {
            tracing::warn!(id, %error, "no clear answer to a write");
            PutReply::Unknown
        }
    }
}
