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

/// How many arrays and objects may lie in each other. CouchDB has no limit; here reading is recursive, so
/// that a deeper text would end the process. It is the limit of `serde_json`, which reads what passed.
pub(crate) const DEPTH_MAX: usize = 127;

/// Why bytes are not taken as JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadJson {
    #[error(transparent)]
    Text(#[from] NotJson),
    #[error("JSON is nested deeper than the {DEPTH_MAX} levels that this server reads; flatten it")]
    TooDeep,
}

/// Looks at every value of the text.
pub(crate) fn check(bytes: &[u8]) -> Result<&str, BadJson> {
    let text = str::from_utf8(bytes).map_err(|_| NotJson)?;
    match serde_json::from_str::<Checked>(text) {
        Ok(Checked) => Ok(text),
        // The error has no kind of its own for this; a deep text that is wrong as well is too deep.
        Err(_) if depth(text) > DEPTH_MAX => Err(BadJson::TooDeep),
        Err(_) => Err(NotJson.into()),
    }
}

/// How deep a text opens arrays and objects, outside of its strings.
fn depth(text: &str) -> usize {
    let (mut depth, mut deepest, mut in_string, mut escaped) = (0_usize, 0, false, false);
    for byte in text.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'[' | b'{' if !in_string => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b']' | b'}' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
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
    }

    #[test]
    fn what_is_too_deep_says_so() {
        let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        assert!(check(nested(DEPTH_MAX).as_bytes()).is_ok());
        for levels in [DEPTH_MAX + 1, 1_000_000] {
            assert_eq!(check(nested(levels).as_bytes()), Err(BadJson::TooDeep), "{levels}");
        }
        let in_a_string = format!("[\"\\\"{}\"", nested(200));
        assert_eq!(check(in_a_string.as_bytes()), Err(NotJson.into()));
    }
}
