//! One job in one region: requests, streams, exit codes.

use std::io::Write as _;
use std::process::Stdio;

use crate::blitz::Blitz;
use crate::gateway::{Gateway, Stream, claimed, done, end, frame, stdout};

#[test]
fn a_job_costs_three_requests() {
    let events = [claimed(), stdout(0, "hello\n"), frame(1, 1, "stderr", "talk\n"), done(0)];
    let gateway = Gateway::new(&["japan"]).events("japan", [Stream::Open(events.concat())]);
    let ran = Blitz::new().run(&gateway, "probe -r japan -s http://x");
    ran.check(0, "hello\n", "talk\n");
    assert_eq!(
        gateway.requests(),
        ["GET /v1/plugins/probe?regions=japan", "POST /v1/jobs", "GET /v1/jobs/japan-1-01/events"]
    );
    assert_eq!(
        gateway.submissions(),
        [serde_json::json!({
            "plugin": "probe", "version": "0.1.0", "args": ["-s", "http://x"],
            "regions": ["japan"], "engines": 1, "inputs": [], "detached": false,
        })]
    );
}

#[test]
fn globals_reach_the_gateway() {
    let gateway = Gateway::new(&["japan"]).events("japan", [Stream::Open(done(0))]);
    let line =
        "--engines 2 probe -r japan,ireland --timeout 2m --queue-timeout=500ms -- --json {} x";
    Blitz::new().run(&gateway, line).check(0, "", "");
    let submission = &gateway.submissions()[0];
    assert_eq!(submission["regions"], serde_json::json!(["japan", "ireland"]));
    assert_eq!(submission["engines"], 2);
    assert_eq!(submission["timeout_ms"], 120_000);
    assert_eq!(submission["queue_timeout_ms"], 500);
    assert_eq!(submission["args"], serde_json::json!(["--json", "{}", "x"]));
}

#[test]
fn the_exit_code_is_the_commands_own_or_ours() {
    for (data, code, stderr) in [
        (r#"{"state":"done","exit":{"status":0}}"#, 0, ""),
        (r#"{"state":"failed","exit":{"status":22}}"#, 22, ""),
        (
            r#"{"state":"expired","exit":null,"reason":"no engine took it in 10 s","chunks":null}"#,
            120,
            "blitz probe: no engine took it in 10 s\n",
        ),
        (
            r#"{"state":"failed","exit":{"stopped":{"timeout":"its 60 s are over"}}}"#,
            121,
            "blitz probe: its 60 s are over\n",
        ),
        (
            r#"{"state":"failed","exit":{"stopped":{"limit":"memory 64 MiB"}}}"#,
            122,
            "blitz probe: memory 64 MiB\n",
        ),
        (r#"{"state":"lost","exit":null,"reason":"e1 is gone"}"#, 123, "blitz probe: e1 is gone\n"),
        (r#"{"state":"cancelled","exit":null}"#, 124, "blitz probe: the job was aborted\n"),
    ] {
        let gateway = Gateway::new(&["japan"]).events("japan", [Stream::Open(end(data))]);
        Blitz::new().run(&gateway, "probe x").check(code, "", stderr);
    }
}

#[test]
fn missing_output_is_never_a_success() {
    let events = format!(
        "{}event: incomplete\ndata: {{\"reason\":\"chunk 1 did not arrive\"}}\n\n{}",
        stdout(0, "half"),
        done(0)
    );
    let gateway = Gateway::new(&["japan"]).events("japan", [Stream::Open(events)]);
    Blitz::new().run(&gateway, "probe x").check(
        123,
        "half",
        "blitz probe: output is incomplete: chunk 1 did not arrive\n",
    );
}

#[test]
fn input_files_and_stdin_go_along() {
    let gateway = Gateway::new(&["japan"]).events("japan", [Stream::Open(done(0))]);
    let blitz = Blitz::new();
    std::fs::write(blitz.directory().join("body"), "hi").unwrap();
    blitz.run(&gateway, "probe -d @body x").check(0, "", "");
    let mut child =
        blitz.command(Some(&gateway), "probe -d @- x").stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"ho").unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    let inputs: Vec<_> = gateway.submissions().iter().map(|s| s["inputs"].clone()).collect();
    assert_eq!(inputs[0], serde_json::json!([{"name": "body", "base64": "aGk="}]));
    assert_eq!(inputs[1], serde_json::json!([{"name": "-", "base64": "aG8="}]));
}

#[test]
fn a_detached_job_is_only_named() {
    let gateway = Gateway::new(&["japan", "ireland"]);
    let blitz = Blitz::new();
    blitz.run(&gateway, "probe --detach x").check(0, "japan-1-01\nireland-1-01\n", "");
    assert_eq!(gateway.requests().len(), 2, "nobody follows");
    assert_eq!(gateway.submissions()[0]["detached"], true);
}

#[test]
fn a_job_is_followed_by_its_id() {
    let job = r#"{"id":"japan-1-01","run":"01run","region":"japan","plugin":"probe","version":"0.1.0",
        "args":["x"],"state":"done","exit":{"status":3},"engine":"e1","created_at_ms":1,"duration_ms":5}"#;
    let events = [stdout(0, "a\n"), frame(1, 1, "file:f", "no"), done(3)].concat();
    let gateway = Gateway::new(&["japan"])
        .events("japan", [Stream::Open(events)])
        .answer("GET /v1/jobs/japan-1-01", 200, job)
        .answer("GET /v1/jobs/other", 404, r#"{"error":"unknown_job","reason":"no job 'other'"}"#);
    let blitz = Blitz::new();
    blitz.run(&gateway, "job japan-1-01").check(
        3,
        "a\n",
        "blitz probe: left out a file 'f' that this command line does not name\n",
    );
    let ran = blitz.run(&gateway, "job japan-1-01 --json");
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let shown: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!((&shown["state"], &shown["exit"]["status"]), (&"done".into(), &3.into()));
    blitz.run(&gateway, "job abort japan-1-01").check(0, "aborted\n", "");
    blitz.run(&gateway, "job other").check(2, "", "blitz: no job 'other'\n");
}
