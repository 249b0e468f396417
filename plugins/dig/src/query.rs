//! The bytes of a query.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::net::IpAddr;

use crate::lookup::{Edns, Lookup};
use crate::numbers::OPT;
use crate::wire;

pub(crate) const OPTION_NSID: u16 = 3;
pub(crate) const OPTION_SUBNET: u16 = 8;
pub(crate) const OPTION_COOKIE: u16 = 10;

/// One message, with an id of its own. `server_cookie` is what a server gave to be told again.
pub(crate) fn bytes(
    lookup: &Lookup,
    server_cookie: Option<&[u8]>,
) -> Result<Vec<u8>, &'static str> {
    let mut message = Vec::new();
    let counts = [1, 0, 0, u16::from(lookup.edns.is_some())];
    let [id_high, id_low, ..] = random();
    for word in [u16::from_be_bytes([id_high, id_low]), lookup.flags].into_iter().chain(counts) {
        message.extend(word.to_be_bytes());
    }
    message.extend(wire::name_bytes(&lookup.name)?);
    message.extend(lookup.kind.to_be_bytes());
    message.extend(lookup.class.to_be_bytes());
    if let Some(edns) = &lookup.edns {
        let options = options(edns, server_cookie);
        message.push(0);
        message.extend(OPT.to_be_bytes());
        message.extend(edns.udp_bytes.to_be_bytes());
        message.extend([0, edns.version, if edns.wants_dnssec { 0x80 } else { 0 }, 0]);
        message.extend(length(&options));
        message.extend(options);
    }
    Ok(message)
}

fn options(edns: &Edns, server_cookie: Option<&[u8]>) -> Vec<u8> {
    let mut options = Vec::new();
    let mut push = |code: u16, data: &[u8]| {
        options.extend(code.to_be_bytes());
        options.extend(length(data));
        options.extend(data);
    };
    if edns.wants_nsid {
        push(OPTION_NSID, &[]);
    }
    if let Some((address, prefix)) = edns.subnet {
        push(OPTION_SUBNET, &subnet(address, prefix));
    }
    if edns.sends_cookie {
        let own = edns.cookie.clone().unwrap_or_else(|| random().to_vec());
        push(OPTION_COOKIE, server_cookie.unwrap_or(&own));
    }
    options
}

/// No more of the address than the prefix has. Source: RFC 7871, section 6.
fn subnet(address: IpAddr, prefix: u8) -> Vec<u8> {
    let (family, bytes) = match address {
        IpAddr::V4(address) => (1, address.octets().to_vec()),
        IpAddr::V6(address) => (2, address.octets().to_vec()),
    };
    let mut data = vec![0, family, prefix, 0];
    data.extend(&bytes[..usize::from(prefix).div_ceil(8)]);
    if let (Some(last), rest @ 1..) = (data.last_mut(), prefix % 8) {
        *last &= 0xff << (8 - rest);
    }
    data
}

/// Options are far below 64 KiB.
fn length(data: &[u8]) -> [u8; 2] {
    u16::try_from(data.len()).unwrap_or(u16::MAX).to_be_bytes()
}

/// The hasher's keys come from the system's random numbers.
fn random() -> [u8; 8] {
    RandomState::new().build_hasher().finish().to_be_bytes()
}
