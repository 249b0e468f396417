//! What a server's text does at a terminal, which is nothing but text; and in a pipe, where every byte stays.

use blitz_tests::hostile::{Identity, Pki, Script, Server, Step, say};
use tokio::process::Command;

use super::assert_none;
use super::warm::{Seen, Warm, run};

/// Escape sequences of every kind, C1 controls in both spellings, and what moves the cursor.
const CONTROLS: &[u8] =
    b"\x1b[31mred\x1b[0m \x1b]0;title\x07 \x1b]8;;http://evil.example\x1b\\link\x1b]8;;\x1b\\ \
    \x1b]52;c;aGk=\x07 \x1bPq#0\x1b\\ \x1b_apc\x1b\\ \x1bc \x9b31m \xc2\x9b31m \xc2\x9d0;t\xc2\x9c \
    \x08\x08\x00\x0b\x0c\x0e\x0f\x7f \x1b[6n \x1b[2J \xff\xfe \xc2\x1b \xe0\x9b31m last\n";
/// The same in valid UTF-8, which documents take as text.
const TEXT_CONTROLS: &[u8] =
    b"\x1b[31mred \x1b]0;title\x07 \xc2\x9b31m \xc2\x9d0;t\xc2\x9c \xc2\x85 \x7f \x08\x08 last\n";
/// Overwrites the line that a person is about to read.
const OVERWRITE: &[u8] = b"rm -rf /\rharmless\n";
/// What HTTP/1 lets through in a field: C1 controls in both spellings, and bytes that are no text.
const FIELD: &[u8] = b"\x9b31m \xc2\x9b31m \xc2\x9d0;title\xc2\x9c \xff\xfe \x85 \xc2\x85 end";

#[tokio::test(flavor = "multi_thread")]
async fn a_terminal_gets_text_and_nothing_else() {
    let pki = Pki::new();
    let warm = Warm::start(&pki).await;
    let one = &["-r", "local"][..];
    let all = &["-r", "all", "--color", "never"][..];
    let mut failures = Vec::new();
    for (name, script, regions, options) in [
        ("body", body(CONTROLS), one, &[][..]),
        ("body, lines of several regions", body(CONTROLS), all, &[]),
        ("carriage returns in a body", body(OVERWRITE), one, &[]),
        ("body by region", body(CONTROLS), all, &["--group"]),
        ("body at the end", body(CONTROLS), one, &["--buffer"]),
        ("body as one document", body(TEXT_CONTROLS), one, &["--json"]),
        ("body as events", body(TEXT_CONTROLS), one, &["--ndjson"]),
        ("bytes as one document", body(CONTROLS), one, &["--json"]),
        ("bytes as events", body(CONTROLS), one, &["--ndjson"]),
        ("fields with -i", fields(), one, &["-i"]),
        ("fields with -v", fields(), one, &["-v"]),
        ("fields with -D", fields(), one, &["-D", "-"]),
        ("fields as one document", fields(), one, &["-i", "--json"]),
        ("fields as events", fields(), one, &["-i", "--ndjson"]),
        ("fields as variables", fields(), one, &["-w", "%{redirect_url} %{content_type}\\n"]),
        ("table", fields(), all, &["--table"]),
        ("table of failures", head(b"HTTP/1.1 200 \x1b[31m\x9b\r\n\r\n"), all, &["--table"]),
        ("a target that is followed", fields(), one, &["-L", "-v"]),
        (
            "a scheme that is none",
            head(b"HTTP/1.1 302 F\r\nLocation: \xc2\x9b31m://x/\r\n\r\n"),
            one,
            &["-L"],
        ),
        (
            "a host that is none",
            head(b"HTTP/1.1 302 F\r\nLocation: http://\xc2\x9b31m\x9b/\r\n\r\n"),
            one,
            &["-L", "-v"],
        ),
        ("a status line that is none", head(b"HTTP/1.1 \x1b[31m \x9b\r\n\r\n"), one, &["-v"]),
        ("a field that is none", head(b"HTTP/1.1 200 OK\r\nX: \x1b]0;t\x07\r\n\r\n"), one, &["-v"]),
        ("certificate", tls(&pki.disguised), one, &["-v"]),
        ("certificate for somebody else", tls(&pki.disguised_misnamed), one, &["-v"]),
        ("certificate for somebody else, with -k", tls(&pki.disguised_misnamed), one, &["-kv"]),
        ("certificate with its facts", tls(&pki.disguised), one, &["--tls-info", "--timing"]),
        (
            "certificate for somebody else, with its facts",
            tls(&pki.disguised_misnamed),
            one,
            &["--tls-info"],
        ),
        ("certificate for somebody else, table", tls(&pki.disguised_misnamed), all, &["--table"]),
    ] {
        let server = Server::start(&script).await;
        let scheme = if name.starts_with("certificate") { "https" } else { "http" };
        let url = format!("{scheme}://{}/", server.address);
        let args = [&["curl", "-m", "2"], regions, options, &[&url]].concat();
        let seen = at_terminal(&warm, &args).await;
        let (shown, found) = (seen.stdout.escape_ascii(), controls(&seen.stdout));
        if !found.is_empty() {
            failures.push(format!("{name}: {} at a terminal: \"{shown}\"", found.join(" ")));
        }
        if seen.code == Some(2) || seen.code.is_none() {
            failures.push(format!("{name}: was not run: \"{shown}\""));
        }
    }
    assert_none(failures);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_is_shown_again_without_controls() {
    let pki = Pki::new();
    let warm = Warm::start(&pki).await;
    let server = Server::start(&body(CONTROLS)).await;
    let url = format!("http://{}/", server.address);
    let seen = run(warm.command(&["curl", "--detach", &url])).await;
    let id = String::from_utf8(seen.stdout.clone()).unwrap();
    let seen = at_terminal(&warm, &["job", id.trim()]).await;
    assert!(seen.stdout.ends_with(b"last\n"), "{}", seen.stdout.escape_ascii());
    assert_none(controls(&seen.stdout));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pipe_and_a_raw_terminal_get_every_byte() {
    let pki = Pki::new();
    let warm = Warm::start(&pki).await;
    let everything = [CONTROLS, OVERWRITE, &Vec::from_iter(0..=255)].concat();
    let server = Server::start(&body(&everything)).await;
    let url = format!("http://{}/", server.address);
    let seen = run(warm.command(&["curl", &url])).await;
    assert_eq!(seen.stdout.escape_ascii().to_string(), everything.escape_ascii().to_string());
    let seen = run(warm.command(&["curl", "-s", "-o", "file", &url])).await;
    assert_eq!(seen.code, Some(0), "{seen:?}");
    let file = std::fs::read(warm.home().join("file")).unwrap();
    assert_eq!(file.escape_ascii().to_string(), everything.escape_ascii().to_string());
    let seen = at_terminal(&warm, &["curl", "--raw", "--quiet", &url]).await;
    assert_eq!(seen.stdout.escape_ascii().to_string(), everything.escape_ascii().to_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pipe_gets_a_head_as_it_was_sent() {
    let pki = Pki::new();
    let warm = Warm::start(&pki).await;
    let mut failures = Vec::new();
    for (name, head) in [
        (
            "field",
            [b"HTTP/1.1 200 OK\r\nX-Odd: ", FIELD, b"\r\nContent-Length: 0\r\n\r\n"].concat(),
        ),
        ("reason phrase", [b"HTTP/1.1 200 ", FIELD, b"\r\nContent-Length: 0\r\n\r\n"].concat()),
    ] {
        let server = Server::start(&self::head(&head)).await;
        let url = format!("http://{}/", server.address);
        let seen = run(warm.command(&["curl", "-i", &url])).await;
        if seen.stdout != head {
            let (printed, sent) = (seen.stdout.escape_ascii(), head.escape_ascii());
            failures.push(format!("{name}: printed \"{printed}\" and not \"{sent}\""));
        }
    }
    assert_none(failures);
}

/// The bytes of a head, and nothing behind it.
fn head(bytes: &[u8]) -> Script {
    Script::answer([say(bytes), Step::Hang])
}

fn body(bytes: &[u8]) -> Script {
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", bytes.len());
    Script::answer([say([head.as_bytes(), bytes].concat())])
}

/// A redirect whose every part is meant for a terminal.
fn fields() -> Script {
    let head = [
        b"HTTP/1.1 302 ",
        FIELD,
        b"\r\nX-Odd: ",
        FIELD,
        b"\r\nContent-Type: text/",
        FIELD,
        b"\r\nLocation: http://127.0.0.1:1/",
        FIELD,
        b"\r\nContent-Length: 0\r\n\r\n",
    ];
    Script::answer([say(head.concat())])
}

fn tls(identity: &Identity) -> Script {
    body(b"fine\n").tls(identity)
}

/// Runs the program at a terminal of its own: what it writes on either stream is what a person's terminal gets.
///
/// `script` makes the terminal; it belongs to the essential packages of Debian.
async fn at_terminal(warm: &Warm, args: &[&str]) -> Seen {
    let program = warm.command(args);
    let program = program.as_std();
    let words = [program.get_program()].into_iter().chain(program.get_args());
    let quoted = words.map(|word| format!("'{}'", word.to_string_lossy().replace('\'', r"'\''")));
    let line = format!("stty -opost -echo; exec {}", Vec::from_iter(quoted).join(" "));
    let mut command = Command::new("script");
    command
        .args(["--quiet", "--return", "--command", &line, "/dev/null"])
        .current_dir(warm.home())
        .env_clear()
        .envs(program.get_envs().filter_map(|(name, value)| Some((name, value?))))
        .env("SHELL", "/bin/sh")
        // One that stays open: the end of its input would be typed at the terminal.
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .kill_on_drop(true);
    run(command).await
}

/// Every control character that is not a line's end or a tab, and every byte that a terminal of 8 bits takes for one.
fn controls(shown: &[u8]) -> Vec<String> {
    let mut found = Vec::new();
    for chunk in shown.utf8_chunks() {
        let text = chunk.valid().replace("\r\n", "\n");
        let foreign = text.chars().filter(|c| c.is_control() && !matches!(c, '\n' | '\t'));
        found.extend(foreign.map(|control| format!("{control:?}")));
        let c1 = chunk.invalid().iter().filter(|byte| matches!(byte, 0x80..=0x9f));
        found.extend(c1.map(|byte| format!("{byte:#x}")));
    }
    found.sort();
    found.dedup();
    found
}
