//! How a load test ends, and what the shell and the user are told.

use std::time::Duration;

use blitz_plugin::HostError;
use blitz_plugin::load::{Closing, ErrorKind, First, Share, Tick, Verdict};
use blitz_plugin::testing::{FakeHost, FakeLoad, Ran};

use super::run_on;

const LINE: &str = "-p 1-9:3 x";

fn host() -> FakeHost {
    FakeHost::default()
}

fn run(load: FakeLoad) -> Ran {
    run_on(LINE, host().loads(load))
}

fn closed(verdict: Verdict, text: &str) -> FakeLoad {
    let closing = Closing { share: Share::WHOLE, verdict, text: text.to_owned(), at_us: None };
    let mut load = FakeLoad::default().second(&[(200, 1000, 5)]);
    load.ticks.push(vec![Tick { second: 1, closing: Some(closing), ..Tick::default() }]);
    load
}

#[test]
fn a_share_that_was_carried_out_is_a_success() {
    let ran = run(FakeLoad::default().second(&[(200, 1000, 5)]).second(&[(500, 1000, 5)]));
    assert_eq!((ran.status, ran.stdout().as_str(), ran.stderr().as_str()), (0, "", ""));
    assert_eq!(ran.host.waited.get(), Duration::from_secs(2), "to its last tick");
    // An engine whose share of the users is none.
    assert_eq!(run(FakeLoad::default().second(&[])).status, 0);
    let mixed = FakeLoad::default().second(&[(200, 1000, 1)]).error(ErrorKind::Timeout, 99);
    assert_eq!(run(mixed).status, 0, "how many errors are too many is for --fail");
}

#[test]
fn without_an_answer_it_is_a_failure() {
    let ran = run(FakeLoad::default().error(ErrorKind::Connect, 7));
    assert_eq!(
        (ran.status, ran.stderr().as_str()),
        (1, "rush: not one of the requests was answered\n")
    );
    let mut load = FakeLoad::default().error(ErrorKind::Timeout, 1);
    let first = |at_ms, text: &str| First {
        kind: ErrorKind::Timeout,
        at_ms,
        users: 1,
        text: text.to_owned(),
    };
    load.ticks[0][0].firsts = vec![first(900, "later"), first(12, "connection refused")];
    let ran = run(load);
    assert_eq!(
        (ran.status, ran.stderr().as_str()),
        (1, "rush: the request was not answered: connection refused\n")
    );
}

#[test]
fn the_host_says_why_it_ended_early() {
    for (verdict, status, said) in [
        (Verdict::Revoked, 122, "refused by testing: the proof is gone"),
        (Verdict::Stopped, 1, "stopped before its end: the proof is gone"),
        (Verdict::Failed, 1, "a part of it is missing: the proof is gone"),
    ] {
        let ran = run(closed(verdict, "the proof is gone"));
        assert_eq!((ran.status, ran.stderr()), (status, format!("rush: {said}\n")), "{verdict:?}");
    }
    let ran = run(FakeLoad::default()
        .second(&[(200, 1, 1)])
        .then_fails(HostError::Failed("no worker".to_owned())));
    assert_eq!((ran.status, ran.stderr().as_str()), (1, "rush: no worker\n"));
}

#[test]
fn what_the_host_does_not_begin_is_told() {
    let why = || "why".to_owned();
    let refusals = [
        (HostError::Denied(why()), 122, "rush: refused by testing: why\n"),
        (HostError::Limit(why()), 2, "rush: why\n"),
        (HostError::Failed(why()), 1, "rush: why\n"),
    ];
    for (error, status, said) in refusals {
        let ran = run_on(LINE, host().no_load(error));
        assert_eq!((ran.status, ran.stderr().as_str()), (status, said));
    }
}

#[test]
fn a_plan_that_cannot_end_in_time_is_not_begun() {
    let time = |seconds| {
        host().time(Duration::from_secs(seconds)).loads(FakeLoad::default().second(&[(200, 1, 1)]))
    };
    let ran = run_on("-p 1-250:60 x", time(60));
    let said = "rush: the plan is 60 s long, and the job has 60 s left: blitz rush --timeout 120s gives it more (the time limit of one request is -T)\n";
    assert_eq!((ran.status, ran.stderr().as_str(), ran.host.plans.len()), (2, said, 0));
    assert_eq!(run_on("-p 1-250:60 x", time(62)).status, 0);
}

#[test]
fn a_job_that_is_asked_to_end_stops_its_test() {
    let load = (0..3).fold(FakeLoad::default(), |load, _| load.second(&[(200, 1000, 5)]));
    let stopped_at = load.stopped_at.clone();
    let ran = run_on(LINE, host().loads(load).cancelled_after(Duration::from_millis(1500)));
    assert_eq!(
        (ran.status, ran.stderr().as_str()),
        (1, ""),
        "the command line says that it was stopped"
    );
    assert!(
        ran.host.waited.get() < Duration::from_secs(2),
        "and it does not wait for the rest of the plan"
    );
    assert!(stopped_at.get().is_none_or(|at| at <= Duration::from_millis(1500)));
}

#[test]
fn a_test_that_says_nothing_ends_with_the_time_of_the_job() {
    // Nothing comes within the job's time.
    let silent = FakeLoad::new(vec![Vec::new(); 100]);
    let ran = run_on(LINE, host().time(Duration::from_secs(10)).loads(silent));
    assert_eq!(
        (ran.status, ran.stderr().as_str()),
        (1, "rush: the job's time is over, and the test is not\n")
    );
}
