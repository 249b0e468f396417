//! What proves that the owner of a host agrees that it is loaded, and where it is looked for. Gateways tell it, engines look
//! for it; nothing is sent here.
//!
//! A token is 32 hexadecimal digits that only the gateways can make. Who can put it where it is asked for is the owner: at a
//! path of every address that is loaded, or into the zone of the name. A name alone is not its addresses, as everybody may let
//! a name of their own lead to a machine of somebody else: where the zone has the token, each address must show a certificate
//! of the name.

use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

/// Hexadecimal digits of a token: 128 bits, which nobody guesses.
pub const TOKEN_DIGITS: usize = 32;

/// What is to be found at the paths, without the space around it.
pub const PROOF_BODY: &str = "42";

/// What the paths of tokens begin with.
const WELL_KNOWN: &str = "/.well-known/blitz-";

/// The ports of HTTP: a host without a port is both of them.
const PORTS: [u16; 2] = [80, 443];

/// That a host may be loaded, with what must be found there while it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proof {
    /// As URLs name it, an IPv6 address in brackets; without a port it is both of HTTP, with one that alone.
    pub host: String,
    /// Absent: an operator has said so, and nothing is looked for.
    pub token: Option<String>,
}

/// Where a token was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Way {
    /// At `/.well-known/blitz-<token>`.
    WellKnown,
    /// At `/<uuid>`, where the service of 2011 looked.
    Uuid,
    /// In a TXT record of `_blitz.<host>`, and the addresses have a certificate of the name.
    Record,
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::WellKnown => "/.well-known/blitz-TOKEN",
            Self::Uuid => "/UUID",
            Self::Record => "a TXT record",
        })
    }
}

impl Proof {
    /// Whether it is about this host and port. Names below it are not its host.
    #[must_use]
    pub fn covers(&self, host: &str, port: u16) -> bool {
        let (own, own_port) = split(&self.host);
        let host = host.trim_end_matches('.');
        let is_host = match (own.parse::<IpAddr>(), host.parse::<IpAddr>()) {
            (Ok(own), Ok(host)) => own == host,
            (Err(_), Err(_)) => own.eq_ignore_ascii_case(host),
            _ => false,
        };
        is_host && own_port.map_or(PORTS.contains(&port), |own| own == port)
    }
}

/// A host as it stands in a [`Proof`]: the name or the address without brackets, and the port.
#[must_use]
pub fn split(host: &str) -> (&str, Option<u16>) {
    let (name, port) = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, port)) => (address, port.strip_prefix(':')),
        None if host.matches(':').count() > 1 => (host, None),
        None => host.split_once(':').map_or((host, None), |(name, port)| (name, Some(port))),
    };
    (name, port.and_then(|port| port.parse().ok()))
}

/// Whether a text can be a token: it becomes part of paths and records.
#[must_use]
pub fn is_token(token: &str) -> bool {
    token.len() == TOKEN_DIGITS
        && token.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

/// The path at which [`PROOF_BODY`] is looked for first.
#[must_use]
pub fn well_known_path(token: &str) -> String {
    format!("{WELL_KNOWN}{token}")
}

/// The other path: the token as a UUID of version 8. `None` for what is no token. Source: RFC 9562, section 5.8.
#[must_use]
pub fn uuid_path(token: &str) -> Option<String> {
    is_token(token).then(|| {
        // The digit behind the version keeps two of its bits.
        let variant = match token.as_bytes()[16] {
            b'0' | b'4' | b'8' | b'c' => '8',
            b'1' | b'5' | b'9' | b'd' => '9',
            b'2' | b'6' | b'a' | b'e' => 'a',
            _ => 'b',
        };
        let (a, b, c) = (&token[..8], &token[8..12], &token[13..16]);
        let (d, e) = (&token[17..20], &token[20..]);
        format!("/{a}-{b}-8{c}-{variant}{d}-{e}")
    })
}

/// The name whose TXT records are asked for. `None` for an address, which has no zone.
#[must_use]
pub fn record_name(host: &str) -> Option<String> {
    let (name, _) = split(host);
    name.parse::<IpAddr>().is_err().then(|| format!("_blitz.{name}"))
}

/// What the record must be.
#[must_use]
pub fn record_text(token: &str) -> String {
    format!("blitz={token}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proof_is_about_one_host_and_its_ports() {
        for (own, host, port, is_about) in [
            ("example.com", "example.com", 80, true),
            ("example.com", "EXAMPLE.com.", 443, true),
            ("example.com", "example.com", 8080, false),
            ("example.com:8080", "example.com", 8080, true),
            ("example.com:8080", "example.com", 80, false),
            ("example.com", "www.example.com", 80, false),
            ("example.com", "xample.com", 80, false),
            ("192.0.2.7", "192.0.2.7", 80, true),
            ("[2001:db8::1]", "2001:db8::1", 443, true),
            ("[2001:db8::1]:81", "2001:db8:0:0:0:0:0:1", 81, true),
            ("[2001:db8::1]:81", "2001:db8::1", 80, false),
        ] {
            let proof = Proof { host: own.to_owned(), token: None };
            assert_eq!(proof.covers(host, port), is_about, "{own} {host} {port}");
        }
    }

    #[test]
    fn a_token_is_a_path_a_uuid_and_a_record() {
        let token = "0123456789abcdef0123456789abcdef";
        assert_eq!(well_known_path(token), format!("/.well-known/blitz-{token}"));
        let path = uuid_path(token).unwrap();
        assert_eq!(path, "/01234567-89ab-8def-8123-456789abcdef");
        assert_eq!(record_name("example.com:81").as_deref(), Some("_blitz.example.com"));
        assert_eq!((record_name("192.0.2.7"), record_name("[::1]:80")), (None, None));
        assert_eq!(record_text(token), format!("blitz={token}"));
        for wrong in ["", "0123", &token.to_uppercase(), &format!("{}/", &token[1..])] {
            assert!(!is_token(wrong) && uuid_path(wrong).is_none(), "{wrong}");
        }
    }
}
