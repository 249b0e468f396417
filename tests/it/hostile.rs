//! `blitz curl` against servers that do what no server should: each ends by a limit that has a name, within its
//! time, with memory flat, and the next job works at once.

mod terminal;
mod warm;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use blitz_tests::hostile::{self, Case, Pki, Server};
use tokio::sync::Mutex;
use tokio::task::JoinSet;
use warm::{Seen, Warm};

/// Cases of the table under way at once: most of them wait.
const CASES_AT_ONCE: usize = 6;
/// What the process with the engine may grow by over the whole table, which prints almost nothing.
const GROWTH_MAX_BYTES: u64 = 32 << 20;
/// After so many jobs an engine has the memory that it needs at any rate: caches, threads, arenas of the allocator.
const ORDINARY_JOBS_BEFORE: usize = 60;
/// An ordinary job beside or behind a hostile one has ended within this time, on a busy machine too.
const ORDINARY_MAX: Duration = Duration::from_secs(5);

#[tokio::test(flavor = "multi_thread")]
async fn every_hostile_server_is_ended_by_a_named_limit() {
    let pki = Pki::new();
    let warm = Warm::start(&pki).await;
    warm.busy(ORDINARY_JOBS_BEFORE).await;
    let before = warm.resident_bytes();
    let table: VecDeque<Case> = hostile::table(&pki).into();
    let (count, started) = (table.len(), Instant::now());
    let table = std::sync::Arc::new(Mutex::new(table));
    let mut workers = JoinSet::new();
    for _ in 0..CASES_AT_ONCE {
        let (warm, table) = (warm.clone(), table.clone());
        workers.spawn(async move {
            let mut done = Vec::new();
            loop {
                let Some(case) = table.lock().await.pop_front() else { return done };
                let (seen, mut found) = meet(&warm, &case).await;
                if let Err(problem) = warm.ordinary().await {
                    found.push(format!("behind it an ordinary job fails: {problem}"));
                }
                done.push((case, seen, found));
            }
        });
    }
    let done = workers.join_all().await.concat();
    let mut failures = Vec::new();
    let mut latest = (Duration::ZERO, "none");
    for (case, seen, found) in &done {
        latest = latest.max((seen.took.saturating_sub(case.limit), case.name));
        failures.extend(found.iter().map(|what| report(case, what, seen)));
    }
    let (after, peak) = (warm.resident_bytes(), warm.peak_bytes());
    println!(
        "{count} cases in {:.1?}, the latest {:.1?} behind its limit ({}); the engine's memory before {}, after {}, \
         at most {}",
        started.elapsed(),
        latest.0,
        latest.1,
        mib(before),
        mib(after),
        mib(peak)
    );
    if after.saturating_sub(before) > GROWTH_MAX_BYTES {
        failures.push(format!("the engine grew from {} to {}", mib(before), mib(after)));
    }
    assert_none(failures);
}

#[tokio::test(flavor = "multi_thread")]
async fn large_bodies_leave_the_memory_flat() {
    let memory = memory_of(hostile::bombs::plain()).await;
    println!("{}", memory.figures);
    assert_none(memory.failures);
}

#[tokio::test(flavor = "multi_thread")]
async fn compressed_bodies_leave_the_memory_flat() {
    let memory = memory_of(hostile::bombs::compressed()).await;
    println!("{}", memory.figures);
    assert_none(memory.failures);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_does_not_starve_the_neighbour() {
    let pki = Pki::new();
    let warm = Warm::start(&pki).await;
    let alone = latencies(&warm, 10).await;
    for name in
        ["SETTINGS without end", "PING without end", "interim answers without end, with a limit"]
    {
        let table = hostile::table(&pki);
        let case = table.into_iter().find(|case| case.name == name).expect("a case of this name");
        let server = Server::start(&case.script).await;
        let url = format!("{}://{}/", case.scheme, server.address);
        let flood = tokio::spawn({
            let warm = warm.clone();
            async move { warm.curl(&["-m", "3", &url].map(str::to_owned)).await }
        });
        let beside = latencies(&warm, 10).await;
        let is_under_way = !flood.is_finished();
        let ended = flood.await.expect("the flood's end");
        println!(
            "an ordinary job beside {name:?} (under way at the end: {is_under_way}, exit code {:?}): \
             median {:.1?}, at most {:.1?}; alone {:.1?}, {:.1?}",
            ended.code, beside.0, beside.1, alone.0, alone.1
        );
    }
}

/// What was seen of the engine's memory, a line for each case, and what was wrong.
struct Memory {
    figures: String,
    failures: Vec<String>,
}

/// One case after the other on one engine: the memory of each is its own.
async fn memory_of(cases: Vec<Case>) -> Memory {
    let warm = Warm::start(&Pki::new()).await;
    warm.busy(ORDINARY_JOBS_BEFORE).await;
    let (mut memory, mut failures) = (Vec::new(), Vec::new());
    for case in cases {
        warm.forget_peak();
        let before = warm.resident_bytes();
        let (seen, mut found) = meet(&warm, &case).await;
        let (after, peak) = (warm.resident_bytes(), warm.peak_bytes());
        memory.push(format!(
            "{}: {} after {:.1?}; the engine's memory before {}, at most {}, after {}",
            case.name,
            seen.end(),
            seen.took,
            mib(before),
            mib(peak),
            mib(after)
        ));
        if peak.saturating_sub(before) > case.growth_max_bytes {
            found.push(format!("the engine grew from {} to {}", mib(before), mib(peak)));
        }
        if let Err(problem) = warm.ordinary().await {
            found.push(format!("behind it an ordinary job fails: {problem}"));
        }
        failures.extend(found.into_iter().map(|what| report(&case, &what, &seen)));
    }
    Memory { figures: memory.join("\n"), failures }
}

/// The median and the largest time of ordinary jobs in a row.
async fn latencies(warm: &Warm, count: usize) -> (Duration, Duration) {
    let mut times = Vec::new();
    for _ in 0..count {
        times.push(warm.ordinary().await.expect("an ordinary job"));
    }
    times.sort();
    (times[count / 2], times[count - 1])
}

/// Runs a case, and says what is wrong with its end.
async fn meet(warm: &Warm, case: &Case) -> (Seen, Vec<String>) {
    let server = Server::start(&case.script).await;
    let seen = warm.curl(&case.words(server.address)).await;
    let mut wrong = Vec::new();
    match case.ends.iter().find(|end| Some(end.code) == seen.code) {
        None => {
            let codes: Vec<i32> = case.ends.iter().map(|end| end.code).collect();
            wrong.push(format!("exit code {:?} and not one of {codes:?}", seen.code));
        }
        Some(end) if !seen.stderr.contains(end.says) => {
            wrong.push(format!("does not say {:?}", end.says));
        }
        Some(_) => {}
    }
    if seen.code != Some(0) && seen.stderr.trim().is_empty() {
        wrong.push("says nothing".to_owned());
    }
    if case.prints.is_some_and(|bytes| bytes != seen.stdout) {
        wrong.push(format!("printed {:?}", String::from_utf8_lossy(&seen.stdout)));
    }
    if seen.took > case.within() {
        wrong.push(format!("ended only after {:.1?}", seen.took));
    }
    (seen, wrong)
}

fn report(case: &Case, what: &str, seen: &Seen) -> String {
    let said: String = seen.stderr.chars().take(300).collect();
    format!(
        "{}: {what}; {:?} {} after {:.1?}, stderr {said:?}",
        case.name,
        case.options,
        seen.end(),
        seen.took
    )
}

fn assert_none(failures: Vec<String>) {
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
}

fn mib(bytes: u64) -> String {
    format!("{} MiB", bytes >> 20)
}
