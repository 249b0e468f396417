//! `explore`: every order of events of three engines, a keeper and one job.
//!
//!     cargo run --release -p blitz-tests --bin explore -- [--mutant NAME]

use std::io;
use std::process::ExitCode;

use blitz_simulation::explore::command;

fn main() -> io::Result<ExitCode> {
    command::run(std::env::args().skip(1), &mut io::stdout().lock()).map(ExitCode::from)
}
