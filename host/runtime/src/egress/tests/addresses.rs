//! Every row of the registries, its first and last address and its neighbours.

use super::*;

#[tokio::test]
async fn global_unicast_is_allowed() {
    let public = egress(TargetPolicy::public_only(), Vec::new());
    for address in [
        "1.1.1.1",
        "8.8.8.8",
        "9.255.255.255",
        "11.0.0.0",
        "100.63.255.255",
        "100.128.0.0",
        "126.255.255.255",
        "128.0.0.1",
        "169.253.255.255",
        "169.255.0.0",
        "172.15.255.255",
        "172.32.0.0",
        "191.255.255.255",
        "192.0.1.0",
        "192.0.3.0",
        "192.31.196.1",
        "192.52.192.255",
        "192.52.194.0",
        "192.88.98.1",
        "192.88.100.0",
        "192.167.255.255",
        "192.169.0.0",
        "192.175.48.1",
        "198.17.255.255",
        "198.20.0.0",
        "198.51.99.255",
        "198.51.101.0",
        "203.0.112.255",
        "203.0.114.0",
        "223.255.255.255",
        "2001:200::1",
        "2001:4:112::1",
        "2001:4860:4860::8888",
        "2001:db7:ffff::1",
        "2001:db9::1",
        "2003::1",
        "2606:4700:4700::1111",
        "2620:4f:8000::1",
        "2a00:1450:4001::1",
        "3ffe:ffff::1",
        "3fff:1000::1",
        "::ffff:8.8.8.8",
        "64:ff9b::808:808",
        "2002:808:808::1",
        "2a00::5efe:808:808",
    ] {
        let found = verdict(&public, address.parse().unwrap(), 443).await;
        assert_eq!(found, Ok(()), "{address}");
    }
}

#[tokio::test]
async fn everything_else_is_refused_by_name() {
    for (address, class) in [
        ("0.0.0.0", "this host"),
        ("0.255.255.255", "this host"),
        ("10.0.0.0", "private"),
        ("10.255.255.255", "private"),
        ("100.64.0.0", "carrier-grade NAT"),
        ("100.127.255.255", "carrier-grade NAT"),
        ("127.0.0.1", "loopback"),
        ("127.255.255.255", "loopback"),
        ("169.254.0.0", "link-local"),
        ("169.254.169.254", "link-local"),
        ("169.254.255.255", "link-local"),
        ("172.16.0.0", "private"),
        ("172.31.255.255", "private"),
        ("192.0.0.0", "reserved"),
        ("192.0.0.8", "reserved"),
        ("192.0.0.9", "reserved"),
        ("192.0.0.10", "reserved"),
        ("192.0.0.170", "reserved"),
        ("192.0.0.255", "reserved"),
        ("192.0.2.0", "documentation"),
        ("192.0.2.255", "documentation"),
        ("192.52.193.1", "a relay's anycast"),
        ("192.88.99.0", "reserved"),
        ("192.88.99.2", "reserved"),
        ("192.88.99.255", "reserved"),
        ("192.168.0.0", "private"),
        ("192.168.255.255", "private"),
        ("198.18.0.0", "benchmarking"),
        ("198.19.255.255", "benchmarking"),
        ("198.51.100.0", "documentation"),
        ("198.51.100.255", "documentation"),
        ("203.0.113.0", "documentation"),
        ("203.0.113.255", "documentation"),
        ("224.0.0.0", "multicast"),
        ("239.255.255.255", "multicast"),
        ("240.0.0.0", "reserved"),
        ("255.255.255.254", "reserved"),
        ("255.255.255.255", "broadcast"),
        ("::", "unspecified"),
        ("::1", "loopback"),
        ("1::1", "reserved"),
        ("64:ff9b:1::1", "private (local NAT64)"),
        ("64:ff9b:1:ffff::808:808", "private (local NAT64)"),
        ("64:ff9b:2::1", "reserved"),
        ("100::1", "discard-only"),
        ("100::ffff:ffff:ffff:ffff", "discard-only"),
        ("100:0:0:1::1", "a dummy prefix"),
        ("100:0:0:2::1", "reserved"),
        ("1fff:ffff::1", "reserved"),
        ("2001:1::1", "reserved"),
        ("2001:1::2", "reserved"),
        ("2001:1::3", "reserved"),
        ("2001:2::1", "benchmarking"),
        ("2001:2:1::1", "reserved"),
        ("2001:3::1", "a relay's anycast"),
        ("2001:4:111::1", "reserved"),
        ("2001:4:113::1", "reserved"),
        ("2001:5::1", "reserved"),
        ("2001:10::1", "an identifier (ORCHID)"),
        ("2001:1f:ffff::1", "an identifier (ORCHID)"),
        ("2001:20::1", "an identifier (ORCHID)"),
        ("2001:2f:ffff::1", "an identifier (ORCHID)"),
        ("2001:30::1", "an identifier (DRIP)"),
        ("2001:3f:ffff::1", "an identifier (DRIP)"),
        ("2001:40::1", "reserved"),
        ("2001:1ff:ffff::1", "reserved"),
        ("2001:db8::1", "documentation"),
        ("2001:db8:ffff::1", "documentation"),
        ("3fff::1", "documentation"),
        ("3fff:fff:ffff::1", "documentation"),
        ("4000::1", "reserved"),
        ("5f00::1", "a segment identifier (SRv6)"),
        ("5f01::1", "reserved"),
        ("fc00::1", "unique local"),
        ("fd12:3456::1", "unique local"),
        ("fdff:ffff::1", "unique local"),
        ("fe00::1", "reserved"),
        ("fe80::1", "link-local"),
        ("febf::1", "link-local"),
        ("fec0::1", "site-local"),
        ("feff::1", "site-local"),
        ("ff02::1", "multicast"),
        ("ffff::1", "multicast"),
    ] {
        let public = egress(TargetPolicy::public_only(), Vec::new());
        let found = verdict(&public, address.parse().unwrap(), 443).await;
        assert_eq!(found, Err(format!("{address} is {class} (policy public-only)")));
    }
}

#[tokio::test]
async fn any_is_all_but_metadata() {
    let any = egress(TargetPolicy::any(), Vec::new());
    for address in
        ["127.0.0.1", "::1", "10.0.0.1", "169.254.1.1", "fd12::1", "0.0.0.0", "8.8.8.8", OWN]
    {
        assert_eq!(verdict(&any, address.parse().unwrap(), 80).await, Ok(()), "{address}");
    }
}
