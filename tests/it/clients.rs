//! Clients of the CouchDB protocol that nobody here wrote, run against the embedded store as a process:
//! PouchDB, nano, ibmcloudant and rouchdb.
//!
//! The scripts are in `tests/clients` and `tests/peers`; each ends with `N checks passed`. They run with
//! `BLITZ_TEST_CLIENTS=1`, once `.ci/clients` has installed what they need, and are skipped without it.
//! With `BLITZ_TEST_COUCHDB=http://NAME:PASSWORD@HOST:PORT` they ask that server.
#![expect(clippy::print_stdout, reason = "the counts are for who reads the tests' output")]

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

/// What a client does takes seconds; a client that hangs ends with a message.
const LIMIT: Duration = Duration::from_secs(180);

#[tokio::test]
async fn pouchdb_replicates_both_ways() {
    passes(node("pouchdb.js"), 40).await;
}

#[tokio::test]
async fn nano_does_all_that_it_can() {
    passes(node("nano.js"), 45).await;
}

#[tokio::test]
async fn ibmcloudant_does_what_it_does_with_couchdb() {
    let python = root().join("tests/clients/.venv/bin/python");
    passes([python.into(), script("cloudant.py")], 60).await;
}

#[tokio::test]
async fn rouchdb_replicates_both_ways() {
    passes([root().join("target/peers/debug/rouchdb-peer").into()], 12).await;
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ is in the workspace").to_owned()
}

fn script(name: &str) -> OsString {
    root().join("tests/clients").join(name).into()
}

fn node(name: &str) -> [OsString; 2] {
    [OsString::from("node"), script(name)]
}

/// Runs a client; it must pass `checks_min` checks at least, so that a script that checks nothing is noticed.
async fn passes<const N: usize>(command: [OsString; N], checks_min: usize) {
    if std::env::var("BLITZ_TEST_CLIENTS").as_deref() != Ok("1") {
        println!("skipped: BLITZ_TEST_CLIENTS=1 runs it, after .ci/clients");
        return;
    }
    let (url, _server) = server().await;
    let mut client = Command::new(&command[0]);
    client.args(&command[1..]).arg(&url).stdin(Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(LIMIT, client.output()).await;
    let output = output.unwrap_or_else(|_| panic!("{command:?} did not end in {LIMIT:?}"));
    let output = output.unwrap_or_else(|e| panic!("run {command:?} (see .ci/clients): {e}"));
    let said = String::from_utf8_lossy(&output.stdout);
    let trouble = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?} {}\n{said}\n{trouble}", output.status);
    let last = said.lines().last().unwrap_or_default();
    let checks = last.strip_suffix(" checks passed").and_then(|count| count.parse::<usize>().ok());
    assert!(checks.is_some_and(|checks| checks >= checks_min), "{command:?} ended with {last:?}");
    println!("{last}");
}

/// The server to ask: one of its own for each client, ended when the handle is dropped.
async fn server() -> (String, Option<Child>) {
    if let Ok(url) = std::env::var("BLITZ_TEST_COUCHDB") {
        return (url, None);
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_embedded"));
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().expect("the server starts");
    let mut said = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    let url = said.next_line().await.expect("text").expect("the server says where it listens");
    (url, Some(child))
}
