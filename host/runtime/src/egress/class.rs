//! What an address is, by the registries. Default deny: what is not known to be global unicast has a name
//! here, or is `reserved`.
//!
//! Source: IANA IPv4 and IPv6 Special-Purpose Address Registries; IANA IPv6 Address Space; RFC 6890.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::embedded::{self, Reach};

/// Why an address is not a public one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Special {
    /// Its network has a purpose of its own, in the registry's words.
    Class(&'static str),
    /// It carries this IPv4 address. `class` is what that one is; `None` where a public address gets
    /// nowhere in this form.
    Inner { form: &'static str, inner: Ipv4Addr, class: Option<&'static str> },
}

/// What `address` is, unless it is global unicast. An IPv4 address inside an IPv6 one is judged by itself.
pub(super) fn special(address: IpAddr) -> Option<Special> {
    match address {
        IpAddr::V4(v4) => special_v4(v4).map(Special::Class),
        IpAddr::V6(v6) => special_v6(v6),
    }
}

/// Network, prefix length, what it is. The first match counts.
///
/// Rows of the registry that are global are not here, as long as they lead to servers of the public
/// Internet: 192.31.196.0/24 and 192.175.48.0/24 (AS112). Those that lead to the nearest relay or router,
/// which may be one's own, are refused: 192.0.0.9 and 192.0.0.10 (PCP, TURN), 192.52.193.0/24 (AMT).
const SPECIAL_V4: &[(Ipv4Addr, u32, &str)] = &[
    (Ipv4Addr::new(0, 0, 0, 0), 8, "this host"),
    (Ipv4Addr::new(10, 0, 0, 0), 8, "private"),
    (Ipv4Addr::new(100, 64, 0, 0), 10, "carrier-grade NAT"),
    (Ipv4Addr::new(127, 0, 0, 0), 8, "loopback"),
    (Ipv4Addr::new(169, 254, 0, 0), 16, "link-local"),
    (Ipv4Addr::new(172, 16, 0, 0), 12, "private"),
    (Ipv4Addr::new(192, 0, 0, 0), 24, "reserved"),
    (Ipv4Addr::new(192, 0, 2, 0), 24, "documentation"),
    (Ipv4Addr::new(192, 52, 193, 0), 24, "a relay's anycast"),
    (Ipv4Addr::new(192, 88, 99, 0), 24, "reserved"),
    (Ipv4Addr::new(192, 168, 0, 0), 16, "private"),
    (Ipv4Addr::new(198, 18, 0, 0), 15, "benchmarking"),
    (Ipv4Addr::new(198, 51, 100, 0), 24, "documentation"),
    (Ipv4Addr::new(203, 0, 113, 0), 24, "documentation"),
    (Ipv4Addr::new(224, 0, 0, 0), 4, "multicast"),
    (Ipv4Addr::new(255, 255, 255, 255), 32, "broadcast"),
    (Ipv4Addr::new(240, 0, 0, 0), 4, "reserved"),
];

/// As [`SPECIAL_V4`]; `None` is global. Forms that carry an IPv4 address are in [`embedded`].
const SPECIAL_V6: &[(Ipv6Addr, u32, Option<&str>)] = &[
    (Ipv6Addr::UNSPECIFIED, 128, Some("unspecified")),
    (Ipv6Addr::LOCALHOST, 128, Some("loopback")),
    (Ipv6Addr::new(0x64, 0xff9b, 1, 0, 0, 0, 0, 0), 48, Some("private (local NAT64)")),
    (Ipv6Addr::new(0x100, 0, 0, 0, 0, 0, 0, 0), 64, Some("discard-only")),
    (Ipv6Addr::new(0x100, 0, 0, 1, 0, 0, 0, 0), 64, Some("a dummy prefix")),
    // Protocol assignments. Of those that the registry calls global, AS112 is a server like others; the
    // rest leads to the nearest relay or router (2001:1::/32, AMT 2001:3::/32) or names something that
    // packets do not reach (ORCHIDv2 2001:20::/28, drones 2001:30::/28).
    (Ipv6Addr::new(0x2001, 4, 0x112, 0, 0, 0, 0, 0), 48, None),
    (Ipv6Addr::new(0x2001, 2, 0, 0, 0, 0, 0, 0), 48, Some("benchmarking")),
    (Ipv6Addr::new(0x2001, 3, 0, 0, 0, 0, 0, 0), 32, Some("a relay's anycast")),
    (Ipv6Addr::new(0x2001, 0x10, 0, 0, 0, 0, 0, 0), 28, Some("an identifier (ORCHID)")),
    (Ipv6Addr::new(0x2001, 0x20, 0, 0, 0, 0, 0, 0), 28, Some("an identifier (ORCHID)")),
    (Ipv6Addr::new(0x2001, 0x30, 0, 0, 0, 0, 0, 0), 28, Some("an identifier (DRIP)")),
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23, Some("reserved")),
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32, Some("documentation")),
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20, Some("documentation")),
    (Ipv6Addr::new(0x5f00, 0, 0, 0, 0, 0, 0, 0), 16, Some("a segment identifier (SRv6)")),
    (Ipv6Addr::new(0xfc00, 0, 0, 0, 0, 0, 0, 0), 7, Some("unique local")),
    (Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0), 10, Some("link-local")),
    (Ipv6Addr::new(0xfec0, 0, 0, 0, 0, 0, 0, 0), 10, Some("site-local")),
    (Ipv6Addr::new(0xff00, 0, 0, 0, 0, 0, 0, 0), 8, Some("multicast")),
    // Global unicast; 2620:4f:8000::/48 (AS112) is in it.
    (Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), 3, None),
    (Ipv6Addr::UNSPECIFIED, 0, Some("reserved")),
];

fn special_v4(address: Ipv4Addr) -> Option<&'static str> {
    SPECIAL_V4
        .iter()
        .find(|(network, length, _)| (address.to_bits() ^ network.to_bits()) >> (32 - length) == 0)
        .map(|(_, _, kind)| *kind)
}

fn special_v6(address: Ipv6Addr) -> Option<Special> {
    let mut nowhere = None;
    let mut is_inner = false;
    for (form, inner) in embedded::forms(address) {
        if form.reach == Reach::Unknown {
            continue;
        }
        let found = Special::Inner { form: form.name, inner, class: special_v4(inner) };
        match (special_v4(inner), form.reach) {
            (Some(_), _) => return Some(found),
            (None, Reach::Nowhere) => nowhere = nowhere.or(Some(found)),
            (None, Reach::Inner) => is_inner = true,
            (None, _) => {}
        }
    }
    if nowhere.is_some() || is_inner {
        return nowhere;
    }
    SPECIAL_V6
        .iter()
        .find(|(network, length, _)| embedded::is_within(address, *network, *length))
        .and_then(|(_, _, kind)| kind.map(Special::Class))
}
