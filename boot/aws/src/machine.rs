//! `blitz-boot machine`: one instance of `--provider netns` from inside. Nobody types it.

use std::io::{self, Write as _};
use std::path::PathBuf;

use blitz_boot_core::netns::machine;
use clap::Args;

use crate::failure::Failure;

/// The name of the command.
pub(crate) const NAME: &str = "machine";

/// What the provider starts it with.
#[derive(Debug, Args)]
pub(crate) struct MachineArgs {
    /// The record of the instance
    record: PathBuf,
    /// The provider's region
    place: String,
    /// The engine
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true)]
    command: Vec<String>,
}

/// Is the machine until its engine has ended, and says in the instance's log how.
pub(crate) async fn run(args: MachineArgs) -> Result<(), Failure> {
    let ended = machine::run(&args.record, &args.place, &args.command).await?;
    // Its log may be full: the machine is off all the same.
    drop(writeln!(io::stderr().lock(), "blitz-boot: the engine has ended: {ended}"));
    Ok(())
}
