//! Packets as they were captured, and bytes that are none.

use proptest::prelude::*;

use super::*;

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
const THERE: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 7));
const HERE_V6: IpAddr = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1));
const THERE_V6: IpAddr = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 7, 0, 0, 0, 9));

/// `45 00 00 3c ...` to 198.51.100.7: a datagram from port 40000 to 33434, cut behind the header of UDP.
const QUOTE_V4: [u8; 28] = [
    0x45, 0x00, 0x00, 0x3c, 0x1c, 0x46, 0x40, 0x00, 0x01, 0x11, 0xb1, 0xe6, 192, 0, 2, 1, 198, 51,
    100, 7, 0x9c, 0x40, 0x82, 0x9a, 0x00, 0x28, 0xab, 0xcd,
];

#[test]
fn a_quoted_packet_is_read() {
    let quoted = quoted_v4(&QUOTE_V4).unwrap();
    assert_eq!((quoted.target, quoted.protocol, quoted.header_bytes), (THERE, PROTOCOL_UDP, 20));
    assert_eq!(sixteen(quoted.transport, 0), Some(40_000));
    assert_eq!(sixteen(quoted.transport, 2), Some(33_434));
    let mut options = QUOTE_V4.to_vec();
    options[0] = 0x46;
    options.splice(20..20, [1, 1, 1, 0]);
    assert_eq!(quoted_v4(&options).unwrap().transport, quoted.transport);
    let mut later_fragment = QUOTE_V4;
    later_fragment[7] = 1;
    assert_eq!(quoted_v4(&later_fragment), None, "it has no ports");
    for cut in 0..20 {
        assert_eq!(quoted_v4(&QUOTE_V4[..cut]), None, "{cut} bytes");
    }
    assert_eq!(quoted_v6(&QUOTE_V4), None);
}

#[test]
fn a_quoted_packet_of_ipv6_is_read_behind_a_fragment_header() {
    let mut bytes = vec![0x60, 0, 0, 0, 0, 40, PROTOCOL_UDP, 1];
    let (IpAddr::V6(here), IpAddr::V6(there)) = (HERE_V6, THERE_V6) else { unreachable!() };
    bytes.extend(here.octets());
    bytes.extend(there.octets());
    bytes.extend([0x9c, 0x40, 0x82, 0x9a, 0, 0x28, 0xab, 0xcd]);
    let quoted = quoted_v6(&bytes).unwrap();
    assert_eq!((quoted.target, quoted.protocol, quoted.header_bytes), (THERE_V6, PROTOCOL_UDP, 40));
    bytes[6] = PROTOCOL_FRAGMENT;
    bytes.splice(40..40, [PROTOCOL_UDP, 0, 0, 1, 0, 0, 0, 9]);
    let fragment = quoted_v6(&bytes).unwrap();
    assert_eq!((fragment.protocol, fragment.header_bytes), (PROTOCOL_UDP, 48));
    assert_eq!(sixteen(fragment.transport, 2), Some(33_434));
    bytes[42] = 1;
    assert_eq!(quoted_v6(&bytes), None, "a later fragment has no ports");
}

#[test]
fn a_handshake_is_a_syn_ack_or_a_reset_that_acknowledges() {
    let mut bytes = syn((THERE, 80), (HERE, 40_000), 7);
    bytes[8..12].copy_from_slice(&1001_u32.to_be_bytes());
    let answer = |flags: u8, bytes: &mut Vec<u8>| {
        bytes[13] = flags;
        handshake(bytes)
    };
    let open =
        Handshake { source_port: 80, target_port: 40_000, acknowledged: 1001, is_open: true };
    assert_eq!(answer(SYN | ACK, &mut bytes), Some(open));
    assert_eq!(answer(RST | ACK, &mut bytes), Some(Handshake { is_open: false, ..open }));
    for flags in [SYN, ACK, RST, 0] {
        assert_eq!(answer(flags, &mut bytes), None, "{flags:#x}");
    }
    assert_eq!(handshake(&bytes[..12]), None);
}

#[test]
fn a_syn_has_the_checksum_of_its_pseudo_header() {
    for (here, there) in [(HERE, THERE), (HERE_V6, THERE_V6)] {
        let bytes = syn((here, 40_000), (there, 443), 0xdead_beef);
        let pseudo = pseudo_header(here, there, PROTOCOL_TCP, bytes.len());
        assert_eq!(checksum(&[&pseudo, &bytes]), 0, "{there}");
        assert_eq!((bytes.len(), bytes[12] >> 4), (40, 10));
    }
}

proptest! {
    #[test]
    fn any_bytes_are_read(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        for quoted in [quoted_v4(&bytes), quoted_v6(&bytes)].into_iter().flatten() {
            prop_assert!(quoted.transport.len() + quoted.header_bytes == bytes.len());
        }
        handshake(&bytes);
        payload_v4(&bytes);
    }

    #[test]
    fn echoes_of_one_flow_have_one_checksum(
        identifier: u16,
        sequence: u16,
        wanted in 1_u16..0xffff,
        payload in prop::collection::vec(any::<u8>(), 10..80),
    ) {
        for (here, there) in [(HERE, THERE), (HERE_V6, THERE_V6)] {
            let ends = (here, there);
            let bytes = echo(ends, (identifier, sequence), payload.clone(), 8, wanted);
            prop_assert_eq!(sixteen(&bytes, 2), Some(wanted));
            let pseudo = match there {
                IpAddr::V4(_) => Vec::new(),
                IpAddr::V6(_) => pseudo_header(here, there, PROTOCOL_ICMPV6, bytes.len()),
            };
            prop_assert_eq!(checksum(&[&pseudo, &bytes]), 0);
            prop_assert_eq!(&bytes[8..16], &payload[..8]);
        }
    }
}
