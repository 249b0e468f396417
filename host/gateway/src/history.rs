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

/// Chunks in one read: of up to 128 KiB, and of six times as much for text that JSON escapes throughout, 32 are
/// 25 MB at most; as a rule 2 MB.
const CHUNKS_PER_READ: u64 = 32;

/// Ids in one read of a listing.
const IDS_PER_READ: u64 = 500;

/// A job as the store has it.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) spec: Spec,
    pub(crate) run: Option<Run>,
    pub(crate) cancelled: bool,
}

/// The job, if the store has it.
pub(crate) async fn job(store: &Client, id: &JobId) -> Result<Option<Job>, Error> {
    let rows = list(store, &id.jobs_database(), read::keys(documents(id))).await?;
    Ok(gather(rows).remove(id))
}

/// The newest jobs of a jobs database, newest first.
pub(crate) async fn newest(
    store: &Client,
    database: &str,
    limit: usize,
) -> Result<Vec<Job>, Error> {
    let mut jobs: Vec<JobId> = Vec::new();
    let mut page = AllDocs { descending: true, limit: Some(IDS_PER_READ), ..AllDocs::default() };
    while jobs.len() < limit {
        // Ids first: pieces of input are large and of no interest here.
        let ids = match store.database(database).all_docs::<Value>(&page).await {
            Ok(page) => page.rows,
            Err(Error::NotFound { .. }) => break,
            Err(error) => return Err(error),
        };
        let Some(last) = ids.last() else { break };
        page = AllDocs { start: Some(last.id.clone()), skip: 1, ..page };
        jobs.extend(ids.iter().filter_map(|row| match row.id.parse() {
            Ok(DocumentId::Spec(job)) => Some(job),
            _ => None,
        }));
    }
    jobs.truncate(limit);
    let rows = list(store, database, read::keys(jobs.iter().flat_map(documents))).await?;
    Ok(gather(rows).into_values().rev().collect())
}

/// The ids of the documents that tell of a job.
fn documents(job: &JobId) -> [String; 3] {
    [DocumentId::Spec(job.clone()), DocumentId::Run(job.clone()), DocumentId::Cancel(job.clone())]
        .map(|id| id.to_string())
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
