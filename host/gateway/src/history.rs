//! What the store has of jobs, for those who come later or fell behind.

use std::collections::BTreeMap;
use std::sync::Arc;

use blitz_couchdb::{AllDocs, Error, Row};
use blitz_jobs::feed::Heard;
use blitz_jobs::id::DocumentId;
use blitz_jobs::output::Chunk;
use blitz_jobs::region::Region;
use blitz_jobs::run::RunDocument;
use blitz_jobs::{JobId, Position, Run, Spec};
use blitz_jobs::{claim, read};
use serde_json::Value;

use crate::caller::Caller;
use crate::stores::{Place, Stores};

/// Chunks in one read: of up to 128 KiB, and of six times as much for text that JSON escapes throughout, 32 are
/// 25 MB at most; as a rule 2 MB.
const CHUNKS_PER_READ: u64 = 32;

/// Ids in one read of a listing.
const IDS_PER_READ: u64 = 500;

/// Jobs in one read of a listing, of which a member sees some: three documents of a few kilobytes each.
const JOBS_PER_READ: usize = 100;

/// Jobs of one database that are looked at for one listing. Who has asked for nothing among so many sees an empty list: an
/// account with few jobs in a busy region must not cost more than this.
const LOOKED_AT_MAX: usize = 5000;

/// A job as the store has it.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) spec: Spec,
    pub(crate) run: Option<Run>,
    pub(crate) cancelled: bool,
}

impl Job {
    /// Whether it has ended, or was asked to.
    pub(crate) fn is_over(&self) -> bool {
        self.cancelled || self.run.as_ref().is_some_and(Run::is_final)
    }
}

/// Copies that are asked for the leaves of a run where several clusters write it: as many as a database of ours has at most.
const COPIES: u32 = 3;

/// The job, if a store has it.
pub(crate) async fn job(stores: &Stores, id: &JobId) -> Result<Option<Job>, Error> {
    let region = stores.region(id);
    stores
        .find(region.as_ref(), 0, async |place: Place| {
            let rows = list(&place, &id.jobs_database(), documents(id).to_vec()).await?;
            Ok(gather(rows).remove(id))
        })
        .await
}

/// The newest jobs of a region that the caller may see, of each of its databases newest first: at least so many as are asked
/// for, if there are so many among the newest [`LOOKED_AT_MAX`] of a database.
pub(crate) async fn newest(
    stores: &Stores,
    region: &Region,
    caller: &Caller,
    limit: usize,
) -> Result<Vec<Job>, Error> {
    let mut jobs = Vec::new();
    let oldest = region.open.iter().min().copied().unwrap_or(region.current);
    for number in (1..=region.current).rev() {
        let is_open = region.open.contains(&number);
        // What is open no more is kept for a while, and has the older jobs.
        if !is_open && jobs.len() >= limit {
            if number < oldest {
                break;
            }
            continue;
        }
        let database = format!("blitz-jobs-{}-{number}", region.name);
        let newest =
            stores.find(Some(region), 0, |place| newest_at(place, &database, caller, limit));
        match newest.await? {
            Some(newest) => jobs.extend(newest),
            // Those before it were dropped earlier.
            None if number < oldest => break,
            None => {}
        }
    }
    Ok(jobs)
}

async fn newest_at(
    place: Place,
    database: &str,
    caller: &Caller,
    limit: usize,
) -> Result<Option<Vec<Job>>, Error> {
    let mut jobs: Vec<Job> = Vec::new();
    let mut looked_at = 0;
    let mut page = AllDocs { descending: true, limit: Some(IDS_PER_READ), ..AllDocs::default() };
    while jobs.len() < limit && looked_at < LOOKED_AT_MAX {
        // Ids first: pieces of input are large and of no interest here.
        let ids = match place.store.database(database).all_docs::<Value>(&page).await {
            Ok(page) => page.rows,
            Err(Error::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        let Some(last) = ids.last() else { break };
        page = AllDocs { start: Some(last.id.clone()), skip: 1, ..page };
        let listed: Vec<JobId> = ids
            .iter()
            .filter_map(|row| match row.id.parse() {
                Ok(DocumentId::Spec(job)) => Some(job),
                _ => None,
            })
            .collect();
        // As many as may be wanted at once: who sees all of them needs no more.
        for some in listed.chunks(limit.saturating_sub(jobs.len()).clamp(1, JOBS_PER_READ)) {
            if jobs.len() >= limit {
                break;
            }
            looked_at += some.len();
            let rows = list(&place, database, some.iter().flat_map(documents).collect()).await?;
            let found = gather(rows).into_values().rev();
            jobs.extend(found.filter(|job| caller.may_see(&job.spec)));
        }
    }
    jobs.truncate(limit);
    Ok(Some(jobs))
}

/// The ids of the documents that tell of a job.
fn documents(job: &JobId) -> [String; 3] {
    [DocumentId::Spec(job.clone()), DocumentId::Run(job.clone()), DocumentId::Cancel(job.clone())]
        .map(|id| id.to_string())
}

/// What is said of jobs; a database that is not there is empty: nothing was ever written to it. Of a run with several
/// leaves it is the one that counts.
async fn list(
    place: &Place,
    database: &str,
    ids: Vec<String>,
) -> Result<Vec<(String, Said)>, Error> {
    let database = place.store.database(database);
    let query = AllDocs { include_docs: true, conflicts: place.is_replicated, ..read::keys(ids) };
    let rows = match database.all_docs::<Value>(&query).await {
        Err(Error::NotFound { .. }) => return Ok(Vec::new()),
        listed => listed?.rows,
    };
    let mut said = Vec::new();
    for Row { id, doc, conflicts, .. } in rows {
        let Some(doc) = doc else { continue };
        if !conflicts.is_empty()
            && let Ok(DocumentId::Run(job)) = id.parse()
        {
            let leaves = claim::hear(&database, COPIES, &job).await?;
            said.extend(leaves.into_iter().filter_map(|thing| match thing {
                Heard::Run(_, _, run) => Some((id.clone(), Said::Run(run))),
                _ => None,
            }));
            continue;
        }
        said.push((id, Said::Document(doc)));
    }
    Ok(said)
}

/// What a store says of a job.
enum Said {
    /// As it stands there.
    Document(Value),
    /// A run, resolved.
    Run(Run),
}

/// Documents to jobs. What cannot be read is not there for us.
fn gather(rows: Vec<(String, Said)>) -> BTreeMap<JobId, Job> {
    let mut specs = BTreeMap::new();
    let mut runs = BTreeMap::new();
    let mut cancels = Vec::new();
    for (id, said) in rows {
        match (id.parse(), said) {
            (Ok(DocumentId::Spec(job)), Said::Document(doc)) => {
                specs.extend(read::document::<Spec>(&id, doc).map(|spec| (job, spec)));
            }
            (Ok(DocumentId::Run(job)), Said::Document(doc)) => {
                runs.extend(read::document::<RunDocument>(&id, doc).map(|d| (job, d.run)));
            }
            (Ok(DocumentId::Run(job)), Said::Run(run)) => {
                runs.insert(job, run);
            }
            (Ok(DocumentId::Cancel(job)), _) => cancels.push(job),
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

/// The next chunks after a position, in the order of the stream; empty when there are no more. `turn` asks another place first,
/// each time the next one: what is missing here may be there.
pub(crate) async fn chunks(
    stores: &Stores,
    id: &JobId,
    after: Option<&Position>,
    turn: usize,
) -> Result<Vec<(Position, Arc<Chunk>)>, Error> {
    let start = match after {
        Some(position) => {
            format!("{}\u{0}", DocumentId::Output(id.clone(), position.clone()))
        }
        None => format!("{id}:out."),
    };
    let query = AllDocs { limit: Some(CHUNKS_PER_READ), ..read::range(start, id.range().1) };
    let region = stores.region(id);
    let rows = stores
        .find(region.as_ref(), turn, async |place: Place| {
            let output = place.store.database(&id.output_database());
            read::list::<Chunk>(&output, query.clone()).await.map(Some)
        })
        .await?;
    Ok(rows
        .unwrap_or_default()
        .into_iter()
        .filter_map(|(id, _, chunk)| match id.parse() {
            Ok(DocumentId::Output(_, position)) => Some((position, Arc::new(chunk))),
            _ => None,
        })
        .collect())
}
