//! A path: routers in a row between a source and a destination, each a network namespace of its own.
//!
//! [`Path::builder`] says what is in its way: silent routers, a link that takes time or carries less, two
//! routers side by side, limits of ICMP. `places` has the addresses, so that a test knows the path without
//! asking it; [`wire`] is the link that takes time, [`forger`] a router that lies, and [`labels`] one that
//! tells of MPLS, which not every kernel can. [`output`] reads what the tools print. Engine, gateway and store
//! run in the source, beside Debian's tools.

mod build;
mod firewall;
pub mod forger;
pub mod labels;
mod nobody;
pub mod output;
mod places;
mod raw;
mod running;
pub mod wire;

use std::process::Stdio;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use serde_json::Value;
use tokio::process::{Child, Command};

use super::namespace::Namespace;
use super::process::{LIMIT, Log, started};
use super::server::{Plan, READY};
use crate::{Home, Outcome};

pub use build::{Builder, Spread};
use places::behind_twin;
pub use places::{DeadEnd, Family, TWIN_TARGETS, hop, target, twin};
pub use running::Running;
pub use wire::Delay;

/// Names of the source's machine for what is on the path: `r1` to `rN`, `twin` and `dst`.
const DOMAIN: &str = "path.example";

/// Where Debian keeps some of the tools, and a user does not look.
const ADMINISTRATORS: [&str; 2] = ["/usr/sbin", "/sbin"];

/// Where the gateway listens, on the source.
const LISTEN: &str = "127.0.0.1:8042";

/// A path. Dropped, its processes are ended and its namespaces removed.
#[derive(Debug)]
pub struct Path {
    wire: Option<Child>,
    /// From the source to the destination.
    nodes: Vec<Namespace>,
    /// The twin of a router, and the machine of the wires.
    _others: Vec<Namespace>,
    plan: Builder,
    home: Home,
    nobody: OnceLock<nobody::Home>,
    token: Mutex<String>,
}

/// An engine with its store and its gateway on the source. Dropped, it ends at once.
#[derive(Debug)]
pub struct Engine {
    _child: Child,
}

/// A server on a node. Dropped, it ends at once.
#[derive(Debug)]
pub struct Server {
    _child: Child,
}

/// A process on a router that answers probes by itself. Dropped, it ends at once.
#[derive(Debug)]
pub struct Watcher {
    _child: Child,
    log: Log,
}

impl Watcher {
    /// How many probes it has answered so far.
    #[must_use]
    pub fn answered_count(&self) -> usize {
        // All of its lines but the first.
        self.log.lock().unwrap_or_else(PoisonError::into_inner).len().saturating_sub(1)
    }
}

impl Path {
    /// A path over so many routers.
    #[must_use]
    pub fn builder(routers: u8) -> Builder {
        Builder::new(routers)
    }

    /// Starts `blitz up` on the source with these arguments: store, gateway and an engine of the region `local`.
    ///
    /// # Panics
    ///
    /// When it does not get ready.
    pub async fn engine(&self, args: &[&str]) -> Engine {
        let command = self.blitz_command(&up(args));
        self.started_engine(command, &self.home.path().join("up.json")).await
    }

    async fn started_engine(&self, mut command: Command, state: &std::path::Path) -> Engine {
        command.env("BLITZ_STATE", state);
        let (child, ready) = started(command, Log::default(), "up");
        ready.until(|line| line.contains("^C ends it")).await;
        let state = std::fs::read_to_string(state).expect("the state file");
        let state: Value = serde_json::from_str(&state).expect("JSON");
        let token = state["token"].as_str().unwrap_or_default();
        token.clone_into(&mut self.token.lock().unwrap_or_else(PoisonError::into_inner));
        Engine { _child: child }
    }

    /// Runs `blitz` on the source, against the engine there.
    ///
    /// # Panics
    ///
    /// When it does not end.
    pub async fn blitz(&self, args: &[&str]) -> Outcome {
        ended(self.blitz_command(args), &format!("blitz {args:?}")).await
    }

    /// Starts `blitz` on the source.
    ///
    /// # Panics
    ///
    /// When it does not start.
    #[must_use]
    pub fn start_blitz(&self, args: &[&str]) -> Running {
        Running::start(self.blitz_command(args))
    }

    /// Runs any program on the source, to its end.
    ///
    /// # Panics
    ///
    /// When it does not start or does not end.
    pub async fn run(&self, words: &[&str]) -> Outcome {
        ended(self.command(0, words), &words.join(" ")).await
    }

    /// Whether the source has a program of this name.
    pub async fn has(&self, program: &str) -> bool {
        self.run(&["sh", "-c", &format!("command -v {program}")]).await.code == Some(0)
    }

    /// A program on a node: 0 is the source, 1 the first router.
    ///
    /// # Panics
    ///
    /// When there are no words or no such node.
    #[must_use]
    pub fn command(&self, node: u8, words: &[&str]) -> Command {
        let (program, args) = words.split_first().expect("a program");
        let mut command = Command::new(program);
        command.args(args);
        let mut command = self.nodes[usize::from(node)].enter(&command);
        let path = std::env::var("PATH").unwrap_or_default();
        let path = format!("{path}:{}", ADMINISTRATORS.join(":"));
        command.env("PATH", path).env("LC_ALL", "C");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn blitz_command(&self, args: &[&str]) -> Command {
        let mut command = self.nodes[0].enter(&self.home.command(args));
        command
            .env("BLITZ_HOST", format!("http://{LISTEN}"))
            .env("BLITZ_TOKEN", self.token.lock().unwrap_or_else(PoisonError::into_inner).as_str())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// The namespace of a node.
    ///
    /// # Panics
    ///
    /// When there is no such node.
    #[must_use]
    pub fn namespace(&self, node: u8) -> &Namespace {
        &self.nodes[usize::from(node)]
    }

    /// The path to the destination, or to a further address of a node: who answers, in the order of the hops;
    /// `None` for a router that is silent. The last one is the target itself.
    #[must_use]
    pub fn to(&self, node: u8, number: u8, family: Family) -> Vec<Option<String>> {
        let mut hops = self.routers_before(node, number, family);
        hops.push(Some(target(node, number, family)));
        hops
    }

    /// As [`Self::to`], to the destination's own address.
    #[must_use]
    pub fn to_destination(&self, family: Family) -> Vec<Option<String>> {
        let mut hops = self.routers_before(self.destination_node(), 0, family);
        hops.push(Some(self.destination(family)));
        hops
    }

    fn routers_before(&self, node: u8, number: u8, family: Family) -> Vec<Option<String>> {
        let by_twin = |at: u8| match self.plan.twin {
            Some((twin, Spread::Targets)) => twin == at && number >= TWIN_TARGETS,
            _ => false,
        };
        let router = |k: u8| match family {
            _ if by_twin(k) => twin(family),
            // IPv6 answers from where the packet came in, IPv4 from where the answer goes out.
            Family::V6 if by_twin(k - 1) => behind_twin(),
            _ => hop(k, family),
        };
        (1..node).map(|k| (!self.plan.silent.contains(&k)).then(|| router(k))).collect()
    }

    /// The destination's node.
    #[must_use]
    pub fn destination_node(&self) -> u8 {
        self.plan.routers + 1
    }

    /// The destination's own address.
    #[must_use]
    pub fn destination(&self, family: Family) -> String {
        hop(self.destination_node(), family)
    }

    /// An address behind the last router that it does not pass on.
    #[must_use]
    pub fn dead_end(&self, end: DeadEnd, family: Family) -> String {
        end.address(family)
    }

    /// Lets a router lie about every probe that reaches it, until what is given is dropped.
    ///
    /// # Panics
    ///
    /// When it does not start.
    pub async fn liar_at(&self, node: u8) -> Watcher {
        self.watcher(node, &[forger::WORD, &self.source()]).await
    }

    /// Lets a router that is silent tell of labels of MPLS, until what is given is dropped.
    ///
    /// # Panics
    ///
    /// When it does not start.
    pub async fn labels_at(&self, node: u8) -> Watcher {
        self.watcher(node, &[labels::WORD, &self.source(), &hop(node, Family::V4)]).await
    }

    async fn watcher(&self, node: u8, words: &[&str]) -> Watcher {
        let carrier = self.carrier();
        let mut command = self.command(node, &[&[carrier.as_str()], words].concat());
        command.stdin(Stdio::piped());
        let log = Log::default();
        let (child, ready) = started(command, Arc::clone(&log), "watcher");
        ready.until(|line| line == raw::READY).await;
        Watcher { _child: child, log }
    }

    /// The source's own address of IPv4.
    fn source(&self) -> String {
        places::link(1, places::End::Left, Family::V4)
    }

    /// Lets a node answer questions for names at its own addresses, until what is given is dropped.
    ///
    /// # Panics
    ///
    /// When it does not start.
    pub async fn name_server_at(&self, node: u8) -> Server {
        let dns = Family::ALL.map(|family| hop(node, family).parse().expect("an address"));
        let plan = Plan { dns: dns.to_vec(), ..Plan::default() };
        let (carrier, words) = (self.carrier(), plan.to_words());
        let mut all = vec![carrier.as_str(), "netns-server"];
        all.extend(words.iter().map(String::as_str));
        let mut command = self.command(node, &all);
        command.stdin(Stdio::piped());
        let (child, ready) = started(command, Log::default(), "server");
        ready.until(|line| line == READY).await;
        Server { _child: child }
    }

    /// The binary with the hidden modes.
    fn carrier(&self) -> String {
        let carrier = self.home.path().join("blitz").canonicalize().expect("a link to the carrier");
        carrier.into_os_string().into_string().expect("a path that is text")
    }

    /// Takes the link behind a node away: 0 is the source's own.
    ///
    /// # Panics
    ///
    /// When it was not there.
    pub fn cut_behind(&self, node: u8) {
        self.namespace(node).ip(&["link", "set", "right", "down"]).expect("a link");
    }

    /// Lets a router swallow whatever it should pass on, without a word.
    ///
    /// # Panics
    ///
    /// When nftables does not answer.
    pub fn swallow_at(&self, node: u8) {
        self.namespace(node).nft(&["-f", "-"], firewall::swallow()).expect("a rule");
    }

    /// Counts what leaves a node for a network from now on; [`Self::counted`] reads it.
    ///
    /// # Panics
    ///
    /// When nftables does not answer.
    pub fn count_to(&self, node: u8, networks: &[&str]) {
        self.namespace(node).nft(&["-f", "-"], &firewall::count(networks)).expect("counters");
    }

    /// Packets that were counted.
    ///
    /// # Panics
    ///
    /// When nothing counts there.
    #[must_use]
    pub fn counted(&self, node: u8) -> u64 {
        let text = self.namespace(node).nft(&["-j", "list", "counter", "inet", "seen", "seen"], "");
        let listing: Value = serde_json::from_str(&text.expect("a counter")).expect("JSON");
        let items = listing["nftables"].as_array().into_iter().flatten();
        items.filter_map(|item| item["counter"]["packets"].as_u64()).sum()
    }

    /// Lets the source's kernel forget what it has heard of what the links carry.
    ///
    /// # Panics
    ///
    /// When `ip` does not do it.
    pub fn forget_mtus(&self) {
        for family in Family::ALL {
            self.namespace(0).ip(&[family.option(), "route", "flush", "cache"]).expect("a flush");
        }
    }

    /// The home directory of the user on the source.
    #[must_use]
    pub fn home(&self) -> &std::path::Path {
        self.home.path()
    }
}

impl Drop for Path {
    fn drop(&mut self) {
        // Its namespace cannot go while it runs there.
        if let Some(wire) = &mut self.wire {
            wire.start_kill().ok();
        }
    }
}

/// The words of `blitz up` with a gateway where clients look for it.
fn up<'a>(args: &[&'a str]) -> Vec<&'a str> {
    [&["up", "--listen", LISTEN], args].concat()
}

async fn ended(mut command: Command, what: &str) -> Outcome {
    let output = tokio::time::timeout(LIMIT, command.output()).await;
    let output = output.unwrap_or_else(|_| panic!("{what} did not end in {LIMIT:?}"));
    let output = output.unwrap_or_else(|e| panic!("{what} does not start: {e}"));
    Outcome {
        code: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}
