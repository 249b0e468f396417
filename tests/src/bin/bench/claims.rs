//! Claims, measured from the outside: what a job costs when many engines want it, how soon a silent engine's
//! job is another's, how soon feeds are back, what an idle engine costs, and what regions over several clusters do.
//!
//!     cargo run --release -p blitz-tests --bin bench -- claims [races|herd|rescue|feeds|idle|regions]
//!
//! The store is the embedded one, a process of its own on disk. [`races`] and [`rescue`] have many engines in
//! this process, each a [`contender`]: the real feed, contest and claim over real HTTP, and no plugin runtime.
//! [`herd`] is simulated. [`feeds`] are the real ones, [`idle`] are processes of `blitz engine`; [`regions`] has three
//! stores that replicate.

mod contender;
mod feeds;
mod herd;
mod idle;
mod races;
mod regions;
mod rescue;
pub(crate) mod site;

use std::process::ExitCode;

use tokio::runtime::Builder;

use crate::parts;
use crate::sample::say;

/// What can be measured, in the order in which it is.
const PARTS: [&str; 6] = ["races", "herd", "rescue", "feeds", "idle", "regions"];

/// Runs the parts that were asked for, all of them when none was.
pub(crate) fn run(asked: &[String]) -> ExitCode {
    if let Some(refused) = parts::unknown("claims", &PARTS, asked) {
        return refused;
    }
    parts::block_on(&mut Builder::new_multi_thread(), measure(asked))
}

async fn measure(asked: &[String]) {
    for part in PARTS.into_iter().filter(|part| parts::is_wanted(part, asked)) {
        say("");
        match part {
            "races" => races::measure().await,
            "herd" => herd::measure(),
            "rescue" => rescue::measure().await,
            "feeds" => feeds::measure().await,
            "idle" => idle::measure().await,
            _ => regions::measure().await,
        }
    }
}
