//! TCP probes by a raw socket: SYNs that are written here, so that any number of them have the same ports. The
//! sequence number tells the probe, and the kernel stamps what answers.
//!
//! A socket of the kernel holds the port of each flow, so that nobody else is given it. It does not connect: the
//! kernel resets what a target accepts, and nothing is left open there.

use std::io;

use blitz_contract::probes::Probe;
use rustix::net::{SocketType, ipproto};

use super::ancillary::Source;
use super::filter;
use super::flows::Flows;
use super::ledger::Serial;
use super::listener::{LISTENER, Listener, Message};
use super::places::Places;
use super::ready::Ready;
use super::signal::{At, Clue, Heard, Signal, What};
use super::socket::{Queue, Received, Socket};
use super::way::{Ends, SendError, Sent, Way, read};
use super::wire::{PROTOCOL_TCP, SYN_BYTES, handshake, payload_v4, sixteen, syn, thirty_two};

#[derive(Debug)]
pub(super) struct Syn {
    ends: Ends,
    socket: Socket,
    listener: Listener,
    /// Their sockets hold their ports.
    flows: Flows,
}

/// The name of the socket that sends.
const SENDER: u64 = 0;

impl Syn {
    /// # Errors
    ///
    /// `EPERM` without the capability `CAP_NET_RAW`.
    pub(super) fn open(ends: Ends, places: Places, ready: &Ready) -> io::Result<Self> {
        let listener = Listener::open(&ends, None, ready)?;
        let socket = Socket::open(ends.target, SocketType::RAW, ipproto::TCP)?;
        socket.filter(&mut filter::handshakes(ends.target))?;
        socket.dont_fragment(ends.dont_fragment)?;
        socket.stamp_departures();
        socket.bind(ends.source_at(0))?;
        // The kernel copies for it what comes from the target alone, and not each segment of everybody.
        socket.connect(ends.target_at(0))?;
        ready.add(&socket, SENDER)?;
        Ok(Self { ends, socket, listener, flows: Flows::new(places) })
    }

    fn serial(&self, sequence: u32) -> Serial {
        Serial(sequence.wrapping_sub(self.ends.tag.number()))
    }

    fn is_ours(&self, port: Option<u16>) -> bool {
        port.is_some_and(|port| self.flows.number_of(port).is_some())
    }

    fn hear_sender(&self, heard: &mut Heard) {
        read(&self.socket, heard, |heard, queue, received, bytes| match queue {
            Queue::Errors => self.departure(&received, bytes, heard),
            Queue::Packets => match self.handshake(&received, bytes) {
                Some(signal) => heard.signals.push(signal),
                None => heard.strays_count += 1,
            },
        });
    }

    /// The stamp of a packet that left, which is given with all headers before the segment.
    fn departure(&self, received: &Received, packet: &[u8], heard: &mut Heard) {
        let is_departure =
            received.notes.error.is_some_and(|error| error.origin == Source::Departure);
        let at = packet.len().checked_sub(SYN_BYTES).filter(|_| is_departure);
        let segment = at.and_then(|at| packet.get(at..)).unwrap_or_default();
        if self.is_ours(sixteen(segment, 0)) {
            let serial = thirty_two(segment, 4).map(|sequence| self.serial(sequence));
            heard.departures.extend(serial.zip(received.notes.stamp));
        }
    }

    fn handshake(&self, received: &Received, bytes: &[u8]) -> Option<Signal> {
        let from = received.name?.ip().to_canonical();
        let segment = if self.ends.target.is_ipv4() { payload_v4(bytes)?.1 } else { bytes };
        let answer = handshake(segment)?;
        if from != self.ends.target || !self.is_ours(Some(answer.target_port)) {
            return None;
        }
        Some(Signal {
            clue: Clue::Serial(self.serial(answer.acknowledged.wrapping_sub(1))),
            from,
            what: What::Handshake { is_open: answer.is_open },
            at: At::now(received.notes.stamp),
            ttl: received.notes.ttl,
        })
    }

    fn hear_listener(&self, heard: &mut Heard) {
        self.listener.hear(&self.ends, heard, |message| {
            let Message::Error { quoted, .. } = message else { return None };
            let is_ours = quoted.target == self.ends.target
                && quoted.protocol == PROTOCOL_TCP
                && self.is_ours(sixteen(quoted.transport, 0));
            let sequence = thirty_two(quoted.transport, 4).filter(|_| is_ours)?;
            Some(Clue::Serial(self.serial(sequence)))
        });
    }
}

/// A socket that holds a port, and the port.
fn hold(ends: &Ends) -> io::Result<(Socket, u16)> {
    let socket = Socket::open(ends.target, SocketType::STREAM, ipproto::TCP)?;
    let port = socket.bind(ends.source_at(0))?.port();
    Ok((socket, port))
}

impl Way for Syn {
    fn send(
        &mut self,
        probe: &Probe,
        serial: Serial,
        _ready: &Ready,
        heard: &mut Heard,
    ) -> Result<Sent, SendError> {
        let Self { ends, flows, .. } = self;
        let port = flows.of(probe.flow, |_gone| (), |_name| hold(ends))?.port;
        let source = (self.ends.source, port);
        let sequence = self.ends.tag.number().wrapping_add(serial.0);
        let segment = syn(source, (self.ends.target, probe.port), sequence);
        self.socket.set_ttl(probe.ttl)?;
        let sent = self.socket.send(&segment, self.ends.target_at(0));
        self.hear_sender(heard);
        sent?;
        Ok(Sent::default())
    }

    fn hear(&mut self, name: u64, heard: &mut Heard) {
        match name {
            LISTENER => self.hear_listener(heard),
            _ => self.hear_sender(heard),
        }
    }
}
