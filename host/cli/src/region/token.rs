//! `blitz region token` and `blitz region revoke-engine`: the right of engines to join a region, and its end.

use std::time::Duration;

use crate::commands::parse_duration;
use crate::environment::Environment;
use crate::exit_code::ExitCode;
use crate::plugin;
use crate::plugin::label::gateway;
use crate::run::print;

/// `blitz region token`.
#[derive(Debug, clap::Args)]
pub(crate) struct TokenArgs {
    /// The region
    #[arg(value_name = "NAME")]
    name: String,
    /// How long it can be used: 10m, 1h
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = parse_duration)]
    expires: Duration,
    /// The engine that it is for [default: any that is new]
    #[arg(long, value_name = "ID")]
    engine: Option<String>,
    /// The gateway; its token stands in BLITZ_TOKEN [env: BLITZ_HOST]
    #[arg(long, value_name = "URL")]
    host: Option<String>,
}

/// `blitz region revoke-engine`.
#[derive(Debug, clap::Args)]
pub(crate) struct RevokeArgs {
    /// The engine's id
    #[arg(value_name = "ID")]
    engine: String,
    /// Why, for people
    #[arg(long, value_name = "TEXT", default_value = "")]
    reason: String,
    /// The gateway; its token stands in BLITZ_TOKEN [env: BLITZ_HOST]
    #[arg(long, value_name = "URL")]
    host: Option<String>,
}

/// Prints the token and nothing else, so that a script can take it.
pub(crate) async fn token(
    args: TokenArgs,
    environment: &Environment,
) -> Result<ExitCode, plugin::Error> {
    let gateway = gateway("blitz region token", args.host.as_deref(), environment)?;
    let made = gateway.join_token(&args.name, args.expires, args.engine.as_deref()).await?;
    Ok(print(&format!("{}\n", made.join_token)))
}

/// Takes an engine's right back, for good.
pub(crate) async fn revoke(
    args: RevokeArgs,
    environment: &Environment,
) -> Result<ExitCode, plugin::Error> {
    let gateway = gateway("blitz region revoke-engine", args.host.as_deref(), environment)?;
    let revoked = gateway.revoke_engine(&args.engine, &args.reason).await?;
    Ok(print(&match revoked.new {
        true => format!(
            "revoked {}: it gets no token any more; the one that it has ends within 10 min\n",
            revoked.engine
        ),
        false => format!("revoked before: {}\n", revoked.engine),
    }))
}
