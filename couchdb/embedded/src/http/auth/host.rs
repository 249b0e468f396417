//! Which names a server without administrators answers to.
//!
//! Everybody who reaches it may do everything, so only this machine does. But a browser on this machine
//! carries pages of strangers: one whose own name was made to point here (DNS rebinding) would be of one
//! origin with this server. Its requests still say that name in `Host`. Names that a stranger can own have
//! a dot; addresses and names of a local network are answered.

use super::super::refusal::Refusal;
use http::{header, request::Parts};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// Refuses a request for a name of the web.
pub(super) fn check(parts: &Parts) -> Result<(), Refusal> {
    let of_uri = parts.uri.authority().map(|authority| authority.as_str());
    let of_headers = parts.headers.get_all(header::HOST).iter().map(|host| host.to_str());
    for host in of_uri.map(Ok).into_iter().chain(of_headers) {
        let host = host.map_err(|_| Refusal::bad_request("the Host header is no name"))?;
        if !is_local(host) {
            return Err(Refusal::forbidden(format!(
                "this server has no administrator and answers only to an IP address or a name without \
                 a dot such as localhost, not to {host:?}; ask by one of these, or give it an \
                 administrator"
            )));
        }
    }
    Ok(())
}

/// Whether no stranger can own the name. Nothing at all is what programs of old send.
fn is_local(host: &str) -> bool {
    let is_v6 = |text: &str| {
        let inner = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
        inner.is_some_and(|inner| inner.parse::<Ipv6Addr>().is_ok())
    };
    let is_address = host.parse::<SocketAddr>().is_ok() || host.parse::<IpAddr>().is_ok();
    if host.is_empty() || is_address || is_v6(host) {
        return true;
    }
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.parse::<u16>().is_ok() => name,
        Some(_) => return false,
        None => host,
    }
    .to_ascii_lowercase();
    // RFC 6761: all names below localhost are this machine.
    let name = name.strip_suffix(".localhost").unwrap_or(&name);
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    !name.is_empty() && name.bytes().all(is_plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_a_dot_may_be_a_strangers() {
        for host in [
            "",
            "localhost",
            "LocalHost:5984",
            "a.localhost",
            "couchdb:1",
            "127.0.0.1",
            "10.0.0.1:80",
            "[::1]",
            "[::1]:5984",
            "my_host-2",
        ] {
            assert!(is_local(host), "{host}");
        }
        for host in [
            "evil.example",
            "evil.example:80",
            "evil.",
            "localhost.",
            "localhost.evil.org",
            "1.2.3.4.evil.org",
            "u@localhost",
            "[::1].evil.org",
            "localhost:",
            "localhost:x",
            "a b",
            ":80",
            "127.0.0.1.",
        ] {
            assert!(!is_local(host), "{host}");
        }
    }
}
