//! What one gateway counts: its own, and what the others have told. No I/O: documents come in, and those to write go out.

use std::collections::{BTreeMap, HashMap};

use blitz_couchdb::Revision;

use super::plan::Plan;
use super::quota::{Asked, Exceeded, Granted, Used, may};
use super::usage::{Counts, HOUR_MS, Usage, UsageId, day_of, hour_of};
use crate::timing::JOB_TIMEOUT_MAX;

/// An hour is remembered for so many after it: a job that was accepted at its end may take its longest time, and is ended by a
/// keeper some minutes later. Then it still gives back and adds to what was counted there. Never less than a day has.
const REMEMBERED_HOURS: u64 = JOB_TIMEOUT_MAX.as_secs() * 1000 / HOUR_MS + 1;

/// A gateway's view of what all tenants use.
#[derive(Debug)]
pub struct Tally {
    /// The name of this run of the gateway.
    gateway: String,
    tenants: HashMap<String, BTreeMap<u64, Hour>>,
}

/// A tenant's hour.
#[derive(Debug, Default)]
struct Hour {
    own: Own,
    /// By gateway, with how often each was written.
    others: HashMap<String, (u64, Counts)>,
}

/// What this gateway counted.
#[derive(Debug, Default)]
struct Own {
    counts: Counts,
    /// How often it changed.
    changes: u64,
    /// Which of these the store has, and as what.
    stored: u64,
    revision: Option<Revision>,
}

/// A document that is to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    /// Which one.
    pub id: UsageId,
    /// The revision that it is written over.
    pub over: Option<Revision>,
    /// What it says.
    pub usage: Usage,
}

impl Tally {
    /// One that has counted nothing. `gateway` is a name that no other run of a gateway has, without colons.
    #[must_use]
    pub fn new(gateway: String) -> Self {
        Self { gateway, tenants: HashMap::new() }
    }

    /// Decides whether a run is admitted, and counts it if so. `jobs_now` are the tenant's jobs that have not ended.
    ///
    /// # Errors
    ///
    /// [`Exceeded`], and nothing was counted.
    pub fn admit(
        &mut self,
        tenant: &str,
        plan: &Plan,
        asked: &Asked,
        jobs_now: u64,
        now_ms: u64,
    ) -> Result<Granted, Exceeded> {
        let used = Used { jobs_now, ..self.used(tenant, now_ms) };
        let granted = may(plan, &used, asked, now_ms)?;
        let load_ms = granted.load_ms.unwrap_or(0).saturating_mul(asked.tasks);
        let counts = Counts { jobs: asked.tasks, load_ms, output_bytes: 0 };
        self.add(tenant, hour_of(now_ms), counts);
        Ok(granted)
    }

    /// Counts something more.
    pub fn add(&mut self, tenant: &str, hour: u64, counts: Counts) {
        if counts == Counts::default() {
            return;
        }
        let own = &mut self.hour(tenant, hour).own;
        own.counts += counts;
        own.changes += 1;
    }

    /// Takes back what was counted in an hour, and was not used.
    pub fn give_back(&mut self, tenant: &str, hour: u64, counts: Counts) {
        let own = &mut self.hour(tenant, hour).own;
        let Counts { jobs, load_ms, output_bytes } = counts;
        own.counts.jobs = own.counts.jobs.saturating_sub(jobs);
        own.counts.load_ms = own.counts.load_ms.saturating_sub(load_ms);
        own.counts.output_bytes = own.counts.output_bytes.saturating_sub(output_bytes);
        own.changes += 1;
    }

    /// Hears a document of the store. Its own tells it nothing.
    pub fn hear(&mut self, id: UsageId, usage: &Usage) {
        if id.gateway == self.gateway {
            return;
        }
        let others = &mut self.hour(&id.tenant, id.hour).others;
        let known = others.entry(id.gateway).or_default();
        if known.0 <= usage.count {
            *known = (usage.count, usage.counts);
        }
    }

    /// What a tenant has used as far as is known, without jobs that have not ended.
    #[must_use]
    pub fn used(&self, tenant: &str, now_ms: u64) -> Used {
        let (hour, mut used) = (hour_of(now_ms), Used::default());
        let Some(hours) = self.tenants.get(tenant) else { return used };
        let mut today = Counts::default();
        for (_, of_hour) in hours.range(day_of(hour)..=hour) {
            today += of_hour.all();
        }
        used.jobs_this_hour = hours.get(&hour).map_or(0, |of_hour| of_hour.all().jobs);
        used.load_ms_today = today.load_ms;
        used.output_bytes_today = today.output_bytes;
        used
    }

    /// The documents that have changed since they were stored.
    #[must_use]
    pub fn due(&self) -> Vec<Due> {
        let mut due = Vec::new();
        for (tenant, hours) in &self.tenants {
            for (hour, Hour { own, .. }) in hours {
                if own.changes > own.stored {
                    let (tenant, gateway) = (tenant.clone(), self.gateway.clone());
                    let usage = Usage::new(own.changes, own.counts);
                    let id = UsageId { tenant, hour: *hour, gateway };
                    due.push(Due { id, over: own.revision.clone(), usage });
                }
            }
        }
        due
    }

    /// The store has a document of this gateway, as it was written the `count`th time.
    pub fn stored(&mut self, id: &UsageId, count: u64, revision: Revision) {
        let hour = self.tenants.get_mut(&id.tenant).and_then(|hours| hours.get_mut(&id.hour));
        let Some(Hour { own, .. }) = hour.filter(|_| id.gateway == self.gateway) else { return };
        if count >= own.stored {
            (own.stored, own.revision) = (count, Some(revision));
        }
    }

    /// The store did not take a document of this gateway, as it has this revision of it or none: an answer was lost, or the
    /// database was made anew or put back to an earlier day. Nobody else writes it, so that what was counted here is what
    /// counts: it stays due, over that.
    pub fn found(&mut self, id: &UsageId, revision: Option<Revision>) {
        let hour = self.tenants.get_mut(&id.tenant).and_then(|hours| hours.get_mut(&id.hour));
        if let Some(Hour { own, .. }) = hour.filter(|_| id.gateway == self.gateway) {
            own.revision = revision;
        }
    }

    /// Forgets hours that nothing is counted in any more, but for what is not stored yet.
    pub fn forget_old(&mut self, now_ms: u64) {
        let oldest = hour_of(now_ms).saturating_sub(REMEMBERED_HOURS);
        for hours in self.tenants.values_mut() {
            hours.retain(|hour, Hour { own, .. }| *hour >= oldest || own.changes > own.stored);
        }
        self.tenants.retain(|_, hours| !hours.is_empty());
    }

    fn hour(&mut self, tenant: &str, hour: u64) -> &mut Hour {
        self.tenants.entry(tenant.to_owned()).or_default().entry(hour).or_default()
    }
}

impl Hour {
    fn all(&self) -> Counts {
        let mut all = self.own.counts;
        self.others.values().for_each(|(_, counts)| all += *counts);
        all
    }
}

#[cfg(test)]
mod tests;
