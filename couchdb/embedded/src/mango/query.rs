//! What `_find` and `_explain` are asked, read and checked in CouchDB's order.

use super::{bookmark::Bookmark, erlang, error::BadQuery, normal};
use crate::{document::object::Members, selector::Selector};
use serde_json::Value;

/// How many documents are given unless the query says otherwise; CouchDB's own.
pub(crate) const LIMIT: u64 = 25;

/// A query.
#[derive(Clone, Debug)]
pub(crate) struct Query {
    pub(crate) selector: Selector,
    /// The selector in its normal form.
    pub(crate) normal: Value,
    /// A design document without `_design/`, and maybe a view of it.
    pub(crate) use_index: Vec<String>,
    pub(crate) bookmark: Option<Bookmark>,
    pub(crate) limit: u64,
    pub(crate) skip: u64,
    pub(crate) sort: Sort,
    /// Empty: the whole document.
    pub(crate) fields: Vec<String>,
    /// How many copies shall agree: one is all there are, and CouchDB counts reads by it.
    pub(crate) r: u64,
    pub(crate) conflicts: bool,
    pub(crate) stale: bool,
    pub(crate) update: bool,
    pub(crate) stable: bool,
    pub(crate) execution_stats: bool,
    pub(crate) allow_fallback: bool,
}

/// The fields to sort by, all in one direction.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sort {
    pub(crate) fields: Vec<String>,
    pub(crate) descending: bool,
}

/// Every key that a query may have.
const KEYS: [&str; 15] = [
    "selector",
    "use_index",
    "bookmark",
    "limit",
    "skip",
    "sort",
    "fields",
    "partition",
    "r",
    "conflicts",
    "stale",
    "update",
    "stable",
    "execution_stats",
    "allow_fallback",
];

impl Query {
    /// Reads the members of a request.
    pub(crate) fn read(members: &Members<'_>) -> Result<Query, BadQuery> {
        let keys = Keys(members);
        let selector = members.get("selector").ok_or(BadQuery::MissingKey("selector"))?;
        let (selector, normal) = normal::normalize(selector.get())?;
        let query = Query {
            selector,
            normal,
            use_index: keys.get("use_index").map_or(Ok(Vec::new()), |value| index_name(&value))?,
            bookmark: keys.get("bookmark").map_or(Ok(None), |value| Bookmark::read(&value))?,
            limit: keys.count("limit")?.unwrap_or(LIMIT),
            skip: keys.count("skip")?.unwrap_or(0),
            sort: Sort::read(
                &keys.get("sort").unwrap_or_else(|| Value::from(Vec::<Value>::new())),
            )?,
            fields: keys.get("fields").map_or(Ok(Vec::new()), |value| fields(&value))?,
            r: {
                keys.partition()?;
                keys.positive("r")?.unwrap_or(1)
            },
            conflicts: keys.boolean("conflicts")?.unwrap_or(false),
            stale: keys.stale()?,
            update: keys.boolean("update")?.unwrap_or(true),
            stable: keys.boolean("stable")?.unwrap_or(false),
            execution_stats: keys.boolean("execution_stats")?.unwrap_or(false),
            allow_fallback: keys.boolean("allow_fallback")?.unwrap_or(true),
        };
        only_these(members, &KEYS)?;
        Ok(query)
    }
}

/// Refuses a member that is none of these.
pub(crate) fn only_these(members: &Members<'_>, keys: &[&str]) -> Result<(), BadQuery> {
    match members.0.iter().find(|(name, _)| !keys.contains(&&**name)) {
        Some((name, _)) => Err(BadQuery::UnknownKey(name.to_string())),
        None => Ok(()),
    }
}

/// The members of a request, by what they must be.
pub(crate) struct Keys<'a>(pub(crate) &'a Members<'a>);

impl Keys<'_> {
    pub(crate) fn get(&self, name: &str) -> Option<Value> {
        self.0.read(name)
    }

    fn checked<T>(
        &self,
        name: &str,
        read: impl FnOnce(&Value) -> Option<T>,
        bad: fn(String) -> BadQuery,
    ) -> Result<Option<T>, BadQuery> {
        let Some(value) = self.get(name) else { return Ok(None) };
        read(&value).map(Some).ok_or_else(|| bad(erlang::bytes(&value)))
    }

    fn count(&self, name: &str) -> Result<Option<u64>, BadQuery> {
        self.checked(name, Value::as_u64, BadQuery::NotCount)
    }

    pub(crate) fn positive(&self, name: &str) -> Result<Option<u64>, BadQuery> {
        let positive = |value: &Value| value.as_u64().filter(|number| *number > 0);
        self.checked(name, positive, BadQuery::NotPositive)
    }

    pub(crate) fn boolean(&self, name: &str) -> Result<Option<bool>, BadQuery> {
        self.checked(name, Value::as_bool, BadQuery::NotBoolean)
    }

    pub(crate) fn text(&self, name: &str) -> Result<Option<String>, BadQuery> {
        self.checked(name, |value| value.as_str().map(str::to_owned), BadQuery::NotText)
    }

    fn stale(&self) -> Result<bool, BadQuery> {
        let stale = |value: &Value| match value {
            Value::String(text) if text == "ok" => Some(true),
            Value::String(text) if text == "false" => Some(false),
            Value::Bool(false) => Some(false),
            _ => None,
        };
        Ok(self.checked("stale", stale, BadQuery::Stale)?.unwrap_or(false))
    }

    /// No database here is partitioned.
    fn partition(&self) -> Result<(), BadQuery> {
        match self.get("partition") {
            None => Ok(()),
            Some(value) if value == "" => Ok(()),
            Some(_) => Err(BadQuery::Partition),
        }
    }
}

/// Reads `use_index`: a text or a list of one or two.
pub(crate) fn index_name(value: &Value) -> Result<Vec<String>, BadQuery> {
    let bad = || BadQuery::IndexName(erlang::bytes(value));
    let owned = |parts: &[&str]| parts.iter().map(|part| String::from(*part)).collect();
    match value {
        Value::Null => Ok(Vec::new()),
        Value::String(text) => match text.split('/').collect::<Vec<_>>().as_slice() {
            ["_design", rest @ ..] if (1..=2).contains(&rest.len()) => Ok(owned(rest)),
            parts if parts.len() <= 2 => Ok(owned(parts)),
            _ => Err(bad()),
        },
        Value::Array(parts) if parts.len() <= 2 => {
            let text = |part: &Value| part.as_str().map(str::to_owned);
            let mut parts = parts.iter().map(text).collect::<Option<Vec<_>>>().ok_or_else(bad)?;
            if let Some(first) = parts.first_mut()
                && let Some(rest) = first.strip_prefix("_design/")
            {
                *first = rest.to_owned();
            }
            Ok(parts)
        }
        _ => Err(bad()),
    }
}

fn fields(value: &Value) -> Result<Vec<String>, BadQuery> {
    let list = value.as_array().ok_or_else(|| BadQuery::FieldsShape(erlang::bytes(value)))?;
    let field = |one: &Value| {
        one.as_str().map(str::to_owned).ok_or_else(|| BadQuery::Field(erlang::bytes(one)))
    };
    list.iter().map(field).collect()
}

impl Sort {
    /// Reads a list of fields, each a name or `{"name": "asc"}`.
    pub(crate) fn read(value: &Value) -> Result<Sort, BadQuery> {
        let list = value.as_array().ok_or_else(|| BadQuery::SortShape(erlang::pretty(value)))?;
        let mut sort = Sort::default();
        let mut directions = Vec::new();
        for one in list {
            let bad = || BadQuery::SortField(erlang::pretty(one));
            let (name, descending) = match one {
                Value::String(name) if !name.is_empty() => (name.as_str(), false),
                Value::Object(members) if members.len() == 1 => {
                    let (name, direction) = normal::only(one).ok_or_else(bad)?;
                    match direction.as_str() {
                        Some("asc") => (name, false),
                        Some("desc") => (name, true),
                        _ => return Err(bad()),
                    }
                }
                _ => return Err(bad()),
            };
            sort.fields.push(name.to_owned());
            directions.push(descending);
        }
        sort.descending = directions.first().copied().unwrap_or(false);
        if directions.iter().any(|descending| *descending != sort.descending) {
            return Err(BadQuery::MixedSort);
        }
        Ok(sort)
    }

    pub(crate) fn direction(&self) -> &'static str {
        if self.descending { "desc" } else { "asc" }
    }
}
