//! The mender: starts replications again at once when what they failed for is over. Left alone, a server waits longer after
//! each failure, up to hours, and a cut that lasted a minute would be felt for many.
//!
//! It looks at the replications of the near cluster, where this gateway must have an operator's rights. One that fails is asked
//! for at its other end; when that answers, the replication's document is rewritten, with a counter and another size of
//! batches: a server begins anew only where it is asked for something else. No lease: of two that mend at once, one meets a
//! conflict, and has nothing to do any more.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use blitz_couchdb::{Client, Config, Error, Put, PutOptions, REPLICATOR, ReplicationState};
use blitz_jobs::clock::Clock;
use blitz_jobs::setup::Operators;
use blitz_jobs::topology::{PREFIX, parse_replication_id};
use futures_util::future::join_all;
use serde_json::{Map, Value};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

/// How replications fare is asked this often: what fails is known that much later, and goes on within a second or two.
const LOOK: Duration = Duration::from_secs(1);

/// An other end that does not say who it is within this time does not answer.
const PROBE_MAX: Duration = Duration::from_secs(3);

/// A replication that fails again after it was mended rests so long, twice as long each time: its other end answers, and
/// something else is wrong, or the way there is cut in one direction. Not longer than [`REST_MAX`], for the sake of the latter.
const REST_MIN: Duration = Duration::from_secs(1);
/// See [`REST_MIN`].
const REST_MAX: Duration = Duration::from_secs(4);

/// One that has not failed for so long is well, and the next failure is a new one.
const WELL_AFTER: Duration = Duration::from_secs(30);

/// The states of a replication that does not go on by itself for a while, or never.
const FAILING: [&str; 3] = ["crashing", "error", "failed"];

/// How many changes are taken at once: CouchDB's own, and one less. Which of the two says nothing.
const BATCH: u64 = 500;

/// What is remembered of replications that failed, by the ids of their documents.
#[derive(Debug, Default)]
struct Memory(BTreeMap<String, Mended>);

#[derive(Debug)]
struct Mended {
    /// When it was seen failing last.
    seen: Duration,
    /// Not before.
    again: Duration,
    /// How long it rests then.
    rest: Duration,
}

impl Memory {
    /// Of those that fail now, those that may be mended.
    fn due(&mut self, now: Duration, failing: &[ReplicationState]) -> Vec<String> {
        let mut due = Vec::new();
        for one in failing {
            match self.0.get_mut(&one.doc_id) {
                Some(mended) => {
                    mended.seen = now;
                    if mended.again <= now {
                        due.push(one.doc_id.clone());
                    }
                }
                None => due.push(one.doc_id.clone()),
            }
        }
        self.0.retain(|_, mended| now < mended.seen + WELL_AFTER.max(mended.rest));
        due
    }

    /// Its other end is away: when it is back, the replication goes on at once.
    fn cut(&mut self, id: &str) {
        self.0.remove(id);
    }

    /// It was rewritten.
    fn mended(&mut self, now: Duration, id: &str) {
        let rest = self.0.get(id).map_or(REST_MIN, |mended| (mended.rest * 2).min(REST_MAX));
        self.0.insert(id.to_owned(), Mended { seen: now, again: now + rest, rest });
    }
}

/// Mends until `stop`.
pub(crate) async fn mend(operators: Operators, stop: CancellationToken) {
    let own = operators.clusters.own().unwrap_or_default().to_owned();
    // A store without a name has no replications of ours.
    if own.is_empty() || !operators.names.contains(&own) {
        return stop.cancelled().await;
    }
    let mends = async {
        let mut mender =
            Mender { operators, own, clock: Clock::start(), memory: Memory::default() };
        loop {
            mender.look().await;
            sleep(LOOK).await;
        }
    };
    let _: Option<()> = stop.run_until_cancelled(mends).await;
}

struct Mender {
    operators: Operators,
    own: String,
    clock: Clock,
    memory: Memory,
}

impl Mender {
    /// Looks once, and mends what can be mended.
    async fn look(&mut self) {
        let near = self.operators.clusters.near().clone();
        let all = match near.replications().await {
            Ok(all) => all,
            Err(error) => {
                tracing::debug!(%error, "how replications fare is not known");
                return;
            }
        };
        let fails = |one: &ReplicationState| {
            one.doc_id.starts_with(PREFIX)
                && one.state.as_deref().is_some_and(|state| FAILING.contains(&state))
        };
        let failing: Vec<ReplicationState> = all.into_iter().filter(fails).collect();
        let due = self.memory.due(self.clock.now(), &failing);
        if !due.is_empty() {
            self.mend(&near, due).await;
        }
    }

    async fn mend(&mut self, near: &Client, due: Vec<String>) {
        let mut documents = Vec::new();
        for id in due {
            match near.database(REPLICATOR).get::<Map<String, Value>>(&id).await {
                Ok(Some(found)) => documents.push((id, found.revision, found.body)),
                Ok(None) => {}
                Err(error) => tracing::debug!(id, %error, "a replication that fails is not read"),
            }
        }
        // Each other end is asked once, however many replications lead there.
        let ends: BTreeSet<String> =
            documents.iter().flat_map(|(id, _, body)| self.others(id, body)).collect();
        let asked = ends.into_iter().map(async |end| {
            let answers = self.answers(&end).await;
            (end, answers)
        });
        let answers: BTreeMap<String, bool> = join_all(asked).await.into_iter().collect();
        for (id, revision, body) in documents {
            if self.others(&id, &body).iter().any(|end| answers.get(end) != Some(&true)) {
                self.memory.cut(&id);
                continue;
            }
            let body = rewritten(body);
            let put = near.database(REPLICATOR);
            let put = put.put(&id, Some(&revision), &body, PutOptions::default()).await;
            match put {
                Ok(Put::Created(_) | Put::Accepted(_)) => {
                    tracing::info!(id, "the other end answers: the replication begins anew");
                    self.memory.mended(self.clock.now(), &id);
                }
                Ok(Put::Conflict) => self.memory.mended(self.clock.now(), &id),
                Err(error) => tracing::warn!(id, %error, "a replication is not mended"),
            }
        }
    }

    /// The servers at the ends of a replication that are not the near one: by their addresses, without secrets.
    fn others(&self, id: &str, body: &Map<String, Value>) -> Vec<String> {
        let Some((_, from, to)) = parse_replication_id(id) else { return Vec::new() };
        let ends = [(from, body.get("source")), (to, body.get("target"))];
        let others = ends.into_iter().filter(|(name, _)| *name != self.own);
        others.filter_map(|(_, end)| server(end?)).collect()
    }

    /// Whether a server says that it is there. It need not let us in.
    async fn answers(&self, address: &str) -> bool {
        let known = self.operators.clusters.all().find(|(_, client)| is_at(client, address));
        let client = known.map(|(_, client)| client.clone()).or_else(|| {
            let config = Config { request_timeout: PROBE_MAX, ..Config::new(address) };
            Client::with(config).ok()
        });
        let Some(client) = client else { return false };
        match tokio::time::timeout(PROBE_MAX, client.server()).await {
            Ok(Ok(_) | Err(Error::Unauthorized { .. } | Error::Forbidden { .. })) => true,
            Ok(Err(error)) => {
                tracing::trace!(address, %error, "an end of a replication does not answer");
                false
            }
            Err(_) => false,
        }
    }
}

fn is_at(client: &Client, address: &str) -> bool {
    client.address().trim_end_matches('/') == address
}

/// The address of the server in an end of a replication: without its database, name and password. `None` for a database of
/// the server itself.
fn server(end: &Value) -> Option<String> {
    let url = end.as_str().or_else(|| end.get("url")?.as_str())?;
    let (scheme, rest) = url.split_once("://")?;
    let (place, _database) = rest.trim_end_matches('/').rsplit_once('/')?;
    let (authority, path) = place.split_once('/').unwrap_or((place, ""));
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    Some(format!("{scheme}://{host}/{path}").trim_end_matches('/').to_owned())
}

/// The same replication, and another document.
fn rewritten(mut body: Map<String, Value>) -> Map<String, Value> {
    // What the server has written about it goes, a final failure too.
    body.retain(|name, _| !name.starts_with('_'));
    let mended = body.get("mended").and_then(Value::as_u64).unwrap_or_default().wrapping_add(1);
    body.insert("mended".to_owned(), mended.into());
    body.insert("worker_batch_size".to_owned(), (BATCH - mended % 2).into());
    body
}

#[cfg(test)]
mod tests;
