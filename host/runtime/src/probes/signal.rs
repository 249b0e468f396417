//! What a socket says, before it is known which probe it is for; and what it means.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use blitz_contract::probes::{Label, Outcome};

use super::ledger::Serial;
use super::stamp::Stamp;

/// Something that was heard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Signal {
    pub(super) clue: Clue,
    pub(super) from: IpAddr,
    pub(super) what: What,
    pub(super) at: At,
    /// The time to live that it came with.
    pub(super) ttl: Option<u8>,
}

/// By what it is known which probe a signal is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Clue {
    Serial(Serial),
    /// The last sixteen bits of the serial number.
    Sequence(u16),
    /// Only if there is one such probe.
    Port {
        flow: u16,
        port: u16,
        /// Of UDP.
        checksum: Option<u16>,
    },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum What {
    Icmp(Icmp),
    /// An echo, or a datagram.
    Reply,
    /// A SYN-ACK, or a reset.
    Handshake {
        is_open: bool,
    },
}

/// An error of ICMP, or of ICMPv6 for an IPv6 target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Icmp {
    pub(super) kind: u8,
    pub(super) code: u8,
    /// What the next link carries, where it is "too big".
    pub(super) mtu: Option<u32>,
    pub(super) labels: Vec<Label>,
}

/// When a signal came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct At {
    /// The kernel's.
    pub(super) stamp: Option<Stamp>,
    /// When it was read.
    pub(super) read: Instant,
    /// The time from the packet to its answer, where the kernel has measured it by itself.
    pub(super) measured: Option<Duration>,
}

impl At {
    pub(super) fn now(stamp: Option<Stamp>) -> Self {
        Self { stamp, read: Instant::now(), measured: None }
    }
}

/// What sockets said since somebody last listened.
#[derive(Debug, Default)]
pub(super) struct Heard {
    pub(super) signals: Vec<Signal>,
    /// Drivers' stamps of packets that left.
    pub(super) departures: Vec<(Serial, Stamp)>,
    /// Packets that belong to nobody here: of others, forged, or too late.
    pub(super) strays_count: u64,
    /// What the link carries to which a packet was too large.
    pub(super) local_mtu: Option<u32>,
    /// Packets that were read in this pass.
    pub(super) reads_count: usize,
}

const DESTINATION_UNREACHABLE_V4: u8 = 3;
pub(super) const TIME_EXCEEDED_V4: u8 = 11;
const PARAMETER_PROBLEM_V4: u8 = 12;
const PORT_UNREACHABLE_V4: u8 = 3;
const FRAGMENTATION_NEEDED_V4: u8 = 4;
const DESTINATION_UNREACHABLE_V6: u8 = 1;
const PACKET_TOO_BIG_V6: u8 = 2;
const TIME_EXCEEDED_V6: u8 = 3;
const PARAMETER_PROBLEM_V6: u8 = 4;
const PORT_UNREACHABLE_V6: u8 = 4;

/// Types of messages that quote a packet. Sources: RFC 792, RFC 4443.
pub(super) const ERRORS_V4: [u8; 3] =
    [DESTINATION_UNREACHABLE_V4, TIME_EXCEEDED_V4, PARAMETER_PROBLEM_V4];
pub(super) const ERRORS_V6: [u8; 4] =
    [DESTINATION_UNREACHABLE_V6, PACKET_TOO_BIG_V6, TIME_EXCEEDED_V6, PARAMETER_PROBLEM_V6];

/// Whether `info` of such a message is what the next link carries.
pub(super) fn is_too_big(is_ipv4: bool, kind: u8, code: u8) -> bool {
    match is_ipv4 {
        true => (kind, code) == (DESTINATION_UNREACHABLE_V4, FRAGMENTATION_NEEDED_V4),
        false => kind == PACKET_TOO_BIG_V6,
    }
}

impl Signal {
    /// What it means for its probe; `None` when it cannot be an answer, as an echo of somebody who was not asked.
    pub(super) fn outcome(&self, target: IpAddr) -> Option<Outcome> {
        let is_target = self.from == target;
        match &self.what {
            What::Reply | What::Handshake { .. } => is_target.then_some(Outcome::Reached),
            What::Icmp(Icmp { kind, code, .. }) => {
                let is_ipv4 = target.is_ipv4();
                let (errors, time_exceeded, port) = match is_ipv4 {
                    true => (
                        &ERRORS_V4[..],
                        TIME_EXCEEDED_V4,
                        (DESTINATION_UNREACHABLE_V4, PORT_UNREACHABLE_V4),
                    ),
                    false => (
                        &ERRORS_V6[..],
                        TIME_EXCEEDED_V6,
                        (DESTINATION_UNREACHABLE_V6, PORT_UNREACHABLE_V6),
                    ),
                };
                Some(match (*kind, *code) {
                    // The other code is of fragments that did not come in time.
                    (kind, 0) if kind == time_exceeded => Outcome::TimeExceeded,
                    both if both == port && is_target => Outcome::Reached,
                    (kind, _) if errors.contains(&kind) => Outcome::Unreachable,
                    _ => return None,
                })
            }
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use super::*;

    pub(crate) fn signal(clue: Clue, from: IpAddr, what: What) -> Signal {
        Signal { clue, from, what, at: At::now(None), ttl: None }
    }

    pub(crate) fn icmp(kind: u8, code: u8) -> What {
        What::Icmp(Icmp { kind, code, mtu: None, labels: Vec::new() })
    }

    #[test]
    fn only_the_target_is_reached() {
        let v4: IpAddr = Ipv4Addr::new(192, 0, 2, 1).into();
        let v6: IpAddr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).into();
        use Outcome::{Reached, TimeExceeded, Unreachable};
        for (target, what, by_target, by_another) in [
            (v4, What::Reply, Some(Reached), None),
            (v4, What::Handshake { is_open: true }, Some(Reached), None),
            (v4, icmp(3, 3), Some(Reached), Some(Unreachable)),
            (v4, icmp(3, 1), Some(Unreachable), Some(Unreachable)),
            (v4, icmp(3, 4), Some(Unreachable), Some(Unreachable)),
            (v4, icmp(11, 0), Some(TimeExceeded), Some(TimeExceeded)),
            (v4, icmp(11, 1), Some(Unreachable), Some(Unreachable)),
            (v4, icmp(12, 0), Some(Unreachable), Some(Unreachable)),
            (v4, icmp(5, 0), None, None),
            (v6, icmp(1, 4), Some(Reached), Some(Unreachable)),
            (v6, icmp(1, 1), Some(Unreachable), Some(Unreachable)),
            (v6, icmp(2, 0), Some(Unreachable), Some(Unreachable)),
            (v6, icmp(3, 0), Some(TimeExceeded), Some(TimeExceeded)),
            (v6, icmp(3, 3), Some(Unreachable), Some(Unreachable)),
            (v6, icmp(128, 0), None, None),
        ] {
            let other: IpAddr = Ipv4Addr::new(192, 0, 2, 9).into();
            let clue = Clue::Sequence(0);
            let said = signal(clue, target, what.clone()).outcome(target);
            assert_eq!(said, by_target, "{what:?} of {target}");
            let said = signal(clue, other, what.clone()).outcome(target);
            assert_eq!(said, by_another, "{what:?} of another");
        }
        assert!(is_too_big(true, 3, 4) && is_too_big(false, 2, 0) && !is_too_big(true, 2, 0));
    }
}
