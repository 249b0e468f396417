//! Reading a document: the fields of CouchDB's own apart from the caller's.

use serde::de::{
    DeserializeSeed, Deserializer, Error as _, IntoDeserializer as _, MapAccess, Visitor,
};
use serde::{Deserialize, forward_to_deserialize_any};

use crate::revision::Revision;

/// A document as it is stored now.
///
/// `body` is read without the fields whose names begin with `_`, which belong to CouchDB; a type that
/// denies unknown fields fits. Any type that is read from a JSON object will do, but not `RawValue`,
/// which would bring those fields along: take `serde_json::Value` instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document<T> {
    /// Its id.
    pub id: String,
    /// Its revision.
    pub revision: Revision,
    /// What the caller stored.
    pub body: T,
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Document<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut own = Own::default();
        let body = T::deserialize(WithoutOwn { inner: deserializer, own: &mut own })?;
        let id = own.id.ok_or_else(|| D::Error::missing_field("_id"))?;
        let revision = own.revision.ok_or_else(|| D::Error::missing_field("_rev"))?;
        Ok(Self { id, revision, body })
    }
}

/// A body alone, for documents whose revision means nothing.
#[derive(Debug)]
pub(crate) struct Body<T>(pub(crate) T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Body<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut own = Own::default();
        T::deserialize(WithoutOwn { inner: deserializer, own: &mut own }).map(Self)
    }
}

/// A body of a listing, whose rows have the revision.
#[derive(Debug)]
pub(crate) struct Listed<T> {
    pub(crate) body: T,
    pub(crate) conflicts: Vec<Revision>,
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Listed<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut own = Own::default();
        let body = T::deserialize(WithoutOwn { inner: deserializer, own: &mut own })?;
        Ok(Self { body, conflicts: own.conflicts })
    }
}

/// The fields of CouchDB's own that this client uses.
#[derive(Debug, Default)]
struct Own {
    id: Option<String>,
    revision: Option<Revision>,
    conflicts: Vec<Revision>,
}

impl Own {
    fn take<'de, A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<(), A::Error> {
        match key {
            "_id" => self.id = Some(map.next_value()?),
            "_rev" => self.revision = Some(map.next_value()?),
            "_conflicts" => self.conflicts = map.next_value()?,
            _ => {
                map.next_value::<serde::de::IgnoredAny>()?;
            }
        }
        Ok(())
    }
}

/// A deserializer that hands an object's fields on, except those that begin with `_`.
///
/// This way a document is parsed once, straight into its type, however large it is.
struct WithoutOwn<'a, D> {
    inner: D,
    own: &'a mut Own,
}

impl<'de, D: Deserializer<'de>> Deserializer<'de> for WithoutOwn<'_, D> {
    type Error = D::Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.inner.deserialize_map(FieldsVisitor { visitor, own: self.own })
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        visitor.visit_some(self)
    }

    fn is_human_readable(&self) -> bool {
        self.inner.is_human_readable()
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit
        unit_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

struct FieldsVisitor<'a, V> {
    visitor: V,
    own: &'a mut Own,
}

impl<'de, V: Visitor<'de>> Visitor<'de> for FieldsVisitor<'_, V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.visitor.expecting(f)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<V::Value, A::Error> {
        self.visitor.visit_map(Fields { map, own: self.own })
    }
}

struct Fields<'a, A> {
    map: A,
    own: &'a mut Own,
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Fields<'_, A> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, A::Error> {
        while let Some(key) = self.map.next_key::<String>()? {
            if !key.starts_with('_') {
                return seed.deserialize(key.into_deserializer()).map(Some);
            }
            self.own.take(&key, &mut self.map)?;
        }
        Ok(None)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, A::Error> {
        self.map.next_value_seed(seed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};
    use std::collections::BTreeMap;

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Strict {
        text: String,
        count: Option<u64>,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    struct Wrapped(Strict);

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(tag = "type", rename_all = "snake_case")]
    enum Tagged {
        Note { text: String },
    }

    fn read<T: for<'de> Deserialize<'de>>(json: &str) -> Result<Document<T>, serde_json::Error> {
        serde_json::from_str(json)
    }

    #[test]
    fn a_type_that_denies_unknown_fields_sees_only_its_own() {
        let json = r#"{"_id":"a","_rev":"1-b","text":"t","_attachments":{"x":{}},"_new":[1]}"#;
        let body = Strict { text: "t".to_owned(), count: None };
        let document = read::<Strict>(json).unwrap();
        assert_eq!((document.id.as_str(), document.revision.as_str()), ("a", "1-b"));
        assert_eq!(document.body, body);
        assert_eq!(read::<Wrapped>(json).unwrap().body, Wrapped(body));
    }

    #[test]
    fn maps_values_and_tagged_enums_are_bodies_too() {
        let json = r#"{"_id":"a","_rev":"1-b","type":"note","text":"t","in":{"_kept":1}}"#;
        let value = read::<Value>(json).unwrap().body;
        assert_eq!(value, json!({"type": "note", "text": "t", "in": {"_kept": 1}}));
        assert_eq!(read::<BTreeMap<String, Value>>(json).unwrap().body.len(), 3);
        let tagged = r#"{"text":"t","_id":"a","type":"note","_rev":"1-b"}"#;
        assert_eq!(read::<Tagged>(tagged).unwrap().body, Tagged::Note { text: "t".to_owned() });
    }

    #[test]
    fn what_is_no_document_is_refused_by_name() {
        for (json, part) in [
            (r#"{"_rev":"1-a"}"#, "missing field `_id`"),
            (r#"{"_id":"a"}"#, "missing field `_rev`"),
            (r#"{"_id":"a","_rev":"x"}"#, "must be a number, a dash and a hash"),
            ("[1]", "invalid type: sequence"),
        ] {
            let error = read::<Value>(json).unwrap_err().to_string();
            assert!(error.contains(part), "{json} gave: {error}");
        }
        let unknown = read::<Strict>(r#"{"_id":"a","_rev":"1-a","text":"","more":1}"#).unwrap_err();
        assert!(unknown.to_string().contains("unknown field `more`"), "{unknown}");
    }

    proptest! {
        #[test]
        fn every_body_comes_back(
            body in proptest::collection::btree_map("[a-z\\PC]{1,6}", any::<i64>(), 0..6),
        ) {
            prop_assume!(body.keys().all(|key| !key.starts_with('_')));
            let mut object = json!(body);
            object["_id"] = json!("a");
            object["_rev"] = json!("1-a");
            let document = read::<BTreeMap<String, i64>>(&object.to_string()).unwrap();
            prop_assert_eq!(document.body, body);
        }
    }
}
