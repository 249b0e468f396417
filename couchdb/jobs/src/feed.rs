//! What happens in one jobs database, for engines and keepers: the open jobs first, then every change.
//!
//! The sequence is read before the list, so that nothing between the two is missed; hearing of a thing twice
//! is harmless. A database that was replaced by another of the same name is listed again.

use std::time::Duration;

use blitz_couchdb::{AllDocs, Database, Error, FeedEvent, FollowOptions, Revision, Sequence};
use serde_json::{Value, json};
use tokio::sync::mpsc::Sender;

use crate::id::{DocumentId, JobId};
use crate::read;
use crate::run::{Run, RunDocument};
use crate::spec::{Cancel, Spec};

/// One thing heard of a job.
#[derive(Debug)]
pub enum Heard {
    /// It is asked for.
    Spec(Box<Spec>),
    /// Its run has this state; the store's winning revision.
    Run(JobId, Revision, Run),
    /// Somebody cancelled it.
    Cancel(JobId),
}

/// The store sends a sign of life this often; three without one and the feed is dead.
const HEARTBEAT: Duration = Duration::from_secs(10);

/// Documents in one page of the listing.
const PAGE: u64 = 500;

/// A listing that failed is tried again after this long.
const LIST_AGAIN: Duration = Duration::from_secs(1);

/// Sends all that is heard to `heard`, until nobody listens there or the future is dropped.
///
/// Interruptions are logged and survived; documents that cannot be read are logged and passed over.
pub async fn follow(database: Database, heard: Sender<Heard>) {
    let (database, heard) = (&database, &heard);
    loop {
        let (since, instance) = match list(database, heard).await {
            Ok(place) => place,
            Err(error) => {
                tracing::warn!(database = database.name(), %error, "cannot list jobs, trying again");
                tokio::time::sleep(LIST_AGAIN).await;
                continue;
            }
        };
        let mut feed = database.follow(FollowOptions {
            since,
            instance_start_time: Some(instance),
            selector: Some(json!({"kind": {"$in": ["spec", "run", "cancel"]}})),
            include_docs: true,
            heartbeat: HEARTBEAT,
            ..FollowOptions::default()
        });
        loop {
            match feed.next().await {
                FeedEvent::Change(change) => {
                    if let Ok(Some(document)) = change.document::<Value>()
                        && let Some(thing) = thing(&change.id, document.revision, document.body)
                        && heard.send(thing).await.is_err()
                    {
                        return;
                    }
                }
                FeedEvent::Connected => {}
                FeedEvent::Disconnected(error) => {
                    tracing::warn!(database = database.name(), %error, "feed interrupted");
                }
                FeedEvent::Replaced | FeedEvent::Gone => {
                    tracing::warn!(
                        database = database.name(),
                        "another database has this name now"
                    );
                    tokio::time::sleep(LIST_AGAIN).await;
                    break;
                }
            }
        }
    }
}

/// Sends the open jobs, and gives the sequence from which to follow with the database's identity.
async fn list(database: &Database, heard: &Sender<Heard>) -> Result<(Sequence, String), Error> {
    let info = database.info().await?;
    let place = (info.update_seq, info.instance_start_time);
    let mut start = String::new();
    // Ids of one job sort together (cancel, in, run, spec), so a job is complete when its spec comes.
    let mut pending: Vec<Heard> = Vec::new();
    loop {
        let query = AllDocs {
            start: Some(start.clone()),
            limit: Some(PAGE),
            include_docs: true,
            ..AllDocs::default()
        };
        let page = database.all_docs::<Value>(&query).await?;
        let is_last = (page.rows.len() as u64) < PAGE;
        for row in page.rows {
            start = format!("{}\u{0}", row.id);
            let Some(doc) = row.doc else { continue };
            match thing(&row.id, row.revision, doc) {
                Some(Heard::Spec(spec)) => {
                    let ended = pending.iter().any(|thing| {
                        matches!(thing, Heard::Run(job, _, run) if *job == spec.job && run.is_final())
                    });
                    if !ended {
                        for thing in pending.drain(..).chain([Heard::Spec(spec)]) {
                            if heard.send(thing).await.is_err() {
                                return Ok(place);
                            }
                        }
                    }
                    pending.clear();
                }
                Some(thing) => pending.push(thing),
                None => {}
            }
        }
        if is_last {
            return Ok(place);
        }
    }
}

/// A document of a job as a thing heard.
fn thing(id: &str, revision: Revision, doc: Value) -> Option<Heard> {
    match id.parse().ok()? {
        DocumentId::Spec(job) => {
            let spec: Box<Spec> = read::document(id, doc)?;
            if spec.job == job {
                return Some(Heard::Spec(spec));
            }
            tracing::warn!(id, "a spec that names another job, ignored");
            None
        }
        DocumentId::Run(job) => {
            let document: RunDocument = read::document(id, doc)?;
            Some(Heard::Run(job, revision, document.run))
        }
        DocumentId::Cancel(job) => read::document::<Cancel>(id, doc).map(|_| Heard::Cancel(job)),
        DocumentId::Input(..) | DocumentId::Output(..) => None,
    }
}
