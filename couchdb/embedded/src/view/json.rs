//! JSON as reductions compute with it: members in their order, integers and doubles apart.

use crate::document::check::NotJson;
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use std::fmt;

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Json {
    Null,
    Bool(bool),
    Number(Number),
    Text(String),
    List(Vec<Json>),
    Object(Vec<(String, Json)>),
}

/// An integer stays one until a double joins it, as in Erlang. Beyond 128 bits it becomes a double.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Number {
    Integer(i128),
    Double(f64),
}

impl Number {
    pub(crate) const ZERO: Number = Number::Integer(0);

    #[expect(clippy::cast_precision_loss, reason = "the sum is a double already")]
    fn double(self) -> f64 {
        match self {
            Number::Integer(value) => value as f64,
            Number::Double(value) => value,
        }
    }

    pub(crate) fn add(self, other: Number) -> Number {
        if let (Number::Integer(a), Number::Integer(b)) = (self, other)
            && let Some(sum) = a.checked_add(b)
        {
            return Number::Integer(sum);
        }
        Number::Double(self.double() + other.double())
    }

    pub(crate) fn square(self) -> Number {
        if let Number::Integer(a) = self
            && let Some(square) = a.checked_mul(a)
        {
            return Number::Integer(square);
        }
        Number::Double(self.double() * self.double())
    }

    fn is_less(self, other: Number) -> bool {
        match (self, other) {
            (Number::Integer(a), Number::Integer(b)) => a < b,
            _ => self.double() < other.double(),
        }
    }

    pub(crate) fn least(self, other: Number) -> Number {
        if other.is_less(self) { other } else { self }
    }

    pub(crate) fn greatest(self, other: Number) -> Number {
        if self.is_less(other) { other } else { self }
    }

    pub(crate) fn write(self, text: &mut String) {
        match self {
            Number::Integer(value) => text.push_str(&value.to_string()),
            // Overflow has no JSON; CouchDB fails there.
            Number::Double(value) => text.push_str(&serde_json::Value::from(value).to_string()),
        }
    }
}

impl PartialEq for Number {
    fn eq(&self, other: &Number) -> bool {
        !self.is_less(*other) && !other.is_less(*self)
    }
}

impl Json {
    pub(crate) fn parse(text: &str) -> Result<Json, NotJson> {
        // Most values are small integers.
        if let Ok(integer) = text.parse::<i64>() {
            return Ok(Json::Number(Number::Integer(integer.into())));
        }
        serde_json::from_str(text).map_err(|_| NotJson)
    }

    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        self.write(&mut text);
        text
    }

    fn write(&self, text: &mut String) {
        match self {
            Json::Null => text.push_str("null"),
            Json::Bool(value) => text.push_str(if *value { "true" } else { "false" }),
            Json::Number(number) => number.write(text),
            Json::Text(value) => quote(value, text),
            Json::List(values) => {
                text.push('[');
                for (index, value) in values.iter().enumerate() {
                    if index > 0 {
                        text.push(',');
                    }
                    value.write(text);
                }
                text.push(']');
            }
            Json::Object(members) => {
                text.push('{');
                for (index, (name, value)) in members.iter().enumerate() {
                    if index > 0 {
                        text.push(',');
                    }
                    quote(name, text);
                    text.push(':');
                    value.write(text);
                }
                text.push('}');
            }
        }
    }

    /// About the bytes that Erlang writes the value with (`erlang:external_size`): CouchDB's limit of
    /// reductions counts in them.
    pub(crate) fn term_bytes(&self) -> usize {
        match self {
            Json::Null => 6,
            Json::Bool(true) => 6,
            Json::Bool(false) => 7,
            Json::Number(Number::Integer(value)) => match value {
                0..=255 => 2,
                -2_147_483_648..=2_147_483_647 => 5,
                _ => 11,
            },
            Json::Number(Number::Double(_)) => 9,
            Json::Text(text) => 5 + text.len(),
            Json::List(values) => 6 + values.iter().map(Json::term_bytes).sum::<usize>(),
            Json::Object(members) => {
                let one = |(name, value): &(String, Json)| 7 + name.len() + value.term_bytes();
                8 + members.iter().map(one).sum::<usize>()
            }
        }
    }

    /// The value as Erlang prints it (`~w`): part of the text of some errors.
    pub(crate) fn term_text(&self) -> String {
        let bytes = |text: &str| {
            let bytes: Vec<String> = text.bytes().map(|byte| byte.to_string()).collect();
            format!("<<{}>>", bytes.join(","))
        };
        match self {
            Json::Null | Json::Bool(_) | Json::Number(_) => self.text(),
            Json::Text(text) => bytes(text),
            Json::List(values) => {
                let values: Vec<String> = values.iter().map(Json::term_text).collect();
                format!("[{}]", values.join(","))
            }
            Json::Object(members) => {
                let one = |(name, value): &(String, Json)| {
                    format!("{{{},{}}}", bytes(name), value.term_text())
                };
                let members: Vec<String> = members.iter().map(one).collect();
                format!("{{[{}]}}", members.join(","))
            }
        }
    }
}

/// Appends a text as JSON.
pub(crate) fn quote(value: &str, text: &mut String) {
    text.push_str(&serde_json::Value::from(value).to_string());
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Json, D::Error> {
        deserializer.deserialize_any(Read)
    }
}

struct Read;

impl<'de> Visitor<'de> for Read {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Json, E> {
        Ok(Json::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Json, E> {
        Ok(Json::Number(Number::Integer(value.into())))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Json, E> {
        Ok(Json::Number(Number::Integer(value.into())))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Json, E> {
        Ok(Json::Number(Number::Double(value)))
    }

    fn visit_str<E>(self, value: &str) -> Result<Json, E> {
        Ok(Json::Text(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Json, E> {
        Ok(Json::Text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Json, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = list.next_element()? {
            values.push(value);
        }
        Ok(Json::List(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Json, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = map.next_entry()? {
            members.push(member);
        }
        Ok(Json::Object(members))
    }
}
