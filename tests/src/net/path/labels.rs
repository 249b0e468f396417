//! A router of an MPLS network, which tells what labels a packet wore when its time to live was over: in an extension
//! of ICMP, as this kernel would not. Sources: RFC 4884, RFC 4950.

use std::io;
use std::net::Ipv4Addr;

use super::raw::{ICMP, TIME_EXCEEDED, answer, is_probe, packet_from, with_checksum};

/// The hidden mode of the carrier.
pub const WORD: &str = "netns-labels";

/// The labels that it tells, outermost first: label, traffic class, time to live.
pub const LABELS: [(u32, u8, u8); 2] = [(24_001, 1, 1), (1_048_575, 0, 3)];

/// Where an extension begins: behind as many bytes of the packet that is quoted, in words of four.
const QUOTED_BYTES: usize = 128;
const QUOTED_WORDS: u8 = 32;

/// Class and type of the object.
const LABEL_STACK: [u8; 2] = [1, 1];

/// Answers this source from this address, wherever a packet's time to live is over, until standard input ends.
///
/// # Errors
///
/// Without the right to raw sockets.
pub fn serve(source: Ipv4Addr, own: Ipv4Addr) -> io::Result<()> {
    answer(source, "told", move |packet| told_about(packet, source, own).into_iter().collect())
}

fn told_about(packet: &[u8], source: Ipv4Addr, own: Ipv4Addr) -> Option<Vec<u8>> {
    /// Of IP's header.
    const TTL_AT: usize = 8;
    if !is_probe(packet, source) || packet[TTL_AT] != 1 {
        return None;
    }
    let mut quoted = packet[..packet.len().min(QUOTED_BYTES)].to_vec();
    quoted.resize(QUOTED_BYTES, 0);
    let mut stack = Vec::new();
    for (number, (label, class, ttl)) in (1..).zip(LABELS) {
        let is_bottom = u32::from(number == LABELS.len());
        let entry = label << 12 | u32::from(class) << 9 | is_bottom << 8 | u32::from(ttl);
        stack.extend(entry.to_be_bytes());
    }
    let length = u16::try_from(4 + stack.len()).ok()?;
    let object = [&length.to_be_bytes()[..], &LABEL_STACK, &stack].concat();
    // Version 2.
    let extension = with_checksum([&[0x20, 0, 0, 0][..], &object].concat());
    let head = [TIME_EXCEEDED[0], TIME_EXCEEDED[1], 0, 0, 0, QUOTED_WORDS, 0, 0];
    let message = with_checksum([&head[..], &quoted, &extension].concat());
    Some(packet_from(own, source, ICMP, &message))
}

#[cfg(test)]
mod tests {
    use super::super::raw::UDP;
    use super::*;

    #[test]
    fn labels_stand_behind_what_is_quoted() {
        let [source, own, target] = [1, 2, 3].map(|n| Ipv4Addr::new(5, 0, 0, n));
        let mut probe = packet_from(source, target, UDP, &[7; 40]);
        assert_eq!(told_about(&probe, source, own), None, "it goes on");
        probe[8] = 1;
        let told = told_about(&probe, source, own).unwrap();
        assert_eq!((told[12..16].to_vec(), told[20], told[25]), (own.octets().to_vec(), 11, 32));
        assert_eq!(told[28..28 + probe.len()], probe);
        let extension = &told[20 + 8 + 128..];
        assert_eq!(extension[4..8], [0, 12, 1, 1]);
        assert_eq!(extension[8..], [0x05, 0xdc, 0x12, 0x01, 0xff, 0xff, 0xf1, 0x03]);
    }
}
