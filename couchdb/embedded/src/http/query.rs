//! The parameters of a URL.

use super::refusal::Refusal;
use crate::document::check;
use percent_encoding::percent_decode_str;
use serde_json::Value;

/// The parameters in their order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Query(Vec<(String, String)>);

impl Query {
    /// Reads the part of a URL after `?`.
    pub(crate) fn read(text: Option<&str>) -> Query {
        let parts = text.unwrap_or("").split('&').filter(|part| !part.is_empty());
        let pair = |part: &str| {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            (decode_lossy(name), decode_lossy(value))
        };
        Query(parts.map(pair).collect())
    }

    /// The first parameter of this name.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
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
        self.get(name).map(parse).transpose()
    }
}

/// Text as JSON.
pub(crate) fn parse(text: &str) -> Result<Value, Refusal> {
    let text = check::check(text.as_bytes())?;
    serde_json::from_str(text).map_err(|_| check::NotJson.into())
}

/// Decodes `%41` and `+`; None when the bytes are no UTF-8.
pub(crate) fn decode(text: &str) -> Option<String> {
    let spaced = text.replace('+', " ");
    percent_decode_str(&spaced).decode_utf8().ok().map(|text| text.into_owned())
}

fn decode_lossy(text: &str) -> String {
    let spaced = text.replace('+', " ");
    percent_decode_str(&spaced).decode_utf8_lossy().into_owned()
}
