//! How many jobs of a database are open: what is asked before it is closed or dropped.

use std::collections::BTreeSet;

use blitz_couchdb::{AllDocs, Database, Error, Row};
use serde_json::Value;

use crate::claim;
use crate::guards::Guards;
use crate::id::{DocumentId, JobId};
use crate::read;
use crate::run::RunDocument;

/// Ids in one page of the listing, and the most runs that are read at once: some 500 KB.
const PAGE: u64 = 1000;

/// Counts the open jobs, up to the first page that has any: one is enough to keep a database. A database that is not there has
/// none.
///
/// What is not sure is open: a run that cannot be read (the keeper ends it), one without a spec (replication may bring that
/// last), and a job of whose leaves the one that counts is no end.
///
/// # Errors
///
/// What the store answers.
pub async fn open_jobs(database: &Database) -> Result<u64, Error> {
    let mut start = None;
    let mut ended: BTreeSet<JobId> = BTreeSet::new();
    loop {
        // Ids first: output and pieces of input are large and of no interest here.
        let query = AllDocs { start, limit: Some(PAGE), ..AllDocs::default() };
        let page = match database.all_docs::<Value>(&query).await {
            Err(Error::NotFound { .. }) => return Ok(0),
            page => page?,
        };
        let Some(last) = page.rows.last() else { return Ok(0) };
        start = Some(format!("{}\u{0}", last.id));
        let ids = page.rows.iter().filter_map(|row| row.id.parse().ok());
        let (mut specs, mut runs) = (Vec::new(), Vec::new());
        for id in ids {
            match id {
                DocumentId::Spec(job) => specs.push(job),
                DocumentId::Run(job) => runs.push(job),
                _ => {}
            }
        }
        let mut open: BTreeSet<JobId> = runs.iter().cloned().collect();
        for job in ends(database, runs).await? {
            open.remove(&job);
            ended.insert(job);
        }
        // Ids of one job sort together, the run before the spec, but perhaps on the page before.
        open.extend(specs.into_iter().filter(|job| !ended.contains(job)));
        if !open.is_empty() {
            return Ok(u64::try_from(open.len()).unwrap_or(u64::MAX));
        }
        ended = ended.pop_last().into_iter().collect();
    }
}

/// Those of these runs that have come to an end.
async fn ends(database: &Database, runs: Vec<JobId>) -> Result<Vec<JobId>, Error> {
    if runs.is_empty() {
        return Ok(Vec::new());
    }
    let ids = runs.into_iter().map(|job| DocumentId::Run(job).to_string());
    let query = AllDocs { include_docs: true, conflicts: true, ..read::keys(ids) };
    let mut ended = Vec::new();
    for Row { id, doc, conflicts, .. } in database.all_docs::<Value>(&query).await?.rows {
        let (Ok(DocumentId::Run(job)), Some(doc)) = (id.parse(), doc) else { continue };
        let is_end = if conflicts.is_empty() {
            read::document::<RunDocument>(&id, doc).is_some_and(|found| found.run.is_final())
        } else {
            let leaves = claim::leaves(database, 1, &job).await?;
            leaves.resolved(Guards::default()).is_some_and(|(_, run)| run.is_final())
        };
        if is_end {
            ended.push(job);
        }
    }
    Ok(ended)
}
