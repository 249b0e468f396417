//! `chaos`: the whole system as real processes, in trouble, and whether a job was lost or ran twice.
//!
//!     cargo run --release -p blitz-tests --bin chaos -- --faults 200 --jobs 1000
//!     cargo run --release -p blitz-tests --bin chaos -- --soak 20 --jobs 50000
//!     cargo run --release -p blitz-tests --bin chaos -- --cuts 50
//!
//! `flags` has the page of `--help`, with the rules of the verdict. `site` starts everything: `process` is one child,
//! `part` what it does. `work` is a job and how it is submitted, `followed` all jobs of a run, `fault` makes trouble,
//! `chance` is the seed's; `witness` and `claims` see what happens, outside of blitz and in the store. `run` joins them,
//! `verdict` judges, `table` prints. `soak` is the run without faults, `resident` what it watches; `cuts` is
//! the run over several places whose ways to each other are cut.
//!
//! Under the name `blitz` this binary is the program itself, and under the words of `part` an engine, a gateway or a
//! machine.

mod chance;
mod claims;
mod cuts;
mod fault;
mod flags;
mod followed;
mod part;
mod process;
mod resident;
mod run;
mod site;
mod soak;
mod table;
mod verdict;
mod witness;
mod work;

use std::ffi::OsString;
use std::process::ExitCode;

use flags::{Asked, Flags, HELP};
use table::say;
use tempfile::TempDir;
use tokio::signal::unix::{SignalKind, signal};

/// After ^C, as a shell expects it.
const INTERRUPTED: u8 = 130;

fn main() -> ExitCode {
    let mut args = std::env::args();
    let called = args.next().unwrap_or_default();
    if called.rsplit('/').next() == Some("blitz") {
        return blitz::main();
    }
    let words: Vec<String> = args.collect();
    match words.first().map(String::as_str) {
        // A compiler, of an engine.
        Some(blitz_runtime::CHILD) => {
            return blitz::child_main(words.into_iter().skip(1).map(OsString::from));
        }
        Some(part::ENGINE) => return part::engine(&words[1..]),
        Some(part::MACHINE) => return part::machine(&words[1..]),
        Some(part::GATEWAY) => return part::gateway(&words[1..]),
        _ => {}
    }
    match flags::parse(&words) {
        Ok(Asked::Help) => {
            say(HELP);
            ExitCode::SUCCESS
        }
        Ok(Asked::Run(flags)) => start(&flags),
        Err(wrong) => {
            table::progress(&wrong);
            ExitCode::from(2)
        }
    }
}

fn start(flags: &Flags) -> ExitCode {
    // Before the first thread: all are to be where this one is.
    let network = match flags.cuts.map(|count| Ok((count, cuts::network()?))).transpose() {
        Ok(network) => network,
        Err(error) => {
            let error: String = error;
            table::progress(&error);
            return ExitCode::FAILURE;
        }
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let directory = TempDir::with_prefix("blitz-chaos-");
    let (runtime, directory) = match (runtime, directory) {
        (Ok(runtime), Ok(directory)) => (runtime, directory),
        (Err(error), _) | (_, Err(error)) => {
            table::progress(&format!("cannot start: {error}"));
            return ExitCode::FAILURE;
        }
    };
    let ended = runtime.block_on(async {
        let asked_to_end = async {
            match (signal(SignalKind::interrupt()), signal(SignalKind::terminate())) {
                (Ok(mut interrupt), Ok(mut terminate)) => tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                },
                _ => std::future::pending().await,
            }
        };
        let runs = async {
            match (network, flags.soak) {
                (Some((count, wan)), _) => cuts::run(flags, count, wan, directory.path()).await,
                (None, Some(lasts)) => soak::run(flags, lasts, directory.path()).await,
                (None, None) => run::run(flags, directory.path()).await,
            }
        };
        tokio::select! {
            ended = runs => Some(ended),
            () = asked_to_end => None,
        }
    });
    // With it go the tasks, and with them the processes.
    drop(runtime);
    let (code, is_kept) = match ended {
        Some(Ok(true)) => (ExitCode::SUCCESS, flags.keep),
        Some(Ok(false)) => (ExitCode::FAILURE, true),
        Some(Err(error)) => {
            table::progress(&error);
            (ExitCode::FAILURE, true)
        }
        None => (ExitCode::from(INTERRUPTED), flags.keep),
    };
    if is_kept {
        table::progress(&format!("store and logs are in {}", directory.keep().display()));
    }
    code
}
