//! `blitz region show`: a region's document, where its databases are, and how its replications fare.

use std::collections::BTreeMap;

use blitz_couchdb::{Error as StoreError, ReplicationState};
use blitz_jobs::region::Region;
use blitz_jobs::setup::{Operators, SetupError};
use blitz_jobs::topology::{Plan, Replication, plan};
use clap::Args;
use serde::Serialize;

use super::list::{failover, open, rotation};
use super::places;
use crate::cluster::operate::{Error, OperatorArgs, described};
use crate::environment::Environment;
use crate::exit_code::ExitCode;
use crate::list::{list_or_dash, print_json, print_table};
use crate::run::say;
use crate::text::columns;

/// `blitz region show`.
#[derive(Debug, Args)]
pub(crate) struct ShowArgs {
    /// Which region, by its name or another word for it
    name: String,
    /// As JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    operator: OperatorArgs,
}

/// Everything that is shown.
#[derive(Debug, Serialize)]
struct Shown {
    region: Region,
    databases: Vec<Database>,
    replications: Vec<Replicated>,
}

#[derive(Debug, Serialize)]
struct Database {
    name: String,
    cluster: String,
    /// Absent when it is missing, or the cluster did not say.
    documents: Option<u64>,
    /// `ok`, `missing`, `no answer`, `not entered`.
    state: String,
}

#[derive(Debug, Serialize)]
struct Replicated {
    database: String,
    from: String,
    to: String,
    runs_on: String,
    /// `running` and the like; `missing` when its document is not there.
    state: String,
    /// Changes that are still to be carried.
    pending: Option<u64>,
    /// Failures in a row.
    errors: u64,
    /// Documents that the target did not take.
    refused: u64,
    /// Why it failed.
    reason: Option<String>,
}

pub(super) async fn run(args: ShowArgs, environment: &Environment) -> Result<ExitCode, Error> {
    let (operators, known) = args.operator.read(environment).await?;
    let region = known.region(&args.name).cloned().ok_or_else(|| SetupError::UnknownRegion {
        name: args.name.clone(),
        known: known.region_names(),
    })?;
    let plan = plan(&known.clusters(), &known.regions()).of_region(&region.name);
    let databases = databases(&operators, &plan).await;
    let replications = replications(&operators, &plan).await;
    let shown = Shown { region, databases, replications };
    if args.json {
        return Ok(print_json(&shown));
    }
    for one in &shown.replications {
        if let Some(reason) = &one.reason {
            say(&format!("blitz: {} from {} to {}: {reason}", one.database, one.from, one.to));
        }
    }
    Ok(print_table(&text(&shown)))
}

async fn databases(operators: &Operators, plan: &Plan) -> Vec<Database> {
    let mut shown = Vec::new();
    for (cluster, databases) in &plan.databases {
        for database in databases {
            let (documents, state) = match operators.clusters.get(Some(cluster)) {
                None => (None, "not entered"),
                Some(client) => match client.database(&database.name).info().await {
                    Ok(info) => (Some(info.doc_count), "ok"),
                    Err(StoreError::NotFound { .. }) => (None, "missing"),
                    Err(StoreError::Unauthorized { .. } | StoreError::Forbidden { .. }) => {
                        (None, "refused")
                    }
                    Err(_) => (None, "no answer"),
                },
            };
            let (name, cluster, state) = (database.name.clone(), cluster.clone(), state.to_owned());
            shown.push(Database { name, cluster, documents, state });
        }
    }
    shown.sort_by(|one, other| (&one.name, &one.cluster).cmp(&(&other.name, &other.cluster)));
    shown
}

async fn replications(operators: &Operators, plan: &Plan) -> Vec<Replicated> {
    let mut states: BTreeMap<String, Result<BTreeMap<String, ReplicationState>, &str>> =
        BTreeMap::new();
    let mut shown = Vec::new();
    for one in &plan.replications {
        if !states.contains_key(&one.runs_on) {
            let told = match operators.clusters.get(Some(&one.runs_on)) {
                None => Err("not entered"),
                Some(client) => match client.replications().await {
                    Ok(all) => Ok(all.into_iter().map(|one| (one.doc_id.clone(), one)).collect()),
                    Err(StoreError::Unauthorized { .. } | StoreError::Forbidden { .. }) => {
                        Err("refused")
                    }
                    Err(_) => Err("no answer"),
                },
            };
            states.insert(one.runs_on.clone(), told);
        }
        let told = states.get(&one.runs_on).map(|told| told.as_ref().map(|all| all.get(&one.id)));
        shown.push(match told {
            Some(Ok(Some(state))) => replicated(one, state),
            Some(Ok(None)) | None => without_state(one, "missing"),
            Some(Err(state)) => without_state(one, state),
        });
    }
    shown
}

fn without_state(one: &Replication, state: &str) -> Replicated {
    Replicated {
        database: one.database.clone(),
        from: one.from.clone(),
        to: one.to.clone(),
        runs_on: one.runs_on.clone(),
        state: state.to_owned(),
        pending: None,
        errors: 0,
        refused: 0,
        reason: None,
    }
}

fn replicated(one: &Replication, state: &ReplicationState) -> Replicated {
    let info = state.info.clone().unwrap_or_default();
    let reason = info.error.map(|error| match error {
        serde_json::Value::String(text) => text,
        other => other.to_string(),
    });
    Replicated {
        pending: info.changes_pending,
        errors: state.error_count,
        refused: info.doc_write_failures,
        reason,
        ..without_state(one, state.state.as_deref().unwrap_or("pending"))
    }
}

fn text(shown: &Shown) -> String {
    let Shown { region, databases, replications } = shown;
    let mut lines = places(region);
    let mut add = |name: &str, text: String| lines.push((name.to_owned(), text));
    add("aliases", list_or_dash(&region.aliases));
    let place = region.place.map(|place| format!("{},{}", place.latitude, place.longitude));
    add("place", place.unwrap_or_else(|| "-".to_owned()));
    let or = |list: &[String], none: &str| match list {
        [] => none.to_owned(),
        list => list_or_dash(list),
    };
    add("access", or(&region.access, "everybody"));
    add("targets", or(&region.targets, "wherever its engines let them"));
    add("failover", failover(region.failover).to_owned());
    add("rotation", region.rotation.map_or_else(|| "-".to_owned(), rotation));
    add("open", format!("{} (* takes new jobs)", open(region)));
    let number = |number: Option<u64>| number.map_or_else(|| "-".to_owned(), |n| n.to_string());
    let row = |one: &Database| {
        [one.name.clone(), one.cluster.clone(), number(one.documents), one.state.clone()]
    };
    let databases: Vec<_> = databases.iter().map(row).collect();
    let row = |one: &Replicated| {
        [
            one.database.clone(),
            format!("{} > {}", one.from, one.to),
            one.state.clone(),
            number(one.pending),
            one.errors.to_string(),
            one.refused.to_string(),
        ]
    };
    let replications: Vec<_> = replications.iter().map(row).collect();
    let databases = columns(["DATABASE", "CLUSTER", "DOCUMENTS", "STATE"], &databases);
    let head = ["REPLICATION", "FROM > TO", "STATE", "PENDING", "FAILURES", "REFUSED"];
    let replications = columns(head, &replications);
    format!("region {}\n{}\n{databases}\n{replications}", region.name, described(&lines))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_region_is_shown_whole() {
        let region = Region {
            home: Some("tokyo".to_owned()),
            hubs: vec!["virginia".to_owned()],
            former: vec!["oregon".to_owned()],
            ..Region::new("japan").unwrap()
        };
        let database = |cluster: &str, documents, state: &str| Database {
            name: "blitz-jobs-japan-1".to_owned(),
            cluster: cluster.to_owned(),
            documents,
            state: state.to_owned(),
        };
        let one = Replicated {
            database: "blitz-jobs-japan-1".to_owned(),
            from: "tokyo".to_owned(),
            to: "virginia".to_owned(),
            runs_on: "tokyo".to_owned(),
            state: "crashing".to_owned(),
            pending: Some(12),
            errors: 3,
            refused: 0,
            reason: None,
        };
        let shown = Shown {
            region,
            databases: vec![
                database("tokyo", Some(120), "ok"),
                database("virginia", None, "missing"),
            ],
            replications: vec![one],
        };
        insta::assert_snapshot!(text(&shown), @r"
        region japan
          home      tokyo, epoch 1
          hubs      virginia
          former    oregon
          aliases   ap-northeast-1,jp,tokyo,nrt
          place     -
          access    everybody
          targets   wherever its engines let them
          failover  never
          rotation  -
          open      1* (* takes new jobs)

        DATABASE            CLUSTER   DOCUMENTS  STATE
        blitz-jobs-japan-1  tokyo     120        ok
        blitz-jobs-japan-1  virginia  -          missing

        REPLICATION         FROM > TO         STATE     PENDING  FAILURES  REFUSED
        blitz-jobs-japan-1  tokyo > virginia  crashing  12       3         0
        ");
    }
}
