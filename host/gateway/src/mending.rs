//! The mender: starts replications again at once when what they failed for is over. Left alone, a server waits longer after
//! each failure, up to hours, and a cut that lasted a minute would be felt for many.
//!
//! It looks at the replications of the near cluster, where this gateway must have an operator's rights. While one fails, its
//! other end is asked once with each look, and as soon as one question is answered the replication's document is rewritten,
//! with a counter and another size of batches: a server begins anew only where it is asked for something else. No lease: of
//! two that mend at once, one meets a conflict, and has nothing to do any more.
//!
//! `memory` decides what is asked and what is mended; here it is done.

mod memory;

use std::collections::BTreeMap;
use std::pin::pin;
use std::time::Duration;

use blitz_couchdb::{Client, Config, Error, Put, PutOptions, REPLICATOR};
use blitz_jobs::setup::Operators;
use blitz_jobs::topology::parse_replication_id;
use futures_util::stream::{FuturesUnordered, StreamExt as _, iter};
use serde_json::{Map, Value};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use memory::{Memory, Standing};

/// How replications fare is asked this often, give or take a tenth: what fails is known that much later. The other ends of those that
/// fail are asked as often, each once however many replications lead there.
const LOOK: Duration = Duration::from_secs(1);

/// An other end that does not say who it is within this time does not answer. Longer than [`LOOK`]: questions overlap, so
/// that an end that is far is heard, and the first question after a cut is not waited for by the others.
const PROBE_MAX: Duration = Duration::from_secs(3);

/// The states of a replication that does not go on by itself for a while, or never.
const FAILING: [&str; 3] = ["crashing", "error", "failed"];

/// Documents that are read or written at once: hundreds of replications begin anew within a second, and the near store has
/// other work besides.
const AT_ONCE: usize = 8;

/// How many changes are taken at once: CouchDB's own, and one less. Which of the two says nothing.
const BATCH: u64 = 500;

/// Mends until `stop`.
pub(crate) async fn mend(operators: Operators, stop: CancellationToken) {
    let own = operators.clusters.own().unwrap_or_default().to_owned();
    // A store without a name has no replications of ours.
    if own.is_empty() || !operators.names.contains(&own) {
        return stop.cancelled().await;
    }
    let (memory, strangers) = (Memory::default(), BTreeMap::new());
    let mut mender = Mender { operators, own, begun: Instant::now(), memory, strangers };
    let _: Option<()> = stop.run_until_cancelled(mender.mend()).await;
}

struct Mender {
    operators: Operators,
    own: String,
    begun: Instant,
    memory: Memory,
    /// Servers at other ends that this gateway cannot enter, by their addresses: as many as clusters.
    strangers: BTreeMap<String, Client>,
}

impl Mender {
    async fn mend(&mut self) {
        let mut probes = FuturesUnordered::new();
        let mut next = pin!(sleep(Duration::ZERO));
        loop {
            tokio::select! {
                () = &mut next => {
                    self.look().await;
                    let now = self.begun.elapsed();
                    for end in self.memory.to_ask(now) {
                        probes.push(probe(self.client(&end), end, now));
                    }
                    next.as_mut().reset(Instant::now() + pause(random()));
                }
                Some((end, began, answers)) = probes.next() => {
                    self.memory.asked(self.begun.elapsed(), &end, began, answers);
                }
            }
            self.mend_due().await;
        }
    }

    /// Learns what fails, and where it leads.
    async fn look(&mut self) {
        let near = self.operators.clusters.near().clone();
        let failing = match near.replications_in(&FAILING).await {
            Ok(failing) => failing.into_iter().map(|one| one.doc_id),
            Err(error) => {
                tracing::debug!(%error, "how replications fare is not known");
                return;
            }
        };
        let ours = failing.filter(|id| parse_replication_id(id).is_some()).collect();
        self.memory.look(self.begun.elapsed(), ours);
        let replicator = near.database(REPLICATOR);
        let reads = iter(self.memory.unread()).map(async |id| {
            let found = replicator.get::<Map<String, Value>>(&id).await;
            (id, found)
        });
        let mut reads = pin!(reads.buffer_unordered(AT_ONCE));
        while let Some((id, found)) = reads.next().await {
            match found {
                Ok(Some(found)) => {
                    let others = others(&self.own, &id, &found.body);
                    let standing = Standing { revision: found.revision, body: found.body, others };
                    self.memory.read(&id, standing);
                }
                Ok(None) => {}
                Err(error) => tracing::debug!(id, %error, "a replication that fails is not read"),
            }
        }
    }

    /// Has those begin anew whose other ends answer.
    async fn mend_due(&mut self) {
        let due = self.memory.take_due(self.begun.elapsed());
        if due.is_empty() {
            return;
        }
        let replicator = self.operators.clusters.near().database(REPLICATOR);
        let puts = iter(due).map(async |(id, Standing { revision, body, .. })| {
            let body = rewritten(body);
            let put = replicator.put(&id, Some(&revision), &body, PutOptions::default()).await;
            (id, put)
        });
        let mut puts = pin!(puts.buffer_unordered(AT_ONCE));
        while let Some((id, put)) = puts.next().await {
            match put {
                Ok(Put::Created(_) | Put::Accepted(_)) => {
                    tracing::info!(id, "the other end answers: the replication begins anew");
                }
                // Somebody else has rewritten it.
                Ok(Put::Conflict) => {}
                Err(error) => tracing::warn!(id, %error, "a replication is not mended"),
            }
        }
    }

    /// Reaches the server of an address, without a password if need be.
    fn client(&mut self, address: &str) -> Option<Client> {
        let is_at = |client: &Client| client.address().trim_end_matches('/') == address;
        let known = self.operators.clusters.all().find(|(_, client)| is_at(client));
        let known = known.map(|(_, client)| client).or_else(|| self.strangers.get(address));
        if let Some(client) = known {
            return Some(client.clone());
        }
        let config = Config { request_timeout: PROBE_MAX, ..Config::new(address) };
        let client = Client::with(config).ok()?;
        self.strangers.insert(address.to_owned(), client.clone());
        Some(client)
    }
}

/// Asks a server, which is `end`, whether it is there. It need not let us in.
async fn probe(client: Option<Client>, end: String, began: Duration) -> (String, Duration, bool) {
    let asked = async { Some(client?.server().await) };
    let answers = match tokio::time::timeout(PROBE_MAX, asked).await {
        Ok(Some(Ok(_) | Err(Error::Unauthorized { .. } | Error::Forbidden { .. }))) => true,
        Ok(Some(Err(error))) => {
            tracing::trace!(end, %error, "an end of a replication does not answer");
            false
        }
        Ok(None) | Err(_) => false,
    };
    (end, began, answers)
}

/// The servers at the ends of a replication that are not the near one: by their addresses, without secrets.
fn others(own: &str, id: &str, body: &Map<String, Value>) -> Vec<String> {
    let Some((_, from, to)) = parse_replication_id(id) else { return Vec::new() };
    let ends = [(from, body.get("source")), (to, body.get("target"))];
    let others = ends.into_iter().filter(|(name, _)| *name != own);
    others.filter_map(|(_, end)| server(end?)).collect()
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

/// Until the next look: menders of many places that began together do not go on asking together.
fn pause(random: u8) -> Duration {
    LOOK * 9 / 10 + LOOK / 5 * u32::from(random) / 255
}

fn random() -> u8 {
    let mut byte = [128];
    // Without a random source all that is lost is the spread.
    getrandom::fill(&mut byte).unwrap_or_default();
    byte[0]
}

#[cfg(test)]
mod tests;
