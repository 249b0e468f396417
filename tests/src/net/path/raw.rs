//! Packets as a router sees and makes them, by raw sockets: what passes by, and answers to it.

use std::io::{self, Read as _};
use std::net::{Ipv4Addr, SocketAddrV4};

use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketType, eth, ipproto, recv, sendto, socket,
};

use crate::net::server::tell;

/// Said when it listens.
pub(super) const READY: &str = "ready";

/// As much as a link carries.
const PACKET_BYTES_MAX: usize = 2048;

/// A header of IP without options.
pub(super) const IP_BYTES: usize = 20;

pub(super) const ICMP: u8 = 1;
pub(super) const TCP: u8 = 6;
pub(super) const UDP: u8 = 17;

/// ICMP's type and code.
pub(super) const TIME_EXCEEDED: [u8; 2] = [11, 0];

/// Sends to this source what is made of each of its packets, until standard input ends. Says `said` for each.
///
/// # Errors
///
/// Without the right to raw sockets.
pub(super) fn answer(
    source: Ipv4Addr,
    said: &'static str,
    answers: impl Fn(&[u8]) -> Vec<Vec<u8>> + Send + 'static,
) -> io::Result<()> {
    let seen = socket(AddressFamily::PACKET, SocketType::DGRAM, Some(eth::IP))?;
    let raw = socket(AddressFamily::INET, SocketType::RAW, Some(ipproto::RAW))?;
    tell(READY);
    std::thread::spawn(move || {
        let mut buffer = vec![0; PACKET_BYTES_MAX];
        while let Ok((_, length)) = recv(&seen, &mut buffer[..], RecvFlags::empty()) {
            let packet = &buffer[..length.min(PACKET_BYTES_MAX)];
            if !is_probe(packet, source) {
                continue;
            }
            let answers = answers(packet);
            for answer in &answers {
                sendto(&raw, answer, SendFlags::empty(), &SocketAddrV4::new(source, 0)).ok();
            }
            if !answers.is_empty() {
                tell(said);
            }
        }
    });
    io::stdin().read_to_end(&mut Vec::new()).map(drop)
}

/// Whether it is of the source, with eight bytes behind a header without options.
pub(super) fn is_probe(packet: &[u8], source: Ipv4Addr) -> bool {
    packet.len() >= IP_BYTES + 8 && packet[0] == 0x45 && packet[12..16] == source.octets()
}

/// The kernel fills in what is 0 here.
pub(super) fn packet_from(from: Ipv4Addr, to: Ipv4Addr, protocol: u8, body: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x45, 0, 0, 0, 0, 0, 0, 0, 255, protocol, 0, 0];
    packet.extend(from.octets());
    packet.extend(to.octets());
    packet.extend(body);
    packet
}

/// Of ICMP, and of its extensions.
pub(super) fn with_checksum(mut message: Vec<u8>) -> Vec<u8> {
    message[2..4].fill(0);
    let checksum = super::wire::checksum(super::wire::sum(&message));
    message[2..4].copy_from_slice(&checksum.to_be_bytes());
    message
}
