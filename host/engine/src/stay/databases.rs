//! Which jobs databases a stay follows: those that the region's document names, as it changes.

use blitz_couchdb::Database;
use blitz_jobs::JobId;
use tokio_util::sync::CancellationToken;

use super::Stay;
use crate::lanes;
use crate::tasks::Done;

/// A jobs database.
#[derive(Debug)]
pub(super) struct Followed {
    /// How many it has; none before the database was found.
    copies: Option<u32>,
    /// The region has it. One that it has no more is followed until none of its jobs is open.
    is_wanted: bool,
    /// Ends the search for it.
    unwanted: CancellationToken,
}

impl Stay {
    /// Hears of jobs from now on, as one of so many engines.
    pub(super) fn listen(&mut self, engines: u64) {
        let is_first = self.engines.replace(engines).is_none();
        self.follow_region();
        if is_first {
            let found = self.databases.iter();
            let found: Vec<(String, u32)> = found
                .filter_map(|(name, followed)| Some((name.clone(), followed.copies?)))
                .collect();
            found.iter().for_each(|(name, copies)| self.ears.follow(name, *copies));
        }
    }

    /// Follows what the region's document names now.
    pub(super) fn follow_region(&mut self) {
        let chart = self.common.charts.borrow_and_update().clone();
        let engines = self.engines.unwrap_or(1);
        let wanted = lanes::followed(&chart.region, &self.common.config.id, engines);
        for (name, followed) in &mut self.databases {
            followed.is_wanted = wanted.contains(name);
        }
        for name in wanted {
            if !self.databases.contains_key(&name) {
                let unwanted = CancellationToken::new();
                let followed = Followed { copies: None, is_wanted: true, unwanted };
                self.databases.insert(name.clone(), followed);
                self.look_for(&name);
            }
        }
    }

    /// Finds out how many copies a database has, once it is there.
    pub(super) fn look_for(&mut self, name: &str) {
        let Some(followed) = self.databases.get(name) else { return };
        let (copies, unwanted) = (self.ears.copies(name), followed.unwanted.clone());
        let name = name.to_owned();
        self.tasks.other(async move {
            let found = unwanted.run_until_cancelled(copies).await;
            found.map_or(Done::Nothing, |copies| Done::Copies(name, copies))
        });
    }

    /// A database has so many copies.
    pub(super) fn found(&mut self, name: &str, copies: u32) {
        let Some(followed) = self.databases.get_mut(name) else { return };
        if followed.copies.replace(copies) != Some(copies) && self.engines.is_some() {
            self.ears.follow(name, copies);
        }
    }

    /// Follows no more what the region has no more, once nothing in it is open.
    pub(super) fn leave_databases(&mut self) {
        let (contest, ears) = (&self.contest, &mut self.ears);
        self.databases.retain(|name, followed| {
            let stays = followed.is_wanted || contest.oldest(name).is_some();
            if !stays {
                tracing::info!(
                    database = name,
                    "the region has it no more, it is not followed any more"
                );
                followed.unwanted.cancel();
                ears.leave_alone(name);
            }
            stays
        });
    }

    /// The jobs database of a job, and how many copies it has.
    pub(super) fn jobs(&self, job: &JobId) -> (Database, u32) {
        let name = job.jobs_database();
        let copies = self.databases.get(&name).and_then(|followed| followed.copies).unwrap_or(1);
        (self.store().database(&name), copies)
    }
}
