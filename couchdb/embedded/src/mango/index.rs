//! The indexes of a database: the one of all documents, and those that design documents define.

use super::normal;
use crate::{
    document::object::{self, Members},
    selector::{self, Selector},
};
use serde_json::{Value, json};

/// An index.
#[derive(Clone, Debug)]
pub(crate) struct Index {
    /// The design document that defines it; None for the index of all documents.
    pub(crate) design: Option<String>,
    pub(crate) name: String,
    /// The fields and their directions, in their order.
    pub(crate) fields: Vec<(String, String)>,
    /// The normal form of `partial_filter_selector`, where there is one, and what it lets in.
    pub(crate) filter: Option<(Value, Selector)>,
    /// `options.partitioned` of the design document.
    partitioned: bool,
}

impl Index {
    /// The index that every database has: documents by their ids.
    pub(crate) fn all_docs() -> Index {
        Index {
            design: None,
            name: String::from("_all_docs"),
            fields: vec![(String::from("_id"), String::from("asc"))],
            filter: None,
            partitioned: false,
        }
    }

    pub(crate) fn is_special(&self) -> bool {
        self.design.is_none()
    }

    /// CouchDB's word for its kind.
    pub(crate) fn kind(&self) -> &'static str {
        if self.is_special() { "special" } else { "json" }
    }

    /// The names of its fields.
    pub(crate) fn columns(&self) -> Vec<&str> {
        self.fields.iter().map(|(name, _)| name.as_str()).collect()
    }

    /// The key of a document; None when the document is not in the index.
    pub(crate) fn key(&self, document: &Value) -> Option<Vec<Value>> {
        if self.filter.as_ref().is_some_and(|(_, filter)| !filter.matches(document)) {
            return None;
        }
        let find = |(name, _): &(String, String)| {
            selector::find(document, &selector::split_path(name)).cloned()
        };
        self.fields.iter().map(find).collect()
    }

    /// The index as `_index` and `_explain` show it.
    pub(crate) fn to_json(&self) -> Value {
        let fields: Value = self
            .fields
            .iter()
            .map(|(name, direction)| normal::one(name, Value::from(direction.as_str())))
            .collect();
        let mut def = json!({ "fields": fields });
        if let Some((filter, _)) = &self.filter {
            def["partial_filter_selector"] = filter.clone();
        }
        let mut index =
            json!({"ddoc": self.design, "name": self.name, "type": self.kind(), "def": def});
        if !self.is_special() {
            index["partitioned"] = Value::from(self.partitioned);
        }
        index
    }
}

/// The indexes that a design document defines, from its text; none unless its language is `query`.
pub(crate) fn of_design(id: &str, text: &str) -> Vec<Index> {
    let Ok(Some(members)) = object::members(text) else { return Vec::new() };
    if members.read::<String>("language").as_deref() != Some("query") {
        return Vec::new();
    }
    let option = |members: &Members<'_>| {
        let options = object::members(members.get("options")?.get()).ok()??;
        options.read::<bool>("partitioned")
    };
    let partitioned = option(&members).unwrap_or(false);
    let views = members.get("views").and_then(|views| object::members(views.get()).ok()?);
    let views = views.map(|views| views.0).unwrap_or_default();
    let index = |name: &str, view: &str| -> Option<Index> {
        let view = object::members(view).ok()??;
        object::members(view.get("options")?.get()).ok()??;
        let map = object::members(view.get("map")?.get()).ok()??;
        let fields = object::members(map.get("fields")?.get()).ok()??;
        let field =
            |(name, direction): &(std::borrow::Cow<'_, str>, &serde_json::value::RawValue)| {
                let direction: String = serde_json::from_str(direction.get()).ok()?;
                Some((name.to_string(), direction))
            };
        let fields = fields.0.iter().map(field).collect::<Option<Vec<_>>>()?;
        let filter = match map.get("partial_filter_selector") {
            Some(filter) => {
                let (selector, normal) = normal::normalize(filter.get()).ok()?;
                normal::only(&normal).is_some().then_some((normal, selector))
            }
            None => None,
        };
        let design = Some(id.to_owned());
        Some(Index { design, name: name.to_owned(), fields, filter, partitioned })
    };
    views.iter().filter_map(|(name, view)| index(name, view.get())).collect()
}
