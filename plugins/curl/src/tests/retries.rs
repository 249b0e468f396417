//! `--retry` and `--status`.

use blitz_plugin::testing::{CannedAnswer, FakeHost};
use blitz_plugin::web::{Failure, FailureKind};

use super::{curl, ok};

/// Ends a test that waits in vain: pauses are of a millisecond.
const RETRY: &str = "--retry-delay 1ms --retry";

fn status(status: u16) -> CannedAnswer {
    CannedAnswer::new(status, "Odd").piece(format!("{status};"))
}

fn refused() -> Failure {
    Failure::new(
        FailureKind::Connect,
        "Failed to connect to h port 80 after 0 ms: Connection refused",
    )
}

fn unreachable() -> Failure {
    Failure::new(
        FailureKind::Connect,
        "Failed to connect to h port 80 after 0 ms: No route to host",
    )
}

#[test]
fn what_may_pass_is_tried_again() {
    for (options, host, requests, code) in [
        ("2", FakeHost::default().answers(status(503)).answers(status(200)), 2, 0),
        ("2", FakeHost::default().answers(status(404)).answers(status(200)), 1, 0),
        ("1", FakeHost::default().answers(status(500)).answers(status(502)), 2, 0),
        ("1 -f", FakeHost::default().answers(status(429)).answers(status(408)), 2, 22),
        ("1 -f", FakeHost::default().answers(status(404)).answers(ok()), 1, 22),
        ("1 -f --retry-all-errors", FakeHost::default().answers(status(404)).answers(ok()), 2, 0),
        ("0", FakeHost::default().answers(status(503)), 1, 0),
        ("1", FakeHost::default().fails(failure(FailureKind::Timeout)).answers(ok()), 2, 0),
        ("1", FakeHost::default().fails(failure(FailureKind::Resolve)).answers(ok()), 2, 0),
        ("1", FakeHost::default().fails(failure(FailureKind::EmptyReply)).answers(ok()), 1, 52),
        ("1", FakeHost::default().fails(refused()).answers(ok()), 1, 7),
        ("1 --retry-connrefused", FakeHost::default().fails(refused()).answers(ok()), 2, 0),
        ("1 --retry-connrefused", FakeHost::default().fails(unreachable()).answers(ok()), 1, 7),
        ("1 --retry-all-errors", FakeHost::default().fails(unreachable()).answers(ok()), 2, 0),
        ("1 --retry-all-errors", FakeHost::default().fails(failure(FailureKind::Denied)), 1, 122),
        ("2 --status 200", FakeHost::default().answers(status(503)).answers(ok()), 2, 0),
        ("2 --status 503", FakeHost::default().answers(status(503)).answers(ok()), 1, 0),
        ("2 --status 200", FakeHost::default().answers(status(404)).answers(ok()), 1, 22),
    ] {
        let mut host = host;
        assert_eq!(curl(&format!("-s {RETRY} {options} h"), &mut host), code, "{options}");
        assert_eq!(host.requests.len(), requests, "{options}");
        let (kind, record) = host.events.last().unwrap();
        assert_eq!((kind.as_str(), &record["exit"]), ("transfer", &code.into()), "{options}");
        assert_eq!(record["retries_count"], requests - 1, "{options}");
    }
}

fn failure(kind: FailureKind) -> Failure {
    Failure::new(kind, "why")
}

#[test]
fn attempts_are_told() {
    let mut host =
        FakeHost::default().answers(status(503)).fails(failure(FailureKind::Timeout)).answers(ok());
    assert_eq!(curl(&format!("{RETRY} 5 h"), &mut host), 0);
    let expected = "\
Warning: Problem : HTTP error. Will retry in 0 seconds. 5 retries left.
curl: (28) why
Warning: Problem : timeout. Will retry in 0 seconds. 4 retries left.
";
    assert_eq!(host.stderr_text(), expected);
    assert_eq!(host.stdout_text(), "503;", "what was printed stays");
}

#[test]
fn a_file_holds_one_answer() {
    let mut host = FakeHost::default().answers(status(503)).answers(status(200));
    assert_eq!(curl(&format!("{RETRY} 1 -i -o f h"), &mut host), 0);
    assert_eq!(host.outputs["f"], b"HTTP/1.1 200 Odd\r\n\r\n200;");

    let mut host = FakeHost::default().answers(status(503)).answers(status(503));
    assert_eq!(curl(&format!("{RETRY} 1 -o f h"), &mut host), 0);
    assert_eq!(host.outputs["f"], b"503;", "the last one is shown");

    let broken = ok().piece("half").then_fails(failure(FailureKind::Timeout));
    let mut host = FakeHost::default().answers(broken).answers(ok());
    assert_eq!(curl(&format!("{RETRY} 1 -o f h"), &mut host), 28);
    assert_eq!(host.outputs["f"], b"half");
    let expected = "\
Warning: 4 bytes are in the file of -o, which cannot start over: no retry.
curl: (28) why
";
    assert_eq!(host.stderr_text(), expected);
}

#[test]
fn nobody_waits_longer_than_the_job() {
    let mut host = FakeHost::default().answers(status(503).header("Retry-After", "61"));
    assert_eq!(curl("--retry 3 h", &mut host), 0);
    let text =
        "Warning: The job's time would be over before the next retry; give more with --timeout.\n";
    assert_eq!((host.requests.len(), host.stderr_text().as_str()), (1, text));

    let mut host = FakeHost::default().answers(status(503).header("Retry-After", "9"));
    assert_eq!(curl("--retry 3 --retry-max-time 5 h", &mut host), 0);
    assert!(host.stderr_text().starts_with("Warning: The Retry-After: time"), "{host:?}");
}

#[test]
fn an_expected_status_is_asserted() {
    for (line, answered, code, stdout, text) in [
        ("--status 200 h", 200, 0, "200;", ""),
        ("--status 200 h", 503, 22, "503;", "curl: (22) expected 200, got 503\n"),
        ("--status 404 h", 404, 0, "404;", ""),
        ("--status 404 -f h", 404, 0, "404;", ""),
        ("--status 200 -f h", 404, 22, "", "curl: (22) expected 200, got 404\n"),
        ("--status 200 -s h", 404, 22, "404;", ""),
        ("--status 200 -sS h", 404, 22, "404;", "curl: (22) expected 200, got 404\n"),
    ] {
        let mut host = FakeHost::default().answers(status(answered));
        assert_eq!(curl(line, &mut host), code, "{line}");
        assert_eq!(host.stdout_text(), stdout, "{line}");
        assert_eq!(host.stderr_text(), text, "{line}");
    }
    let mut host = FakeHost::default().answers(super::redirect(302, "/x")).answers(status(200));
    assert_eq!(curl("-L --status 200 h", &mut host), 0, "the last one counts");
}
