//! The target of a request: path and query as they stand in the URL. Nothing is resolved, decoded or encoded,
//! for what a server makes of `/%2e%2e/` is what somebody wants to see.

use bytes::Bytes;
use http::uri::PathAndQuery;

use super::failure::Failure;
use super::limits::TARGET_MAX_BYTES;

/// Visible ASCII that begins with `/`.
#[derive(Debug, Clone)]
pub(super) struct Target {
    text: String,
    /// The text, or where [`PathAndQuery`] does not hold it, that with escapes.
    encoded: PathAndQuery,
}

impl Target {
    /// What is between the authority and the fragment; `/` when there is nothing.
    pub(super) fn of_url(url: &str) -> Result<Self, Failure> {
        let malformed = |why: &str| Failure::Url(format!("URL {url:?} is malformed: {why}"));
        let (_, rest) = url.split_once("://").ok_or_else(|| malformed("it has no \"://\""))?;
        let (authority, rest) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        if authority.is_empty() {
            return Err(malformed("it has no host"));
        }
        // Some take it for a slash, others for a part of the name: it has no meaning here.
        if authority.contains('\\') {
            return Err(malformed("a backslash is in its host"));
        }
        let target = rest.split('#').next().unwrap_or_default();
        if !target.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(malformed(
                "spaces, control characters and non-ASCII need percent-encoding",
            ));
        }
        if target.len() >= TARGET_MAX_BYTES {
            return Err(Failure::Limit(format!(
                "path and query of a URL have less than {TARGET_MAX_BYTES} bytes, these {}",
                target.len()
            )));
        }
        let text = if target.starts_with('/') { target.to_owned() } else { format!("/{target}") };
        let encoded = PathAndQuery::try_from(text.as_str())
            .or_else(|_| escaped(&text).try_into())
            .map_err(|error| malformed(&error.to_string()))?;
        Ok(Self { text, encoded })
    }

    pub(super) fn as_str(&self) -> &str {
        &self.text
    }

    /// Where there is one that [`PathAndQuery`] refuses, all of `"<>` and the backquote are escaped. This is what
    /// goes out over HTTP/2.
    pub(super) fn encoded(&self) -> &PathAndQuery {
        &self.encoded
    }

    /// The text, or a stand-in of its length.
    pub(super) fn of_same_length(&self) -> PathAndQuery {
        if self.encoded.as_str() == self.text {
            return self.encoded.clone();
        }
        let stand_in = Bytes::from(vec![b'/'; self.text.len()]);
        PathAndQuery::from_maybe_shared(stand_in).unwrap_or_else(|_| self.encoded.clone())
    }
}

fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        match character {
            '"' | '<' | '>' | '`' => escaped.push_str(&format!("%{:02X}", u32::from(character))),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_what_the_url_has() {
        for (url, text, encoded) in [
            ("http://h", "/", "/"),
            ("http://h/", "/", "/"),
            ("http://h?a=b", "/?a=b", "/?a=b"),
            ("http://h#f/?", "/", "/"),
            ("http://u:p@h:1/%2e%2e/./../ok#f", "/%2e%2e/./../ok", "/%2e%2e/./../ok"),
            ("http://h//a\\b^c|d~", "//a\\b^c|d~", "//a\\b^c|d~"),
            ("http://h/a[1]{2}?x={[y]}", "/a[1]{2}?x={[y]}", "/a[1]{2}?x={[y]}"),
            ("http://h/a\"b<c>d`e?a\"<>?", "/a\"b<c>d`e?a\"<>?", "/a%22b%3Cc%3Ed%60e?a%22%3C%3E?"),
            ("http://h/a://b", "/a://b", "/a://b"),
        ] {
            let target = Target::of_url(url).unwrap();
            assert_eq!(target.as_str(), text, "{url}");
            assert_eq!(target.of_same_length().as_str().len(), text.len(), "{url}");
            assert_eq!(target.encoded().as_str(), encoded, "{url}");
        }
    }

    #[test]
    fn what_is_no_target_is_refused() {
        for url in [
            "http:h/a",
            "http://h/a b",
            "http://h/\u{e9}",
            "http://h/a\tb",
            "http://h\\a/b",
            "http:///h/a",
        ] {
            assert!(matches!(Target::of_url(url), Err(Failure::Url(_))), "{url}");
        }
        let long = format!("http://h/{}", "a".repeat(TARGET_MAX_BYTES));
        assert!(matches!(Target::of_url(&long), Err(Failure::Limit(_))));
    }
}
