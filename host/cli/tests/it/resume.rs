//! A gateway that goes away while a job is followed.

use std::io::{BufRead as _, BufReader};

use crate::blitz::Blitz;
use crate::gateway::{Gateway, Stream, claimed, done, frame, restart, stdout};

#[test]
fn no_line_is_lost_or_doubled() {
    let first = [claimed(), stdout(0, "0\n"), stdout(1, "1\n")].concat();
    // A gateway may tell the state again, and chunks that it is not sure of.
    let second = [claimed(), stdout(1, "1\n"), stdout(2, "2\n")].concat();
    let third = [claimed(), stdout(3, "3\n"), done(4)].concat();
    let gateway = Gateway::new(&["japan"]).events(
        "japan",
        [Stream::Cut(first), Stream::Cut(second), Stream::Cut(String::new()), Stream::Cut(third)],
    );
    Blitz::new().run(&gateway, "probe x").check(4, "0\n1\n2\n3\n", "");
    let events: Vec<String> =
        gateway.requests().into_iter().filter(|r| r.contains("/events")).collect();
    let again = |last: &str| format!("GET /v1/jobs/japan-1-01/events{last}");
    assert_eq!(
        events,
        [again(""), again(" after 1.a1.1"), again(" after 1.a1.2"), again(" after 1.a1.2")]
    );
}

#[test]
fn a_takeover_that_was_missed_is_still_noticed() {
    let first = stdout(0, "first\n");
    let second = [restart(2), frame(2, 0, "stdout", "second\n"), done(0)].concat();
    let gateway =
        Gateway::new(&["japan"]).events("japan", [Stream::Cut(first), Stream::Open(second)]);
    let ran = Blitz::new().run(&gateway, "probe --buffer --quiet x");
    ran.check(0, "second\n", "");
}

#[test]
fn a_job_that_is_unknown_is_not_asked_for_again() {
    let gateway = Gateway::new(&["japan"]);
    let ran = Blitz::new().run(&gateway, "probe x");
    ran.check(125, "", "blitz probe: no job\n");
}

#[test]
fn a_gateway_that_does_not_answer_is_said_at_once() {
    let stream = Stream::UntilCancelled(stdout(0, "0\n"), stdout(1, "1\n"));
    let gateway = Gateway::new(&["japan"]).events("japan", [stream]);
    let mut child = Blitz::new().command(Some(&gateway), "probe x").spawn().unwrap();
    gateway.wait_for("GET /v1/jobs/japan-1-01/events");
    drop(gateway);
    let mut said = String::new();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    stderr.read_line(&mut said).unwrap();
    assert_eq!(said, "blitz probe: lost the gateway, trying for 30 s\n");
    child.kill().unwrap();
    child.wait().unwrap();
}
