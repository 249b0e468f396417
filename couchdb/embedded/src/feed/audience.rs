//! Feeds with one filter: they are woken for what it wants, and know what they need not look at.
//!
//! Engines of a region follow with equal selectors, so each change is tried once for all of them, and a
//! change that nobody wants wakes nobody. A feed that slept through changes skips them when it wakes.

use super::{
    filter::Filter,
    hub::{Committed, Hub},
};
use crate::sequence::Sequence;
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};
use tokio::sync::watch;

/// How many sequences of wanted changes are remembered: 8 bytes each. A feed that is further behind
/// reads everything, as one does that has just begun.
const WANTED_MAX: usize = 64;

/// The feeds of one database that have equal filters.
#[derive(Debug)]
pub(super) struct Audience {
    filter: Arc<Filter>,
    /// What they were woken for last.
    wakes: watch::Sender<Committed>,
    heard: Mutex<Heard>,
}

/// What is known of the changes after `after` and up to `until`: those that are wanted.
#[derive(Debug)]
struct Heard {
    after: Sequence,
    wanted: VecDeque<Sequence>,
    until: Sequence,
}

impl Audience {
    pub(super) fn new(filter: Arc<Filter>, committed: Committed) -> Audience {
        let Committed { sequence, .. } = committed;
        let heard = Heard { after: sequence, wanted: VecDeque::new(), until: sequence };
        Audience { filter, wakes: watch::Sender::new(committed), heard: Mutex::new(heard) }
    }

    pub(super) fn join(&self) -> watch::Receiver<Committed> {
        self.wakes.subscribe()
    }

    /// Tries what was committed since the last time, and wakes the feeds if they want any of it, or if
    /// it cannot be told any more. The lock is not held meanwhile: a filter may take its time.
    pub(super) fn hear(&self, hub: &Hub) {
        loop {
            let from = self.heard().until;
            let until = hub.committed().sequence;
            if until <= from {
                return;
            }
            let recent = hub.recent(from);
            let wanted: Option<Vec<Sequence>> = recent.map(|changes| {
                let new = changes.iter().take_while(|change| change.sequence <= until);
                new.filter(|change| self.filter.wants(change)).map(|c| c.sequence).collect()
            });
            // Somebody else may have been here meanwhile.
            if let Some(wake) = self.heard().add(from, until, wanted) {
                if wake {
                    self.wakes.send_modify(|told| told.sequence = until);
                }
                return;
            }
        }
    }

    /// Wakes the feeds, whatever they want.
    pub(super) fn wake(&self, committed: Committed) {
        self.wakes.send_replace(committed);
    }

    /// A position at or after this one, between which nothing is wanted.
    pub(super) fn skip(&self, position: Sequence) -> Sequence {
        self.heard().skip(position)
    }

    fn heard(&self) -> std::sync::MutexGuard<'_, Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Heard {
    /// Adds what is wanted between the two; without a list anything may be. Gives whether the feeds must
    /// look, and None when this is not what comes next.
    fn add(
        &mut self,
        from: Sequence,
        until: Sequence,
        wanted: Option<Vec<Sequence>>,
    ) -> Option<bool> {
        if self.until != from {
            return None;
        }
        self.until = until;
        let Some(wanted) = wanted else {
            self.wanted.clear();
            self.after = until;
            return Some(true);
        };
        let wake = !wanted.is_empty();
        self.wanted.extend(wanted);
        while self.wanted.len() > WANTED_MAX
            && let Some(oldest) = self.wanted.pop_front()
        {
            self.after = oldest;
        }
        Some(wake)
    }

    fn skip(&self, position: Sequence) -> Sequence {
        if position < self.after {
            return position;
        }
        let next = self.wanted.partition_point(|&wanted| wanted <= position);
        let free = self.wanted.get(next).map_or(self.until, |wanted| wanted - 1);
        free.max(position)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::feed::change::Change;
    use std::collections::HashSet;

    #[test]
    fn a_feed_skips_to_what_it_wants() {
        let mut heard = Heard { after: 10, wanted: VecDeque::new(), until: 10 };
        assert_eq!(heard.add(10, 20, Some(vec![13, 17])), Some(true));
        assert_eq!(heard.add(20, 30, Some(vec![])), Some(false));
        assert_eq!(heard.add(20, 31, Some(vec![31])), None, "what is between was added already");
        for (position, skipped) in
            [(9, 9), (10, 12), (12, 12), (13, 16), (16, 16), (17, 30), (30, 30), (40, 40)]
        {
            assert_eq!(heard.skip(position), skipped, "{position}");
        }
        // What was not in memory any more could be anything.
        assert_eq!(heard.add(30, 50, None), Some(true));
        assert_eq!((heard.skip(30), heard.skip(49), heard.skip(50)), (30, 49, 50));
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut heard = Heard { after: 0, wanted: VecDeque::new(), until: 0 };
        for sequence in 1..=1000 {
            heard.add(sequence - 1, sequence, Some(vec![sequence]));
        }
        assert_eq!(heard.wanted.len(), WANTED_MAX);
        let oldest = 1000 - u64::try_from(WANTED_MAX).unwrap();
        assert_eq!(heard.after, oldest);
        assert_eq!(heard.skip(oldest - 1), oldest - 1);
    }

    #[test]
    fn only_what_is_wanted_wakes() {
        let hub = Hub::new(0);
        let filter = Arc::new(Filter::Ids(HashSet::from([String::from("a")])));
        let mut feed = hub.follow_filtered(Some("[\"a\"]"), &filter);
        let mut publish = |sequence, id: &str| {
            let change = Change::new(sequence, id, false, vec![String::from("1-a")], None);
            hub.publish(sequence, vec![Arc::new(change)]);
            hub.tell();
            feed.is_woken()
        };
        assert!(!publish(1, "b"));
        assert!(publish(2, "a"));
        assert!(!publish(3, "b"));
        hub.publish(4, Vec::new());
        hub.tell();
        assert!(feed.is_woken(), "what cannot be tried wakes");
        hub.nudge();
        assert!(feed.is_woken());
        hub.end();
        assert!(feed.is_woken());
        assert_eq!(feed.skip(0), 0);
        assert_eq!(feed.skip(4), 4);
    }

    #[test]
    fn equal_filters_are_one_audience_for_as_long_as_somebody_follows() {
        let hub = Hub::new(0);
        let filter = Arc::new(Filter::Design);
        let one = hub.follow_filtered(Some("_design"), &filter);
        let two = hub.follow_filtered(Some("_design"), &filter);
        let other = hub.follow_filtered(Some("[]"), &filter);
        assert_eq!(hub.audiences(), 2);
        drop((one, other));
        assert_eq!(hub.audiences(), 1);
        assert!(hub.has_followers());
        drop(two);
        assert_eq!(hub.audiences(), 0);
        assert!(!hub.has_followers());
    }
}
