//! Where a job's documents are written, and when it counts as accepted: when as many copies have them as a database keeps, or two
//! clusters where a database keeps one.
//!
//! The home of the job's region comes first, when it answers; else a hub, from where they are replicated home. What a place did
//! in spite of a lost answer is harmless: the documents are the same everywhere.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use blitz_couchdb::{Error, PutOptions};
use blitz_jobs::JobId;
use blitz_jobs::id::DocumentId;
use blitz_jobs::region::Region;
use blitz_jobs::spec::Cancel;

use super::papers::{NotStored, Papers, Stored};
use crate::failure::Failure;
use crate::reach::{Choice, ELSEWHERE_AFTER, Reach, Site};
use crate::stores::Stores;

/// How many copies databases keep, as they have said.
#[derive(Debug, Clone, Default)]
pub(crate) struct Copies(Arc<Mutex<HashMap<(Site, String), u32>>>);

/// Databases that are remembered: regions times lanes. More are asked again.
const COPIES_MAX: usize = 10_000;

impl Copies {
    async fn of(&self, reach: &Reach, site: Site, database: &str) -> Result<u32, Error> {
        let key = (site, database.to_owned());
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&key).copied();
        if let Some(known) = known {
            return Ok(known);
        }
        let n = reach.client(site).database(database).info().await?.cluster.n;
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= COPIES_MAX {
            all.clear();
        }
        all.insert(key, n);
        Ok(n)
    }
}

/// One submission's way to the places of its region.
struct Way<'a> {
    reach: &'a Reach,
    copies: &'a Copies,
    database: &'a str,
    papers: &'a Papers<'a>,
    /// How many places have taken it.
    taken: u32,
    /// The first place's error.
    failed: Option<Error>,
    /// A place may have it, and has not said so.
    is_unknown: bool,
}

/// Writes a job's documents at the best places of its region.
pub(super) async fn accept(
    reach: &Reach,
    copies: &Copies,
    region: &Region,
    database: &str,
    papers: &Papers<'_>,
) -> Result<(), Failure> {
    let choice = reach.choice(region);
    let (failed, is_unknown) = (None, false);
    let mut way = Way { reach, copies, database, papers, taken: 0, failed, is_unknown };
    // Where there are others nobody waits long for one of them.
    let patience = (choice.writing.len() > 1).then_some(ELSEWHERE_AFTER);
    if Box::pin(way.go(&choice.writing, patience)).await? || way.taken > 0 {
        return Ok(());
    }
    // All were tried in vain, and an answer may just have been late.
    if patience.is_some()
        && way.is_unknown
        && (Box::pin(way.go(&choice.writing, None)).await? || way.taken > 0)
    {
        return Ok(());
    }
    Err(match way.failed {
        None => no_way_in(region),
        Some(error) => nowhere(reach, region, &choice, &error),
    })
}

impl Way<'_> {
    /// Tries place after place, until enough have it: true then.
    async fn go(&mut self, places: &[Site], patience: Option<Duration>) -> Result<bool, Failure> {
        let mut rest = places.iter().copied();
        while let Some(first) = rest.next() {
            let n = match self.keeps(first, patience).await {
                Ok(n) => n,
                Err(error) => {
                    self.fail(first, error);
                    continue;
                }
            };
            // Of one copy alone nobody says that it is enough: the second answer is waited for anyway.
            let second = if n < 2 && self.taken == 0 { rest.next() } else { None };
            let (one, two) = tokio::join!(self.write(first, n, patience), async {
                let second = second?;
                let n = self.keeps(second, patience).await.map_err(NotStored::Store);
                let stored = match n {
                    Ok(n) => self.write(second, n, patience).await,
                    Err(error) => Err(error),
                };
                Some((second, stored))
            });
            for (site, stored) in [(first, one)].into_iter().chain(two) {
                match stored {
                    Ok(true) => return Ok(true),
                    Ok(false) => self.taken += 1,
                    Err(NotStored::Refused(failure)) => return Err(failure),
                    Err(NotStored::Store(error)) => {
                        self.is_unknown |= error.is_outcome_unknown();
                        self.fail(site, error);
                    }
                }
            }
            if self.taken > 1 {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// How many copies of a document a place keeps.
    async fn keeps(&self, site: Site, patience: Option<Duration>) -> Result<u32, Error> {
        let asks = self.copies.of(self.reach, site, self.database);
        match patience {
            Some(patience) => self.reach.ask(site, patience, asks).await,
            None => asks.await,
        }
    }

    /// Writes at one place: whether as many copies have it as are enough.
    async fn write(
        &self,
        site: Site,
        n: u32,
        patience: Option<Duration>,
    ) -> Result<bool, NotStored> {
        let jobs = self.reach.client(site).database(self.database);
        let stored = self.papers.write(&jobs, (n > 1).then_some(n), patience).await?;
        self.reach.answered(site);
        Ok(n > 1 && stored == Stored::Enough)
    }

    fn fail(&mut self, site: Site, error: Error) {
        let (database, cluster) = (self.database, self.reach.name(site));
        tracing::warn!(database, cluster, %error, "a job was not written there");
        let answer: Result<(), Error> = Err(error);
        self.reach.note(site, &answer);
        self.failed = self.failed.take().or(answer.err());
    }
}

/// Writes the create-only wish that a job stops: at its region's home, or where it gets there from. A conflict means that it
/// was cancelled before, which is as good.
pub(crate) async fn cancel(stores: &Stores, job: &JobId) -> Result<(), Error> {
    let reach = &stores.reach;
    let writing = stores.region(job).map(|region| reach.choice(&region).writing);
    let places = writing.filter(|places| !places.is_empty()).unwrap_or(vec![Site::NEAR]);
    let (id, cancel) = (DocumentId::Cancel(job.clone()).to_string(), Cancel::new(job.clone()));
    let timeout = (places.len() > 1).then_some(ELSEWHERE_AFTER);
    let options = PutOptions { timeout, ..PutOptions::default() };
    let mut failed = None;
    for site in places {
        let jobs = reach.client(site).database(&job.jobs_database());
        let answer = jobs.put(&id, None, &cancel, options).await;
        reach.note(site, &answer);
        match answer {
            Ok(_) => return Ok(()),
            Err(error) => {
                tracing::warn!(%job, cluster = reach.name(site), %error, "not cancelled there");
                failed = failed.or(Some(error));
            }
        }
    }
    failed.map_or(Ok(()), Err)
}

/// Every place of the region failed.
fn nowhere(reach: &Reach, region: &Region, choice: &Choice, error: &Error) -> Failure {
    if region.home.is_none() {
        return Failure::store(error);
    }
    let tried: Vec<&str> = choice.writing.iter().map(|site| reach.name(*site)).collect();
    Failure::nowhere(&region.name, &tried)
}

/// The gateway has no name and password for any cluster of the region.
fn no_way_in(region: &Region) -> Failure {
    let clusters: Vec<&str> = region.home.iter().chain(&region.hubs).map(String::as_str).collect();
    Failure::no_way_in(&region.name, &clusters)
}
