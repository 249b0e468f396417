//! UDP probes. Each flow is a socket with a source port of its own, from which packets go to any port of the target.
//!
//! Without rights, answers come by the sockets' queues of errors, which hold what follows the header of UDP: a cookie,
//! where the router quotes so much, and else the port of the destination tells the probe. With raw sockets the
//! header itself is read, and its checksum tells apart even what looks alike to routers.

use std::io;

use blitz_contract::probes::Probe;
use rustix::net::{SocketType, ipproto};

use super::cookie::Origin;
use super::flows::{Flow, Flows};
use super::ledger::Serial;
use super::listener::{LISTENER, Listener, Message};
use super::places::Places;
use super::ready::Ready;
use super::signal::{At, Clue, Heard, Signal, What};
use super::socket::{Queue, Received, Socket};
use super::way::{Ends, SendError, Sent, Way, queued, read};
use super::wire::{PROTOCOL_UDP, SHORT_HEADER_BYTES, ip_header_bytes, sixteen, udp_checksum};

#[derive(Debug)]
pub(super) struct Udp {
    ends: Ends,
    /// With raw sockets: all errors come by it.
    listener: Option<Listener>,
    flows: Flows,
}

impl Udp {
    /// With raw sockets where they are allowed.
    pub(super) fn new(ends: Ends, places: Places, ready: &Ready) -> Self {
        let listener = Listener::open(&ends, None, ready);
        let told = |error: &io::Error| tracing::debug!(%error, "UDP probes without raw sockets");
        Self { ends, listener: listener.inspect_err(told).ok(), flows: Flows::new(places) }
    }
}

/// A socket for a flow, and its port.
fn open(ends: &Ends, queues: bool, ready: &Ready, name: u64) -> io::Result<(Socket, u16)> {
    let socket = Socket::open(ends.target, SocketType::DGRAM, ipproto::UDP)?;
    socket.dont_fragment(ends.dont_fragment)?;
    if queues {
        socket.queue_errors()?;
    }
    socket.stamp_departures();
    let port = socket.bind(ends.source_at(0))?.port();
    ready.add(&socket, name)?;
    Ok((socket, port))
}

impl Way for Udp {
    fn send(
        &mut self,
        probe: &Probe,
        serial: Serial,
        ready: &Ready,
        heard: &mut Heard,
    ) -> Result<Sent, SendError> {
        let Self { ends, flows, listener } = self;
        let open = |name| open(ends, listener.is_none(), ready, name);
        let flow = flows.of(probe.flow, |gone| gone.hear(ends, heard), open)?;
        let headers = ip_header_bytes(ends.target) + SHORT_HEADER_BYTES;
        let length = usize::from(probe.size_bytes).saturating_sub(headers);
        flow.socket.set_ttl(probe.ttl)?;
        let payload = ends.tag.payload(serial, length);
        let sent = flow.socket.send(&payload, ends.target_at(probe.port));
        // Stamps of departures take room that answers need.
        flow.hear(ends, heard);
        sent?;
        let (from, to) = ((ends.source, flow.port), (ends.target, probe.port));
        Ok(Sent { checksum: listener.as_ref().map(|_| udp_checksum(from, to, &payload)) })
    }

    fn hear(&mut self, name: u64, heard: &mut Heard) {
        if let Some(listener) = self.listener.as_ref().filter(|_| name == LISTENER) {
            return listener.hear(&self.ends, heard, |message| self.quoted(message));
        }
        if let Some(flow) = self.flows.named(name) {
            flow.hear(&self.ends, heard);
        }
    }
}

impl Udp {
    /// For which probe a message is that a raw socket was given.
    fn quoted(&self, message: &Message<'_>) -> Option<Clue> {
        let Message::Error { quoted, .. } = message else { return None };
        let (ends, transport) = (&self.ends, quoted.transport);
        if (quoted.target, quoted.protocol) != (ends.target, PROTOCOL_UDP) {
            return None;
        }
        let source = sixteen(transport, 0)?;
        let flow = self.flows.number_of(source)?;
        let checksum = sixteen(transport, 6);
        let payload = transport.get(SHORT_HEADER_BYTES..).unwrap_or_default();
        clue(ends, (flow, sixteen(transport, 2)?), checksum, payload)
    }
}

impl Flow {
    fn hear(&self, ends: &Ends, heard: &mut Heard) {
        read(&self.socket, heard, |heard, queue, received, bytes| match queue {
            Queue::Errors => {
                let skipped = ip_header_bytes(ends.target) + SHORT_HEADER_BYTES;
                queued(ends, &received, bytes, skipped, heard, |to, payload| {
                    clue(ends, (self.number, to.port()), None, payload)
                });
            }
            Queue::Packets => self.datagram(ends, &received, bytes, heard),
        });
    }

    /// Something listens at the port, and says what it likes.
    fn datagram(&self, ends: &Ends, received: &Received, bytes: &[u8], heard: &mut Heard) {
        let from = received.name.filter(|from| from.ip().to_canonical() == ends.target);
        let Some(from) = from else {
            heard.strays_count += 1;
            return;
        };
        let clue = match ends.tag.origin(bytes) {
            Origin::Ours(serial) => Clue::Serial(serial),
            Origin::Foreign | Origin::Unknown => {
                Clue::Port { flow: self.number, port: from.port(), checksum: None }
            }
        };
        heard.signals.push(Signal {
            clue,
            from: ends.target,
            what: What::Reply,
            at: At::now(received.notes.stamp),
            ttl: received.notes.ttl,
        });
    }
}

/// For which probe a packet of a flow to a port is whose `payload` is quoted.
fn clue(
    ends: &Ends,
    (flow, port): (u16, u16),
    checksum: Option<u16>,
    payload: &[u8],
) -> Option<Clue> {
    match ends.tag.origin(payload) {
        Origin::Ours(serial) => Some(Clue::Serial(serial)),
        Origin::Unknown => Some(Clue::Port { flow, port, checksum }),
        Origin::Foreign => None,
    }
}
