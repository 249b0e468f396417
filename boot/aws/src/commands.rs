//! The words of `blitz-boot` as clap types, and which command runs. A command has a file of its own.

use clap::{Args, Parser, Subcommand};

use crate::access::Access;
use crate::failure::Failure;
use crate::{bundles, channels, instances, machine, policies, rounds, user_data};

/// Engines that appear by themselves: their machines, what they load, and what they may.
#[derive(Debug, Parser)]
#[command(
    name = "blitz-boot",
    bin_name = "blitz-boot",
    version,
    disable_help_subcommand = true,
    arg_required_else_help = true,
    after_help = AFTER_HELP
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) aws: AwsArgs,
    #[command(subcommand)]
    pub(crate) command: Command,
}

const AFTER_HELP: &str = "\
Credentials are found as by all tools of AWS: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY,
a profile, the role of the machine.

Exit codes: 1 failed on this machine, or in a round that went on, 2 usage or a mistake in the fleet file,
122 refused: by AWS (credentials, a right, a quota, no room), or by 'publish' and 'promote', as other bytes
are there already or somebody else moved the channel, 125 AWS or the store unreachable, without an answer,
or the store refuses. A closed pipe is 0.";

/// How AWS is reached.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "AWS")]
pub(crate) struct AwsArgs {
    /// Another end point than AWS's, of all services: a test server, another S3
    #[arg(long, value_name = "URL", global = true)]
    pub(crate) endpoint_url: Option<String>,
    /// The profile of ~/.aws/config [env: AWS_PROFILE]
    #[arg(long, value_name = "NAME", global = true)]
    pub(crate) profile: Option<String>,
}

impl AwsArgs {
    fn access(self) -> Access {
        let Self { endpoint_url, profile } = self;
        Access { endpoint_url, profile, ..Access::default() }
    }
}

/// What can be done.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make and show the key that signs what machines run
    #[command(subcommand)]
    Key(bundles::Key),
    /// Make a bundle of a program and plugins, signed, in a directory
    Bundle(bundles::BundleArgs),
    /// Put a bundle where machines find it; nothing that is there is overwritten
    Publish(bundles::PublishArgs),
    /// Let a channel point at a published bundle
    Promote(channels::PromoteArgs),
    /// Let a channel point at the bundle before the one of now
    Rollback(channels::MoveArgs),
    /// List what a channel points at and pointed at before
    History(channels::HistoryArgs),
    /// Print what a machine is told at its first boot
    UserData(user_data::UserDataArgs),
    /// Print a policy of AWS
    Iam(policies::IamArgs),
    /// Print a template of CloudFormation
    #[command(subcommand)]
    Cloudformation(policies::Stack),
    /// Keep a fleet: launch and drain engines, and end what is neither machine nor engine
    Run(rounds::RoundsArgs),
    /// Launch and drain engines only
    Scale(rounds::RoundsArgs),
    /// End what is neither machine nor engine only
    Reconcile(rounds::RoundsArgs),
    /// List the fleet's machines as EC2 tells of them
    Instances(instances::InstancesArgs),
    /// Be a machine of --provider netns, which starts it
    #[command(name = machine::NAME, hide = true)]
    Machine(machine::MachineArgs),
}

/// Runs the program with these words.
///
/// # Errors
///
/// What ended the command early; [`Failure::code`] is its exit code.
pub(crate) async fn run(cli: Cli) -> Result<(), Failure> {
    let access = cli.aws.access();
    match cli.command {
        Command::Key(key) => bundles::key(key),
        Command::Bundle(args) => bundles::bundle(args).await,
        Command::Publish(args) => bundles::publish(&access, args).await,
        Command::Promote(args) => channels::promote(&access, args).await,
        Command::Rollback(args) => channels::rollback(&access, args).await,
        Command::History(args) => channels::history(&access, args).await,
        Command::UserData(args) => user_data::run(args),
        Command::Iam(args) => policies::iam(args),
        Command::Cloudformation(stack) => policies::stack(stack),
        Command::Run(args) => Box::pin(rounds::run(&access, args, (true, true))).await,
        Command::Scale(args) => Box::pin(rounds::run(&access, args, (false, true))).await,
        Command::Reconcile(args) => Box::pin(rounds::run(&access, args, (true, false))).await,
        Command::Instances(args) => instances::run(&access, &args).await,
        Command::Machine(args) => machine::run(args).await,
    }
}
