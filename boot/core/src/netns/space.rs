//! One namespace of this machine: made with a link to the host, and removed with whatever runs in it.
//!
//! By `ip` of iproute2, so that what is there is seen with `ip netns list` and `ip link`. Both names are made of the
//! instance's id, and nothing is found by the look of a name: what is removed belongs to an instance that has a record.

use std::fs;
use std::io;
use std::net::Ipv4Addr;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;
use tokio::time::{Instant, sleep, timeout};

use super::prefix::Prefix;
use super::routes::{LINK, Routes};
use crate::imds;
use crate::instance::InstanceId;
use crate::provider::ProviderError;

/// Digits of the id in the name of a link, which has 15 characters at most (`IFNAMSIZ`).
const LINK_DIGITS: usize = 10;

/// Where `ip netns` keeps namespaces.
const NAMESPACES: &str = "/run/netns";

/// `ip` takes milliseconds; one that hangs holds up no round for longer than this.
const IP_MAX: Duration = Duration::from_secs(20);

/// Somebody else may take an address between the look and the claim: then the next one is tried, so many times.
const CLAIMS: u32 = 100;

/// What was killed is gone within this time, if the system lets it go at all.
const KILLED_WITHIN: Duration = Duration::from_secs(10);

/// Between two looks whether it is.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// The namespace of one instance.
#[derive(Debug)]
pub(super) struct Space<'a> {
    id: &'a InstanceId,
    name: String,
}

/// The namespaces of a fleet are named so, with the id of the instance.
pub(super) fn name(fleet: &str, id: &str) -> String {
    format!("blitz-{fleet}.{id}")
}

impl<'a> Space<'a> {
    pub(super) fn new(fleet: &str, id: &'a InstanceId) -> Self {
        Self { id, name: name(fleet, &id.0) }
    }

    /// Makes it, with an address of the prefix that nobody has.
    pub(super) async fn make(&self, prefix: &Prefix) -> Result<(), ProviderError> {
        let (name, link, host) = (&self.name, self.link(), prefix.host());
        self.ip(&["netns", "add", name], "").await?;
        // The host has the same address on each link, so that all engines find it at one.
        let outside = format!(
            "link add {link} type veth peer name eth0 netns {name}\n\
             address add {host}/32 dev {link}\n\
             link set {link} up\n"
        );
        self.ip(&["-batch", "-"], &outside).await?;
        let own = self.claim(prefix, &link).await?;
        let metadata = imds::ADDRESS.ip();
        let inside = format!(
            "link set lo up\n\
             address add {metadata}/32 dev lo\n\
             link set eth0 up\n\
             address add {own}/32 dev eth0\n\
             route add {host} dev eth0\n\
             route add default via {host}\n"
        );
        self.ip(&["-n", name, "-batch", "-"], &inside).await
    }

    /// Takes an address: the kernel has one route to it, and refuses a second, whoever asks for it.
    async fn claim(&self, prefix: &Prefix, link: &str) -> Result<Ipv4Addr, ProviderError> {
        let host = prefix.host().to_string();
        for _ in 0..CLAIMS {
            let routes = self.routes()?;
            if let Some(theirs) = routes.foreign(prefix) {
                return Err(ProviderError::Invalid(format!(
                    "the prefix {prefix} has addresses of the network at {theirs}: name another with --prefix"
                )));
            }
            let Some(free) = prefix.engines().find(|address| !routes.has(*address)) else {
                return Err(ProviderError::Quota(format!(
                    "the prefix {prefix} has no address for another engine, {} are taken: name a larger one with --prefix, or lower 'max' of the fleet",
                    prefix.engines().count()
                )));
            };
            let to = format!("{free}/32");
            let claimed = self.ip(&["route", "add", &to, "dev", link, "src", &host], "").await;
            match claimed {
                Ok(()) => return Ok(free),
                Err(_) if self.routes()?.has(free) => {}
                Err(error) => return Err(error),
            }
        }
        Err(ProviderError::NoCapacity(format!(
            "take an address of {prefix} for {}: others were faster {CLAIMS} times",
            self.id
        )))
    }

    /// Removes it with all processes in it; one that is not there is removed.
    pub(super) async fn remove(&self) -> Result<(), ProviderError> {
        let until = Instant::now() + KILLED_WITHIN;
        while let Some(space) = inode(&self.path()) {
            // Somebody has put our own under that name.
            if inode(Path::new("/proc/self/ns/net")) == Some(space) {
                return Err(self.failed("it is the namespace of this process itself"));
            }
            let inside = processes(space).map_err(|error| self.failed(&error.to_string()))?;
            if inside.is_empty() {
                // The link goes with it, and with the link the address.
                return match self.ip(&["netns", "delete", &self.name], "").await {
                    // Another who lists was faster.
                    Err(_) if !self.path().exists() => Ok(()),
                    deleted => deleted,
                };
            }
            if Instant::now() > until {
                let pids: Vec<String> =
                    inside.iter().map(|pid| pid.as_raw_nonzero().to_string()).collect();
                return Err(self.failed(&format!(
                    "processes {} are still in it after they were killed",
                    pids.join(", ")
                )));
            }
            for pid in inside {
                kill(pid, space);
            }
            sleep(LOOK_AGAIN).await;
        }
        Ok(())
    }

    fn link(&self) -> String {
        let digits = self.id.0.rsplit('-').next().unwrap_or_default();
        let digits: String = digits.chars().take(LINK_DIGITS).collect();
        format!("{LINK}{digits}")
    }

    fn path(&self) -> PathBuf {
        Path::new(NAMESPACES).join(&self.name)
    }

    fn routes(&self) -> Result<Routes, ProviderError> {
        Routes::read().map_err(|error| self.failed(&format!("read the routes: {error}")))
    }

    async fn ip(&self, args: &[&str], lines: &str) -> Result<(), ProviderError> {
        ip(args, lines).await.map_err(|said| {
            let words = args.join(" ");
            self.failed(&format!("'ip {words}' says {said:?}"))
        })
    }

    fn failed(&self, what: &str) -> ProviderError {
        ProviderError::Denied(format!(
            "namespace {}: {what}: see 'ip netns list' and 'ip link'; this takes root with CAP_NET_ADMIN and CAP_SYS_ADMIN, --provider process does not",
            self.name
        ))
    }
}

/// Runs `ip` with this input; what it says when it fails.
async fn ip(args: &[&str], lines: &str) -> Result<(), String> {
    let runs = async {
        let mut child = Command::new("ip")
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        if let Some(mut stdin) = child.stdin.take() {
            // One that does not read to the end tells why.
            stdin.write_all(lines.as_bytes()).await.ok();
        }
        child.wait_with_output().await
    };
    let output = match timeout(IP_MAX, runs).await {
        Err(_) => return Err(format!("nothing within {} s", IP_MAX.as_secs())),
        Ok(ended) => ended.map_err(|error: io::Error| error.to_string())?,
    };
    match output.status.success() {
        true => Ok(()),
        false => Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
    }
}

/// What a namespace is known by, behind whichever path.
fn inode(path: &Path) -> Option<(u64, u64)> {
    fs::metadata(path).ok().map(|found| (found.dev(), found.ino()))
}

/// The processes of this namespace.
fn processes(space: (u64, u64)) -> io::Result<Vec<Pid>> {
    let mut inside = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let pid = entry?.file_name().to_str().and_then(|name| name.parse().ok());
        inside.extend(pid.and_then(Pid::from_raw).filter(|pid| is_in(*pid, space)));
    }
    Ok(inside)
}

/// Whether a process is in the namespace. One that has ended is in none.
fn is_in(pid: Pid, space: (u64, u64)) -> bool {
    inode(Path::new(&format!("/proc/{}/ns/net", pid.as_raw_nonzero()))) == Some(space)
}

/// Kills a process if it is in the namespace: whoever has the number by now may be another.
fn kill(pid: Pid, space: (u64, u64)) {
    let Ok(descriptor) = pidfd_open(pid, PidfdFlags::empty()) else { return };
    if is_in(pid, space) {
        // It has ended, or is found again.
        pidfd_send_signal(descriptor, Signal::KILL).ok();
    }
}
