//! Who may come in: a request shows the token or a key, and comes under a name that is the gateway's own. Whose the key is, the
//! book of accounts says.
//!
//! Also on loopback: any web page can send requests to 127.0.0.1, and by rebinding its own name to that
//! address it can even read the answers. It can neither forge `Host` and `Origin` nor know the token.

use std::net::SocketAddr;

use axum::http::header::{AUTHORIZATION, HOST, ORIGIN};
use axum::http::{HeaderMap, HeaderName};
use blitz_jobs::accounts::Secret;

use crate::failure::Failure;

/// What a request shows.
#[derive(Debug)]
pub(crate) enum Shown {
    /// The gateway's own token.
    Token,
    /// What looks like an API key.
    Key(Secret),
    /// Neither.
    Other,
}

/// The rules of one gateway.
#[derive(Debug)]
pub(crate) struct Guard {
    token: String,
    hosts: Vec<String>,
}

impl Guard {
    /// `hosts` are names without a port, beside the listener's own.
    pub(crate) fn new(token: String, hosts: &[String], listener: SocketAddr) -> Self {
        let own = ["localhost".to_owned(), "127.0.0.1".to_owned(), "[::1]".to_owned()];
        let address = match listener {
            SocketAddr::V4(v4) => v4.ip().to_string(),
            SocketAddr::V6(v6) => format!("[{}]", v6.ip()),
        };
        let hosts = own.into_iter().chain([address]).chain(hosts.iter().cloned()).collect();
        Self { token, hosts }
    }

    /// Whether a request comes under one of the gateway's names.
    pub(crate) fn check_names(&self, headers: &HeaderMap) -> Result<(), Failure> {
        let host = text(headers, &HOST).unwrap_or_default();
        if !self.hosts.iter().any(|own| own.eq_ignore_ascii_case(without_port(host))) {
            return Err(Failure::forbidden(format!(
                "'{host}' is not a name of this gateway; start it with --name {host}"
            )));
        }
        // One that is no text is no page of this gateway, and not the same as none.
        let origin = headers.get(ORIGIN).map(|origin| origin.to_str().unwrap_or("not text"));
        match origin {
            Some(origin) if origin.split_once("://").is_none_or(|(_, name)| name != host) => {
                Err(Failure::forbidden(format!("requests from pages of '{origin}' are refused")))
            }
            _ => Ok(()),
        }
    }

    /// Who shows the gateway's token, or a key.
    pub(crate) fn shown(&self, headers: &HeaderMap) -> Result<Shown, Failure> {
        let shown = text(headers, &AUTHORIZATION).and_then(|value| value.strip_prefix("Bearer "));
        let Some(shown) = shown else {
            let reason = "a token is needed: Authorization: Bearer TOKEN";
            return Err(Failure::unauthorized(reason));
        };
        Ok(match Secret::read(shown) {
            _ if is_equal(shown.as_bytes(), self.token.as_bytes()) => Shown::Token,
            Some(secret) => Shown::Key(secret),
            None => Shown::Other,
        })
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    }
}

/// Compares in a time that does not tell where the first difference is.
fn is_equal(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |seen, (x, y)| seen | (x ^ y)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(HeaderName, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.clone(), value.parse().unwrap())).collect()
    }

    #[test]
    fn only_own_names_and_own_pages_come_in() {
        let listener = "127.0.0.1:8042".parse().unwrap();
        let guard = Guard::new("t".to_owned(), &["blitz.example".to_owned()], listener);
        for (host, origin, comes_in) in [
            ("127.0.0.1:8042", None, true),
            ("localhost:8042", Some("http://localhost:8042"), true),
            ("[::1]:8042", None, true),
            ("blitz.example", Some("https://blitz.example"), true),
            ("evil.example:8042", None, false),
            ("127.0.0.1:8042", Some("http://evil.example"), false),
            ("127.0.0.1:8042", Some("null"), false),
            ("localhost:8042", Some("http://localhost:9999"), false),
            ("", None, false),
        ] {
            let mut pairs = vec![(HOST, host)];
            pairs.extend(origin.map(|origin| (ORIGIN, origin)));
            let checked = guard.check_names(&headers(&pairs));
            assert_eq!(checked.is_ok(), comes_in, "{host} {origin:?}");
        }
    }

    #[test]
    fn the_token_must_be_the_whole_token() {
        let guard = Guard::new("secret".to_owned(), &[], "127.0.0.1:1".parse().unwrap());
        for (value, comes_in) in [
            ("Bearer secret", true),
            ("Bearer secre", false),
            ("Bearer secrets", false),
            ("secret", false),
            ("Basic secret", false),
        ] {
            let shown = guard.shown(&headers(&[(AUTHORIZATION, value)]));
            assert_eq!(matches!(shown, Ok(Shown::Token)), comes_in, "{value}");
        }
        assert!(guard.shown(&HeaderMap::new()).is_err());
    }
}
