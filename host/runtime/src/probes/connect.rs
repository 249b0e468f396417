//! TCP probes without rights: each is a connection that begins, whose SYN is the packet.
//!
//! A connection that a router or the target has answered is closed at once, and one that nobody answers before the
//! kernel would send its SYN again: later answers are not heard. While nobody listens, the kernel gives it up on its
//! own, and what it says to have come later does not count. Two connections with the same ports cannot begin at
//! the same time. Where the kernel has measured the time to the SYN-ACK itself, that counts; a reset is
//! stamped when it is seen here, for there the kernel says no time.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::time::Instant;

use blitz_contract::probes::Probe;
use rustix::net::{SocketType, ipproto};

use super::ledger::Serial;
use super::limits::{CONNECT_TIME, CONNECTS_MAX, PACKET_MAX_BYTES, READ_MAX};
use super::places::{Place, Places};
use super::ready::Ready;
use super::signal::{At, Clue, Heard, Signal, What};
use super::socket::{Queue, Socket};
use super::stamp::Stamp;
use super::way::{Ends, SendError, Sent, Way, after, queued};
use super::wire::ip_header_bytes;

#[derive(Debug)]
pub(super) struct Connect {
    ends: Ends,
    /// Those that wait for an answer. A serial number is also the name of its socket.
    open: BTreeMap<Serial, Attempt>,
    /// Flows and their source ports, in the order in which they had them.
    ports: VecDeque<(u16, u16)>,
    places: Places,
}

#[derive(Debug)]
struct Attempt {
    flow: u16,
    port: u16,
    socket: Socket,
    close_at: Instant,
    /// The same by the clock of stamps.
    close_stamp: Stamp,
    /// Held until it is closed.
    _place: Place,
}

impl Connect {
    pub(super) fn new(ends: Ends, places: Places) -> Self {
        Self { ends, open: BTreeMap::new(), ports: VecDeque::new(), places }
    }

    /// A socket of a flow: its source port is that of the flow, unless somebody has taken it.
    fn socket(&mut self, probe: &Probe) -> io::Result<Socket> {
        let ends = &self.ends;
        let mut socket = Socket::open(ends.target, SocketType::STREAM, ipproto::TCP)?;
        socket.dont_fragment(ends.dont_fragment)?;
        socket.queue_errors()?;
        socket.end_at_once()?;
        socket.give_up_after(CONNECT_TIME)?;
        socket.set_ttl(probe.ttl)?;
        let at = self.ports.iter().position(|(flow, _)| *flow == probe.flow);
        let known = at.and_then(|at| self.ports.remove(at));
        let own = match known.map(|(_, port)| socket.bind(ends.source_at(port))) {
            Some(Ok(own)) => own,
            Some(Err(_)) | None => socket.bind(ends.source_at(0))?,
        };
        if self.ports.len() >= CONNECTS_MAX {
            self.ports.pop_front();
        }
        self.ports.push_back((probe.flow, own.port()));
        Ok(socket)
    }
}

impl Way for Connect {
    fn send(
        &mut self,
        probe: &Probe,
        serial: Serial,
        ready: &Ready,
        heard: &mut Heard,
    ) -> Result<Sent, SendError> {
        self.tick(Instant::now(), heard);
        let &Probe { flow, port, .. } = probe;
        if self.open.values().any(|attempt| (attempt.flow, attempt.port) == (flow, port)) {
            return Err(SendError::Refused(format!(
                "a TCP probe of flow {flow} to port {port} is out, and without raw sockets no second one can be \
                 beside it: give each probe a flow of its own, or give the engine the capability CAP_NET_RAW"
            )));
        }
        if self.open.len() >= CONNECTS_MAX {
            return Err(SendError::Limit(format!(
                "at most {CONNECTS_MAX} TCP probes of a session wait for an answer without raw sockets"
            )));
        }
        let place = self.places.take().map_err(SendError::Limit)?;
        let socket = self.socket(probe)?;
        let begun = Stamp::now();
        heard.departures.push((serial, begun));
        socket.begin_connect(self.ends.target_at(port))?;
        let close_at = after(Instant::now(), CONNECT_TIME);
        ready.add_connecting(&socket, serial.0.into())?;
        let close_stamp = begun.after(CONNECT_TIME);
        let attempt = Attempt { flow, port, socket, close_at, close_stamp, _place: place };
        self.open.insert(serial, attempt);
        Ok(Sent::default())
    }

    fn hear(&mut self, name: u64, heard: &mut Heard) {
        let Ok(serial) = u32::try_from(name).map(Serial) else { return };
        if heard.reads_count >= READ_MAX {
            // It is still ready in the next pass.
            return;
        }
        let is_over =
            self.open.get(&serial).is_some_and(|attempt| attempt.hear(&self.ends, serial, heard));
        if is_over {
            self.open.remove(&serial);
        }
    }

    fn tick(&mut self, now: Instant, heard: &mut Heard) -> Option<Instant> {
        // In the order in which they began, so those that are due come first.
        while let Some(first) = self.open.first_entry()
            && first.get().close_at <= now
        {
            let (serial, attempt) = first.remove_entry();
            // What came in time counts, also when it is read now.
            attempt.hear(&self.ends, serial, heard);
        }
        self.open.first_key_value().map(|(_, attempt)| attempt.close_at)
    }
}

impl Attempt {
    /// True when the connection is over.
    fn hear(&self, ends: &Ends, serial: Serial, heard: &mut Heard) -> bool {
        let clue = Clue::Serial(serial);
        let before = heard.signals.len();
        let mut buffer = [0; PACKET_MAX_BYTES];
        while heard.reads_count < READ_MAX
            && let Ok(Some(received)) = self.socket.receive(Queue::Errors, &mut buffer)
        {
            heard.reads_count += 1;
            let quoted = buffer.get(..received.length).unwrap_or_default();
            queued(ends, &received, quoted, ip_header_bytes(ends.target), heard, |_, _| Some(clue));
        }
        // Past its time, an answer may be to a SYN that was sent again: then its instant must be the kernel's.
        let is_late = self.close_at <= Instant::now();
        let in_time = |signal: &Signal| signal.at.stamp.is_some_and(|at| at <= self.close_stamp);
        if heard.signals.len() > before {
            let answers = heard.signals.split_off(before);
            heard.signals.extend(answers.into_iter().filter(|answer| !is_late || in_time(answer)));
            return true;
        }
        let now = Stamp::now();
        let is_open = match self.socket.take_error() {
            Ok(()) if self.socket.is_connected() => true,
            Ok(()) => return false,
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => false,
            Err(error) => {
                tracing::debug!(%error, "a connection ended, and nobody said why");
                return true;
            }
        };
        let measured = match is_open.then(|| self.socket.handshake_time()) {
            // Nobody knows which of its SYNs was answered.
            Some(Ok(None)) => return true,
            Some(Ok(time)) => time.filter(|time| !time.is_zero()),
            Some(Err(_)) | None => None,
        };
        if is_late && measured.is_none() {
            return true;
        }
        heard.signals.push(Signal {
            clue,
            from: ends.target,
            what: What::Handshake { is_open },
            at: At { measured, ..At::now(Some(now)) },
            ttl: None,
        });
        true
    }
}

#[cfg(test)]
mod tests {
    use super::super::cookie::Tag;
    use super::*;

    #[test]
    fn the_ports_of_the_latest_flows_are_kept() {
        let here = std::net::Ipv4Addr::LOCALHOST.into();
        let tag = Tag::by_chance().unwrap();
        let ends = Ends { source: here, target: here, dont_fragment: false, tag };
        let mut connect = Connect::new(ends, Places::of(1, 1));
        let last = u16::try_from(CONNECTS_MAX).unwrap() + 1;
        for flow in (0..=last).chain([2]) {
            let probe = Probe { id: 1, ttl: 1, size_bytes: 60, flow, port: 9 };
            drop(connect.socket(&probe).unwrap());
            assert!(connect.ports.len() <= CONNECTS_MAX);
        }
        let flows: Vec<u16> = connect.ports.iter().map(|(flow, _)| *flow).collect();
        assert_eq!(flows, (3..=last).chain([2]).collect::<Vec<u16>>());
    }
}
