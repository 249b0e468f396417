//! Structured records beside stdout: built field by field, or from a type that `serde` can write.
//!
//! Both weigh the same in a component, to a kilobyte. A [`Record`] needs no dependency and no type of its own.

use std::fmt::Write as _;

use serde::Serialize;

use crate::host::{Host, HostError};

/// Gives a record to the host that is a type of the author's, with `#[derive(serde::Serialize)]`.
///
/// # Errors
///
/// As [`Host::emit`], and [`HostError::Failed`] for what has no form in JSON.
pub fn emit<T: Serialize + ?Sized>(
    host: &mut dyn Host,
    kind: &str,
    record: &T,
) -> Result<(), HostError> {
    let json = serde_json::to_string(record)
        .map_err(|error| HostError::Failed(format!("the event {kind:?} is not JSON: {error}")))?;
    host.emit(kind, &json)
}

/// One JSON object, field by field.
///
/// ```
/// # use blitz_plugin::{Record, testing::FakeHost};
/// # let host = &mut FakeHost::default();
/// Record::new().field("ttl", 3).field("address", "192.0.2.1").emit(host, "hop")?;
/// # assert_eq!(host.records("hop")[0]["address"], "192.0.2.1");
/// # Ok::<(), blitz_plugin::HostError>(())
/// ```
///
/// Every field that the table of `plugin.toml` points to should be there in each record; `None` is null, and the
/// table shows a dash. Field names are given once each: two of one name are not looked for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Record {
    /// The fields with their commas, without the braces.
    fields: String,
}

impl Record {
    /// A record without fields.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a field. A name ends with its unit where there is one: `rtt_us`, `body_bytes`.
    #[must_use]
    pub fn field(mut self, name: &str, value: impl Json) -> Self {
        if !self.fields.is_empty() {
            self.fields.push(',');
        }
        name.write(&mut self.fields);
        self.fields.push(':');
        value.write(&mut self.fields);
        self
    }

    /// The JSON text.
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut json = String::with_capacity(self.fields.len() + 2);
        self.write(&mut json);
        json
    }

    /// Gives the record to the host, as one of this kind.
    ///
    /// # Errors
    ///
    /// As [`Host::emit`].
    pub fn emit(&self, host: &mut dyn Host, kind: &str) -> Result<(), HostError> {
        host.emit(kind, &self.to_json())
    }
}

/// What a field of a [`Record`] may hold: texts, numbers, booleans, lists, records, and `None` for null.
pub trait Json {
    /// Appends the value as JSON.
    fn write(&self, json: &mut String);
}

impl Json for Record {
    fn write(&self, json: &mut String) {
        json.push('{');
        json.push_str(&self.fields);
        json.push('}');
    }
}

impl Json for str {
    /// Source: RFC 8259, section 7.
    fn write(&self, json: &mut String) {
        json.push('"');
        for c in self.chars() {
            match c {
                '"' | '\\' => json.extend(['\\', c]),
                '\n' => json.push_str("\\n"),
                c if c < ' ' => {
                    write!(json, "\\u{:04x}", u32::from(c)).ok();
                }
                c => json.push(c),
            }
        }
        json.push('"');
    }
}

impl Json for String {
    fn write(&self, json: &mut String) {
        self.as_str().write(json);
    }
}

impl Json for bool {
    fn write(&self, json: &mut String) {
        json.push_str(if *self { "true" } else { "false" });
    }
}

impl Json for f64 {
    /// Null for what is no number: JSON has no word for it.
    fn write(&self, json: &mut String) {
        if self.is_finite() {
            write!(json, "{self}").ok();
        } else {
            json.push_str("null");
        }
    }
}

macro_rules! whole_numbers {
    ($($type:ty)*) => {$(
        impl Json for $type {
            fn write(&self, json: &mut String) {
                write!(json, "{self}").ok();
            }
        }
    )*};
}
whole_numbers!(u8 u16 u32 u64 usize i8 i16 i32 i64 isize);

impl<T: Json + ?Sized> Json for &T {
    fn write(&self, json: &mut String) {
        (**self).write(json);
    }
}

impl<T: Json> Json for Option<T> {
    fn write(&self, json: &mut String) {
        match self {
            Some(value) => value.write(json),
            None => json.push_str("null"),
        }
    }
}

impl<T: Json> Json for [T] {
    fn write(&self, json: &mut String) {
        json.push('[');
        for (at, value) in self.iter().enumerate() {
            if at > 0 {
                json.push(',');
            }
            value.write(json);
        }
        json.push(']');
    }
}

impl<T: Json, const N: usize> Json for [T; N] {
    fn write(&self, json: &mut String) {
        self.as_slice().write(json);
    }
}

impl<T: Json> Json for Vec<T> {
    fn write(&self, json: &mut String) {
        self.as_slice().write(json);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::testing::FakeHost;

    #[test]
    fn a_type_becomes_a_record() {
        #[derive(Serialize)]
        struct Hop<'a> {
            ttl: u8,
            address: Option<&'a str>,
        }
        let mut host = FakeHost::default();
        emit(&mut host, "hop", &Hop { ttl: 3, address: None }).unwrap();
        assert_eq!(*host.records("hop")[0], json!({ "ttl": 3, "address": null }));
        let keys = std::collections::BTreeMap::from([([1], 2)]);
        let refused = emit(&mut host, "hop", &keys);
        assert!(matches!(refused, Err(HostError::Failed(_))), "{refused:?}");
    }

    #[test]
    fn a_record_is_what_a_serializer_would_make() {
        let nothing: Option<u8> = None;
        let texts = ["", "a\"b\\c", "\n\r\t\u{8}\u{1f}\u{7f}", "é\u{2028}😀"];
        let record = Record::new()
            .field("texts", texts)
            .field("numbers", [0.1, -1e300, f64::NAN])
            .field("whole", vec![i64::MIN, 7])
            .field("largest", u64::MAX)
            .field("nothing", nothing)
            .field("some", Some(true))
            .field("\"in\"", Record::new().field("empty", Record::new()));
        let read: Value = serde_json::from_str(&record.to_json()).unwrap();
        let same = json!({
            "texts": texts, "numbers": [0.1, -1e300, Value::Null], "whole": [i64::MIN, 7], "largest": u64::MAX,
            "nothing": Value::Null, "some": true, "\"in\"": {"empty": {}},
        });
        assert_eq!(read, same);
    }
}
