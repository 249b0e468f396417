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

use crate::sample::say;

/// What can be measured, in the order in which it is.
const PARTS: [&str; 5] = ["races", "herd", "rescue", "feeds", "idle"];

/// Runs the parts that were asked for, all of them when none was.
pub(crate) fn run(parts: &[String]) -> ExitCode {
    if let Some(unknown) = parts.iter().find(|part| !PARTS.contains(&part.as_str())) {
        let known = PARTS.join(", ");
        say(&format!("bench: claims has no part {unknown:?}; there are: {known}"));
        return ExitCode::from(2);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    match runtime {
        Ok(runtime) => runtime.block_on(measure(parts)),
        Err(error) => {
            say(&format!("bench: no runtime: {error}"));
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

async fn measure(parts: &[String]) {
    for part in PARTS {
        if !parts.is_empty() && !parts.iter().any(|asked| asked == part) {
            continue;
        }
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
