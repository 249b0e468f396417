//! What the store has of jobs, for those who come later or fell behind.

use std::collections::BTreeMap;
use std::sync::Arc;

use blitz_couchdb::{AllDocs, Client, Error, Revision};
use blitz_jobs::id::DocumentId;
use blitz_jobs::output::Chunk;
use blitz_jobs::read;
use blitz_jobs::run::RunDocument;
use blitz_jobs::{JobId, Position, Run, Spec};
use serde_json::Value;

/// Chunks in one read: 64 of up to 64 KiB (a third more in base64) are 6 MB at most.
const CHUNKS_PER_READ: u64 = 64;

/// A job as the store has it.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) spec: Spec,
    pub(crate) run: Option<Run>,
    pub(crate) cancelled: bool,
}

/// The job, if the store has it.
pub(crate) async fn job(store: &Client, id: &JobId) -> Result<Option<Job>, Error> {
    let keys = [DocumentId::Spec(id.clone()), DocumentId::Run(id.clone())]
        .into_iter()
        .chain([DocumentId::Cancel(id.clone())])
        .map(|id| id.to_string());
    let rows = list(store, &id.jobs_database(), read::keys(keys)).await?;
    Ok(gather(rows).remove(id))
}

/// The newest jobs of a jobs database, newest first.
pub(crate) async fn newest(
    store: &Client,
    database: &str,
    limit: usize,
) -> Result<Vec<Job>, Error> {
    // A job has two documents as a rule, and a cancel or pieces of input now and then.
    let limit_rows = u64::try_from(limit).unwrap_or(u64::MAX).saturating_mul(3);
    let query = AllDocs { descending: true, limit: Some(limit_rows), ..AllDocs::default() };
    let rows = list(store, database, query).await?;
    Ok(gather(rows).into_values().rev().take(limit).collect())
}

/// A listing in which a database that is not there is empty: nothing was ever written to it.
async fn list(
    store: &Client,
    database: &str,
    query: AllDocs,
) -> Result<Vec<(String, Revision, Value)>, Error> {
    match read::list(&store.database(database), query).await {
        Err(Error::NotFound { .. }) => Ok(Vec::new()),
        listed => listed,
    }
}

/// Documents to jobs. What cannot be read is not there for us.
fn gather(rows: Vec<(String, Revision, Value)>) -> BTreeMap<JobId, Job> {
    let mut specs = BTreeMap::new();
    let mut runs = BTreeMap::new();
    let mut cancels = Vec::new();
    for (id, _, doc) in rows {
        match id.parse() {
            Ok(DocumentId::Spec(job)) => {
                specs.extend(read::document::<Spec>(&id, doc).map(|spec| (job, spec)));
            }
            Ok(DocumentId::Run(job)) => {
                runs.extend(read::document::<RunDocument>(&id, doc).map(|d| (job, d.run)));
            }
            Ok(DocumentId::Cancel(job)) => cancels.push(job),
            _ => {}
        }
    }
    specs
        .into_iter()
        .map(|(id, spec)| {
            let run = runs.remove(&id);
            let cancelled = cancels.contains(&id);
            (id, Job { spec, run, cancelled })
        })
        .collect()
}

/// The next chunks after a position, in the order of the stream; empty when there are no more.
pub(crate) async fn chunks(
    store: &Client,
    id: &JobId,
    after: Option<&Position>,
) -> Result<Vec<(Position, Arc<Chunk>)>, Error> {
    let start = match after {
        Some(position) => {
            format!("{}\u{0}", DocumentId::Output(id.clone(), position.clone()))
        }
        None => format!("{id}:out."),
    };
    let query = AllDocs { limit: Some(CHUNKS_PER_READ), ..read::range(start, id.range().1) };
    let rows = read::list::<Chunk>(&store.database(&id.output_database()), query).await?;
    Ok(rows
        .into_iter()
        .filter_map(|(id, _, chunk)| match id.parse() {
            Ok(DocumentId::Output(_, position)) => Some((position, Arc::new(chunk))),
            _ => None,
        })
        .collect())
}
