//! The audit: who did what, from where, and what became of it; and what a log says of it.

use std::path::Path;
use std::process::Stdio;

use blitz_jobs::accounts::AUDIT;
use blitz_tests::program::{address, send_signal};
use blitz_tests::{Api, Home, Stack, until};
use serde_json::{Value, json};

/// Entries of the operator of this stack that fit, once there are as many: a store may be shared with other tests.
async fn entries(stack: &Stack, count: usize, fits: impl Fn(&Value) -> bool) -> Vec<Value> {
    until(&format!("{count} entries"), || async {
        let answer = stack.api.get("/v1/audit?tenant=-&limit=1000").await;
        let all = answer["entries"].as_array()?.clone();
        let port = stack.api.base.rsplit(':').next()?;
        let is_here = |entry: &Value| {
            let gateway = entry["gateway"].as_str().unwrap_or_default();
            gateway.ends_with(port) || entry.to_string().contains(stack.region())
        };
        let found: Vec<Value> =
            all.into_iter().filter(|entry| is_here(entry) && fits(entry)).collect();
        (found.len() >= count).then_some(found)
    })
    .await
}

fn what(entry: &Value) -> &str {
    entry["deed"]["what"].as_str().unwrap_or_default()
}

#[tokio::test]
async fn a_job_is_in_the_audit_with_its_submission_and_its_end() {
    let stack = Stack::start(&["japan"]).await;
    let _engine = stack.engine(stack.region(), "e1", 2).await;
    let request = json!({"plugin": "fixture", "args": ["exit", "3"], "regions": [stack.region()]});
    let headers = [("x-request-id", "trace-42_a")];
    let answer = stack.api.raw("POST", "/v1/jobs", &headers, Some(&request)).await;
    assert_eq!(answer.status(), 201);
    assert_eq!(answer.headers()["x-request-id"], "trace-42_a", "the caller's own id comes back");
    let of_request = |entry: &Value| entry["request"] == "trace-42_a";
    let found = entries(&stack, 2, of_request).await;
    assert_eq!(found.len(), 2, "{found:?}");
    // The newest first, and an end stands behind its submission.
    let (end, submit) = (&found[0], &found[1]);
    assert_eq!((what(end), what(submit)), ("ended", "submit"));
    for (entry, at, wanted) in [
        (submit, "/deed/plugin", json!("fixture")),
        (submit, "/deed/args", json!(["exit", "3"])),
        (submit, "/deed/regions", json!([stack.region()])),
        (submit, "/from", json!("127.0.0.1")),
        (submit, "/who", json!({})),
        (end, "/deed/state", json!("done")),
        (end, "/deed/status", json!(3)),
        (end, "/deed/engine", json!("e1")),
        (end, "/deed/job", submit["deed"]["jobs"][0].clone()),
        (end, "/deed/run", submit["deed"]["run"].clone()),
    ] {
        assert_eq!(entry.pointer(at), Some(&wanted), "{at} of {entry}");
    }
    let id = submit["id"].as_str().unwrap();
    assert_eq!(id, format!("audit:-:{}", submit["deed"]["run"].as_str().unwrap()));
    let later = submit["at_ms"].as_u64().unwrap() + 3_600_000;
    let none = stack.api.get(&format!("/v1/audit?tenant=-&since_ms={later}")).await;
    assert_eq!(none["entries"], json!([]), "nothing is that new");
    let one = stack.api.get("/v1/audit?limit=1").await;
    assert_eq!(one["entries"].as_array().map(Vec::len), Some(1), "all tenants, the newest one");
}

#[tokio::test]
async fn what_is_refused_or_ended_is_in_the_audit_without_secrets() {
    let stack = Stack::start(&["japan"]).await;
    stack
        .publish("keeper", |manifest| {
            let secret = json!({"name": "user", "short": "u", "kind": "secret"});
            manifest.arguments.insert(0, serde_json::from_value(secret).unwrap());
        })
        .await;
    let args = ["-u", "me:canary", "echo", "http://me:canary@x.test/"];
    let request = json!({"plugin": "keeper", "args": args, "regions": ["nowhere-at-all"]});
    let (status, _) = stack.api.call("POST", "/v1/jobs", Some(&request)).await;
    assert_eq!(status, 404);
    let refused = entries(&stack, 1, |entry| what(entry) == "refuse").await.remove(0);
    for (at, wanted) in [
        ("/deed/action", json!("jobs.submit")),
        ("/deed/error", json!("unknown_region")),
        ("/deed/status", json!(404)),
        ("/deed/plugin", json!("keeper")),
        ("/deed/regions", json!(["nowhere-at-all"])),
        ("/deed/args", json!(["-u", "***", "echo", "http://***@x.test/"])),
    ] {
        assert_eq!(refused.pointer(at), Some(&wanted), "{at} of {refused}");
    }
    // Nobody runs it: it waits until it is cancelled.
    let request = json!({"plugin": "keeper", "args": args, "regions": [stack.region()]});
    let job = stack.api.submit_with(request).await;
    let (status, _) = stack.api.call("DELETE", &format!("/v1/jobs/{job}"), None).await;
    assert_eq!(status, 202);
    let cancel = |entry: &Value| entry["deed"]["action"] == "jobs.cancel";
    let cancelled = entries(&stack, 1, cancel).await.remove(0);
    assert_eq!(cancelled["deed"]["path"], format!("/v1/jobs/{job}"));
    let ended = entries(&stack, 1, |entry| what(entry) == "ended").await.remove(0);
    assert_eq!(ended["deed"]["state"], "cancelled");
    let audit = stack.store.database(AUDIT);
    let query = blitz_couchdb::AllDocs { include_docs: true, ..Default::default() };
    let all = audit.all_docs::<Value>(&query).await.expect("the audit");
    assert!(!format!("{all:?}").contains("canary"), "{all:?}");
}

#[tokio::test]
async fn an_id_that_is_no_word_is_not_taken_and_a_flood_of_refusals_is_cut() {
    let stack = Stack::start(&["japan"]).await;
    for id in ["a b", "a;b", "", &"x".repeat(65)] {
        let answer = stack.api.raw("GET", "/v1/regions", &[("x-request-id", id)], None).await;
        let own = answer.headers()["x-request-id"].to_str().unwrap();
        assert!(own != id && own.len() == 26, "{id:?} became {own:?}");
    }
    // Also who is not let in is told the id of the request.
    let answer = stack.api.raw("GET", "/v1/regions", &[("authorization", "Bearer x")], None).await;
    assert_eq!(answer.status(), 401);
    assert!(answer.headers().contains_key("x-request-id"));
    for _ in 0..60 {
        let (status, _) = stack.api.call("DELETE", "/v1/jobs/no-such-job", None).await;
        assert_eq!(status, 404);
    }
    let last = json!({"plugin": "fixture", "args": ["noop"], "regions": [stack.region()]});
    stack.api.submit_with(last).await;
    let all = entries(&stack, 1, |entry| what(entry) == "submit").await;
    assert_eq!(all.len(), 1);
    let refused = entries(&stack, 1, |entry| what(entry) == "refuse").await.len();
    assert_eq!(refused, 30, "the others are counted and not written");
}

#[tokio::test]
async fn a_store_of_an_earlier_version_gets_its_audit_and_its_operator_is_served_without() {
    // A store of its own: no other test may miss its audit.
    let stack = Stack::start_troubled(&["japan"], &[], 1).await;
    stack.store.database(AUDIT).drop().await.expect("a store as it was before");
    let (status, answer) = stack.api.call("GET", "/v1/audit", None).await;
    assert_eq!((status.as_u16(), &answer["error"]), (404, &json!("no_audit")));
    let request = json!({"plugin": "fixture", "args": ["noop"], "regions": [stack.region()]});
    stack.api.submit_with(request).await;
    let made = entries_of_new(&stack).await;
    assert_eq!(made, ["submit"], "nothing was lost on the way");
}

/// What is in an audit that may not be there yet.
async fn entries_of_new(stack: &Stack) -> Vec<String> {
    until("an audit in the store", || async {
        let (status, answer) = stack.api.call("GET", "/v1/audit?tenant=-", None).await;
        let all = answer["entries"].as_array().filter(|all| !all.is_empty())?;
        assert_eq!(status, 200);
        Some(all.iter().map(|entry| what(entry).to_owned()).collect())
    })
    .await
}

#[tokio::test]
async fn nothing_that_a_caller_says_makes_a_line_of_the_log() {
    let stack = Stack::start(&["japan"]).await;
    let home = Home::new(Path::new(env!("CARGO_BIN_EXE_bench")));
    for format in ["text", "json"] {
        let mut command = home.command(&["gateway", "--listen", "127.0.0.1:0"]);
        command.args(["--store", &stack.store_url(), "--log-format", format]);
        command
            .env("BLITZ_LOG", "trace")
            .env("BLITZ_TOKEN", "a-token-of-a-test")
            .stderr(Stdio::piped());
        let mut gateway = command.spawn().expect("the program starts");
        let base = format!("http://{}", address(&mut gateway).await);
        let pid = gateway.id().expect("a process that runs");
        let log = tokio::spawn(gateway.wait_with_output());
        let api = Api::new(&base, "a-token-of-a-test");
        let hostile = "forged\n2026-01-01T00:00:00Z ERROR forged\r\u{1b}[31m\u{9b}2K\u{2028}";
        let request = json!({"plugin": hostile, "args": [hostile], "regions": [hostile]});
        let (status, _) = api.call("POST", "/v1/jobs", Some(&request)).await;
        assert!(status.is_client_error(), "{status}");
        let request = json!({"plugin": "fixture", "args": ["--input", hostile, "echo", hostile],
            "regions": [stack.region()], "inputs": [{"name": hostile, "base64": ""}]});
        let headers = [("x-request-id", "of-this-request"), ("x-forwarded-for", "6.6.6.6")];
        let answer = api.raw("POST", "/v1/jobs", &headers, Some(&request)).await;
        assert_eq!(answer.status(), 201);
        let path = "/v1/jobs/forged%0aERROR%20forged";
        assert_eq!(api.call("DELETE", path, None).await.0, 404);
        send_signal(pid, "TERM").await;
        let output = log.await.expect("its log").expect("its output");
        let said = String::from_utf8(output.stderr).expect("text");
        assert!(said.contains("of-this-request"), "the id of a request is in its lines: {said}");
        for line in said.lines() {
            assert!(!line.contains(['\u{1b}', '\r', '\u{9b}', '\u{2028}']), "{line:?}");
            match format {
                "json" => {
                    let read: Result<Value, _> = serde_json::from_str(line);
                    assert!(read.is_ok_and(|event| event["level"].is_string()), "{line}");
                }
                // Each line begins with a time of its own, and none with what somebody said.
                _ => assert!(line.starts_with("20") && !line.starts_with("2026-01-01T"), "{line}"),
            }
        }
    }
    // Whoever is not told to trust a proxy does not believe one.
    let all = entries(&stack, 2, |entry| entry["request"] == "of-this-request").await;
    assert!(all.iter().all(|entry| entry["from"] != "6.6.6.6"), "{all:?}");
}
