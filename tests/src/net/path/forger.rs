//! A router that lies: it sees the probes that pass by, and sends to their source what a stranger could make up.
//!
//! No lie quotes a probe as it was, with what only its sender and the routers know. Each comes from an address
//! that the path does not have, so that one that is believed shows.

use std::io;
use std::net::Ipv4Addr;

use super::raw::{
    ICMP, IP_BYTES, TCP, TIME_EXCEEDED, UDP, answer, is_probe, packet_from, with_checksum,
};

/// The hidden mode of the carrier.
pub const WORD: &str = "netns-forger";

/// What lies come from.
pub const LIAR: Ipv4Addr = Ipv4Addr::new(5, 66, 6, 6);

/// Where another process' probes go.
const ELSEWHERE: Ipv4Addr = Ipv4Addr::new(5, 66, 7, 7);

const ECHO: u8 = 8;

/// ICMP's type and code.
const PORT_UNREACHABLE: [u8; 2] = [3, 3];
const HOST_UNREACHABLE: [u8; 2] = [3, 1];

/// Lies to this source about every probe of its own, until standard input ends. Says `lied` for each probe.
///
/// # Errors
///
/// Without the right to raw sockets.
pub fn serve(source: Ipv4Addr) -> io::Result<()> {
    answer(source, "lied", move |packet| lies_about(packet, source))
}

/// Packets that claim to be answers to this one; none when it is no probe of the source.
fn lies_about(packet: &[u8], source: Ipv4Addr) -> Vec<Vec<u8>> {
    if !is_probe(packet, source) {
        return Vec::new();
    }
    let (head, body) = packet.split_at(IP_BYTES);
    let quote = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut quoted = packet.to_vec();
        change(&mut quoted);
        quoted
    };
    // The same probe as it would be if another process had sent it, somewhere else or to the same target.
    let elsewhere = quote(&|p| p[16..20].copy_from_slice(&ELSEWHERE.octets()));
    let of_another = quote(&|p| p[IP_BYTES] ^= 0x15);
    let mut lies = Vec::new();
    for kind in [TIME_EXCEEDED, HOST_UNREACHABLE, PORT_UNREACHABLE] {
        lies.push(error(source, kind, &elsewhere));
        lies.push(error(source, kind, &of_another));
    }
    // Less than tells anything, and nothing at all.
    lies.push(error(source, TIME_EXCEEDED, &packet[..IP_BYTES]));
    lies.push(error(source, TIME_EXCEEDED, &[]));
    match head[9] {
        UDP => {
            // From the right port to the right one, with a payload of somebody else.
            let payload =
                quote(&|p| p.iter_mut().skip(IP_BYTES + 8).for_each(|byte| *byte ^= 0x5a));
            if payload.len() >= IP_BYTES + 16 {
                lies.push(error(source, TIME_EXCEEDED, &payload));
            }
            let mut datagram = [&body[2..4], &body[..2], &[0, 12, 0, 0], b"lies"].concat();
            lies.push(packet_from(LIAR, source, UDP, &datagram));
            datagram[4..6].copy_from_slice(&[0, 8]);
            lies.push(packet_from(LIAR, source, UDP, &datagram[..8]));
        }
        ICMP if body[0] == ECHO => {
            // The echo itself, but of a stranger.
            let mut echo = body.to_vec();
            echo[0] = 0;
            lies.push(packet_from(LIAR, source, ICMP, &with_checksum(echo)));
            let of_another = quote(&|p| {
                p.iter_mut().skip(IP_BYTES + 4).for_each(|byte| *byte ^= 0x5a);
            });
            lies.push(error(source, TIME_EXCEEDED, &of_another));
        }
        TCP if body.len() >= 20 => {
            let sequence = quote(&|p| p[IP_BYTES + 4] ^= 0x5a);
            lies.push(error(source, TIME_EXCEEDED, &sequence));
            let reset =
                [&body[2..4], &body[..2], &[0; 8], &[0x50, 0x14, 0, 0, 0, 0, 0, 0]].concat();
            lies.push(packet_from(LIAR, source, TCP, &reset));
        }
        _ => return Vec::new(),
    }
    lies
}

fn error(to: Ipv4Addr, kind: [u8; 2], quoted: &[u8]) -> Vec<u8> {
    let message = [&kind[..], &[0; 6], quoted].concat();
    packet_from(LIAR, to, ICMP, &with_checksum(message))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: Ipv4Addr = Ipv4Addr::new(5, 77, 1, 1);

    #[test]
    fn probes_are_lied_about_and_nothing_else() {
        let probe = |protocol, body: &[u8]| packet_from(SOURCE, ELSEWHERE, protocol, body);
        let udp = [0x82, 0x35, 0x82, 0x9b, 0, 16, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8];
        assert_eq!(lies_about(&probe(UDP, &udp), SOURCE).len(), 11);
        let echo = [8, 0, 0, 0, 0, 1, 0, 2, 9, 9];
        assert_eq!(lies_about(&probe(ICMP, &echo), SOURCE).len(), 10);
        assert_eq!(lies_about(&probe(TCP, &[0; 20]), SOURCE).len(), 10);
        assert!(lies_about(&probe(UDP, &udp), ELSEWHERE).is_empty());
        assert!(lies_about(&probe(UDP, &udp[..7]), SOURCE).is_empty());
        assert!(lies_about(&[0x45; 19], SOURCE).is_empty());
        for lie in lies_about(&probe(ICMP, &echo), SOURCE) {
            assert_eq!(lie[12..16], LIAR.octets());
        }
    }
}
