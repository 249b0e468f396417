//! Which addresses a plugin may reach. The one place where that is asked is `http::connect`, on the
//! socket address itself: texts such as `0x7f.1` or `2130706433` are resolved by the system before they
//! come here, and a name may resolve to anything.
//!
//! Source: IANA IPv4 and IPv6 Special-Purpose Address Registries; RFC 6890. Default deny: what is not
//! known to be global unicast is refused.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Which destinations every outgoing connection of every plugin may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum TargetPolicy {
    /// All addresses, loopback and private ones included: one's own machine, one's own network.
    Any,
    /// Global unicast only. An IPv4 address inside an IPv6 one is judged by itself.
    #[default]
    PublicOnly,
}

/// An address that the policy refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{address} is {kind} (policy {policy})")]
pub struct Denied {
    /// The address as it would have been connected to.
    pub address: IpAddr,
    /// What it is, in the registry's words.
    pub kind: &'static str,
    /// The policy that refused.
    pub policy: TargetPolicy,
}

impl fmt::Display for TargetPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Any => "any",
            Self::PublicOnly => "public-only",
        })
    }
}

impl TargetPolicy {
    /// Whether a connection to `address` may be made.
    ///
    /// # Errors
    ///
    /// [`Denied`] names the address and what it is.
    pub fn check(self, address: IpAddr) -> Result<(), Denied> {
        match (self, special(address)) {
            (Self::Any, _) | (Self::PublicOnly, None) => Ok(()),
            (Self::PublicOnly, Some(kind)) => Err(Denied { address, kind, policy: self }),
        }
    }
}

/// What an address is, unless it is global unicast.
fn special(address: IpAddr) -> Option<&'static str> {
    match address {
        IpAddr::V4(v4) => special_v4(v4),
        IpAddr::V6(v6) => special_v6(v6),
    }
}

/// Network, prefix length, what it is. The first match counts.
const SPECIAL_V4: &[(Ipv4Addr, u32, &str)] = &[
    (Ipv4Addr::new(0, 0, 0, 0), 8, "this host"),
    (Ipv4Addr::new(10, 0, 0, 0), 8, "private"),
    (Ipv4Addr::new(100, 64, 0, 0), 10, "carrier-grade NAT"),
    (Ipv4Addr::new(127, 0, 0, 0), 8, "loopback"),
    (Ipv4Addr::new(169, 254, 0, 0), 16, "link-local"),
    (Ipv4Addr::new(172, 16, 0, 0), 12, "private"),
    (Ipv4Addr::new(192, 0, 0, 0), 24, "reserved"),
    (Ipv4Addr::new(192, 0, 2, 0), 24, "documentation"),
    (Ipv4Addr::new(192, 88, 99, 0), 24, "reserved"),
    (Ipv4Addr::new(192, 168, 0, 0), 16, "private"),
    (Ipv4Addr::new(198, 18, 0, 0), 15, "benchmarking"),
    (Ipv4Addr::new(198, 51, 100, 0), 24, "documentation"),
    (Ipv4Addr::new(203, 0, 113, 0), 24, "documentation"),
    (Ipv4Addr::new(224, 0, 0, 0), 4, "multicast"),
    (Ipv4Addr::new(255, 255, 255, 255), 32, "broadcast"),
    (Ipv4Addr::new(240, 0, 0, 0), 4, "reserved"),
];

fn special_v4(address: Ipv4Addr) -> Option<&'static str> {
    SPECIAL_V4
        .iter()
        .find(|(network, length, _)| (address.to_bits() ^ network.to_bits()) >> (32 - length) == 0)
        .map(|(_, _, kind)| *kind)
}

/// The IPv6 forms that carry an IPv4 address: network, prefix length, how many bits lie behind the
/// address, and whether the form with a public address inside is itself globally reachable.
const EMBEDDED_V4: &[(Ipv6Addr, u32, u32, bool)] = &[
    // IPv4-mapped, RFC 4291: the kernel connects by IPv4.
    (Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, 0, 0), 96, 0, true),
    // IPv4-translated (SIIT), RFC 2765.
    (Ipv6Addr::new(0, 0, 0, 0, 0xffff, 0, 0, 0), 96, 0, false),
    // IPv4-compatible, RFC 4291, long deprecated.
    (Ipv6Addr::new(0, 0, 0, 0, 0, 0, 0, 0), 96, 0, false),
    // NAT64, RFC 6052.
    (Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0, 0), 96, 0, true),
    // 6to4, RFC 3056: the address follows the first 16 bits.
    (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16, 80, true),
];

/// As [`SPECIAL_V4`], inside and outside of 2000::/3.
const SPECIAL_V6: &[(Ipv6Addr, u32, &str)] = &[
    (Ipv6Addr::UNSPECIFIED, 128, "unspecified"),
    (Ipv6Addr::LOCALHOST, 128, "loopback"),
    (Ipv6Addr::new(0x64, 0xff9b, 1, 0, 0, 0, 0, 0), 48, "private (local NAT64)"),
    (Ipv6Addr::new(0x100, 0, 0, 0, 0, 0, 0, 0), 64, "discard-only"),
    (Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0), 10, "link-local"),
    (Ipv6Addr::new(0xfec0, 0, 0, 0, 0, 0, 0, 0), 10, "site-local"),
    (Ipv6Addr::new(0xfc00, 0, 0, 0, 0, 0, 0, 0), 7, "unique local"),
    (Ipv6Addr::new(0xff00, 0, 0, 0, 0, 0, 0, 0), 8, "multicast"),
    // Protocol assignments, among them Teredo, benchmarking and ORCHID.
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23, "reserved"),
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32, "documentation"),
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20, "documentation"),
];

fn special_v6(address: Ipv6Addr) -> Option<&'static str> {
    let within = |network: Ipv6Addr, length: u32| {
        (address.to_bits() ^ network.to_bits()) >> (128 - length) == 0
    };
    if let Some((_, _, kind)) = SPECIAL_V6.iter().find(|(n, length, _)| within(*n, *length)) {
        return Some(kind);
    }
    if let Some((_, _, behind, global)) = EMBEDDED_V4.iter().find(|(n, l, ..)| within(*n, *l)) {
        let bits = (address.to_bits() >> behind) & u128::from(u32::MAX);
        let inner = u32::try_from(bits).map(Ipv4Addr::from_bits);
        return match inner.ok().and_then(special_v4) {
            None if *global => None,
            None => Some("reserved"),
            special => special,
        };
    }
    let global_unicast = within(Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), 3);
    (!global_unicast).then_some("reserved")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(address: &str, wanted: Option<&str>) {
        let ip: IpAddr = address.parse().unwrap();
        let found = TargetPolicy::PublicOnly.check(ip);
        assert_eq!(found.err().map(|d| d.kind), wanted, "{address}");
        assert_eq!(TargetPolicy::Any.check(ip), Ok(()), "{address}");
    }

    #[test]
    fn global_unicast_is_allowed() {
        for address in [
            "1.1.1.1",
            "8.8.8.8",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.1",
            "169.253.255.255",
            "169.255.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "192.0.1.0",
            "192.0.3.0",
            "192.88.98.1",
            "192.167.255.255",
            "192.169.0.0",
            "198.17.255.255",
            "198.20.0.0",
            "198.51.99.255",
            "203.0.112.255",
            "203.0.114.0",
            "223.255.255.255",
            "2606:4700:4700::1111",
            "2001:200::1",
            "2001:4860:4860::8888",
            "2a00:1450:4001::1",
            "3ffe:ffff::1",
            "::ffff:8.8.8.8",
            "64:ff9b::808:808",
            "2002:808:808::1",
        ] {
            check(address, None);
        }
    }

    #[test]
    fn everything_else_is_refused_by_name() {
        for (address, kind) in [
            ("0.0.0.0", "this host"),
            ("0.1.2.3", "this host"),
            ("10.0.0.1", "private"),
            ("10.255.255.255", "private"),
            ("100.64.0.1", "carrier-grade NAT"),
            ("100.127.255.255", "carrier-grade NAT"),
            ("127.0.0.1", "loopback"),
            ("127.255.255.254", "loopback"),
            ("169.254.169.254", "link-local"),
            ("172.16.0.1", "private"),
            ("172.31.255.255", "private"),
            ("192.0.0.8", "reserved"),
            ("192.0.2.1", "documentation"),
            ("192.88.99.1", "reserved"),
            ("192.168.1.1", "private"),
            ("198.18.0.1", "benchmarking"),
            ("198.19.255.255", "benchmarking"),
            ("198.51.100.7", "documentation"),
            ("203.0.113.9", "documentation"),
            ("224.0.0.1", "multicast"),
            ("239.255.255.255", "multicast"),
            ("240.0.0.1", "reserved"),
            ("255.255.255.255", "broadcast"),
            ("::", "unspecified"),
            ("::1", "loopback"),
            ("::2", "this host"),
            ("fe80::1", "link-local"),
            ("febf::1", "link-local"),
            ("fec0::1", "site-local"),
            ("fc00::1", "unique local"),
            ("fd12:3456::1", "unique local"),
            ("ff02::1", "multicast"),
            ("100::1", "discard-only"),
            ("2001::1", "reserved"),
            ("2001:2::1", "reserved"),
            ("2001:db8::1", "documentation"),
            ("3fff::1", "documentation"),
            ("4000::1", "reserved"),
            ("fe00::1", "reserved"),
            ("64:ff9b:1::1", "private (local NAT64)"),
            // An IPv4 address in each of its IPv6 disguises.
            ("::ffff:127.0.0.1", "loopback"),
            ("::ffff:169.254.169.254", "link-local"),
            ("::127.0.0.1", "loopback"),
            ("::169.254.169.254", "link-local"),
            ("::8.8.8.8", "reserved"),
            ("::ffff:0:127.0.0.1", "loopback"),
            ("::ffff:0:8.8.8.8", "reserved"),
            ("64:ff9b::a9fe:a9fe", "link-local"),
            ("64:ff9b::7f00:1", "loopback"),
            ("2002:7f00:1::", "loopback"),
            ("2002:a9fe:a9fe::1", "link-local"),
            ("2002:c0a8:101::1", "private"),
        ] {
            check(address, Some(kind));
        }
    }

    #[test]
    fn a_denial_says_what_and_why() {
        let denied = TargetPolicy::PublicOnly.check("169.254.169.254".parse().unwrap());
        assert_eq!(
            denied.unwrap_err().to_string(),
            "169.254.169.254 is link-local (policy public-only)"
        );
    }
}
