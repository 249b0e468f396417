//! `blitz curl` beside the real curl: the same command lines against the same servers, and everything that a
//! script can see of them compared.
//!
//! A [`case`] is a command line. Its [`server`] gives one of the [`answers`]. [`run`] lets each of the two
//! programs do it in a directory of its own and notes what is seen; [`compare`] says where they differ.
//! [`known`] is the table of the differences that are meant, each with its reason; it is exact: what is not in
//! it fails the test, and what is in it and is not seen any more fails it, too.
//!
//! It is skipped where there is no such curl, unless `BLITZ_TEST_CURL=1` wants it.
//! `BLITZ_DIFFERENTIAL=TEXT` runs only the cases that contain the text.

mod case;
mod cases;
mod server;
mod answers;
mod certificates;
mod run;
mod compare;
mod known;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use blitz_tests::Home;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use case::Case;
use compare::Difference;
use known::Book;

/// The curl that the table of known differences was written for: others differ from this one.
const VERSION: &str = "curl 7.88.";

/// Cases at a time: more than there are cores, as some of them wait, and not so many that time limits pass.
const CONCURRENCY: usize = 10;

/// As many command lines as this story promises at least.
const CASES_MIN: usize = 300;

#[tokio::test(flavor = "multi_thread")]
async fn it_does_what_curl_does() {
    let curl = match real_curl() {
        Ok(curl) => curl,
        Err(missing) => {
            assert_ne!(std::env::var("BLITZ_TEST_CURL").as_deref(), Ok("1"), "{missing}");
            println!("skipped: {missing}");
            return;
        }
    };
    let only = std::env::var("BLITZ_DIFFERENTIAL").unwrap_or_default();
    let mut cases = cases::all();
    assert!(cases.len() >= CASES_MIN, "only {} cases", cases.len());
    cases.retain(|case| case.name.contains(&only));

    let started = Instant::now();
    let home = Arc::new(Home::new(Path::new(env!("CARGO_BIN_EXE_bench"))));
    let _up = home.up(&["--region", "local"]).await;
    let (turns, count) = (Arc::new(Semaphore::new(CONCURRENCY)), cases.len());
    let mut running = JoinSet::new();
    for case in cases {
        let (home, curl, turns) = (Arc::clone(&home), curl.clone(), Arc::clone(&turns));
        running.spawn(async move {
            let _turn = turns.acquire_owned().await.expect("nobody closes it");
            let differences = differences(&case, &curl, &home).await;
            (case, differences)
        });
    }
    let mut book = Book::default();
    let mut doubtful = Vec::new();
    while let Some(done) = running.join_next().await {
        let (case, differences) = done.expect("a case that ends");
        if case.has_time_limit() && !known::fits(&case, &differences) {
            doubtful.push(case);
        } else {
            book.note(&case, differences);
        }
    }
    // On a busy machine a time limit may pass beside others; what is so alone is so.
    for case in doubtful {
        println!("alone once more: {}", case.name);
        let differences = differences(&case, &curl, &home).await;
        book.note(&case, differences);
    }
    println!("{count} cases in {:.1} s", started.elapsed().as_secs_f64());
    let complaints = book.complaints(only.is_empty());
    assert!(
        complaints.is_empty(),
        "{} complaints:\n\n{}",
        complaints.len(),
        complaints.join("\n\n")
    );
}

async fn differences(case: &Case, curl: &Path, home: &Home) -> Vec<Difference> {
    let server = server::start(case.server).await;
    let theirs = run::real(case, curl, &server).await;
    let ours = run::blitz(case, home, &server).await;
    compare::differences(&theirs, &ours)
}

/// The curl to compare with, or why there is none.
fn real_curl() -> Result<PathBuf, String> {
    let curl = PathBuf::from("/usr/bin/curl");
    let said = std::process::Command::new(&curl).arg("--version").output();
    let said = said.map_err(|error| format!("there is no {}: {error}", curl.display()))?;
    let said = String::from_utf8_lossy(&said.stdout);
    if said.starts_with(VERSION) {
        return Ok(curl);
    }
    let version = said.lines().next().unwrap_or_default();
    Err(format!("{} is not {VERSION}x of Debian 12 but {version:?}", curl.display()))
}
