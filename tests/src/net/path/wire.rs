//! A link that takes time, each way its own, also where the kernel cannot delay packets.
//!
//! Each end is a VXLAN device, and the datagrams that carry its frames go to a process between them, which
//! holds each of them back. That process lives in a namespace of its own.

use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncReadExt as _;
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::places::{End, hardware};
use crate::net::namespace::{Namespace, Unavailable};

/// The hidden mode of the carrier.
pub const WORD: &str = "netns-wire";

/// Said when it passes packets on.
pub const READY: &str = "ready";

/// Where VXLAN listens. Source: RFC 7348.
const PORT: u16 = 4789;

/// A frame of a full packet and what carries it.
const DATAGRAM_BYTES_MAX: usize = 2048;

/// What the links below carry: a packet of 1500 bytes and four heads.
const MTU_BELOW: u16 = 1600;

/// Frames that are on the way at a time; what does not fit is lost, as on any link.
const FRAMES_MAX: usize = 4096;

/// The time that a link takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delay {
    /// From left to right.
    pub there: Duration,
    /// From right to left.
    pub back: Duration,
}

impl Delay {
    /// The same both ways.
    #[must_use]
    pub fn ms(each_way: u64) -> Self {
        let time = Duration::from_millis(each_way);
        Self { there: time, back: time }
    }
}

/// A link and its delays as a word for the process.
pub(super) fn to_word(link: u8, delay: Delay) -> String {
    format!("{link}:{}:{}", delay.there.as_micros(), delay.back.as_micros())
}

fn from_word(word: &str) -> Option<(u8, Delay)> {
    let mut parts = word.split(':');
    let link = parts.next()?.parse().ok()?;
    let mut time = || Some(Duration::from_micros(parts.next()?.parse().ok()?));
    Some((link, Delay { there: time()?, back: time()? }))
}

/// The addresses below a link: of its end, and of the wire.
fn below(link: u8, end: End) -> (Ipv4Addr, Ipv4Addr) {
    let net = match end {
        End::Left => link,
        End::Right => link + 128,
    };
    (Ipv4Addr::new(192, 168, net, 1), Ipv4Addr::new(192, 168, net, 2))
}

/// Makes both ends, and the links between them and the wire.
pub(super) fn join(
    link: u8,
    wires: &Namespace,
    left: &Namespace,
    right: &Namespace,
) -> Result<(), Unavailable> {
    for (end, node, device) in [(End::Left, left, "right"), (End::Right, right, "left")] {
        let (own, wire) = below(link, end);
        let (near, far) = (format!("{device}-below"), format!("{device}-{link}"));
        node.ip_lines(&format!(
            "link add name {near} mtu {MTU_BELOW} type veth peer name {far} mtu {MTU_BELOW} netns {wires}\n\
             addr add {own}/24 dev {near}\n\
             link set {near} up\n\
             link add name {device} address {} type vxlan id {link} local {own} remote {wire} dstport {PORT} nolearning\n",
            hardware(link, end),
            wires = wires.name(),
        ))?;
        wires.ip_lines(&format!("addr add {wire}/24 dev {far}\nlink set {far} up\n"))?;
    }
    Ok(())
}

/// Passes packets on until standard input ends.
///
/// # Errors
///
/// When a word is none of a link, or an address cannot be listened on.
pub async fn serve(words: &[String]) -> io::Result<()> {
    for word in words {
        let (link, delay) =
            from_word(word).ok_or_else(|| io::Error::other(format!("{word} is no link")))?;
        let (left, at_left) = below(link, End::Left);
        let (right, at_right) = below(link, End::Right);
        let at_left = Arc::new(UdpSocket::bind((at_left, PORT)).await?);
        let at_right = Arc::new(UdpSocket::bind((at_right, PORT)).await?);
        carry(Arc::clone(&at_left), Arc::clone(&at_right), right, delay.there);
        carry(at_right, at_left, left, delay.back);
    }
    crate::net::server::tell(READY);
    let mut nothing = Vec::new();
    tokio::io::stdin().read_to_end(&mut nothing).await?;
    Ok(())
}

fn carry(from: Arc<UdpSocket>, by: Arc<UdpSocket>, to: Ipv4Addr, delay: Duration) {
    let (sender, mut frames) = mpsc::channel::<(Instant, Vec<u8>)>(FRAMES_MAX);
    tokio::spawn(async move {
        let mut buffer = vec![0; DATAGRAM_BYTES_MAX];
        while let Ok(length) = from.recv(&mut buffer).await {
            let due = Instant::now() + delay;
            let mut frame = buffer[..length].to_vec();
            complete(&mut frame);
            sender.try_send((due, frame)).ok();
        }
    });
    tokio::spawn(async move {
        while let Some((due, frame)) = frames.recv().await {
            tokio::time::sleep_until(due).await;
            by.send_to(&frame, (to, PORT)).await.ok();
        }
    });
}

/// Writes the checksum of a datagram or segment, which the kernel leaves to the hardware where there is none.
fn complete(frame: &mut [u8]) -> Option<()> {
    /// Of VXLAN and of Ethernet.
    const BEFORE_BYTES: usize = 8 + 14;
    const TCP: u8 = 6;
    const UDP: u8 = 17;
    let packet = frame.get_mut(BEFORE_BYTES..)?;
    let (protocol, head_bytes, addresses, total) = match packet.first()? >> 4 {
        4 => {
            let fragment = u16::from_be_bytes([*packet.get(6)?, *packet.get(7)?]) & 0x3fff;
            if fragment != 0 {
                return None;
            }
            let total = u16::from_be_bytes([packet[2], packet[3]]);
            (*packet.get(9)?, usize::from(packet[0] & 15) * 4, 12..20, usize::from(total))
        }
        6 => {
            let payload = u16::from_be_bytes([*packet.get(4)?, *packet.get(5)?]);
            (*packet.get(6)?, 40, 8..40, 40 + usize::from(payload))
        }
        _ => return None,
    };
    let at = head_bytes
        + match protocol {
            TCP => 16,
            UDP => 6,
            _ => return None,
        };
    let pseudo = sum(packet.get(addresses)?) + u32::from(protocol);
    let segment = packet.get_mut(head_bytes..total)?;
    let length = u32::try_from(segment.len()).ok()?;
    let at = at - head_bytes;
    segment.get_mut(at..at + 2)?.fill(0);
    let checksum = checksum(pseudo + length + sum(segment));
    let checksum = if checksum == 0 && protocol == UDP { 0xffff } else { checksum };
    segment.get_mut(at..at + 2)?.copy_from_slice(&checksum.to_be_bytes());
    Some(())
}

/// The checksum of the protocols of the internet, of such a sum. Source: RFC 1071.
pub(super) fn checksum(mut sum: u32) -> u16 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap_or(u16::MAX)
}

/// The 16-bit words of some bytes, added up.
pub(super) fn sum(bytes: &[u8]) -> u32 {
    let word =
        |pair: &[u8]| u32::from(u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)]));
    bytes.chunks(2).map(word).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_a_word() {
        let delay = Delay { there: Duration::from_micros(1500), back: Duration::from_millis(20) };
        assert_eq!(to_word(3, delay), "3:1500:20000");
        assert_eq!(from_word("3:1500:20000"), Some((3, delay)));
        assert_eq!(from_word("3:1500"), None);
    }

    #[test]
    fn the_checksum_of_a_datagram_is_completed() {
        // From 10.0.0.1:1000 to 10.0.0.2:2000, the byte 'x'.
        let mut frame = vec![0; 22];
        frame.extend([0x45, 0, 0, 29, 0, 0, 0x40, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
        frame.extend([0x03, 0xe8, 0x07, 0xd0, 0, 9, 0xab, 0xcd, b'x']);
        assert_eq!(complete(&mut frame), Some(()));
        let checksum = u16::from_be_bytes([frame[48], frame[49]]);
        let all = 0x0a00 + 1 + 0x0a00 + 2 + 17 + 9 + 0x03e8 + 0x07d0 + 9 + 0x7800;
        assert_eq!(u32::from(checksum) + all, 0xffff);
        // What is cut off is left alone.
        assert_eq!(complete(&mut frame[..45]), None);
        assert_eq!(complete(&mut [0; 22]), None);
    }
}
