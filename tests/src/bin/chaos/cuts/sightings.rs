//! What each cluster has when: specs and runs, heard on a feed of each, and what one has and another not yet.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use blitz_couchdb::FollowOptions;

use super::site::Site;
use crate::followed::lock;

/// The feed's sign of life: after three times as long without one it connects again.
const HEARTBEAT: Duration = Duration::from_secs(1);

/// The newest revision of each document, by cluster and id.
type Known = BTreeMap<usize, BTreeMap<String, (u64, String)>>;

/// What was heard so far.
#[derive(Debug, Clone)]
pub(crate) struct Sightings {
    known: Arc<Mutex<Known>>,
    /// The clusters that have a database of jobs, by the database's place in ids: `japan-1`.
    holders: Arc<BTreeMap<String, BTreeSet<usize>>>,
}

/// A document that one cluster had and another not.
#[derive(Debug)]
pub(crate) struct Missing {
    id: String,
    from: usize,
    at: usize,
    generation: u64,
    revision: String,
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |cluster: usize| super::PLACES[cluster].0;
        write!(f, "{} {} of {} at {}", self.id, self.revision, name(self.from), name(self.at))
    }
}

impl Sightings {
    /// Follows all databases of jobs until the runtime ends.
    pub(crate) fn follow(site: &Site) -> Self {
        let mut holders: BTreeMap<String, BTreeSet<usize>> = BTreeMap::new();
        let known: Arc<Mutex<Known>> = Arc::default();
        for (cluster, place, database) in site.copies() {
            holders.entry(place).or_default().insert(cluster);
            let known = Arc::clone(&known);
            tokio::spawn(async move {
                let options = FollowOptions { heartbeat: HEARTBEAT, ..FollowOptions::default() };
                let mut feed = database.follow_for_ever(options);
                loop {
                    let change = feed.next().await;
                    let Some(revision) = change.revisions.first() else { continue };
                    if change.id.ends_with(":spec") || change.id.ends_with(":run") {
                        let newest = (revision.generation(), revision.as_str().to_owned());
                        lock(&known).entry(cluster).or_default().insert(change.id, newest);
                    }
                }
            });
        }
        Self { known, holders: Arc::new(holders) }
    }

    /// What some cluster has now and another that should have it not.
    pub(crate) fn missing(&self) -> Vec<Missing> {
        let known = lock(&self.known);
        let mut missing = Vec::new();
        for (&from, documents) in known.iter() {
            for (id, (generation, revision)) in documents {
                for &at in self.holders.get(place_of(id)).into_iter().flatten() {
                    let one = Missing {
                        id: id.clone(),
                        from,
                        at,
                        generation: *generation,
                        revision: revision.clone(),
                    };
                    if at != from && !one.is_at(&known) {
                        missing.push(one);
                    }
                }
            }
        }
        missing
    }

    /// Takes away what has come.
    pub(crate) fn strike_out(&self, missing: &mut Vec<Missing>) {
        let known = lock(&self.known);
        missing.retain(|one| !one.is_at(&known));
    }
}

impl Missing {
    /// The revision itself, or one that is as far: at rest it is asked whether all have the same.
    fn is_at(&self, known: &Known) -> bool {
        let found = known.get(&self.at).and_then(|documents| documents.get(&self.id));
        found.is_some_and(|(generation, _)| *generation >= self.generation)
    }
}

/// `japan-1` of `japan-1-01jd...:run`.
fn place_of(id: &str) -> &str {
    let job = id.rsplit_once(':').map_or(id, |(job, _)| job);
    job.rsplit_once('-').map_or(job, |(place, _)| place)
}
