//! A raw socket that hears ICMP about packets to one target. It needs the capability `CAP_NET_RAW`, and reads what a
//! queue of errors does not tell: the headers that are quoted.
//!
//! A raw socket is given the packets of everybody. What is for this session, its caller says by what is quoted.

use std::io;
use std::net::IpAddr;

use rustix::net::{SocketType, ipproto};

use super::filter;
use super::labels::labels;
use super::ready::Ready;
use super::signal::{At, Clue, ERRORS_V4, ERRORS_V6, Heard, Icmp, Signal, What, is_too_big};
use super::socket::{Queue, Received, Socket};
use super::way::{Ends, queued, read};
use super::wire::{
    ECHO_REPLY_V4, ECHO_REPLY_V6, Quoted, SHORT_HEADER_BYTES, checksum, payload_v4, quoted_v4,
    quoted_v6, sixteen, thirty_two,
};

#[derive(Debug)]
pub(super) struct Listener {
    socket: Socket,
}

/// The name of its socket.
pub(super) const LISTENER: u64 = u64::MAX;

/// A message that came. What it quotes, or echoes, is not judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Message<'a> {
    Error {
        kind: u8,
        code: u8,
        info: u32,
        extension_at: Option<usize>,
        quoted: Quoted<'a>,
        all: &'a [u8],
    },
    /// With its header.
    Reply { echo: &'a [u8] },
}

impl Listener {
    /// `identifier` is of echoes whose replies are heard as well.
    ///
    /// # Errors
    ///
    /// `EPERM` without the capability.
    pub(super) fn open(ends: &Ends, identifier: Option<u16>, ready: &Ready) -> io::Result<Self> {
        let protocol = if ends.target.is_ipv4() { ipproto::ICMP } else { ipproto::ICMPV6 };
        let socket = Socket::open(ends.target, SocketType::RAW, protocol)?;
        socket.filter(&mut filter::icmp(ends.target, identifier))?;
        socket.hold_more();
        socket.bind(ends.source_at(0))?;
        ready.add(&socket, LISTENER)?;
        Ok(Self { socket })
    }

    /// Its socket, for those whose packets are ICMP too.
    pub(super) fn socket(&mut self) -> &mut Socket {
        &mut self.socket
    }

    /// Reads what came; `clue` says for which probe a message is, and `None` for one of somebody else.
    pub(super) fn hear(
        &self,
        ends: &Ends,
        heard: &mut Heard,
        clue: impl Fn(&Message<'_>) -> Option<Clue>,
    ) {
        read(&self.socket, heard, |heard, queue, received, bytes| match queue {
            // Of packets that left by it.
            Queue::Errors => queued(ends, &received, bytes, 0, heard, |_, _| None),
            Queue::Packets => {
                let said = message(ends.target.is_ipv4(), bytes);
                let clue = said.as_ref().and_then(&clue);
                let signal = said
                    .zip(clue)
                    .and_then(|(said, clue)| signal(ends.target.is_ipv4(), &received, &said, clue));
                match signal {
                    Some(signal) => heard.signals.push(signal),
                    None => heard.strays_count += 1,
                }
            }
        });
    }
}

fn signal(is_ipv4: bool, received: &Received, message: &Message<'_>, clue: Clue) -> Option<Signal> {
    let from: IpAddr = received.name?.ip().to_canonical();
    let what = match *message {
        Message::Reply { .. } => What::Reply,
        Message::Error { kind, code, info, extension_at, all, .. } => {
            let mtu = is_too_big(is_ipv4, kind, code).then_some(info);
            What::Icmp(Icmp { kind, code, mtu, labels: labels(all, 0, extension_at) })
        }
    };
    let at = At::now(received.notes.stamp);
    Some(Signal { clue, from, what, at, ttl: received.notes.ttl })
}

/// Reads a message as a raw socket gives it: of IPv4 with the header of IP.
fn message(is_ipv4: bool, bytes: &[u8]) -> Option<Message<'_>> {
    let bytes = match is_ipv4 {
        true => {
            let (whole, payload) = payload_v4(bytes)?;
            // The kernel has not looked yet, and what is read in part has none.
            if whole && checksum(&[payload]) != 0 {
                return None;
            }
            payload
        }
        false => bytes,
    };
    let (kind, code) = (*bytes.first()?, *bytes.get(1)?);
    let (reply, errors): (u8, &[u8]) = match is_ipv4 {
        true => (ECHO_REPLY_V4, &ERRORS_V4),
        false => (ECHO_REPLY_V6, &ERRORS_V6),
    };
    if kind == reply {
        return Some(Message::Reply { echo: bytes });
    }
    if !errors.contains(&kind) {
        return None;
    }
    let all = bytes.get(SHORT_HEADER_BYTES..)?;
    // IPv4 has the next link's in the last two bytes, and counts what is quoted by four bytes where IPv6 does by eight.
    let (quoted, info, length) = match is_ipv4 {
        true => (quoted_v4(all)?, sixteen(bytes, 6)?.into(), usize::from(*bytes.get(5)?) * 4),
        false => (quoted_v6(all)?, thirty_two(bytes, 4)?, usize::from(*bytes.get(4)?) * 8),
    };
    let extension_at = (length > 0 && !is_too_big(is_ipv4, kind, code)).then_some(length);
    Some(Message::Error { kind, code, info, extension_at, quoted, all })
}

#[cfg(test)]
mod tests;
