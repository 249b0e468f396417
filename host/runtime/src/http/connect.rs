//! The one place where a connection is made for a plugin.
//!
//! The addresses come from one lookup and are not looked up again, each is checked before it is tried, and
//! the connected peer is checked once more: neither a second answer of the resolver nor a redirected
//! packet gets around the policy.

use std::io;
use std::net::SocketAddr;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::net::TcpStream;

use super::clock::Clock;
use super::failure::{Failure, plain};
use super::limits::ATTEMPT_DELAY;
use super::request::Destination;
use crate::target::{Denied, TargetPolicy};

/// Connects to the first address that accepts. The next one is tried when one fails, or when it is
/// silent for [`ATTEMPT_DELAY`]; those that were slower are dropped. Gives the stream, the peer's address
/// and ours.
pub(super) async fn connect(
    destination: &Destination,
    addresses: &[SocketAddr],
    policy: TargetPolicy,
    clock: &Clock,
) -> Result<(TcpStream, SocketAddr, SocketAddr), Failure> {
    let mut allowed = Vec::new();
    let mut denied = None;
    for address in addresses {
        match policy.check(address.ip()) {
            Ok(()) => allowed.push(*address),
            Err(refusal) => denied = denied.or(Some(refusal)),
        }
    }
    if let (true, Some(refusal)) = (allowed.is_empty(), denied) {
        return Err(denial(destination, refusal));
    }
    match race(&allowed).await {
        Ok((stream, remote, local)) => {
            policy.check(remote.ip()).map_err(|refusal| denial(destination, refusal))?;
            // Small requests should not wait for the answer to the packet before.
            if let Err(error) = stream.set_nodelay(true) {
                tracing::debug!(%error, "TCP_NODELAY was not set");
            }
            Ok((stream, remote, local))
        }
        Err(reasons) => Err(Failure::Connect(format!(
            "Failed to connect to {destination} port {} after {} ms: {reasons}",
            destination.port,
            clock.elapsed().as_millis()
        ))),
    }
}

fn denial(destination: &Destination, refusal: Denied) -> Failure {
    Failure::Denied(match destination.literal() {
        Some(_) => refusal.to_string(),
        None => format!("{destination}: {refusal}"),
    })
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
                    let text = plain(&error.to_string());
                    reasons.push(if addresses.len() == 1 { text } else { format!("{}: {text}", address.ip()) });
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
