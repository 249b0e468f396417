//! `blitz plugin yank`: takes a published version back, in all regions and for good.

use crate::environment::Environment;
use crate::exit_code::ExitCode;
use crate::plugin::Error;
use crate::plugin::label::{Label, gateway};
use crate::run::print;

/// `blitz plugin yank`.
#[derive(Debug, clap::Args)]
pub(crate) struct YankArgs {
    /// The version, as hops@0.1.0
    #[arg(value_name = "NAME@VERSION")]
    label: Label,
    /// Why, for those who ask for it
    #[arg(long, value_name = "TEXT", default_value = "")]
    reason: String,
    /// The gateway; its token stands in BLITZ_TOKEN [env: BLITZ_HOST]
    #[arg(long, value_name = "URL")]
    host: Option<String>,
}

pub(crate) async fn run(args: YankArgs, environment: &Environment) -> Result<ExitCode, Error> {
    let gateway = gateway("blitz plugin yank", args.host.as_deref(), environment)?;
    let Label { name, version } = &args.label;
    let marked = gateway.yank(name, version, &args.reason).await?;
    Ok(print(&match marked.new {
        true => format!("yanked {}: no job gets it any more; jobs that run go on\n", marked.plugin),
        false => format!("yanked before: {}\n", marked.plugin),
    }))
}
