//! Plugin files on this machine: `blitz plugin run`, `test`, `check` and `inspect`, with the built-in curl as the
//! plugin and a web server that the test ends, so that a replay cannot reach it.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::process::Stdio;

use crate::blitz::Blitz;

const CURL: &str = concat!(env!("OUT_DIR"), "/curl.wasm");

/// Serves as many requests as it is told, each with the same page, then is gone.
fn server(requests: usize) -> (String, std::thread::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let serving = std::thread::spawn(move || {
        for _ in 0..requests {
            let (mut stream, _) = listener.accept().unwrap();
            let head = BufReader::new(stream.try_clone().unwrap());
            let _request: Vec<String> =
                head.lines().map(Result::unwrap).take_while(|line| !line.is_empty()).collect();
            let page = "HTTP/1.1 200 OK\r\ncontent-length: 6\r\nx-test: yes\r\n\r\nhello\n";
            stream.write_all(page.as_bytes()).unwrap();
        }
    });
    (url, serving)
}

/// A directory with the plugin in it.
fn place() -> Blitz {
    let blitz = Blitz::new();
    std::fs::copy(CURL, blitz.directory().join("curl.wasm")).unwrap();
    blitz
}

#[test]
fn a_file_runs_without_a_server() {
    let blitz = place();
    let (url, serving) = server(2);
    blitz.run_alone(&format!("plugin run curl.wasm -s {url}")).check(0, "hello\n", "");
    let ran = blitz.run_alone(&format!("plugin run . -s -o page {url}"));
    ran.check(0, "", "");
    assert_eq!(std::fs::read_to_string(blitz.directory().join("page")).unwrap(), "hello\n");
    serving.join().unwrap();

    let help = blitz.run_alone("plugin run curl.wasm --help");
    assert!(help.stdout.starts_with("curl: ") && help.code == Some(0), "{help:?}");
    let own = blitz.run_alone("plugin run --help");
    assert!(own.stdout.contains("--record <TAPE>") && own.code == Some(0), "{own:?}");
    blitz.run_alone("plugin run curl.wasm --nope").check(
        2,
        "",
        "blitz: curl: option --nope is not supported; 'blitz plugin run curl.wasm --help' lists what is\n",
    );
    blitz.run_alone("plugin run gone.wasm").check(
        2,
        "",
        "blitz: cannot read 'gone.wasm': No such file or directory\n",
    );
    let denied = blitz.run_alone(&format!("plugin run --allow none curl.wasm -sS {url}"));
    assert!(denied.stderr.contains("no grant \"web\"") && denied.code != Some(0), "{denied:?}");
    // The server is gone: curl's own status, in one document.
    let json = blitz.run_alone(&format!("plugin run --json curl.wasm -sS {url}"));
    let document: serde_json::Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!((json.code, &document["exit_code"]), (Some(7), &serde_json::json!(7)), "{document}");
    let stderr = document["results"][0]["stderr"].as_str().unwrap();
    assert!(stderr.starts_with("curl: (7) "), "{document}");
}

#[test]
fn a_recorded_run_is_heard_again_without_a_network() {
    let blitz = place();
    let (url, serving) = server(1);
    let line = format!("plugin run --record page.tape curl.wasm -s -i {url}");
    let first = blitz.run_alone(&line);
    assert_eq!(first.code, Some(0), "{first:?}");
    assert!(first.stderr.contains("the tape is in 'page.tape'"), "{first:?}");
    serving.join().unwrap();
    let tape = std::fs::read_to_string(blitz.directory().join("page.tape")).unwrap();
    assert!(tape.starts_with("{\"tape\":1,\"plugin\":\"curl@"), "{tape}");
    assert!(tape.contains("\"web.exchange\"") && tape.contains("[\"x-test\",\"yes\"]"), "{tape}");

    let again = format!("plugin run --replay page.tape curl.wasm -s -i {url}");
    blitz.run_alone(&again).check(0, &first.stdout, "");
    let other =
        blitz.run_alone(&format!("plugin run --replay page.tape curl.wasm -s -i {url}other"));
    assert_eq!(other.code, Some(122), "{other:?}");
    let says = "the tape has another question: its entry ";
    assert!(other.stderr.contains(says) && other.stderr.contains("/other"), "{other:?}");
}

#[test]
fn cases_are_recorded_tested_and_blessed() {
    let blitz = place();
    let none = blitz.run_alone("plugin test");
    assert!(none.code == Some(2) && none.stderr.contains("--new NAME -- ARGS"), "{none:?}");
    let (url, serving) = server(1);
    let made = blitz.run_alone(&format!("plugin test --new page -- -s {url}"));
    assert_eq!(made.code, Some(0), "{made:?}");
    serving.join().unwrap();
    blitz.run_alone("plugin test").check(0, "ok       tests/page.toml: page\n1 passed\n", "");

    let path = blitz.directory().join("tests/page.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace("hello", "goodbye")).unwrap();
    let failed = blitz.run_alone("plugin test . page");
    assert_eq!(failed.code, Some(1), "{failed:?}");
    assert!(
        failed.stdout.contains(
            "FAILED   tests/page.toml: page\n    stdout:\n      - goodbye\n      + hello\n"
        ),
        "{failed:?}"
    );
    let blessed = blitz.run_alone("plugin test --bless");
    blessed.check(0, "blessed  tests/page.toml: page\n1 passed\n", "");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
    let other = blitz.run_alone("plugin test . no-such-case");
    assert!(other.code == Some(2) && other.stderr.contains("no-such-case"), "{other:?}");

    // Without a tape there is no network, and nothing is granted.
    std::fs::write(
        &path,
        format!("[[case]]\nname = \"alone\"\nargs = [\"-sS\", \"{url}\"]\nexit = 7\n"),
    )
    .unwrap();
    let alone = blitz.run_alone("plugin test");
    assert!(alone.code == Some(1) && alone.stdout.contains("no grant"), "{alone:?}");
}

#[test]
fn a_file_says_what_it_can_do() {
    let blitz = place();
    let checked = blitz.run_alone("plugin check curl.wasm");
    assert_eq!(checked.code, Some(0), "{checked:?}");
    for line in [
        "make HTTP requests to addresses that the engine allows (web: asked for)",
        "verdict   engines of this version take it",
    ] {
        assert!(checked.stdout.contains(line), "{line}\n{}", checked.stdout);
    }
    let shown = blitz.run_alone("plugin inspect curl.wasm --json");
    let document: serde_json::Value = serde_json::from_str(&shown.stdout).unwrap();
    assert_eq!(document["manifest"]["name"], "curl");
    assert_eq!(document["rights"][0]["name"], "web");
    assert!(document["imports"].as_array().unwrap().iter().any(|i| i == "blitz:plugin/web@0.1.0"));
    assert!(
        blitz.run_alone("plugin inspect curl.wasm").stdout.contains("rights    web: make HTTP")
    );

    for (bytes, says) in [
        (&b"\0asm\x01\0\0\0"[..], "a core module and no component"),
        (b"#!/bin/sh\n", "neither a component"),
        (b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x03\0\x3e\0", "no symbol blitz_plugin"),
        (b"\0asm\x0d\0\x01\0", "there is nothing to run"),
        (b"\0asm\x0d\0\x01\0\x0a\xff", "not a whole component"),
    ] {
        std::fs::write(blitz.directory().join("bad"), bytes).unwrap();
        let refused = blitz.run_alone("plugin check bad");
        assert_eq!(refused.code, Some(1), "{refused:?}");
        assert!(refused.stdout.contains(says), "{says}\n{}", refused.stdout);
        assert!(refused.stdout.ends_with("verdict   an engine would refuse it\n"), "{refused:?}");
    }
}

#[test]
fn interrupting_a_local_run_ends_it() {
    let blitz = place();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let mut command = blitz.command(None, &format!("plugin run curl.wasm -s {url}"));
    let child = command.stdin(Stdio::null()).spawn().unwrap();
    // The plugin is under way once it has connected.
    let _connection = listener.accept().unwrap();
    let pid = rustix::process::Pid::from_raw(child.id().try_into().unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    assert_eq!(child.wait_with_output().unwrap().status.code(), Some(130));
    assert!(Path::new(CURL).exists());
}
