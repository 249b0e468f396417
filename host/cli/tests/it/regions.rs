//! Several regions: prefixed lines, one exit code, one document.

use crate::blitz::Blitz;
use crate::gateway::{Gateway, Stream, claimed, done, frame, stdout};

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
    for (flag, code) in [("any", 7), ("all", 0), ("never", 0)] {
        let ran = Blitz::new().run(&two(), &format!("probe --fail-on {flag} x"));
        assert_eq!(ran.code, Some(code), "--fail-on {flag}: {ran:?}");
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
