//! ICMP echo requests by a ping socket, which needs no right but that of `net.ipv4.ping_group_range`. The sequence
//! number tells the probe, and the checksum is the flow: it stands where routers look for ports.

use std::io;

use blitz_contract::probes::Probe;
use rustix::net::{SocketType, ipproto};

use super::cookie::{COOKIE_BYTES, Origin};
use super::ledger::Serial;
use super::ready::Ready;
use super::signal::{At, Clue, Heard, Signal, What};
use super::socket::{Queue, Socket};
use super::way::{Ends, SendError, Sent, Way, queued, read};
use super::wire::{SHORT_HEADER_BYTES, echo, ip_header_bytes, sixteen};

#[derive(Debug)]
pub(super) struct Echo {
    ends: Ends,
    socket: Socket,
    identifier: u16,
}

/// Two bytes of the payload, behind the cookie.
const BALANCE_BYTES: usize = 2;

impl Echo {
    /// # Errors
    ///
    /// `EACCES` where the group of this process may not have ping sockets.
    pub(super) fn open(ends: Ends, ready: &Ready) -> io::Result<Self> {
        let protocol = if ends.target.is_ipv4() { ipproto::ICMP } else { ipproto::ICMPV6 };
        let socket = Socket::open(ends.target, SocketType::DGRAM, protocol)?;
        socket.dont_fragment(ends.dont_fragment)?;
        socket.queue_errors()?;
        socket.stamp_departures();
        socket.hold_more();
        // Its "port" is the identifier of its echoes.
        let identifier = socket.bind(ends.source_at(0))?.port();
        ready.add(&socket, 0)?;
        Ok(Self { ends, socket, identifier })
    }

    fn hear_all(&self, heard: &mut Heard) {
        let ends = &self.ends;
        read(&self.socket, heard, |heard, queue, received, bytes| match queue {
            Queue::Errors => {
                queued(ends, &received, bytes, ip_header_bytes(ends.target), heard, |_, quoted| {
                    clue(ends, quoted)
                });
            }
            Queue::Packets => {
                let from = received.name.map(|from| from.ip().to_canonical());
                let (Some(from), Some(clue)) = (from, clue(ends, bytes)) else {
                    heard.strays_count += 1;
                    return;
                };
                let at = At::now(received.notes.stamp);
                let ttl = received.notes.ttl;
                heard.signals.push(Signal { clue, from, what: What::Reply, at, ttl });
            }
        });
    }
}

/// What is sent, and what tells a probe apart: `echo` begins with the header of an echo or of its request.
pub(super) fn clue(ends: &Ends, echo: &[u8]) -> Option<Clue> {
    let sequence = sixteen(echo, 6)?;
    match ends.tag.origin(echo.get(SHORT_HEADER_BYTES..)?) {
        Origin::Ours(serial) => Some(Clue::Serial(serial)),
        Origin::Unknown => Some(Clue::Sequence(sequence)),
        Origin::Foreign => None,
    }
}

/// The echo request of a probe, without the header of IP.
pub(super) fn request(ends: &Ends, identifier: u16, probe: &Probe, serial: Serial) -> Vec<u8> {
    let headers = ip_header_bytes(ends.target) + SHORT_HEADER_BYTES;
    let length = usize::from(probe.size_bytes).saturating_sub(headers);
    let payload = ends.tag.payload(serial, length.max(COOKIE_BYTES + BALANCE_BYTES));
    let [_, _, high, low] = serial.0.to_be_bytes();
    // All ones are no checksum of a packet that has any bits.
    let flow = ends.tag.half().wrapping_add(probe.flow).min(u16::MAX - 1);
    let numbers = (identifier, u16::from_be_bytes([high, low]));
    echo((ends.source, ends.target), numbers, payload, COOKIE_BYTES, flow)
}

impl Way for Echo {
    fn send(
        &mut self,
        probe: &Probe,
        serial: Serial,
        _ready: &Ready,
        heard: &mut Heard,
    ) -> Result<Sent, SendError> {
        self.socket.set_ttl(probe.ttl)?;
        let request = request(&self.ends, self.identifier, probe, serial);
        let sent = self.socket.send(&request, self.ends.target_at(0));
        self.hear_all(heard);
        sent?;
        Ok(Sent::default())
    }

    fn hear(&mut self, _name: u64, heard: &mut Heard) {
        self.hear_all(heard);
    }
}
