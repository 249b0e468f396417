//! The URLs that curl takes: `http` and `https`, written loosely, and redirects relative to them.
//!
//! Its own parser and not the `url` crate: that one brings Unicode tables of several times this
//! plugin's size. International names are the host's business, which gets them unchanged.

mod host;
mod ipv4;

use std::fmt::{self, Write as _};

use crate::exit::{Code, Problem};

/// The scheme of a URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scheme {
    Http,
    Https,
}

impl Scheme {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

/// An absolute URL. Its display is the whole of it without the credentials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Url {
    pub(crate) scheme: Scheme,
    /// Name and password before the `@`, decoded.
    pub(crate) user: Option<(String, String)>,
    /// As written; an IPv6 address in brackets.
    pub(crate) host: String,
    explicit_port: Option<u16>,
    /// Begins with `/`, without `.` and `..` segments.
    pub(crate) path: String,
    pub(crate) query: Option<String>,
    pub(crate) fragment: Option<String>,
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}{}", self.scheme.name(), self.authority(), self.target())?;
        self.fragment.as_ref().map_or(Ok(()), |fragment| write!(f, "#{fragment}"))
    }
}

impl Url {
    /// Reads what a user typed; without a scheme it is `http`.
    pub(crate) fn parse(text: &str) -> Result<Self, Problem> {
        if text.bytes().any(|b| b <= b' ' || b == 0x7f) {
            return Err(malformed("Malformed input to a URL function"));
        }
        let (scheme, rest) = split_scheme(text)?;
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, rest) = rest.split_at(end);
        let (user, address) = match authority.split_once('@') {
            Some((user, address)) => (Some(credentials(user)), address),
            None => (None, authority),
        };
        let (host, explicit_port) = host::and_port(address)?;
        let (rest, fragment) = split_at_mark(rest, '#');
        let (path, query) = split_at_mark(rest, '?');
        Ok(Self {
            scheme,
            user,
            host,
            explicit_port,
            path: without_dots(&encoded(path, "%20")),
            query: query.map(|query| encoded(query, "%20")),
            fragment: fragment.map(str::to_owned),
        })
    }

    /// The URL that a `Location` header means on this one (RFC 3986, section 5).
    pub(crate) fn join(&self, location: &str) -> Result<Self, Problem> {
        let location = location.trim();
        if location.contains(|c: char| c.is_ascii_control()) {
            return Err(malformed("Malformed input to a URL function"));
        }
        let location = printable(location);
        if has_scheme(&location) {
            let (word, _) = location.split_once(':').unwrap_or_default();
            // In a `Location` a word before a colon is never a host.
            return match word.to_ascii_lowercase().as_str() {
                "http" | "https" => Self::parse(&location),
                _ => Err(unsupported(word)),
            };
        }
        if location.starts_with("//") {
            return Self::parse(&format!("{}:{location}", self.scheme.name()));
        }
        let (rest, fragment) = split_at_mark(&location, '#');
        let (path, query) = split_at_mark(rest, '?');
        let mut next = Self { user: None, ..self.clone() };
        next.fragment = fragment.map(str::to_owned);
        if !path.is_empty() || query.is_some() {
            next.query = query.map(str::to_owned);
        }
        if path.starts_with('/') {
            next.path = without_dots(path);
        } else if !path.is_empty() {
            let directory = self.path.rfind('/').map_or("/", |at| &self.path[..=at]);
            next.path = without_dots(&format!("{directory}{path}"));
        }
        Ok(next)
    }

    /// The URL as a request and a `Referer` name it.
    pub(crate) fn without_fragment(&self) -> String {
        Self { fragment: None, ..self.clone() }.to_string()
    }

    /// The port that is connected to.
    pub(crate) fn port(&self) -> u16 {
        self.explicit_port.unwrap_or(self.scheme.default_port())
    }

    /// The value of `Host`: the port only where it is not the scheme's own.
    pub(crate) fn host_header(&self) -> String {
        match self.explicit_port.filter(|&port| port != self.scheme.default_port()) {
            Some(port) => format!("{}:{port}", self.host),
            None => self.host.clone(),
        }
    }

    /// The request target: path and query.
    pub(crate) fn target(&self) -> String {
        match &self.query {
            Some(query) => format!("{}?{query}", self.path),
            None => self.path.clone(),
        }
    }

    /// Adds data to the query, as `-G` does. What is no part of a URL is refused, and stands there to be shown,
    /// as in curl.
    pub(crate) fn add_query(&mut self, data: &str) -> Result<(), Problem> {
        if data.is_empty() {
            return Ok(());
        }
        let is_malformed = data.bytes().any(|b| b <= b' ' || b == 0x7f);
        let data =
            if is_malformed { data.to_owned() } else { encoded(data, "%20").replace('#', "%23") };
        self.query = Some(match self.query.take().filter(|query| !query.is_empty()) {
            Some(query) => format!("{query}&{data}"),
            None => data,
        });
        if is_malformed {
            return Err(malformed("Malformed input to a URL function"));
        }
        Ok(())
    }

    /// Whether credentials for one may be sent to the other.
    pub(crate) fn has_origin_of(&self, other: &Self) -> bool {
        self.scheme == other.scheme
            && self.host.eq_ignore_ascii_case(&other.host)
            && self.port() == other.port()
    }

    fn authority(&self) -> String {
        match self.explicit_port {
            Some(port) => format!("{}:{port}", self.host),
            None => self.host.clone(),
        }
    }
}

fn malformed(why: &str) -> Problem {
    Problem::new(Code::UrlMalformed, format!("URL rejected: {why}"))
}

fn unsupported(word: &str) -> Problem {
    Problem::new(Code::UnsupportedProtocol, format!("Protocol \"{word}\" not supported"))
}

fn has_scheme(text: &str) -> bool {
    text.split_once(':').is_some_and(|(word, _)| {
        word.starts_with(|c: char| c.is_ascii_alphabetic())
            && word.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b))
    })
}

/// Any other scheme needs its `://` to be told from `host:port`; `http:/x` is forgiven, as by curl.
fn split_scheme(text: &str) -> Result<(Scheme, &str), Problem> {
    let Some((word, rest)) = text.split_once(':').filter(|_| has_scheme(text)) else {
        return Ok((Scheme::Http, text));
    };
    let slashes = rest.bytes().take(3).take_while(|&b| b == b'/').count();
    match word.to_ascii_lowercase().as_str() {
        "http" if slashes > 0 => Ok((Scheme::Http, &rest[slashes..])),
        "https" if slashes > 0 => Ok((Scheme::Https, &rest[slashes..])),
        _ if slashes >= 2 => Err(unsupported(word)),
        _ => Ok((Scheme::Http, text)),
    }
}

fn credentials(text: &str) -> (String, String) {
    let (name, password) = text.split_once(':').unwrap_or((text, ""));
    (decoded(name), decoded(password))
}

fn split_at_mark(text: &str, mark: char) -> (&str, Option<&str>) {
    match text.split_once(mark) {
        Some((before, behind)) => (before, Some(behind)),
        None => (text, None),
    }
}

/// Encodes what a URL may not hold. A space before the query is `%20`, in it `+`, as curl does.
fn printable(location: &str) -> String {
    let (before, query) = split_at_mark(location, '?');
    let before = encoded(before, "%20");
    query.map_or_else(|| before.clone(), |query| format!("{before}?{}", encoded(query, "+")))
}

fn encoded(text: &str, space: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b' ' => encoded.push_str(space),
            0x21..=0x7e => encoded.push(char::from(byte)),
            // Small letters, as in curl. Writing to a `String` does not fail.
            _ => write!(encoded, "%{byte:02x}").unwrap_or_default(),
        }
    }
    encoded
}

fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, behind)) = rest.split_first() {
        let hex = behind.get(..2).filter(|_| first == b'%');
        let byte = hex
            .filter(|hex| hex.iter().all(u8::is_ascii_hexdigit))
            .and_then(|hex| std::str::from_utf8(hex).ok())
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        bytes.push(byte.unwrap_or(first));
        rest = if byte.is_some() { &behind[2..] } else { behind };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Resolves `.` and `..` segments (RFC 3986, section 5.2.4); the result begins with `/`.
fn without_dots(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let segments: Vec<&str> = path.strip_prefix('/').unwrap_or(path).split('/').collect();
    for (at, &segment) in segments.iter().enumerate() {
        let is_last = at + 1 == segments.len();
        match segment {
            "." | ".." => {
                if segment == ".." {
                    kept.pop();
                }
                if is_last {
                    kept.push("");
                }
            }
            _ => kept.push(segment),
        }
    }
    format!("/{}", kept.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_users_type_becomes_a_url() {
        for (typed, url, host_header) in [
            ("example.com", "http://example.com/", "example.com"),
            ("HTTPS://Example.com", "https://Example.com/", "Example.com"),
            ("example.com:8080/a?b=c#d", "http://example.com:8080/a?b=c#d", "example.com:8080"),
            ("http://h:80/", "http://h:80/", "h"),
            ("https://h:80", "https://h:80/", "h:80"),
            ("http://h?q", "http://h/?q", "h"),
            ("http://[::1]:8/x", "http://[::1]:8/x", "[::1]:8"),
            ("http://h/a/../b/./c?x=../y", "http://h/b/c?x=../y", "h"),
            ("http://h/../..", "http://h/", "h"),
            ("http://h/a/..", "http://h/", "h"),
            ("http://h//a//b/", "http://h//a//b/", "h"),
            ("http:/h", "http://h/", "h"),
            ("localhost:80", "http://localhost:80/", "localhost"),
            ("http://h/\u{e9}", "http://h/%c3%a9", "h"),
            ("http://me:p%40w@h/", "http://h/", "h"),
            ("http://127.1:8/", "http://127.0.0.1:8/", "127.0.0.1:8"),
            ("http://0x7f.0.0.1/", "http://127.0.0.1/", "127.0.0.1"),
            ("http://%31%32%37.0.0.1/", "http://127.0.0.1/", "127.0.0.1"),
            ("http://%68", "http://h/", "h"),
            ("http://[fe80::1%25eth0]/", "http://[fe80::1%25eth0]/", "[fe80::1%25eth0]"),
        ] {
            let parsed = Url::parse(typed).unwrap();
            assert_eq!(parsed.to_string(), url, "{typed}");
            assert_eq!(parsed.host_header(), host_header, "{typed}");
        }
        let user = Url::parse("http://me%:p%40w@h/").unwrap().user;
        assert_eq!(user, Some(("me%".to_owned(), "p@w".to_owned())));
    }

    #[test]
    fn what_is_no_url_is_told_why() {
        for (typed, code, text) in [
            ("", 3, "URL rejected: No host part in the URL"),
            ("http://", 3, "URL rejected: No host part in the URL"),
            ("http://a b/", 3, "URL rejected: Malformed input to a URL function"),
            ("http://h\r\n/", 3, "URL rejected: Malformed input to a URL function"),
            ("http://h<>/", 3, "URL rejected: Bad hostname"),
            ("http://me:a@b@h/", 3, "URL rejected: Bad hostname"),
            ("http://h%20/", 3, "URL rejected: Bad hostname"),
            ("http://h%2fx/", 3, "URL rejected: Bad hostname"),
            ("http://h%zz/", 3, "URL rejected: Bad hostname"),
            ("http://[::1]x/", 3, "URL rejected: Bad hostname"),
            ("http://[]/", 3, "URL rejected: Bad hostname"),
            ("ftp://h/", 1, "Protocol \"ftp\" not supported"),
            ("file:///etc/passwd", 1, "Protocol \"file\" not supported"),
        ] {
            let problem = Url::parse(typed).unwrap_err();
            assert_eq!((problem.code.status(), problem.text.as_str()), (code, text), "{typed}");
        }
        for port in ["65536", "x", "-1", "+1", "1x"] {
            let problem = Url::parse(&format!("http://h:{port}/")).unwrap_err();
            assert!(problem.text.contains("Port number"), "{port}: {}", problem.text);
        }
    }

    #[test]
    fn a_location_is_relative_to_its_page() {
        let base = Url::parse("http://u:p@h:81/a/b?q#f").unwrap();
        for (location, url) in [
            ("/x", "http://h:81/x"),
            ("x", "http://h:81/a/x"),
            ("../x?y", "http://h:81/x?y"),
            ("?y", "http://h:81/a/b?y"),
            ("#g", "http://h:81/a/b?q#g"),
            ("", "http://h:81/a/b?q"),
            ("//other/x", "http://other/x"),
            ("https://other", "https://other/"),
            ("/a b?c d", "http://h:81/a%20b?c+d"),
            ("x/../../../y/./", "http://h:81/y/"),
            (" /trim\t", "http://h:81/trim"),
        ] {
            let joined = base.join(location).unwrap();
            assert_eq!(joined.to_string(), url, "{location}");
            assert_eq!(joined.user, None, "{location}");
        }
        for location in ["gopher://x", "mailto:me@example.com", "localhost:80/x"] {
            assert_eq!(
                base.join(location).unwrap_err().code,
                Code::UnsupportedProtocol,
                "{location}"
            );
        }
        assert_eq!(base.join("/a\tb").unwrap_err().code, Code::UrlMalformed);
    }
}
