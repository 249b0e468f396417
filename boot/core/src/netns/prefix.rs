//! The addresses of this machine's namespaces: a private prefix, of which the first address is the host's in all of them.

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

/// Bits of the largest prefix: more addresses than a machine has engines.
const LENGTH_MIN: u8 = 16;

/// Bits of the smallest one: the host, and one engine.
const LENGTH_MAX: u8 = 30;

/// A private prefix of IPv4, of 16 to 30 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Prefix {
    first: u32,
    length: u8,
}

/// What is no such prefix.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} {1}: give one like 10.213.0.0/24")]
pub struct BadPrefix(String, String);

impl Prefix {
    /// The one that is taken where none is given: few networks have it.
    pub const DEFAULT: Self = Self { first: 0x0AD5_0000, length: 24 };

    /// The host, as all namespaces of the prefix see it.
    #[must_use]
    pub fn host(&self) -> Ipv4Addr {
        Ipv4Addr::from(self.first + 1)
    }

    /// The addresses that engines may have.
    pub(super) fn engines(&self) -> impl Iterator<Item = Ipv4Addr> + use<> {
        (self.first + 2..self.last()).map(Ipv4Addr::from)
    }

    /// Whether it has an address in common with that network.
    pub(super) fn overlaps(&self, network: Ipv4Addr, mask: Ipv4Addr) -> bool {
        let both = u32::from(mask) & self.mask();
        u32::from(network) & both == self.first & both
    }

    /// The address of broadcasts.
    fn last(self) -> u32 {
        self.first | !self.mask()
    }

    fn mask(self) -> u32 {
        u32::MAX << (32 - self.length)
    }
}

impl FromStr for Prefix {
    type Err = BadPrefix;

    fn from_str(text: &str) -> Result<Self, BadPrefix> {
        let bad = |what: &str| BadPrefix(text.chars().take(80).collect(), what.to_owned());
        let is_none = || bad("is no prefix of IPv4");
        let (first, length) = text.split_once('/').ok_or_else(is_none)?;
        let first: Ipv4Addr = first.parse().map_err(|_| is_none())?;
        let length: u8 = length.parse().map_err(|_| is_none())?;
        if !(LENGTH_MIN..=LENGTH_MAX).contains(&length) {
            return Err(bad(&format!("is not of {LENGTH_MIN} to {LENGTH_MAX} bits")));
        }
        // RFC 1918, and the shared addresses of RFC 6598.
        let is_shared = first.octets()[0] == 100 && first.octets()[1] & 0xC0 == 64;
        if !first.is_private() && !is_shared {
            return Err(bad("is not private"));
        }
        let prefix = Self { first: first.into(), length };
        if prefix.first & !prefix.mask() != 0 {
            return Err(bad("is an address in a prefix"));
        }
        Ok(prefix)
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", Ipv4Addr::from(self.first), self.length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_has_a_host_and_engines() {
        assert_eq!(Prefix::DEFAULT.to_string(), "10.213.0.0/24");
        assert_eq!("10.213.0.0/24".parse(), Ok(Prefix::DEFAULT));
        assert_eq!(Prefix::DEFAULT.host(), Ipv4Addr::new(10, 213, 0, 1));
        assert_eq!(Prefix::DEFAULT.engines().count(), 253);
        let small: Prefix = "100.64.0.4/30".parse().unwrap();
        assert_eq!(small.host(), Ipv4Addr::new(100, 64, 0, 5));
        assert_eq!(Vec::from_iter(small.engines()), [Ipv4Addr::new(100, 64, 0, 6)]);
    }

    #[test]
    fn what_is_none_says_why() {
        for (text, why) in [
            ("", "is no prefix"),
            ("10.0.0.0", "is no prefix"),
            ("10.0.0/24", "is no prefix"),
            ("fd00::/64", "is no prefix"),
            ("10.0.0.0/300", "is no prefix"),
            ("10.0.0.0/15", "is not of 16 to 30 bits"),
            ("10.0.0.0/31", "is not of 16 to 30 bits"),
            ("8.8.8.0/24", "is not private"),
            ("100.128.0.0/24", "is not private"),
            ("169.254.0.0/16", "is not private"),
            ("10.0.0.1/24", "is an address in a prefix"),
        ] {
            let said = text.parse::<Prefix>().unwrap_err().to_string();
            assert!(said.contains(why) && said.ends_with("10.213.0.0/24"), "{said}");
        }
    }

    #[test]
    fn networks_overlap_where_one_is_in_the_other() {
        for (network, mask, overlaps) in [
            ([10, 213, 0, 0], [255, 255, 255, 0], true),
            ([10, 0, 0, 0], [255, 0, 0, 0], true),
            ([10, 213, 0, 7], [255, 255, 255, 255], true),
            ([10, 213, 1, 0], [255, 255, 255, 0], false),
            ([192, 168, 0, 0], [255, 255, 0, 0], false),
        ] {
            let network = Ipv4Addr::from(network);
            assert_eq!(Prefix::DEFAULT.overlaps(network, mask.into()), overlaps, "{network}");
        }
    }
}
