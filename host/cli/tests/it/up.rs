//! Everything for real: `blitz up`, `blitz demo`, and a command without any gateway.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Child, Command, Stdio};

use crate::blitz::{Blitz, Ran};

/// Says `hello` to every request, until the test ends.
pub(crate) fn hello() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/hello", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map(Result::unwrap) {
            let mut head = [0; 1024];
            let _request = stream.read(&mut head).unwrap();
            stream
                .write_all(
                    b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\nconnection: close\r\n\r\nhello\n",
                )
                .unwrap();
        }
    });
    url
}

/// `blitz up` in its own directory, and what it said.
pub(crate) struct Up {
    child: Child,
    said: String,
}

impl Up {
    /// Starts it and waits until it has said everything.
    pub(crate) fn start(blitz: &Blitz, line: &str) -> Self {
        let mut child = blitz.command(None, line).stderr(Stdio::inherit()).spawn().unwrap();
        let mut said = String::new();
        let mut lines = BufReader::new(child.stdout.as_mut().unwrap());
        while !said.contains("^C ends it") {
            assert!(lines.read_line(&mut said).unwrap() > 0, "it ended early: {said}");
        }
        Self { child, said }
    }

    /// Ends it as a user would, and waits.
    fn end(mut self) -> Option<i32> {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
        self.child.wait().unwrap().code()
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        let _ended_before = self.child.kill();
    }
}

#[test]
fn commands_find_what_runs() {
    let blitz = Blitz::new();
    let url = hello();
    let up = Up::start(&blitz, "up --region virginia,japan --listen 127.0.0.1:0");
    let state = blitz.directory().join(".local/state/blitz/up.json");
    assert_eq!(std::fs::metadata(&state).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(up.said.contains("virginia, japan"), "{}", up.said);

    blitz.run_alone(&format!("curl -r japan {url}")).check(0, "hello\n", "");
    let both = blitz.run_alone(&format!("curl -r virginia,japan {url}"));
    let mut lines: Vec<&str> = both.stdout.lines().collect();
    lines.sort_unstable();
    assert_eq!((both.code, lines), (Some(0), vec!["japan | hello", "virginia | hello"]));
    let unknown = blitz.run_alone(&format!("curl -r jpan {url}"));
    unknown.check(2, "", "blitz: no region 'jpan'; did you mean japan?\n");

    let id = blitz.run_alone(&format!("curl -r japan --detach {url}")).stdout;
    blitz.run_alone(&format!("job {id}")).check(0, "hello\n", "");
    let jobs = blitz.run_alone("jobs --last 3").stdout;
    assert!(jobs.contains(id.trim()) && jobs.contains(&url), "{jobs}");
    let engines = blitz.run_alone("engines").stdout;
    assert!(engines.contains("japan") && engines.contains("curl@"), "{engines}");

    let second = blitz.run_alone("up --listen 127.0.0.1:0");
    assert_eq!(second.code, Some(1), "{second:?}");
    assert!(second.stderr.contains("holds it"), "{}", second.stderr);

    assert_eq!(up.end(), Some(0));
    assert!(!state.exists(), "the state file goes with it");
    let again = Up::start(&blitz, "up --region japan --listen 127.0.0.1:0");
    blitz.run_alone(&format!("job {id}")).check(0, "hello\n", "");
    assert_eq!(again.end(), Some(0));
}

#[test]
fn secrets_of_a_job_are_nowhere_shown() {
    let blitz = Blitz::new();
    let url = hello();
    let up = Up::start(&blitz, "up --listen 127.0.0.1:0");
    let line = format!("curl -u me:PASSWORD -bname=COOKIE --oauth2-bearer=BEARER --detach {url}");
    let id = blitz.run_alone(&line).stdout;
    for list in ["jobs", "jobs --json", &format!("job {} --json", id.trim())] {
        let shown = blitz.run_alone(list).stdout;
        assert!(shown.contains("-b***") && shown.contains(&url), "{list}: {shown}");
        for secret in ["PASSWORD", "COOKIE", "BEARER"] {
            assert!(!shown.contains(secret), "{list}: {shown}");
        }
    }
    assert_eq!(up.end(), Some(0));
}

#[test]
fn what_a_killed_one_left_behind_is_not_believed() {
    let blitz = Blitz::new();
    let mut up = Up::start(&blitz, "up --listen 127.0.0.1:0");
    up.child.kill().unwrap();
    up.child.wait().unwrap();
    let state = blitz.directory().join(".local/state/blitz/up.json");
    let text = std::fs::read_to_string(&state).unwrap();
    let state: serde_json::Value = serde_json::from_str(&text).unwrap();
    let address = state["gateway"].as_str().unwrap().trim_start_matches("http://").to_owned();
    // Somebody else takes the port, and would be shown the token.
    let thief = TcpListener::bind(&address).unwrap();
    thief.set_nonblocking(true).unwrap();
    let engines = blitz.run_alone("engines");
    assert_eq!(engines.code, Some(125), "{engines:?}");
    let named = blitz.run_alone(&format!("engines --host http://{address}"));
    assert_eq!(named.code, Some(2), "{named:?}");
    let asked = thief.accept().err().map(|error| error.kind());
    assert_eq!(asked, Some(std::io::ErrorKind::WouldBlock), "nobody came");
    let again = Up::start(&blitz, "up --listen 127.0.0.1:0");
    assert_eq!(again.end(), Some(0));
}

#[test]
fn a_taken_address_is_named() {
    let blitz = Blitz::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    blitz.run_alone(&format!("up --listen {address}")).check(
        1,
        "",
        &format!(
            "blitz: cannot listen on {address}: Address already in use; \
             choose another address with --listen\n"
        ),
    );
}

#[test]
fn a_database_of_networks_that_is_none_is_named() {
    let blitz = Blitz::new();
    let manifest = env!("CARGO_MANIFEST_PATH");
    for (file, words) in [
        ("/nowhere.mmdb", "No such file or directory\n"),
        (manifest, "it is not in MaxMind's format: "),
    ] {
        let up = format!("up --data data --listen 127.0.0.1:0 --networks {file}");
        let engine = format!("engine --store http://127.0.0.1:1 --region japan --networks {file}");
        for line in [up, engine] {
            let ran = blitz.run_alone(&line);
            assert_eq!(ran.code, Some(1), "{line}: {}", ran.stderr);
            let begins = format!("blitz: cannot use the database of networks '{file}': ");
            assert!(ran.stderr.starts_with(&begins), "{}", ran.stderr);
            assert!(ran.stderr.contains(words), "{}", ran.stderr);
        }
    }
}

#[test]
fn nothing_needs_to_run_before_a_command() {
    let blitz = Blitz::new();
    let url = hello();
    for region in ["", "-r local"] {
        blitz.run_alone(&format!("curl {region} {url}")).check(0, "hello\n", "");
    }
    blitz.run_alone(&format!("curl -r japan {url}")).check(
        2,
        "",
        "blitz: no region 'japan'; known: local; 'blitz up --region japan' starts one here\n",
    );
    blitz.run_alone(&format!("curl --detach {url}")).check(
        125,
        "",
        "blitz: --detach needs a gateway: start one with 'blitz up', name one with --host URL, or enter one with 'blitz login'\n",
    );
    let plugins = blitz.run_alone("plugins").stdout;
    assert!(plugins.contains("curl"), "{plugins}");
    let refused = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let ran = blitz.run_alone(&format!("curl http://{refused}/"));
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(7), ""), "{ran:?}");
}

#[test]
fn the_demonstration_shows_the_main_job() {
    let ran = Ran::from(Blitz::new().command(None, "demo").output().unwrap());
    assert_eq!(ran.code, Some(0), "{ran:?}");
    for line in ["hello from the other side", "virginia | hello", "japan | hello"] {
        assert!(ran.stdout.contains(line), "{line} is missing in {}", ran.stdout);
    }
    assert_eq!(ran.stderr, "");
}
