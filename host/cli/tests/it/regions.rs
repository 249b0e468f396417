//! Several regions: prefixed lines, one exit code, one document.

use crate::blitz::Blitz;
use crate::gateway::{Gateway, Stream, claimed, done, end, frame, restart, stdout};

fn two() -> Gateway {
    let virginia = [claimed(), stdout(0, "a"), stdout(1, "b\n"), done(0)].concat();
    let japan = [claimed(), frame(1, 0, "stderr", "slow"), done(7)].concat();
    Gateway::new(&["virginia", "japan"])
        .events("virginia", [Stream::Open(virginia)])
        .events("japan", [Stream::Open(japan)])
}

#[test]
fn lines_have_the_name_of_their_region() {
    Blitz::new().run(&two(), "probe -r virginia,japan x").check(
        7,
        "virginia | ab\n",
        "japan | slow\n",
    );
}

#[test]
fn fail_on_chooses_the_code() {
    let expired = || end(r#"{"state":"expired","exit":null}"#);
    let timed_out = || end(r#"{"state":"failed","exit":{"stopped":{"timeout":"60 s"}}}"#);
    let stopped = || end(r#"{"state":"failed","exit":{"stopped":{"limit":"memory"}}}"#);
    let lost = || end(r#"{"state":"lost","exit":null}"#);
    let aborted = || end(r#"{"state":"cancelled","exit":null}"#);
    let incomplete =
        || format!("event: incomplete\ndata: {{\"reason\":\"chunk 1\"}}\n\n{}", done(0));
    let void = || [stdout(0, "a\n"), restart(2)].concat();
    // A job without events is one that the gateway does not know: it cannot be followed.
    for (jobs, codes, any, all, never) in [
        ([done(0), done(0)], [0, 0], 0, 0, 0),
        ([done(0), done(7)], [0, 7], 7, 0, 0),
        ([done(22), done(7)], [22, 7], 22, 22, 0),
        ([done(7), expired()], [7, 120], 120, 120, 0),
        ([done(0), timed_out()], [0, 121], 121, 0, 0),
        ([done(56), stopped()], [56, 122], 122, 122, 0),
        ([lost(), done(0)], [123, 0], 123, 0, 0),
        ([lost(), done(255)], [123, 255], 255, 255, 0),
        ([incomplete(), done(0)], [123, 0], 123, 0, 0),
        ([aborted(), done(1)], [124, 1], 124, 124, 0),
        ([done(125), done(7)], [125, 7], 125, 125, 0),
        ([String::new(), done(7)], [125, 7], 125, 125, 125),
        ([String::new(), done(0)], [125, 0], 125, 0, 125),
        ([String::new(), done(200)], [125, 200], 200, 200, 125),
        ([void(), done(0)], [123, 0], 123, 0, 0),
    ] {
        let [virginia, japan] = jobs;
        let mut gateway =
            Gateway::new(&["virginia", "japan"]).events("japan", [Stream::Open(japan.clone())]);
        if !virginia.is_empty() {
            gateway = gateway.events("virginia", [Stream::Open(virginia.clone())]);
        }
        for (flag, code) in [("any", any), ("all", all), ("never", never)] {
            let ran = Blitz::new().run(&gateway, &format!("probe --fail-on {flag} x"));
            assert_eq!(ran.code, Some(code), "--fail-on {flag} of {codes:?}: {ran:?}");
            if virginia == void() {
                // A document has no bytes in it before the end: nothing of it is ever void.
                continue;
            }
            let ran = Blitz::new().run(&gateway, &format!("probe --fail-on {flag} --json x"));
            assert_eq!(ran.code, Some(code), "--json --fail-on {flag} of {codes:?}: {ran:?}");
            let document: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
            assert_eq!(document["exit_code"], code, "--fail-on {flag} of {codes:?}");
            let results = document["results"].as_array().unwrap();
            let given: Vec<_> = results.iter().map(|result| result["exit_code"].clone()).collect();
            assert_eq!(given, codes, "each result has its own");
        }
    }
}

#[test]
fn one_document_has_all_results() {
    let ran = Blitz::new().run(&two(), "probe --json -u name:pw x");
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(7), ""));
    let document: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(document["run"], "01run");
    assert_eq!(document["args"], serde_json::json!(["-u", "***", "x"]));
    let result = |at: usize, field: &str| document["results"][at][field].clone();
    assert_eq!(result(0, "stdout"), "ab\n");
    assert_eq!(result(0, "status"), "done");
    assert_eq!((result(1, "exit_code"), result(1, "stderr")), (7.into(), "slow".into()));
    assert_eq!(ran.stdout.lines().count(), 1, "one line for line-based tools");
}

#[test]
fn events_come_as_lines() {
    let ran = Blitz::new().run(&two(), "probe --ndjson x");
    let lines: Vec<serde_json::Value> =
        ran.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let kinds: Vec<&str> = lines.iter().map(|l| l["event"].as_str().unwrap()).collect();
    assert_eq!(kinds.first(), Some(&"submitted"));
    assert_eq!(kinds.last(), Some(&"exit"));
    assert_eq!(kinds.iter().filter(|k| **k == "output").count(), 3);
    assert_eq!(lines.last().unwrap()["exit_code"], 7);
}
