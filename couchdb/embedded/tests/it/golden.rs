//! What a real Apache CouchDB answered, replayed: `tests/golden` has the scenarios and their replayer.
//!
//! It runs on a server on disk and on one in memory, or on the server of `BLITZ_TEST_COUCHDB` (with an
//! administrator in the URL; `BLITZ_TEST_JWT_SECRET` is its key for tokens, without it `jwt` is left
//! out). Without a Python 3 that has its standard library it is skipped, unless `BLITZ_TEST_GOLDEN=1`.
#![expect(clippy::print_stdout, reason = "the totals are for who reads the tests' output")]

use crate::client::Server;
use blitz_embedded::{Admin, Options, Storage, TokenAlgorithm, TokenKey};
use serde_json::Value;
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Command,
};

/// What is not answered, on purpose: the scenario, the step that must say so with 501, and why. The
/// steps after it stand on it.
const NOT_ANSWERED: &[(&str, usize, &str)] =
    &[("db-partitioned", 1, "one machine has one shard: a partition would make nothing faster")];

/// The key of the tokens in the scenario `jwt`.
const JWT_SECRET: &str = "blitz-lab-secret";

/// The scenario that lists the ways to log in, tokens among them: a server without a key for tokens fails it.
const KNOWS_TOKENS: &str = "session";

/// Scenarios at a time: most wait for feeds.
const JOBS: &str = "8";

/// As many steps as there are at least, so that a replay of nothing is noticed.
const STEPS_MIN: usize = 1200;

#[tokio::test(flavor = "multi_thread")]
async fn golden_in_memory() {
    if named().is_none() {
        replay_ours(Storage::Memory).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn golden_on_disk() {
    let directory = tempfile::tempdir().unwrap();
    match named() {
        None => replay_ours(Storage::Directory(directory.path().into())).await,
        Some(url) => {
            let secret = std::env::var("BLITZ_TEST_JWT_SECRET").unwrap_or_default();
            let without_tokens = secret.is_empty();
            let failed = replay(url, secret).await;
            let mut failed = failed.unwrap_or_default();
            if without_tokens {
                failed.remove(KNOWS_TOKENS);
            }
            let left: Vec<_> = failed.iter().filter(|(_, steps)| !steps.is_empty()).collect();
            assert!(left.is_empty(), "what was recorded is not what is answered: {left:?}");
        }
    }
}

/// The server to ask instead of ours.
fn named() -> Option<String> {
    std::env::var("BLITZ_TEST_COUCHDB").ok().filter(|url| !url.is_empty())
}

async fn replay_ours(storage: Storage) {
    let admins = vec![Admin { name: String::from("admin"), password: String::from("pw") }];
    let token_keys = vec![TokenKey {
        id: String::from("_default"),
        algorithm: TokenAlgorithm::Hmac,
        key: JWT_SECRET.into(),
    }];
    let server = Server::start(storage, Options { admins, token_keys, ..Options::default() }).await;
    let url = format!("http://admin:pw@{}", server.address);
    let failed = replay(url, String::from(JWT_SECRET)).await;
    server.stop().await;
    if let Some(failed) = failed {
        let complaints = complaints(&failed);
        assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
    }
}

/// The steps of a scenario that failed, with the status that came.
type Failed = BTreeMap<String, BTreeMap<usize, u64>>;

/// What is in the table and is not seen, and what is seen and is not in the table.
fn complaints(failed: &Failed) -> Vec<String> {
    let mut complaints = Vec::new();
    for (name, steps) in failed {
        let refused = NOT_ANSWERED.iter().find(|(scenario, ..)| scenario == name);
        if let Some((_, step, why)) = refused {
            let first = steps.iter().next();
            if first != Some((step, &501)) {
                complaints.push(format!("{name} #{step} is to be 501 ({why}), but {first:?}"));
            }
        } else if !steps.is_empty() {
            complaints.push(format!("{name} fails at {steps:?} (step: status); see above"));
        }
    }
    let names = NOT_ANSWERED.iter().map(|(name, ..)| name);
    for name in names.filter(|name| !failed.contains_key(**name)) {
        complaints.push(format!("there is no scenario {name}: take it out of the table"));
    }
    complaints
}

/// Replays everything on the server at `url`; None when this machine cannot.
async fn replay(url: String, secret: String) -> Option<Failed> {
    let report = tempfile::NamedTempFile::new().unwrap();
    let path = report.path().to_owned();
    let replayed = tokio::task::spawn_blocking(move || run(&url, &secret, &path)).await.unwrap();
    if let Err(missing) = replayed {
        assert_ne!(std::env::var("BLITZ_TEST_GOLDEN").as_deref(), Ok("1"), "{missing}");
        println!("skipped: {missing}");
        return None;
    }
    let report: Value = serde_json::from_slice(&std::fs::read(report.path()).unwrap()).unwrap();
    let count = |name: &str| usize::try_from(report[name].as_u64().unwrap()).unwrap();
    let steps = count("passed") + count("failed");
    assert!(steps >= STEPS_MIN, "only {steps} steps were replayed");
    let scenarios = report["scenarios"].as_object().unwrap();
    let failures = |scenario: &Value| {
        let steps = scenario["failed"].as_object().unwrap();
        steps
            .iter()
            .map(|(step, status)| (step.parse().unwrap(), status.as_u64().unwrap()))
            .collect()
    };
    Some(scenarios.iter().map(|(name, scenario)| (name.clone(), failures(scenario))).collect())
}

/// Runs the replayer and shows what it says; an error when there is nothing to run it with.
fn run(url: &str, secret: &str, report: &Path) -> Result<(), String> {
    let script: PathBuf =
        [env!("CARGO_MANIFEST_DIR"), "tests", "golden", "replay.py"].iter().collect();
    let python = || {
        let mut command = Command::new("python3");
        command.arg(&script);
        command
    };
    let listed = python().arg("--list").output();
    if !listed.as_ref().is_ok_and(|listed| listed.status.success()) {
        return Err(format!("there is no python3 with its standard library: {listed:?}"));
    }
    let mut replay = python();
    replay.args([url, "--jobs", JOBS, "--jwt-secret", secret, "--json"]).arg(report);
    let output = replay.output().map_err(|error| error.to_string())?;
    println!("{}", String::from_utf8_lossy(&output.stdout));
    println!("{}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}
