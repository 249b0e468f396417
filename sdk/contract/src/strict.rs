//! The words that a `plugin.toml` may use. An author's typing mistake is an error; in the JSON of documents
//! and of the API an unknown word comes from a newer version and is passed over.

use std::cell::Cell;

use serde::de::{Deserialize, Deserializer, Error as _, Visitor, value::Error};
use serde::forward_to_deserialize_any;
use toml::Value;

use crate::capability::Capability;
use crate::manifest::{Argument, ArgumentKind, Limits, Manifest, SecretPart};
use crate::table::{Column, Table, Unit};

/// Refuses the first key, kind of an argument or unit of a column that this version does not know.
pub(crate) fn check(manifest: &toml::Table) -> Result<(), String> {
    keys(manifest, words::<Manifest>(), "")?;
    if let Some(Value::Table(limits)) = manifest.get("limits") {
        keys(limits, words::<Limits>(), "limits.")?;
    }
    for (field, table) in ["table", "live"].map(|field| (field, manifest.get(field))) {
        let Some(Value::Table(table)) = table else { continue };
        keys(table, words::<Table>(), &format!("{field}."))?;
        for column in tables(table, "columns") {
            let title = column.get("title").and_then(Value::as_str).unwrap_or("?");
            keys(column, words::<Column>(), &format!("{field}.columns.{title}."))?;
            if let Some(unit) = column.get("unit").and_then(Value::as_str) {
                known(unit, words::<Unit>(), || format!("unit of {field}.columns.{title}"))?;
            }
        }
    }
    for name in manifest.get("capabilities").and_then(Value::as_array).into_iter().flatten() {
        if let Some(name) =
            name.as_str().filter(|n| !Capability::KNOWN.iter().any(|k| k.name() == *n))
        {
            let known: Vec<&str> = Capability::KNOWN.iter().map(Capability::name).collect();
            return Err(format!("unknown capability: {name:?} is none of {}", known.join(", ")));
        }
    }
    for argument in tables(manifest, "arguments") {
        let name = argument.get("name").and_then(Value::as_str).unwrap_or("?");
        keys(argument, words::<Argument>(), &format!("arguments.{name}."))?;
        if let Some(kind) = argument.get("kind").and_then(Value::as_str) {
            known(kind, words::<ArgumentKind>(), || format!("kind of arguments.{name}"))?;
        }
        if let Some(part) = argument.get("secret").and_then(Value::as_str) {
            known(part, words::<SecretPart>(), || format!("secret of arguments.{name}"))?;
        }
    }
    Ok(())
}

/// The elements of an array of tables.
fn tables<'a>(table: &'a toml::Table, key: &str) -> impl Iterator<Item = &'a toml::Table> {
    table.get(key).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_table)
}

fn keys(table: &toml::Table, words: &[&str], place: &str) -> Result<(), String> {
    table.keys().try_for_each(|key| known(key, words, || format!("field {place}{key}")))
}

fn known(word: &str, words: &[&str], what: impl Fn() -> String) -> Result<(), String> {
    match words.contains(&word) {
        true => Ok(()),
        false => Err(format!("unknown {}: {word:?} is none of {}", what(), words.join(", "))),
    }
}

/// The names of the fields of a struct, or of the variants of an enum, as its derived `Deserialize` asks for
/// them: no second list that could grow apart from the type.
fn words<'de, T: Deserialize<'de>>() -> &'static [&'static str] {
    let asked = Cell::new(&[][..]);
    // It never gets a value, so an error is all that it can give.
    T::deserialize(Asked(&asked)).err();
    asked.get()
}

struct Asked<'a>(&'a Cell<&'static [&'static str]>);

impl<'de> Deserializer<'de> for Asked<'_> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Error> {
        Err(Error::custom("there is no value"))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.0.set(fields);
        self.deserialize_any(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.0.set(variants);
        self.deserialize_any(visitor)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit
        unit_struct newtype_struct seq tuple tuple_struct map identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_are_those_of_the_types() {
        assert!(words::<Manifest>().contains(&"capabilities"));
        assert!(words::<Argument>().contains(&"positional"));
        assert_eq!(
            words::<Limits>(),
            ["memory_bytes", "output_bytes", "cpu_ms", "sockets", "slots", "grace_ms"]
        );
        assert!(words::<ArgumentKind>().contains(&"text"));
        assert!(words::<ArgumentKind>().contains(&"text-or-input-file"));
    }
}
