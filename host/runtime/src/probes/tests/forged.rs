//! Answers that a test writes itself: labels of MPLS, routers that quote little, and forgers.

use std::net::{IpAddr, SocketAddr};

use rustix::net::{AddressFamily, SendFlags, SocketType, ipproto};

use super::super::labels::tests::extension;
use super::super::wire::{checksum, udp_checksum};
use super::chain::Chain;
use super::*;

const PORT: u16 = 33_434;
const ENTRY: [u8; 4] = [0x05, 0xdc, 0xf1, 1];

/// The target, which takes probes of UDP and says what it likes.
struct Forger {
    service: tokio::net::UdpSocket,
    raw: std::os::fd::OwnedFd,
    address: IpAddr,
}

/// Sockets of the chain's last node, for the test in its first one.
struct Sockets(std::net::UdpSocket, std::os::fd::OwnedFd, IpAddr);

impl Sockets {
    fn new(chain: &Chain, host: &str) -> Self {
        let address: IpAddr = host.parse().unwrap();
        let (family, protocol) = match address {
            IpAddr::V4(_) => (AddressFamily::INET, ipproto::ICMP),
            IpAddr::V6(_) => (AddressFamily::INET6, ipproto::ICMPV6),
        };
        chain.inside(1, || {
            let service = std::net::UdpSocket::bind((address, PORT)).unwrap();
            service.set_nonblocking(true).unwrap();
            let raw = rustix::net::socket(family, SocketType::RAW, Some(protocol)).unwrap();
            Self(service, raw, address)
        })
    }

    fn forger(&self) -> Forger {
        let service = tokio::net::UdpSocket::from_std(self.0.try_clone().unwrap()).unwrap();
        Forger { service, raw: self.1.try_clone().unwrap(), address: self.2 }
    }
}

/// A probe as it came.
#[derive(Clone)]
struct Came {
    from: SocketAddr,
    payload: Vec<u8>,
}

impl Forger {
    async fn take(&self) -> Came {
        let mut bytes = [0; 200];
        let waiting = tokio::time::timeout(PATIENCE, self.service.recv_from(&mut bytes));
        let (length, from) = waiting.await.expect("the probe comes").unwrap();
        Came { from, payload: bytes[..length].to_vec() }
    }

    /// The packet that came, with its headers.
    fn packet(&self, came: &Came) -> Vec<u8> {
        let length = u16::try_from(8 + came.payload.len()).unwrap();
        let mut bytes = match (came.from.ip(), self.address) {
            (IpAddr::V4(from), IpAddr::V4(to)) => {
                let mut bytes = vec![0x45, 0];
                bytes.extend((20 + length).to_be_bytes());
                bytes.extend([0, 0, 0, 0, 1, 17, 0, 0]);
                bytes.extend(from.octets());
                bytes.extend(to.octets());
                bytes
            }
            (IpAddr::V6(from), IpAddr::V6(to)) => {
                let mut bytes = vec![0x60, 0, 0, 0];
                bytes.extend(length.to_be_bytes());
                bytes.extend([17, 1]);
                bytes.extend(from.octets());
                bytes.extend(to.octets());
                bytes
            }
            _ => panic!("two families"),
        };
        let ends = ((came.from.ip(), came.from.port()), (self.address, PORT));
        bytes.extend(came.from.port().to_be_bytes());
        bytes.extend(PORT.to_be_bytes());
        bytes.extend(length.to_be_bytes());
        bytes.extend(udp_checksum(ends.0, ends.1, &came.payload).to_be_bytes());
        bytes.extend(&came.payload);
        bytes
    }

    /// A "time exceeded" that quotes this, with labels when `entries` are some.
    fn exceed(&self, to: IpAddr, mut quoted: Vec<u8>, entries: &[[u8; 4]]) {
        let kind = if to.is_ipv4() { 11 } else { 3 };
        let mut bytes = vec![kind, 0, 0, 0, 0, 0, 0, 0];
        if !entries.is_empty() {
            quoted.resize(128, 0);
            bytes[if to.is_ipv4() { 5 } else { 4 }] = if to.is_ipv4() { 32 } else { 16 };
            quoted.extend(extension(entries));
        }
        bytes.extend(quoted);
        // The kernel writes that of IPv6.
        let sum = checksum(&[&bytes]).to_be_bytes();
        bytes[2..4].copy_from_slice(&sum);
        let to = SocketAddr::new(to, 0);
        rustix::net::sendto(&self.raw, &bytes, SendFlags::empty(), &to).unwrap();
    }
}

/// What headers take.
fn headers(address: IpAddr) -> usize {
    if address.is_ipv4() { 28 } else { 48 }
}

/// Runs over both families, without rights and with them.
fn with_forger<F: Future<Output = ()>>(work: impl Fn(Guest, Forger, bool) -> F + Sync) {
    let Some(chain) = Chain::new(2) else { return };
    for host in chain.targets() {
        let sockets = Sockets::new(&chain, &host);
        for is_privileged in [false, true] {
            chain.test(is_privileged, || async {
                let guest = Guest::open(&target(&host, Protocol::Udp)).await.unwrap();
                work(guest, sockets.forger(), is_privileged).await;
            });
        }
    }
}

#[test]
fn labels_are_told() {
    with_forger(async |mut guest, forger, _| {
        guest.send(&[probe(1, 64)]).await.unwrap();
        let came = forger.take().await;
        let packet = forger.packet(&came);
        forger.exceed(came.from.ip(), packet.clone(), &[ENTRY, [0, 0, 0x31, 254]]);
        let answers = guest.hear(1).await;
        let labels: Vec<(u32, bool, u8)> = answers[0]
            .labels
            .iter()
            .map(|label| (label.label, label.is_bottom, label.ttl))
            .collect();
        assert_eq!(labels, [(24_015, true, 1), (3, true, 254)]);
        assert_eq!(answers[0].outcome, Outcome::TimeExceeded);

        // As routers did it before there was a field for it: at byte 128, and nobody says so.
        let mut old = packet;
        old.resize(128, 0);
        old.extend(extension(&[ENTRY]));
        forger.exceed(came.from.ip(), old, &[]);
        assert_eq!(guest.hear(1).await[0].labels.len(), 1);
    });
}

#[test]
fn a_router_that_quotes_little_is_understood_where_the_header_is_read() {
    with_forger(async |mut guest, forger, is_privileged| {
        guest.send(&[probe(1, 64), probe(2, 64), probe(3, 64)]).await.unwrap();
        let came = [forger.take().await, forger.take().await, forger.take().await];
        for one in came.iter().rev() {
            let mut quoted = forger.packet(one);
            quoted.truncate(headers(forger.address));
            forger.exceed(one.from.ip(), quoted, &[]);
        }
        let wait = Duration::from_millis(200);
        let mut heard: Vec<u32> =
            guest.hear_for(wait).await.iter().map(|answer| answer.id).collect();
        heard.sort_unstable();
        // Without rights each of the three could be meant, and a guess is worse than silence.
        assert_eq!(heard, if is_privileged { vec![1, 2, 3] } else { vec![] });
    });
}

#[test]
fn forged_answers_are_thrown_away() {
    with_forger(async |mut guest, forger, _| {
        guest.send(&[probe(1, 64)]).await.unwrap();
        let came = forger.take().await;
        let to = came.from.ip();
        let mut other_session = came.clone();
        other_session.payload[0] ^= 1;
        let mut never_sent = came.clone();
        never_sent.payload[7] = 77;
        let mut other_port = came.clone();
        other_port.from.set_port(came.from.port() ^ 1);
        for forged in [&other_session, &never_sent, &other_port] {
            forger.exceed(to, forger.packet(forged), &[]);
        }
        let mut other_target = forger.packet(&came);
        let last = headers(forger.address) - 9;
        other_target[last] ^= 1;
        forger.exceed(to, other_target, &[]);
        forger.exceed(to, vec![0x45; 28], &[]);
        forger.exceed(to, Vec::new(), &[]);
        assert_eq!(guest.hear_for(Duration::from_millis(150)).await, []);
        forger.exceed(to, forger.packet(&came), &[]);
        assert_eq!(guest.hear(1).await.len(), 1, "it is still waited for");
    });
}
