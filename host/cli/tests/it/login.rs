//! `blitz login`, `whoami` and `logout`: which key goes where, and what is kept of it.

use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::blitz::{Blitz, Ran};
use crate::gateway::{Gateway, TOKEN};

const ANN: &str = r#"{"operator":false,"tenant":"acme","user":"ann","plan":"team",
    "key":{"id":"k1","label":"laptop","scopes":{"plugins":["curl","ping"],"rate_per_minute":60}}}"#;

fn gateway() -> Gateway {
    Gateway::new(&["japan"]).answer("GET /v1/whoami", 200, ANN).answer(
        "GET /v1/regions",
        200,
        r#"{"regions":[{"name":"japan"}]}"#,
    )
}

fn credentials(blitz: &Blitz) -> PathBuf {
    blitz.directory().join(".config/blitz/credentials.toml")
}

/// Runs a line with this on standard input.
fn with_input(blitz: &Blitz, line: &str, input: &str) -> Ran {
    let mut command = blitz.command(None, line);
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap().into()
}

#[track_caller]
fn login(blitz: &Blitz, gateway: &Gateway) {
    let url = &gateway.url;
    let ran = with_input(blitz, &format!("login --host {url}"), &format!("{TOKEN}\n"));
    ran.check(0, "", &format!("blitz: logged in at {url} as ann of acme\n"));
}

#[test]
fn who_is_logged_in_needs_no_token() {
    let (gateway, other, blitz) = (gateway(), gateway(), Blitz::new());
    let url = &gateway.url;
    login(&blitz, &gateway);
    let mode = std::fs::metadata(credentials(&blitz)).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let regions = "NAME   ALIASES  ENGINES  SLOTS\njapan  -        0        0\n";
    blitz.run_alone("regions").check(0, regions, "");
    blitz.run_alone("whoami").check(
        0,
        &format!(
            "ann of acme\n  gateway  {url}, by 'blitz login'\n  plan     team\n  key      k1 (laptop)\n  \
             may      plugins curl,ping; 60/min\n  ends     never\n"
        ),
        "",
    );
    let json: serde_json::Value =
        serde_json::from_str(&blitz.run_alone("whoami --json").stdout).unwrap();
    assert_eq!(json["key"]["id"], "k1", "{json}");

    // The last login is meant; the first one is there when it is named.
    login(&blitz, &other);
    assert!(blitz.run_alone("whoami").stdout.contains(&other.url));
    assert!(blitz.run_alone(&format!("whoami --host {url}")).stdout.contains(url));
    assert!(blitz.run_alone(&format!("--host {url} whoami")).stdout.contains(url));

    blitz.run_alone("logout").check(
        0,
        &format!(
            "logged out of {}; the key itself is as it was: 'blitz keys revoke' ends one\nstill logged in at {url}: --host \
             names it\n",
            other.url
        ),
        "",
    );
    let ran = blitz.run_alone("whoami");
    assert_eq!(ran.code, Some(125), "{ran:?}");
    assert!(ran.stderr.contains("or enter one with 'blitz login'"), "{ran:?}");
    let named = format!("logged in at {url}: name one with --host\n");
    blitz.run_alone("logout").check(0, &named, "");
    assert_eq!(blitz.run_alone(&format!("logout --host {url}")).code, Some(0));
    blitz.run_alone("logout").check(0, "not logged in\n", "");
    let text = std::fs::read_to_string(credentials(&blitz)).unwrap();
    assert!(!text.contains(TOKEN), "{text}");
}

#[test]
fn a_key_that_does_not_hold_is_not_kept() {
    let (gateway, blitz) = (gateway(), Blitz::new());
    let url = &gateway.url;
    let line = format!("login --host {url}");
    with_input(&blitz, &line, "wrong\n").check(
        122,
        "",
        &format!("blitz: the gateway {url} does not accept this key: no; nothing was kept\n"),
    );
    assert!(!credentials(&blitz).exists());
    let told = "ask the tenant's admin for one ('blitz keys add')\n";
    for (input, says) in [
        ("", format!("blitz: no key in standard input; {told}")),
        (
            "a b",
            "blitz: standard input holds more than one key; a key is one word, as 'blitz keys add' prints it\n"
                .to_owned(),
        ),
    ] {
        with_input(&blitz, &line, input).check(2, "", &says);
    }
    blitz.run_alone(&format!("{line} --token-file gone")).check(
        2,
        "",
        "blitz: cannot read the key from 'gone': No such file or directory\n",
    );
    blitz.run_alone("login").check(
        2,
        "",
        "blitz: login: at which gateway? blitz login --host http://HOST:PORT\n",
    );
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let ran = with_input(&blitz, &format!("login --host http://{closed}"), TOKEN);
    assert_eq!(ran.code, Some(125), "{ran:?}");
    assert!(!credentials(&blitz).exists());

    // One that is kept stays when the next one does not hold.
    std::fs::write(blitz.directory().join("key"), TOKEN).unwrap();
    assert_eq!(blitz.run_alone(&format!("{line} --token-file key")).code, Some(0));
    assert_eq!(with_input(&blitz, "login", "wrong").code, Some(122));
    assert_eq!(blitz.run_alone("whoami").code, Some(0));
}

#[test]
fn credentials_that_others_can_read_are_not_used() {
    let (gateway, blitz) = (gateway(), Blitz::new());
    login(&blitz, &gateway);
    let file = credentials(&blitz);
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    let before = gateway.requests().len();
    let says = format!(
        "blitz: the credentials in '{0}' are open to others (mode 0644); 'chmod 600 {0}', and revoke its keys if somebody \
         may have read them\n",
        file.display()
    );
    blitz.run_alone("regions").check(1, "", &says);
    blitz.run_alone("logout").check(1, "", &says);
    blitz.run_alone("login").check(1, "", &says);
    assert_eq!(gateway.requests().len(), before, "nothing was asked");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    std::fs::write(&file, "no = [TOML").unwrap();
    let ran = blitz.run_alone("curl http://127.0.0.1:1/");
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), ""), "{ran:?}");
    assert!(ran.stderr.contains("mend the file, or move it away"), "{ran:?}");
    // Who names gateway and token needs no file.
    assert_eq!(blitz.run(&gateway, "regions").code, Some(0));
}

#[test]
fn a_login_that_the_environment_overrules_says_so() {
    let (gateway, blitz) = (gateway(), Blitz::new());
    let mut command = blitz.command(Some(&gateway), "login");
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(TOKEN.as_bytes()).unwrap();
    let ran = Ran::from(child.wait_with_output().unwrap());
    let url = &gateway.url;
    ran.check(
        0,
        "",
        &format!(
            "blitz: logged in at {url} as ann of acme\nblitz: BLITZ_HOST is set, and comes before what login keeps\n\
             blitz: BLITZ_TOKEN is set, and comes before what login keeps\n"
        ),
    );
    let ran = blitz.run(&gateway, "whoami");
    assert!(ran.stdout.contains("by BLITZ_TOKEN"), "{ran:?}");
}

#[test]
fn a_key_that_holds_no_more_says_where_it_was_kept() {
    let gateway = gateway();
    let blitz = Blitz::new();
    login(&blitz, &gateway);
    let text = std::fs::read_to_string(credentials(&blitz)).unwrap();
    std::fs::write(credentials(&blitz), text.replace(TOKEN, "revoked")).unwrap();
    for line in ["regions", "probe x", "jobs", "plugin list", "keys"] {
        let ran = blitz.run_alone(line);
        let says = format!(
            "blitz: the gateway {0} does not accept the key that 'blitz login' kept: no; 'blitz login --host {0}' takes another \
             one\n",
            gateway.url
        );
        assert_eq!((ran.code, ran.stderr.as_str()), (Some(122), says.as_str()), "blitz {line}");
    }
}

/// What a terminal shows while `script` runs there and `typed` is typed behind the question.
fn at_terminal(blitz: &Blitz, script: &str, typed: &[u8]) -> String {
    let mut child = Command::new("script")
        .args(["--quiet", "--return", "--command", script, "/dev/null"])
        .current_dir(blitz.directory())
        .env_clear()
        .env("HOME", blitz.directory())
        .env("PATH", std::env::var_os("PATH").unwrap())
        .env("SHELL", "/bin/sh")
        .env("BLITZ", env!("CARGO_BIN_EXE_blitz"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut keyboard, mut screen) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    let mut shown = Vec::new();
    let mut bytes = [0; 1024];
    let mut is_typed = false;
    loop {
        let count = screen.read(&mut bytes).unwrap();
        if count == 0 {
            break;
        }
        shown.extend_from_slice(&bytes[..count]);
        if !is_typed && String::from_utf8_lossy(&shown).contains("key for ") {
            keyboard.write_all(typed).unwrap();
            is_typed = true;
        }
    }
    drop(keyboard);
    child.wait().unwrap();
    String::from_utf8(shown).unwrap()
}

#[test]
fn a_key_that_is_typed_is_not_shown() {
    let (gateway, blitz) = (gateway(), Blitz::new());
    let url = &gateway.url;
    let script = format!("$BLITZ login --host {url}; echo code $?; stty -a | grep -o ' .echo '");
    let shown = at_terminal(&blitz, &script, format!("{TOKEN}\n").as_bytes());
    let lines: Vec<&str> = shown.lines().map(str::trim).collect();
    let logged_in = format!("blitz: logged in at {url} as ann of acme");
    assert_eq!(lines[..3], [format!("key for {url}:").as_str(), logged_in.as_str(), "code 0"]);
    assert!(!shown.contains(TOKEN), "{shown}");
    assert_eq!(blitz.run_alone("whoami").code, Some(0));
}

#[test]
fn an_interrupt_leaves_the_terminal_as_it_was() {
    let (gateway, blitz) = (gateway(), Blitz::new());
    let url = &gateway.url;
    let script = format!(
        "trap : INT; $BLITZ login --host {url}; echo code $?; stty -a | tr ' ' '\\n' | grep '^.*echo;*$'"
    );
    let shown = at_terminal(&blitz, &script, b"\x03");
    assert!(shown.contains("code 130"), "{shown}");
    assert!(shown.lines().any(|line| line.trim() == "echo"), "{shown}");
    assert!(!credentials(&blitz).exists());
    assert!(gateway.requests().is_empty());
}
