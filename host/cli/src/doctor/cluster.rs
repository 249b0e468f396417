//! One CouchDB: whether it answers, who it is, what it may, how far away it is.

use std::time::{Duration, Instant};

use blitz_couchdb::{Client, Error};
use blitz_jobs::cluster::Cluster;
use blitz_jobs::region::DatabaseKind;
use blitz_jobs::setup::{SetupError, inspect};
use blitz_jobs::topology::{EVERYWHERE, MAX_JOBS, Plan};

use super::finding::{Level, Part};
use crate::clusters::Entered;

/// Round trips that are measured: the median of five is not that of a busy moment.
const ROUND_TRIPS: usize = 5;

/// A round trip above which engines should not have their home there: a claim takes several.
const FAR: Duration = Duration::from_millis(150);

/// Looks at a cluster; and whether it can be asked for more.
pub(super) async fn look(
    name: &str,
    client: &Client,
    document: Option<&Cluster>,
    entered: &Entered,
    plan: &Plan,
) -> (Part, bool) {
    let about = match entered.clusters.own() {
        Some(_) => format!("cluster {name}, {}", client.address()),
        None => format!("store {}", client.address()),
    };
    let mut part = Part::new(&about);
    let inspected = match inspect(name, client, document).await {
        Ok(inspected) => inspected,
        Err(SetupError::Cluster { source: error @ Error::Unauthorized { .. }, .. }) => {
            return (not_let_in(part, &error), false);
        }
        // Another server, or an old one, answers: what it says of regions is not to be believed.
        Err(error) => {
            part.said(Level::Bad, &error.to_string());
            return (part, false);
        }
    };
    let version = &inspected.version;
    match round_trip(client).await {
        Ok(median) => {
            let text = format!("CouchDB {version}, {:.1} ms away", median.as_secs_f64() * 1e3);
            match median > FAR {
                true => part
                    .warning(&text, "a region whose engines are here should have its home nearer"),
                false => part.ok(&text),
            }
        }
        Err(error) => part.bad(&format!("CouchDB {version}, and then: {error}"), ""),
    }
    for warning in &inspected.warnings {
        part.said(Level::Warning, warning);
    }
    match client.session().await {
        Ok(session) => {
            let is_admin = session.roles.iter().any(|role| role == "_admin");
            let who = session.name.as_deref().unwrap_or("nobody");
            if entered.operators.contains(name) && !is_admin {
                part.bad(
                    &format!("'{who}' is no administrator there, and the clusters file says operator = true"),
                    "give an administrator's credentials, or take the line away",
                );
            } else {
                part.ok(&format!(
                    "entered as '{who}'{}",
                    if is_admin { ", an administrator" } else { "" }
                ));
            }
            accounts(client, &mut part).await;
            if is_admin {
                look_inside(name, client, plan, &mut part).await;
            }
            (part, true)
        }
        Err(error) => (not_let_in(part, &error), false),
    }
}

/// The databases that every cluster has since there are tenants: one that was set up before lacks them.
async fn accounts(client: &Client, part: &mut Part) {
    for (database, kind) in EVERYWHERE.iter().filter(|(_, kind)| *kind != DatabaseKind::Control) {
        let what = match kind {
            DatabaseKind::Accounts => "its gateways know no tenants and take no API keys",
            _ => "what is done by its gateways is written down nowhere",
        };
        if let Err(Error::NotFound { .. }) = client.database(database).info().await {
            part.warning(
                &format!("it has no database {database}: {what}"),
                "start a gateway at it, or run 'blitz cluster add' for it again, with an administrator's credentials: both make it",
            );
        }
    }
}

fn not_let_in(mut part: Part, error: &Error) -> Part {
    part.bad(
        &format!("it does not let us in: could not {error}"),
        "mend user and password in the clusters file, or in --store; after some wrong ones a name is locked for a while",
    );
    part
}

/// The median.
async fn round_trip(client: &Client) -> Result<Duration, Error> {
    let mut times = Vec::new();
    for _ in 0..ROUND_TRIPS {
        let asked = Instant::now();
        client.server().await?;
        times.push(asked.elapsed());
    }
    times.sort();
    Ok(times[ROUND_TRIPS / 2])
}

/// What only an administrator is told: nodes, and limits of its configuration.
async fn look_inside(name: &str, client: &Client, plan: &Plan, part: &mut Part) {
    match client.membership().await {
        Ok(nodes) => {
            let away = |node: &&String| !nodes.all_nodes.contains(node);
            let away: Vec<&str> =
                nodes.cluster_nodes.iter().filter(away).map(String::as_str).collect();
            match (nodes.cluster_nodes.len(), away.is_empty()) {
                (0 | 1, _) => {}
                (count, true) => part.ok(&format!("all {count} nodes are there")),
                (count, false) => part.bad(
                    &format!("of {count} nodes these are away: {}", away.join(", ")),
                    "start them, or mend the network between them: writes that ask for all copies are in doubt meanwhile",
                ),
            }
        }
        // The embedded store and old servers have no such page.
        Err(error) => tracing::debug!(%error, "no membership"),
    }
    let limit = |section, key| async move {
        let text = client.config(section, key).await.ok().flatten()?;
        text.parse::<u64>().ok()
    };
    let max_jobs = limit("replicator", "max_jobs").await.unwrap_or(MAX_JOBS);
    match plan.crowded(name, max_jobs) {
        Some(crowded) => part.said(Level::Warning, &crowded.to_string()),
        None if plan.running(name) > 0 => {
            part.ok(&format!("it runs {} replications, of {max_jobs} at once", plan.running(name)));
        }
        None => {}
    }
    if let (Some(open_max), Ok(databases)) =
        (limit("couchdb", "max_dbs_open").await, client.databases().await)
    {
        let shards = limit("cluster", "q").await.unwrap_or(2);
        let open = shards.saturating_mul(databases.len() as u64);
        if open > open_max {
            part.warning(
                &format!(
                    "{} databases of {shards} shards, and its max_dbs_open is {open_max}: they are closed and opened again all \
                     the time",
                    databases.len()
                ),
                &format!("set max_dbs_open in its section [couchdb] to {open} or more"),
            );
        }
    }
}
