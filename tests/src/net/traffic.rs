//! What an engine sends to addresses that are not public, counted by nftables where it leaves and where it
//! arrives: also a SYN and a datagram that nobody answers.
//!
//! The networks are written down here again, from the registries and not from the product: two lists that
//! must agree.

use std::net::{Ipv4Addr, Ipv6Addr};

use serde_json::Value;

use super::namespace::{Namespace, Unavailable};
use super::{ALLOWED_NETWORK, ALLOWED_PORT, DENIED_PORT, ENGINE_V4, GATEWAY_PORT};

/// A kind of address, and its networks of IPv4 and IPv6. The first match counts.
type Kind = (&'static str, &'static [(Ipv4Addr, u8)], &'static [&'static str]);

const fn v4(a: u8, b: u8, c: u8, d: u8, length: u8) -> (Ipv4Addr, u8) {
    (Ipv4Addr::new(a, b, c, d), length)
}

/// Sources: IANA IPv4 and IPv6 Special-Purpose Address Registries; the metadata addresses are those that the
/// clouds document (AWS with ECS and EKS, Google, Azure, Alibaba, Oracle, OpenStack, Scaleway, Tencent).
const KINDS: &[Kind] = &[
    (
        "metadata",
        &[
            v4(169, 254, 169, 254, 32),
            v4(169, 254, 170, 2, 32),
            v4(169, 254, 170, 23, 32),
            v4(169, 254, 42, 42, 32),
            v4(169, 254, 0, 23, 32),
            v4(100, 100, 100, 200, 32),
            v4(192, 0, 0, 192, 32),
            v4(168, 63, 129, 16, 32),
        ],
        &[
            "fd00:ec2::254/128",
            "fd00:ec2::23/128",
            "fd20:ce::254/128",
            "fe80::a9fe:a9fe/128",
            "fd00:c1::a9fe:a9fe/128",
            "fd00:42::42/128",
        ],
    ),
    ("loopback", &[v4(127, 0, 0, 0, 8)], &["::1/128"]),
    ("link_local", &[v4(169, 254, 0, 0, 16)], &["fe80::/10"]),
    (
        "private",
        &[v4(10, 0, 0, 0, 8), v4(172, 16, 0, 0, 12), v4(192, 168, 0, 0, 16), v4(100, 64, 0, 0, 10)],
        &["fc00::/7", "fec0::/10"],
    ),
    (
        "reserved",
        &[
            v4(0, 0, 0, 0, 8),
            v4(192, 0, 0, 0, 24),
            v4(192, 0, 2, 0, 24),
            v4(192, 88, 99, 0, 24),
            v4(198, 18, 0, 0, 15),
            v4(198, 51, 100, 0, 24),
            v4(203, 0, 113, 0, 24),
            v4(224, 0, 0, 0, 3),
        ],
        // Everything outside of 2000::/3 that is not NAT64, and what is set apart inside of it: IETF
        // protocols with Teredo, documentation.
        &[
            "::/10",
            "40::/11",
            "60::/14",
            "100::/8",
            "200::/7",
            "400::/6",
            "800::/5",
            "1000::/4",
            "4000::/2",
            "8000::/1",
            "2001::/23",
            "2001:db8::/32",
            "3fff::/20",
            "64:ff9b:1::/48",
        ],
    ),
];

/// The IPv4 networks that are no target inside of an IPv6 address either: those above, and the engine itself.
fn inner() -> impl Iterator<Item = (Ipv4Addr, u8)> {
    let own = ENGINE_V4.parse().map(|own| (own, 32));
    KINDS.iter().flat_map(|(_, networks, _)| networks.iter().copied()).chain(own)
}

/// The IPv6 networks with such an address inside, by NAT64 and 6to4. Mapped addresses leave as IPv4, the other
/// forms are outside of 2000::/3.
fn embedded() -> Vec<String> {
    let mut networks = Vec::new();
    for (network, length) in inner() {
        let [high, low] = [network.to_bits() >> 16, network.to_bits() & 0xffff];
        let (high, low) = (u16::try_from(high).unwrap_or(0), u16::try_from(low).unwrap_or(0));
        let nat64 = Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, high, low);
        networks.push(format!("{nat64}/{}", 96 + length));
        let six_to_four = Ipv6Addr::new(0x2002, high, low, 0, 0, 0, 0, 0);
        networks.push(format!("{six_to_four}/{}", 16 + length));
    }
    networks
}

/// The rules for the same behind any prefix: ISATAP, with or without the bits for universal and group.
fn isatap() -> String {
    let mut rules = String::new();
    for (network, length) in inner() {
        let mask = u32::MAX.checked_shl(32 - u32::from(length)).unwrap_or(0);
        let of = |form: u128, bits: u32| Ipv6Addr::from_bits((form << 32) | u128::from(bits));
        let (mask, value) = (of(0xfcff_ffff, mask), of(0x5efe, network.to_bits()));
        rules.push_str(&format!(
            "ip6 daddr & {mask} == {value} {SEEN_V6} counter name embedded return\n"
        ));
    }
    rules
}

/// Where packets are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// As they leave the engine, also those that stay on its own machine.
    Engine,
    /// As they arrive in the world.
    World,
}

/// The packets of one kind in one namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Count {
    /// `engine`, as they leave; `world`, as they arrive.
    pub place: &'static str,
    /// `metadata`, `private`, `embedded`, `own` (what stays on the engine's machine), `denied_port`, `allowed`.
    pub kind: String,
    /// How many.
    pub packets: u64,
}

impl std::fmt::Display for Count {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} ({})", self.packets, self.kind, self.place)
    }
}

impl Place {
    fn name(self) -> &'static str {
        match self {
            Self::Engine => "engine",
            Self::World => "world",
        }
    }
}

/// Begins to count in a namespace.
pub(super) fn count(namespace: &Namespace, place: Place) -> Result<(), Unavailable> {
    namespace.nft(&["-f", "-"], &ruleset(place)).map(drop)
}

/// What was counted so far, and the destinations (address, protocol, port) behind it.
pub(super) fn read(
    namespace: &Namespace,
    place: Place,
) -> Result<(Vec<Count>, Vec<String>), Unavailable> {
    let text = namespace.nft(&["-j", "list", "table", "inet", "canary"], "")?;
    let listing: Value = serde_json::from_str(&text).map_err(|e| Unavailable(e.to_string()))?;
    let (mut counts, mut seen) = (Vec::new(), Vec::new());
    for item in listing["nftables"].as_array().into_iter().flatten() {
        let counter = &item["counter"];
        if let (Some(name), Some(packets)) = (counter["name"].as_str(), counter["packets"].as_u64())
        {
            counts.push(Count { place: place.name(), kind: name.to_owned(), packets });
        }
        for element in item["set"]["elem"].as_array().into_iter().flatten() {
            let parts = element["concat"].as_array().into_iter().flatten();
            let parts: Vec<_> = parts.map(|part| part.to_string().replace('"', "")).collect();
            seen.extend((!parts.is_empty()).then(|| parts.join(" ")));
        }
    }
    Ok((counts, seen))
}

fn ruleset(place: Place) -> String {
    let (mut sets, mut rules) = (String::new(), String::new());
    let mut counter = |name: &str| sets.push_str(&format!("counter {name} {{ }}\n"));
    for name in ["allowed", "denied_port", "own"] {
        counter(name);
    }
    match place {
        // The gateway is on loopback; whatever else stays on this machine was aimed at it, but for the
        // answers of the servers that wait for it.
        Place::Engine => rules.push_str(&format!(
            "oifname lo tcp sport {{ 80, 443, {GATEWAY_PORT} }} return\n\
             oifname lo tcp dport {GATEWAY_PORT} return\n\
             oifname lo meta nfproto ipv4 {SEEN_V4} counter name own return\n\
             oifname lo meta nfproto ipv6 {SEEN_V6} counter name own return\n"
        )),
        Place::World => rules.push_str("iifname lo return\n"),
    }
    // Neighbours and multicast listeners, by which IPv6 works at all.
    rules.push_str("icmpv6 type { 130, 131, 132, 133, 134, 135, 136, 143 } return\n");
    rules.push_str(&format!(
        "ip daddr {ALLOWED_NETWORK} tcp dport {ALLOWED_PORT} counter name allowed return\n\
         tcp dport {DENIED_PORT} counter name denied_port return\n"
    ));
    let mut kinds: Vec<(&str, Vec<String>, Vec<String>)> = Vec::new();
    for (name, four, six) in KINDS {
        let four = four.iter().map(|(network, length)| format!("{network}/{length}")).collect();
        kinds.push((name, four, six.iter().map(|&network| network.to_owned()).collect()));
    }
    kinds.push(("embedded", Vec::new(), embedded()));
    for (name, four, six) in kinds {
        sets.push_str(&format!("counter {name} {{ }}\n"));
        for (family, kind, networks, seen) in
            [("ip", "ipv4_addr", four, SEEN_V4), ("ip6", "ipv6_addr", six, SEEN_V6)]
        {
            if networks.is_empty() {
                continue;
            }
            sets.push_str(&format!(
                "set {name}_{family} {{ type {kind}; flags interval; auto-merge; elements = {{ {} }} }}\n",
                networks.join(", ")
            ));
            rules.push_str(&format!(
                "{family} daddr @{name}_{family} {seen} counter name {name} return\n"
            ));
        }
    }
    rules.push_str(&isatap());
    let hook = match place {
        Place::Engine => "output",
        Place::World => "prerouting",
    };
    format!(
        "table inet canary {{\n\
         set seen_v4 {{ type ipv4_addr . inet_proto . inet_service; flags dynamic; size {SEEN_MAX}; }}\n\
         set seen_v6 {{ type ipv6_addr . inet_proto . inet_service; flags dynamic; size {SEEN_MAX}; }}\n\
         {sets}chain traffic {{\n\
         type filter hook {hook} priority raw; policy accept;\n{rules}}}\n}}\n"
    )
}

/// Destinations that are remembered for the message of a failure; counters count on without them.
const SEEN_MAX: usize = 4096;
const SEEN_V4: &str = "add @seen_v4 { ip daddr . meta l4proto . th dport }";
const SEEN_V6: &str = "add @seen_v6 { ip6 daddr . meta l4proto . th dport }";
