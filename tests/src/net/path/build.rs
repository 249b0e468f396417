//! How a path is made: first what is asked for, then one list of `ip`'s lines for each node.

use std::sync::{Mutex, OnceLock};

use tokio::process::Command;

use super::places::{
    End, Family, TARGETS_V6, TWIN_LINK, TWIN_TARGETS, hardware, hop, link, link_network, target,
    target_network, twin,
};
use super::wire::{self, Delay};
use super::{ADMINISTRATORS, DOMAIN, Path, firewall};
use crate::Home;
use crate::net::namespace::{Namespace, Unavailable, or_skipped, remove_leftovers};
use crate::net::process::{Log, started};

/// A path that is longer has more hops than traceroute looks at.
const ROUTERS_MAX: u8 = 29;

/// What a link carries unless something else is said.
const MTU: u16 = 1500;

/// The way of packets over two routers side by side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spread {
    /// By addresses and ports: a flow keeps its way.
    Flows,
    /// By the target: one from [`TWIN_TARGETS`](super::TWIN_TARGETS) on goes by the twin.
    Targets,
}

/// What a path is like.
#[derive(Debug, Clone)]
pub struct Builder {
    pub(super) routers: u8,
    pub(super) silent: Vec<u8>,
    pub(super) twin: Option<(u8, Spread)>,
    slow: Vec<(u8, Delay)>,
    losses: Vec<(u8, u16)>,
    narrow: Vec<(u8, u16)>,
    has_icmp_limits: bool,
    programs: Vec<&'static str>,
}

impl Builder {
    pub(super) fn new(routers: u8) -> Self {
        assert!((1..=ROUTERS_MAX).contains(&routers), "1 to {ROUTERS_MAX} routers");
        Self {
            routers,
            silent: Vec::new(),
            twin: None,
            slow: Vec::new(),
            losses: Vec::new(),
            narrow: Vec::new(),
            has_icmp_limits: false,
            programs: Vec::new(),
        }
    }

    /// Routers that pass on, but say nothing about what they throw away.
    #[must_use]
    pub fn silent(mut self, routers: &[u8]) -> Self {
        self.silent.extend(routers);
        self
    }

    /// The link that leads to this node takes so much time.
    #[must_use]
    pub fn slow(mut self, link: u8, delay: Delay) -> Self {
        self.slow.push((link, delay));
        self
    }

    /// A router that loses one of so many packets that it should pass on.
    #[must_use]
    pub fn loses_one_of(mut self, router: u8, packets: u16) -> Self {
        self.losses.push((router, packets));
        self
    }

    /// The link that leads to this node carries packets of so many bytes.
    #[must_use]
    pub fn narrow(mut self, link: u8, mtu: u16) -> Self {
        self.narrow.push((link, mtu));
        self
    }

    /// A second router beside this one, which is not the first: packets take one or the other.
    ///
    /// # Panics
    ///
    /// When it is not between two others.
    #[must_use]
    pub fn twin(mut self, router: u8, spread: Spread) -> Self {
        assert!((2..=self.routers).contains(&router), "a router between two others");
        self.twin = Some((router, spread));
        self
    }

    /// Routers and destination say no more than Linux lets them by default: about six messages at once to one
    /// address, then one a second. Without this they answer everything.
    #[must_use]
    pub fn icmp_limits(mut self) -> Self {
        self.has_icmp_limits = true;
        self
    }

    /// Programs without which there is nothing to do on it.
    #[must_use]
    pub fn needs(mut self, programs: &[&'static str]) -> Self {
        self.programs.extend(programs);
        self
    }

    /// Makes it. `None` when this machine cannot: it says why. `carrier` is the binary with the hidden modes.
    ///
    /// # Panics
    ///
    /// When this machine cannot and `BLITZ_TEST_NETNS` is 1, or when the wire does not start.
    pub async fn build(self, carrier: &std::path::Path) -> Option<Path> {
        or_skipped(self.try_build(carrier).await)
    }

    async fn try_build(self, carrier: &std::path::Path) -> Result<Path, Unavailable> {
        remove_leftovers();
        for program in &self.programs {
            is_here(program)?;
        }
        let last = self.routers + 1;
        let mut nodes = Vec::new();
        for node in 0..=last {
            let space = Namespace::new(&self.name(node))?;
            self.set(&space)?;
            nodes.push(space);
        }
        let mut others = Vec::new();
        if self.twin.is_some() {
            let space = Namespace::new("twin")?;
            self.set(&space)?;
            others.push(space);
        }
        let wires = match self.slow.is_empty() {
            true => None,
            false => Some(Namespace::new("wires")?),
        };
        for (node, space) in (0..=last).zip(&nodes) {
            if node > 0 {
                space.ip_lines(&self.end(node, End::Right))?;
            }
            if node < last {
                let next = &nodes[usize::from(node) + 1];
                self.join(node + 1, space, next, wires.as_ref())?;
                space.ip_lines(&self.end(node + 1, End::Left))?;
            }
        }
        if let (Some((at, _)), Some(twin)) = (self.twin, others.first()) {
            let [before, after] = [at - 1, at + 1].map(|node| &nodes[usize::from(node)]);
            self.join_twin(before, twin, after)?;
        }
        for (node, space) in (0..=last).zip(&nodes) {
            space.ip_lines(&self.routes(node))?;
            for rules in self.rules(node) {
                space.nft(&["-f", "-"], &rules)?;
            }
        }
        let source = &nodes[0];
        source.etc("hosts", &self.hosts())?;
        source.etc("nsswitch.conf", "hosts: files\n")?;
        // Nobody listens there: who asks for a name by DNS hears so at once.
        source.etc("resolv.conf", "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n")?;
        let mut wire = None;
        if let Some(space) = &wires {
            let mut command = Command::new(carrier);
            command.arg(wire::WORD);
            command.args(self.slow.iter().map(|(link, delay)| wire::to_word(*link, *delay)));
            let mut command = space.enter(&command);
            command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
            command.stdin(std::process::Stdio::piped());
            let (child, ready) = started(command, Log::default(), "wire");
            ready.until(|line| line == wire::READY).await;
            wire = Some(child);
        }
        others.extend(wires);
        let home = Home::new(carrier);
        Ok(Path {
            wire,
            nodes,
            _others: others,
            plan: self,
            home,
            nobody: OnceLock::new(),
            token: Mutex::new(String::new()),
        })
    }

    fn name(&self, node: u8) -> String {
        match node {
            0 => "src".to_owned(),
            node if node > self.routers => "dst".to_owned(),
            node => format!("r{node}"),
        }
    }

    /// What a node's kernel is told.
    fn set(&self, space: &Namespace) -> Result<(), Unavailable> {
        space.set(&[
            ("net/ipv4/ip_forward", "1"),
            ("net/ipv6/conf/all/forwarding", "1"),
            ("net/ipv4/conf/all/rp_filter", "0"),
            ("net/ipv4/conf/default/rp_filter", "0"),
            // By addresses and ports, where there are two ways.
            ("net/ipv4/fib_multipath_hash_policy", "1"),
            ("net/ipv6/fib_multipath_hash_policy", "1"),
            // Addresses work at once, and none is made up.
            ("net/ipv6/conf/default/accept_dad", "0"),
            ("net/ipv6/conf/default/addr_gen_mode", "1"),
            // As systemd has it on most machines.
            ("net/ipv4/ping_group_range", "0 2147483647"),
        ])?;
        if self.has_icmp_limits {
            return Ok(());
        }
        space.set(&[("net/ipv4/icmp_ratelimit", "0"), ("net/ipv6/icmp/ratelimit", "0")])?;
        // The limit for all addresses together is a namespace's own in newer kernels only.
        let all = [("net/ipv4/icmp_msgs_per_sec", "100000"), ("net/ipv4/icmp_msgs_burst", "10000")];
        space.set(&all).ok();
        Ok(())
    }

    fn mtu(&self, link: u8) -> u16 {
        self.narrow.iter().find(|(at, _)| *at == link).map_or(MTU, |(_, mtu)| *mtu)
    }

    /// The link that leads from one node to the next, by a wire if it takes time.
    fn join(
        &self,
        number: u8,
        from: &Namespace,
        to: &Namespace,
        wires: Option<&Namespace>,
    ) -> Result<(), Unavailable> {
        let slow = self.slow.iter().any(|(link, _)| *link == number);
        match wires.filter(|_| slow) {
            Some(wires) => wire::join(number, wires, from, to),
            None => from.ip_lines(&veth(number, "right", "left", to)).map(drop),
        }
    }

    fn end(&self, number: u8, end: End) -> String {
        let device = match end {
            End::Left => "right",
            End::Right => "left",
        };
        let mut lines = ends(number, end, device, self.mtu(number));
        let node = number;
        if end == End::Right {
            for family in Family::ALL {
                let network = target_network(node, family, false);
                lines.push_str(&format!("route add local {network} dev lo\n"));
            }
            // The kernel answers from an IPv6 address only when it is one of its own in full.
            for number in (1..=TARGETS_V6).flat_map(|n| [n, TWIN_TARGETS + n - 1]) {
                let address = target(node, number, Family::V6);
                lines.push_str(&format!("addr add {address}/128 dev lo nodad\n"));
            }
        }
        lines
    }

    fn join_twin(
        &self,
        before: &Namespace,
        twin: &Namespace,
        after: &Namespace,
    ) -> Result<(), Unavailable> {
        before.ip_lines(&veth(TWIN_LINK, "branch", "left", twin))?;
        before.ip_lines(&ends(TWIN_LINK, End::Left, "branch", MTU))?;
        twin.ip_lines(&veth(TWIN_LINK + 1, "right", "other", after))?;
        after.ip_lines(&ends(TWIN_LINK + 1, End::Right, "other", MTU))?;
        let mut lines = ends(TWIN_LINK, End::Right, "left", MTU);
        lines.push_str(&ends(TWIN_LINK + 1, End::Left, "right", MTU));
        for family in Family::ALL {
            let (left, right) =
                (link(TWIN_LINK, End::Left, family), link(TWIN_LINK + 1, End::Right, family));
            lines.push_str(&format!("route add {} via {left}\n", link_network(1, family)));
            lines.push_str(&format!("route add {} via {right}\n", everything(family)));
        }
        twin.ip_lines(&lines).map(drop)
    }

    /// Everything to the right, but the source.
    fn routes(&self, node: u8) -> String {
        let mut lines = String::new();
        for family in Family::ALL {
            if node > 1 {
                let left = link(node, End::Left, family);
                lines.push_str(&format!("route add {} via {left}\n", link_network(1, family)));
            }
            if node > self.routers {
                continue;
            }
            let next = hop(node + 1, family);
            let everything = everything(family);
            match self.twin.filter(|(at, _)| *at == node + 1) {
                Some((_, Spread::Flows)) => lines.push_str(&format!(
                    "route add {everything} nexthop via {next} nexthop via {}\n",
                    twin(family)
                )),
                Some((at, Spread::Targets)) => {
                    lines.push_str(&format!("route add {everything} via {next}\n"));
                    for node in at + 1..=self.routers + 1 {
                        let network = target_network(node, family, true);
                        lines.push_str(&format!("route add {network} via {}\n", twin(family)));
                    }
                }
                None => lines.push_str(&format!("route add {everything} via {next}\n")),
            }
        }
        lines
    }

    fn rules(&self, node: u8) -> Vec<String> {
        let mut rules = Vec::new();
        if self.silent.contains(&node) {
            rules.push(firewall::silent());
        }
        if node == self.routers {
            rules.push(firewall::dead_ends());
        }
        let losses = self.losses.iter().filter(|(router, _)| *router == node);
        rules.extend(losses.map(|(_, packets)| firewall::loses_one_of(*packets)));
        rules
    }

    /// The file `/etc/hosts` of the source's machine.
    fn hosts(&self) -> String {
        let mut text = "127.0.0.1 localhost\n::1 localhost\n".to_owned();
        text.push_str(&format!("10.1.2.3 private.{DOMAIN}\n169.254.169.254 metadata.{DOMAIN}\n"));
        for family in Family::ALL {
            for node in 1..=self.routers + 1 {
                let name = self.name(node);
                text.push_str(&format!("{} {name}.{DOMAIN} {name}\n", hop(node, family)));
            }
            text.push_str(&format!("{} twin.{DOMAIN} twin\n", twin(family)));
        }
        text
    }
}

fn is_here(program: &str) -> Result<(), Unavailable> {
    let path = std::env::var("PATH").unwrap_or_default();
    let mut directories = path.split(':').chain(ADMINISTRATORS);
    match directories.any(|directory| std::path::Path::new(directory).join(program).exists()) {
        true => Ok(()),
        false => Err(Unavailable(format!("{program:?} is not installed"))),
    }
}

fn everything(family: Family) -> &'static str {
    match family {
        Family::V4 => "0.0.0.0/0",
        Family::V6 => "::/0",
    }
}

/// A link without delay, made at its left end.
fn veth(number: u8, left: &str, right: &str, to: &Namespace) -> String {
    let [near, far] = [End::Left, End::Right].map(|end| hardware(number, end));
    format!(
        "link add name {left} address {near} type veth peer name {right} address {far} netns {}\n",
        to.name()
    )
}

/// The addresses of an end, and its knowledge of the other.
fn ends(number: u8, end: End, device: &str, mtu: u16) -> String {
    let mut lines = format!("link set {device} mtu {mtu} up\n");
    for family in Family::ALL {
        let own = link(number, end, family);
        let other = link(number, end.other(), family);
        let hardware = hardware(number, end.other());
        lines.push_str(&match family {
            Family::V4 => format!("addr add {own}/24 dev {device}\n"),
            Family::V6 => format!("addr add {own}/64 dev {device} nodad\n"),
        });
        // Asking would take time on a slow link, and the first packet would pay for it.
        lines.push_str(&format!(
            "neigh replace {other} lladdr {hardware} dev {device} nud permanent\n"
        ));
    }
    lines
}
