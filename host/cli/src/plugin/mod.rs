//! `blitz plugin`: what authors and operators of plugins do. A file for each command.
//!
//! Authors: `new`, `build`, `run`, `test`, `check`, `inspect`. Publishers: `key`, `publish`, `promote`, `yank`,
//! `list`. Operators: `trust`. `sdk` is what `new` and `build` unpack, `language` what they know.

mod language;
mod sdk;
mod new;
mod build;
mod file;
mod local;
mod run;
mod test;
mod contents;
mod elf;
mod check;
mod inspect;
mod publish;
mod promote;
mod list;
mod yank;
mod trust;
mod key;
pub(crate) mod label;

use clap::Subcommand;

use crate::api;
use crate::environment::Environment;
use crate::exit_code::ExitCode;
use crate::{locate, stack};

/// What to do with plugins.
#[derive(Debug, Subcommand)]
pub(crate) enum PluginAction {
    /// Make a plugin's first files in a new directory
    New(new::NewArgs),
    /// Build the plugin of this directory to one file
    Build(build::BuildArgs),
    /// Run a plugin file in the local sandbox, without a server
    Run(run::RunArgs),
    /// Run a plugin's recorded cases in the local sandbox
    Test(test::TestArgs),
    /// Say what a plugin file can do, read from its own imports
    Check(check::CheckArgs),
    /// Show a plugin file's manifest, size, digest and rights
    Inspect(inspect::InspectArgs),
    /// Publish a plugin file: from then on every engine can run it
    Publish(publish::PublishArgs),
    /// Let all regions have a version that was published to some
    Promote(promote::PromoteArgs),
    /// List all published versions
    List(list::ListArgs),
    /// Take a published version back
    Yank(yank::YankArgs),
    /// Let the engines of this machine believe a publisher's key
    Trust(trust::TrustArgs),
    /// Show your own publisher's key
    Key(key::KeyArgs),
}

/// Why it was not done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The command line, or a file that it names, is not right.
    #[error("{0}")]
    Usage(String),
    /// It was tried and did not work.
    #[error("{0}")]
    Failed(String),
    /// A command that needs a gateway that goes on.
    #[error(
        "{what} needs a gateway: start one with 'blitz up', name one with --host URL, or enter one with 'blitz login'"
    )]
    NoGateway { what: &'static str },
    /// No gateway could be found.
    #[error(transparent)]
    Locate(#[from] locate::Error),
    /// The gateway.
    #[error(transparent)]
    Api(#[from] api::Error),
    /// What runs in this process.
    #[error(transparent)]
    Stack(#[from] stack::Error),
}

/// The key of the user's own plugins, which is made when there is none.
pub(crate) fn own_key(
    environment: &Environment,
) -> Result<blitz_jobs::plugin::PublicKey, key::KeyError> {
    let path = key::path(None, environment)?;
    Ok(key::own(&path)?.public())
}

/// Does it.
pub(crate) async fn run(
    action: PluginAction,
    environment: &Environment,
) -> Result<ExitCode, Error> {
    match action {
        PluginAction::New(args) => new::run(args, environment).await,
        PluginAction::Build(args) => build::run(args, environment).await,
        PluginAction::Run(args) => run::run(args, environment).await,
        PluginAction::Test(args) => test::run(args, environment).await,
        PluginAction::Check(args) => check::run(args, environment).await,
        PluginAction::Inspect(args) => inspect::run(args, environment).await,
        PluginAction::Publish(args) => publish::run(args, environment).await,
        PluginAction::Promote(args) => promote::run(args, environment).await,
        PluginAction::List(args) => list::run(args, environment).await,
        PluginAction::Yank(args) => yank::run(args, environment).await,
        PluginAction::Trust(args) => trust::run(args, environment).await,
        PluginAction::Key(args) => key::run(args, environment).await,
    }
}
