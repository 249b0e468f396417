//! The bytes of packets: what is sent, and what is read of the packets that answers quote. Pure.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

pub(super) const PROTOCOL_ICMP: u8 = 1;
pub(super) const PROTOCOL_TCP: u8 = 6;
pub(super) const PROTOCOL_UDP: u8 = 17;
pub(super) const PROTOCOL_ICMPV6: u8 = 58;
/// A header of IPv6 before that of the transport.
const PROTOCOL_FRAGMENT: u8 = 44;

const IPV4_HEADER_BYTES: usize = 20;
const IPV6_HEADER_BYTES: usize = 40;
const FRAGMENT_HEADER_BYTES: usize = 8;
/// Headers of UDP and of an ICMP echo.
pub(super) const SHORT_HEADER_BYTES: usize = 8;

/// What the IP header of a packet to this address takes.
pub(super) fn ip_header_bytes(target: IpAddr) -> usize {
    if target.is_ipv4() { IPV4_HEADER_BYTES } else { IPV6_HEADER_BYTES }
}

/// Two bytes in the network's order.
pub(super) fn sixteen(bytes: &[u8], at: usize) -> Option<u16> {
    let two = bytes.get(at..)?.first_chunk::<2>()?;
    Some(u16::from_be_bytes(*two))
}

/// Four bytes in the network's order.
pub(super) fn thirty_two(bytes: &[u8], at: usize) -> Option<u32> {
    let four = bytes.get(at..)?.first_chunk::<4>()?;
    Some(u32::from_be_bytes(*four))
}

/// The sum of these pieces, each of which begins at an even place. Source: RFC 1071.
fn sum(pieces: &[&[u8]]) -> u16 {
    let mut sum = 0_u64;
    for piece in pieces {
        for pair in piece.chunks(2) {
            let high = pair.first().copied().unwrap_or_default();
            let low = pair.get(1).copied().unwrap_or_default();
            sum += u64::from(u16::from_be_bytes([high, low]));
        }
    }
    while sum >> 16 > 0 {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    u16::try_from(sum).unwrap_or(u16::MAX)
}

/// The checksum of these pieces, each of which begins at an even place.
pub(super) fn checksum(pieces: &[&[u8]]) -> u16 {
    !sum(pieces)
}

/// What the checksum of a transport covers beside its own bytes. Sources: RFC 9293, section 3.1; RFC 8200, section 8.1.
fn pseudo_header(source: IpAddr, target: IpAddr, protocol: u8, length: usize) -> Vec<u8> {
    let length = u32::try_from(length).unwrap_or(u32::MAX);
    let mut bytes = Vec::with_capacity(IPV6_HEADER_BYTES);
    match (source, target) {
        (IpAddr::V4(source), IpAddr::V4(target)) => {
            bytes.extend(source.octets());
            bytes.extend(target.octets());
        }
        (source, target) => {
            bytes.extend(ipv6(source).octets());
            bytes.extend(ipv6(target).octets());
        }
    }
    bytes.extend(length.to_be_bytes());
    bytes.extend(u32::from(protocol).to_be_bytes());
    bytes
}

fn ipv6(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    }
}

/// An echo request whose checksum is `wanted`, by the two bytes of its payload at `balance`: routers that spread ICMP
/// over several ways look at the checksum, since it stands where others have their ports.
///
/// `source` is for IPv6, whose checksum covers the addresses. The kernel writes identifier and checksum again.
pub(super) fn echo(
    (source, target): (IpAddr, IpAddr),
    (identifier, sequence): (u16, u16),
    mut payload: Vec<u8>,
    balance: usize,
    wanted: u16,
) -> Vec<u8> {
    let kind = if target.is_ipv4() { ECHO_REQUEST_V4 } else { ECHO_REQUEST_V6 };
    let mut bytes = vec![kind, 0, 0, 0];
    bytes.extend(identifier.to_be_bytes());
    bytes.extend(sequence.to_be_bytes());
    let pseudo = match target {
        IpAddr::V4(_) => Vec::new(),
        IpAddr::V6(_) => {
            pseudo_header(source, target, PROTOCOL_ICMPV6, bytes.len() + payload.len())
        }
    };
    if let Some(place) = payload.get_mut(balance..balance + 2) {
        place.fill(0);
        let without = checksum(&[&pseudo, &bytes, &payload]);
        // In one's complement: without + !place = wanted.
        let word = sum(&[&without.to_be_bytes(), &(!wanted).to_be_bytes()]);
        if let Some(place) = payload.get_mut(balance..balance + 2) {
            place.copy_from_slice(&word.to_be_bytes());
        }
    }
    let sum = checksum(&[&pseudo, &bytes, &payload]);
    if let Some(place) = bytes.get_mut(2..4) {
        place.copy_from_slice(&sum.to_be_bytes());
    }
    bytes.append(&mut payload);
    bytes
}

pub(super) const ECHO_REQUEST_V4: u8 = 8;
pub(super) const ECHO_REQUEST_V6: u8 = 128;
pub(super) const ECHO_REPLY_V4: u8 = 0;
pub(super) const ECHO_REPLY_V6: u8 = 129;

/// The checksum that UDP gives a datagram.
pub(super) fn udp_checksum(
    (source, source_port): (IpAddr, u16),
    (target, target_port): (IpAddr, u16),
    payload: &[u8],
) -> u16 {
    let length = SHORT_HEADER_BYTES + payload.len();
    let pseudo = pseudo_header(source, target, PROTOCOL_UDP, length);
    let mut header = [0; 6];
    let (ports, size) = header.split_at_mut(4);
    ports.copy_from_slice(&[source_port.to_be_bytes(), target_port.to_be_bytes()].concat());
    size.copy_from_slice(&u16::try_from(length).unwrap_or(u16::MAX).to_be_bytes());
    // Zero says that there is none. Source: RFC 768.
    match checksum(&[&pseudo, &header, payload]) {
        0 => u16::MAX,
        sum => sum,
    }
}

/// What an IPv4 packet carries, and whether it is there to its end.
pub(super) fn payload_v4(bytes: &[u8]) -> Option<(bool, &[u8])> {
    let first = *bytes.first()?;
    let (header, whole) = (usize::from(first & 0x0f) * 4, usize::from(sixteen(bytes, 2)?));
    if first >> 4 != 4 || header < IPV4_HEADER_BYTES {
        return None;
    }
    Some((whole <= bytes.len(), bytes.get(header..whole.min(bytes.len()))?))
}

/// The packet that an ICMP error quotes, as much of it as there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Quoted<'a> {
    pub(super) target: IpAddr,
    pub(super) protocol: u8,
    /// The transport's header and what follows.
    pub(super) transport: &'a [u8],
    /// Bytes before it.
    pub(super) header_bytes: usize,
}

/// Reads what is quoted behind the eight bytes of the ICMP header. `None` for what is no beginning of a packet.
pub(super) fn quoted_v4(bytes: &[u8]) -> Option<Quoted<'_>> {
    let first = *bytes.first()?;
    let header_bytes = usize::from(first & 0x0f) * 4;
    let is_first_fragment = sixteen(bytes, 6)? & 0x1fff == 0;
    if first >> 4 != 4 || header_bytes < IPV4_HEADER_BYTES || !is_first_fragment {
        return None;
    }
    let target = Ipv4Addr::from_bits(thirty_two(bytes, 16)?).into();
    let protocol = *bytes.get(9)?;
    Some(Quoted { target, protocol, transport: bytes.get(header_bytes..)?, header_bytes })
}

/// As [`quoted_v4`].
pub(super) fn quoted_v6(bytes: &[u8]) -> Option<Quoted<'_>> {
    if bytes.first()? >> 4 != 6 {
        return None;
    }
    let target: [u8; 16] = *bytes.get(24..)?.first_chunk()?;
    let target = Ipv6Addr::from(target).into();
    let (mut protocol, mut header_bytes) = (*bytes.get(6)?, IPV6_HEADER_BYTES);
    if protocol == PROTOCOL_FRAGMENT {
        protocol = *bytes.get(header_bytes)?;
        if sixteen(bytes, header_bytes + 2)? & 0xfff8 != 0 {
            return None;
        }
        header_bytes += FRAGMENT_HEADER_BYTES;
    }
    Some(Quoted { target, protocol, transport: bytes.get(header_bytes..)?, header_bytes })
}

/// Flags of a TCP segment.
const SYN: u8 = 0x02;
const RST: u8 = 0x04;
const ACK: u8 = 0x10;
/// Without options.
const TCP_HEADER_BYTES: usize = 20;
/// What Linux offers, and in its order: a SYN that looks unusual is thrown away by some firewalls. Largest segment,
/// selective acknowledgements, timestamps, padding, window scale.
const TCP_OPTIONS: [u8; 20] = [2, 4, 0x05, 0xb4, 4, 2, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0, 1, 3, 3, 7];
const TCP_WINDOW: u16 = 64_240;

/// A SYN.
pub(super) fn syn(
    (source, source_port): (IpAddr, u16),
    (target, target_port): (IpAddr, u16),
    sequence: u32,
) -> Vec<u8> {
    let words = u8::try_from(SYN_BYTES / 4).unwrap_or(u8::MAX);
    let mut bytes = Vec::with_capacity(SYN_BYTES);
    bytes.extend(source_port.to_be_bytes());
    bytes.extend(target_port.to_be_bytes());
    bytes.extend(sequence.to_be_bytes());
    bytes.extend(0_u32.to_be_bytes());
    bytes.extend([words << 4, SYN]);
    bytes.extend(TCP_WINDOW.to_be_bytes());
    bytes.extend([0; 4]);
    bytes.extend(TCP_OPTIONS);
    let pseudo = pseudo_header(source, target, PROTOCOL_TCP, bytes.len());
    let sum = checksum(&[&pseudo, &bytes]);
    if let Some(place) = bytes.get_mut(16..18) {
        place.copy_from_slice(&sum.to_be_bytes());
    }
    bytes
}

/// A SYN has no data.
pub(super) const SYN_BYTES: usize = TCP_HEADER_BYTES + TCP_OPTIONS.len();

/// What a target says to a SYN.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Handshake {
    pub(super) source_port: u16,
    pub(super) target_port: u16,
    /// The number after that of the SYN which is answered.
    pub(super) acknowledged: u32,
    pub(super) is_open: bool,
}

/// Reads a segment that answers a SYN; `None` for other segments.
pub(super) fn handshake(bytes: &[u8]) -> Option<Handshake> {
    let flags = *bytes.get(13)?;
    let is_open = flags & (SYN | ACK | RST) == SYN | ACK;
    let is_closed = flags & (RST | ACK) == RST | ACK;
    (is_open || is_closed).then_some(())?;
    Some(Handshake {
        source_port: sixteen(bytes, 0)?,
        target_port: sixteen(bytes, 2)?,
        acknowledged: thirty_two(bytes, 8)?,
        is_open,
    })
}

#[cfg(test)]
mod tests;
