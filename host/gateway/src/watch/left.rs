//! Where the feeds of a region's jobs were left, so that one that begins there again goes on. A listing has what is open and not
//! what ended in between, and the audit and the quota are to hear of that, too.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use blitz_couchdb::Sequence;
use blitz_jobs::feed::{Checkpoint, Place};

use crate::reach::Site;

/// A feed that is further behind begins with what happens now: what it has missed comes before that, some thousand changes in
/// a second.
const BEHIND_MAX: u64 = 50_000;

/// How far each jobs database was heard at each place. A clone is the same.
#[derive(Debug, Clone, Default)]
pub(super) struct Left(Arc<Mutex<HashMap<String, HashMap<Site, Place>>>>);

impl Left {
    fn places(&self) -> MutexGuard<'_, HashMap<String, HashMap<Site, Place>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Everything up to here was heard there.
    pub(super) fn hear(&self, site: Site, place: &Place) {
        let mut places = self.places();
        places.entry(place.database.clone()).or_default().insert(site, place.clone());
    }

    /// Where a feed of a database, which is at `now`, goes on after all open jobs were listed; `None`: from now on.
    pub(super) fn checkpoint(
        &self,
        site: Site,
        database: &str,
        now: &Sequence,
    ) -> Option<Checkpoint> {
        let place = self.places().get(database)?.get(&site)?.clone();
        // One that is ahead of its database is of a day to which it was not put back: from there nothing would be heard.
        let behind = now.count()?.checked_sub(place.since.count()?)?;
        let Place { database, since, instance_start_time, .. } = place;
        // All that is open is told anew, whenever it was asked for: whoever counts it has begun anew, too.
        let oldest = Some(String::new());
        (behind <= BEHIND_MAX).then_some(Checkpoint {
            database,
            instance_start_time,
            since,
            oldest,
        })
    }

    /// No others than these are heard any more.
    pub(super) fn keep(&self, databases: &[String]) {
        self.places().retain(|database, _| databases.contains(database));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sequence(count: u64) -> Sequence {
        serde_json::from_value(format!("{count}-abc").into()).unwrap()
    }

    #[test]
    fn a_feed_goes_on_where_it_was_left_in_the_same_place() {
        let (left, database) = (Left::default(), "blitz-jobs-japan-1");
        let place = |count| Place {
            database: database.to_owned(),
            since: sequence(count),
            instance_start_time: "1".to_owned(),
            listed: 0,
        };
        let since = |left: &Left, site, now| {
            let from = left.checkpoint(site, database, &sequence(now))?;
            assert_eq!((&*from.database, &*from.instance_start_time), (database, "1"));
            assert_eq!(from.oldest.as_deref(), Some(""), "all that is open");
            Some(from.since)
        };
        assert_eq!(since(&left, Site::NEAR, 7), None, "the first feed");
        left.hear(Site::NEAR, &place(3));
        left.hear(Site::NEAR, &place(5));
        assert_eq!(since(&left, Site::NEAR, 7), Some(sequence(5)));
        assert_eq!(since(&left, Site::NEAR, 5), Some(sequence(5)));
        assert_eq!(since(&left, Site::NEAR, 4), None, "put back to an earlier day");
        assert_eq!(since(&left, Site::NEAR, 6 + BEHIND_MAX), None, "too much");
        let now = Sequence::now();
        assert_eq!(left.checkpoint(Site::NEAR, database, &now), None, "not said");
        assert_eq!(left.checkpoint(Site::NEAR, "blitz-jobs-japan-2", &sequence(7)), None);
        left.keep(&[database.to_owned()]);
        assert_eq!(since(&left, Site::NEAR, 7), Some(sequence(5)));
        left.keep(&[]);
        assert_eq!(since(&left, Site::NEAR, 7), None);
    }
}
