//! The parameters of SVCB and HTTPS records as text. Source: RFC 9460, sections 2.1 and 14.3.2, and appendix A.

use std::net::{Ipv4Addr, Ipv6Addr};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::text::quoted;

/// `alpn="h2,h3"`, `port=443` and so on, in their order; `None` when they are not as the RFC wants them.
pub(super) fn parameters(mut bytes: &[u8]) -> Option<Vec<String>> {
    let mut words = Vec::new();
    while !bytes.is_empty() {
        let (key, rest) = number(bytes)?;
        let (length, rest) = number(rest)?;
        let (value, rest) = rest.split_at_checked(usize::from(length))?;
        words.push(parameter(key, value)?);
        bytes = rest;
    }
    Some(words)
}

fn number(bytes: &[u8]) -> Option<(u16, &[u8])> {
    let (number, rest) = bytes.split_first_chunk()?;
    Some((u16::from_be_bytes(*number), rest))
}

fn parameter(key: u16, value: &[u8]) -> Option<String> {
    let name = key_name(key);
    let value = match key {
        0 => keys(value)?,
        1 => alpn(value)?,
        2 => return value.is_empty().then_some(name),
        3 => u16::from_be_bytes(value.try_into().ok()?).to_string(),
        4 => addresses::<4>(value, |bytes| Ipv4Addr::from(bytes).to_string())?,
        5 => quoted(STANDARD.encode(value).as_bytes()),
        6 => addresses::<16>(value, |bytes| Ipv6Addr::from(bytes).to_string())?,
        _ if value.is_empty() => return Some(name),
        _ => quoted(value),
    };
    Some(format!("{name}={value}"))
}

fn key_name(key: u16) -> String {
    let name = match key {
        0 => "mandatory",
        1 => "alpn",
        2 => "no-default-alpn",
        3 => "port",
        4 => "ipv4hint",
        5 => "ech",
        6 => "ipv6hint",
        // RFC 9461
        7 => "dohpath",
        _ => return format!("key{key}"),
    };
    name.to_owned()
}

fn keys(value: &[u8]) -> Option<String> {
    let (keys, rest) = value.as_chunks::<2>();
    let names: Vec<String> = keys.iter().map(|key| key_name(u16::from_be_bytes(*key))).collect();
    (rest.is_empty() && !names.is_empty()).then(|| names.join(","))
}

/// Protocols may have commas in them, which are escaped first for the list and then for the string.
fn alpn(mut value: &[u8]) -> Option<String> {
    let mut list = Vec::new();
    while let Some((&length, rest)) = value.split_first() {
        let (protocol, rest) = rest.split_at_checked(usize::from(length))?;
        if protocol.is_empty() {
            return None;
        }
        if !list.is_empty() {
            list.push(b',');
        }
        for &byte in protocol {
            if matches!(byte, b',' | b'\\') {
                list.push(b'\\');
            }
            list.push(byte);
        }
        value = rest;
    }
    (!list.is_empty()).then(|| quoted(&list))
}

fn addresses<const BYTES: usize>(
    value: &[u8],
    text: impl Fn([u8; BYTES]) -> String,
) -> Option<String> {
    let (addresses, rest) = value.as_chunks::<BYTES>();
    let texts: Vec<String> = addresses.iter().map(|address| text(*address)).collect();
    (rest.is_empty() && !texts.is_empty()).then(|| texts.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_has_its_form() {
        for (bytes, wanted) in [
            (&b""[..], Some(&[][..])),
            (b"\0\0\0\x04\0\x01\0\x03", Some(&["mandatory=alpn,port"])),
            (b"\0\x01\0\x08\x03f\\o\x03b,r", Some(&["alpn=\"f\\\\\\\\o,b\\\\,r\""])),
            (b"\0\x02\0\0\0\x03\0\x02\0\x35", Some(&["no-default-alpn", "port=53"])),
            (b"\0\x04\0\x08\xc0\0\x02\x01\xc0\0\x02\x02", Some(&["ipv4hint=192.0.2.1,192.0.2.2"])),
            (b"\0\x05\0\x03abc", Some(&["ech=\"YWJj\""])),
            (
                b"\0\x06\0\x10\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01",
                Some(&["ipv6hint=2001:db8::1"]),
            ),
            (b"\0\x07\0\x02/q\x02\x9b\0\x01\x07", Some(&["dohpath=\"/q\"", "key667=\"\\007\""])),
            (b"\x02\x9b\0\0", Some(&["key667"])),
            (b"\0\x03\0\x01\0", None),
            (b"\0\x03\0", None),
            (b"\0\x02\0\x01x", None),
            (b"\0\x04\0\x03abc", None),
            (b"\0\x01\0\x01\0", None),
            (b"\0\x01\0\0", None),
        ] {
            let found = parameters(bytes);
            let wanted = wanted.map(|words| words.iter().map(ToString::to_string).collect());
            assert_eq!(found, wanted, "{bytes:?}");
        }
    }
}
