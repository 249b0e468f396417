//! Rules: how they are read and written, what they match, and in which order they speak.

use std::net::{Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;

use super::*;
use crate::egress::Rule;

#[test]
fn the_forms_are_read_and_written() {
    for (text, wanted) in [
        ("10.0.0.0/8", "10.0.0.0/8"),
        ("0.0.0.0/0", "0.0.0.0/0"),
        ("10.1.2.3", "10.1.2.3"),
        ("10.1.2.3/32", "10.1.2.3"),
        ("10.1.2.3:8080", "10.1.2.3:8080"),
        ("10.0.0.0/8:8000-9000", "10.0.0.0/8:8000-9000"),
        ("fd00::/8", "fd00::/8"),
        ("::/0", "::/0"),
        ("FD00::1", "fd00::1"),
        ("fd00::1:443", "fd00::1:443"),
        ("[fd00::1]", "fd00::1"),
        ("[fd00::/8]:443", "[fd00::/8]:443"),
        ("[::1]:80-80", "[::1]:80"),
        ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
        ("example.com", "example.com"),
        ("Example.COM.", "example.com"),
        ("b\u{fc}cher.example:443", "xn--bcher-kva.example:443"),
        ("*.example.com:443", "*.example.com:443"),
        ("*", "*"),
        ("*:25", "*:25"),
        (":8000-9000", "*:8000-9000"),
        ("localhost:1-65535", "localhost:1-65535"),
    ] {
        let rule: Rule = text.parse().unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(rule.to_string(), wanted, "{text}");
    }
}

#[test]
fn what_is_not_a_rule_is_refused_with_the_reason() {
    for (text, problem) in [
        ("", "it is empty"),
        (":", "a port is a number from 1 to 65535"),
        ("*:", "a port is a number from 1 to 65535"),
        ("*:0", "a port is a number from 1 to 65535"),
        ("*:65536", "a port is a number from 1 to 65535"),
        ("*:+80", "a port is a number from 1 to 65535"),
        ("*:80-", "a port is a number from 1 to 65535"),
        ("*:90-80", "the ports run backwards"),
        ("10.0.0.0/33", "a prefix of IPv4 has at most 32 bits"),
        ("fd00::/129", "a prefix of IPv6 has at most 128 bits"),
        ("10.0.0.1/8", "the network has bits behind its prefix"),
        ("fd00::1/8", "the network has bits behind its prefix"),
        ("10.0.0.0/", "what stands behind / is not a prefix length"),
        ("10.0.0.0/+8", "what stands behind / is not a prefix length"),
        ("example.com/8", "what stands before / is not an IP address"),
        ("[fd00::1", "the bracket is not closed"),
        ("[fd00::1]443", "a colon follows the bracket"),
        ("[example.com]:443", "brackets are for IPv6"),
        ("10.1", "an IPv4 address has four decimal numbers"),
        ("0x7f.1", "an IPv4 address has four decimal numbers"),
        ("\u{fe61}", "a star stands alone, or as the first label of a host"),
        ("exam'ple.com", "it is neither an address nor a host"),
        ("*example.com", "a star stands alone, or as the first label of a host"),
        ("*.*.com", "a star stands alone, or as the first label of a host"),
        (".", "a host has no empty label"),
        ("*.", "it is neither an address nor a host"),
        ("*..com", "a host has no empty label"),
        ("example..com", "a host has no empty label"),
        ("exa mple.com", "it is neither an address nor a host"),
        ("http://example.com", "it is a URL"),
    ] {
        let error = text.parse::<Rule>().expect_err(text).to_string();
        let start = format!("{text:?} is not a rule: {problem}; write a network (10.0.0.0/8");
        assert!(error.starts_with(&start), "{text}: {error}");
    }
}

#[tokio::test]
async fn rules_match_networks_hosts_and_ports() {
    for (rule, name, address, is_match) in [
        ("10.0.0.0/8", "", "10.255.0.1:80", true),
        ("10.0.0.0/8", "", "192.168.0.1:80", false),
        ("10.0.0.0/8", "", "[::ffff:10.0.0.1]:80", true),
        ("0.0.0.0/0", "", "10.0.0.1:80", true),
        ("0.0.0.0/0", "", "[fd00::1]:80", false),
        ("fd00::/8", "", "[fd12::1]:80", true),
        ("fd00::/8", "", "[fc12::1]:80", false),
        ("::/0", "", "[fd12::1]:80", true),
        ("10.1.2.3:8080", "", "10.1.2.3:8080", true),
        ("10.1.2.3:8080", "", "10.1.2.3:8081", false),
        (":8000-9000", "", "10.1.2.3:8000", true),
        (":8000-9000", "", "10.1.2.3:9000", true),
        (":8000-9000", "", "10.1.2.3:9001", false),
        ("*", "", "10.1.2.3:1", true),
        ("intern.example", "intern.example", "10.1.2.3:1", true),
        ("INTERN.example.", "intern.example", "10.1.2.3:1", true),
        ("intern.example", "a.intern.example", "10.1.2.3:1", false),
        ("intern.example", "", "10.1.2.3:1", false),
        ("*.intern.example", "a.b.intern.example", "10.1.2.3:1", true),
        ("*.intern.example", "intern.example", "10.1.2.3:1", false),
        ("*.intern.example", "xintern.example", "10.1.2.3:1", false),
        ("*.intern.example:443", "a.intern.example", "10.1.2.3:80", false),
    ] {
        let address: SocketAddr = address.parse().unwrap();
        let resolved = if name.is_empty() { literal(address) } else { by_system(name, address) };
        let open = egress(policy(TargetPolicy::public_only(), &[rule], &[]), Vec::new());
        let opened = verdict_of(&open, &resolved).await;
        assert_eq!(opened.is_ok(), is_match, "allow {rule}: {name} {address}: {opened:?}");
        let shut = egress(policy(TargetPolicy::any(), &[], &[rule]), Vec::new());
        let closed = verdict_of(&shut, &resolved).await;
        assert_eq!(closed.is_err(), is_match, "deny {rule}: {name} {address}: {closed:?}");
    }
}

#[tokio::test]
async fn a_deny_rule_speaks_before_an_allow_rule_and_the_base() {
    let rules =
        policy(TargetPolicy::any(), &["10.0.0.0/8"], &["*:25", "10.9.0.0/16", "evil.example"]);
    let egress = egress(rules, Vec::new());
    for (resolved, wanted) in [
        (literal("10.1.2.3:80".parse().unwrap()), Ok(())),
        (
            literal("10.1.2.3:25".parse().unwrap()),
            Err("10.1.2.3 port 25 is denied by the rule *:25"),
        ),
        (
            literal("10.9.2.3:80".parse().unwrap()),
            Err("10.9.2.3 port 80 is denied by the rule 10.9.0.0/16"),
        ),
        // Also where the address stands inside another.
        (
            literal("[2002:a09:1::]:80".parse().unwrap()),
            Err("2002:a09:1:: port 80 is denied by the rule 10.9.0.0/16"),
        ),
        (
            by_system("evil.example", "8.8.8.8:80".parse().unwrap()),
            Err("evil.example: 8.8.8.8 port 80 is denied by the rule evil.example"),
        ),
        (by_system("good.example", "8.8.8.8:80".parse().unwrap()), Ok(())),
    ] {
        let found = verdict_of(&egress, &resolved).await;
        assert_eq!(found, wanted.map_err(str::to_owned), "{resolved:?}");
    }
}

#[tokio::test]
async fn an_allow_rule_opens_the_address_that_is_connected_to_and_no_other() {
    let rules = policy(TargetPolicy::public_only(), &["10.0.0.0/8", "intern.example"], &[]);
    let egress = egress(rules, Vec::new());
    let private: SocketAddr = "192.168.1.1:80".parse().unwrap();
    assert_eq!(verdict_of(&egress, &by_system("intern.example", private)).await, Ok(()));
    // By another name, by its address, with an address or a resolver that the user names.
    for resolved in [
        by_system("other.example", private),
        literal(private),
        Resolved { resolver: None, ..by_system("intern.example", private) },
        Resolved {
            resolver: Some("9.9.9.9:53".to_owned()),
            ..by_system("intern.example", private)
        },
        // A tunnel to 10.0.0.1 is not 10.0.0.1.
        literal("[2002:a00:1::]:80".parse().unwrap()),
    ] {
        let found = verdict_of(&egress, &resolved).await;
        let words = found.expect_err("it was allowed");
        assert!(words.contains(" is "), "{words}");
    }
}

#[test]
fn a_policy_says_what_it_is() {
    assert_eq!(TargetPolicy::default(), TargetPolicy::public_only());
    let policy = policy(TargetPolicy::public_only(), &["10.0.0.0/8", "*.a.example"], &[":25"]);
    assert_eq!(policy.to_string(), "public-only, allow 10.0.0.0/8, allow *.a.example, deny *:25");
}

fn ports() -> impl Strategy<Value = String> {
    prop_oneof![
        Just(String::new()),
        (1..=u16::MAX).prop_map(|port| format!(":{port}")),
        (1..=u16::MAX, 1..=u16::MAX).prop_map(|(a, b)| format!(":{}-{}", a.min(b), a.max(b))),
    ]
}

proptest! {
    #[test]
    fn a_rule_is_written_as_it_is_read(
        v4 in any::<u32>(),
        v6 in any::<u128>(),
        length in 0_u32..=32,
        length_v6 in 0_u32..=128,
        ports in ports(),
    ) {
        let v4 = Ipv4Addr::from_bits(v4 & u32::MAX.checked_shl(32 - length).unwrap_or(0));
        let v6 = Ipv6Addr::from_bits(v6 & u128::MAX.checked_shl(128 - length_v6).unwrap_or(0));
        for text in [format!("{v4}/{length}{ports}"), format!("[{v6}/{length_v6}]{ports}")] {
            let rule: Rule = text.parse().unwrap();
            prop_assert_eq!(&rule.to_string().parse::<Rule>().unwrap(), &rule, "{}", text);
        }
    }

    #[test]
    fn no_text_is_a_panic(text in "[0-9a-f:./*\\[\\]-]{0,24}|\\PC{0,24}") {
        if let Ok(rule) = text.parse::<Rule>() {
            prop_assert_eq!(rule.to_string().parse::<Rule>().unwrap(), rule);
        }
    }
}
