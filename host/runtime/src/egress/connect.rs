//! From addresses to a socket: judge each, race them, judge the peer.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::net::{TcpStream, UdpSocket};

use super::limits::ATTEMPT_DELAY;
use super::{Connected, Egress, EgressError, Resolved};

/// Those that the policy allows. When it allows none, the refusal of the first one.
pub(super) async fn allowed(
    egress: &Egress,
    resolved: &Resolved,
) -> Result<Vec<SocketAddr>, EgressError> {
    egress.shared.never.refresh().await;
    let mut allowed = Vec::with_capacity(resolved.addresses.len());
    let mut denied = None;
    for address in &resolved.addresses {
        match egress.judge(resolved, *address) {
            Ok(()) => allowed.push(*address),
            Err(refusal) => {
                tracing::debug!(%refusal, "an address is not tried");
                denied = denied.or(Some(refusal));
            }
        }
    }
    match denied {
        Some(refusal) if allowed.is_empty() => Err(EgressError::Denied(refusal)),
        _ => Ok(allowed),
    }
}

pub(super) async fn all_allowed(egress: &Egress, resolved: &Resolved) -> Result<(), EgressError> {
    egress.shared.never.refresh().await;
    let mut addresses = resolved.addresses.iter();
    addresses.try_for_each(|address| egress.judge(resolved, *address)).map_err(EgressError::Denied)
}

pub(super) fn check_peer(
    egress: &Egress,
    resolved: &Resolved,
    remote: SocketAddr,
    local: IpAddr,
) -> Result<(), EgressError> {
    let shared = &*egress.shared;
    let checked = egress.judge(resolved, remote);
    checked.and_then(|()| shared.policy.check_ends(resolved, remote, local)).map_err(|refusal| {
        tracing::warn!(%refusal, "a peer was refused after it had been connected");
        EgressError::Denied(refusal)
    })
}

/// The next address is tried when one fails, or when it is silent for [`ATTEMPT_DELAY`]; those that were
/// slower are dropped.
pub(super) async fn connect_tcp(
    egress: &Egress,
    resolved: &Resolved,
) -> Result<Connected, EgressError> {
    let allowed = allowed(egress, resolved).await?;
    egress.turn(&allowed).await;
    let (stream, remote, local) = race(&allowed).await.map_err(EgressError::Connect)?;
    check_peer(egress, resolved, remote, local.ip())?;
    // Small requests should not wait for the answer to the packet before.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY was not set");
    }
    Ok(Connected { stream, remote, local })
}

pub(super) async fn connect_udp(
    egress: &Egress,
    resolved: &Resolved,
) -> Result<(UdpSocket, SocketAddr, SocketAddr), EgressError> {
    let allowed = allowed(egress, resolved).await?;
    egress.turn(&allowed).await;
    first_udp(egress, resolved, &allowed).await
}

pub(super) async fn connect_udp_in_turn(
    egress: &Egress,
    resolved: &Resolved,
) -> Result<(UdpSocket, SocketAddr, SocketAddr), EgressError> {
    let allowed = allowed(egress, resolved).await?;
    first_udp(egress, resolved, &allowed).await
}

async fn first_udp(
    egress: &Egress,
    resolved: &Resolved,
    allowed: &[SocketAddr],
) -> Result<(UdpSocket, SocketAddr, SocketAddr), EgressError> {
    let mut reasons = Vec::new();
    for address in allowed {
        match udp(*address).await {
            Ok((socket, remote, local)) => {
                check_peer(egress, resolved, remote, local.ip())?;
                return Ok((socket, remote, local));
            }
            Err(error) => reasons.push(reason(*address, &error, allowed.len())),
        }
    }
    Err(EgressError::Connect(reasons.join("; ")))
}

/// To the engine's own resolver: the operator's choice, which no policy judges. Rates hold for it as for every target:
/// others live by it, too.
pub(super) async fn own_udp(egress: &Egress, server: SocketAddr) -> Result<UdpSocket, EgressError> {
    egress.turn(&[server]).await;
    let connected = udp(server).await;
    let told = |error| EgressError::Connect(reason(server, &error, 1));
    connected.map(|(socket, ..)| socket).map_err(told)
}

/// As [`own_udp`].
pub(super) async fn own_tcp(egress: &Egress, server: SocketAddr) -> Result<TcpStream, EgressError> {
    egress.turn(&[server]).await;
    let connected = TcpStream::connect(server).await;
    connected.map_err(|error| EgressError::Connect(reason(server, &error, 1)))
}

/// The winner, or why each address failed.
pub(super) async fn race(
    addresses: &[SocketAddr],
) -> Result<(TcpStream, SocketAddr, SocketAddr), String> {
    let mut waiting = addresses.iter().copied();
    let mut attempts = FuturesUnordered::new();
    let mut reasons = Vec::new();
    attempts.extend(waiting.next().map(attempt));
    loop {
        let more = waiting.len() > 0;
        tokio::select! {
            ended = attempts.next() => match ended {
                Some((_, Ok(connected))) => return Ok(connected),
                Some((address, Err(error))) => {
                    reasons.push(reason(address, &error, addresses.len()));
                    attempts.extend(waiting.next().map(attempt));
                }
                None => return Err(reasons.join("; ")),
            },
            () = tokio::time::sleep(ATTEMPT_DELAY), if more => {
                attempts.extend(waiting.next().map(attempt));
            }
        }
    }
}

async fn attempt(
    address: SocketAddr,
) -> (SocketAddr, io::Result<(TcpStream, SocketAddr, SocketAddr)>) {
    let connected = async {
        let stream = TcpStream::connect(address).await?;
        let (remote, local) = (stream.peer_addr()?, stream.local_addr()?);
        Ok((stream, remote, local))
    };
    (address, connected.await)
}

async fn udp(address: SocketAddr) -> io::Result<(UdpSocket, SocketAddr, SocketAddr)> {
    let unspecified: IpAddr = match address {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((unspecified, 0)).await?;
    socket.connect(address).await?;
    let (remote, local) = (socket.peer_addr()?, socket.local_addr()?);
    Ok((socket, remote, local))
}

/// `Connection refused`, or `::1: Connection refused` when it is one of several.
fn reason(address: SocketAddr, error: &io::Error, addresses: usize) -> String {
    let text = error.to_string();
    // An error of the system without its number.
    let text = text.split(" (os error").next().unwrap_or(&text);
    if addresses == 1 { text.to_owned() } else { format!("{}: {text}", address.ip()) }
}
