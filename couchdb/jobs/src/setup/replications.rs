//! The documents of `_replicator`, and the users that they enter with.
//!
//! Each cluster that runs replications has a user of its own in each cluster at their ends, itself among them:
//! [`user`], with the role of a replicator and a random password. The password stands in the documents, where only
//! administrators read it, and nowhere else: who sets up again reads it there.

use std::collections::{BTreeMap, BTreeSet};

use blitz_couchdb::{AllDocs, Client, Credentials, Error, Put, PutOptions, REPLICATOR, Revision};
use ring::rand::{SecureRandom as _, SystemRandom};
use serde_json::{Value, json};

use super::apply::{Applied, What, system};
use super::error::SetupError;
use crate::cluster::Cluster;
use crate::region::beats_database;
use crate::topology::{PREFIX, Plan, Replication, parse_replication_id};
use crate::{read, roles};

/// How often a replication writes down how far it is. What it did since is done again after a cut, which is harmless.
const CHECKPOINT_INTERVAL_MS: u64 = 5_000;

/// How long a replication of a region waits for an answer. A healthy cluster answers in milliseconds from anywhere; a longer
/// wait makes a healed connection known later, and what was cut off is to be whole within 5 s.
const CONNECTION_TIMEOUT_MS: u64 = 3_000;

/// The same for the control database: plugins of some megabytes travel in it, over lines that take seconds for one.
const CONTROL_TIMEOUT_MS: u64 = 15_000;

/// How often a request is tried again before the replication fails: one that has failed is begun anew by a gateway as soon as the
/// other end answers, one that tries again waits out its pauses.
const RETRIES_PER_REQUEST: u64 = 1;

/// Connections to each end: a region's databases have a few changes a second, and a home has hundreds of replications.
const HTTP_CONNECTIONS: u64 = 4;

/// One worker keeps the changes of a database nearly in their order.
const WORKER_PROCESSES: u64 = 1;

/// Bytes of a password: it cannot be guessed.
const PASSWORD_BYTES: usize = 24;

/// A document of `_replicator`.
pub(super) struct Standing {
    pub(super) revision: Revision,
    pub(super) body: Value,
}

/// The user that the replications of this cluster enter with.
#[must_use]
pub fn user(runs_on: &str) -> String {
    format!("{}-{runs_on}", roles::REPLICATOR)
}

/// Writes the documents that are not as they should be.
pub(super) async fn apply(
    reached: &BTreeMap<&str, &Client>,
    clusters: &BTreeMap<&str, &Cluster>,
    plan: &Plan,
    applied: &mut Applied,
) -> Result<(), SetupError> {
    let runners: BTreeSet<&str> =
        plan.replications.iter().map(|one| one.runs_on.as_str()).collect();
    for runner in runners {
        // That it was not reached was told.
        let Some(&client) = reached.get(runner) else { continue };
        system(runner, client, applied).await?;
        let standing = documents(runner, client).await?;
        let mut users: BTreeMap<&str, Credentials> = BTreeMap::new();
        let ends: BTreeSet<&str> = plan
            .replications_of(runner)
            .flat_map(|one| [one.from.as_str(), one.to.as_str()])
            .collect();
        for at in ends {
            let known = password(&standing, runner, at);
            let credentials = match (reached.get(at), known) {
                (Some(&client), known) => {
                    if at != runner {
                        system(at, client, applied).await?;
                    }
                    ensure_user(at, client, &user(runner), known, applied).await?
                }
                // It was made before, and will be there when the cluster answers again.
                (None, Some(password)) => Credentials { name: user(runner), password },
                (None, None) => continue,
            };
            users.insert(at, credentials);
        }
        let failed = failed(client).await;
        for one in plan.replications_of(runner) {
            let Some(wanted) = body(one, clusters, &users) else { continue };
            let standing = standing.get(&one.id);
            let stands = standing.is_some_and(|standing| says(&standing.body, &wanted));
            if stands && !failed.contains(&one.id) {
                continue;
            }
            put(runner, client, &one.id, standing.map(|standing| &standing.revision), &wanted)
                .await?;
            applied.step(runner, What::Replication, &one.id);
        }
    }
    Ok(())
}

/// Our documents, by id; documents of others that carry what must not be carried are refused.
pub(super) async fn documents(
    cluster: &str,
    client: &Client,
) -> Result<BTreeMap<String, Standing>, SetupError> {
    let all = AllDocs { include_docs: true, ..AllDocs::default() };
    let rows = match client.database(REPLICATOR).all_docs::<Value>(&all).await {
        Ok(page) => page.rows,
        Err(Error::NotFound { .. }) => Vec::new(),
        Err(source) => return Err(SetupError::of(cluster, source)),
    };
    let mut ours = BTreeMap::new();
    for row in rows {
        let Some(body) = row.doc else { continue };
        if row.id.starts_with(PREFIX) && parse_replication_id(&row.id).is_some() {
            ours.insert(row.id, Standing { revision: row.revision, body });
        } else if !row.id.starts_with("_design/") && carries_beats(&body) {
            return Err(SetupError::Beats { cluster: cluster.to_owned(), document: row.id });
        }
    }
    Ok(ours)
}

/// Whether a replication writes to a database of beats.
fn carries_beats(body: &Value) -> bool {
    let target = &body["target"];
    let target = target.as_str().or_else(|| target["url"].as_str()).unwrap_or_default();
    let database = target.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    database.starts_with(&beats_database(""))
}

/// The password that our documents enter a cluster with.
fn password(standing: &BTreeMap<String, Standing>, runner: &str, at: &str) -> Option<String> {
    let name = user(runner);
    let mut found = standing.iter().flat_map(|(id, standing)| {
        let (_, from, to) = parse_replication_id(id).unwrap_or_default();
        [(from, &standing.body["source"]), (to, &standing.body["target"])]
    });
    found.find_map(|(cluster, end)| {
        let basic = &end["auth"]["basic"];
        let is_it = cluster == at && basic["username"].as_str() == Some(&name);
        is_it.then(|| basic["password"].as_str().map(str::to_owned)).flatten()
    })
}

/// Sees to it that the user is there with its role, and that its password is good.
async fn ensure_user(
    at: &str,
    client: &Client,
    name: &str,
    known: Option<String>,
    applied: &mut Applied,
) -> Result<Credentials, SetupError> {
    let failed = |source| SetupError::of(at, source);
    let is_known = known.is_some();
    let password = known.map_or_else(new_password, Ok)?;
    let credentials = Credentials { name: name.to_owned(), password };
    let standing = client.user(name).await.map_err(failed)?;
    let has_role = |roles: &[String]| roles.iter().any(|role| role == roles::REPLICATOR);
    if is_known && standing.as_ref().is_some_and(|standing| has_role(&standing.body.roles)) {
        let as_user = client.as_user(credentials.clone()).map_err(failed)?;
        match as_user.session().await {
            Ok(_) => return Ok(credentials),
            Err(Error::Unauthorized { .. } | Error::Forbidden { .. }) => {}
            Err(source) => return Err(failed(source)),
        }
    }
    let over = standing.as_ref().map(|standing| &standing.revision);
    match client.put_user(&credentials, &[roles::REPLICATOR], over).await.map_err(failed)? {
        Put::Created(_) | Put::Accepted(_) => applied.step(at, What::User, name),
        Put::Conflict => {
            return Err(SetupError::Changed { cluster: at.to_owned(), document: name.to_owned() });
        }
    }
    Ok(credentials)
}

fn new_password() -> Result<String, SetupError> {
    let mut bytes = [0; PASSWORD_BYTES];
    SystemRandom::new().fill(&mut bytes).map_err(|_| SetupError::Random)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// The document of a replication; `None` when one of its ends cannot be entered yet.
fn body(
    one: &Replication,
    clusters: &BTreeMap<&str, &Cluster>,
    users: &BTreeMap<&str, Credentials>,
) -> Option<Value> {
    let end = |at: &str| {
        let url = clusters.get(at)?.url.trim_end_matches('/');
        let Credentials { name, password } = users.get(at)?;
        Some(json!({
            "url": format!("{url}/{}", one.database),
            "auth": {"basic": {"username": name, "password": password}},
        }))
    };
    Some(json!({
        "source": end(&one.from)?,
        "target": end(&one.to)?,
        "continuous": true,
        "selector": one.carries.selector(),
        "checkpoint_interval": CHECKPOINT_INTERVAL_MS,
        "connection_timeout": if one.region.is_some() { CONNECTION_TIMEOUT_MS } else { CONTROL_TIMEOUT_MS },
        "retries_per_request": RETRIES_PER_REQUEST,
        "http_connections": HTTP_CONNECTIONS,
        "worker_processes": WORKER_PROCESSES,
    }))
}

/// Whether a document says all of this. It may say more: the server adds its owner.
fn says(standing: &Value, wanted: &Value) -> bool {
    let Some(wanted) = wanted.as_object() else { return false };
    wanted.iter().all(|(key, value)| standing.get(key) == Some(value))
}

/// The ids of the replications that the server has given up.
async fn failed(client: &Client) -> BTreeSet<String> {
    let all = client.replications().await.unwrap_or_else(|error| {
        tracing::debug!(%error, "how replications fare is not known");
        Vec::new()
    });
    let failed = all.into_iter().filter(|one| one.state.as_deref() == Some("failed"));
    failed.map(|one| one.doc_id).collect()
}

async fn put(
    cluster: &str,
    client: &Client,
    id: &str,
    over: Option<&Revision>,
    body: &Value,
) -> Result<(), SetupError> {
    let database = client.database(REPLICATOR);
    let put = database.put(id, over, body, PutOptions::default()).await;
    match put.map_err(|source| SetupError::of(cluster, source))? {
        Put::Created(_) | Put::Accepted(_) => Ok(()),
        Put::Conflict => {
            Err(SetupError::Changed { cluster: cluster.to_owned(), document: id.to_owned() })
        }
    }
}

/// The range of our documents.
pub(super) fn ours() -> AllDocs {
    AllDocs { include_docs: false, ..read::range(PREFIX, "blitz;") }
}
