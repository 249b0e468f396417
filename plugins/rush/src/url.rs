//! The URL of a step: absolute, `http://` when it has no scheme, and of the step before it when it is a path alone.

use std::fmt::Write as _;

use blitz_plugin::Failure;
use blitz_plugin::load::Origin;
use blitz_plugin::secret::in_url;

use crate::text::Text;

/// Makes a URL that a plan may have. `before` is that of the step before.
///
/// # Errors
///
/// At the part that a load test cannot have.
pub(crate) fn absolute(text: &Text, before: Option<&str>) -> Result<String, Failure> {
    let text = &text.hidden_if(in_url(&text.value).is_some());
    let typed = text.value.as_str();
    if let Some(bad) = typed.find(|c: char| c.is_whitespace() || c.is_control()) {
        return Err(text.fault(bad, "no spaces: write them as %20"));
    }
    if typed.starts_with('/') {
        let Some(origin) = before.and_then(Origin::of_url).map(|(origin, _)| origin) else {
            return Err(text.fault(0, "the first URL has no host"));
        };
        return Ok(format!("{origin}{}", sendable(typed)));
    }
    let (scheme, rest) =
        match typed.split_once("://").filter(|(head, _)| !head.contains(['/', '?', '#'])) {
            Some((scheme, rest)) => (scheme, rest),
            None => ("http", typed),
        };
    if !["http", "https"].iter().any(|known| scheme.eq_ignore_ascii_case(known)) {
        return Err(text.fault(0, "only http:// and https://"));
    }
    let host_at = typed.len() - rest.len();
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    authority(text, host_at, &rest[..end])?;
    if rest[end..].starts_with("#{") {
        return Err(text
            .fault(host_at + end, "a variable stands in the path or the query, not before them"));
    }
    let url = format!("{scheme}://{}{}", &rest[..end], sendable(&rest[end..]));
    match Origin::of_url(&url) {
        Some(_) => Ok(url),
        None => Err(text.fault(host_at, "a host, and a port of 1 to 65535 behind a colon")),
    }
}

/// What of scheme, host and port is told better than the rule of all.
fn authority(text: &Text, at: usize, authority: &str) -> Result<(), Failure> {
    let wrong = |offset: usize, wrong: &str| Err(text.fault(at + offset, wrong));
    if let Some(offset) = authority.find('@') {
        return wrong(offset, "give name and password with -u");
    }
    if let Some(offset) = authority.find(|c: char| !c.is_ascii()) {
        return wrong(offset, "write the name as the DNS has it (xn--...)");
    }
    if let Some(offset) = authority.find(['{', '}', '\\', '%']) {
        return wrong(offset, "a host and a port");
    }
    if authority.is_empty() || authority.starts_with(':') {
        return wrong(0, "a host is missing");
    }
    Ok(())
}

/// From the path on: without its fragment, which is never sent, and in ASCII.
fn sendable(rest: &str) -> String {
    let mut sent = String::with_capacity(rest.len());
    for (at, letter) in rest.char_indices() {
        match letter {
            '#' if !rest[at..].starts_with("#{") => break,
            letter if letter.is_ascii() => sent.push(letter),
            letter => {
                for byte in letter.encode_utf8(&mut [0; 4]).bytes() {
                    // A String takes everything.
                    write!(sent, "%{byte:02X}").ok();
                }
            }
        }
    }
    sent
}

#[cfg(test)]
mod tests {
    use super::*;

    fn show(url: &str) -> String {
        match absolute(&Text::of_line("URL", url), Some("https://shop.example:8443/a?b")) {
            Ok(url) => url,
            Err(failure) => failure.message.replacen("URL: ", "", 1),
        }
    }

    #[test]
    fn urls_are_made_whole() {
        for (url, wanted) in [
            ("blitz.io", "http://blitz.io"),
            ("HTTPS://Blitz.io/A", "HTTPS://Blitz.io/A"),
            ("localhost:8080/x?u=http://y", "http://localhost:8080/x?u=http://y"),
            ("[::1]:1/", "http://[::1]:1/"),
            ("/faq", "https://shop.example:8443/faq"),
            ("/faq/#{id}?q=#{q}#top", "https://shop.example:8443/faq/#{id}?q=#{q}"),
            ("http://x#top", "http://x"),
            ("http://x?q#top", "http://x?q"),
            ("http://x/é", "http://x/%C3%A9"),
            ("ftp://x/", "only http:// and https://\n  ftp://x/\n  ^"),
            ("http://me:pw@x/", "give name and password with -u"),
            (
                "http://é.example/",
                "write the name as the DNS has it (xn--...)\n  http://é.example/\n         ^",
            ),
            ("http://#{host}/", "a host is missing\n  http://#{host}/\n         ^"),
            (
                "http://x#{host}/",
                "a variable stands in the path or the query, not before them\n  http://x#{host}/\n          ^",
            ),
            ("http:///x", "a host is missing\n  http:///x\n         ^"),
            ("x:99999", "a host, and a port of 1 to 65535 behind a colon\n  x:99999\n  ^"),
            ("x:0", "a host, and a port of 1 to 65535 behind a colon\n  x:0\n  ^"),
            ("http://x/a b", "no spaces: write them as %20\n  http://x/a b\n            ^"),
            ("", "a host is missing\n  \n  ^"),
        ] {
            assert_eq!(show(url), wanted, "{url}");
        }
        let first = absolute(&Text::of_line("URL", "/faq"), None).unwrap_err();
        assert_eq!(first.message, "URL: the first URL has no host\n  /faq\n  ^");
    }
}
