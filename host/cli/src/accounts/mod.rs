//! Tenants and what is theirs, as a gateway tells it: who one is (`whoami`), `tenants`, `keys`, `plans`, `usage`, `targets` and the
//! `audit`. A file for each command; what they may do the gateway decides.
//!
//! `blitz keys` alone is `blitz keys list`, and so with the others. Data goes to stdout, a table or with `--json` the gateway's
//! answer; a new key stands there alone, so that a script can take it.

pub(crate) mod whoami;
pub(crate) mod tenants;
pub(crate) mod keys;
pub(crate) mod plans;
pub(crate) mod usage;
pub(crate) mod targets;
pub(crate) mod audit;

use blitz_jobs::accounts::{NAME_CHARS_MAX, is_name};
use clap::{Args, Subcommand};
use http::Method;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::api::{Error, Gateway};
use crate::exit_code::ExitCode;
use crate::list::{print_json, print_table};

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum AccountCommand {
    /// Say who you are at the gateway
    Whoami(AskArgs),
    /// List, make and revoke API keys
    Keys(keys::KeysArgs),
    /// List tenants, make and remove them, change their plans
    Tenants(tenants::TenantsArgs),
    /// List what plans allow, and change it
    Plans(plans::PlansArgs),
    /// Show what a tenant has used of its plan
    Usage(usage::UsageArgs),
    /// List the hosts that load may go to, and prove that they are yours
    Targets(targets::TargetsArgs),
    /// Show who did what
    Audit(audit::AuditArgs),
}

/// Does it.
pub(crate) async fn run(command: AccountCommand, gateway: &Gateway) -> Result<ExitCode, Error> {
    match command {
        AccountCommand::Whoami(args) => whoami::run(args, gateway).await,
        AccountCommand::Keys(args) => keys::run(args, gateway).await,
        AccountCommand::Tenants(args) => tenants::run(args, gateway).await,
        AccountCommand::Plans(args) => plans::run(args, gateway).await,
        AccountCommand::Usage(args) => usage::run(args, gateway).await,
        AccountCommand::Targets(args) => targets::run(args, gateway).await,
        AccountCommand::Audit(args) => audit::run(args, gateway).await,
    }
}

impl AccountCommand {
    /// Its common flags.
    pub(crate) fn ask(&self) -> &AskArgs {
        match self {
            Self::Whoami(ask) => ask,
            Self::Keys(args) => &args.ask,
            Self::Tenants(args) => &args.ask,
            Self::Plans(args) => &args.ask,
            Self::Usage(args) => &args.ask,
            Self::Targets(args) => &args.ask,
            Self::Audit(args) => &args.ask,
        }
    }

    /// What it is called.
    pub(crate) fn what(&self) -> &'static str {
        match self {
            Self::Whoami(_) => "blitz whoami",
            Self::Keys(_) => "blitz keys",
            Self::Tenants(_) => "blitz tenants",
            Self::Plans(_) => "blitz plans",
            Self::Usage(_) => "blitz usage",
            Self::Targets(_) => "blitz targets",
            Self::Audit(_) => "blitz audit",
        }
    }
}

/// Flags of all of these commands, before or behind what is to be done.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct AskArgs {
    /// The gateway's answer as JSON
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// The gateway; its key stands in BLITZ_TOKEN, or 'blitz login' kept it [env: BLITZ_HOST]
    #[arg(long, value_name = "URL", global = true)]
    pub(crate) host: Option<String>,
}

/// Fetches something and shows it.
async fn show<T: DeserializeOwned>(
    gateway: &Gateway,
    json: bool,
    path: &str,
    table: impl Fn(&T) -> String,
) -> Result<ExitCode, Error> {
    let answer = gateway.ask(Method::GET, path, None).await?;
    if json {
        return Ok(print_json(&answer));
    }
    Ok(print_table(&table(&gateway.read_answer(&answer)?)))
}

/// That a right was taken back, and what people were told of it.
#[derive(Debug, Deserialize)]
struct Revoked {
    #[serde(default)]
    reason: String,
}

impl Revoked {
    /// `revoked: lost`.
    fn state(&self, word: &str) -> String {
        match self.reason.as_str() {
            "" => word.to_owned(),
            reason => format!("{word}: {reason}"),
        }
    }
}

/// Tells that something was done: in a line, or as the gateway told it.
fn done(json: bool, answer: &Value, line: &str) -> ExitCode {
    if json { print_json(answer) } else { print_table(&format!("{line}\n")) }
}

/// A reason, where one was given.
fn with_reason(reason: &str) -> Value {
    if reason.is_empty() { serde_json::json!({}) } else { serde_json::json!({"reason": reason}) }
}

/// The name of a tenant, a user or a plan, looked at before anybody is asked.
pub(crate) fn name(text: &str) -> Result<String, String> {
    match is_name(text) {
        true => Ok(text.to_owned()),
        false => Err(format!("use 1 to {NAME_CHARS_MAX} of a-z, 0-9 and -, a letter first")),
    }
}
