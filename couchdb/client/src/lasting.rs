//! A feed that goes on whatever becomes of its database: for who reads a database of this name, and not this database.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use crate::changes::Change;
use crate::database::Database;
use crate::feed::{Feed, FeedEvent, FollowOptions};
use crate::sequence::Sequence;

/// A database that is gone is looked for again after this long.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Follows whatever database has a name, for ever.
#[derive(Debug)]
pub struct LastingFeed {
    database: Database,
    /// For a database that comes after one that is gone.
    anew: FollowOptions,
    feed: Feed,
    /// The database is gone, and is not looked for before this instant.
    rests: Option<Instant>,
}

impl Database {
    /// Follows what changes, for ever: interruptions are logged and survived, and a database that has taken the
    /// place of the one before is followed from its beginning. What the one before had is not taken back: who must
    /// know of that takes [`Database::follow`].
    ///
    /// Nothing is sent before the first [`LastingFeed::next`].
    #[must_use]
    pub fn follow_for_ever(&self, options: FollowOptions) -> LastingFeed {
        let anew =
            FollowOptions { since: Sequence::zero(), instance_start_time: None, ..options.clone() };
        LastingFeed { database: self.clone(), anew, feed: self.follow(options), rests: None }
    }
}

impl LastingFeed {
    /// Waits for the next change. The same change may come again at any time.
    ///
    /// Cancel safe: dropping the future loses nothing, so it may stand in a `select!`.
    pub async fn next(&mut self) -> Change {
        loop {
            if let Some(until) = self.rests {
                sleep_until(until).await;
                self.rests = None;
                self.feed = self.database.follow(self.anew.clone());
            }
            match self.feed.next().await {
                FeedEvent::Change(change) => return change,
                // After a replacement the feed goes on by itself, from the beginning.
                FeedEvent::Connected | FeedEvent::Replaced => {}
                FeedEvent::Disconnected(error) => {
                    tracing::warn!(database = self.database.name(), %error, "feed interrupted");
                }
                FeedEvent::Gone => self.rests = Some(Instant::now() + LOOK_AGAIN),
            }
        }
    }
}
