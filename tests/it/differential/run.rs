//! Lets one of the two programs do a case, and notes everything that can be seen of it.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use blitz_tests::Home;
use tempfile::TempDir;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use super::case::Case;
use super::certificates;
use super::server::{Received, Server};

/// Neither program may take longer: it is killed.
const LIMIT: Duration = Duration::from_secs(20);

/// Whoever kills this test leaves nobody to kill its programs: a loop without end then ends by the kernel, after
/// so many seconds of processor time, which no case comes near.
const CPU_LIMIT_S: u64 = 20;

/// What both find on standard input.
const INPUT: &[u8] = b"from stdin\nsecond line\r\n";

/// Begins the line of a variable that the runner asks for.
const MARK: &str = "@@";

/// The variables of curl 7.88 that say something about HTTP.
const VARIABLES: &[&str] = &[
    "content_type",
    "errormsg",
    "exitcode",
    "filename_effective",
    "http_code",
    "http_version",
    "local_ip",
    "method",
    "num_connects",
    "num_headers",
    "num_redirects",
    "redirect_url",
    "referer",
    "remote_ip",
    "remote_port",
    "response_code",
    "scheme",
    "size_download",
    "size_header",
    "size_request",
    "size_upload",
    "speed_download",
    "speed_upload",
    "ssl_verify_result",
    "time_appconnect",
    "time_connect",
    "time_namelookup",
    "time_pretransfer",
    "time_redirect",
    "time_starttransfer",
    "time_total",
    "url",
    "url_effective",
    "urlnum",
];

/// What one program did.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// `None` when it did not end.
    pub(crate) exit: Option<i32>,
    pub(crate) stdout: Vec<u8>,
    /// The whole of it, for the messages of this test.
    pub(crate) stderr: String,
    /// N of every `curl: (N) text`.
    pub(crate) problems: Vec<String>,
    /// Empty where the case has its own `-w`.
    pub(crate) variables: BTreeMap<&'static str, String>,
    /// What it left in its directory besides its input.
    pub(crate) files: BTreeMap<String, Vec<u8>>,
    pub(crate) requests: Vec<Received>,
}

impl Seen {
    /// Whether the command line was not taken.
    pub(crate) fn is_refused(&self) -> bool {
        self.exit == Some(2) && self.requests.is_empty() && self.variables.is_empty()
    }
}

/// The real curl.
pub(crate) async fn real(case: &Case, curl: &Path, server: &Server) -> Seen {
    let directory = directory();
    let mut command = Command::new("/bin/sh");
    // `exec`: the program is this process, and is killed with it.
    command.args(["-c", &format!("ulimit -t {CPU_LIMIT_S} && exec \"$0\" \"$@\"")]).arg(curl);
    // Neither a .curlrc nor a proxy of this machine has a say.
    command.env_clear().env("HOME", directory.path()).arg("-q");
    go(command, case, &directory, server).await
}

/// Ours, by way of a `blitz up` that runs in this home.
pub(crate) async fn blitz(case: &Case, home: &Home, server: &Server) -> Seen {
    let directory = directory();
    let command = home.command(&["curl", "-r", "local", "--"]);
    go(command, case, &directory, server).await
}

fn directory() -> TempDir {
    let directory = TempDir::new().expect("a temporary directory");
    for (name, content) in inputs() {
        std::fs::write(directory.path().join(name), content).expect("a file");
    }
    directory
}

/// The files that a command line may name.
fn inputs() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("text", b"line one\nline two\r\nlast & = %".to_vec()),
        ("data.json", br#"{"a": [1, 2]}"#.to_vec()),
        ("binary", Vec::from_iter(0..=255)),
        ("empty", Vec::new()),
        ("headers", b"X-One: 1\nX-Two: 2\r\n\nX-Three;\nAccept:\n".to_vec()),
        ("format", b"%{http_code} %{size_download}\\n\n%{method}".to_vec()),
        ("large", b"0123456789abcdef".repeat(100_000)),
        ("sp ace", b"a name with a space".to_vec()),
        ("page.html", b"<p>\n".to_vec()),
        ("image.png", b"\x89PNG".to_vec()),
        ("ca.pem", certificates::authority_pem().into_bytes()),
    ]
}

async fn go(mut command: Command, case: &Case, directory: &TempDir, server: &Server) -> Seen {
    command.args(case.arguments(server.port));
    if !case.writes_out() {
        let lines = VARIABLES.iter().map(|name| format!("\\n{MARK}{name}=%{{{name}}}"));
        command.args(["-w", &format!("%{{stderr}}{}\\n", lines.collect::<String>())]);
    }
    command
        // International names are read in the encoding of the locale.
        .env("LC_ALL", "C.UTF-8")
        .current_dir(directory.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let mut child = command.spawn().expect("a program that starts");
    let mut stdin = child.stdin.take().expect("a pipe");
    // Whoever does not read it closes it: that is no failure.
    let feed = async move { stdin.write_all(INPUT).await.ok() };
    let ended = async { tokio::join!(feed, child.wait_with_output()).1.expect("its outcome") };
    let output = tokio::time::timeout(LIMIT, ended).await;
    let Ok(output) = output else {
        // Dropped with its future, and so killed.
        return Seen { stderr: format!("no end within {LIMIT:?}"), ..Seen::default() };
    };
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    Seen {
        exit: output.status.code(),
        stdout: output.stdout,
        problems: problems(&stderr),
        variables: variables(&stderr),
        stderr,
        files: files(directory.path()),
        requests: server.take(),
    }
}

/// The progress meter of the real curl ends its lines with a carriage return only.
fn lines(stderr: &str) -> impl Iterator<Item = &str> {
    stderr.split(['\n', '\r'])
}

fn problems(stderr: &str) -> Vec<String> {
    // It may stand behind the last line of the progress meter, which has no end.
    let numbers = stderr.split("curl: (").skip(1).filter_map(|rest| rest.split_once(')'));
    numbers.map(|(number, _)| number.to_owned()).collect()
}

fn variables(stderr: &str) -> BTreeMap<&'static str, String> {
    let pairs = lines(stderr).filter_map(|line| line.strip_prefix(MARK)?.split_once('='));
    pairs
        .filter_map(|(name, value)| {
            let known = VARIABLES.iter().find(|&&known| known == name)?;
            Some((*known, value.to_owned()))
        })
        .collect()
}

fn files(directory: &Path) -> BTreeMap<String, Vec<u8>> {
    let inputs = inputs();
    let mut files = BTreeMap::new();
    for entry in std::fs::read_dir(directory).expect("a directory") {
        let entry = entry.expect("an entry");
        let name = entry.file_name().to_string_lossy().into_owned();
        if entry.path().is_dir() {
            files.insert(format!("{name}/"), Vec::new());
            continue;
        }
        let content = std::fs::read(entry.path()).expect("a file");
        if !inputs.iter().any(|(known, same)| *known == name && *same == content) {
            files.insert(name, content);
        }
    }
    files
}
