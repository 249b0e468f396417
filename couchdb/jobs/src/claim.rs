//! Writing a step of a run, and finding out whether it counts.
//!
//! On a cluster every copy checks revisions alone: 201 means that the asked number of copies agreed, and any
//! lesser agreement is answered 202 **and stored**. So the claim asks for all copies, a 201 is a win, a 409 a
//! loss, and anything else is decided by what is stored. This is good enough for jobs that may run twice; a
//! start fence for those that may not comes on top of it.
//!
//! Source: CouchDB documentation, "Cluster theory"; `fabric_doc_update.erl`.

use std::time::Duration;

use blitz_couchdb::{Database, Error, Put, PutOptions, Revision};

use crate::contest::ClaimAnswer;
use crate::id::{DocumentId, JobId};
use crate::run::{Run, RunDocument, resolve};

/// A claim's answer is waited for this long: losers of a race on a cluster with a hung node hear nothing for
/// 60 s, and by then the job could have run.
pub const CLAIM_TIMEOUT: Duration = Duration::from_secs(5);

/// Writes `run` over `over`, with the agreement of all `copies` of the database, and says whether it counts.
///
/// With several copies it reads first and gives up when the job has a leaf that this step does not know of.
/// With one copy the write alone decides, exactly.
pub async fn write(
    jobs: &Database,
    copies: u32,
    job: &JobId,
    over: Option<&Revision>,
    run: &Run,
) -> ClaimAnswer {
    let id = DocumentId::Run(job.clone()).to_string();
    if copies > 1
        && let Ok(leaves) = jobs.leaves::<RunDocument>(&id, Some(majority(copies))).await
        && leaves.iter().any(|leaf| Some(&leaf.revision) != over && leaf.body.run != *run)
    {
        return ClaimAnswer::Lost;
    }
    let options =
        PutOptions { quorum: (copies > 1).then_some(copies), timeout: Some(CLAIM_TIMEOUT) };
    match jobs.put(&id, over, &RunDocument::new(run.clone()), options).await {
        Ok(Put::Created(revision)) => ClaimAnswer::Won(revision),
        Ok(Put::Conflict) => decide(jobs, copies, &id, run).await.unwrap_or(ClaimAnswer::Lost),
        Ok(Put::Accepted(_)) => {
            decide(jobs, copies, &id, run).await.unwrap_or(ClaimAnswer::Unknown)
        }
        Err(error) if error.is_outcome_unknown() => {
            tracing::warn!(%job, %error, "claim not answered, reading what is stored");
            decide(jobs, copies, &id, run).await.unwrap_or(ClaimAnswer::Unknown)
        }
        // The database is gone, or not ours: no later try will be answered otherwise.
        Err(error @ (Error::NotFound { .. } | Error::Forbidden { .. })) => {
            tracing::warn!(%job, %error, "claim refused");
            ClaimAnswer::Lost
        }
        Err(error) => {
            tracing::warn!(%job, %error, "claim not written");
            ClaimAnswer::Unknown
        }
    }
}

/// Reads what is stored and asks whether it names this very run. `None` when it cannot be read now.
///
/// Also after a conflict: the answer of an earlier try may have been lost on its way, and then the conflict
/// is with ourselves.
async fn decide(jobs: &Database, copies: u32, id: &str, run: &Run) -> Option<ClaimAnswer> {
    let leaves = jobs.leaves::<RunDocument>(id, Some(majority(copies))).await.ok()?;
    let leaves: Vec<(Revision, Run)> =
        leaves.into_iter().map(|leaf| (leaf.revision, leaf.body.run)).collect();
    Some(match resolve(&leaves) {
        Some((revision, named)) if named == run => ClaimAnswer::Won(revision.clone()),
        Some(_) => ClaimAnswer::Lost,
        None => ClaimAnswer::Unknown,
    })
}

fn majority(copies: u32) -> u32 {
    copies / 2 + 1
}
