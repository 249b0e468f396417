//! The place where one database's commits meet its feeds.
//!
//! The writer publishes after a commit: it appends to a short memory of recent changes and wakes
//! whoever follows all of them. Those with a filter hear it from [`Herald`](super::herald::Herald), each
//! as a part of an [`Audience`]. Nobody waits for a reader, and nothing is kept for one.

use super::{audience::Audience, change::Change, filter::Filter};
use crate::sequence::Sequence;
use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};
use tokio::sync::watch;

/// How many changes are remembered for feeds that keep up, so that 1,000 feeds do not each ask the
/// store for the row that was just written.
pub(crate) const RECENT_CHANGES_MAX: usize = 512;

/// What these may hold, in bytes per database.
pub(crate) const RECENT_BYTES_MAX: usize = 4 << 20;

/// What the feeds of a database are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Committed {
    /// Everything up to here can be read.
    pub(crate) sequence: Sequence,
    /// The database was deleted; nothing more comes.
    pub(crate) deleted: bool,
}

/// Tells the feeds of one database what was committed.
#[derive(Debug)]
pub(crate) struct Hub {
    committed: watch::Sender<Committed>,
    recent: Mutex<Recent>,
    /// Those who follow with a filter, by its name.
    audiences: Mutex<Audiences>,
    /// The herald was called and has not come yet.
    called: AtomicBool,
}

type Audiences = HashMap<Box<str>, Hall>;

/// An audience with the number of its members: it goes with the last.
#[derive(Debug)]
struct Hall {
    audience: Arc<Audience>,
    members: usize,
}

/// One who follows; dropped it does not any more.
#[derive(Debug)]
pub(crate) struct Follower<'a> {
    hub: &'a Hub,
    wakes: watch::Receiver<Committed>,
    /// None for one who is woken by every commit.
    audience: Option<Joined<'a>>,
}

/// A place in an audience.
#[derive(Debug)]
struct Joined<'a> {
    name: &'a str,
    audience: Arc<Audience>,
}

#[derive(Debug)]
struct Recent {
    /// The memory has every change after this sequence.
    after: Sequence,
    changes: VecDeque<Arc<Change>>,
    bytes: usize,
}

impl Hub {
    pub(crate) fn new(sequence: Sequence) -> Hub {
        let recent = Recent { after: sequence, changes: VecDeque::new(), bytes: 0 };
        Hub {
            committed: watch::Sender::new(Committed { sequence, deleted: false }),
            recent: Mutex::new(recent),
            audiences: Mutex::default(),
            called: AtomicBool::new(false),
        }
    }

    /// Whether anybody follows. Without a follower changes need not be prepared for one.
    pub(crate) fn has_followers(&self) -> bool {
        self.committed.receiver_count() > 0 || self.has_audiences()
    }

    /// Whether anybody follows with a filter.
    pub(crate) fn has_audiences(&self) -> bool {
        !self.lock_audiences().is_empty()
    }

    /// Starts to follow: the receiver wakes on each commit from now on.
    pub(crate) fn follow(&self) -> watch::Receiver<Committed> {
        self.committed.subscribe()
    }

    /// Starts to follow with a filter: wakes when a commit from now on has what it wants. Filters of
    /// one name are equal; without a name it wakes on each commit.
    pub(crate) fn follow_filtered<'a>(
        &'a self,
        name: Option<&'a str>,
        filter: &Arc<Filter>,
    ) -> Follower<'a> {
        let Some(name) = name else {
            return Follower { hub: self, wakes: self.follow(), audience: None };
        };
        let mut audiences = self.lock_audiences();
        let hall = audiences.entry(name.into()).or_insert_with(|| {
            // Read under the lock: whoever commits later finds the audience there.
            let audience = Audience::new(Arc::clone(filter), self.committed());
            Hall { audience: Arc::new(audience), members: 0 }
        });
        hall.members += 1;
        let audience = Arc::clone(&hall.audience);
        Follower { hub: self, wakes: audience.join(), audience: Some(Joined { name, audience }) }
    }

    /// What was committed last.
    pub(crate) fn committed(&self) -> Committed {
        *self.committed.borrow()
    }

    /// Called by the writer after a commit, and then the herald. `changes` is in the order of sequences,
    /// and whole or empty: an empty one makes the feeds read from the store.
    pub(crate) fn publish(&self, sequence: Sequence, changes: Vec<Arc<Change>>) {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner).add(sequence, changes);
        self.committed.send_modify(|committed| committed.sequence = sequence);
    }

    /// Wakes the feeds without news, so that they look whether the server stops. Cheaper than for each
    /// of them to wait for two things.
    pub(crate) fn nudge(&self) {
        self.committed.send_modify(|_| ());
        self.wake_audiences();
    }

    /// Ends the feeds: the database is gone.
    pub(crate) fn end(&self) {
        self.committed.send_modify(|committed| committed.deleted = true);
        self.wake_audiences();
    }

    /// Wakes those who want something of what was published.
    pub(crate) fn tell(&self) {
        // First: what is published from now on calls again.
        self.not_called();
        for audience in self.all_audiences() {
            audience.hear(self);
        }
    }

    /// Whether the herald was called already; from now on it is.
    pub(super) fn is_called(&self) -> bool {
        self.called.swap(true, Ordering::AcqRel)
    }

    pub(super) fn not_called(&self) {
        // A swap and no store: it reads what the callers before it have written.
        self.called.swap(false, Ordering::AcqRel);
    }

    fn wake_audiences(&self) {
        let committed = self.committed();
        for audience in self.all_audiences() {
            audience.wake(committed);
        }
    }

    fn all_audiences(&self) -> Vec<Arc<Audience>> {
        self.lock_audiences().values().map(|hall| Arc::clone(&hall.audience)).collect()
    }

    fn lock_audiences(&self) -> MutexGuard<'_, Audiences> {
        self.audiences.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    pub(super) fn audiences(&self) -> usize {
        self.lock_audiences().len()
    }

    /// The changes after `position`, without those that a later one in the list replaces; None when
    /// the memory does not reach back so far.
    pub(crate) fn recent(&self, position: Sequence) -> Option<Vec<Arc<Change>>> {
        let mut changes: Vec<Arc<Change>> = {
            let recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
            if position < recent.after {
                return None;
            }
            let from = recent.changes.partition_point(|change| change.sequence <= position);
            recent.changes.range(from..).cloned().collect()
        };
        if changes.len() > 1 {
            let mut later = HashSet::new();
            let mut keep: Vec<bool> =
                changes.iter().rev().map(|change| later.insert(change.id.clone())).collect();
            // `retain` goes forward, the flags were made backward.
            changes.retain(|_| keep.pop().unwrap_or(true));
        }
        Some(changes)
    }
}

impl Follower<'_> {
    /// Waits until there may be something to look at; at once when there was something since the last
    /// [`look`](Follower::look).
    pub(crate) async fn woken(&mut self) {
        // The sender lives in the hub that is held here.
        self.wakes.changed().await.unwrap_or_default();
    }

    /// What was committed last. A commit after this wakes.
    pub(crate) fn look(&mut self) -> Committed {
        // In this order: what is not seen here wakes later.
        self.wakes.borrow_and_update();
        self.hub.committed()
    }

    /// A position at or after this one, between which the filter wants nothing.
    pub(crate) fn skip(&self, position: Sequence) -> Sequence {
        self.audience.as_ref().map_or(position, |joined| joined.audience.skip(position))
    }

    #[cfg(test)]
    pub(super) fn is_woken(&mut self) -> bool {
        let woken = self.wakes.has_changed().unwrap();
        self.wakes.mark_unchanged();
        woken
    }
}

impl Drop for Follower<'_> {
    /// The last one of an audience takes it along.
    fn drop(&mut self) {
        let Some(Joined { name, .. }) = self.audience else { return };
        let mut audiences = self.hub.lock_audiences();
        let Some(hall) = audiences.get_mut(name) else { return };
        hall.members = hall.members.saturating_sub(1);
        if hall.members == 0 {
            audiences.remove(name);
        }
    }
}

impl Recent {
    fn add(&mut self, sequence: Sequence, changes: Vec<Arc<Change>>) {
        if changes.is_empty() {
            self.changes.clear();
            self.bytes = 0;
            self.after = sequence;
            return;
        }
        for change in changes {
            self.bytes += change.weight();
            self.changes.push_back(change);
        }
        while self.changes.len() > RECENT_CHANGES_MAX || self.bytes > RECENT_BYTES_MAX {
            let Some(oldest) = self.changes.pop_front() else { break };
            self.bytes = self.bytes.saturating_sub(oldest.weight());
            self.after = oldest.sequence;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(sequence: Sequence, id: &str, bytes: usize) -> Arc<Change> {
        let document = Some(" ".repeat(bytes).into());
        Arc::new(Change::new(sequence, id, false, vec![String::from("1-a")], document))
    }

    fn ids(hub: &Hub, position: Sequence) -> Option<String> {
        hub.recent(position)
            .map(|changes| changes.iter().map(|c| &*c.id).collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn a_feed_that_keeps_up_is_served_from_memory() {
        let hub = Hub::new(10);
        hub.publish(12, vec![change(11, "a", 1), change(12, "b", 1)]);
        hub.publish(13, vec![change(13, "a", 1)]);
        assert_eq!(ids(&hub, 9), None);
        assert_eq!(ids(&hub, 10).as_deref(), Some("b a"));
        assert_eq!(ids(&hub, 12).as_deref(), Some("a"));
        assert_eq!(ids(&hub, 13).as_deref(), Some(""));
        assert_eq!(hub.committed().sequence, 13);
    }

    #[test]
    fn what_was_not_prepared_is_read_from_the_store() {
        let hub = Hub::new(0);
        hub.publish(1, vec![change(1, "a", 1)]);
        hub.publish(2, Vec::new());
        assert_eq!(ids(&hub, 1), None);
        assert_eq!(ids(&hub, 2).as_deref(), Some(""));
    }

    #[test]
    fn the_memory_is_bounded_in_count_and_bytes() {
        let hub = Hub::new(0);
        for sequence in 1..=2000 {
            hub.publish(sequence, vec![change(sequence, &sequence.to_string(), 10)]);
        }
        let count = u64::try_from(RECENT_CHANGES_MAX).unwrap();
        assert!(hub.recent(2000 - count).is_some());
        assert!(hub.recent(2000 - count - 1).is_none());

        hub.publish(2001, vec![change(2001, "large", RECENT_BYTES_MAX)]);
        assert!(hub.recent(2000).is_none());
        assert_eq!(ids(&hub, 2001).as_deref(), Some(""));
    }

    #[test]
    fn followers_hear_of_commits_and_of_the_end() {
        let hub = Hub::new(0);
        assert!(!hub.has_followers());
        let mut follower = hub.follow();
        assert!(hub.has_followers());
        hub.publish(1, Vec::new());
        assert!(follower.has_changed().unwrap());
        assert_eq!(*follower.borrow_and_update(), Committed { sequence: 1, deleted: false });
        hub.end();
        assert!(follower.borrow_and_update().deleted);
    }
}
