//! The command line as settings, and what a probe is made of; refusals are in traceroute's words.

use std::net::IpAddr;
use std::time::Duration;

use blitz_plugin::Failure;
use blitz_plugin::probes::{Probe, Protocol, Target};
use blitz_plugin::web::Family;

use crate::Args;
use crate::strategy::{Plan, Query, Wait};

/// As in traceroute. A command line that does not fit.
pub(crate) const EXIT_USAGE: u8 = 2;

/// As in traceroute.
const QUERIES_MAX: i64 = 10;
const PACKET_BYTES_MAX: i64 = 65_000;
/// Of the packet behind the header of IP.
const PAYLOAD_BYTES: u16 = 40;
/// The header of UDP or of an echo.
const SHORT_HEADER_BYTES: u16 = 8;
/// The first of the ports at which nobody listens.
const PORT_FIRST: u16 = 33_434;
const PORT_UDP: u16 = 53;
const PORT_TCP: u16 = 80;
/// Source ports that `-U` goes through: an engine has a socket for each, and 64 at most.
const FLOWS: u32 = 64;

/// A whole command line.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) target: Target,
    pub(crate) plan: Plan,
    /// `None` is traceroute's own size for the family.
    packet_bytes: Option<u16>,
    port: u16,
    /// Each probe goes to the next port.
    port_grows: bool,
    is_paris: bool,
    pub(crate) finds_mtu: bool,
    pub(crate) is_numeric: bool,
    pub(crate) shows_labels: bool,
    pub(crate) shows_networks: bool,
}

impl Settings {
    pub(crate) fn read(args: &Args) -> Result<Self, Failure> {
        let refuse = |text: &str| Err(Failure::new(EXIT_USAGE, text));
        let family = match (args.ipv4, args.ipv6) {
            (true, true) => return refuse("only one of -4 and -6 may be given"),
            (true, false) => Family::Ipv4,
            (false, true) => Family::Ipv6,
            (false, false) => Family::Any,
        };
        let (protocol, port, port_grows) = match (args.icmp, args.tcp, args.udp) {
            (false, false, false) => (Protocol::Udp, PORT_FIRST, !args.paris),
            (true, false, false) => (Protocol::Icmp, 0, false),
            (false, true, false) => (Protocol::Tcp, PORT_TCP, false),
            (false, false, true) => (Protocol::Udp, PORT_UDP, false),
            _ => return refuse("only one of -I, -T and -U may be given"),
        };
        let Ok(port) = args.port.map_or(Ok(port), u16::try_from) else {
            return refuse("port out of range: 0 to 65535");
        };
        let Some(last) = u8::try_from(args.max_hops).ok().filter(|last| *last > 0) else {
            return refuse(match args.max_hops {
                ..=0 => "max hops must be 1 or more",
                _ => "max hops cannot be more than 255",
            });
        };
        let first = u8::try_from(args.first).ok().filter(|first| (1..=last).contains(first));
        let Some(first) = first else { return refuse("first hop out of range") };
        let queries = args.queries;
        if queries > QUERIES_MAX {
            return refuse("no more than 10 probes per hop");
        }
        let Some(queries) = usize::try_from(queries).ok().filter(|count| *count > 0) else {
            return refuse("at least one probe per hop");
        };
        let out_max = match args.sim_queries.map(usize::try_from) {
            None => None,
            Some(Ok(count)) if count > 0 => Some(count),
            Some(_) => return refuse("at least one probe must be out at once: -N 1"),
        };
        let packet_bytes = match args.packetlen.map(u16::try_from) {
            None => None,
            Some(Ok(bytes)) if i64::from(bytes) <= PACKET_BYTES_MAX => Some(bytes),
            Some(_) => {
                let text = format!("too big packetlen {} specified", args.packetlen.unwrap_or(0));
                return refuse(&text);
            }
        };
        let target = Target {
            host: args.host.clone(),
            family,
            protocol,
            dont_fragment: args.dont_fragment || args.mtu,
            names: !args.numeric,
        };
        let target_is_rationed = protocol == Protocol::Udp;
        let wait = wait(&args.wait)?;
        let plan = Plan { first, last, queries, out_max, wait, target_is_rationed };
        Ok(Self {
            target,
            plan,
            packet_bytes: packet_bytes.or(args.mtu.then_some(65_000)),
            port,
            port_grows,
            is_paris: args.paris,
            finds_mtu: args.mtu,
            is_numeric: args.numeric,
            shows_labels: args.extensions,
            shows_networks: args.as_path_lookups,
        })
    }

    /// The size of a packet to this address.
    pub(crate) fn size_bytes(&self, address: IpAddr) -> u16 {
        let header = if address.is_ipv4() { 20 } else { 40 };
        self.packet_bytes.unwrap_or(header + PAYLOAD_BYTES).max(header + SHORT_HEADER_BYTES)
    }

    /// What a query looks like on the way.
    ///
    /// Ports tell UDP probes apart, so one source port serves; where all go to one port, the source port does.
    pub(crate) fn probe(&self, query: &Query) -> Probe {
        let own = |modulus: u32| u16::try_from(query.id % modulus).unwrap_or(0);
        let any = u32::from(u16::MAX);
        let (flow, port) = match self.target.protocol {
            _ if self.is_paris => (0, self.port),
            Protocol::Icmp => (0, 0),
            Protocol::Tcp => (own(any), self.port),
            Protocol::Udp if self.port_grows => (0, self.port.wrapping_add(own(any)).max(1)),
            Protocol::Udp => (own(FLOWS), self.port),
        };
        Probe { id: query.id, ttl: query.ttl, size_bytes: query.size_bytes, flow, port }
    }
}

/// `MAX`, `MAX,HERE` or `MAX,HERE,NEAR`. What is left out keeps its default.
fn wait(text: &str) -> Result<Wait, Failure> {
    let mut wait = Wait { max: Duration::ZERO, here: 3.0, near: 3.0 };
    let refuse = || Failure::new(EXIT_USAGE, format!("bad wait specifications `{text}' used"));
    for (at, part) in text.split(',').enumerate() {
        let number = part.parse::<f64>().ok().filter(|n| (0.0..=1e6).contains(n));
        let number = number.ok_or_else(refuse)?;
        match at {
            0 => wait.max = Duration::from_secs_f64(number),
            1 => wait.here = number,
            2 => wait.near = number,
            _ => return Err(refuse()),
        }
    }
    Ok(wait)
}
