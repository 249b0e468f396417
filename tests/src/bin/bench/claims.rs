//! Claims, measured from the outside: what a job costs when many engines want it, how soon a silent engine's
//! job is another's, how soon feeds are back, and what an idle engine costs.
//!
//!     cargo run --release -p blitz-tests --bin bench -- claims [races|herd|rescue|feeds|idle]
//!
//! The store is the embedded one, a process of its own on disk. [`races`] and [`rescue`] have many engines in
//! this process, each a [`contender`]: the real feed, contest and claim over real HTTP, and no plugin runtime.
//! [`herd`] is simulated. [`feeds`] are the real ones, [`idle`] are processes of `blitz engine`.

mod contender;
mod feeds;
mod herd;
mod idle;
mod races;
mod rescue;
mod site;

use std::process::ExitCode;

use tokio::runtime::Builder;

use crate::parts;
use crate::sample::say;

/// What can be measured, in the order in which it is.
const PARTS: [&str; 5] = ["races", "herd", "rescue", "feeds", "idle"];

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
            _ => idle::measure().await,
        }
    }
}
