//! The times of probes by the packets themselves, as they passed the source's link.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::path::{Path as File, PathBuf};
use std::time::Duration;

use blitz_tests::net::path::Path;

use crate::capture::{Capture, packets};

const ICMP: u8 = 1;
const TCP: u8 = 6;
const UDP: u8 = 17;

/// A capture that runs on the source's link.
pub(super) struct Truth {
    capture: Capture,
    file: PathBuf,
}

/// The times of all probes that were answered, by target and time to live.
#[derive(Debug, Default)]
pub(super) struct Times(HashMap<(Ipv4Addr, u8), Vec<Duration>>);

impl Truth {
    /// `None` where `tcpdump` does not run.
    pub(super) async fn start(path: &Path) -> Option<Self> {
        let file = path.home().join("link.pcap");
        let tcpdump = path.command(0, &["tcpdump"]);
        let capture = Capture::start(tcpdump, "right", &file, "ip").await?;
        Some(Self { capture, file })
    }

    pub(super) async fn end(self) -> Times {
        self.capture.end().await;
        times(&read(&self.file))
    }
}

fn read(file: &File) -> Vec<u8> {
    std::fs::read(file).expect("what tcpdump wrote")
}

impl Times {
    /// How far such a time is from that of a probe with this time to live; the nearest, where there were several.
    pub(super) fn error(&self, target: &str, ttl: u8, rtt: Duration) -> Option<Duration> {
        let seen = self.0.get(&(target.parse().ok()?, ttl))?;
        seen.iter().map(|truth| truth.abs_diff(rtt)).min()
    }

    /// As the packets have them, in the order in which the probes left.
    pub(super) fn of(&self, target: &str, ttl: u8) -> &[Duration] {
        let key = target.parse().map(|target| (target, ttl));
        key.ok().and_then(|key| self.0.get(&key)).map_or(&[], Vec::as_slice)
    }
}

/// What tells a probe apart: where it goes, and what no other has, in its headers or behind them.
type Key = (Ipv4Addr, u8, Vec<u8>);

struct Probe {
    at: u64,
    ttl: u8,
    answered: Option<u64>,
}

fn times(file: &[u8]) -> Times {
    let mut order: Vec<Key> = Vec::new();
    let mut probes: HashMap<Key, Probe> = HashMap::new();
    for (at, packet) in packets(file) {
        match heard(packet) {
            Some(Heard::Probe(key, ttl)) => {
                order.push(key.clone());
                probes.insert(key, Probe { at, ttl, answered: None });
            }
            Some(Heard::Answer(key)) => {
                if let Some(probe) = probes.get_mut(&key) {
                    // The first one counts.
                    probe.answered.get_or_insert(at);
                }
            }
            None => {}
        }
    }
    let mut times = Times::default();
    for key in order {
        if let Some(Probe { at, ttl, answered: Some(answered) }) = probes.get(&key) {
            let rtt = Duration::from_nanos(answered.saturating_sub(*at));
            times.0.entry((key.0, *ttl)).or_default().push(rtt);
        }
    }
    times
}

enum Heard {
    Probe(Key, u8),
    Answer(Key),
}

fn heard(packet: &[u8]) -> Option<Heard> {
    let (head, body) = split(packet)?;
    let (ttl, protocol) = (*head.get(8)?, *head.get(9)?);
    match (protocol, *body.first()?) {
        (ICMP, 3 | 11) => Some(Heard::Answer(key(body.get(8..)?)?)),
        (ICMP, 0) => {
            let from = address(head, 12)?;
            Some(Heard::Answer((from, ICMP, body.get(4..8)?.to_vec())))
        }
        (ICMP, 8) | (UDP, _) => Some(Heard::Probe(key(packet)?, ttl)),
        (TCP, _) => {
            let flags = *body.get(13)?;
            let number = |at: usize| Some(u32::from_be_bytes(*body.get(at..)?.first_chunk()?));
            match flags & 0x17 {
                // A SYN.
                0x02 => Some(Heard::Probe(key(packet)?, ttl)),
                // Its answer: with an acknowledgement, of which it is one less.
                0x12 | 0x14 => {
                    let ports = [body.get(2..4)?, body.get(..2)?].concat();
                    let sequence = number(8)?.wrapping_sub(1).to_be_bytes();
                    let own = [&ports[..], &sequence].concat();
                    Some(Heard::Answer((address(head, 12)?, TCP, own)))
                }
                _ => None,
            }
        }
        _ => None,
    }
}

/// Of a packet, or of as much of it as is quoted.
fn key(packet: &[u8]) -> Option<Key> {
    let (head, body) = split(packet)?;
    let protocol = *head.get(9)?;
    let own = match protocol {
        // Identifier and sequence number.
        ICMP => body.get(4..8)?.to_vec(),
        // Ports and sequence number.
        TCP => body.get(..8)?.to_vec(),
        // Ports, and the beginning of what it carries; its checksum is filled in on the way.
        UDP => {
            let payload = body.get(8..).unwrap_or_default();
            let id = head.get(4..6)?;
            [id, body.get(..4)?, &payload[..payload.len().min(8)]].concat()
        }
        _ => return None,
    };
    Some((address(head, 16)?, protocol, own))
}

/// The header of IP, and what follows it.
fn split(packet: &[u8]) -> Option<(&[u8], &[u8])> {
    let length = usize::from(packet.first()? & 15) * 4;
    packet.split_at_checked(length)
}

fn address(head: &[u8], at: usize) -> Option<Ipv4Addr> {
    Some(Ipv4Addr::from(*head.get(at..)?.first_chunk::<4>()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(ttl: u8, protocol: u8, from: u8, to: u8, body: &[u8]) -> Vec<u8> {
        let head = [0x45, 0, 0, 0, 0, 7, 0, 0, ttl, protocol, 0, 0, 5, 0, 0, from, 5, 0, 0, to];
        [&head[..], body].concat()
    }

    fn pcap(all: &[(u32, Vec<u8>)]) -> Vec<u8> {
        let mut file = vec![0; 24];
        for (nanoseconds, packet) in all {
            let length = u32::try_from(packet.len() + 14).unwrap();
            for number in [1, *nanoseconds, length, length] {
                file.extend(number.to_le_bytes());
            }
            file.extend([0; 14]);
            file.extend(packet);
        }
        file
    }

    #[test]
    fn answers_find_their_probes() {
        let udp = [1, 1, 2, 2, 0, 16, 9, 9, 1, 2, 3, 4, 5, 6, 7, 8];
        let syn = [1, 1, 0, 80, 0, 0, 0, 41, 0, 0, 0, 0, 0x50, 2, 0, 0, 0, 0, 0, 0];
        let reset = [0, 80, 1, 1, 0, 0, 0, 0, 0, 0, 0, 42, 0x50, 0x14, 0, 0, 0, 0, 0, 0];
        let exceeded = [&[11, 0, 0, 0, 0, 0, 0, 0][..], &ip(1, UDP, 1, 9, &udp)].concat();
        let file = pcap(&[
            (100, ip(3, UDP, 1, 9, &udp)),
            (200, ip(4, ICMP, 1, 9, &[8, 0, 0, 0, 7, 7, 0, 1])),
            (250, ip(5, TCP, 1, 9, &syn)),
            (300, ip(60, ICMP, 3, 1, &exceeded)),
            (500, ip(60, ICMP, 9, 1, &[0, 0, 0, 0, 7, 7, 0, 1])),
            (600, ip(60, TCP, 9, 1, &reset)),
            (700, ip(60, ICMP, 8, 1, &[0, 0, 0, 0, 7, 7, 0, 1])),
        ]);
        let times = times(&file);
        let ns = Duration::from_nanos;
        assert_eq!(times.of("5.0.0.9", 3), [ns(200)]);
        assert_eq!(times.of("5.0.0.9", 4), [ns(300)]);
        assert_eq!(times.of("5.0.0.9", 5), [ns(350)]);
        assert_eq!(times.error("5.0.0.9", 5, ns(340)), Some(ns(10)));
        assert_eq!(times.error("5.0.0.9", 6, ns(1)), None);
    }
}
