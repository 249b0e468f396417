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
use crate::timing::HEARTBEAT;

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

/// Ids in one page of the listing, and the most documents that are read at once.
const PAGE: u64 = 500;

/// A listing that failed is tried again after this long.
const LIST_AGAIN: Duration = Duration::from_secs(1);

/// Sends all that is heard to `heard`, until nobody listens there or the future is dropped.
///
/// Interruptions are logged and survived; documents that cannot be read are logged and passed over.
pub async fn follow(database: Database, heard: Sender<Heard>) {
    let (database, heard) = (&database, &heard);
    // Kept when a listing fails: what ends before the next one is told by the feed.
    let mut known: Option<Place> = None;
    loop {
        let listed = async {
            let place = match known.take() {
                Some(place) => place,
                None => place(database).await?,
            };
            known = Some(place.clone());
            list(database, heard).await.map(|()| place)
        };
        let (since, instance) = match listed.await {
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
                    known = None;
                    tokio::time::sleep(LIST_AGAIN).await;
                    break;
                }
            }
        }
    }
}

/// Where to follow from: the sequence, and the database's identity.
type Place = (Sequence, String);

async fn place(database: &Database) -> Result<Place, Error> {
    let info = database.info().await?;
    Ok((info.update_seq, info.instance_start_time))
}

/// Sends the open jobs.
async fn list(database: &Database, heard: &Sender<Heard>) -> Result<(), Error> {
    let mut start = String::new();
    // Ids of one job sort together (cancel, in, run, spec), so a job is complete when its spec comes.
    let mut pending: Vec<Heard> = Vec::new();
    loop {
        // Ids first: pieces of input are large and of no interest here.
        let query = AllDocs { start: Some(start.clone()), limit: Some(PAGE), ..AllDocs::default() };
        let page = database.all_docs::<Value>(&query).await?;
        let Some(last) = page.rows.last() else { return Ok(()) };
        start = format!("{}\u{0}", last.id);
        let ids = page.rows.into_iter().map(|row| row.id).filter(|id| is_told(id));
        for (id, revision, doc) in read::list(database, read::keys(ids)).await? {
            match thing(&id, revision, doc) {
                Some(Heard::Spec(spec)) => {
                    let is_of = |job: &JobId| *job == spec.job;
                    let ended = pending.iter().any(
                        |thing| matches!(thing, Heard::Run(job, _, run) if is_of(job) && run.is_final()),
                    );
                    let things = std::mem::take(&mut pending);
                    if ended {
                        continue;
                    }
                    for thing in things.into_iter().chain([Heard::Spec(spec)]) {
                        if heard.send(thing).await.is_err() {
                            return Ok(());
                        }
                    }
                }
                Some(thing) => pending.push(thing),
                None => {}
            }
        }
    }
}

fn is_told(id: &str) -> bool {
    matches!(id.parse(), Ok(DocumentId::Spec(_) | DocumentId::Run(_) | DocumentId::Cancel(_)))
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
