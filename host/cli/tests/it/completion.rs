//! Completion as a shell does it, with plugins that only the gateway knows.

use std::process::Command;

use crate::blitz::Blitz;
use crate::gateway::{Gateway, TOKEN};

/// A plugin that was published a minute ago.
const WHOIS: &str = r#"{"name":"whois","version":"1.2.3","sha256":"00","manifest":{
    "name":"whois","version":"1.2.3","summary":"asks a registry","contract":"0.1.0","arguments":[
    {"name":"server","kind":"host"},{"name":"form","choices":["long","short"]},
    {"name":"list","kind":"input-file"},{"name":"NAME","positional":true}]}}"#;

fn gateway() -> Gateway {
    Gateway::new(&["japan"])
        .answer(
            "GET /v1/plugins",
            200,
            r#"{"plugins":[{"name":"whois","version":"1.2.3","summary":"asks a registry"},
                {"name":"whois","version":"1.2.4","summary":"asks a registry"}]}"#,
        )
        .answer("GET /v1/plugins/whois", 200, WHOIS)
        .answer("GET /v1/regions", 200, r#"{"regions":[{"name":"us-east-1","aliases":["virginia"]}]}"#)
        .answer(
            "GET /v1/jobs?last=50",
            200,
            r#"{"jobs":[{"id":"us-east-1-1-07","region":"us-east-1","plugin":"whois","state":"done"}]}"#,
        )
}

/// What bash offers at the end of `line`; it splits the line by its own rules.
fn bash(blitz: &Blitz, gateway: Option<&Gateway>, line: &str, words: &[&str]) -> Vec<String> {
    let script = r#"
        source <("$BLITZ" completions bash)
        compopt() { :; }
        COMP_LINE=$1; COMP_POINT=${#COMP_LINE}; shift
        COMP_WORDS=("$BLITZ" "$@"); COMP_CWORD=$#
        _blitz
        printf '%s\n' "${COMPREPLY[@]}"
    "#;
    let mut command = Command::new("bash");
    command
        .args(["--norc", "--noprofile", "-c", script, "bash", line])
        .args(words)
        .current_dir(blitz.directory())
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap())
        .env("HOME", blitz.directory())
        .env("BLITZ", env!("CARGO_BIN_EXE_blitz"));
    if let Some(gateway) = gateway {
        command.env("BLITZ_HOST", &gateway.url).env("BLITZ_TOKEN", TOKEN);
    }
    let output = command.output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "", "nothing is said into the shell");
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

#[test]
fn bash_completes_a_plugin_that_only_the_gateway_knows() {
    let gateway = gateway();
    let blitz = Blitz::new();
    std::fs::write(blitz.directory().join("names.txt"), b"").unwrap();
    for (line, words, wanted) in [
        ("blitz who", &["who"][..], &["whoami", "whois"][..]),
        ("blitz whois@", &["whois", "@"], &["1.2.3", "1.2.4"]),
        ("blitz whois --se", &["whois", "--se"], &["--server"]),
        ("blitz whois --form ", &["whois", "--form", ""], &["long", "short"]),
        ("blitz whois --form=l", &["whois", "--form", "=", "l"], &["long"]),
        ("blitz whois --list na", &["whois", "--list", "na"], &["names.txt"]),
        ("blitz -r vi", &["-r", "vi"], &["virginia"]),
        ("blitz whois -r virginia,us", &["whois", "-r", "virginia,us"], &["virginia,us-east-1"]),
        ("blitz --region=vi", &["--region", "=", "vi"], &["virginia"]),
        ("blitz job us", &["job", "us"], &["us-east-1-1-07"]),
        ("blitz help whoi", &["help", "whoi"], &["whois"]),
        ("blitz regi", &["regi"], &["region", "regions"]),
        ("blitz nobody --", &["nobody", "--"], &[]),
    ] {
        assert_eq!(bash(&blitz, Some(&gateway), line, words), wanted, "{line}");
    }
}

#[test]
fn what_was_met_is_known_without_the_gateway() {
    let blitz = Blitz::new();
    assert_eq!(bash(&blitz, None, "blitz whoi", &["whoi"]), [""; 0]);
    assert_eq!(bash(&blitz, None, "blitz cur", &["cur"]), ["curl"]);
    let gateway = gateway();
    // Early errors, and no job: `whois` is none of ours.
    blitz.run(&gateway, "whois --nope").check(
        2,
        "",
        "blitz whois: option --nope is not supported; 'blitz help whois' lists what is\n",
    );
    assert!(gateway.submissions().is_empty(), "no job was made");
    assert_eq!(bash(&blitz, Some(&gateway), "blitz whois --se", &["whois", "--se"]), ["--server"]);
    assert_eq!(bash(&blitz, None, "blitz whoi", &["whoi"]), ["whois"]);
    assert_eq!(bash(&blitz, None, "blitz whois --se", &["whois", "--se"]), ["--server"]);
}

/// A gateway that takes a connection and never answers does not hold the shell up.
#[test]
fn a_silent_gateway_is_not_waited_for() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let blitz = Blitz::new();
    let line = format!("blitz --host {url} cur");
    let mut command = blitz.command(None, "__complete zsh -- --host");
    command.args([url.as_str(), "cur"]).env("BLITZ_TOKEN", TOKEN);
    let output = command.output().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap().lines().next(), Some("words"), "{line}");
    assert_eq!(output.status.code(), Some(0));
}

/// The other shells' scripts, where the shells are installed.
#[test]
fn other_shells_read_their_scripts() {
    let blitz = Blitz::new();
    for (shell, flag) in [("zsh", "-n"), ("fish", "--no-execute")] {
        let script = blitz.run_alone(&format!("completions {shell}")).stdout;
        let path = blitz.directory().join(shell);
        std::fs::write(&path, &script).unwrap();
        match Command::new(shell).arg(flag).arg(&path).output() {
            Ok(output) => assert!(output.status.success(), "{shell}: {output:?}"),
            Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::NotFound, "{shell}"),
        }
    }
}

#[test]
fn saved_reports_are_completed() {
    let blitz = Blitz::new();
    assert_eq!(bash(&blitz, None, "blitz rush di", &["rush", "di"]), ["diff"]);
    assert_eq!(bash(&blitz, None, "blitz rush re", &["rush", "re"]), ["report"]);
    std::fs::write(blitz.directory().join("before.json"), "").unwrap();
    let words = ["rush", "diff", "bef"];
    assert_eq!(bash(&blitz, None, "blitz rush diff bef", &words), ["before.json"]);
    let words = ["rush", "report", "--ht"];
    assert_eq!(bash(&blitz, None, "blitz rush report --ht", &words), ["--html"]);
    let other = bash(&blitz, None, "blitz curl di", &["curl", "di"]);
    assert!(other.is_empty(), "{other:?}");
}
