//! Where a request goes: scheme, host and port.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Of URLs that may be loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scheme {
    /// Plain.
    Http,
    /// With TLS.
    Https,
}

/// What the connections of a request are shared by.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Origin {
    /// Plain or with TLS.
    pub scheme: Scheme,
    /// In lower case; an IPv6 address without brackets.
    pub host: String,
    /// Of TCP.
    pub port: u16,
}

impl Origin {
    /// The origin of an absolute URL, and the rest of it from the path on (`/` when there is none). `None` for what has
    /// another scheme, a user, no host, or a variable before the path.
    #[must_use]
    pub fn of_url(url: &str) -> Option<(Self, String)> {
        let (scheme, rest) = url.split_once("://")?;
        let (scheme, normal) = match scheme.to_ascii_lowercase().as_str() {
            "http" => (Scheme::Http, 80),
            "https" => (Scheme::Https, 443),
            _ => return None,
        };
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, target) = rest.split_at(end);
        if authority.contains(['@', '#', '{', ' ', '\\', '%']) || !authority.is_ascii() {
            return None;
        }
        let (host, port) = match authority.strip_prefix('[') {
            Some(rest) => {
                let (host, port) = rest.split_once(']')?;
                host.parse::<std::net::Ipv6Addr>().ok()?;
                (host, port)
            }
            None => authority.find(':').map_or((authority, ""), |at| authority.split_at(at)),
        };
        let port = match port.strip_prefix(':') {
            None if port.is_empty() => normal,
            Some(port) => port.parse().ok().filter(|port| *port != 0)?,
            None => return None,
        };
        if host.is_empty() || host.bytes().any(|b| b.is_ascii_control()) {
            return None;
        }
        let target = match target.chars().next() {
            Some('/') => target.to_owned(),
            _ => format!("/{target}"),
        };
        Some((Self { scheme, host: host.to_ascii_lowercase(), port }, target))
    }

    /// As in the header `host`: without the port of the scheme.
    #[must_use]
    pub fn authority(&self) -> String {
        let host =
            if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        match (self.scheme, self.port) {
            (Scheme::Http, 80) | (Scheme::Https, 443) => host,
            (_, port) => format!("{host}:{port}"),
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.scheme {
            Scheme::Http => "http",
            Scheme::Https => "https",
        };
        write!(f, "{scheme}://{}", self.authority())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_read_from_urls() {
        for (url, wanted) in [
            ("http://x", Some(("http://x", "/"))),
            ("HTTP://X:80/a?b#{c}", Some(("http://x", "/a?b#{c}"))),
            ("https://x:8443?q=1", Some(("https://x:8443", "/?q=1"))),
            ("https://[::1]:1/", Some(("https://[::1]:1", "/"))),
            ("ftp://x/", None),
            ("http:///", None),
            ("http://u@x/", None),
            ("http://#{host}/", None),
            ("http://x:0/", None),
            ("http://x:99999/", None),
            ("http://[x]/", None),
            ("x/y", None),
        ] {
            let found = Origin::of_url(url).map(|(origin, target)| (origin.to_string(), target));
            let wanted = wanted.map(|(origin, target)| (origin.to_owned(), target.to_owned()));
            assert_eq!(found, wanted, "{url}");
        }
    }
}
