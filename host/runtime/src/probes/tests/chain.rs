//! A chain of network namespaces: `src - r1 - ... - dst`, with IPv4 and IPv6, gone when the test is.
//!
//! A test runs on a thread of its own inside the first one. Where no namespaces can be made it says so and passes,
//! unless `BLITZ_TEST_NETNS` is set. A name holds the id of the process that made it: what a killed run left behind is
//! removed by the next.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::thread::{CapabilitySet, CapabilitySets, LinkNameSpaceType};

/// What all names begin with.
const PREFIX: &str = "blitz-probes-";

#[derive(Debug)]
pub(super) struct Chain {
    names: Vec<String>,
}

impl Chain {
    /// So many nodes, the two ends included; `None` where that is not possible, which is printed.
    pub(super) fn new(nodes: usize) -> Option<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        remove_leftovers();
        let name = |node| format!("{PREFIX}{}-{number}-{node}", std::process::id());
        let chain = Self { names: (0..nodes).map(name).collect() };
        match chain.build() {
            Ok(()) => Some(chain),
            Err(reason) => {
                let must = std::env::var_os("BLITZ_TEST_NETNS").is_some();
                assert!(
                    !must,
                    "BLITZ_TEST_NETNS is set, and there are no network namespaces: {reason}"
                );
                let told = writeln!(std::io::stderr(), "skipped: no network namespaces: {reason}");
                told.ok();
                None
            }
        }
    }

    fn build(&self) -> Result<(), String> {
        for name in &self.names {
            run("ip", &["netns", "add", name], "")?;
        }
        for node in 0..self.names.len() {
            // Addresses that are still being tried cannot ask for neighbours, for a whole second.
            self.sysctl(node, "ipv6/conf/default/accept_dad", "0")?;
        }
        let last = self.names.len() - 1;
        for (node, pair) in self.names.windows(2).enumerate() {
            let [near, far] = pair else { continue };
            let mut link = vec!["link", "add", "right", "netns", near, "type", "veth"];
            link.extend(["peer", "name", "left", "netns", far]);
            run("ip", &link, "")?;
            self.ip(
                node,
                &format!(
                    "link set lo up\nlink set right up\naddr add 10.99.{node}.1/24 dev right\n\
                 addr add fd99:a{node}::1/64 dev right nodad\n"
                ),
            )?;
            let far = node + 1;
            self.ip(
                far,
                &format!(
                    "link set lo up\nlink set left up\naddr add 10.99.{node}.2/24 dev left\n\
                 addr add fd99:a{node}::2/64 dev left nodad\n"
                ),
            )?;
        }
        for node in 0..=last {
            let (back, onward) = match node {
                _ if node == last => (None, format!("10.99.{0}.1 fd99:a{0}::1", node - 1)),
                0 => (None, "10.99.0.2 fd99:a0::2".to_owned()),
                _ => (Some(node - 1), format!("10.99.{node}.2 fd99:a{node}::2")),
            };
            let (v4, v6) = onward.split_once(' ').expect("two");
            let mut lines = format!("route add default via {v4}\nroute add default via {v6}\n");
            if let Some(back) = back.filter(|back| *back > 0) {
                lines += &format!(
                    "route add 10.99.0.0/24 via 10.99.{back}.1\n\
                     route add fd99:a0::/64 via fd99:a{back}::1\n"
                );
            }
            self.ip(node, &lines)?;
            for (path, value) in [
                ("ipv4/ip_forward", "1"),
                ("ipv6/conf/all/forwarding", "1"),
                ("ipv4/icmp_ratelimit", "0"),
                ("ipv6/icmp/ratelimit", "0"),
                ("ipv4/icmp_msgs_per_sec", "100000"),
                ("ipv4/icmp_msgs_burst", "100000"),
            ] {
                self.sysctl(node, path, value)?;
            }
        }
        Ok(())
    }

    /// The target's address, of IPv4 and of IPv6.
    pub(super) fn targets(&self) -> [String; 2] {
        let link = self.names.len() - 2;
        [format!("10.99.{link}.2"), format!("fd99:a{link}::2")]
    }

    /// What a router calls itself on the way there; nodes count from 1.
    pub(super) fn router(&self, is_ipv4: bool, node: usize) -> String {
        let link = node - 1;
        if is_ipv4 { format!("10.99.{link}.2") } else { format!("fd99:a{link}::2") }
    }

    /// Lines of `ip -batch` in a node.
    pub(super) fn ip(&self, node: usize, lines: &str) -> Result<(), String> {
        run("ip", &["-n", &self.names[node], "-batch", "-"], lines)
    }

    pub(super) fn sysctl(&self, node: usize, path: &str, value: &str) -> Result<(), String> {
        let path = format!("/proc/sys/net/{path}");
        self.inside(node, || std::fs::write(&path, value).map_err(|e| format!("{path}: {e}")))
    }

    /// Runs in a node, on a thread of its own.
    pub(super) fn inside<T: Send>(&self, node: usize, work: impl FnOnce() -> T + Send) -> T {
        let path = format!("/run/netns/{}", self.names[node]);
        std::thread::scope(|scope| {
            let working = scope.spawn(move || {
                let space = File::open(&path).expect("the namespace is there");
                let network = Some(LinkNameSpaceType::Network);
                rustix::thread::move_into_link_name_space(
                    std::os::fd::AsFd::as_fd(&space),
                    network,
                )
                .expect("who made it may enter it");
                work()
            });
            working.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// A test in the first node. `is_privileged` is with raw sockets, and without all rights otherwise.
    pub(super) fn test<F: Future<Output = ()>>(
        &self,
        is_privileged: bool,
        work: impl FnOnce() -> F + Send,
    ) {
        self.inside(0, || {
            if !is_privileged {
                give_up_rights();
            }
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(work());
        });
    }
}

/// Removes the namespaces whose makers are gone.
fn remove_leftovers() {
    let entries = std::fs::read_dir("/run/netns").into_iter().flatten().flatten();
    for name in entries.filter_map(|entry| entry.file_name().into_string().ok()) {
        let maker = name.strip_prefix(PREFIX).and_then(|rest| rest.split('-').next());
        if maker.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
            run("ip", &["netns", "delete", &name], "").ok();
        }
    }
}

/// This thread has no capabilities from now on.
fn give_up_rights() {
    let none = CapabilitySet::empty();
    let sets = CapabilitySets { effective: none, permitted: none, inheritable: none };
    rustix::thread::set_capabilities(None, sets).expect("rights can be given up");
}

impl Drop for Chain {
    fn drop(&mut self) {
        for name in &self.names {
            run("ip", &["netns", "delete", name], "").ok();
        }
    }
}

fn run(program: &str, args: &[&str], input: &str) -> Result<(), String> {
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|e| format!("{program}: {e}"))?;
    child.stdin.take().expect("it is piped").write_all(input.as_bytes()).ok();
    let output = child.wait_with_output().map_err(|e| format!("{program}: {e}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(format!("'{program} {}': {said}", args.join(" ")))
}
