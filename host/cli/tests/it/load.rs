//! A load test as its user sees it: options of ours, lines, documents, files, codes, and the screen of a terminal.

#[path = "../../src/load/fixture.rs"]
mod records;

use std::io::{Read as _, Write as _};
use std::num::NonZeroU16;
use std::process::{Command, Stdio};

use crate::blitz::{Blitz, Ran};
use crate::gateway::{Gateway, Stream, TOKEN, claimed, done, end, frame};

/// `rush` takes any words, and two options that have names of ours.
const RUSH: &str = r#"{"name":"rush","version":"0.1.0","sha256":"00","manifest":{
    "name":"rush","version":"0.1.0","summary":"for tests","contract":"0.1.0","retry":"never",
    "capabilities":["load"],"arguments":[
    {"name":"pattern","short":"p","kind":"text"},
    {"name":"csv","kind":"text"},
    {"name":"URL","positional":true,"repeated":true}]}}"#;

/// A plugin that is no load test, with the same names.
const PLAIN: &str = r#"{"name":"plain","version":"0.1.0","sha256":"00","manifest":{
    "name":"plain","version":"0.1.0","summary":"for tests","contract":"0.1.0","arguments":[
    {"name":"fail","kind":"text"},{"name":"html","kind":"text"},{"name":"no-live","kind":"flag"}]}}"#;

/// The events of one part: everything but its end.
fn part(index: u32, of: u32, length_s: u32, peak: u32) -> String {
    let opening = records::opening(index, of, peak.into(), length_s.into());
    let ticks = records::ticks(length_s, peak);
    let ticks = (1..).zip(&ticks).map(|(seq, tick)| frame(1, seq, "event:load-tick", tick));
    let mut events = claimed() + &frame(1, 0, "event:load-open", &opening);
    events.extend(ticks);
    events
}

fn gateway(jobs: &[(&str, String)]) -> Gateway {
    let regions: Vec<&str> = jobs.iter().map(|(region, _)| *region).collect();
    let gateway = Gateway::new(&regions).answer("GET /v1/plugins/rush", 200, RUSH).answer(
        "GET /v1/plugins/plain",
        200,
        PLAIN,
    );
    jobs.iter().fold(gateway, |gateway, (region, events)| {
        gateway.events(region, [Stream::Open(events.clone())])
    })
}

fn whole() -> Gateway {
    gateway(&[("japan", part(0, 1, 12, 50) + &done(0))])
}

#[test]
fn options_of_ours_stay_here_and_the_rest_goes() {
    let gateway = whole();
    let line = "--fail p99<5m rush -p 1-50:12 --no-live --fail=errors<1% http://127.0.0.1:8080/ -- --csv x";
    let ran = Blitz::new().run(&gateway, line);
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""), "{ran:?}");
    let args = &gateway.submissions()[0]["args"];
    let wanted = ["-p", "1-50:12", "http://127.0.0.1:8080/", "--csv", "x"];
    assert_eq!(*args, serde_json::json!(wanted));
    let lines: Vec<&str> = ran.stdout.lines().collect();
    assert!(lines[0].ends_with("p50 ms   p95 ms   p99 ms"), "{}", ran.stdout);
    assert!(lines[1].starts_with("   0:01      1 "), "{}", ran.stdout);
    assert!(lines[12].starts_with("   0:12     50 "), "{}", ran.stdout);
    assert!(ran.stdout.contains("p99<5m"), "{}", ran.stdout);
}

#[test]
fn other_plugins_have_these_options_for_themselves() {
    let gateway = gateway(&[("japan", done(0))]);
    Blitz::new().run(&gateway, "plain --fail x --no-live --html /no/such/y").check(0, "", "");
    let args = &gateway.submissions()[0]["args"];
    assert_eq!(*args, serde_json::json!(["--fail", "x", "--no-live", "--html", "/no/such/y"]));
    let ran = Blitz::new().run(&gateway, "--fail x plain");
    assert_eq!(ran.code, Some(2));
    assert!(ran.stderr.starts_with("blitz plain: no flag --fail here"), "{}", ran.stderr);
}

#[test]
fn what_cannot_be_done_is_refused_before_anything_is_sent() {
    let gateway = whole();
    for (line, says) in [
        ("rush --fail p99<x u", "^"),
        ("rush --html /no/such/directory/x u", "there is no such directory"),
        ("rush --csv - --json u", "--json and --csv - are both for stdout"),
        ("rush --table u", "--table is not for load tests"),
        ("rush --fail p99<1s --detach u", "--detach does not wait"),
        ("rush --fail", "--fail requires a value"),
    ] {
        let ran = Blitz::new().run(&gateway, line);
        assert_eq!(ran.code, Some(2), "{line}: {ran:?}");
        assert!(ran.stderr.starts_with("blitz rush: ") && ran.stderr.contains(says), "{ran:?}");
    }
    assert_eq!(gateway.submissions(), [serde_json::json!(null); 0]);
}

#[test]
fn reports_are_written_as_asked() {
    let blitz = Blitz::new();
    let line =
        "rush --html a.html --csv a.csv --openmetrics a.txt --hlog a.hlog --junit a.xml --quiet u";
    let ran = blitz.run(&whole(), line);
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""), "{ran:?}");
    assert!(!ran.stdout.contains("Response"), "only the end: {}", ran.stdout);
    for (file, begin) in
        [("a.html", "<"), ("a.csv", "second,"), ("a.txt", "#"), ("a.hlog", "#"), ("a.xml", "<")]
    {
        let text = std::fs::read_to_string(blitz.directory().join(file)).unwrap();
        assert!(text.to_lowercase().starts_with(begin), "{file}: {text:.80}");
    }
    let ran = blitz.run(&whole(), "rush --csv - u");
    assert!(ran.stdout.starts_with("second,") && !ran.stdout.contains("Response"), "{ran:?}");
    assert!(!ran.stderr.is_empty(), "the end is told beside it");
}

#[test]
fn codes_say_what_came_of_it() {
    let parts = |second: &str| {
        gateway(&[
            ("virginia", part(0, 2, 5, 20) + &done(0)),
            ("japan", part(1, 2, 5, 20) + second),
        ])
    };
    let lost = end(r#"{"state":"lost","reason":"engine e2 is gone"}"#);
    let refused =
        end(r#"{"state":"failed","exit":{"stopped":{"limit":"example.com may not be loaded"}}}"#);
    for (gateway, line, code, says) in [
        (parts(&done(0)), "rush --fail p99<5m u", 0, ""),
        (parts(&done(0)), "rush --fail p99<1us u", 1, ""),
        (parts(&done(1)), "rush --fail p99<5m u", 1, ""),
        (parts(&lost), "rush --fail p99<1us u", 123, "engine e2 is gone"),
        (gateway(&[("japan", refused)]), "rush --fail p99<1us u", 122, "may not be loaded"),
    ] {
        let ran = Blitz::new().run(&gateway, line);
        assert_eq!(ran.code, Some(code), "{line}: {ran:?}");
        assert!(ran.stderr.contains(says), "{line}: {ran:?}");
    }
}

#[test]
fn a_cancelled_test_tells_what_there_is() {
    let cancelled = end(r#"{"state":"cancelled","exit":{"stopped":"cancelled"}}"#);
    let events = part(0, 1, 30, 50);
    // The last ticks come behind the cancel.
    let at = events.match_indices("event: output").nth(20).unwrap().0;
    let (before, behind) = events.split_at(at);
    let stream = Stream::UntilCancelled(before.to_owned(), behind.to_owned() + &cancelled);
    let gateway = Gateway::new(&["japan"])
        .answer("GET /v1/plugins/rush", 200, RUSH)
        .events("japan", [stream]);
    let blitz = Blitz::new();
    let child = blitz.command(Some(&gateway), "rush --csv x.csv u").spawn().unwrap();
    gateway.wait_for("GET /v1/jobs/japan-1-01/events");
    let sent = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
    let ran = Ran::from(child.wait_with_output().unwrap());
    assert_eq!(ran.code, Some(130), "{ran:?}");
    assert!(ran.stdout.contains("   0:30     50 "), "the last second is there: {}", ran.stdout);
    assert!(blitz.directory().join("x.csv").exists());
}

#[test]
fn a_job_is_followed_again_with_the_same_view() {
    let job = r#"{"id":"japan-1-01","run":"01run","region":"japan","plugin":"rush","version":"0.1.0","state":"done"}"#;
    let gateway = whole().answer("GET /v1/jobs/japan-1-01", 200, job).answer(
        "GET /v1/plugins/rush?version=0.1.0",
        200,
        RUSH,
    );
    let ran = Blitz::new().run(&gateway, "job japan-1-01");
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.stdout.contains("   0:12     50 "), "{}", ran.stdout);
}

#[test]
fn reports_are_compared_and_shown_again() {
    let blitz = Blitz::new();
    for (file, peak) in [("a.json", 20), ("b.json", 95)] {
        let gateway = gateway(&[("japan", part(0, 1, 30, peak) + &done(0))]);
        let ran = blitz.run(&gateway, "rush --json u");
        assert_eq!(ran.code, Some(0), "{ran:?}");
        std::fs::write(blitz.directory().join(file), ran.stdout).unwrap();
    }
    let same = blitz.run_alone("rush diff a.json a.json");
    assert_eq!((same.code, same.stderr.as_str()), (Some(0), ""), "{same:?}");
    assert!(!same.stdout.is_empty());
    assert_eq!(blitz.run_alone("rush diff a.json b.json").code, Some(1));
    let shown = blitz.run_alone("rush report b.json --html b.html --fail p99<1us");
    assert_eq!((shown.code, shown.stderr.as_str()), (Some(1), ""), "{shown:?}");
    assert!(shown.stdout.starts_with("   Time  Users"), "{}", shown.stdout);
    assert!(blitz.directory().join("b.html").exists());
    // The last line of --ndjson is the report.
    let events = blitz.run(&whole(), "rush --ndjson u").stdout;
    std::fs::write(blitz.directory().join("a.ndjson"), events).unwrap();
    let shown = blitz.run_alone("rush report a.ndjson");
    assert_eq!((shown.code, shown.stderr.as_str()), (Some(0), ""), "{shown:?}");
    assert!(shown.stdout.contains("   0:12     50 "), "{}", shown.stdout);
    std::fs::write(blitz.directory().join("c.json"), r#"{"kind":"x"}"#).unwrap();
    for line in ["rush diff a.json", "rush diff a.json no.json", "rush diff a.json c.json"] {
        let ran = blitz.run_alone(line);
        assert_eq!(ran.code, Some(2), "{line}: {ran:?}");
        assert!(!ran.stderr.is_empty(), "{line}");
    }
}

#[test]
fn saved_reports_are_found_in_help() {
    let blitz = Blitz::new();
    let diff = blitz.run_alone("rush diff --help");
    assert_eq!((diff.code, diff.stderr.as_str()), (Some(0), ""), "{diff:?}");
    assert!(diff.stdout.contains("Usage: blitz rush diff BEFORE AFTER\n"), "{}", diff.stdout);
    assert!(diff.stdout.contains("1 one for the worse"), "{}", diff.stdout);
    let report = blitz.run_alone("rush report -h").stdout;
    assert!(report.contains("Usage: blitz rush report [OPTIONS] FILE\n"), "{report}");
    let whole = blitz.run(&whole(), "help rush").stdout;
    assert!(whole.contains("\n  blitz rush diff BEFORE AFTER  Tell whether"), "{whole}");
    assert!(whole.contains("\n  blitz rush report FILE        Show a saved"), "{whole}");
    assert!(blitz.run_alone("help").stdout.contains("load test: blitz rush"));
}

#[test]
fn options_that_nobody_has_are_guessed() {
    let users = "how many and how long are one option: -p 10:30 is 10 users for 30 seconds";
    for (line, says) in [
        ("rush --fial p99<1s u", "did you mean --fail?"),
        ("rush --patern 1:1 u", "did you mean --pattern?"),
        ("rush --jsn u", "did you mean --json?"),
        ("rush -c 10 u", users),
        ("rush -t 4 u", users),
        ("rush -z 10s u", users),
    ] {
        let ran = Blitz::new().run(&whole(), line);
        assert_eq!(ran.code, Some(2), "{line}: {ran:?}");
        assert!(ran.stderr.contains(says), "{line}: {}", ran.stderr);
    }
}

#[test]
fn a_document_has_what_was_checked_and_what_was_refused() {
    let json = |gateway: &Gateway, line: &str| -> serde_json::Value {
        let ran = Blitz::new().run(gateway, line);
        serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {ran:?}"))
    };
    let document = json(&whole(), "rush --json --fail p99<1us --fail p99<5m u");
    assert_eq!(document["exit_code"], 1);
    let check = &document["checks"][0];
    assert_eq!((&check["expression"], &check["holds"]), (&"p99<1us".into(), &false.into()));
    assert_eq!(document["checks"][1]["holds"], true);
    assert!(document.get("failures").is_none(), "{document}");
    let refused =
        end(r#"{"state":"failed","exit":{"stopped":{"limit":"example.com may not be loaded"}}}"#);
    let said = frame(1, 0, "stderr", "rush: could not resolve\n");
    let document = json(&gateway(&[("japan", claimed() + &said + &done(1))]), "rush --json u");
    assert_eq!(document["exit_code"], 1);
    assert_eq!(document["failures"][1], "rush: could not resolve");
    let document = json(&gateway(&[("japan", refused)]), "rush --json u");
    assert_eq!(document["exit_code"], 122);
    let failure = document["failures"][0].as_str().unwrap();
    assert!(failure.contains("example.com may not be loaded"), "{failure}");
}

#[test]
fn help_tells_of_the_options() {
    let ran = Blitz::new().run(&whole(), "rush --help");
    assert_eq!(ran.code, Some(0));
    assert!(ran.stdout.contains("      --fail EXPR"), "{}", ran.stdout);
    assert!(ran.stdout.contains("      --no-live"), "{}", ran.stdout);
    let own = ran.stdout.lines().find(|line| line.contains("--csv TEXT")).unwrap();
    assert!(own.ends_with("(behind --)"), "{own}");
    let plain = Blitz::new().run(&whole(), "plain --help");
    assert!(!plain.stdout.contains("load tests"), "{}", plain.stdout);
}

/// Runs at a terminal of this size; types `q` when `until` is on the screen. Gives the code and all that was written.
fn at_terminal(gateway: &Gateway, line: &str, columns: u16, until: &str) -> (i32, Vec<u8>) {
    let blitz = Blitz::new();
    let command = blitz.command(Some(gateway), line);
    let words = [command.get_program()].into_iter().chain(command.get_args());
    let words: Vec<String> = words.map(|word| format!("'{}'", word.to_string_lossy())).collect();
    let line = format!("stty rows 30 cols {columns}; exec {}", words.join(" "));
    let mut child = Command::new("script")
        .args(["--quiet", "--return", "--command", &line, "/dev/null"])
        .current_dir(blitz.directory())
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", blitz.directory())
        .env("SHELL", "/bin/sh")
        .env("TERM", "xterm")
        .env("BLITZ_HOST", &gateway.url)
        .env("BLITZ_TOKEN", TOKEN)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut stdin, mut stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    let (mut written, mut piece, mut typed) = (Vec::new(), [0; 4096], until.is_empty());
    let size = |count| NonZeroU16::new(count).unwrap();
    let mut terminal = vt100::Parser::new(size(30), size(columns), 0);
    loop {
        let count = stdout.read(&mut piece).unwrap_or(0);
        if count == 0 {
            break;
        }
        written.extend_from_slice(&piece[..count]);
        terminal.process(&piece[..count]);
        if !typed && terminal.screen().contents().contains(until) {
            stdin.write_all(b"xq").unwrap();
            typed = true;
        }
    }
    assert!(typed, "never on the screen: {until:?}\n{}", terminal.screen().contents());
    (child.wait().unwrap().code().unwrap(), written)
}

/// What the terminal shows in the end.
fn last_screen(written: &[u8], columns: u16) -> String {
    let size = |count| NonZeroU16::new(count).unwrap();
    let mut terminal = vt100::Parser::new(size(60), size(columns), 0);
    terminal.process(written);
    terminal.screen().contents()
}

#[test]
fn a_terminal_has_a_view_and_keeps_the_end() {
    let (code, written) = at_terminal(&whole(), "rush --fail p99<5m u", 100, "");
    let text = String::from_utf8_lossy(&written);
    assert_eq!(code, 0, "{text}");
    assert_eq!(text.matches("\x1b[?1049h").count(), 1, "{text}");
    assert_eq!(text.matches("\x1b[?1049l").count(), 1, "{text}");
    let last = last_screen(&written, 100);
    assert!(last.contains("0:12     50 ") && last.contains("p99<5m"), "{last}");
    assert!(!last.contains("ends the test"), "nothing of the view: {last}");
    let (code, written) = at_terminal(&whole(), "rush --no-live u", 100, "");
    assert_eq!(code, 0);
    assert!(!String::from_utf8_lossy(&written).contains("\x1b["), "plain lines");
}

#[test]
fn q_ends_the_test_and_what_there_is_stays() {
    let cancelled = end(r#"{"state":"cancelled","exit":{"stopped":"cancelled"}}"#);
    let stream = Stream::UntilCancelled(part(0, 1, 30, 95), cancelled);
    let gateway = Gateway::new(&["japan"])
        .answer("GET /v1/plugins/rush", 200, RUSH)
        .events("japan", [stream]);
    let (code, written) = at_terminal(&gateway, "rush u", 40, "q or ^C");
    let last = last_screen(&written, 120);
    assert_eq!(code, 130, "{last}");
    assert!(gateway.requests().contains(&"DELETE /v1/jobs/japan-1-01".to_owned()));
    assert!(last.contains("0:30     95 "), "{last}");
    let text = String::from_utf8_lossy(&written);
    assert_eq!(text.matches("\x1b[?1049l").count(), 1, "{text}");
}
