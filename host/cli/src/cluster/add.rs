//! `blitz cluster add`: a cluster's document everywhere, and the control database in it.

use std::collections::BTreeMap;

use blitz_couchdb::Client;
use blitz_jobs::cluster::Clusters;
use blitz_jobs::setup::{Applied, Operators, clusters};
use clap::Args;

use super::operate::{Error, OperatorArgs, described, done, warn};
use crate::clusters::without_credentials;
use crate::environment::Environment;
use crate::exit_code::ExitCode;
use crate::list::print_table;
use crate::run::say;

/// `blitz cluster add`.
#[derive(Args)]
pub(crate) struct AddArgs {
    /// What it is called in regions' documents and in the clusters file
    name: String,
    /// How gateways, engines and other clusters reach it: http://HOST:PORT [default: as this command does]
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// Take another server that answers there for this cluster: the former one was wiped or replaced
    #[arg(long)]
    renew: bool,
    #[command(flatten)]
    operator: OperatorArgs,
}

impl std::fmt::Debug for AddArgs {
    /// Without the URL, which may have a password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = f.debug_struct("AddArgs");
        shown.field("name", &self.name).field("renew", &self.renew);
        shown.field("operator", &self.operator).finish_non_exhaustive()
    }
}

pub(super) async fn run(args: AddArgs, environment: &Environment) -> Result<ExitCode, Error> {
    let AddArgs { name, url, renew, operator } = args;
    let mut operators = operator.enter(environment).await?;
    let mut shown = None;
    if let Some(url) = &url {
        let (without, credentials) = without_credentials(url).map_err(Error::Url)?;
        shown = Some(without);
        if credentials.is_some() && operators.clusters.get(Some(&name)).is_none() {
            operators = with(operators, &name, url)?;
        }
        if credentials.is_some() {
            say(&format!(
                "blitz: name and password were left out of the document of cluster '{name}'; who shall enter it has \
                 them below [{name}] of its clusters file"
            ));
        }
    }
    let shown = match (shown, operators.clusters.get(Some(&name))) {
        (Some(shown), _) => shown,
        (None, Some(client)) => client.address().to_owned(),
        (None, None) => String::new(),
    };
    let added = clusters::add(&operators, &name, &shown, renew).await?;
    warn(&added.applied);
    let what = match (added.is_new, added.applied.steps.is_empty()) {
        (true, _) => "added",
        (false, false) => "changed",
        (false, true) => "unchanged:",
    };
    let mut text = format!("{what} cluster {name}\n");
    if added.applied != Applied::default() {
        let cluster = &added.cluster;
        let copies = cluster.copies.map_or_else(|| "-".to_owned(), |copies| copies.to_string());
        text.push_str(&described(&[
            ("url".to_owned(), cluster.url.clone()),
            ("uuid".to_owned(), cluster.uuid.clone().unwrap_or_else(|| "-".to_owned())),
            ("copies".to_owned(), copies),
        ]));
        text.push_str(&done(&added.applied));
    }
    for note in &added.notes {
        text.push_str(&format!("{note}\n"));
    }
    Ok(print_table(&text))
}

/// The same with one cluster more, as its address says.
fn with(operators: Operators, name: &str, url: &str) -> Result<Operators, Error> {
    let failed = |source| Error::Client { name: name.to_owned(), source };
    let client = Client::new(url).map_err(failed)?;
    let Some(own) = operators.clusters.own() else { return Ok(operators) };
    let others = operators.clusters.all().filter_map(|(other, client)| {
        let other = other.filter(|other| *other != own)?;
        Some((other.to_owned(), client.clone()))
    });
    let mut others: BTreeMap<String, Client> = others.collect();
    others.insert(name.to_owned(), client);
    let mut names = operators.names.clone();
    names.insert(name.to_owned());
    let clusters = Clusters::new(own, operators.clusters.near().clone(), others);
    Ok(Operators { clusters, names })
}
