//! Whole command lines: what plan the host is given, and what the user reads.

mod ends;
mod grammar;
mod plans;
mod robust;

use std::time::Duration;

use blitz_plugin::load::Plan;
use blitz_plugin::testing::{self, FakeHost, FakeLoad, Ran};

use crate::Rush;

/// A host that has time for everything, and a load test in which one request is answered.
fn host() -> FakeHost {
    let load = FakeLoad::default().second(&[(200, 1000, 1)]);
    FakeHost::default().time(Duration::from_secs(100 * 3600)).loads(load)
}

/// Runs a command line whose words stand between spaces; `_` in a word is one.
fn run_on(line: &str, host: FakeHost) -> Ran {
    let words: Vec<String> = line.split(' ').map(|word| word.replace('_', " ")).collect();
    let words: Vec<&str> =
        words.iter().map(String::as_str).filter(|word| !word.is_empty()).collect();
    testing::run!(Rush, words, host)
}

/// The plan of a command line, as JSON.
fn plan(line: &str) -> serde_json::Value {
    plan_on(line, host())
}

fn plan_on(line: &str, host: FakeHost) -> serde_json::Value {
    let ran = run_on(line, host);
    assert_eq!((ran.status, ran.stderr().as_str()), (0, ""), "{line}");
    assert_eq!(ran.stdout(), "", "it prints nothing");
    let plan: &Plan = &ran.host.plans[0];
    assert_eq!(plan.check(), Ok(()), "{line}");
    serde_json::to_value(plan).unwrap()
}

/// What is said of a command line that does not fit.
fn refused(line: &str) -> String {
    refused_on(line, host())
}

fn refused_on(line: &str, host: FakeHost) -> String {
    let ran = run_on(line, host);
    assert_eq!((ran.status, ran.stdout().as_str()), (2, ""), "{line}: {}", ran.stderr());
    assert!(ran.host.plans.is_empty(), "{line}");
    ran.stderr()
}
