//! What is set on sockets, as the kernel says it.

use std::net::Ipv6Addr;

use super::*;

#[test]
fn connections_of_one_flow_have_no_label_of_their_own() {
    let open = |kind, protocol| Socket::open(Ipv6Addr::LOCALHOST.into(), kind, protocol).unwrap();
    let label = |socket: &Socket| -> libc::c_int {
        socket.get(libc::IPPROTO_IPV6, libc::IPV6_AUTOFLOWLABEL).unwrap()
    };
    assert_eq!(label(&open(SocketType::STREAM, ipproto::TCP)), 0);
    assert_eq!(label(&open(SocketType::DGRAM, ipproto::UDP)), 1, "the kernel's, by its ports");
}

#[test]
fn what_is_no_error_of_an_earlier_packet_is_not_sent_over_and_over() {
    let wanted = [
        (Errno::PERM, 1),
        (Errno::AGAIN, 1),
        (Errno::MSGSIZE, 2),
        (Errno::HOSTUNREACH, SEND_TRIES),
    ];
    for (error, count) in wanted {
        assert_eq!(tries(error), count, "{error}");
    }
}
