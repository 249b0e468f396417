//! The addresses of the matrix, and the ways to spell one.

use std::net::{IpAddr, Ipv4Addr};

use blitz_tests::net::{ENGINE_V4, ENGINE_V6};

/// An address that is not public, and the word for it in a refusal.
pub(crate) type Special = (&'static str, &'static str);

/// One or more of each kind: first and last of a network, and what clouds have there.
pub(crate) const SPECIAL_V4: &[Special] = &[
    ("127.0.0.1", "loopback"),
    ("127.255.255.254", "loopback"),
    ("0.0.0.0", "this host"),
    ("0.1.2.3", "this host"),
    ("10.0.0.1", "private"),
    ("10.255.255.255", "private"),
    ("172.16.0.1", "private"),
    ("172.31.255.254", "private"),
    ("192.168.0.1", "private"),
    ("192.168.255.254", "private"),
    ("169.254.0.1", "link-local"),
    // Instance metadata: of most clouds, of ECS, of Alibaba, of Oracle, of Azure (a public-looking one).
    ("169.254.169.254", "link-local"),
    ("169.254.170.2", "link-local"),
    ("100.100.100.200", "carrier-grade NAT"),
    ("192.0.0.192", "reserved"),
    ("168.63.129.16", METADATA),
    ("100.64.0.1", "carrier-grade NAT"),
    ("100.127.255.254", "carrier-grade NAT"),
    ("192.0.0.8", "reserved"),
    ("192.0.2.1", "documentation"),
    ("192.88.99.1", "reserved"),
    ("198.18.0.1", "benchmarking"),
    ("198.19.255.254", "benchmarking"),
    ("198.51.100.7", "documentation"),
    ("203.0.113.9", "documentation"),
    ("224.0.0.1", "multicast"),
    ("239.255.255.250", "multicast"),
    ("240.0.0.1", "reserved"),
    ("255.255.255.255", "broadcast"),
    (ENGINE_V4, OWN),
];

const METADATA: &str = "instance metadata";
const OWN: &str = "the engine's own";
/// A form in which also a public address is none.
const NOWHERE: &str = "leads nowhere";

/// As [`SPECIAL_V4`], with an IPv4 address in each of its IPv6 disguises.
pub(crate) const SPECIAL_V6: &[Special] = &[
    ("::", "unspecified"),
    ("::1", "loopback"),
    ("::2", "this host"),
    ("fe80::1", "link-local"),
    ("fe80::a9fe:a9fe", "link-local"),
    ("febf::1", "link-local"),
    ("fec0::1", "site-local"),
    ("fc00::1", "unique local"),
    ("fd12:3456::1", "unique local"),
    // Instance metadata of AWS and of GCP.
    ("fd00:ec2::254", "unique local"),
    ("fd20:ce::254", "unique local"),
    ("ff02::1", "multicast"),
    ("ff0e::1", "multicast"),
    ("100::1", "discard-only"),
    ("2001:db8::1", "documentation"),
    ("3fff::1", "documentation"),
    ("4000::1", "reserved"),
    ("5f00::1", "SRv6"),
    // Mapped: the kernel connects by IPv4.
    ("::ffff:127.0.0.1", "loopback"),
    ("::ffff:0.0.0.0", "this host"),
    ("::ffff:10.0.0.1", "private"),
    ("::ffff:172.16.0.1", "private"),
    ("::ffff:192.168.0.1", "private"),
    ("::ffff:100.64.0.1", "carrier-grade NAT"),
    ("::ffff:169.254.169.254", "link-local"),
    ("::ffff:168.63.129.16", METADATA),
    ("::ffff:5.5.5.2", OWN),
    // Compatible, and translated (SIIT): never public.
    ("::127.0.0.1", "loopback"),
    ("::a9fe:a9fe", "link-local"),
    ("::808:808", NOWHERE),
    ("::ffff:0:7f00:1", "loopback"),
    ("::ffff:0:a9fe:a9fe", "link-local"),
    ("::ffff:0:808:808", NOWHERE),
    // NAT64, and its local network.
    ("64:ff9b::7f00:1", "loopback"),
    ("64:ff9b::a00:1", "private"),
    ("64:ff9b::c0a8:101", "private"),
    ("64:ff9b::a9fe:a9fe", "link-local"),
    ("64:ff9b::a83f:8110", METADATA),
    ("64:ff9b::505:502", OWN),
    ("64:ff9b:1::a9fe:a9fe", "private"),
    ("64:ff9b:1:ffff::808:808", "private"),
    // 6to4.
    ("2002:7f00:1::1", "loopback"),
    ("2002:a00:1::1", "private"),
    ("2002:a9fe:a9fe::1", "link-local"),
    ("2002:c0a8:101::1", "private"),
    ("2002:a83f:8110::1", METADATA),
    ("2002:505:502::1", OWN),
    // IETF protocols: Teredo (the last with 169.254.169.254 inside, its bits turned over), benchmarking, ORCHID.
    ("2001::1", "reserved"),
    ("2001:0:808:808:0:ffff:5601:5601", "link-local"),
    ("2001:2::1", "benchmarking"),
    ("2001:10::1", "ORCHID"),
    ("2001:20::1", "ORCHID"),
    // ISATAP: behind a prefix that is public.
    ("2a00:1450:4001::5efe:a00:1", "private"),
    ("2a00:1450:4001::200:5efe:a9fe:a9fe", "link-local"),
    (ENGINE_V6, OWN),
];

/// Addresses that are tried by every channel and in every spelling.
pub(crate) const KEY: &[&str] = &[
    "127.0.0.1",
    "0.0.0.0",
    "10.0.0.1",
    "172.16.0.1",
    "192.168.0.1",
    "169.254.169.254",
    "168.63.129.16",
    "100.64.0.1",
    "100.100.100.200",
    "192.0.0.192",
    "224.0.0.1",
    "255.255.255.255",
    ENGINE_V4,
    "::1",
    "fe80::1",
    "fd00:ec2::254",
    "fd20:ce::254",
    "::ffff:169.254.169.254",
    "64:ff9b::a9fe:a9fe",
    "2002:a9fe:a9fe::1",
    ENGINE_V6,
];

/// Public ones: of everyday life, and the neighbours of every network above.
pub(crate) const PUBLIC: &[&str] = &[
    "1.0.0.0",
    "1.1.1.1",
    "8.8.8.8",
    "9.255.255.255",
    "11.0.0.0",
    "93.184.216.34",
    "100.63.255.255",
    "100.128.0.0",
    "126.255.255.255",
    "128.0.0.1",
    "168.63.129.15",
    "168.63.129.17",
    "169.253.255.255",
    "169.255.0.0",
    "172.15.255.255",
    "172.32.0.0",
    "191.255.255.255",
    "192.0.1.1",
    "192.0.3.0",
    "192.88.98.255",
    "192.88.100.0",
    "192.167.255.255",
    "192.169.0.0",
    "198.17.255.255",
    "198.20.0.0",
    "198.51.99.255",
    "198.51.101.0",
    "203.0.112.255",
    "203.0.114.0",
    "223.255.255.255",
    "5.5.5.3",
    "2000::1",
    "2001:200::1",
    "2001:4860:4860::8888",
    "2001:db7:ffff::1",
    "2001:db9::1",
    "2003::1",
    "2400:cb00::1",
    "2600:1f18::1",
    "2606:4700::1111",
    "2620:fe::9",
    "2800:3f0::1",
    "2a00:1450:4001::1",
    "2a05:5::3",
    "2c0f:fb50::1",
    "3ffe:ffff::1",
    "3fff:1000::1",
    "2002:808:808::1",
    "64:ff9b::808:808",
    "64:ff9b::101:101",
    "::ffff:8.8.8.8",
    "::ffff:1.1.1.1",
];

/// The ways to spell an IPv4 address as the host of a URL, and whether each must be understood.
pub(crate) fn spellings(address: Ipv4Addr) -> Vec<(String, bool)> {
    let [a, b, c, d] = address.octets();
    let bits = address.to_bits();
    let dotted = address.to_string();
    // Each digit from a row of ten in Unicode, as IDNA maps it back.
    let digits = |zero: char| -> String {
        let digit = |c: char| char::from_u32(u32::from(zero) + c.to_digit(10)?);
        dotted.chars().map(|c| digit(c).unwrap_or(c)).collect()
    };
    let circled = |c: char| match c.to_digit(10) {
        Some(0) => '\u{24ea}',
        Some(n) => char::from_u32(0x245f + n).unwrap_or(c),
        None => c,
    };
    let percent: String = dotted
        .bytes()
        .map(|byte| if byte == b'.' { ".".to_owned() } else { format!("%{byte:02x}") })
        .collect();
    let must = [
        dotted.clone(),
        format!("{dotted}."),
        bits.to_string(),
        format!("{bits}."),
        format!("{bits:#010x}"),
        format!("{bits:#X}"),
        format!("0x{a:x}.0x{b:x}.0x{c:x}.0x{d:x}"),
        format!("0{bits:o}"),
        format!("0{a:o}.0{b:o}.0{c:o}.0{d:o}"),
        format!("0000{a:o}.0000{b:o}.0000{c:o}.0000{d:o}"),
        format!("0x{a:x}.0{b:o}.{c}.{d}"),
        format!("{a}.{}", bits & 0xff_ffff),
        format!("{a}.{b}.{}", bits & 0xffff),
        format!("0x{a:x}.{b}.0{:o}", bits & 0xffff),
    ];
    let may = [
        digits('\u{ff10}'),
        digits('\u{ff10}').replace('.', "\u{ff0e}"),
        dotted.replace('.', "\u{3002}"),
        dotted.replace('.', "\u{ff61}"),
        digits('\u{1d7ce}'),
        digits('\u{1d7d8}'),
        dotted.chars().map(circled).collect(),
        dotted.replacen('.', "\u{ad}.", 1),
        dotted.replacen('.', ".\u{200b}", 1),
        percent,
        dotted.replace('.', "%2e"),
        dotted.replace('.', "%E3%80%82"),
        (u64::from(bits) + (1 << 32)).to_string(),
    ];
    must.into_iter().map(|s| (s, true)).chain(may.into_iter().map(|s| (s, false))).collect()
}

/// Further spellings, with the address that each means.
pub(crate) const SPELLED: &[(&str, &str)] = &[
    ("127.1", "127.0.0.1"),
    ("127.0.1", "127.0.0.1"),
    ("0", "0.0.0.0"),
    ("00", "0.0.0.0"),
    ("0x0", "0.0.0.0"),
    ("0.0", "0.0.0.0"),
    ("0x7f.1", "127.0.0.1"),
    ("0177.1", "127.0.0.1"),
    ("10.1", "10.0.0.1"),
    ("[0:0:0:0:0:0:0:1]", "::1"),
    ("[0000:0000:0000:0000:0000:0000:0000:0001]", "::1"),
    ("[::0001]", "::1"),
    ("[0::0]", "::"),
    ("[::FFFF:127.0.0.1]", "::ffff:127.0.0.1"),
    ("[::ffff:7f00:1]", "::ffff:127.0.0.1"),
    ("[::ffff:7f00:0001]", "::ffff:127.0.0.1"),
    ("[0:0:0:0:0:ffff:127.0.0.1]", "::ffff:127.0.0.1"),
    ("[::ffff:a9fe:a9fe]", "::ffff:169.254.169.254"),
    ("[0:0:0:0:0:FFFF:A9FE:A9FE]", "::ffff:169.254.169.254"),
    ("[::169.254.169.254]", "::a9fe:a9fe"),
    ("[::ffff:0:169.254.169.254]", "::ffff:0:a9fe:a9fe"),
    ("[64:ff9b::169.254.169.254]", "64:ff9b::a9fe:a9fe"),
    ("[0064:FF9B::10.0.0.1]", "64:ff9b::a00:1"),
    ("[FE80::1]", "fe80::1"),
    ("[FD00:EC2:0:0:0:0:0:254]", "fd00:ec2::254"),
];

/// An address of the tables above, which are right.
pub(crate) fn ip(text: &str) -> IpAddr {
    text.parse().unwrap_or_else(|_| panic!("{text} is no address"))
}

/// The word for a special address.
pub(crate) fn class(address: &str) -> &'static str {
    let all = SPECIAL_V4.iter().chain(SPECIAL_V6);
    all.clone().find(|(a, _)| *a == address).map_or("", |(_, class)| class)
}
