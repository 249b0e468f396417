//! A way to send probes of one kind, and to hear what comes back. What all of them do alike is here.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use blitz_contract::probes::Probe;

use super::ancillary::{QueuedError, Source};
use super::cookie::Tag;
use super::labels::labels;
use super::ledger::Serial;
use super::limits::{PACKET_MAX_BYTES, READ_MAX};
use super::ready::Ready;
use super::signal::{At, Clue, Heard, Icmp, Signal, What, is_too_big};
use super::socket::{Queue, Received, Socket};

/// The ends of a session's packets, and what is the same of all.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ends {
    pub(super) source: IpAddr,
    pub(super) target: IpAddr,
    pub(super) dont_fragment: bool,
    pub(super) tag: Tag,
}

pub(super) trait Way: fmt::Debug + Send {
    /// Sends one packet. What its sockets say meanwhile is heard.
    ///
    /// # Errors
    ///
    /// [`SendError`].
    fn send(
        &mut self,
        probe: &Probe,
        serial: Serial,
        ready: &Ready,
        heard: &mut Heard,
    ) -> Result<Sent, SendError>;

    /// Hears the socket of this name.
    fn hear(&mut self, name: u64, heard: &mut Heard);

    /// Does what is due by the clock, and says when there is something next.
    fn tick(&mut self, _now: Instant, _heard: &mut Heard) -> Option<Instant> {
        None
    }
}

/// What is known of a packet once it was handed over.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Sent {
    /// By which it can be told from others that look alike.
    pub(super) checksum: Option<u16>,
}

/// Why a packet did not leave.
#[derive(Debug)]
pub(super) enum SendError {
    /// What was asked for cannot be done here; says the remedy.
    Refused(String),
    /// A limit of the session.
    Limit(String),
    /// The system did not take it.
    Unsent(io::Error),
}

impl From<io::Error> for SendError {
    fn from(error: io::Error) -> Self {
        Self::Unsent(error)
    }
}

impl Ends {
    pub(super) fn source_at(&self, port: u16) -> SocketAddr {
        SocketAddr::new(self.source, port)
    }

    pub(super) fn target_at(&self, port: u16) -> SocketAddr {
        SocketAddr::new(self.target, port)
    }
}

/// Reads both queues of a socket until they are empty or the pass has read enough, errors first: a departure stands
/// there before its answer.
pub(super) fn read(
    socket: &Socket,
    heard: &mut Heard,
    mut hear: impl FnMut(&mut Heard, Queue, Received, &[u8]),
) {
    let mut buffer = [0; PACKET_MAX_BYTES];
    for queue in [Queue::Errors, Queue::Packets] {
        while heard.reads_count < READ_MAX {
            heard.reads_count += 1;
            match socket.receive(queue, &mut buffer) {
                Ok(Some(received)) => {
                    hear(heard, queue, received, buffer.get(..received.length).unwrap_or_default());
                }
                Ok(None) => break,
                // An error of a packet, which the queue of errors tells better.
                Err(error) => tracing::trace!(%error, "a probe's socket"),
            }
        }
    }
    // One that nobody takes makes the socket ready for ever.
    if let Err(error) = socket.take_error() {
        tracing::trace!(%error, "a probe's socket");
    }
}

/// What an entry of a queue of errors is: `clue` says for which probe, by what is quoted behind the headers of IP
/// and, where it has ports, of the transport: together `skipped` bytes.
pub(super) fn queued(
    ends: &Ends,
    received: &Received,
    quoted: &[u8],
    skipped: usize,
    heard: &mut Heard,
    clue: impl FnOnce(SocketAddr, &[u8]) -> Option<Clue>,
) {
    let Some(error) = received.notes.error else { return };
    let QueuedError { kind, code, info, extension_at, offender, .. } = error;
    match error.origin {
        Source::Local => heard.local_mtu = Some(info).filter(|mtu| *mtu > 0).or(heard.local_mtu),
        Source::Departure => {
            let departure = ends.tag.find(quoted).zip(received.notes.stamp);
            heard.departures.extend(departure);
        }
        Source::Icmp => {
            let to = received.name.filter(|to| to.ip().to_canonical() == ends.target);
            let clue = to.and_then(|to| clue(to, quoted));
            let (Some(from), Some(clue)) = (offender, clue) else {
                heard.strays_count += 1;
                return;
            };
            let mtu = is_too_big(ends.target.is_ipv4(), kind, code).then_some(info);
            let labels = labels(quoted, skipped, extension_at);
            heard.signals.push(Signal {
                clue,
                from,
                what: What::Icmp(Icmp { kind, code, mtu, labels }),
                at: At::now(received.notes.stamp),
                ttl: received.notes.ttl,
            });
        }
        Source::Other => {}
    }
}

/// The most that can be waited for without a name of the clock's end.
pub(super) fn after(instant: Instant, time: Duration) -> Instant {
    instant.checked_add(time).unwrap_or(instant)
}

#[cfg(test)]
mod tests {
    use rustix::net::{SocketType, ipproto};

    use super::*;

    #[test]
    fn a_pass_reads_no_more_than_its_part_of_a_flood() {
        let here = SocketAddr::from(([127, 0, 0, 1], 0));
        let socket = Socket::open(here.ip(), SocketType::DGRAM, ipproto::UDP).unwrap();
        let to = socket.bind(here).unwrap();
        let flood = std::net::UdpSocket::bind(here).unwrap();
        for _ in 0..10 {
            flood.send_to(b"hm", to).unwrap();
        }
        // One look at the queue of errors, and four at that of packets.
        let mut heard = Heard { reads_count: READ_MAX - 5, ..Heard::default() };
        for wanted in [4, 0] {
            let mut count = 0;
            read(&socket, &mut heard, |_, _, _, _| count += 1);
            assert_eq!((count, heard.reads_count), (wanted, READ_MAX));
        }
        let (mut heard, mut count) = (Heard::default(), 0);
        read(&socket, &mut heard, |_, _, _, _| count += 1);
        assert_eq!(count, 6);
    }
}
