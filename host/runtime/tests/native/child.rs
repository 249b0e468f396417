//! The program of a child, for tests: nothing but the runtime's second life.

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    match arguments.next() {
        Some(word) if word == blitz_runtime::CHILD => blitz_runtime::child_main(arguments),
        _ => ExitCode::FAILURE,
    }
}
