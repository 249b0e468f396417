//! `blitz-boot iam` and `blitz-boot cloudformation`: what the administrator of an account sets up once. AWS is not asked.

use std::io;
use std::path::PathBuf;

use blitz_boot_core::cloudformation;
use blitz_boot_core::iam::{self, Policy, Scope};
use clap::{Args, Subcommand, ValueEnum};
use serde_json::Value;

use crate::commands::print;
use crate::failure::Failure;

/// The flags of `iam`.
#[derive(Debug, Args)]
pub(crate) struct IamArgs {
    /// Whose policy: the machines', of who scales and reconciles, of a web tier that only launches, of who publishes
    #[arg(value_enum)]
    policy: PolicyWord,
    /// The account, 12 digits
    #[arg(long, value_name = "ID")]
    account: String,
    /// The bucket of the bundles
    #[arg(long, value_name = "NAME")]
    bucket: String,
    /// What keys in the bucket begin with
    #[arg(long, value_name = "TEXT", default_value = "engines")]
    prefix: String,
    /// The channel that engines follow
    #[arg(long, value_name = "NAME", default_value = "stable")]
    channel: String,
    /// The fleet
    #[arg(long, value_name = "NAME", default_value = "main")]
    fleet: String,
    /// The regions of AWS in which it may have machines; a policy has room for about 20
    #[arg(long = "place", value_name = "NAME", value_delimiter = ',', required = true)]
    places: Vec<String>,
    /// The name of the machines' role
    #[arg(long, value_name = "NAME", default_value = "blitz-engine")]
    engine_role: String,
    /// aws, aws-cn or aws-us-gov
    #[arg(long, value_name = "NAME", default_value = "aws")]
    partition: String,
}

/// Policies as words.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum PolicyWord {
    Engine,
    Scaler,
    Web,
    Publisher,
}

/// Prints a policy.
pub(crate) fn iam(args: IamArgs) -> Result<(), Failure> {
    let policy = match args.policy {
        PolicyWord::Engine => Policy::Engine,
        PolicyWord::Scaler => Policy::Scaler,
        PolicyWord::Web => Policy::Web,
        PolicyWord::Publisher => Policy::Publisher,
    };
    let scope = Scope {
        partition: args.partition,
        account: args.account,
        bucket: args.bucket,
        prefix: args.prefix,
        channel: args.channel,
        fleet: args.fleet,
        regions: args.places,
        engine_role: args.engine_role,
    };
    show(&iam::render(policy, &scope).map_err(Failure::Scope)?)
}

/// The templates.
#[derive(Debug, Subcommand)]
pub(crate) enum Stack {
    /// Bucket, roles and policies; one stack in one region of the account
    Account,
    /// The launch template; a stack in each region of AWS with machines
    Region(RegionArgs),
}

/// The flags of `cloudformation region`.
#[derive(Debug, Args)]
pub(crate) struct RegionArgs {
    /// What `blitz-boot user-data` printed
    #[arg(long, value_name = "FILE")]
    user_data: PathBuf,
}

/// Prints a template.
pub(crate) fn stack(stack: Stack) -> Result<(), Failure> {
    match stack {
        Stack::Account => show(&cloudformation::account()),
        Stack::Region(RegionArgs { user_data: path }) => {
            let text =
                std::fs::read_to_string(&path).map_err(|source| Failure::File { path, source })?;
            show(&cloudformation::region(&text))
        }
    }
}

fn show(value: &Value) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(value)
        .map_err(|error| Failure::Output(io::Error::other(error)))?;
    print(&format!("{text}\n"))
}
