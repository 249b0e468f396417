//! `blitz cluster list`: the clusters, whose home they are, and how they are.

use blitz_jobs::cluster::Cluster;
use blitz_jobs::setup::{Inspected, Known, Operators, SetupError, inspect};
use blitz_jobs::topology::{Plan, plan};
use clap::Args;
use serde::Serialize;

use super::operate::{Error, OperatorArgs};
use crate::environment::Environment;
use crate::exit_code::ExitCode;
use crate::list::{list_or_dash, print_json, print_table};
use crate::run::say;
use crate::text::columns;

/// `blitz cluster list`.
#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// As JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    operator: OperatorArgs,
}

/// A cluster as it is shown.
#[derive(Debug, Serialize)]
struct Shown {
    name: String,
    url: String,
    uuid: Option<String>,
    copies: Option<u32>,
    version: Option<String>,
    /// `ok`, or why not.
    state: String,
    home_of: Vec<String>,
    hub_of: Vec<String>,
    replications: u64,
}

#[derive(Debug, Serialize)]
struct List {
    clusters: Vec<Shown>,
}

pub(super) async fn run(args: ListArgs, environment: &Environment) -> Result<ExitCode, Error> {
    let (operators, known) = args.operator.read(environment).await?;
    let plan = plan(&known.clusters(), &known.regions());
    let mut clusters = Vec::new();
    for cluster in known.clusters() {
        clusters.push(shown(&operators, &known, &plan, cluster).await);
    }
    let list = List { clusters };
    Ok(if args.json { print_json(&list) } else { print_table(&table(&list)) })
}

async fn shown(operators: &Operators, known: &Known, plan: &Plan, cluster: Cluster) -> Shown {
    let name = cluster.name.clone();
    let seen = match operators.clusters.get(Some(&name)) {
        Some(client) => Some(inspect(&name, client, Some(&cluster)).await),
        None => None,
    };
    let (state, version) = match seen {
        None => ("not entered".to_owned(), None),
        Some(Ok(Inspected { version, warnings, .. })) => {
            warnings.iter().for_each(|warning| say(&format!("blitz: {warning}")));
            ("ok".to_owned(), Some(version))
        }
        Some(Err(SetupError::Silent { .. })) => ("no answer".to_owned(), None),
        Some(Err(error)) => {
            say(&format!("blitz: {error}"));
            ("refused".to_owned(), None)
        }
    };
    let regions = known.regions();
    let home_of = regions.iter().filter(|one| one.home.as_ref() == Some(&name));
    let hub_of = regions.iter().filter(|one| one.hubs.contains(&name));
    Shown {
        state,
        version,
        home_of: home_of.map(|one| one.name.clone()).collect(),
        hub_of: hub_of.map(|one| one.name.clone()).collect(),
        replications: plan.running(&name),
        url: cluster.url,
        uuid: cluster.uuid,
        copies: cluster.copies,
        name,
    }
}

fn table(list: &List) -> String {
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    let row = |one: &Shown| {
        [
            one.name.clone(),
            one.url.clone(),
            or_dash(one.version.clone()),
            or_dash(one.copies.map(|copies| copies.to_string())),
            one.state.clone(),
            one.replications.to_string(),
            list_or_dash(&one.home_of),
            list_or_dash(&one.hub_of),
        ]
    };
    let rows: Vec<_> = list.clusters.iter().map(row).collect();
    columns(
        ["NAME", "URL", "VERSION", "COPIES", "STATE", "REPLICATIONS", "HOME-OF", "HUB-OF"],
        &rows,
    )
}
