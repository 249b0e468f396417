//! Paths and query strings: what a database, a document and an attachment are called in a URL.

use std::fmt::Write as _;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;

use crate::error::Error;

/// All but the unreserved characters of RFC 3986, section 2.3. CouchDB reads `+` in a path as a space
/// and `/` as the next segment, so both are always encoded.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A path with its query, everything in it encoded, that begins with `/`.
#[derive(Debug, Clone)]
pub(crate) struct Path {
    text: String,
    has_query: bool,
}

impl Path {
    /// A path of the server itself, from words of this crate: `/` or `/_all_dbs`.
    pub(crate) fn server(literal: &'static str) -> Self {
        Self { text: literal.to_owned(), has_query: false }
    }

    /// The path of a database.
    pub(crate) fn database(name: &str) -> Result<Self, Error> {
        if name.is_empty() {
            let reason = "it must not be empty".to_owned();
            return Err(Error::Invalid { what: "a database name", value: String::new(), reason });
        }
        Ok(Self { text: format!("/{}", encode(name)), has_query: false })
    }

    /// A name below a path of the server.
    pub(crate) fn segment(mut self, name: &str) -> Self {
        write_encoded(&mut self.text, '/', name);
        self
    }

    /// A word of the protocol below a database: `_changes`.
    pub(crate) fn endpoint(mut self, literal: &'static str) -> Self {
        self.text.push('/');
        self.text.push_str(literal);
        self
    }

    /// A document below a database.
    ///
    /// The slash after `_design` and `_local` is the only one that stays. Other ids that begin with
    /// `_`, and the empty id, would address the database or one of its endpoints.
    pub(crate) fn document(mut self, id: &str) -> Result<Self, Error> {
        let (prefix, rest) = match id.split_once('/') {
            Some((prefix @ ("_design" | "_local"), rest)) => (Some(prefix), rest),
            _ => (None, id),
        };
        if rest.is_empty() || (prefix.is_none() && rest.starts_with('_')) {
            let reason = if rest.is_empty() {
                "it must not be empty".to_owned()
            } else {
                "only _design/NAME and _local/NAME may begin with an underscore".to_owned()
            };
            return Err(Error::Invalid { what: "a document id", value: id.to_owned(), reason });
        }
        if let Some(prefix) = prefix {
            self.text.push('/');
            self.text.push_str(prefix);
        }
        write_encoded(&mut self.text, '/', rest);
        Ok(self)
    }

    /// An attachment below a document.
    pub(crate) fn attachment(mut self, name: &str) -> Result<Self, Error> {
        if name.is_empty() {
            let reason = "it must not be empty".to_owned();
            return Err(Error::Invalid {
                what: "an attachment name",
                value: String::new(),
                reason,
            });
        }
        write_encoded(&mut self.text, '/', name);
        Ok(self)
    }

    /// One more parameter of the query.
    pub(crate) fn parameter(mut self, name: &str, value: &str) -> Self {
        let separator = if self.has_query { '&' } else { '?' };
        self.has_query = true;
        write_encoded(&mut self.text, separator, name);
        write_encoded(&mut self.text, '=', value);
        self
    }

    /// One more parameter, when there is one.
    pub(crate) fn parameter_if(self, name: &'static str, value: Option<impl ToString>) -> Self {
        match value {
            Some(value) => self.parameter(name, &value.to_string()),
            None => self,
        }
    }

    /// A switch, when it is on.
    pub(crate) fn switch(self, name: &'static str, on: bool) -> Self {
        if on { self.parameter(name, "true") } else { self }
    }

    /// A parameter whose value is JSON: keys of views and of `_all_docs`.
    pub(crate) fn json(self, name: &'static str, value: &(impl Serialize + ?Sized)) -> Self {
        let text = serde_json::to_string(value).expect("strings and numbers are always JSON");
        self.parameter(name, &text)
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }
}

fn encode(text: &str) -> impl std::fmt::Display + '_ {
    utf8_percent_encode(text, ENCODED)
}

fn write_encoded(target: &mut String, separator: char, text: &str) {
    write!(target, "{separator}{}", encode(text)).expect("a string takes every write");
}

#[cfg(test)]
mod tests {
    use super::*;
    use percent_encoding::percent_decode_str;
    use proptest::prelude::*;

    fn document(id: &str) -> Result<String, Error> {
        Ok(Path::database("db")?.document(id)?.as_str().to_owned())
    }

    #[test]
    fn ids_are_encoded_and_two_prefixes_keep_their_slash() {
        for (id, path) in [
            ("plain-1.2_3~", "/db/plain-1.2_3~"),
            ("a/b", "/db/a%2Fb"),
            ("pl+us", "/db/pl%2Bus"),
            ("100%", "/db/100%25"),
            ("job:run", "/db/job%3Arun"),
            ("a b?c#d&e", "/db/a%20b%3Fc%23d%26e"),
            ("日本", "/db/%E6%97%A5%E6%9C%AC"),
            ("_design/blitz-3", "/db/_design/blitz-3"),
            ("_design/a/b", "/db/_design/a%2Fb"),
            ("_local/check/point", "/db/_local/check%2Fpoint"),
            ("a/_local/b", "/db/a%2F_local%2Fb"),
        ] {
            assert_eq!(document(id).unwrap(), path, "for {id:?}");
        }
    }

    #[test]
    fn an_id_that_would_address_something_else_is_refused() {
        for id in ["", "_all_docs", "_security", "_local/", "_design/", "_local", "_locals/x", "_"]
        {
            let refused = document(id);
            assert!(matches!(refused, Err(Error::Invalid { .. })), "{id:?} gave {refused:?}");
        }
        assert!(Path::database("").is_err());
        assert!(Path::database("db").unwrap().document("a").unwrap().attachment("").is_err());
    }

    #[test]
    fn databases_and_attachments_are_encoded_whole() {
        let path = Path::database("a/b+c").unwrap().document("d").unwrap();
        assert_eq!(path.attachment("x/y.wasm").unwrap().as_str(), "/a%2Fb%2Bc/d/x%2Fy.wasm");
    }

    #[test]
    fn a_query_is_encoded_and_its_keys_are_json() {
        let path = Path::database("db").unwrap().endpoint("_all_docs");
        let path = path.json("startkey", "a\"+:").switch("descending", true).switch("x", false);
        let path = path.parameter_if("limit", Some(3_u64)).parameter_if("skip", None::<u64>);
        assert_eq!(
            path.as_str(),
            "/db/_all_docs?startkey=%22a%5C%22%2B%3A%22&descending=true&limit=3"
        );
    }

    proptest! {
        #[test]
        fn every_id_survives_its_path(id in "[^_].*") {
            let path = document(&id).unwrap();
            let segment = path.strip_prefix("/db/").unwrap();
            prop_assert!(segment.bytes().all(|byte| byte.is_ascii_graphic()));
            prop_assert!(!segment.contains(['/', '?', '#', '+', '&']));
            prop_assert_eq!(percent_decode_str(segment).decode_utf8().unwrap(), id);
        }
    }
}
