//! Certificates that OpenSSL made, and such that nobody would.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use proptest::prelude::*;

use super::*;

fn der(pem: &str) -> Vec<u8> {
    let text: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
    BASE64.decode(text).unwrap()
}

/// For `www.example.test`, until 2126.
pub(crate) fn rsa() -> Vec<u8> {
    der(include_str!("tests/rsa.pem"))
}

/// 300 names of 250 characters that JSON makes longer, and names and numbers to match.
pub(crate) fn with_many_names() -> Vec<u8> {
    let name = |n: usize| element(0x82, format!("n{n:03}.{}", "\"".repeat(245)).as_bytes());
    let names: Vec<u8> = (0..300).flat_map(name).collect();
    let extension =
        [element(0x06, &[0x55, 0x1d, 0x11]), element(0x04, &element(0x30, &names))].concat();
    let part =
        [element(0x06, &[0x55, 0x04, 0x03]), element(0x0c, "\"".repeat(500).as_bytes())].concat();
    let distinguished = element(0x30, &element(0x31, &element(0x30, &part)).repeat(50));
    let ed25519 = element(0x30, &element(0x06, &[0x2b, 0x65, 0x70]));
    let time = element(0x17, b"260101000000Z");
    let body = [
        element(0xa0, &element(0x02, &[2])),
        element(0x02, &[9; 5000]),
        ed25519.clone(),
        distinguished.clone(),
        element(0x30, &time.repeat(2)),
        distinguished,
        element(0x30, &[ed25519.clone(), element(0x03, &[0; 33])].concat()),
        element(0xa3, &element(0x30, &element(0x30, &extension))),
    ];
    element(0x30, &[element(0x30, &body.concat()), ed25519, element(0x03, &[0; 65])].concat())
}

#[test]
fn what_openssl_wrote_is_read() {
    let read = Certificate::parse(&rsa()).unwrap();
    let subject = "C=DE; ST=Bavaria; O=Example \"Ltd\"; OU=Web; CN=www.example.test; \
                   emailAddress=a@example.test";
    assert_eq!(read.subject.joined("=", "; "), subject);
    assert_eq!(read.issuer, read.subject);
    let sans = [
        "www.example.test",
        "*.example.test",
        "192.0.2.1",
        "2001:db8::1",
        "email:me@x.test",
        "URI:spiffe://x/y",
    ];
    assert_eq!((read.sans.as_slice(), read.sans_left_out), (&sans.map(str::to_owned)[..], 0));
    assert_eq!(read.not_before.rfc3339(), "2026-11-21T04:56:38Z");
    assert_eq!(read.not_after.openssl(), "Oct 28 04:56:38 2126 GMT");
    assert_eq!((read.version, read.serial.as_str()), (3, "f1e2d3c4b5"));
    assert_eq!((read.key_type.as_str(), read.key_bits), ("RSA", Some(2048)));
    assert_eq!(read.signature_algorithm, "sha256WithRSAEncryption");
    let sha256 = "5f07dd7cc0b8bb5f4ceb356b254fb41605890b761a190528afe90f351c564d0b";
    assert_eq!(fingerprint(&rsa()), sha256);

    for (pem, key_type, key_bits, signature) in [
        (include_str!("tests/ec.pem"), "EC", 384, "ecdsa-with-SHA384"),
        (include_str!("tests/ed.pem"), "ED25519", 256, "ED25519"),
    ] {
        let read = Certificate::parse(&der(pem)).unwrap();
        assert_eq!((read.key_type.as_str(), read.key_bits), (key_type, Some(key_bits)));
        assert_eq!(read.signature_algorithm, signature);
        assert!(read.sans.is_empty());
    }
}

#[test]
fn days_are_rounded_down() {
    let read = Certificate::parse(&rsa()).unwrap();
    let end = read.not_after.seconds();
    for (before_end, days) in [
        (10 * DAY_SECONDS, 10),
        (10 * DAY_SECONDS - 1, 9),
        (1, 0),
        (0, 0),
        (-1, -1),
        (-DAY_SECONDS, -1),
        (-DAY_SECONDS - 1, -2),
    ] {
        assert_eq!(read.days_left(end - before_end), days, "{before_end}");
    }
}

/// An element around its content.
fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = u32::try_from(content.len()).unwrap().to_be_bytes();
    [&[tag, 0x84][..], &length, content].concat()
}

#[test]
fn long_lists_and_names_are_cut() {
    let names: Vec<u8> = (0..300)
        .flat_map(|n| element(0x82, format!("n{n}.{}", "x".repeat(999)).as_bytes()))
        .collect();
    let extension = [
        element(0x06, &[0x55, 0x1d, 0x11]),
        element(0x01, &[0xff]),
        element(0x04, &element(0x30, &names)),
    ];
    let extensions = element(0xa3, &element(0x30, &element(0x30, &extension.concat())));
    let (kept, left_out) = alternative_names(Reader::new(&extensions)).unwrap();
    assert_eq!((kept.len(), left_out), (SANS_MAX, 200));
    assert!(kept.iter().all(|name| name.len() == SAN_BYTES_MAX));

    let part = [
        element(0x06, &[0x55, 0x04, 0x03]),
        element(0x0c, "\u{1b}[31m\u{e9}".repeat(99).as_bytes()),
    ];
    let set = element(0x31, &element(0x30, &part.concat())).repeat(99);
    let name = Name::parse(Reader::new(&set)).unwrap();
    assert_eq!(name.parts.len(), 2, "no more fit");
    assert!(name.parts.iter().all(|(id, value)| id == "CN" && value.len() <= 128));
    assert!(name.parts[0].1.starts_with("?[31m\u{e9}"), "no control characters: {name:?}");
    let part = [element(0x06, &[0x55, 0x04, 0x0a]), element(0x1e, &[0, b'W', 0x20, 0xac])];
    let name = Name::parse(Reader::new(&element(0x31, &element(0x30, &part.concat())))).unwrap();
    assert_eq!(name.joined(" = ", ", "), "O = W\u{20ac}");
}

#[test]
fn what_is_no_certificate_is_none() {
    let whole = rsa();
    for length in 0..whole.len() {
        assert_eq!(Certificate::parse(&whole[..length]), None, "{length}");
    }
    for bytes in
        [&[0x30, 0x84, 0xff, 0xff, 0xff, 0xff][..], &[0x30, 0x80, 0, 0], &[0x1f, 0x81, 1, 0]]
    {
        assert_eq!(Certificate::parse(bytes), None);
    }
}

proptest! {
    #[test]
    fn damage_never_panics(changes in prop::collection::vec((0..1100_usize, any::<u8>()), 1..9)) {
        let mut bytes = rsa();
        for (at, byte) in changes {
            let at = at % bytes.len();
            bytes[at] = byte;
        }
        if let Some(read) = Certificate::parse(&bytes) {
            prop_assert!(read.sans.len() <= SANS_MAX);
            read.days_left(i64::from(u32::MAX));
        }
    }

    #[test]
    fn any_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert_eq!(Certificate::parse(&bytes), None);
        der::object_identifier(&bytes);
    }
}
