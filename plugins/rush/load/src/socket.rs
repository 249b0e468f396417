//! Opening connections: which address, from which address of ours, how many in a second; and ending them.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::time::Duration;

use blitz_contract::load::ErrorKind;
use blitz_contract::load::work::Work;
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SocketFlags, SocketType, bind, connect, ipproto, recv, socket_with,
    sockopt,
};

use crate::clock::SECOND_NS;
use crate::failure::Failure;
use crate::system;

/// What of the permitted connects may be made up for after the loop was busy elsewhere.
const BURST_NS: u64 = 10_000_000;

/// Addresses of one target: more than any name has.
const ADDRESSES_MAX: usize = 1000;

/// Opens sockets for all connections of a worker.
#[derive(Debug)]
pub(crate) struct Sockets {
    targets: Box<[Box<[Address]>]>,
    sources: Box<[IpAddr]>,
    /// How many were opened: addresses on both sides take turns.
    opened: usize,
    interval_ns: u64,
    next_ns: u64,
}

/// One of a target's.
#[derive(Debug, Clone, Copy)]
struct Address {
    at: SocketAddr,
    /// The last connect to it failed: it is passed over as long as another has not.
    is_refused: bool,
}

impl Sockets {
    /// The addresses of a work order.
    ///
    /// # Errors
    ///
    /// An origin without an address.
    pub(crate) fn new(work: &Work) -> Result<Self, String> {
        let targets = work.targets.iter().map(|pinned| {
            let count = pinned.addresses.len();
            if !(1..=ADDRESSES_MAX).contains(&count) {
                let origin = &pinned.origin;
                return Err(format!("{origin} has {count} addresses, not 1 to {ADDRESSES_MAX}"));
            }
            Ok(pinned.addresses.iter().map(|at| Address { at: *at, is_refused: false }).collect())
        });
        Ok(Self {
            targets: targets.collect::<Result<_, _>>()?,
            sources: work.sources.clone().into(),
            opened: 0,
            interval_ns: SECOND_NS / u64::from(work.connects_per_s.max(1)),
            next_ns: 0,
        })
    }

    /// When the next connection may be opened.
    pub(crate) fn next_ns(&self) -> u64 {
        self.next_ns
    }

    /// Opens a connection; it is established when it can be written to. The caller has waited for [`Self::next_ns`]. Gives the place of the
    /// address, too.
    ///
    /// # Errors
    ///
    /// Of kind `connect`, with what the system said and what can be done.
    pub(crate) fn open(&mut self, origin: usize, now_ns: u64) -> Result<(OwnedFd, u16), Failure> {
        self.next_ns = self.next_ns.max(now_ns.saturating_sub(BURST_NS)) + self.interval_ns;
        loop {
            let turn = self.opened;
            self.opened = turn.wrapping_add(1);
            let (place, target) = self.address(origin, turn);
            let source = self.source(turn, target);
            match open(target, source) {
                Ok(socket) => return Ok((socket, place)),
                // A family of addresses that this machine has not: another address may do.
                Err(_) if self.has_another(origin, place) => {}
                Err(error) => return Err(failure(target, source, &error)),
            }
        }
    }

    /// The next one in turn that was not refused, or else the next one.
    fn address(&self, origin: usize, turn: usize) -> (u16, SocketAddr) {
        let all = &self.targets[origin];
        let fitting = || (0..).zip(all).filter(|(_, address)| !address.is_refused);
        let count = fitting().count().max(1);
        fitting().nth(turn % count).map_or((0, all[0].at), |(place, address)| (place, address.at))
    }

    /// A connect to an address failed; whether another one is left to try. When all have failed, all are tried again.
    pub(crate) fn has_another(&mut self, origin: usize, place: u16) -> bool {
        let all = &mut self.targets[origin];
        all[usize::from(place)].is_refused = true;
        if all.iter().any(|address| !address.is_refused) {
            return true;
        }
        for address in all {
            address.is_refused = false;
        }
        false
    }

    /// A connect to an address succeeded.
    pub(crate) fn has_answered(&mut self, origin: usize, place: u16) {
        self.targets[origin][usize::from(place)].is_refused = false;
    }

    /// What to say of a connection that was begun and not established.
    pub(crate) fn failure(&self, origin: usize, place: u16, error: &io::Error) -> Failure {
        failure(self.targets[origin][usize::from(place)].at, None, error)
    }

    /// An address of ours of the same family, another one each time.
    fn source(&self, turn: usize, target: SocketAddr) -> Option<IpAddr> {
        let fitting = || self.sources.iter().filter(|ip| ip.is_ipv4() == target.is_ipv4());
        let count = fitting().count().max(1);
        fitting().nth(turn % count).copied()
    }
}

fn open(target: SocketAddr, source: Option<IpAddr>) -> io::Result<OwnedFd> {
    let family = if target.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = socket_with(family, SocketType::STREAM, flags, Some(ipproto::TCP))?;
    // The last piece of a large body would wait for the acknowledgement of the one before.
    sockopt::set_tcp_nodelay(&socket, true)?;
    if let Some(source) = source {
        system::bind_without_port(socket.as_fd())?;
        bind(&socket, &SocketAddr::new(source, 0))?;
    }
    match connect(&socket, &target) {
        Ok(()) | Err(Errno::INPROGRESS | Errno::INTR) => Ok(socket),
        Err(e) => Err(e.into()),
    }
}

/// What to say of a connection that could not be opened.
fn failure(target: SocketAddr, source: Option<IpAddr>, error: &io::Error) -> Failure {
    let from = source.map(|ip| format!(" from {ip}")).unwrap_or_default();
    let hint = match Errno::from_io_error(error) {
        Some(Errno::MFILE) => {
            "; this worker may have no more descriptors: raise the limit of open files, or give the engine more workers"
        }
        Some(Errno::NFILE | Errno::NOBUFS | Errno::NOMEM) => {
            "; this machine has no more of them: run more engines"
        }
        Some(Errno::ADDRNOTAVAIL) => {
            "; no free port is left: give the engine more source addresses, or let the test use fewer connections"
        }
        _ => "",
    };
    let text = format!("connect to {target}{from}: {}{hint}", words(error));
    Failure::new(ErrorKind::Connect, text)
}

/// What the system says, without the number of the error.
pub(crate) fn words(error: &io::Error) -> String {
    let text = error.to_string();
    text.find(" (os error").map_or(text.clone(), |at| text[..at].to_owned())
}

/// The error of a connection that was not established, as the kernel keeps it.
pub(crate) fn error_of(socket: BorrowedFd<'_>) -> io::Error {
    match sockopt::socket_error(socket) {
        Ok(Err(e)) | Err(e) => e.into(),
        Ok(Ok(())) => io::ErrorKind::ConnectionReset.into(),
    }
}

/// Closes a connection that is used no more though the server may not know. The side that closes first holds the port for
/// a minute, and at some hundred connections in a second ours would run out: where the server has not closed, it is reset.
pub(crate) fn abandon(socket: OwnedFd) {
    let mut byte = [0];
    let is_ended = matches!(recv(&socket, &mut byte, RecvFlags::DONTWAIT), Ok((0, _)));
    if !is_ended {
        // Where it is refused, the port is held for a minute, and nothing else is different.
        let _ = sockopt::set_socket_linger(&socket, Some(Duration::ZERO));
    }
    drop(socket);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_say_what_to_do() {
        let said = |errno: Errno, source| {
            failure("10.0.0.1:80".parse().unwrap(), source, &errno.into()).text
        };
        assert_eq!(said(Errno::CONNREFUSED, None), "connect to 10.0.0.1:80: Connection refused");
        assert_eq!(
            said(Errno::ADDRNOTAVAIL, Some("10.0.0.2".parse().unwrap())),
            "connect to 10.0.0.1:80 from 10.0.0.2: Cannot assign requested address; no free port is left: give the \
             engine more source addresses, or let the test use fewer connections"
        );
        assert!(said(Errno::MFILE, None).contains("raise the limit of open files"));
    }
}
