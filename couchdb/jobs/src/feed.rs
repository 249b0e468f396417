//! What happens in one jobs database, for engines and keepers: the open jobs first, then every change.
//!
//! The sequence is read before the list, so that nothing between the two is missed; hearing of a thing twice
//! is harmless. A database that was replaced by another of the same name is listed again. Where there are several
//! copies, or replications bring what was written elsewhere, CouchDB's winner is not always the leaf that counts: then
//! all leaves of a run are read and resolved.

mod checkpoint;
mod heard;
mod listing;
mod reading;
mod relist;

use std::time::Duration;

use blitz_couchdb::{Change, Database, Error, Feed, FeedEvent, FollowOptions, Sequence};
use serde_json::{Value, json};
use tokio::sync::mpsc::Sender;
use tokio::time::{Instant, sleep, sleep_until};

pub use checkpoint::Checkpoint;
pub use heard::{Heard, Place};
pub use relist::{Asked, Relist};

use crate::id::DocumentId;
use crate::timing::HEARTBEAT;
use reading::Reading;

/// A listing or a reading that failed is tried again after this long.
const AGAIN: Duration = Duration::from_secs(1);

/// [`Heard::Place`] comes at most once in this time: what happened since is heard again after a restart, and that
/// costs less than a write for each change.
pub const PLACE_EVERY: Duration = Duration::from_secs(10);

/// Follows `database`, which keeps so many `copies`, and sends all that is heard to `heard`, until nobody listens
/// there or the future is dropped.
///
/// With a checkpoint of this very database it goes on from there. As often as [`Relist::ask`] was called it lists all
/// open jobs again. Interruptions are logged and survived; documents that cannot be read are logged, and those of runs
/// are told as [`Heard::Unreadable`].
pub async fn follow(
    database: Database,
    copies: u32,
    from: Option<Checkpoint>,
    asked: Asked,
    heard: Sender<Heard>,
) {
    let mut follower = Follower { database, copies, from, asked, listed: 0, heard };
    // Kept when a listing fails: what ends before the next one is told by the feed.
    let mut known: Option<Start> = None;
    // That there is no such database is said once: it may be gone for good, and nobody has been told yet.
    let mut is_missed = false;
    loop {
        let listed = follower.begin(&mut known).await;
        let (since, identity) = match listed {
            Ok(start) => start,
            Err(Stop::Unheard) => return,
            Err(Stop::Store(error)) => {
                let is_missing = matches!(error, Error::NotFound { .. });
                if !(std::mem::replace(&mut is_missed, is_missing) && is_missing) {
                    let database = follower.database.name();
                    tracing::warn!(database, %error, "cannot list jobs, trying again");
                }
                sleep(AGAIN).await;
                continue;
            }
        };
        is_missed = false;
        if follower.changes(since, identity).await.is_err() {
            return;
        }
        let name = follower.database.name();
        tracing::warn!(database = name, "the database is gone, or another has this name now");
        if follower.heard.send(Heard::Replaced(name.to_owned())).await.is_err() {
            return;
        }
        known = None;
        follower.from = None;
        sleep(AGAIN).await;
    }
}

/// Where to follow from: the sequence, and the database's identity.
type Start = (Sequence, String);

struct Follower {
    database: Database,
    copies: u32,
    from: Option<Checkpoint>,
    asked: Asked,
    /// So many of the listings that were asked for have been told.
    listed: u64,
    heard: Sender<Heard>,
}

/// Why something was not done to its end.
enum Stop {
    /// Nobody listens any more.
    Unheard,
    /// The store's answer.
    Store(Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Store(error)
    }
}

impl Follower {
    /// Finds the place to follow from, and lists what came before it.
    async fn begin(&mut self, known: &mut Option<Start>) -> Result<Start, Stop> {
        let start = match known {
            Some(start) => start.clone(),
            None => {
                let info = self.database.info().await?;
                let identity = info.instance_start_time;
                // A sequence of another database would be taken, and would silently mean something else.
                let left = self.left_in(&identity).map(|from| from.since.clone());
                (left.unwrap_or(info.update_seq), identity)
            }
        };
        *known = Some(start.clone());
        let asked = self.asked.count();
        match self.left_in(&start.1).map(|from| from.oldest.clone()) {
            None => {
                self.list(String::new()).await?;
                self.listed = asked;
            }
            Some(Some(oldest)) => self.list(oldest).await?,
            Some(None) => {}
        }
        Ok(start)
    }

    /// The checkpoint to go on from, when it is one of this very database.
    fn left_in(&self, identity: &str) -> Option<&Checkpoint> {
        self.from.as_ref().filter(|from| from.is_of(&self.database, identity))
    }

    async fn list(&self, start: String) -> Result<(), Stop> {
        listing::list(&self.database, self.copies, start, &self.heard).await
    }

    /// Tells all changes. Ends well when the database is gone or is another.
    async fn changes(&mut self, since: Sequence, identity: String) -> Result<(), Unheard> {
        let mut feed = self.database.follow(options(since.clone(), identity.clone()));
        let mut reading = Reading::new(&self.database, self.copies);
        let (mut told, mut tell_at) = (None, Instant::now());
        loop {
            let is_new =
                told.as_ref() != Some(feed.since()) && feed.instance_start_time().is_some();
            tokio::select! {
                event = feed.next(), if !reading.is_full() => match event {
                    FeedEvent::Change(change) => {
                        if let Some(thing) = reading.hear(&change) {
                            self.heard.send(thing).await?;
                        }
                    }
                    FeedEvent::Connected => {}
                    FeedEvent::Disconnected(error) => {
                        let database = self.database.name();
                        tracing::warn!(database, %error, "feed interrupted");
                    }
                    FeedEvent::Replaced | FeedEvent::Gone => return Ok(()),
                },
                Some(things) = reading.next() => {
                    for thing in things {
                        self.heard.send(thing).await?;
                    }
                }
                // What is still being read was not told: the place after it must not be kept yet.
                () = sleep_until(tell_at), if is_new && reading.is_empty() => {
                    told = Some(feed.since().clone());
                    tell_at = Instant::now() + PLACE_EVERY;
                    self.heard.send(self.place(&feed, &identity)).await?;
                }
                () = self.asked.more_than(self.listed) => {
                    self.list_again().await?;
                    // What was listed is to have a place behind it, also when nothing more happens.
                    told = None;
                }
                () = self.heard.closed() => return Err(Unheard),
            }
        }
    }

    fn place(&self, feed: &Feed, identity: &str) -> Heard {
        Heard::Place(Place {
            database: self.database.name().to_owned(),
            since: feed.since().clone(),
            instance_start_time: identity.to_owned(),
            listed: self.listed,
        })
    }

    async fn list_again(&mut self) -> Result<(), Unheard> {
        loop {
            let asked = self.asked.count();
            match self.list(String::new()).await {
                Ok(()) => {
                    self.listed = asked;
                    return Ok(());
                }
                Err(Stop::Unheard) => return Err(Unheard),
                Err(Stop::Store(error)) => {
                    let database = self.database.name();
                    tracing::warn!(database, %error, "cannot list jobs, trying again");
                    sleep(AGAIN).await;
                    // The feed will say so too, and then everything is listed.
                    if matches!(error, Error::NotFound { .. }) {
                        return Ok(());
                    }
                }
            }
        }
    }
}

/// Nobody listens any more.
struct Unheard;

impl<T> From<tokio::sync::mpsc::error::SendError<T>> for Unheard {
    fn from(_: tokio::sync::mpsc::error::SendError<T>) -> Self {
        Self
    }
}

impl<T> From<tokio::sync::mpsc::error::SendError<T>> for Stop {
    fn from(_: tokio::sync::mpsc::error::SendError<T>) -> Self {
        Self::Unheard
    }
}

fn options(since: Sequence, identity: String) -> FollowOptions {
    FollowOptions {
        since,
        instance_start_time: Some(identity),
        // All but input and fences, which are many: a document of a run without a kind, or deleted, must be told.
        selector: Some(json!({"$or": [
            {"kind": {"$nin": ["in", "start"]}},
            {"kind": {"$exists": false}},
        ]})),
        include_docs: true,
        // Also of a database with one copy: replication brings other leaves.
        all_leaves: true,
        heartbeat: HEARTBEAT,
    }
}

/// What a change of a document with one leaf means.
fn thing(change: &Change) -> Option<Heard> {
    let id = change.id.parse::<DocumentId>().ok()?;
    if change.deleted {
        return Heard::of_deleted(id);
    }
    let document = match change.document::<Value>() {
        Ok(document) => document?,
        Err(error) => {
            tracing::warn!(id = change.id, %error, "a change that cannot be read, ignored");
            return None;
        }
    };
    Heard::of(id, document.revision, document.body)
}
