//! Messages as a raw socket gives them.

use proptest::prelude::*;

use super::super::labels::tests::extension;
use super::*;

const TARGET: [u8; 4] = [198, 51, 100, 7];

/// With the header of IP around it, and its checksum.
fn packet(mut icmp: Vec<u8>) -> Vec<u8> {
    let sum = checksum(&[&icmp]).to_be_bytes();
    icmp[2..4].copy_from_slice(&sum);
    let length = u16::try_from(20 + icmp.len()).unwrap().to_be_bytes();
    let mut bytes = vec![0x45, 0, length[0], length[1], 0, 0, 0, 0, 63, 1, 0, 0];
    bytes.extend([10, 0, 0, 1, 192, 0, 2, 1]);
    bytes.extend(icmp);
    bytes
}

fn quote() -> Vec<u8> {
    let mut bytes = vec![0x45, 0, 0, 60, 0, 0, 0, 0, 1, 17, 0, 0, 192, 0, 2, 1];
    bytes.extend(TARGET);
    bytes.extend([0x9c, 0x40, 0x82, 0x9a, 0, 40, 0xab, 0xcd]);
    bytes
}

#[test]
fn a_time_exceeded_with_labels_is_read() {
    let mut icmp = vec![11, 0, 0, 0, 0, 32, 0, 0];
    icmp.extend(quote());
    icmp.resize(8 + 128, 0);
    icmp.extend(extension(&[[0x05, 0xdc, 0xf1, 1]]));
    let bytes = packet(icmp);
    let Some(Message::Error { kind: 11, code: 0, extension_at: Some(128), quoted, all, .. }) =
        message(true, &bytes)
    else {
        panic!("{:?}", message(true, &bytes));
    };
    assert_eq!(quoted.target, IpAddr::from(TARGET));
    assert_eq!(sixteen(quoted.transport, 6), Some(0xabcd));
    assert_eq!(labels(all, 0, Some(128)).len(), 1);
    let mut forged = bytes.clone();
    forged[60] ^= 1;
    assert_eq!(message(true, &forged), None, "its checksum is wrong");
}

#[test]
fn what_is_no_answer_is_none() {
    let mut needed = vec![3, 4, 0, 0, 0, 0, 5, 0xb4];
    needed.extend(quote());
    assert!(matches!(
        message(true, &packet(needed)),
        Some(Message::Error { kind: 3, code: 4, info: 1460, extension_at: None, .. })
    ));
    let reply = packet(vec![0, 0, 0, 0, 0, 1, 0, 2]);
    assert!(matches!(message(true, &reply), Some(Message::Reply { echo }) if echo.len() == 8));
    for other in [vec![8, 0, 0, 0, 0, 1, 0, 2], vec![5, 0, 0, 0], vec![11, 0, 0, 0]] {
        assert_eq!(message(true, &packet(other)), None);
    }
}

proptest! {
    #[test]
    fn any_bytes_are_read(bytes in prop::collection::vec(any::<u8>(), 0..200), kind in 0_u8..13) {
        message(true, &bytes);
        message(false, &bytes);
        let mut icmp = vec![kind, 0, 0, 0];
        icmp.extend(&bytes);
        message(false, &icmp);
        message(true, &packet(icmp));
    }
}
