//! AWS for engines that appear by themselves: EC2 as a [provider](blitz_boot_core::provider) of machines, S3 for what they
//! load, and the program `blitz-boot`.
//!
//! Read [`access`] first, then [`ec2`] and [`s3`]; `refusals` says what each error of AWS means and what to do. A command of
//! the program has a file of its own, beginning with `instances`; `commands` knows them all, and none of them knows it.
//!
//! *Invariants:* the crates of AWS end here. What is done with machines is decided in `blitz-boot-core`, from lists that are
//! whole.

pub mod access;
pub mod ec2;
pub mod s3;
pub mod shelf;

mod commands;
mod bundles;
mod channels;
mod user_data;
mod policies;
mod rounds;
mod machine;
mod instances;
mod fleet_file;
mod stdout;
mod failure;
mod refusals;
mod text;

use std::ffi::OsString;
use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::Parser as _;

use crate::failure::Failure;

/// The program `blitz-boot`, with the words of its command line.
#[must_use]
pub fn main(words: impl IntoIterator<Item = OsString>) -> ExitCode {
    match start(words) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            tell(&failure);
            failure.code()
        }
    }
}

fn start(words: impl IntoIterator<Item = OsString>) -> Result<(), Failure> {
    let cli = commands::Cli::try_parse_from(words)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(Failure::Start)?.block_on(commands::run(cli))
}

/// Says why. Nothing can be done when that cannot be written; the exit code stays.
fn tell(failure: &Failure) {
    drop(match failure {
        // To stdout what was asked for, with colours of its own.
        Failure::Clap(error) => error.print(),
        failure => writeln!(io::stderr().lock(), "blitz-boot: {failure}"),
    });
}
