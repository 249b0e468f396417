//! Whether this machine has a way to an address. Nothing is sent to find out.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};

/// Any port: routes do not depend on it.
const PORT: u16 = 443;

/// Whether packets to this address could leave: connecting a datagram socket looks its route up and sends nothing.
pub(crate) fn has_route(address: IpAddr) -> bool {
    let unspecified: IpAddr = match address {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    UdpSocket::bind((unspecified, 0)).and_then(|socket| socket.connect((address, PORT))).is_ok()
}
