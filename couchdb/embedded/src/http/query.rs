//! The parameters of a URL.

use super::refusal::Refusal;
use crate::document::check;
use percent_encoding::percent_decode_str;
use serde_json::Value;

/// The parameters in their order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Query(Vec<Parameter>);

/// One of them, decoded.
#[derive(Clone, Debug)]
pub(crate) struct Parameter {
    pub(crate) name: String,
    /// Bytes that are no UTF-8 are replaced.
    pub(crate) value: String,
    /// The value was UTF-8.
    is_text: bool,
}

impl Parameter {
    /// The value as the text of some JSON.
    pub(crate) fn json_text(&self) -> Result<&str, Refusal> {
        if !self.is_text {
            return Err(check::NotJson.into());
        }
        Ok(check::check(self.value.as_bytes())?)
    }

    /// The value as JSON.
    pub(crate) fn json(&self) -> Result<Value, Refusal> {
        serde_json::from_str(self.json_text()?).map_err(|_| check::NotJson.into())
    }
}

impl Query {
    /// Reads the part of a URL after `?`.
    pub(crate) fn read(text: Option<&str>) -> Query {
        let parts = text.unwrap_or("").split('&').filter(|part| !part.is_empty());
        let read = |part: &str| {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            let is_text = decode(value).is_some();
            Parameter { name: decode_lossy(name), value: decode_lossy(value), is_text }
        };
        Query(parts.map(read).collect())
    }

    /// The first parameter of this name.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.parameter(name).map(|parameter| parameter.value.as_str())
    }

    fn parameter(&self, name: &str) -> Option<&Parameter> {
        self.0.iter().find(|parameter| parameter.name == name)
    }

    /// All parameters in their order.
    pub(crate) fn parameters(&self) -> &[Parameter] {
        &self.0
    }

    /// The first parameter of one of these names.
    pub(crate) fn either(&self, name: &str, other: &str) -> Option<&str> {
        self.get(name).or_else(|| self.get(other))
    }

    /// Whether the parameter is `true`; anything else is not, as CouchDB reads it for documents.
    pub(crate) fn is_true(&self, name: &str) -> bool {
        self.get(name) == Some("true")
    }

    /// The parameter as JSON.
    pub(crate) fn json(&self, name: &str) -> Result<Option<Value>, Refusal> {
        self.parameter(name).map(Parameter::json).transpose()
    }
}

/// Text as JSON.
pub(crate) fn parse(text: &str) -> Result<Value, Refusal> {
    let text = check::check(text.as_bytes())?;
    serde_json::from_str(text).map_err(|_| check::NotJson.into())
}

/// An integer as Erlang reads it: one that is too large for 64 bits is the largest here.
pub(crate) fn integer(text: &str) -> Option<i64> {
    let (digits, farthest) = match text.strip_prefix('-') {
        Some(digits) => (digits, i64::MIN),
        None => (text.strip_prefix('+').unwrap_or(text), i64::MAX),
    };
    let is_integer = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_integer.then(|| text.parse().unwrap_or(farthest))
}

/// Refuses a URL with a `%` that two hexadecimal digits do not follow: other servers on the way may
/// read it in another way.
pub(crate) fn check_escapes(url: &str) -> Result<(), Refusal> {
    let mut after = url.split('%').skip(1).map(str::as_bytes);
    let is_escape = |rest: &[u8]| {
        rest.first_chunk::<2>().is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    };
    if after.all(is_escape) { Ok(()) } else { Err(Refusal::bad_request("invalid_url_encoding")) }
}

/// Decodes `%41` and `+`; None when the bytes are no UTF-8.
pub(crate) fn decode(text: &str) -> Option<String> {
    let spaced = text.replace('+', " ");
    percent_decode_str(&spaced).decode_utf8().ok().map(|text| text.into_owned())
}

/// The same; bytes that are no UTF-8 are replaced.
pub(crate) fn decode_lossy(text: &str) -> String {
    let spaced = text.replace('+', " ");
    percent_decode_str(&spaced).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_those_of_erlang() {
        for (text, read) in [
            ("5", Some(5)),
            ("+5", Some(5)),
            ("-0", Some(0)),
            ("99999999999999999999999999", Some(i64::MAX)),
            ("-99999999999999999999999999", Some(i64::MIN)),
            ("", None),
            ("-", None),
            ("+-5", None),
            ("1.5", None),
            (" 5", None),
        ] {
            assert_eq!(integer(text), read, "{text:?}");
        }
    }

    #[test]
    fn an_escape_has_two_digits() {
        for url in ["", "/a", "/%41%ff", "/%FF?a=%25"] {
            assert_eq!(check_escapes(url), Ok(()), "{url}");
        }
        for url in ["%", "/%4", "/%zz", "/a?b=%", "/%%41", "/%4\u{e9}"] {
            assert!(check_escapes(url).is_err(), "{url}");
        }
    }
}
