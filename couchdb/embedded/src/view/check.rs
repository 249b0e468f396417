//! Whether a document may be a design document: the types of its members.
//!
//! Source: `validate_ddoc_fields` of `couch_mrview.erl`; the texts are CouchDB's.

use super::reduce::{Reduction, UnknownReduction};
use serde_json::Value;

/// Why a design document is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadDesign {
    #[error("`{path}` field must have {wanted} type")]
    Type { path: String, wanted: String },
    #[error("View `{0}` must contain map function")]
    NoMap(String),
    #[error(transparent)]
    Reduction(#[from] UnknownReduction),
    #[error("partitioned option cannot be true in a non-partitioned database.")]
    Partitioned,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Type {
    Text,
    Object,
    List,
    Bool,
}

impl Type {
    fn is_of(self, value: &Value) -> bool {
        match self {
            Type::Text => value.is_string(),
            Type::Object => value.is_object(),
            Type::List => value.is_array(),
            Type::Bool => value.is_boolean(),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Type::Text => "string",
            Type::Object => "object",
            Type::List => "array",
            Type::Bool => "boolean",
        }
    }
}

/// One step into a document: a member, or every one where there is no name.
type Step = (Option<&'static str>, &'static [Type]);

const TEXT: &[Type] = &[Type::Text];
const OBJECT: &[Type] = &[Type::Object];
const BOOL: &[Type] = &[Type::Bool];
const FUNCTION: Step = (None, &[Type::Object, Type::Text]);

/// In CouchDB's order: the first that is wrong is told.
const PATHS: &[&[Step]] = &[
    &[(Some("filters"), OBJECT), FUNCTION],
    &[(Some("language"), TEXT)],
    &[(Some("lists"), OBJECT), FUNCTION],
    &[(Some("options"), OBJECT)],
    &[(Some("options"), OBJECT), (Some("include_design"), BOOL)],
    &[(Some("options"), OBJECT), (Some("local_seq"), BOOL)],
    &[(Some("options"), OBJECT), (Some("partitioned"), BOOL)],
    &[(Some("rewrites"), &[Type::Text, Type::List])],
    &[(Some("shows"), OBJECT), FUNCTION],
    &[(Some("updates"), OBJECT), FUNCTION],
    &[(Some("validate_doc_update"), TEXT)],
    &[(Some("views"), OBJECT), (Some("lib"), OBJECT)],
];

/// The same where the map is a function, and where it is a selector of Mango.
const MAP_TEXT: &[Step] = &[(Some("views"), OBJECT), (None, OBJECT), (Some("map"), TEXT)];
const MAP_OBJECT: &[Step] = &[(Some("views"), OBJECT), (None, OBJECT), (Some("map"), OBJECT)];
const REDUCE: &[Step] = &[(Some("views"), OBJECT), (None, OBJECT), (Some("reduce"), TEXT)];

/// Looks at the body of a design document. Whether its functions compile is another question.
pub(crate) fn check(body: &Value) -> Result<(), BadDesign> {
    let is_query = body.get("language").and_then(Value::as_str) == Some("query");
    let map = if is_query { MAP_OBJECT } else { MAP_TEXT };
    for path in PATHS.iter().chain([&map, &REDUCE]) {
        follow(body, path, &mut Vec::new())?;
    }
    let views = body.get("views").and_then(Value::as_object);
    for (name, view) in views.into_iter().flatten().filter(|(name, _)| *name != "lib") {
        if view.get("map").is_none() {
            return Err(BadDesign::NoMap(name.clone()));
        }
    }
    if body.pointer("/options/partitioned") == Some(&Value::Bool(true)) {
        return Err(BadDesign::Partitioned);
    }
    let language = body.get("language").and_then(Value::as_str).unwrap_or("javascript");
    for view in views.into_iter().flatten().map(|(_, view)| view) {
        let reduce = view.get("reduce").and_then(Value::as_str);
        if let Some(name) = reduce.filter(|name| name.starts_with('_') && language == "javascript")
        {
            Reduction::named(name)?;
        }
    }
    Ok(())
}

fn follow(value: &Value, path: &[Step], at: &mut Vec<String>) -> Result<(), BadDesign> {
    let Some(((name, types), rest)) = path.split_first() else { return Ok(()) };
    let Some(members) = value.as_object() else { return Ok(()) };
    let wanted = members.iter().filter(|(key, _)| name.is_none_or(|name| *key == name));
    for (key, value) in wanted {
        at.push(key.clone());
        if !types.iter().any(|one| one.is_of(value)) {
            // As CouchDB joins them: the first is told first.
            let names: Vec<&str> = types.iter().rev().map(|one| one.name()).collect();
            return Err(BadDesign::Type { path: at.join("."), wanted: names.join(" or ") });
        }
        follow(value, rest, at)?;
        at.pop();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_couchdb_refuses_is_refused_with_its_words() {
        for (body, text) in [
            (json!({}), ""),
            (json!({"views": {"x": {"map": "f", "reduce": "_sum"}, "lib": {"a": 1}}}), ""),
            (json!({"rewrites": []}), ""),
            (json!({"language": "query", "views": {"x": {"map": {}, "reduce": "_count"}}}), ""),
            (json!({"views": "x"}), "`views` field must have object type"),
            (json!({"views": []}), "`views` field must have object type"),
            (json!({"views": {"x": {"map": 5}}}), "`views.x.map` field must have string type"),
            (json!({"views": {"x": {"reduce": "_sum"}}}), "View `x` must contain map function"),
            (json!({"language": 5}), "`language` field must have string type"),
            (json!({"options": "x"}), "`options` field must have object type"),
            (json!({"filters": {"x": 5}}), "`filters.x` field must have string or object type"),
            (
                json!({"validate_doc_update": 5}),
                "`validate_doc_update` field must have string type",
            ),
            (
                json!({"views": {"x": {"map": "f", "reduce": "_nosuch"}}}),
                "`_nosuch` is not a supported reduce function.",
            ),
        ] {
            let told = check(&body).err().map(|bad| bad.to_string()).unwrap_or_default();
            assert_eq!(told, text, "{body}");
        }
    }
}
