//! Which store is asked for what belongs to a job: the best place of its region, and the others when that one does not answer
//! or does not have it.

use blitz_couchdb::{Client, Error};
use blitz_jobs::JobId;
use blitz_jobs::region::Region;
use serde::Serialize;

use crate::caller::Caller;
use crate::catalog::Catalog;
use crate::reach::{Choice, ELSEWHERE_AFTER, Outage, Reach, Site};

/// All stores that this gateway can enter, by what is asked of them.
#[derive(Debug, Clone)]
pub(crate) struct Stores {
    pub(crate) reach: Reach,
    pub(crate) catalog: Catalog,
}

/// One store to ask, and whether what it has may have come by replication.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) store: Client,
    /// Several clusters write the region's documents: a run may have several leaves, however many copies a database has.
    pub(crate) is_replicated: bool,
}

/// What may be known of a region that has gone: its jobs were near, if anywhere.
const NOWHERE: Choice =
    Choice { home: None, outage: None, reading: Vec::new(), writing: Vec::new(), is_there: false };

impl Stores {
    /// The region of a job, as its document says now.
    pub(crate) fn region(&self, job: &JobId) -> Option<Region> {
        self.catalog.region_named(job.region())
    }

    /// Since when the home of a job's region does not answer.
    pub(crate) fn outage(&self, job: &JobId) -> Option<Outage> {
        self.reach.choice(&self.region(job)?).outage
    }

    /// Whether a job is followed where it is claimed, and not from copies.
    pub(crate) fn is_at_home(&self, job: &JobId) -> bool {
        let choice = self.region(job).map(|region| self.reach.choice(&region));
        choice.is_none_or(|choice| choice.best() == choice.home)
    }

    /// Asks the places of a region, the best first, until one has it. `turn` begins with another one: for who was there
    /// before and did not find all.
    ///
    /// # Errors
    ///
    /// The first place's error, when none has it and not all have answered.
    pub(crate) async fn find<T, F>(
        &self,
        region: Option<&Region>,
        turn: usize,
        asks: impl Fn(Place) -> F,
    ) -> Result<Option<T>, Error>
    where
        F: Future<Output = Result<Option<T>, Error>>,
    {
        let mut places = region.map_or(NOWHERE, |region| self.reach.choice(region)).reading;
        if places.is_empty() {
            places.push(Site::NEAR);
        }
        let count = places.len();
        places.rotate_left(turn % count);
        let is_replicated = region.is_some_and(|region| region.home.is_some());
        let mut failed = None;
        for site in places {
            let place = Place { store: self.reach.client(site).clone(), is_replicated };
            let asks = asks(place);
            let answer = if count == 1 {
                let answer = asks.await;
                self.reach.note(site, &answer);
                answer
            } else if failed.is_some() && self.reach.outage(site).is_some() {
                // Another one has just failed: who is known to be away is not waited for.
                continue;
            } else {
                self.reach.ask(site, ELSEWHERE_AFTER, asks).await
            };
            match answer {
                Ok(Some(found)) => return Ok(Some(found)),
                Ok(None) => {}
                Err(error) => {
                    tracing::debug!(cluster = self.reach.name(site), %error, "asked in vain");
                    failed = failed.or(Some(error));
                }
            }
        }
        failed.map_or(Ok(None), Err)
    }
}

/// A region as the API shows it.
#[derive(Debug, Serialize)]
pub(crate) struct RegionView {
    name: String,
    aliases: Vec<String>,
    engines: usize,
    slots: usize,
    /// The cluster in which its jobs are claimed; absent where there is only one.
    home: Option<String>,
    /// The clusters that have copies.
    hubs: Vec<String>,
    /// Since when its home does not answer, in milliseconds since 1970.
    unreachable_since_ms: Option<u64>,
}

impl Stores {
    pub(crate) fn regions_view(&self, caller: &Caller) -> Vec<RegionView> {
        let view = |region: Region| {
            let (engines, slots) = self.catalog.capacity(&region.name);
            let outage = self.reach.choice(&region).outage;
            RegionView {
                name: region.name,
                aliases: region.aliases,
                engines,
                slots,
                home: region.home,
                hubs: region.hubs,
                unreachable_since_ms: outage.map(|outage| outage.since_ms),
            }
        };
        self.catalog.regions(caller).into_iter().map(view).collect()
    }
}
