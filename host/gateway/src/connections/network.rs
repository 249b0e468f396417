//! Whose an address is, where those who ask are counted by their addresses.

use std::net::{IpAddr, Ipv6Addr};

/// The bits of an IPv6 address that one customer has for itself: a network of 64.
const NETWORK_BITS: u32 = 64;

/// Whose address it is: of IPv6 the network. An IPv6 socket shows IPv4 addresses in its own form, which are the same.
pub(crate) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => {
            let bits = v6.to_bits() >> (128 - NETWORK_BITS) << (128 - NETWORK_BITS);
            IpAddr::V6(Ipv6Addr::from_bits(bits))
        }
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_is_one_address() {
        for (one, other, is_same) in [
            ("192.0.2.1", "192.0.2.2", false),
            ("192.0.2.1", "::ffff:192.0.2.1", true),
            ("2001:db8::1", "2001:db8::ffff:1", true),
            ("2001:db8::1", "2001:db8:0:1::1", false),
        ] {
            let (a, b) = (network(one.parse().unwrap()), network(other.parse().unwrap()));
            assert_eq!(a == b, is_same, "{one} {other}");
        }
    }
}
