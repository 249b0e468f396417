//! A look through JSON that keeps nothing but the names of the objects it is in: each may be there once.

use std::collections::HashSet;
use std::fmt;

use serde::Deserializer;
use serde::de::{DeserializeSeed, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// What serde_json gives a meaning of its own where any value is read: text in it would be parsed again, and not be looked
/// through.
const PRIVATE: &str = "$serde_json::private";

/// Looks through one text of JSON.
///
/// # Errors
///
/// When it is none, or has an object with two keys of one name.
pub(super) fn check(text: &[u8]) -> Result<(), serde_json::Error> {
    let mut reader = serde_json::Deserializer::from_slice(text);
    Any.deserialize(&mut reader)?;
    reader.end()
}

/// Any value.
struct Any;

impl<'de> DeserializeSeed<'de> for Any {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Any {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while items.next_element_seed(Any)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        let mut names: HashSet<String> = HashSet::new();
        while let Some(name) = members.next_key::<String>()? {
            if name.starts_with(PRIVATE) {
                members.next_value::<IgnoredAny>()?;
                return Err(A::Error::custom(format_args!("the key {name:?} is not allowed")));
            }
            members.next_value_seed(Any)?;
            if names.contains(&name) {
                return Err(A::Error::custom(format_args!("the key {name:?} is there twice")));
            }
            names.insert(name);
        }
        Ok(())
    }
}
