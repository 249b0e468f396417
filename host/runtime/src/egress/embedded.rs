//! The forms in which an IPv6 address carries an IPv4 one. Who connects to such an address may end at the
//! inner one: by the kernel (mapped), a translator (NAT64, SIIT) or a tunnel (6to4, Teredo, ISATAP).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// One form.
#[derive(Debug)]
pub(super) struct Form {
    pub(super) name: &'static str,
    pub(super) reach: Reach,
    network: Ipv6Addr,
    length: u32,
    inner: fn(u128) -> Option<u32>,
}

/// Where a packet to an address of a form ends, when the inner address is a public one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    /// At the inner address, over the public Internet.
    Inner,
    /// Nowhere, or with somebody in between who is not public.
    Nowhere,
    /// At the address itself, which is judged as such; the inner one only names an end in a site.
    Itself,
    /// The form has several layouts, and this one may not be the network's. Good enough for refusing,
    /// not for describing.
    Unknown,
}

const FORMS: &[Form] = &[
    Form {
        // RFC 4291, section 2.5.5.2: the kernel connects by IPv4.
        name: "IPv4-mapped",
        reach: Reach::Inner,
        network: Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, 0, 0),
        length: 96,
        inner: |bits| at(bits, 96, 32),
    },
    Form {
        // RFC 2765, section 2.1.
        name: "IPv4-translated (SIIT)",
        reach: Reach::Nowhere,
        network: Ipv6Addr::new(0, 0, 0, 0, 0xffff, 0, 0, 0),
        length: 96,
        inner: |bits| at(bits, 96, 32),
    },
    Form {
        // RFC 4291, section 2.5.5.1, long deprecated. `::` and `::1` are themselves.
        name: "IPv4-compatible",
        reach: Reach::Nowhere,
        network: Ipv6Addr::UNSPECIFIED,
        length: 96,
        inner: |bits| at(bits, 96, 32).filter(|inner| *inner > 1),
    },
    Form {
        // RFC 6052, section 2.1.
        name: "NAT64",
        reach: Reach::Inner,
        network: Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0, 0),
        length: 96,
        inner: |bits| at(bits, 96, 32),
    },
    // RFC 8215 leaves the layout to the network: RFC 6052, section 2.2, whose octet 8 is left out.
    local_nat64(|bits| Some((at(bits, 48, 16)? << 16) | at(bits, 72, 16)?)),
    local_nat64(|bits| Some((at(bits, 56, 8)? << 24) | at(bits, 72, 24)?)),
    local_nat64(|bits| at(bits, 72, 32)),
    local_nat64(|bits| at(bits, 96, 32)),
    Form {
        // RFC 3056.
        name: "6to4",
        reach: Reach::Inner,
        network: Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0),
        length: 16,
        inner: |bits| at(bits, 16, 32),
    },
    Form {
        // RFC 4380, section 4: the client's address is written with every bit turned.
        name: "Teredo",
        reach: Reach::Nowhere,
        network: Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0),
        length: 32,
        inner: |bits| at(bits, 96, 32).map(|inner| !inner),
    },
    Form {
        name: "Teredo by the server",
        reach: Reach::Nowhere,
        network: Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0),
        length: 32,
        inner: |bits| at(bits, 32, 32),
    },
    Form {
        // RFC 5214, section 6.1: behind any prefix, with or without the bits for universal and group.
        name: "ISATAP",
        reach: Reach::Itself,
        network: Ipv6Addr::UNSPECIFIED,
        length: 0,
        inner: |bits| {
            let is_isatap = at(bits, 64, 32)? & 0xfcff_ffff == 0x0000_5efe;
            at(bits, 96, 32).filter(|_| is_isatap)
        },
    },
];

const fn local_nat64(inner: fn(u128) -> Option<u32>) -> Form {
    Form {
        name: "local NAT64",
        reach: Reach::Unknown,
        network: Ipv6Addr::new(0x64, 0xff9b, 1, 0, 0, 0, 0, 0),
        length: 48,
        inner,
    }
}

/// Every form that `address` has, with the address inside.
pub(super) fn forms(address: Ipv6Addr) -> impl Iterator<Item = (&'static Form, Ipv4Addr)> {
    FORMS
        .iter()
        .filter(move |form| is_within(address, form.network, form.length))
        .filter_map(move |form| Some((form, Ipv4Addr::from_bits((form.inner)(address.to_bits())?))))
}

/// Every address that somebody may mean by this one: itself, and those inside of it with their form.
pub(super) fn views(address: IpAddr) -> impl Iterator<Item = (Option<&'static Form>, IpAddr)> {
    let inner = match address {
        IpAddr::V4(_) => None,
        IpAddr::V6(v6) => Some(forms(v6).map(|(form, inner)| (Some(form), IpAddr::V4(inner)))),
    };
    std::iter::once((None, address)).chain(inner.into_iter().flatten())
}

pub(super) fn is_within(address: Ipv6Addr, network: Ipv6Addr, length: u32) -> bool {
    (address.to_bits() ^ network.to_bits()).checked_shr(128 - length).unwrap_or(0) == 0
}

/// `length` bits (at most 32) that begin at the bit `start`, counted from the highest.
fn at(bits: u128, start: u32, length: u32) -> Option<u32> {
    let mask = (1_u128 << length) - 1;
    u32::try_from((bits >> (128 - start - length)) & mask).ok()
}
