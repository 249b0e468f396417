//! `--table` and `--group`: what people read of several regions.

use crate::blitz::Blitz;
use crate::gateway::{Gateway, Stream, claimed, done, end, frame, restart, stdout};

fn record(attempt: u32, seq: u32, json: &str) -> String {
    frame(attempt, seq, "event:probe", json)
}

fn several(jobs: &[(&str, String)]) -> Gateway {
    let regions: Vec<&str> = jobs.iter().map(|(region, _)| *region).collect();
    jobs.iter().fold(Gateway::new(&regions), |gateway, (region, events)| {
        gateway.events(region, [Stream::Open(events.clone())])
    })
}

fn good() -> String {
    let record =
        record(1, 1, r#"{"status":200,"phases":{"total_us":12345},"server":"a\u001b[1mb\n"}"#);
    [claimed(), stdout(0, "page"), record, done(0)].concat()
}

fn refused() -> String {
    let talk = frame(1, 0, "stderr", "probe: (7) refused\n");
    [claimed(), talk, record(1, 1, r#"{"status":null}"#), done(7)].concat()
}

fn expired() -> String {
    end(r#"{"state":"expired","exit":null,"reason":"no engine took it in 10 s"}"#)
}

#[test]
fn a_table_has_a_row_for_each_region() {
    let gateway = several(&[("virginia", good()), ("japan", good())]);
    Blitz::new().run(&gateway, "probe --table x").check(
        0,
        "REGION    ENGINE  STATUS  TOTAL  SERVER\n\
         virginia  e1         200   12.3  ab\n\
         japan     e1         200   12.3  ab\n",
        "",
    );
}

#[test]
fn a_table_shows_failures_where_they_are() {
    let gateway = several(&[("virginia", refused()), ("japan", good()), ("ireland", expired())]);
    // Which of two jobs ends first is not settled: their lines may come in either order.
    let ran = Blitz::new().run(&gateway, "probe --table x");
    let mut stderr: Vec<&str> = ran.stderr.lines().collect();
    stderr.sort_unstable();
    assert_eq!(
        stderr,
        ["blitz probe: ireland: no engine took it in 10 s", "virginia | probe: (7) refused"]
    );
    assert_eq!(ran.code, Some(120));
    assert_eq!(
        ran.stdout,
        "REGION    ENGINE  STATUS  TOTAL  SERVER  EXIT\n\
         virginia  e1           -      -  -          7\n\
         japan     e1         200   12.3  ab         0\n\
         ireland   -            -      -  -        120\n"
    );
}

#[test]
fn a_table_of_one_region_forgets_a_void_attempt() {
    let void = record(1, 0, r#"{"status":500}"#);
    let page = frame(2, 0, "file:page", "a");
    let second = record(2, 1, r#"{"status":200}"#);
    let gateway =
        several(&[("japan", [claimed(), void, restart(2), page, second, done(0)].concat())]);
    let blitz = Blitz::new();
    blitz.run(&gateway, "probe --table -o page x").check(
        0,
        "REGION  ENGINE  STATUS  TOTAL  SERVER\njapan   e1         200      -  -\n",
        "blitz probe: engine e1 was lost; what came before is void\n",
    );
    assert_eq!(std::fs::read_to_string(blitz.directory().join("page")).unwrap(), "a");
}

#[test]
fn a_plugin_without_a_table_gets_one() {
    let manifest = r#"{"name":"old","version":"0.1.0","sha256":"00","manifest":{
        "name":"old","version":"0.1.0","summary":"for tests","contract":"0.1.0","arguments":[
        {"name":"table","kind":"text"}]}}"#;
    let gateway = several(&[("virginia", good()), ("japan", done(3))]).answer(
        "GET /v1/plugins/old",
        200,
        manifest,
    );
    Blitz::new().run(&gateway, "old --table -- --table own").check(
        3,
        "REGION    ENGINE  EXIT  TIME\nvirginia  e1         0     5\njapan     e1         3     5\n",
        "",
    );
    assert_eq!(gateway.submissions()[0]["args"], serde_json::json!(["--table", "own"]));
}

#[test]
fn a_group_is_a_section_for_each_region() {
    // Which of them ends first is not settled.
    let japan = [claimed(), stdout(0, "b\n"), frame(1, 1, "stderr", "slow"), done(7)].concat();
    let gateway = several(&[("virginia", good()), ("japan", japan)]);
    let ran = Blitz::new().run(&gateway, "probe --group x");
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(7), "==> japan <==\nslow\n"));
    let sections = ["==> virginia <==\npage\n", "==> japan <==\nb\n"];
    let orders = [sections.join("\n"), [sections[1], sections[0]].join("\n")];
    assert!(orders.contains(&ran.stdout), "{}", ran.stdout);
}

#[test]
fn a_group_of_one_has_no_header() {
    let talk = frame(1, 2, "stderr", "talk");
    let events = [claimed(), stdout(0, "a\n"), talk, stdout(3, "b"), done(0)].concat();
    Blitz::new().run(&several(&[("japan", events)]), "probe --group x").check(0, "a\nb", "talk");
}
