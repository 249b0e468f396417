//! `blitz doctor`: looks at everything that blitz stands on, changes nothing, and says what to do about what it finds.
//!
//! Read in this order: `finding` is what it says; `machine` looks at this one, `gateway` at the one that commands go to,
//! `cluster` at one CouchDB, `region` at the databases, designs and replications of one region and at its engines.

mod cluster;
mod finding;
mod gateway;
mod machine;
mod region;

use std::collections::BTreeMap;
use std::fmt;

use blitz_jobs::cluster::Cluster;
use blitz_jobs::read;
use blitz_jobs::region::{CONTROL, Region};
use blitz_jobs::setup::{Known, Operators};
use blitz_jobs::topology;
use clap::Args;

use crate::clusters::{ClusterArgs, Entered};
use crate::environment::Environment;
use crate::exit_code::ExitCode;
use crate::list::{print_json, print_table};
use crate::serve;
use finding::{Level, Part, Report};

/// `blitz doctor`.
#[derive(Args)]
pub(crate) struct DoctorArgs {
    /// The near store: http://HOST:PORT; with NAME:PASSWORD@ better in BLITZ_STORE [default: that of 'blitz up']
    #[arg(long, value_name = "URL")]
    store: Option<String>,
    #[command(flatten)]
    clusters: ClusterArgs,
    /// The gateway to look at; its token stands in BLITZ_TOKEN [env: BLITZ_HOST]
    #[arg(long, value_name = "URL")]
    host: Option<String>,
    /// What it finds as one JSON document
    #[arg(long)]
    json: bool,
    /// Only what is not as it should be
    #[arg(long)]
    quiet: bool,
}

impl fmt::Debug for DoctorArgs {
    /// Without the store, whose URL may have a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("DoctorArgs");
        shown.field("clusters", &self.clusters).field("host", &self.host).finish_non_exhaustive()
    }
}

/// Looks, and says what it found: 1 when something must be done.
pub(crate) async fn run(
    args: DoctorArgs,
    environment: &Environment,
) -> Result<ExitCode, serve::Error> {
    let mut report = Report::default();
    report.add(machine::look(environment));
    report.add(gateway::look(args.host.as_deref(), environment).await);
    match serve::enter(&args.clusters, args.store, environment).await {
        Ok(entered) => look(&entered, &mut report).await,
        // A machine where users sit has no store, and need not.
        Err(serve::Error::NoStore) => {
            let mut part = Part::new("stores");
            part.note(
                "none was named, so that none was looked at",
                "give --clusters FILE or --store URL",
            );
            report.add(part);
        }
        Err(error) => return Err(error),
    }
    let code = if report.worst() == Level::Bad { ExitCode::FAILURE } else { ExitCode::SUCCESS };
    if args.quiet {
        report.quiet();
    }
    let printed = match args.json {
        true => print_json(&report),
        false => print_table(&report.text()),
    };
    // A pipe that was closed is no finding.
    Ok(if printed == ExitCode::SUCCESS { code } else { printed })
}

/// Clusters first, then the regions in them.
async fn look(entered: &Entered, report: &mut Report) {
    if entered.clusters.own().is_none() {
        return look_at_one(entered, report).await;
    }
    let operators =
        Operators { clusters: entered.clusters.clone(), names: entered.operators.clone() };
    let known = match Known::read(&operators).await {
        Ok(known) => known,
        Err(error) => {
            let mut part = Part::new("stores");
            part.bad(&error.to_string(), "");
            return report.add(part);
        }
    };
    let (documents, regions) = (known.clusters(), known.regions());
    let plan = topology::plan(&documents, &regions);
    let mut reached = BTreeMap::new();
    for (name, client) in entered.clusters.all().filter_map(|(name, client)| Some((name?, client)))
    {
        let document = documents.iter().find(|one| one.name == name);
        let (part, answers) = cluster::look(name, client, document, entered, &plan).await;
        report.add(part);
        if answers {
            reached.insert(name, client);
        }
    }
    for document in documents.iter().filter(|one| entered.clusters.get(Some(&one.name)).is_none()) {
        report.add(not_entered(document));
    }
    for region in &regions {
        report.add(region::look(region, &regions, &plan, &reached, &entered.operators).await);
    }
}

/// One store without a name, as `blitz up` has it.
async fn look_at_one(entered: &Entered, report: &mut Report) {
    let store = entered.clusters.near();
    let plan = topology::Plan::default();
    let (mut part, answers) = cluster::look("store", store, None, entered, &plan).await;
    if !answers {
        return report.add(part);
    }
    let control = store.database(CONTROL);
    match read::list::<Region>(&control, read::range("region:", "region;")).await {
        Ok(found) => {
            report.add(part);
            let regions: Vec<Region> = found.into_iter().map(|(_, _, region)| region).collect();
            for region in &regions {
                report.add(region::look_alone(region, store).await);
            }
        }
        Err(error) => {
            part.bad(
                &format!("its regions cannot be read: {error}"),
                "start a gateway at it with '--region NAME', which makes what is missing",
            );
            report.add(part);
        }
    }
}

fn not_entered(document: &Cluster) -> Part {
    let mut part = Part::new(&format!("cluster {}", document.name));
    part.note(
        &format!("{}: not looked at, the clusters file does not say how to enter it", document.url),
        &format!("write user and password under [{}] of the clusters file", document.name),
    );
    part
}
