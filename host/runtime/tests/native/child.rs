//! The program of a child, for tests: nothing but the runtime's second life, with a small load worker.

#[path = "../load/worker.rs"]
mod worker;

use std::process::ExitCode;

use blitz_runtime::{ChildWork, child_main_with};

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    match arguments.next() {
        Some(word) if word == blitz_runtime::CHILD => {
            child_main_with(arguments, ChildWork { load: Some(worker::worker) })
        }
        _ => ExitCode::FAILURE,
    }
}
