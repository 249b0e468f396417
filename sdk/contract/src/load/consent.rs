//! Who may be loaded. The one check: gateways ask it of what a command names, engines of every address that a connection
//! would go to, before the first packet and while the test runs.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

/// What an operator allows to be loaded beside loopback and private addresses.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Consent {
    /// The operator's list.
    pub listed: Vec<Pattern>,
}

/// A host that an operator has put on the list: a name, a name with all below it (`*.example.com`), or an address; with a
/// port, that one alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    host: String,
    below: bool,
    port: Option<u16>,
}

/// A target that nobody has agreed to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConsentError {
    /// An address of the public network.
    #[error(
        "{host} ({address}) may not be loaded: a load test goes to loopback and private addresses, to hosts that their tenant has \
         proved to be its own (blitz targets add {host}), and to those that the operator lists (--load-target {host})"
    )]
    Public {
        /// As the command named it.
        host: String,
        /// Where it would go.
        address: IpAddr,
    },
    /// A request that names another host than the one that it goes to.
    #[error(
        "{host} ({address}) may be loaded, but not as {named:?}: behind an address of the public network may be many owners, \
         so that a header host names what the operator lists, without variables (--load-target)"
    )]
    Named {
        /// As the command named it.
        host: String,
        /// Where it would go.
        address: IpAddr,
        /// The value of the header.
        named: String,
    },
}

/// Letters of a header that an error shows.
const SHOWN_MAX: usize = 80;

impl Consent {
    /// Whether connections for `host` may go to `address` and `port`.
    ///
    /// # Errors
    ///
    /// [`ConsentError`] says what may be loaded.
    pub fn check(&self, host: &str, address: IpAddr, port: u16) -> Result<(), ConsentError> {
        if self.lists(host, port) || is_own(address) {
            return Ok(());
        }
        Err(ConsentError::Public { host: host.to_owned(), address })
    }

    /// Whether the operator's list has it.
    #[must_use]
    pub fn lists(&self, host: &str, port: u16) -> bool {
        self.listed.iter().any(|pattern| pattern.covers(host, port))
    }

    /// Whether requests to `address`, which may be loaded for `host`, may say in their header `host` that they are for `named`.
    /// A server of many owners gives them to that one: who agreed to be loaded is not asked for the others. One's own
    /// machines may be called as one likes, and so may a machine that is listed by its address.
    ///
    /// # Errors
    ///
    /// [`ConsentError::Named`].
    pub fn check_named(
        &self,
        host: &str,
        named: &str,
        address: IpAddr,
        port: u16,
    ) -> Result<(), ConsentError> {
        let name = match named.trim().rsplit_once(':') {
            Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
            _ => named.trim(),
        };
        let is_listed = |name: &str| self.lists(name, port);
        let is_machine = host.parse::<IpAddr>().is_ok() && is_listed(host);
        let is_same = name.trim_end_matches('.').eq_ignore_ascii_case(host.trim_end_matches('.'));
        let is_plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b));
        if is_own(address) || is_machine || is_plain && (is_same || is_listed(name)) {
            return Ok(());
        }
        let named = named.chars().take(SHOWN_MAX).collect();
        Err(ConsentError::Named { host: host.to_owned(), address, named })
    }

    /// What can be said before a name is looked up: only an address in place of a name is judged.
    ///
    /// # Errors
    ///
    /// [`ConsentError`] says what may be loaded.
    pub fn check_unresolved(&self, host: &str, port: u16) -> Result<(), ConsentError> {
        host.parse().map_or(Ok(()), |address| self.check(host, address, port))
    }
}

/// Loopback and the private networks: RFC 1918, RFC 4193 and link-local addresses, whatever form of IPv6 they stand in.
fn is_own(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => v4.is_loopback() || v4.is_private() || v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local(),
    }
}

impl Pattern {
    /// Whether it is about addresses alone.
    #[must_use]
    pub fn is_address(&self) -> bool {
        self.host.parse::<IpAddr>().is_ok()
    }

    /// Whether it is about this host, a name or an address, and this port.
    #[must_use]
    pub fn covers(&self, host: &str, port: u16) -> bool {
        let host = host.trim_end_matches('.');
        let is_host = host.eq_ignore_ascii_case(&self.host)
            || self.below
                && host.len() > self.host.len() + 1
                && host.is_char_boundary(host.len() - self.host.len() - 1)
                && host[host.len() - self.host.len() - 1..]
                    .strip_prefix('.')
                    .is_some_and(|end| end.eq_ignore_ascii_case(&self.host));
        is_host && self.port.is_none_or(|own| own == port)
    }
}

impl FromStr for Pattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || {
            format!(
                "{text:?} is not HOST, HOST:PORT, *.DOMAIN or an address (an IPv6 address with a port in brackets)"
            )
        };
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (host, behind) = rest.split_once(']').ok_or_else(bad)?;
                let port = behind.strip_prefix(':');
                if port.is_none() && !behind.is_empty() {
                    return Err(bad());
                }
                (host, port)
            }
            None if text.parse::<IpAddr>().is_ok() => (text, None),
            None => text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port))),
        };
        let port = port.map(str::parse).transpose().map_err(|_| bad())?;
        let (below, host) = host.strip_prefix("*.").map_or((false, host), |host| (true, host));
        let host = host.trim_end_matches('.').to_ascii_lowercase();
        let is_name = !host.is_empty()
            && host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b));
        // Nothing else has a colon in it, and nothing is below one.
        let is_address = !below && host.parse::<Ipv6Addr>().is_ok();
        if is_name || is_address { Ok(Self { host, below, port }) } else { Err(bad()) }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let star = if self.below { "*." } else { "" };
        match (self.host.contains(':'), self.port) {
            (true, Some(port)) => write!(f, "[{}]:{port}", self.host),
            (false, Some(port)) => write!(f, "{star}{}:{port}", self.host),
            (_, None) => write!(f, "{star}{}", self.host),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_ones_own_and_what_is_listed_may_be_loaded() {
        let listed = |list: &[&str]| Consent {
            listed: list.iter().map(|pattern| pattern.parse().unwrap()).collect(),
        };
        for (list, host, address, port, may) in [
            (&[][..], "localhost", "127.0.0.1", 80, true),
            (&[], "x", "::1", 80, true),
            (&[], "x", "10.1.2.3", 80, true),
            (&[], "x", "::ffff:192.168.1.1", 80, true),
            (&[], "x", "fd00::1", 80, true),
            (&[], "x", "8.8.8.8", 80, false),
            (&[], "x", "::ffff:8.8.8.8", 80, false),
            (&[], "x", "0.0.0.0", 80, false),
            (&["example.com"], "EXAMPLE.com.", "8.8.8.8", 80, true),
            (&["example.com"], "a.example.com", "8.8.8.8", 80, false),
            (&["*.example.com"], "a.example.com", "8.8.8.8", 80, true),
            (&["*.example.com"], "badexample.com", "8.8.8.8", 80, false),
            (&["example.com:443"], "example.com", "8.8.8.8", 80, false),
            (&["8.8.8.8"], "8.8.8.8", "8.8.8.8", 80, true),
            (&["[2001:db8::1]:443"], "2001:db8::1", "2001:db8::1", 443, true),
        ] {
            let checked = listed(list).check(host, address.parse().unwrap(), port);
            assert_eq!(checked.is_ok(), may, "{list:?} {host} {address}: {checked:?}");
        }
        for (list, host, named, address, may) in [
            (&[][..], "x", "y", "10.1.2.3", true),
            (&[], "x", "#{a}", "127.0.0.1", true),
            (&["x.example"], "x.example", "X.example.:443", "8.8.8.8", true),
            (&["x.example"], "x.example", "y.example", "8.8.8.8", false),
            (&["x.example", "y.example"], "x.example", "y.example", "8.8.8.8", true),
            (&["x.example", "y.example:81"], "x.example", "y.example", "8.8.8.8", false),
            (&["*.example"], "x.example", "#{a}.example", "8.8.8.8", false),
            (&["*.example"], "x.example", "victim.org:80, x.example", "8.8.8.8", false),
            (&["8.8.8.8"], "8.8.8.8", "y.example", "8.8.8.8", true),
            (&["x.example"], "x.example", "8.8.8.8", "8.8.8.8", false),
        ] {
            let checked = listed(list).check_named(host, named, address.parse().unwrap(), 80);
            assert_eq!(checked.is_ok(), may, "{list:?} {host} {named}: {checked:?}");
        }
        for bad in [
            "",
            "a b",
            "x:y",
            "*.",
            "[::1",
            "http://x",
            "[::1]80",
            "[a:b]",
            "*.::1",
            "*.[::1]",
            "[::ffff-:8.8.8.8]",
        ] {
            assert!(bad.parse::<Pattern>().is_err(), "{bad}");
        }
        for good in ["::1", "[::1]:80", "1.2.3.4", "1.2.3.4:80", "x.example", "*.x.example:443"] {
            assert_eq!(good.parse::<Pattern>().unwrap().to_string(), good);
        }
    }
}
