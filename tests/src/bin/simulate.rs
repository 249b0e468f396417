//! Simulates regions of engines over a model of CouchDB in trouble; `--help` tells how.

use std::io;
use std::process::ExitCode;

fn main() -> io::Result<ExitCode> {
    let mut out = io::stdout().lock();
    match blitz_simulation::world::command(std::env::args().skip(1), &mut out) {
        // Nobody reads on: a quiet end.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(ExitCode::SUCCESS),
        done => done.map(ExitCode::from),
    }
}
