//! A network namespace that is gone when the test is.
//!
//! By `ip netns`, which also gives each namespace its own `/etc/resolv.conf` and `/etc/hosts` for the programs
//! that run in it. A name holds the id of the process that made it: what a killed run left behind is
//! recognised by that, and removed by the next.

use std::fs;
use std::io::Write as _;
use std::net::TcpListener;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// What all names begin with.
const PREFIX: &str = "blitz-test-";

/// Where `ip netns` keeps them.
pub(super) const NAMESPACES: &str = "/run/netns";

/// Where `ip netns exec` finds the files that it puts over those of `/etc`.
const FILES: &str = "/etc/netns";

/// Set to 1 where the namespaces must be there: a test that cannot make them fails.
const MUST_RUN: &str = "BLITZ_TEST_NETNS";

/// Why tests in namespaces cannot run here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unavailable(pub String);

impl std::fmt::Display for Unavailable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "tests in network namespaces cannot run here: {}", self.0)
    }
}

/// One namespace. Dropped, it is removed with every process in it.
#[derive(Debug)]
pub struct Namespace {
    name: String,
}

impl Namespace {
    /// A new and empty one, whose loopback is up.
    ///
    /// # Errors
    ///
    /// [`Unavailable`] when this system or this user cannot.
    pub fn new(word: &str) -> Result<Self, Unavailable> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let next = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("{PREFIX}{}-{next}-{word}", std::process::id());
        let namespace = Self { name };
        run("ip", &["netns", "add", &namespace.name])?;
        namespace.ip(&["link", "set", "lo", "up"])?;
        Ok(namespace)
    }

    /// One that somebody else makes, or has made: dropped, it is removed as if it were of here.
    #[must_use]
    pub fn adopt(name: String) -> Self {
        Self { name }
    }

    /// A new one; `None`, and a word about it, where this machine cannot have one.
    ///
    /// # Panics
    ///
    /// When this machine cannot and `BLITZ_TEST_NETNS` is 1.
    #[must_use]
    pub fn or_skipped(word: &str) -> Option<Self> {
        remove_leftovers();
        or_skipped(Self::new(word))
    }

    /// A listener in it, for who is not in it.
    ///
    /// # Panics
    ///
    /// When there is no such address in it, or the system does not let anybody in.
    #[must_use]
    pub fn listener(&self, address: &str) -> TcpListener {
        let space = fs::File::open(Path::new(NAMESPACES).join(&self.name)).expect("a namespace");
        // A thread of its own: it never comes back.
        let bound = std::thread::scope(|scope| {
            let bind = scope.spawn(|| {
                let kind = Some(LinkNameSpaceType::Network);
                move_into_link_name_space(space.as_fd(), kind)?;
                TcpListener::bind(address)
            });
            bind.join().expect("a thread that ends")
        });
        let listener =
            bound.unwrap_or_else(|e| panic!("listen at {address} in {}: {e}", self.name));
        listener.set_nonblocking(true).expect("a socket");
        listener
    }

    /// Its name, for `ip`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Runs `ip` on it.
    ///
    /// # Errors
    ///
    /// [`Unavailable`] with what `ip` said.
    pub fn ip(&self, args: &[&str]) -> Result<String, Unavailable> {
        run("ip", &[&["-n", &self.name], args].concat())
    }

    /// Runs these lines of `ip`, in their order, until one fails.
    ///
    /// # Errors
    ///
    /// [`Unavailable`] with what `ip` said.
    pub fn ip_lines(&self, lines: &str) -> Result<String, Unavailable> {
        run_with_input("ip", &["-n", &self.name, "-batch", "-"], lines)
    }

    /// Sets what `sysctl` would: names with slashes, and values.
    ///
    /// # Errors
    ///
    /// [`Unavailable`] when one of them cannot be set.
    pub fn set(&self, values: &[(&str, &str)]) -> Result<(), Unavailable> {
        let mut script = String::new();
        for (name, value) in values {
            script.push_str(&format!("echo '{value}' >'/proc/sys/{name}' || exit 1\n"));
        }
        run("ip", &["netns", "exec", &self.name, "sh", "-c", &script]).map(drop)
    }

    /// Runs `nft` in it with this standard input, and gives its output.
    ///
    /// # Errors
    ///
    /// [`Unavailable`] with what `nft` said.
    pub fn nft(&self, args: &[&str], input: &str) -> Result<String, Unavailable> {
        run_with_input("ip", &[&["netns", "exec", &self.name, "nft"], args].concat(), input)
    }

    /// Puts a file over the one of this name in `/etc`, for the programs that run here.
    ///
    /// # Errors
    ///
    /// [`Unavailable`] when it cannot be written.
    pub fn etc(&self, file: &str, text: &str) -> Result<(), Unavailable> {
        let directory = self.files();
        let failed = |e| Unavailable(format!("write {}: {e}", directory.join(file).display()));
        fs::create_dir_all(&directory).map_err(failed)?;
        fs::write(directory.join(file), text).map_err(failed)
    }

    /// The same command, to be run in here, with its arguments, variables and directory. Its environment has
    /// those variables alone, and its streams are to be set again.
    #[must_use]
    pub fn enter(&self, command: &tokio::process::Command) -> tokio::process::Command {
        let command = command.as_std();
        let mut inside = tokio::process::Command::new("ip");
        inside.args(["netns", "exec", &self.name]).arg(command.get_program());
        inside.args(command.get_args()).env_clear().kill_on_drop(true);
        for (name, value) in command.get_envs() {
            if let Some(value) = value {
                inside.env(name, value);
            }
        }
        if let Some(directory) = command.get_current_dir() {
            inside.current_dir(directory);
        }
        inside
    }

    fn files(&self) -> PathBuf {
        Path::new(FILES).join(&self.name)
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        remove(&self.name);
    }
}

/// `None` when this machine cannot: the reason is said, and is a failure where the tests must run.
///
/// # Panics
///
/// When this machine cannot and `BLITZ_TEST_NETNS` is 1.
pub(super) fn or_skipped<T>(made: Result<T, Unavailable>) -> Option<T> {
    match made {
        Ok(made) => Some(made),
        Err(why) if std::env::var(MUST_RUN).is_ok_and(|value| value == "1") => {
            panic!("{why} ({MUST_RUN}=1 says that it must run)");
        }
        Err(why) => {
            let line = format!("SKIPPED: {why}\n");
            // Not by `eprintln`, which is captured from tests that pass.
            std::io::stderr().write_all(line.as_bytes()).ok();
            None
        }
    }
}

/// Removes the namespaces whose makers are gone.
pub(super) fn remove_leftovers() {
    let entries = fs::read_dir(NAMESPACES).into_iter().flatten().flatten();
    for name in entries.filter_map(|entry| entry.file_name().into_string().ok()) {
        let maker = name.strip_prefix(PREFIX).and_then(|rest| rest.split('-').next());
        if maker.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
            remove(&name);
        }
    }
}

/// Ends what runs in a namespace of ours, and removes it with its files. What fails is left to the next run.
fn remove(name: &str) {
    let own = std::process::id().to_string();
    for pid in run("ip", &["netns", "pids", name]).unwrap_or_default().split_whitespace() {
        // Who has entered it leaves it by ending.
        if pid != own {
            run("kill", &["-KILL", pid]).ok();
        }
    }
    run("ip", &["netns", "delete", name]).ok();
    fs::remove_dir_all(Path::new(FILES).join(name)).ok();
    // Only when it is empty: others may keep theirs there.
    fs::remove_dir(FILES).ok();
}

fn run(program: &str, args: &[&str]) -> Result<String, Unavailable> {
    run_with_input(program, args, "")
}

fn run_with_input(program: &str, args: &[&str], input: &str) -> Result<String, Unavailable> {
    let said = |what: &dyn std::fmt::Display| {
        Unavailable(format!("'{program} {}': {what}", args.join(" ")))
    };
    let mut child = Command::new(program)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|e| said(&e))?;
    if let Some(mut stdin) = child.stdin.take() {
        // A program that does not read its input has its own reasons, which it tells.
        stdin.write_all(input.as_bytes()).ok();
    }
    let output = child.wait_with_output().map_err(|e| said(&e))?;
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        false => Err(said(&String::from_utf8_lossy(&output.stderr).trim())),
    }
}
