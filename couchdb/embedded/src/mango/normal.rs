//! A selector in CouchDB's normal form: every object has one member, fields are whole paths, and
//! negations stand at the conditions. What is planned and explained is this form.
//!
//! Source: `mango_selector.erl` of CouchDB 3.5, `normalize/1`.

use super::error::BadQuery;
use crate::{document::object, selector::Selector};
use serde_json::{Map, Value};

/// The normal form of a selector, from its text: the order of members is that of the conditions.
pub(crate) fn normalize(text: &str) -> Result<(Selector, Value), BadQuery> {
    let value: Value = serde_json::from_str(text).unwrap_or_default();
    if !value.is_object() {
        return Err(BadQuery::SelectorShape(super::erlang::bytes(&value)));
    }
    let selector = Selector::parse(&value)?;
    let normal = match &value {
        Value::Object(members) if members.is_empty() => value,
        _ => positive(spread(text, "")),
    };
    if normal.get("").is_some() {
        return Err(BadQuery::NoFieldName);
    }
    Ok((selector, normal))
}

/// An object of one member.
pub(crate) fn one(name: &str, value: Value) -> Value {
    Value::Object(Map::from_iter([(name.to_owned(), value)]))
}

/// The only member of a normal object.
pub(crate) fn only(value: &Value) -> Option<(&str, &Value)> {
    let (name, value) = value.as_object()?.iter().next()?;
    Some((name, value))
}

/// Writes out what is implied: `$and` between members, `$eq` before a value, whole paths.
fn spread(text: &str, path: &str) -> Value {
    let plain = || one(path, one("$eq", serde_json::from_str(text).unwrap_or_default()));
    let Ok(Some(members)) = object::members(text) else { return plain() };
    match members.0.as_slice() {
        [] => plain(),
        [(name, value)] => spread_member(name, value.get(), path),
        several => {
            let all = several.iter().map(|(name, value)| spread_member(name, value.get(), path));
            one("$and", all.collect())
        }
    }
}

fn spread_member(name: &str, text: &str, path: &str) -> Value {
    match name {
        "$and" | "$or" | "$nor" => {
            let list: Vec<&serde_json::value::RawValue> =
                serde_json::from_str(text).unwrap_or_default();
            one(name, list.iter().map(|one| spread(one.get(), path)).collect())
        }
        "$not" => one(name, spread(text, path)),
        "$elemMatch" | "$allMatch" | "$keyMapMatch" => one(path, one(name, spread(text, ""))),
        _ if name.starts_with('$') => {
            one(path, one(name, serde_json::from_str(text).unwrap_or_default()))
        }
        _ if path.is_empty() => spread(text, name),
        _ => spread(text, &format!("{path}.{name}")),
    }
}

fn each(list: &Value, change: fn(Value) -> Value) -> Value {
    list.as_array().into_iter().flatten().cloned().map(change).collect()
}

/// Moves the negations down.
fn positive(value: Value) -> Value {
    match only(&value) {
        Some(("$not", inner)) => negative(inner.clone()),
        Some(("$nor", list)) => one("$and", each(list, negative)),
        Some((name @ ("$and" | "$or"), list)) => one(name, each(list, positive)),
        _ => value,
    }
}

/// The opposite of a condition.
fn negative(value: Value) -> Value {
    let Some((name, inner)) = only(&value) else { return value };
    let opposite = match name {
        "$not" => return positive(inner.clone()),
        "$nor" => return one("$or", each(inner, positive)),
        "$and" => return one("$or", each(inner, negative)),
        "$or" => return one("$and", each(inner, negative)),
        "$exists" => return one(name, Value::from(inner != &Value::from(true))),
        "$lt" => "$gte",
        "$lte" => "$gt",
        "$eq" => "$ne",
        "$ne" => "$eq",
        "$gte" => "$lt",
        "$gt" => "$lte",
        "$in" => "$nin",
        "$nin" => "$in",
        _ if name.starts_with('$') => return one("$not", value),
        _ => return one(name, negative(inner.clone())),
    };
    one(opposite, inner.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selectors_have_the_form_that_couchdb_explains() {
        for (text, normal) in [
            (r#"{}"#, r#"{}"#),
            (r#"{"t":"x"}"#, r#"{"t":{"$eq":"x"}}"#),
            (r#"{"t":"x","n":{"$gt":1}}"#, r#"{"$and":[{"t":{"$eq":"x"}},{"n":{"$gt":1}}]}"#),
            (r#"{"n":{"$gt":1,"$lte":5}}"#, r#"{"$and":[{"n":{"$gt":1}},{"n":{"$lte":5}}]}"#),
            (r#"{"a":{"b":1}}"#, r#"{"a.b":{"$eq":1}}"#),
            (r#"{"a":{"$not":{"$gt":1}}}"#, r#"{"a":{"$lte":1}}"#),
            (
                r#"{"$nor":[{"a":1},{"b":{"$in":[1]}}]}"#,
                r#"{"$and":[{"a":{"$ne":1}},{"b":{"$nin":[1]}}]}"#,
            ),
            (r#"{"$not":{"a":{"$size":1}}}"#, r#"{"a":{"$not":{"$size":1}}}"#),
            (r#"{"a":{}}"#, r#"{"a":{"$eq":{}}}"#),
        ] {
            assert_eq!(normalize(text).unwrap().1.to_string(), normal, "{text}");
        }
        assert_eq!(normalize(r#"{"":1}"#).unwrap_err(), BadQuery::NoFieldName);
    }
}
