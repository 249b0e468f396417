//! ^C: the remote job is cancelled, and the shell gets its prompt back.

use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use crate::blitz::{Blitz, Ran};
use crate::gateway::{Gateway, Stream, claimed, done, end, frame, stdout};

fn signal(child: &Child, name: &str) {
    let sent = Command::new("kill").args([name, &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
}

/// A job that has started and goes on; its end after a cancel.
fn endless(then: &str) -> Gateway {
    let streams = [Stream::UntilCancelled(stdout(0, "a\n"), then.to_owned())];
    Gateway::new(&["japan"]).events("japan", streams)
}

fn cancelled() -> String {
    end(r#"{"state":"cancelled","exit":{"stopped":"cancelled"}}"#)
}

#[test]
fn the_first_one_cancels_and_waits_for_the_end() {
    for (name, code) in [("-INT", 130), ("-TERM", 143), ("-HUP", 129)] {
        let gateway = endless(&cancelled());
        let blitz = Blitz::new();
        // Whoever runs this test may itself outlive its terminal.
        let child = through(&["env", "--default-signal=HUP"], &blitz, &gateway);
        gateway.wait_for("GET /v1/jobs/japan-1-01/events");
        signal(&child, name);
        let ran = Ran::from(child.wait_with_output().unwrap());
        assert_eq!(ran.code, Some(code), "{ran:?}");
        assert_eq!(ran.stderr, "blitz probe: cancelled\n");
        assert!(gateway.requests().contains(&"DELETE /v1/jobs/japan-1-01".to_owned()));
    }
}

/// The command `blitz probe x`, started by another program.
fn through(words: &[&str], blitz: &Blitz, gateway: &Gateway) -> Child {
    let command = blitz.command(Some(gateway), "probe x");
    let mut other = Command::new(words[0]);
    other.args(&words[1..]).arg(command.get_program()).args(command.get_args()).env_clear();
    other.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    other.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    other.current_dir(blitz.directory()).spawn().unwrap()
}

/// `nohup`: the process outlives its terminal.
#[test]
fn who_ignores_a_closed_terminal_goes_on() {
    let gateway = endless(&cancelled());
    let blitz = Blitz::new();
    let child = through(&["sh", "-c", "trap '' HUP; exec \"$@\"", "sh"], &blitz, &gateway);
    gateway.wait_for("GET /v1/jobs/japan-1-01/events");
    signal(&child, "-HUP");
    signal(&child, "-TERM");
    let ran = Ran::from(child.wait_with_output().unwrap());
    assert_eq!(ran.code, Some(143), "{ran:?}");
}

/// `timeout` of coreutils signals its child, and then its group.
#[test]
fn two_at_once_are_one_wish() {
    let gateway = endless(&cancelled());
    let child = Blitz::new().command(Some(&gateway), "probe x").spawn().unwrap();
    gateway.wait_for("GET /v1/jobs/japan-1-01/events");
    signal(&child, "-TERM");
    signal(&child, "-TERM");
    let ran = Ran::from(child.wait_with_output().unwrap());
    assert_eq!(ran.code, Some(143), "{ran:?}");
    assert_eq!(ran.stderr, "blitz probe: cancelled\n");
    assert!(gateway.requests().contains(&"DELETE /v1/jobs/japan-1-01".to_owned()));
}

#[test]
fn jobs_that_it_ended_have_its_code() {
    for (flag, code) in [("any", 130), ("all", 130), ("never", 130)] {
        let gateway = Gateway::new(&["virginia", "japan", "ireland"])
            .events("virginia", [Stream::Open([stdout(0, "a\n"), done(7)].concat())])
            .events("japan", [Stream::UntilCancelled(stdout(0, "b\n"), cancelled())])
            .events("ireland", [Stream::UntilCancelled(String::from(": \n\n"), done(0))]);
        let line = format!("probe --json --fail-on {flag} x");
        let child = Blitz::new().command(Some(&gateway), &line).spawn().unwrap();
        for region in ["virginia", "japan", "ireland"] {
            gateway.wait_for(&format!("GET /v1/jobs/{region}-1-01/events"));
        }
        signal(&child, "-INT");
        let ran = Ran::from(child.wait_with_output().unwrap());
        assert_eq!(ran.code, Some(code), "{ran:?}");
        let document: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
        assert_eq!(document["exit_code"], code);
        let codes: Vec<_> = (0..3).map(|at| document["results"][at]["exit_code"].clone()).collect();
        // Ireland ended by itself before it heard of the cancel.
        assert_eq!(codes, [7, 130, 0], "{document}");
    }
}

#[test]
fn a_table_is_shown_of_what_there_is() {
    let gateway = Gateway::new(&["virginia", "japan"])
        .events("virginia", [Stream::Open([claimed(), done(0)].concat())])
        .events("japan", [Stream::UntilCancelled(claimed(), cancelled())]);
    let child = Blitz::new().command(Some(&gateway), "probe --table x").spawn().unwrap();
    gateway.wait_for("GET /v1/jobs/virginia-1-01/events");
    gateway.wait_for("GET /v1/jobs/japan-1-01/events");
    signal(&child, "-INT");
    Ran::from(child.wait_with_output().unwrap()).check(
        130,
        "REGION    ENGINE  STATUS  TOTAL  SERVER  EXIT\n\
         virginia  e1           -      -  -          0\n\
         japan     e1           -      -  -        130\n",
        "blitz probe: japan: cancelled\n",
    );
}

#[test]
fn a_job_that_does_not_end_is_waited_for_two_seconds() {
    let gateway = endless(": nothing\n\n");
    // The script must not close the stream, or the follower would try again.
    let child = Blitz::new().command(Some(&gateway), "probe x").spawn().unwrap();
    gateway.wait_for("GET /v1/jobs/japan-1-01/events");
    let begin = Instant::now();
    signal(&child, "-INT");
    let ran = Ran::from(child.wait_with_output().unwrap());
    assert_eq!(ran.code, Some(130), "{ran:?}");
    assert!(begin.elapsed() < Duration::from_secs(10), "it took {:?}", begin.elapsed());
}

#[test]
#[expect(clippy::disallowed_methods, reason = "the pause between two signals is what is tested")]
fn the_second_one_leaves_at_once() {
    let gateway = endless(": nothing\n\n");
    let child = Blitz::new().command(Some(&gateway), "probe x").spawn().unwrap();
    gateway.wait_for("GET /v1/jobs/japan-1-01/events");
    let begin = Instant::now();
    signal(&child, "-INT");
    gateway.wait_for("DELETE /v1/jobs/japan-1-01");
    // A person's pause: what comes within 100 ms is the same wish.
    std::thread::sleep(Duration::from_millis(150));
    signal(&child, "-INT");
    let ran = Ran::from(child.wait_with_output().unwrap());
    assert_eq!(ran.code, Some(130), "{ran:?}");
    assert!(begin.elapsed() < Duration::from_millis(1900), "it took {:?}", begin.elapsed());
}

#[test]
fn a_reader_that_hangs_does_not_keep_it_from_being_heard() {
    let line = "x".repeat(1000) + "\n";
    let flood: String = (0..500).map(|seq| stdout(seq, &line)).collect();
    let gateway = Gateway::new(&["japan"]).events("japan", [Stream::Open(flood)]);
    // Its stdout is a pipe that nobody reads.
    let mut child = Blitz::new().command(Some(&gateway), "probe x").spawn().unwrap();
    gateway.wait_for("GET /v1/jobs/japan-1-01/events");
    signal(&child, "-INT");
    gateway.wait_for("DELETE /v1/jobs/japan-1-01");
    signal(&child, "-INT");
    assert_eq!(child.wait().unwrap().code(), Some(130));
}

#[test]
fn a_named_pipe_that_nobody_reads_does_not_keep_it_from_being_heard() {
    for (name, code) in [("-INT", 130), ("-TERM", 143)] {
        let blitz = Blitz::new();
        let pipe = blitz.directory().join("pipe");
        assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let events = frame(1, 0, "file:pipe", "a");
        let gateway = Gateway::new(&["japan"]).events("japan", [Stream::Open(events)]);
        let mut child = blitz.command(Some(&gateway), "probe -o pipe x").spawn().unwrap();
        gateway.wait_for("GET /v1/jobs/japan-1-01/events");
        signal(&child, name);
        gateway.wait_for("DELETE /v1/jobs/japan-1-01");
        let pid = child.id().to_string();
        let (told, ended) = mpsc::channel();
        std::thread::spawn(move || told.send(child.wait().unwrap().code()));
        let code_of_end = ended.recv_timeout(Duration::from_secs(10));
        if code_of_end.is_err() {
            Command::new("kill").args(["-KILL", &pid]).status().unwrap();
        }
        assert_eq!(code_of_end, Ok(Some(code)), "{name}");
    }
}
