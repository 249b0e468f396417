//! Which texts are secret: headers that log somebody in, and the userinfo of URLs. One list for command lines, records and
//! reports; where such a text stands in a command line, `arguments` says.
//!
//! What is secret in one place too many is sealed, or shown as `***`: that costs little. So names are looked for by parts of
//! them.

use std::ops::Range;

/// Parts of the names of headers whose values nobody but the target is told, in lower case. `key` is that of API keys.
const NAMES: [&str; 9] =
    ["auth", "cookie", "token", "secret", "passw", "key", "credential", "session", "signature"];

/// Words with which a value begins that is a credential, under whatever name it is sent.
const SCHEMES: [&str; 3] = ["basic ", "bearer ", "token "];

/// What stands in the place of a secret.
pub const MASK: &str = "***";

/// Whether the value of a header is a secret, by the header's name.
#[must_use]
pub fn is_secret_header(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    NAMES.iter().any(|part| name.contains(part))
}

/// Where the secret stands in a header as commands take it: `Name: value`, or curl's `Name;`.
///
/// Of a text that is no such header, and that has the words of one, all is secret.
#[must_use]
pub fn in_header(text: &str) -> Option<Range<usize>> {
    let whole = || (!text.is_empty()).then_some(0..text.len());
    // More than one line would be more than one header.
    if text.trim_end().contains(['\n', '\r']) {
        return whole();
    }
    let Some((name, value)) = text.split_once(':') else {
        // `Authorization;` sends it empty.
        let is_empty = text.ends_with(';') && !text.contains(char::is_whitespace);
        return whole().filter(|_| is_secret_header(text) && !is_empty);
    };
    let said = value.trim_start();
    let is_scheme = SCHEMES.iter().any(|scheme| {
        said.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme))
    });
    let is_secret = !said.is_empty() && (is_secret_header(name) || is_scheme);
    is_secret.then(|| text.len() - said.len()..text.len())
}

/// Where the userinfo stands in a URL as commands take it, with or without a scheme: between `//` and `@`.
#[must_use]
pub fn in_url(text: &str) -> Option<Range<usize>> {
    let start = authority(text);
    let rest = &text[start..];
    let place = &rest[..rest.find(['/', '\\', '?', '#']).unwrap_or(rest.len())];
    if let Some(at) = place.rfind('@') {
        return (at > 0).then_some(start..start + at);
    }
    // Behind the last bracket of an IPv6 address.
    let (_, port) = place.rsplit_once(']').map_or(place, |(_, behind)| behind).rsplit_once(':')?;
    let is_port = !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
    // `me:pass/word@host`: a password that should have been encoded. Commands refuse it, and quote it.
    let at = rest.rfind('@').filter(|_| !is_port)?;
    Some(start..start + at)
}

/// A URL as it may be shown.
#[must_use]
pub fn masked_url(text: &str) -> String {
    let mut shown = text.to_owned();
    if let Some(range) = in_url(text) {
        shown.replace_range(range, MASK);
    }
    shown
}

/// A header as it may be shown.
#[must_use]
pub fn masked_header(text: &str) -> String {
    let mut shown = text.to_owned();
    if let Some(range) = in_header(text) {
        shown.replace_range(range, MASK);
    }
    shown
}

/// Where the authority begins: behind the scheme and its slashes, if there are some.
fn authority(text: &str) -> usize {
    let trimmed = text.trim_start();
    let spaces = text.len() - trimmed.len();
    let Some((scheme, rest)) = trimmed.split_once(':') else { return spaces };
    let is_scheme = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b));
    let slashes = rest.len() - rest.trim_start_matches(['/', '\\']).len();
    match is_scheme && slashes > 0 {
        true => spaces + scheme.len() + 1 + slashes,
        false => spaces,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_that_log_in_are_secret() {
        for (header, wanted) in [
            ("Authorization: Bearer x", "Authorization: ***"),
            ("authorization:x", "authorization:***"),
            ("Cookie: a=b; c=d", "Cookie: ***"),
            ("X-Api-Key: x", "X-Api-Key: ***"),
            ("X-Vault-Token:  x", "X-Vault-Token:  ***"),
            ("X-Mine: bearer x", "X-Mine: ***"),
            ("X-Mine: é", "X-Mine: é"),
            ("Accept: text/html", "Accept: text/html"),
            ("Authorization:", "Authorization:"),
            ("Authorization;", "Authorization;"),
            ("Accept", "Accept"),
            ("Authorization Bearer x", "***"),
            ("Accept: a\r\nCookie: b", "***"),
            ("", ""),
        ] {
            assert_eq!(masked_header(header), wanted, "{header:?}");
        }
    }

    #[test]
    fn userinfo_is_secret() {
        for (url, wanted) in [
            ("http://me:pw@h/", "http://***@h/"),
            ("https://token@h:80/a@b", "https://***@h:80/a@b"),
            ("me:pw@h", "***@h"),
            (" http://me:pw@h", " http://***@h"),
            ("http:///me:pw@h", "http:///***@h"),
            ("http:\\\\me:pw@h", "http:\\\\***@h"),
            ("http:me:pw@h", "***@h"),
            ("http://a@b@h/", "http://***@h/"),
            ("http://me:p/w@h/x", "http://***@h/x"),
            ("http://me:p?w#@h/x", "http://***@h/x"),
            ("http://h/@user", "http://h/@user"),
            ("http://h:80/react@18/x", "http://h:80/react@18/x"),
            ("http://[::1]/a@b", "http://[::1]/a@b"),
            ("http://[::1]:80/a@b", "http://[::1]:80/a@b"),
            ("http://@h/", "http://@h/"),
            ("h/?mail=a@b", "h/?mail=a@b"),
            ("", ""),
        ] {
            assert_eq!(masked_url(url), wanted, "{url:?}");
        }
    }
}
