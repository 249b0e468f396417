//! From what is wanted to addresses in the order in which they are tried.

use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use url::Host;

use super::dns::Records;
use super::limits::{ADDRESSES_MAX, DNS_ATTEMPT_TIME, DNS_ATTEMPTS, DNS_QUERY_TIME};
use super::{Egress, EgressError, Family, Resolved, SYSTEM, Wanted, dns, rule};
use crate::limits::{Shown, Span};

/// The port of DNS.
pub(super) const DNS_PORT: u16 = 53;

pub(super) async fn resolve(egress: &Egress, wanted: &Wanted<'_>) -> Result<Resolved, EgressError> {
    let (literal, host) = match wanted.host {
        Host::Ipv4(v4) => (Some(IpAddr::V4(*v4)), v4.to_string()),
        Host::Ipv6(v6) => (Some(IpAddr::V6(*v6)), v6.to_string()),
        Host::Domain(name) => (None, name.clone()),
    };
    let name = literal.is_none().then(|| rule::normal(&host));
    if !wanted.addresses.is_empty() {
        let mut addresses = given(wanted)?;
        addresses.retain(|address| wanted.family.has(address));
        if addresses.is_empty() {
            return Err(unresolved(&host, Some(wanted.family.lack("was given"))));
        }
        return Ok(Resolved { name, addresses, resolver: None });
    }
    if let Some(address) = literal {
        // A family chooses among the addresses of a name, and this is none.
        let addresses = vec![SocketAddr::new(address, wanted.port)];
        return Ok(Resolved { name, addresses, resolver: None });
    }
    let (addresses, resolver) = match wanted.resolver {
        None => (by_system(egress, &host, wanted).await?, SYSTEM.to_owned()),
        Some(text) => {
            let server = server(text)?;
            // A label that is not ASCII goes into a DNS message as IDNA has it.
            let ascii = Host::parse(&host).map_err(|_| unresolved(&host, None))?.to_string();
            let found = dns::lookup(egress, server, &ascii, wanted.family).await;
            let found = found.map_err(|error| match error {
                dns::DnsError::Egress(error) => error,
                other => unresolved(&host, Some(other.to_string())),
            })?;
            let with_port = found.into_iter().map(|ip| SocketAddr::new(ip, wanted.port));
            (with_port.collect(), server.to_string())
        }
    };
    Ok(Resolved { name, addresses: alternate(addresses), resolver: Some(resolver) })
}

/// One question of any type.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Query<'a> {
    pub(crate) name: &'a str,
    /// IANA's number.
    pub(crate) record_type: u16,
    /// `IP` or `IP:port` of the DNS server; `None` is the engine's own resolver.
    pub(crate) resolver: Option<&'a str>,
    pub(crate) timeout: Option<Duration>,
}

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) server: SocketAddr,
    pub(crate) records: Records,
    pub(crate) elapsed: Duration,
}

pub(super) async fn query(egress: &Egress, query: Query<'_>) -> Result<Found, EgressError> {
    let server = query.resolver.map(server).transpose()?;
    // Service names have underscores and zones have stars: only what is not ASCII is a matter of IDNA.
    let name = if query.name.is_ascii() {
        query.name.to_owned()
    } else {
        let parsed =
            Host::parse(query.name).map_err(|_| unanswered(query.name, "no such names"))?;
        parsed.to_string()
    };
    let Ok(_turn) = egress.lookups.acquire().await else {
        return Err(unanswered(&name, "the engine stops"));
    };
    let time = query.timeout.unwrap_or(DNS_QUERY_TIME).min(DNS_QUERY_TIME);
    // A short time has all attempts in it.
    let attempt_time = DNS_ATTEMPT_TIME.min(time / DNS_ATTEMPTS);
    let (egress, waited) = egress.for_exchange();
    let begun = Instant::now();
    let asking = async {
        tokio::join!(
            dns::query(&egress, server, &name, query.record_type, attempt_time),
            egress.shared.never.refresh()
        )
        .0
    };
    match waited.within(begun + time, asking).await {
        Some(Ok((server, records))) => {
            let elapsed = begun.elapsed().saturating_sub(waited.time());
            Ok(Found { server, records, elapsed })
        }
        Some(Err(dns::DnsError::Egress(error))) => Err(error),
        Some(Err(error)) => Err(unanswered(&name, &error.to_string())),
        None => Err(unanswered(&name, &format!("no answer in {}", Span(time)))),
    }
}

fn unanswered(name: &str, reason: &str) -> EgressError {
    let name = Shown(name);
    EgressError::Resolve(format!("the question for {name:?} has no answer: {reason}"))
}

async fn by_system(
    egress: &Egress,
    host: &str,
    wanted: &Wanted<'_>,
) -> Result<Vec<SocketAddr>, EgressError> {
    egress.turn(&[]).await;
    let turn = Arc::clone(&egress.lookups).acquire_owned().await.ok();
    let found = egress.shared.system.lookup(host, wanted.port, turn).await;
    let mut addresses = found.map_err(|error| {
        tracing::debug!(host, %error, "lookup failed");
        unresolved(host, None)
    })?;
    let is_empty = addresses.is_empty();
    addresses.retain(|address| wanted.family.has(address));
    match (addresses.is_empty(), is_empty) {
        (false, _) => Ok(addresses),
        (true, true) => Err(unresolved(host, None)),
        (true, false) => Err(unresolved(host, Some(wanted.family.lack("belongs to it")))),
    }
}

/// The addresses that the caller names.
fn given(wanted: &Wanted<'_>) -> Result<Vec<SocketAddr>, EgressError> {
    if wanted.addresses.len() > ADDRESSES_MAX {
        let count = wanted.addresses.len();
        return Err(EgressError::Malformed(format!(
            "{count} addresses were given for one host, at most {ADDRESSES_MAX} are tried"
        )));
    }
    let address = |text: &String| {
        let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
        let address: IpAddr = bare.unwrap_or(text).parse().map_err(|_| {
            EgressError::Malformed(format!("{:?} is not an IP address to connect to", Shown(text)))
        })?;
        Ok(SocketAddr::new(address, wanted.port))
    };
    wanted.addresses.iter().map(address).collect()
}

/// `IP`, `IP:port` or `[IP]:port`.
fn server(text: &str) -> Result<SocketAddr, EgressError> {
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
    let address = bare.unwrap_or(text).parse().map(|ip| SocketAddr::new(ip, DNS_PORT));
    let address = address.or_else(|_| text.parse()).ok().filter(|address| address.port() != 0);
    address.ok_or_else(|| {
        EgressError::Malformed(format!(
            "{:?} is not a DNS server; write IP, IP:PORT or [IP]:PORT",
            Shown(text)
        ))
    })
}

/// In curl's words, with a reason behind them.
fn unresolved(host: &str, reason: Option<String>) -> EgressError {
    let host = Shown(host);
    EgressError::Resolve(match reason {
        None => format!("Could not resolve host: {host}"),
        Some(reason) => format!("Could not resolve host: {host} ({reason})"),
    })
}

impl Family {
    pub(super) fn has(self, address: &SocketAddr) -> bool {
        match self {
            Self::Any => true,
            Self::Ipv4 => address.is_ipv4(),
            Self::Ipv6 => address.is_ipv6(),
        }
    }

    /// `no IPv4 address was given`.
    fn lack(self, verb: &str) -> String {
        format!("no {} address {verb}", self.word())
    }

    /// `IPv4`, `IPv6`, or `IP` for both.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Any => "IP",
            Self::Ipv4 => "IPv4",
            Self::Ipv6 => "IPv6",
        }
    }
}

/// Alternates the families, beginning with the one that came first. Source: RFC 8305, section 4.
fn alternate(mut addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let mut seen = HashSet::new();
    addresses.retain(|address| seen.insert(*address));
    let first_is_v6 = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (preferred, other): (Vec<_>, Vec<_>) =
        addresses.into_iter().partition(|address| address.is_ipv6() == first_is_v6);
    let mut other = other.into_iter();
    let mut alternating = Vec::new();
    for address in preferred {
        alternating.push(address);
        alternating.extend(other.next());
    }
    alternating.extend(other);
    alternating.truncate(ADDRESSES_MAX);
    alternating
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_alternate_and_nothing_is_tried_twice() {
        let parse = |texts: &[&str]| -> Vec<SocketAddr> {
            texts.iter().map(|text| text.parse().unwrap()).collect()
        };
        for (given, wanted) in [
            (&["1.1.1.1:80"][..], &["1.1.1.1:80"][..]),
            (
                &["[::1]:80", "[::2]:80", "[::1]:80", "1.1.1.1:80"],
                &["[::1]:80", "1.1.1.1:80", "[::2]:80"],
            ),
            (
                &["1.1.1.1:80", "[::1]:80", "[::2]:80", "[::3]:80"],
                &["1.1.1.1:80", "[::1]:80", "[::2]:80", "[::3]:80"],
            ),
        ] {
            assert_eq!(alternate(parse(given)), parse(wanted));
        }
    }

    #[test]
    fn a_resolver_is_an_address() {
        for (text, wanted) in [
            ("9.9.9.9", Some("9.9.9.9:53")),
            ("9.9.9.9:5353", Some("9.9.9.9:5353")),
            ("2620:fe::fe", Some("[2620:fe::fe]:53")),
            ("[2620:fe::fe]", Some("[2620:fe::fe]:53")),
            ("[2620:fe::fe]:5353", Some("[2620:fe::fe]:5353")),
            ("dns.quad9.net", None),
            ("9.9.9.9:0", None),
            ("9.9.9.9:", None),
            ("", None),
        ] {
            let found = server(text).ok().map(|server| server.to_string());
            assert_eq!(found.as_deref(), wanted, "{text:?}");
        }
    }
}
