//! Where a query goes on: after this key of the index and this document.

use super::error::BadQuery;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};

/// What CouchDB tells when there was no row to remember. It cannot be sent back, there as here.
pub(crate) const NONE: &str = "nil";

/// The last row that was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Bookmark {
    pub(crate) key: Vec<Value>,
    pub(crate) id: String,
}

impl Bookmark {
    /// Reads what a client sends back; None for null and for an empty text.
    pub(crate) fn read(value: &Value) -> Result<Option<Bookmark>, BadQuery> {
        let bad = || BadQuery::Bookmark(value.to_string());
        let text = match value {
            Value::Null => return Ok(None),
            Value::String(text) => text,
            _ => return Err(bad()),
        };
        if text.is_empty() {
            return Ok(None);
        }
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| bad())?;
        let (key, id) = serde_json::from_slice(&bytes).map_err(|_| bad())?;
        Ok(Some(Bookmark { key, id }))
    }

    pub(crate) fn text(&self) -> String {
        URL_SAFE_NO_PAD.encode(json!([self.key, self.id]).to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bookmark_comes_back_and_nothing_else_is_one() {
        let bookmark = Bookmark { key: vec![json!(1.5), json!("é")], id: String::from("a") };
        let text = Value::from(bookmark.text());
        assert_eq!(Bookmark::read(&text), Ok(Some(bookmark)));
        assert_eq!(Bookmark::read(&json!("")), Ok(None));
        for bad in [json!("bad"), json!(NONE), json!(5), json!("AAAA")] {
            assert_eq!(Bookmark::read(&bad), Err(BadQuery::Bookmark(bad.to_string())));
        }
    }
}
