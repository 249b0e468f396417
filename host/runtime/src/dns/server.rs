//! Where a message goes: what a plugin writes for a server, as host and port or as a URL.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use url::Host;

use super::limits::SERVER_MAX_BYTES;
use crate::bindings::blitz::plugin::dns::Error;
use crate::limits::Shown;

/// A server that is not asked by HTTPS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Named {
    pub(super) host: Host<String>,
    pub(super) port: u16,
}

impl Named {
    /// Reads `IP`, `[IP]`, a name, or any of them with `:port`.
    pub(super) fn parse(text: &str, default_port: u16) -> Result<Self, Error> {
        let bad = || {
            Error::Failed(format!(
                "{:?} is not a DNS server; write IP, NAME, IP:PORT, [IPV6]:PORT or NAME:PORT",
                Shown(text)
            ))
        };
        check_length(text)?;
        let named = |host, port| Self { host, port };
        let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
        if let Ok(address) = bare.unwrap_or(text).parse::<IpAddr>() {
            return Ok(named(of_address(address), default_port));
        }
        let (host, port) = match text.parse::<SocketAddr>() {
            Ok(address) => (of_address(address.ip()), address.port()),
            Err(_) => {
                let (name, port) = match text.split_once(':') {
                    Some((name, port)) => (name, port.parse().map_err(|_| bad())?),
                    None => (text, default_port),
                };
                (Host::parse(name).map_err(|_| bad())?, port)
            }
        };
        if port == 0 { Err(bad()) } else { Ok(named(host, port)) }
    }
}

fn of_address(address: IpAddr) -> Host<String> {
    match address {
        IpAddr::V4(v4) => Host::Ipv4(v4),
        IpAddr::V6(v6) => Host::Ipv6(v6),
    }
}

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// The URL of a server that is asked by HTTPS: as it is, or made of what stands between `https://` and `/dns-query`.
pub(super) fn url(text: &str) -> Result<String, Error> {
    /// The variable that templates of servers end with; a POST leaves it out. Source: RFC 8484, section 4.1.
    const VARIABLE: &str = "{?dns}";
    check_length(text)?;
    if let Some((scheme, _)) = text.split_once("://") {
        if !scheme.eq_ignore_ascii_case("https") {
            return Err(Error::Failed(format!(
                "{:?} is not a DNS server that is asked by HTTPS; its URL begins with https://",
                Shown(text)
            )));
        }
        return Ok(text.strip_suffix(VARIABLE).unwrap_or(text).to_owned());
    }
    if text.is_empty() || text.contains(['?', '#', '@', '\\']) {
        return Err(Error::Failed(format!(
            "{:?} is not a DNS server that is asked by HTTPS; write NAME, NAME:PORT or a URL",
            Shown(text)
        )));
    }
    Ok(match text.parse::<Ipv6Addr>() {
        Ok(address) => format!("https://[{address}]/dns-query"),
        Err(_) => format!("https://{text}/dns-query"),
    })
}

/// Before it is read: a name of a gigabyte would be read for long.
fn check_length(text: &str) -> Result<(), Error> {
    if text.len() <= SERVER_MAX_BYTES {
        return Ok(());
    }
    Err(Error::Limit(format!(
        "a DNS server is named in at most {SERVER_MAX_BYTES} bytes, {:?} has {}",
        Shown(text),
        text.len()
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_show_the_beginning_of_a_text() {
        let begin = "a?".repeat(100);
        let text = "a?".repeat(SERVER_MAX_BYTES / 2);
        let http = format!("http://{}", "a".repeat(1000));
        for (refused, shown) in [
            (Named::parse(&text, 53).map(|_| ()), format!("{begin:?}... is not a DNS server")),
            (url(&text).map(|_| ()), format!("{begin:?}... is not a DNS server")),
            (url(&http).map(|_| ()), format!("{:?}... is not a DNS server", &http[..200])),
        ] {
            match refused {
                Err(Error::Failed(text)) => {
                    assert!(text.starts_with(&shown) && text.len() < 400, "{text}");
                }
                other => panic!("{other:?}"),
            }
        }
        let long = "a?".repeat(100_000);
        let wanted =
            format!("a DNS server is named in at most 2048 bytes, {begin:?}... has 200000");
        for refused in [Named::parse(&long, 53).map(|_| ()), url(&long).map(|_| ())] {
            match refused {
                Err(Error::Limit(text)) => assert_eq!(text, wanted),
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn servers_have_many_forms() {
        for (text, wanted) in [
            ("9.9.9.9", Some("9.9.9.9:853")),
            ("9.9.9.9:53", Some("9.9.9.9:53")),
            ("2620:fe::fe", Some("[2620:fe::fe]:853")),
            ("[2620:fe::fe]", Some("[2620:fe::fe]:853")),
            ("[2620:fe::fe]:53", Some("[2620:fe::fe]:53")),
            ("Dns.Quad9.net", Some("dns.quad9.net:853")),
            ("dns.quad9.net.:53", Some("dns.quad9.net.:53")),
            ("b\u{fc}cher.example", Some("xn--bcher-kva.example:853")),
            // What a URL takes for an address is one.
            ("0x7f.1", Some("127.0.0.1:853")),
            ("9.9.9.9:0", None),
            ("9.9.9.9:", None),
            ("dns.quad9.net:65536", None),
            ("a b", None),
            ("https://dns.quad9.net", None),
            ("dns.quad9.net/x", None),
            ("", None),
        ] {
            let found = Named::parse(text, 853).ok().map(|named| named.to_string());
            assert_eq!(found.as_deref(), wanted, "{text:?}");
        }
    }

    #[test]
    fn a_url_is_whole_or_made() {
        for (text, wanted) in [
            ("dns.google", Some("https://dns.google/dns-query")),
            ("dns.google:8443", Some("https://dns.google:8443/dns-query")),
            ("9.9.9.9", Some("https://9.9.9.9/dns-query")),
            ("2620:fe::fe", Some("https://[2620:fe::fe]/dns-query")),
            ("[2620:fe::fe]:8443", Some("https://[2620:fe::fe]:8443/dns-query")),
            ("doh.example/user", Some("https://doh.example/user/dns-query")),
            ("https://doh.example/q?x=1", Some("https://doh.example/q?x=1")),
            ("https://doh.example/q{?dns}", Some("https://doh.example/q")),
            ("http://doh.example/q", None),
            ("doh.example?dns=", None),
            ("me@doh.example", None),
            ("", None),
        ] {
            assert_eq!(url(text).ok().as_deref(), wanted, "{text:?}");
        }
    }
}
