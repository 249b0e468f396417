//! Whether bytes are JSON that CouchDB would accept.
//!
//! `serde_json` skips raw values without looking into them: lone surrogates and numbers beyond a
//! double would pass. They are refused here, once, at the door.

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use std::fmt;

/// Bytes that are no JSON. Its text is the reason that CouchDB gives for every such body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid UTF-8 JSON")]
pub(crate) struct NotJson;

/// Looks at every value of the text. Nesting beyond 128 levels is refused too.
pub(crate) fn check(bytes: &[u8]) -> Result<&str, NotJson> {
    let text = str::from_utf8(bytes).map_err(|_| NotJson)?;
    serde_json::from_str::<Checked>(text).map_err(|_| NotJson)?;
    Ok(text)
}

struct Checked;

impl<'de> Deserialize<'de> for Checked {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Checked, D::Error> {
        deserializer.deserialize_any(Look)
    }
}

struct Look;

impl<'de> Visitor<'de> for Look {
    type Value = Checked;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, _: bool) -> Result<Checked, E> {
        Ok(Checked)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Checked, E> {
        Ok(Checked)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Checked, E> {
        Ok(Checked)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Checked, E> {
        Ok(Checked)
    }

    fn visit_str<E>(self, _: &str) -> Result<Checked, E> {
        Ok(Checked)
    }

    fn visit_unit<E>(self) -> Result<Checked, E> {
        Ok(Checked)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Checked, A::Error> {
        while seq.next_element::<Checked>()?.is_some() {}
        Ok(Checked)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Checked, A::Error> {
        while map.next_entry::<Checked, Checked>()?.is_some() {}
        Ok(Checked)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_couchdb_refuses_is_refused() {
        for (text, accepted) in [
            (&br#"{"i":12345678901234567890,"f":1.5,"e":1e3}"#[..], true),
            (br#"{"a":1,"a":2}"#, true),
            (br#"{"s":"\ud83d\ude00"}"#, true),
            (br#""a""#, true),
            (br#"{"big":1e400}"#, false),
            (br#"{"s":"\ud83d"}"#, false),
            (b"{\"s\":\"\xff\"}", false),
            (b"", false),
            (b"{\"x\":1} trailing", false),
            (b"{'x':1}", false),
        ] {
            assert_eq!(check(text).is_ok(), accepted, "{}", String::from_utf8_lossy(text));
        }
        assert!(check(format!("{}{}", "[".repeat(200), "]".repeat(200)).as_bytes()).is_err());
    }
}
