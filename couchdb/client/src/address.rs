//! Where a server is and who asks: the URL that a caller gives, taken apart once.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;
use percent_encoding::percent_decode_str;
use url::Url;

use crate::error::Error;

/// Name and password of a CouchDB user.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The user's name; it cannot hold a colon.
    pub name: String,
    /// The password; never shown.
    pub password: String,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("name", &self.name).finish_non_exhaustive()
    }
}

/// A server's address, ready to use.
#[derive(Debug, Clone)]
pub(crate) struct Address {
    /// A name or an IP address, without brackets.
    pub(crate) host: String,
    pub(crate) port: u16,
    /// Whether TLS stands between HTTP and the socket.
    pub(crate) is_secure: bool,
    /// The `Host` header.
    pub(crate) authority: HeaderValue,
    /// What stands before every path, without the last slash: empty, or `/couch`.
    pub(crate) prefix: String,
    /// Who asks.
    pub(crate) credentials: Option<Credentials>,
    /// The same as the `Authorization` header.
    pub(crate) authorization: Option<HeaderValue>,
    /// The address for people and logs: no name, no password.
    pub(crate) shown: String,
}

impl Address {
    /// Takes a URL apart. `given` replaces the name and password of the URL.
    pub(crate) fn parse(text: &str, given: Option<&Credentials>) -> Result<Self, Error> {
        let url = Url::parse(text).map_err(|cause| {
            refuse(
                &without_secrets(text),
                format!("{cause}; write http://HOST:PORT or https://HOST:PORT"),
            )
        })?;
        let mut shown = url.clone();
        // Both only fail for URLs that cannot have a host; those are refused below.
        shown.set_username("").unwrap_or_default();
        shown.set_password(None).unwrap_or_default();
        let shown = shown.as_str().trim_end_matches('/').to_owned();
        let is_secure = match url.scheme() {
            "http" => false,
            "https" => true,
            other => {
                let reason =
                    format!("{other:?} is not the scheme of a CouchDB; write http:// or https://");
                // `name:password@host` is a URL too, of the scheme `name`.
                return Err(refuse(&without_secrets(text), reason));
            }
        };
        if url.query().is_some() || url.fragment().is_some() {
            let reason = "a server's address has no ? and no #; encode them in a password";
            return Err(refuse(&shown, reason.to_owned()));
        }
        let host = url.host_str().unwrap_or_default().to_owned();
        let port = url.port_or_known_default().unwrap_or(80);
        let credentials = match given {
            Some(given) => Some(given.clone()),
            None => in_url(&url).map_err(|reason| refuse(&shown, reason))?,
        };
        let authorization =
            credentials.as_ref().map(basic).transpose().map_err(|r| refuse(&shown, r))?;
        let authority = HeaderValue::try_from(format!("{host}:{port}"))
            .map_err(|cause| refuse(&shown, cause.to_string()))?;
        Ok(Self {
            authority,
            is_secure,
            credentials,
            prefix: url.path().trim_end_matches('/').to_owned(),
            authorization,
            shown: format!("{}://{host}:{port}{}", url.scheme(), url.path().trim_end_matches('/')),
            host: host.trim_start_matches('[').trim_end_matches(']').to_owned(),
            port,
        })
    }
}

fn in_url(url: &Url) -> Result<Option<Credentials>, String> {
    if url.username().is_empty() && url.password().is_none() {
        return Ok(None);
    }
    let decode = |text: &str| match percent_decode_str(text).decode_utf8() {
        Ok(text) => Ok(text.into_owned()),
        Err(_) => Err("the name or password in it is not UTF-8".to_owned()),
    };
    let name = decode(url.username())?;
    Ok(Some(Credentials { name, password: decode(url.password().unwrap_or_default())? }))
}

fn basic(who: &Credentials) -> Result<HeaderValue, String> {
    if who.name.contains(':') {
        return Err("a name for Basic authentication cannot hold a colon".to_owned());
    }
    let text = format!("Basic {}", STANDARD.encode(format!("{}:{}", who.name, who.password)));
    let mut value = HeaderValue::try_from(text).map_err(|cause| cause.to_string())?;
    value.set_sensitive(true);
    Ok(value)
}

/// A text that is not a URL may hold a password all the same.
pub(crate) fn without_secrets(text: &str) -> String {
    match text.rsplit_once('@') {
        Some((_, rest)) => format!("...@{rest}"),
        None => text.to_owned(),
    }
}

fn refuse(shown: &str, reason: String) -> Error {
    Error::Invalid { what: "the address of a CouchDB", value: shown.to_owned(), reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_taken_apart() {
        for (text, host, port, prefix, shown) in [
            ("http://127.0.0.1:15984", "127.0.0.1", 15984, "", "http://127.0.0.1:15984"),
            ("http://couch", "couch", 80, "", "http://couch:80"),
            ("http://couch:5984/", "couch", 5984, "", "http://couch:5984"),
            ("http://u:p@couch:1/x/y/", "couch", 1, "/x/y", "http://couch:1/x/y"),
            ("http://[::1]:5984", "::1", 5984, "", "http://[::1]:5984"),
            ("https://u:p@couch/x", "couch", 443, "/x", "https://couch:443/x"),
        ] {
            let address = Address::parse(text, None).unwrap();
            let seen = (&*address.host, address.port, &*address.prefix, &*address.shown);
            assert_eq!(seen, (host, port, prefix, shown), "for {text}");
        }
        let v6 = Address::parse("http://[::1]:5984", None).unwrap();
        assert_eq!(v6.authority, "[::1]:5984");
    }

    #[test]
    fn name_and_password_become_a_header_and_nothing_else() {
        let address = Address::parse("http://ad%40min:p%3Aw%2F@h", None).unwrap();
        let header = address.authorization.clone().unwrap();
        assert_eq!(header, format!("Basic {}", STANDARD.encode("ad@min:p:w/")));
        let given = Credentials { name: "n".to_owned(), password: "hidden".to_owned() };
        assert!(!format!("{given:?} {address:?}").contains("hidden"));
        assert!(!format!("{address:?}").contains("p:w"), "{address:?}");
        let address = Address::parse("http://x:y@h", Some(&given)).unwrap();
        assert_eq!(
            address.authorization.unwrap(),
            format!("Basic {}", STANDARD.encode("n:hidden"))
        );
    }

    #[test]
    fn what_cannot_be_used_is_refused_with_the_next_step_and_no_password() {
        for (text, part) in [
            ("ftp://u:hidden@h", "write http:// or https://"),
            ("u:hidden@h:5984", "write http://"),
            ("http://u:hidden@h/?x", "encode them"),
            ("http://u:hidden@:1", "write http://"),
            ("http://a%3Ab:hidden@h", "colon"),
        ] {
            let error = Address::parse(text, None).unwrap_err().to_string();
            assert!(error.contains(part), "{text} gave: {error}");
            assert!(!error.contains("hidden"), "{text} gave: {error}");
        }
    }
}
