//! A team at a real gateway: an operator, an admin, a pipeline, and what each of them may and may not.

use std::io::Write as _;
use std::process::Stdio;

use crate::blitz::{Blitz, Ran};
use crate::up::{Up, hello};

/// Runs what must do, and gives what it says.
#[track_caller]
fn done(blitz: &Blitz, line: &str) -> String {
    let ran = blitz.run_alone(line);
    assert_eq!(ran.code, Some(0), "blitz {line}: {ran:?}");
    ran.stdout
}

/// Runs what is refused, and gives the reason.
#[track_caller]
fn refused(blitz: &Blitz, line: &str) -> String {
    let ran = blitz.run_alone(line);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(122), ""), "blitz {line}: {ran:?}");
    ran.stderr
}

/// Logs in with what `blitz keys add` printed.
#[track_caller]
fn log_in(blitz: &Blitz, url: &str, key: &str) -> Ran {
    assert!(key.starts_with("blitz_") && key.lines().count() == 1, "alone on stdout: {key}");
    let mut command = blitz.command(None, &format!("login --host {url}"));
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(key.as_bytes()).unwrap();
    let ran = Ran::from(child.wait_with_output().unwrap());
    assert_eq!(ran.code, Some(0), "{ran:?}");
    ran
}

#[test]
fn a_team_is_made_works_within_its_plan_and_is_ended() {
    let (operator, ann, pipeline) = (Blitz::new(), Blitz::new(), Blitz::new());
    let _up = Up::start(&operator, "up --listen 127.0.0.1:0");
    let state = operator.directory().join(".local/state/blitz/up.json");
    let state: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(state).unwrap()).unwrap();
    let url = state["gateway"].as_str().unwrap().to_owned();
    assert!(done(&operator, "whoami").starts_with("the operator\n"));
    done(&operator, "plans set team --jobs-per-hour 2 --jobs-at-once 5");
    done(&operator, "plans set team --engines-per-run 3");
    let plans = done(&operator, "plans");
    assert!(plans.contains("jobs per hour"), "what is not named stays: {plans}");
    done(&operator, "tenants add acme --plan team");
    done(&operator, "tenants set acme --plan-until 30d");
    let tenants = done(&operator, "tenants");
    assert!(tenants.contains("acme  team  in 30 days  ok"), "{tenants}");

    let key = done(&operator, "keys add --tenant acme --user ann --admin");
    let said = log_in(&ann, &url, &key).stderr;
    assert_eq!(said, format!("blitz: logged in at {url} as ann of acme\n"));
    let hello = hello();
    assert_eq!(done(&ann, &format!("curl {hello}")), "hello\n");
    assert!(done(&ann, "whoami").contains("all; admin"));

    // A key that may do less, with an end.
    let key = done(&ann, "keys add --user ci --plugins ping --expires 30d --label nightly");
    let said = log_in(&pipeline, &url, &key).stderr;
    assert!(said.contains("as ci of acme; the key ends in 30 days\n"), "{said}");
    let text = refused(&pipeline, &format!("curl {hello}"));
    assert!(text.contains("curl"), "{text}");
    let text = refused(&pipeline, "keys add --user eve");
    assert!(text.contains("admin"), "{text}");

    // The plan: one more, and as many again when the hour of the clock turns meanwhile.
    let line = format!("curl {hello}");
    let over = (0..4).map(|_| ann.run_alone(&line)).find(|ran| ran.code != Some(0)).unwrap();
    assert_eq!((over.code, over.stdout.as_str()), (Some(122), ""), "{over:?}");
    assert!(over.stderr.contains("free again in "), "{over:?}");
    let usage = done(&ann, "usage");
    let jobs = usage.lines().find(|line| line.starts_with("jobs per hour")).unwrap();
    let cells: Vec<&str> = jobs.split_whitespace().collect();
    assert_eq!(cells[3..5], ["2", "2"], "{usage}");
    assert!(jobs.contains("  in "), "when there is room again: {usage}");

    // Rights end.
    let keys = done(&ann, "keys list");
    let of_ci = keys.lines().find(|line| line.contains(" ci ")).unwrap();
    assert!(of_ci.contains("plugins ping") && of_ci.contains("nightly"), "{keys}");
    done(&ann, &format!("keys revoke {} --reason lost", of_ci.split(' ').next().unwrap()));
    let text = refused(&pipeline, "regions");
    assert!(text.contains("'blitz login' kept") && text.contains("lost"), "{text}");
    refused(&ann, "tenants add other");
    let ran = operator.run_alone("tenants remove acme");
    assert_eq!(ran.code, Some(2), "not without --yes: {ran:?}");
    done(&operator, "tenants remove acme --yes --reason unpaid");
    let text = refused(&ann, "regions");
    assert!(text.contains("unpaid"), "{text}");
    assert!(done(&operator, "tenants").contains("removed: unpaid"));
}
