//! `blitz plugin promote`: lets all regions have a version that was published to some.

use crate::environment::Environment;
use crate::exit_code::ExitCode;
use crate::plugin::Error;
use crate::plugin::label::{Label, gateway};
use crate::run::print;

/// `blitz plugin promote`.
#[derive(Debug, clap::Args)]
pub(crate) struct PromoteArgs {
    /// The version, as hops@0.1.0
    #[arg(value_name = "NAME@VERSION")]
    label: Label,
    /// The gateway; its token stands in BLITZ_TOKEN [env: BLITZ_HOST]
    #[arg(long, value_name = "URL")]
    host: Option<String>,
}

pub(crate) async fn run(args: PromoteArgs, environment: &Environment) -> Result<ExitCode, Error> {
    let gateway = gateway("blitz plugin promote", args.host.as_deref(), environment)?;
    let Label { name, version } = &args.label;
    let marked = gateway.promote(name, version).await?;
    Ok(print(&match marked.new {
        true => format!("promoted {}: all regions may run it\n", marked.plugin),
        false => format!("promoted before: {}\n", marked.plugin),
    }))
}
