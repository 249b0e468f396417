//! Where output goes: files, pipes, buffers.

use std::io::Read as _;

use crate::blitz::Blitz;
use crate::gateway::{Gateway, Stream, done, frame, restart, stdout};

fn one(events: &[String]) -> Gateway {
    Gateway::new(&["japan"]).events("japan", [Stream::Open(events.concat())])
}

#[test]
fn only_files_of_the_command_line_are_written() {
    let blitz = Blitz::new();
    let evil = |seq| frame(1, seq, "file:evil", "b");
    let events = [frame(1, 0, "file:page", "a"), evil(1), evil(2), evil(3), done(0)];
    blitz.run(&one(&events), "probe -o page x").check(
        0,
        "",
        "blitz probe: left out a file 'evil' that this command line does not name\n",
    );
    assert_eq!(std::fs::read_to_string(blitz.directory().join("page")).unwrap(), "a");
    assert!(!blitz.directory().join("evil").exists());
    blitz.run(&one(&events), "probe -o missing/page x");
    assert!(!blitz.directory().join("missing").exists());
}

#[test]
fn a_file_that_cannot_be_written_ends_the_job() {
    let blitz = Blitz::new();
    let gateway = one(&[frame(1, 0, "file:no/page", "a")]);
    blitz.run(&gateway, "probe -o no/page x").check(
        1,
        "",
        "blitz probe: cannot write 'no/page': No such file or directory\n",
    );
    assert!(gateway.requests().contains(&"DELETE /v1/jobs/japan-1-01".to_owned()));
}

#[test]
fn each_region_writes_its_own_file() {
    let blitz = Blitz::new();
    let events = |text: &str| [Stream::Open([frame(1, 0, "file:page", text), done(0)].concat())];
    let gateway = Gateway::new(&["virginia", "japan"])
        .events("virginia", events("v"))
        .events("japan", events("j"));
    blitz.run(&gateway, "probe -o page x").check(0, "", "");
    for (name, text) in [("page.virginia", "v"), ("page.japan", "j")] {
        assert_eq!(std::fs::read_to_string(blitz.directory().join(name)).unwrap(), text, "{name}");
    }
    blitz.run(&gateway, "probe -o /dev/null x").check(
        0,
        "",
        "blitz probe: left out a file 'page' that this command line does not name\n",
    );
}

#[test]
fn bytes_reach_a_pipe_unchanged() {
    let gateway = one(&[stdout(0, "\u{1b}[1mbold\u{7}"), done(0)]);
    Blitz::new().run(&gateway, "probe x").check(0, "\u{1b}[1mbold\u{7}", "");
}

#[test]
fn a_second_attempt_does_not_follow_a_first_into_a_pipe() {
    let gateway = one(&[stdout(0, "first"), restart(2), frame(2, 0, "stdout", "second"), done(0)]);
    Blitz::new().run(&gateway, "probe x").check(
        123,
        "first",
        "blitz probe: engine e1 was lost; stdout already had output of attempt 1: \
         --buffer holds it back\n",
    );
    assert!(gateway.requests().contains(&"DELETE /v1/jobs/japan-1-01".to_owned()));
}

#[test]
fn a_buffer_shows_only_the_attempt_that_counts() {
    let events = [stdout(0, "first"), restart(2), frame(2, 0, "stdout", "second"), done(0)];
    Blitz::new().run(&one(&events), "probe --buffer x").check(
        0,
        "second",
        "blitz probe: engine e1 was lost; what came before is void\n",
    );
    Blitz::new().run(&one(&events), "probe --buffer --quiet x").check(0, "second", "");
    let ran = Blitz::new().run(&one(&events), "probe --json x");
    let document: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(document["results"][0]["stdout"], "second");
}

#[test]
fn a_closed_pipe_is_a_quiet_end() {
    let line = "x".repeat(1000) + "\n";
    let flood: Vec<String> = (0..500).map(|seq| stdout(seq, &line)).collect();
    let gateway = one(&flood);
    let mut child = Blitz::new().command(Some(&gateway), "probe x").spawn().unwrap();
    let mut first = [0; 10];
    child.stdout.take().unwrap().read_exact(&mut first).unwrap();
    let mut stderr = String::new();
    child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
    assert_eq!((child.wait().unwrap().code(), stderr.as_str()), (Some(0), ""));
    assert!(gateway.requests().contains(&"DELETE /v1/jobs/japan-1-01".to_owned()));
}
