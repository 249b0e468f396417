//! `blitz cluster`: the CouchDBs that regions have their home in. It talks to them directly, as an administrator.
//!
//! `operate` is what `blitz region` does so, too: who may, and how what was done is told.

mod add;
mod list;
pub(crate) mod operate;

use clap::Subcommand;

use crate::environment::Environment;
use crate::exit_code::ExitCode;
use operate::Error;

/// What to do with clusters.
#[derive(Debug, Subcommand)]
pub(crate) enum ClusterAction {
    /// Add a cluster, or change its address
    Add(add::AddArgs),
    /// List the clusters, and how they are
    List(list::ListArgs),
}

/// Does it.
pub(crate) async fn run(
    action: ClusterAction,
    environment: &Environment,
) -> Result<ExitCode, Error> {
    match action {
        ClusterAction::Add(args) => add::run(args, environment).await,
        ClusterAction::List(args) => list::run(args, environment).await,
    }
}
