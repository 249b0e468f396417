//! What there is to do in a region, read from its databases: what waits, since when, and what runs.
//!
//! How many jobs wait is a view's to tell. Which they are is not: they are looked for among the newest, whose ids sort by
//! time, and in the first thousands of a queue there are more than enough to fill any fleet.

use std::collections::{BTreeMap, BTreeSet};

use blitz_couchdb::{AllDocs, Database, Error};
use blitz_jobs::{JobId, Spec, design, read};
use serde_json::Value;

use crate::home::Home;
use crate::scale::Demand;

/// Ids of one page.
const PAGE: u64 = 1_000;

/// Pages that are looked through, newest first: of a job there are three documents and more.
const PAGES_MAX: usize = 10;

/// Specs that are read of what waits, and of what runs. The others count as jobs of one slot.
const SPECS_MAX: usize = 1_000;

/// Reads the demand. `held` are the jobs that engines hold.
///
/// # Errors
///
/// What the store answers.
pub async fn read(home: &Home, held: &[JobId], now_ms: u64) -> Result<Demand, Error> {
    let mut demand = Demand { running: slots(home, held).await?.0, ..Demand::default() };
    for name in home.region.jobs_databases() {
        let database = home.database(&name);
        let counted = waiting_count(&database, &home.region.name).await?;
        if counted == 0 {
            continue;
        }
        let jobs = waiting(&database, counted).await?;
        let (slots, specs) = slots(home, &jobs).await?;
        // Those that were given back have a run, and are not among them.
        let others = counted.saturating_sub(count(jobs.len()));
        demand.waiting = demand.waiting.saturating_add(slots).saturating_add(others);
        let oldest = specs.iter().map(|spec| spec.created_at_ms).min();
        let waited = oldest.map_or(0, |oldest| now_ms.saturating_sub(oldest));
        demand.oldest_waiting_ms = demand.oldest_waiting_ms.max(waited);
        demand.reservations.extend(reservations(&home.region.name, &specs));
    }
    Ok(demand)
}

async fn waiting_count(database: &Database, region: &str) -> Result<u32, Error> {
    let rows = match database.reduced::<String, i64>(design::JOBS_DESIGN, "waiting").await {
        Ok(rows) => rows,
        // Opened a moment ago, and its views not made yet.
        Err(Error::Status { code: 404, .. }) => return Ok(0),
        Err(error) => return Err(error),
    };
    let of = rows.into_iter().find(|(name, _)| name == region).map_or(0, |(_, count)| count);
    // A run that was replicated before its spec counts one too few for a moment.
    Ok(u32::try_from(of.max(0)).unwrap_or(u32::MAX))
}

/// The newest jobs that have no run, of so many as there are.
async fn waiting(database: &Database, counted: u32) -> Result<Vec<JobId>, Error> {
    let (mut specs, mut runs) = (BTreeSet::new(), BTreeSet::new());
    let mut start = None;
    for _ in 0..PAGES_MAX {
        let query = AllDocs {
            start: start.clone(),
            limit: Some(PAGE),
            skip: u64::from(start.is_some()),
            descending: true,
            ..AllDocs::default()
        };
        let rows = database.all_docs::<Value>(&query).await?.rows;
        let (before, length) = (specs.len(), count(rows.len()));
        for row in &rows {
            match row.id.rsplit_once(':') {
                Some((job, "spec")) => drop(specs.insert(job.to_owned())),
                Some((job, "run")) => drop(runs.insert(job.to_owned())),
                _ => {}
            }
        }
        start = rows.last().map(|row| row.id.clone());
        let is_last = u64::from(length) < PAGE;
        let waits = specs.difference(&runs).count();
        // Nobody waits among the newest: before them nobody does, or is overtaken for a reason that no engine changes.
        let are_none = waits == 0 && specs.len() > before;
        if is_last || are_none || count(waits) >= counted {
            break;
        }
    }
    let waits = specs.difference(&runs);
    Ok(waits.filter_map(|id| JobId::try_from(id.clone()).ok()).collect())
}

/// The slots of jobs, and the specs that were read for it.
async fn slots(home: &Home, jobs: &[JobId]) -> Result<(u32, Vec<Spec>), Error> {
    let mut by_database: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for job in jobs.iter().take(SPECS_MAX) {
        by_database.entry(job.jobs_database()).or_default().push(format!("{job}:spec"));
    }
    let mut specs = Vec::new();
    for (database, ids) in by_database {
        let found = read::list::<Spec>(&home.database(&database), read::keys(ids)).await;
        match found {
            Ok(found) => specs.extend(found.into_iter().map(|(_, _, spec)| spec)),
            // Gone with its database.
            Err(Error::NotFound { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    let of = |spec: &Spec| spec.limits.slots.unwrap_or(1).max(1);
    let known = specs.iter().map(of).fold(0_u32, u32::saturating_add);
    let others = count(jobs.len().saturating_sub(specs.len()));
    Ok((known.saturating_add(others), specs))
}

/// For each run of several engines of the region, how many: two tasks of it are never on one engine.
fn reservations(region: &str, specs: &[Spec]) -> Vec<u32> {
    let runs: BTreeMap<&str, u32> = specs
        .iter()
        .map(|spec| {
            let here = spec.tasks.iter().filter(|task| task.region() == region).count();
            (spec.run.as_str(), count(here))
        })
        .collect();
    runs.into_values().filter(|engines| *engines > 1).collect()
}

fn count(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}
