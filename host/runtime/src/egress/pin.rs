//! The one address of a session of probes: looked up, judged, and held until the session ends.

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use url::Host;

use super::policy::NO_PORT;
use super::{Egress, EgressError, Family, Resolved, Shared, Wanted};

/// An address that the policy allows and that has a route. Only [`Egress::pin`] makes one, and `crate::probes` sends to
/// no other.
#[derive(Debug)]
pub(crate) struct Pinned {
    resolved: Resolved,
    address: IpAddr,
    source: IpAddr,
}

impl Pinned {
    /// The target's.
    pub(crate) fn address(&self) -> IpAddr {
        self.address
    }

    /// Ours on the way there.
    pub(crate) fn source(&self) -> IpAddr {
        self.source
    }
}

/// A route does not depend on it, and connecting a datagram socket sends nothing. Source: RFC 863 (discard).
const ANY_PORT: u16 = 9;

pub(super) async fn pin(
    egress: &Egress,
    host: &str,
    family: Family,
    has_ports: bool,
) -> Result<Pinned, EgressError> {
    let host = match host.parse::<IpAddr>() {
        Ok(IpAddr::V4(address)) => Host::Ipv4(address),
        Ok(IpAddr::V6(address)) => Host::Ipv6(address),
        Err(_) => Host::parse(host)
            .map_err(|_| EgressError::Malformed(format!("{host:?} is no name of a host")))?,
    };
    let given = match &host {
        Host::Ipv4(address) => Some(IpAddr::from(*address)),
        Host::Ipv6(address) => Some(IpAddr::from(*address)),
        Host::Domain(_) => None,
    };
    let wrong = given.filter(|address| !family.has(&SocketAddr::new(*address, NO_PORT)));
    if let Some(address) = wrong {
        let wanted = if family == Family::Ipv4 { "IPv4" } else { "IPv6" };
        return Err(EgressError::Malformed(format!("{address} is no {wanted} address")));
    }
    let wanted = Wanted { host: &host, port: NO_PORT, family, addresses: &[], resolver: None };
    let resolved = egress.resolve(&wanted).await?;
    let Shared { policy, never, .. } = &*egress.shared;
    never.refresh().await;
    let (mut allowed, mut denied) = (Vec::with_capacity(resolved.addresses.len()), None);
    for address in &resolved.addresses {
        match egress.judge_host(&resolved, address.ip(), has_ports) {
            Ok(()) => allowed.push(address.ip().to_canonical()),
            Err(refusal) => denied = denied.or(Some(refusal)),
        }
    }
    if let Some(refusal) = denied.filter(|_| allowed.is_empty()) {
        return Err(EgressError::Denied(refusal));
    }
    if given.is_some() {
        // A lookup had its turn.
        egress.turn(&[]).await;
    }
    let mut reasons = Vec::new();
    for address in allowed {
        match source(address) {
            Ok(source) => {
                let checked = egress.judge_host(&resolved, address, has_ports);
                let remote = SocketAddr::new(address, NO_PORT);
                let checked = checked.and_then(|()| policy.check_ends(&resolved, remote, source));
                checked.map_err(EgressError::Denied)?;
                return Ok(Pinned { resolved, address, source });
            }
            Err(error) => {
                let text = error.to_string();
                let text = text.split(" (os error").next().unwrap_or(&text);
                reasons.push(format!("{address}: {text}"));
            }
        }
    }
    Err(EgressError::Connect(reasons.join("; ")))
}

/// Judges these ports of the address, or, of packets without ports, the address.
pub(super) fn check(
    egress: &Egress,
    pinned: &Pinned,
    ports: Option<BTreeSet<u16>>,
) -> Result<(), EgressError> {
    let Pinned { resolved, address, source } = pinned;
    let policy = egress.policy();
    let mut checked = match ports {
        None => egress.judge_host(resolved, *address, false),
        Some(ports) => ports
            .into_iter()
            .try_for_each(|port| egress.judge(resolved, SocketAddr::new(*address, port))),
    };
    let remote = SocketAddr::new(*address, NO_PORT);
    checked = checked.and_then(|()| policy.check_ends(resolved, remote, *source));
    checked.map_err(EgressError::Denied)
}

/// The address that packets to this one leave with.
fn source(address: IpAddr) -> io::Result<IpAddr> {
    let unspecified: IpAddr = match address {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = std::net::UdpSocket::bind((unspecified, 0))?;
    socket.connect((address, ANY_PORT))?;
    Ok(socket.local_addr()?.ip())
}
