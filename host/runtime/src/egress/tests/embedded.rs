//! IPv4 addresses inside IPv6 ones, in every form and for every address.

use std::net::{Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;

use super::*;
use crate::egress::class::special;
use crate::egress::embedded::views;

/// The address with `inner` in each form, and the form's name in refusals.
fn forms(inner: Ipv4Addr) -> Vec<(&'static str, Ipv6Addr)> {
    let bits = u128::from(inner.to_bits());
    let turned = u128::from(!inner.to_bits());
    let prefix = |text: &str| text.parse::<Ipv6Addr>().unwrap().to_bits();
    // A public Teredo server, and a public client, for the other half of a Teredo address.
    let (server, client) = (0x0808_0808_u128 << 64, u128::from(!0x0808_0808_u32));
    let (high, low) = (bits >> 16, bits & 0xffff);
    [
        ("IPv4-mapped", prefix("::ffff:0:0") | bits),
        ("IPv4-translated (SIIT)", prefix("::ffff:0:0:0") | bits),
        ("IPv4-compatible", bits),
        ("NAT64", prefix("64:ff9b::") | bits),
        ("6to4", prefix("2002::") | (bits << 80) | 1),
        ("Teredo", prefix("2001::") | server | turned),
        ("Teredo by the server", prefix("2001::") | (bits << 64) | client),
        ("ISATAP", prefix("2a00:1450::5efe:0:0") | bits),
        ("ISATAP", prefix("2a00:1450::200:5efe:0:0") | bits),
        // The layouts of RFC 6052 in the prefix for networks' own use.
        ("local NAT64", prefix("64:ff9b:1::") | bits),
        ("local NAT64", prefix("64:ff9b:1:abcd::") | (bits << 24)),
        (
            "local NAT64",
            prefix("64:ff9b:1:ab00::") | ((bits >> 24) << 64) | ((bits & 0xff_ffff) << 32),
        ),
        ("local NAT64", prefix("64:ff9b:1::") | (high << 64) | (low << 40)),
    ]
    .map(|(form, bits)| (form, Ipv6Addr::from_bits(bits)))
    .to_vec()
}

#[tokio::test]
async fn a_refusal_names_the_form_and_what_is_inside() {
    let public = egress(TargetPolicy::public_only(), Vec::new());
    for (address, words) in [
        ("::ffff:127.0.0.1", "is IPv4-mapped of 127.0.0.1, which is loopback"),
        ("::ffff:169.254.169.254", "is IPv4-mapped of 169.254.169.254, which is link-local"),
        ("::7f00:1", "is IPv4-compatible of 127.0.0.1, which is loopback"),
        ("::2", "is IPv4-compatible of 0.0.0.2, which is this host"),
        ("::808:808", "is IPv4-compatible of 8.8.8.8, a form that leads nowhere"),
        ("::ffff:0:7f00:1", "is IPv4-translated (SIIT) of 127.0.0.1, which is loopback"),
        ("::ffff:0:808:808", "is IPv4-translated (SIIT) of 8.8.8.8, a form that leads nowhere"),
        ("64:ff9b::a9fe:a9fe", "is NAT64 of 169.254.169.254, which is link-local"),
        ("2002:7f00:1::", "is 6to4 of 127.0.0.1, which is loopback"),
        ("2002:c0a8:101::1", "is 6to4 of 192.168.1.1, which is private"),
        ("2001::f5ff:fffe", "is Teredo of 10.0.0.1, which is private"),
        ("2001:0:a00:1::f7f7:f7f7", "is Teredo by the server of 10.0.0.1, which is private"),
        ("2001:0:808:808::f7f7:f7f7", "is Teredo of 8.8.8.8, a form that leads nowhere"),
        ("2a00:1450::5efe:a00:1", "is ISATAP of 10.0.0.1, which is private"),
        ("fe80::5efe:808:808", "is link-local"),
    ] {
        let ip: IpAddr = address.parse().unwrap();
        let found = verdict(&public, ip, 80).await;
        // As the standard library writes it.
        assert_eq!(found, Err(format!("{ip} {words} (policy public-only)")), "{address}");
    }
}

#[test]
fn a_table_of_forms_is_found_again() {
    let inner = Ipv4Addr::new(192, 168, 7, 9);
    for (form, address) in forms(inner) {
        let found = views(address.into()).find(|(_, view)| *view == IpAddr::V4(inner));
        let (found, _) = found.unwrap_or_else(|| panic!("{form}: {address} does not show {inner}"));
        assert_eq!(found.map(|form| form.name), Some(form), "{address}");
    }
}

fn special_v4() -> impl Strategy<Value = Ipv4Addr> {
    any::<u32>()
        .prop_map(|bits| {
            // Half of the space at random is public: the networks' bits are put on top.
            let networks = [
                (0x0000_0000, 8),
                (0x0a00_0000, 8),
                (0x6440_0000, 10),
                (0x7f00_0000, 8),
                (0xa9fe_0000, 16),
                (0xac10_0000, 12),
                (0xc000_0000, 24),
                (0xc0a8_0000, 16),
                (0xc612_0000, 15),
                (0xe000_0000, 3),
            ];
            let (network, length) = networks[bits.count_ones() as usize % networks.len()];
            Ipv4Addr::from_bits(network | (bits & (u32::MAX >> length)))
        })
        // `::` and `::1` are themselves.
        .prop_filter("not the unspecified ones", |inner| inner.to_bits() > 1)
}

proptest! {
    #[test]
    fn special_inside_is_refused_in_every_form(inner in special_v4()) {
        prop_assert!(special(inner.into()).is_some(), "{}", inner);
        for (form, address) in forms(inner) {
            prop_assert!(special(address.into()).is_some(), "{form}: {address}");
        }
    }

    #[test]
    fn mapped_is_judged_as_itself(bits in any::<u32>()) {
        let inner = Ipv4Addr::from_bits(bits);
        let mapped = IpAddr::V6(inner.to_ipv6_mapped());
        prop_assert_eq!(special(mapped).is_some(), special(inner.into()).is_some());
    }

    #[test]
    fn what_is_allowed_is_global_unicast_or_carries_it(bits in any::<u128>()) {
        let address = Ipv6Addr::from_bits(bits);
        if special(address.into()).is_none() {
            let is_routed = matches!(address.segments()[0], 0x2000..=0x3fff | 0x64 | 0);
            prop_assert!(is_routed, "{address}");
        }
    }
}
