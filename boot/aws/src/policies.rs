//! `blitz-boot iam` and `blitz-boot cloudformation`: what the administrator of an account sets up once. AWS is not asked.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use blitz_boot_core::bundle::Channel;
use blitz_boot_core::cloudformation;
use blitz_boot_core::iam::{self, Policy, Scope};
use blitz_boot_core::user_data::value::{Account, AwsRegion, Bucket, Prefix};
use blitz_boot_core::user_data::{self, USER_DATA_BYTES_MAX};
use clap::{Args, Subcommand, ValueEnum};
use serde_json::Value;

use crate::failure::Failure;
use crate::stdout::print;

/// The flags of `iam`.
#[derive(Debug, Args)]
pub(crate) struct IamArgs {
    /// Whose policy: the machines', of who scales and reconciles, of a web tier that only launches, of who publishes
    #[arg(value_enum)]
    policy: PolicyWord,
    /// The account, 12 digits
    #[arg(long, value_name = "ID")]
    account: Account,
    /// The bucket of the bundles
    #[arg(long, value_name = "NAME")]
    bucket: Bucket,
    /// What keys in the bucket begin with
    #[arg(long, value_name = "TEXT", default_value = "engines")]
    prefix: Prefix,
    /// The channel that engines follow: stable or canary
    #[arg(long, value_name = "NAME", default_value = "stable")]
    channel: Channel,
    /// The fleet
    #[arg(long, value_name = "NAME", default_value = "main")]
    fleet: String,
    /// The regions of AWS in which it may have machines; a policy has room for about 20
    #[arg(long = "place", value_name = "NAME", value_delimiter = ',', required = true)]
    places: Vec<AwsRegion>,
    /// The name of the machines' role
    #[arg(long, value_name = "NAME", default_value = "blitz-engine")]
    engine_role: String,
    /// The part of AWS that the account is in
    #[arg(long, value_enum, value_name = "NAME", default_value_t = PartitionWord::Aws)]
    partition: PartitionWord,
}

/// Parts of AWS, which have nothing in common.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum PartitionWord {
    /// Almost all regions
    Aws,
    /// China
    AwsCn,
    /// The US government
    AwsUsGov,
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
        partition: match args.partition {
            PartitionWord::Aws => "aws",
            PartitionWord::AwsCn => "aws-cn",
            PartitionWord::AwsUsGov => "aws-us-gov",
        }
        .to_owned(),
        account: args.account.to_string(),
        bucket: args.bucket.to_string(),
        prefix: args.prefix.to_string(),
        channel: args.channel.name().to_owned(),
        fleet: args.fleet,
        regions: args.places.iter().map(ToString::to_string).collect(),
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
    /// What 'blitz-boot user-data' printed for machines of EC2
    #[arg(long, value_name = "FILE")]
    user_data: PathBuf,
}

/// Prints a template.
pub(crate) fn stack(stack: Stack) -> Result<(), Failure> {
    match stack {
        Stack::Account => show(&cloudformation::account()),
        Stack::Region(RegionArgs { user_data: path }) => {
            let bytes =
                read(&path).map_err(|source| Failure::File { path: path.clone(), source })?;
            // What is not text is none of ours either.
            let text = String::from_utf8_lossy(&bytes);
            user_data::check_of_ec2(&text).map_err(|cause| Failure::UserData { path, cause })?;
            show(&cloudformation::region(&text))
        }
    }
}

/// Reads a file, and of a long one as much as shows that it is too long.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    let max = u64::try_from(USER_DATA_BYTES_MAX).unwrap_or(u64::MAX);
    let mut bytes = Vec::new();
    File::open(path)?.take(max.saturating_add(1)).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn show(value: &Value) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(value)
        .map_err(|error| Failure::Output(io::Error::other(error)))?;
    print(&format!("{text}\n"))
}
