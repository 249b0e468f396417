//! Probes, measured on paths of network namespaces: how soon traceroute knows them, beside Debian's tools on the same
//! path in the same run; how true its times are, held against the packets themselves; and a hundred at once.
//!
//!     cargo run --release -p blitz-tests --bin bench -- paths [speed|accuracy|crowd]
//!
//! All of it needs root and `ip`; [`speed`] needs Debian's `traceroute` and `mtr-tiny`, [`accuracy`] `tcpdump`.

mod accuracy;
mod crowd;
mod speed;
mod truth;

use std::path::PathBuf;
use std::process::ExitCode;

use blitz_tests::net::path::Path;
use tokio::runtime::Builder;

use crate::parts;
use crate::sample::say;

/// What can be measured, in the order in which it is.
const PARTS: [&str; 3] = ["speed", "accuracy", "crowd"];

/// Routers of the path; the destination is one hop more.
const ROUTERS: u8 = 11;

/// Routers of it that say nothing.
const SILENT: [u8; 3] = [3, 7, 8];

/// The link that takes time, and how much in milliseconds each way.
const SLOW_LINK: u8 = 2;
const SLOW_MS: u64 = 10;

/// Runs the parts that were asked for, all of them when none was.
pub(crate) fn run(asked: &[String]) -> ExitCode {
    if let Some(refused) = parts::unknown("paths", &PARTS, asked) {
        return refused;
    }
    parts::block_on(&mut Builder::new_multi_thread(), measure(asked))
}

async fn measure(asked: &[String]) {
    for part in PARTS.into_iter().filter(|part| parts::is_wanted(part, asked)) {
        say("");
        match part {
            "speed" => speed::measure().await,
            "accuracy" => accuracy::measure().await,
            _ => crowd::measure().await,
        }
    }
}

fn carrier() -> PathBuf {
    std::env::current_exe().expect("the path of this program")
}

/// Waits until the engine on the source runs `traceroute`.
async fn wait_until_ready(path: &Path) {
    let target = blitz_tests::net::path::hop(1, blitz_tests::net::path::Family::V4);
    blitz_tests::until("an engine with traceroute", || async {
        let outcome = path.blitz(&["traceroute", "-r", "local", "-n", "-I", &target]).await;
        (outcome.code == Some(0)).then_some(())
    })
    .await;
}
