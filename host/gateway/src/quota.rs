//! What tenants use, and whether they may use more. The decision is `blitz_jobs::accounts::quota`'s; here is what it rests on.
//!
//! [`counts`] knows what was accepted and what is still open, as the gateway's ears hear it; [`Quota::enter`] asks and counts in
//! one step. [`Quota::flush`] writes what this gateway counted, once a second, and goes on counting while the store is away;
//! what the others counted comes by the feed of accounts ([`Quota::hear`]), and what they had counted before this gateway
//! looked, is read when a tenant comes first. [`keep`] changes plans that are over and deletes what is old.
//!
//! *Invariants:* who is not a tenant's is not limited and not counted. How far a limit may be passed is said in
//! `blitz_jobs::accounts::quota`. What a test of load did not use is given back by the gateway that accepted it, when it hears
//! the end: what is open when a gateway ends stays counted in full until the day is over.

mod counts;
pub(crate) mod keep;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use blitz_contract::Capability;
use blitz_couchdb::{BulkOutcome, Database, Error};
use blitz_jobs::accounts::Due;
use blitz_jobs::accounts::quota::{Asked, Used, why_nothing};
use blitz_jobs::accounts::usage::{Usage, UsageId, day_of, hour_of};
use blitz_jobs::clock::now_ms;
use blitz_jobs::feed::Heard;
use blitz_jobs::plugin::PluginDocument;
use blitz_jobs::spec::Terms;
use blitz_jobs::{Incarnation, JobId, read};
use serde::Serialize;
use serde_json::Value;
use tokio::sync::OnceCell;
use tokio::time::sleep;

use crate::accounts::Book;
use crate::caller::{Caller, Member};
use crate::failure::Failure;
use counts::Counts;

/// How often what was counted is written: part of the bound by which a limit may be passed.
pub(crate) const FLUSH: Duration = Duration::from_secs(1);

/// Documents in one write.
const FLUSHED_MAX: usize = 1000;

/// Shared by all who serve requests.
#[derive(Debug, Clone)]
pub(crate) struct Quota {
    book: Book,
    accounts: Database,
    counts: Arc<Mutex<Counts>>,
    /// The tenants of whom it was read what was counted today.
    read: Arc<Mutex<HashMap<String, Arc<OnceCell<()>>>>>,
}

/// What a run was admitted for.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Admitted {
    load_users: Option<u64>,
    load_rate_per_s: Option<u64>,
    load_ms: Option<u64>,
    output_bytes: Option<u64>,
}

impl Admitted {
    /// The terms of each of its jobs.
    pub(crate) fn terms(self, terms: Terms) -> Terms {
        let Self { load_users, load_rate_per_s, load_ms, output_bytes } = self;
        Terms { load_users, load_rate_per_s, load_ms, output_bytes, ..terms }
    }
}

impl Quota {
    /// One that has counted nothing. `run` is of this run of the gateway, and of no other.
    pub(crate) fn new(book: Book, accounts: Database, run: &Incarnation) -> Self {
        let counts = Arc::new(Mutex::new(Counts::new(run.to_string())));
        Self { book, accounts, counts, read: Arc::default() }
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Admits a run and counts it: all of its jobs or none. Each of them may take `timeout_ms`.
    pub(crate) async fn enter<'a>(
        &self,
        caller: &Caller,
        jobs: &[JobId],
        plugins: impl IntoIterator<Item = &'a PluginDocument>,
        timeout_ms: u64,
    ) -> Result<Admitted, Failure> {
        let Caller::Member(member) = caller else { return Ok(Admitted::default()) };
        let Member { key, plan, .. } = &**member;
        let tenant = &key.tenant;
        let now_ms = now_ms();
        if let Some((tenant, _)) = self.book.tenant(tenant)
            && let Some(why) = why_nothing(&tenant, plan, now_ms)
        {
            return Err(Failure::no_plan(&why));
        }
        if plan.jobs_per_hour.is_some() || plan.load_minutes_per_day.is_some() {
            Box::pin(self.know(tenant)).await.map_err(|error| Failure::store(&error))?;
        }
        let makes_load = plugins
            .into_iter()
            .any(|plugin| plugin.manifest.capabilities.contains(&Capability::Load));
        let tasks = u64::try_from(jobs.len()).unwrap_or(u64::MAX);
        let asked = Asked { tasks, load_ms: makes_load.then_some(timeout_ms) };
        let granted = self.counts().enter(tenant, plan, &asked, jobs, timeout_ms, now_ms);
        let granted = granted.map_err(|exceeded| Failure::exceeded(&exceeded))?;
        Ok(Admitted {
            load_users: plan.load_users.filter(|_| makes_load),
            load_rate_per_s: plan.load_rate_per_s.filter(|_| makes_load),
            load_ms: granted.load_ms,
            output_bytes: plan.output_bytes,
        })
    }

    /// These were not accepted in the end: nothing of them counts.
    pub(crate) fn leave(&self, jobs: &[JobId]) {
        self.counts().leave(jobs);
    }

    /// The jobs of a tenant that have not ended, as far as is known here.
    pub(crate) fn open_jobs(&self, tenant: &str) -> Vec<JobId> {
        self.counts().open_jobs(tenant)
    }

    /// Hears what happens to jobs.
    pub(crate) fn hear_job(&self, thing: &Heard) {
        self.counts().hear(thing);
    }

    /// A database of jobs is listed again, perhaps at another place: what is open there is told anew.
    pub(crate) fn begin_jobs(&self, database: &str) {
        self.counts().forget(database);
    }

    /// Hears of a document of the accounts; others than `usage:` tell it nothing.
    pub(crate) fn hear(&self, id: &str, doc: Value) {
        if let Some(of) = UsageId::read(id)
            && let Some(usage) = read::document::<Usage>(id, doc)
        {
            self.counts().tally.hear(of, &usage);
        }
    }

    /// From now on it is told all that changes; what changed before may have been missed.
    pub(crate) fn begin(&self) {
        self.read.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// What a tenant has used.
    pub(crate) async fn used(&self, tenant: &str) -> Result<Used, Error> {
        Box::pin(self.know(tenant)).await?;
        Ok(self.counts().used(tenant, now_ms()))
    }

    /// Reads what was counted of a tenant today, once: the feed brings what is counted from then on.
    async fn know(&self, tenant: &str) -> Result<(), Error> {
        let cell = {
            let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(read.entry(tenant.to_owned()).or_default())
        };
        let reads = async {
            let (first, behind) = UsageId::since(tenant, day_of(hour_of(now_ms())));
            let listed = read::list::<Usage>(&self.accounts, read::range(first, behind)).await?;
            let mut counts = self.counts();
            for (id, _, usage) in listed {
                if let Some(id) = UsageId::read(&id) {
                    counts.tally.hear(id, &usage);
                }
            }
            Ok(())
        };
        Box::pin(cell.get_or_try_init(|| reads)).await.copied()
    }

    /// Writes what was counted, for ever.
    pub(crate) async fn flush(self) {
        loop {
            sleep(FLUSH).await;
            self.flush_now().await;
        }
    }

    /// Writes what was counted. What the store does not take stays due.
    pub(crate) async fn flush_now(&self) {
        let due = {
            let mut counts = self.counts();
            counts.tidy(now_ms());
            counts.tally.due()
        };
        for due in due.chunks(FLUSHED_MAX) {
            if let Err(error) = self.write(due).await {
                return tracing::warn!(%error, "what tenants used is not written, trying again");
            }
        }
    }

    async fn write(&self, due: &[Due]) -> Result<(), Error> {
        let body = |due: &Due| Stored {
            id: due.id.to_string(),
            over: due.over.as_ref().map(ToString::to_string),
            usage: due.usage.clone(),
        };
        let documents: Vec<Stored> = due.iter().map(body).collect();
        let rows = self.accounts.bulk(&documents).await?;
        for (due, row) in due.iter().zip(rows) {
            match row.outcome {
                BulkOutcome::Stored(revision) | BulkOutcome::Accepted(revision) => {
                    self.counts().tally.stored(&due.id, due.usage.count, revision);
                }
                // Whatever it says: nobody else writes it.
                BulkOutcome::Conflict => {
                    let found = self.accounts.get::<Value>(&row.id).await?;
                    let revision = found.map(|found| found.revision);
                    self.counts().tally.found(&due.id, revision);
                }
                BulkOutcome::Refused { error, reason } => {
                    tracing::error!(id = row.id, error, reason, "the store does not take usage");
                }
            }
        }
        Ok(())
    }
}

#[derive(Serialize)]
struct Stored {
    #[serde(rename = "_id")]
    id: String,
    #[serde(rename = "_rev", skip_serializing_if = "Option::is_none")]
    over: Option<String>,
    #[serde(flatten)]
    usage: Usage,
}

#[cfg(test)]
mod tests {
    use blitz_couchdb::{Put, PutOptions};
    use blitz_jobs::accounts::ACCOUNTS;
    use blitz_jobs::accounts::usage::Counts as Amount;

    use super::*;
    use crate::embedded::Server;

    #[tokio::test]
    async fn what_a_database_lost_is_written_again() {
        let server = Server::start().await;
        let accounts = server.client.database(ACCOUNTS);
        accounts.create().await.unwrap();
        let book = Book::new(None, Duration::from_secs(60));
        let quota = Quota::new(book, accounts.clone(), &Incarnation::from_random([1; 16]));
        let hour = hour_of(now_ms());
        let count = async || {
            quota.counts().tally.add("acme", hour, Amount { jobs: 1, ..Amount::default() });
            quota.flush_now().await;
        };
        let stored = async || {
            let (first, behind) = UsageId::since("acme", hour);
            let listed = read::list::<Usage>(&accounts, read::range(first, behind)).await.unwrap();
            let [(id, _, usage)] = &listed[..] else { panic!("{listed:?}") };
            (id.clone(), usage.counts.jobs)
        };
        count().await;
        count().await;
        let (id, jobs) = stored().await;
        assert_eq!(jobs, 2);
        for (of_before, wanted) in [(None, 3), (Some(1), 4)] {
            accounts.drop().await.unwrap();
            accounts.create().await.unwrap();
            if let Some(jobs) = of_before {
                let usage = Usage::new(1, Amount { jobs, ..Amount::default() });
                let put = accounts.put(&id, None, &usage, PutOptions::default()).await.unwrap();
                assert_ne!(put, Put::Conflict);
            }
            count().await;
            quota.flush_now().await;
            assert_eq!(stored().await.1, wanted, "{of_before:?}");
        }
        server.stop().await;
    }
}
