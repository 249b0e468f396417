//! `bench`: the project's figures, each beside its floor or a peer from the same run.
//!
//!     cargo run --release -p blitz-tests --bin bench -- road
//!     cargo run --release -p blitz-tests --bin bench -- store
//!     cargo run --release -p blitz-tests --bin bench -- plugins [COMPONENT..]
//!     cargo run --release -p blitz-tests --bin bench -- paths [speed|accuracy|crowd]
//!     cargo run --release -p blitz-tests --bin bench -- rush [cost|stall|memory|merging|own]
//!     cargo run --release -p blitz-tests --bin bench -- gateway
//!     cargo run --release -p blitz-tests --bin bench -- claims [races|herd|rescue|feeds|idle|regions]
//!     cargo run --release -p blitz-tests --bin bench -- reconcile
//!
//! Under the name `blitz` this binary is the program itself: one build serves stories, benches and what they
//! measure.

mod capture;
mod claims;
mod crowd;
mod exchange;
mod gateway;
mod netns;
mod parts;
mod paths;
mod peer;
mod plugins;
mod reconcile;
mod road;
mod rush;
mod sample;
mod store;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut args = std::env::args();
    let called = args.next().unwrap_or_default();
    if called.rsplit('/').next() == Some("blitz") {
        return blitz::main();
    }
    match args.next().as_deref() {
        Some("road") => road::run(),
        Some("plugins") => plugins::run(args.map(PathBuf::from).collect()),
        Some("paths") => paths::run(&args.collect::<Vec<_>>()),
        // A compiler, when `plugins` compiles as an engine does.
        Some(blitz_runtime::CHILD) => blitz::child_main(args.map(OsString::from)),
        Some("claims") => claims::run(&args.collect::<Vec<_>>()),
        Some("reconcile") => reconcile::run(&args.collect::<Vec<_>>()),
        Some("gateway") => gateway::run(&args.collect::<Vec<_>>()),
        Some("rush") => rush::run(&args.collect::<Vec<_>>()),
        Some(rush::SERVER) => rush::server(&args.collect::<Vec<_>>()),
        Some(rush::BARE) => rush::bare(&args.collect::<Vec<_>>()),
        Some("store") => store::run(&args.collect::<Vec<_>>()),
        Some(store::server::WORD) => store::server::run(&args.collect::<Vec<_>>()),
        Some(peer::WORD) => peer::run(),
        Some(blitz_tests::net::path::wire::WORD) => netns::wire(&args.collect::<Vec<_>>()),
        Some(blitz_tests::net::path::forger::WORD) => netns::forger(&args.collect::<Vec<_>>()),
        Some(blitz_tests::net::path::labels::WORD) => netns::labels(&args.collect::<Vec<_>>()),
        Some("netns-server") => netns::server(&args.collect::<Vec<_>>()),
        Some("netns-guests") => netns::guests(&args.collect::<Vec<_>>()),
        Some("netns-probe") => netns::probe(&args.collect::<Vec<_>>()),
        other => {
            let asked = other.unwrap_or("nothing");
            sample::say(&format!(
                "bench: no bench {asked:?}; there are: claims, gateway, paths, plugins, reconcile, road, rush, store"
            ));
            ExitCode::from(2)
        }
    }
}
