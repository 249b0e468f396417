//! One rule that opens or closes destinations: a network, a host or anything, with or without ports.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::RangeInclusive;
use std::str::FromStr;

use url::Host;

use super::embedded;

/// Which destinations a rule is about. [`Rule::from_str`] has the forms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    subject: Subject,
    ports: Option<RangeInclusive<u16>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Subject {
    Any,
    V4(Ipv4Addr, u32),
    V6(Ipv6Addr, u32),
    /// In ASCII and lower case, without a final dot, as all names here.
    Host(String),
    /// The names below this one.
    Below(String),
}

/// A text that is not a rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{rule:?} is not a rule: {problem}; write a network (10.0.0.0/8, fd00::/8), an address, a host \
     (example.com, *.example.com) or *, and ports behind it (*:25, example.com:8000-9000, [fd00::/8]:443)"
)]
pub struct RuleError {
    rule: String,
    problem: &'static str,
}

/// A destination, as rules see it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Destination<'a> {
    /// The name that was asked for, where rules may go by it.
    pub(super) name: Option<&'a str>,
    pub(super) address: IpAddr,
    pub(super) port: u16,
}

impl FromStr for Rule {
    type Err = RuleError;

    /// Reads `10.0.0.0/8`, `10.1.2.3:8080`, `fd00::/8`, `[fd00::/8]:443`, `example.com`, `*.example.com:443`
    /// (the names below it, not itself), `*`, `*:25`, `:8000-9000` (every host). A network with bits behind
    /// its prefix is refused, for it is a slip more often than not.
    fn from_str(rule: &str) -> Result<Self, RuleError> {
        read(rule).map_err(|problem| RuleError { rule: rule.to_owned(), problem })
    }
}

fn read(text: &str) -> Result<Rule, &'static str> {
    if text.contains("://") {
        return Err("it is a URL");
    }
    let (subject, ports) = match text.strip_prefix('[') {
        Some(rest) => {
            let (inside, behind) = rest.split_once(']').ok_or("the bracket is not closed")?;
            if !inside.contains(':') {
                return Err("brackets are for IPv6");
            }
            match behind {
                "" => (inside, None),
                _ => (inside, Some(behind.strip_prefix(':').ok_or("a colon follows the bracket")?)),
            }
        }
        None => match text.split_once(':') {
            // Two colons are an IPv6 address, whose ports would need brackets.
            Some((subject, ports)) if !ports.contains(':') => (subject, Some(ports)),
            _ => (text, None),
        },
    };
    let ports = ports.map(read_ports).transpose()?;
    let subject = match subject {
        "*" => Subject::Any,
        "" if ports.is_some() => Subject::Any,
        "" => return Err("it is empty"),
        _ => read_subject(subject)?,
    };
    Ok(Rule { subject, ports })
}

fn read_ports(text: &str) -> Result<RangeInclusive<u16>, &'static str> {
    let port = |text: &str| match text.parse() {
        Ok(port @ 1..) if text.bytes().all(|b| b.is_ascii_digit()) => Ok(port),
        _ => Err("a port is a number from 1 to 65535"),
    };
    let (first, last) = match text.split_once('-') {
        Some((first, last)) => (port(first)?, port(last)?),
        None => (port(text)?, port(text)?),
    };
    if first > last { Err("the ports run backwards") } else { Ok(first..=last) }
}

fn read_subject(text: &str) -> Result<Subject, &'static str> {
    if let Some((address, length)) = text.split_once('/') {
        let address = address.parse().map_err(|_| "what stands before / is not an IP address")?;
        let is_number = length.bytes().all(|b| b.is_ascii_digit());
        let length = length.parse().ok().filter(|_| is_number);
        return network(address, length.ok_or("what stands behind / is not a prefix length")?);
    }
    if let Ok(address) = text.parse::<IpAddr>() {
        return network(address, if address.is_ipv4() { 32 } else { 128 });
    }
    let (below, name) = match text.strip_prefix("*.") {
        Some(name) => (true, name),
        None => (false, text),
    };
    // What IDNA makes of it: other characters than these have forms that it turns into them.
    let name = match Host::parse(name) {
        Ok(Host::Domain(name)) => normal(&name),
        Ok(_) => return Err("an IPv4 address has four decimal numbers"),
        Err(_) => return Err("it is neither an address nor a host"),
    };
    let is_letter = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    if name.contains('*') {
        Err("a star stands alone, or as the first label of a host")
    } else if name.split('.').any(str::is_empty) {
        Err("a host has no empty label")
    } else if !name.bytes().all(|b| is_letter(b) || b == b'.') {
        Err("it is neither an address nor a host")
    } else if below {
        Ok(Subject::Below(name))
    } else {
        Ok(Subject::Host(name))
    }
}

fn network(address: IpAddr, length: u32) -> Result<Subject, &'static str> {
    const BEHIND: &str = "the network has bits behind its prefix";
    match address {
        IpAddr::V4(_) if length > 32 => Err("a prefix of IPv4 has at most 32 bits"),
        IpAddr::V6(_) if length > 128 => Err("a prefix of IPv6 has at most 128 bits"),
        IpAddr::V4(v4) if v4.to_bits().checked_shl(length).unwrap_or(0) != 0 => Err(BEHIND),
        IpAddr::V6(v6) if v6.to_bits().checked_shl(length).unwrap_or(0) != 0 => Err(BEHIND),
        IpAddr::V4(v4) => Ok(Subject::V4(v4, length)),
        // Mapped addresses are judged as what they are.
        IpAddr::V6(v6) => Ok(match v6.to_ipv4_mapped() {
            Some(v4) if length >= 96 => Subject::V4(v4, length - 96),
            _ => Subject::V6(v6, length),
        }),
    }
}

/// A name as names are compared.
pub(super) fn normal(name: &str) -> String {
    name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()
}

impl Rule {
    /// Whether it opens this destination: by the address alone that is connected to.
    pub(super) fn allows(&self, destination: &Destination<'_>) -> bool {
        self.covers(destination, std::iter::once(destination.address.to_canonical()))
    }

    /// Whether it opens some port of this destination, whichever port that has.
    pub(super) fn allows_some_port(&self, destination: &Destination<'_>) -> bool {
        let port = self.ports.as_ref().map_or(destination.port, |ports| *ports.start());
        self.allows(&Destination { port, ..*destination })
    }

    /// Whether it closes this destination: also by an address inside the address.
    pub(super) fn denies(&self, destination: &Destination<'_>) -> bool {
        self.covers(destination, embedded::views(destination.address).map(|(_, view)| view))
    }

    fn covers(
        &self,
        destination: &Destination<'_>,
        mut views: impl Iterator<Item = IpAddr>,
    ) -> bool {
        let of_port = self.ports.as_ref().is_none_or(|ports| ports.contains(&destination.port));
        of_port
            && match &self.subject {
                Subject::Any => true,
                Subject::V4(network, length) => views.any(|view| match view {
                    IpAddr::V4(v4) => {
                        let differs = v4.to_bits() ^ network.to_bits();
                        differs.checked_shr(32 - length).unwrap_or(0) == 0
                    }
                    IpAddr::V6(_) => false,
                }),
                Subject::V6(network, length) => views.any(|view| match view {
                    IpAddr::V4(_) => false,
                    IpAddr::V6(v6) => embedded::is_within(v6, *network, *length),
                }),
                Subject::Host(host) => destination.name == Some(host),
                Subject::Below(host) => destination
                    .name
                    .and_then(|name| name.strip_suffix(host.as_str()))
                    .is_some_and(|front| front.len() > 1 && front.ends_with('.')),
            }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.subject {
            Subject::Any => f.write_str("*")?,
            Subject::V4(address, 32) => address.fmt(f)?,
            Subject::V4(network, length) => write!(f, "{network}/{length}")?,
            Subject::V6(address, 128) if self.ports.is_none() => address.fmt(f)?,
            Subject::V6(address, 128) => write!(f, "[{address}]")?,
            Subject::V6(network, length) if self.ports.is_none() => {
                write!(f, "{network}/{length}")?;
            }
            Subject::V6(network, length) => write!(f, "[{network}/{length}]")?,
            Subject::Host(host) => f.write_str(host)?,
            Subject::Below(host) => write!(f, "*.{host}")?,
        }
        match &self.ports {
            None => Ok(()),
            Some(ports) if ports.start() == ports.end() => write!(f, ":{}", ports.start()),
            Some(ports) => write!(f, ":{}-{}", ports.start(), ports.end()),
        }
    }
}
