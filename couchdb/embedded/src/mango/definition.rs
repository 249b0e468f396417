//! A new index as the design document that defines it, with CouchDB's names and shapes.
//!
//! Source: `mango_idx.erl` and `mango_idx_view.erl` of CouchDB 3.5.

use super::{
    erlang,
    error::BadQuery,
    normal,
    query::{Keys, Sort, only_these},
};
use crate::{
    document::object::{self, Members},
    revision::{digest, hex},
};
use serde_json::Value;
use std::fmt::Write as _;

/// What `POST _index` asks for.
#[derive(Clone, Debug)]
pub(crate) struct Definition {
    /// The id of the design document.
    pub(crate) design: String,
    pub(crate) name: String,
    /// `json`, or the name of what cannot be made here.
    pub(crate) kind: String,
    partitioned: Option<bool>,
    /// The text of the view.
    view: String,
}

const KEYS: [&str; 6] = ["index", "type", "name", "ddoc", "w", "partitioned"];

impl Definition {
    /// Reads the members of a request.
    pub(crate) fn read(members: &Members<'_>) -> Result<Definition, BadQuery> {
        let keys = Keys(members);
        let index = members.get("index").ok_or(BadQuery::MissingKey("index"))?;
        let kind = keys.text("type")?.unwrap_or_else(|| String::from("json"));
        let name = keys.text("name")?;
        let design = keys.text("ddoc")?;
        if name.as_deref() == Some("") || design.as_deref() == Some("") {
            return Err(BadQuery::EmptyName);
        }
        let w = keys.positive("w")?.unwrap_or(2);
        let partitioned = match keys.get("partitioned") {
            None => None,
            Some(Value::Bool(partitioned)) => Some(partitioned),
            Some(Value::String(text)) if text == "db_default" => None,
            Some(other) => return Err(BadQuery::Partitioned(erlang::bytes(&other))),
        };
        only_these(members, &KEYS)?;
        if !["json", "text", "nouveau"].contains(&kind.as_str()) {
            return Err(BadQuery::IndexType(kind));
        }
        let given = Given {
            index: index.get(),
            kind: &kind,
            name: name.as_deref(),
            design: design.as_deref(),
            w,
            partitioned,
        };
        let made = || given.made_name();
        let design = match &design {
            Some(id) if id.starts_with("_design/") => id.clone(),
            Some(id) => format!("_design/{id}"),
            None => format!("_design/{}", made()),
        };
        let name = name.clone().unwrap_or_else(made);
        let view = if kind == "json" { view(index.get())? } else { String::new() };
        if partitioned == Some(true) {
            return Err(BadQuery::PartitionedHere);
        }
        Ok(Definition { design, name, kind, partitioned, view })
    }

    /// The design document with the index: the text of its members, and whether that differs from
    /// `old`, which is without `_id` and `_rev`.
    pub(crate) fn add(&self, old: Option<&str>) -> Result<(String, bool), BadQuery> {
        let mut members = opened(old.unwrap_or("{\"language\":\"query\"}"));
        check_language(&members)?;
        let options = get(&members, "options").map(opened).unwrap_or_default();
        let known = get(&options, "partitioned").and_then(|text| serde_json::from_str(text).ok());
        if self.partitioned != known {
            if old.is_some() {
                return Err(BadQuery::PartitionedMismatch(self.design.clone()));
            }
            if let Some(partitioned) = self.partitioned {
                put(&mut members, "options", format!("{{\"partitioned\":{partitioned}}}"));
            }
        }
        let mut views = get(&members, "views").map(opened).unwrap_or_default();
        put(&mut views, &self.name, self.view.clone());
        put(&mut members, "views", closed(&views));
        let text = closed(&members);
        let value = |text: &str| serde_json::from_str::<Value>(text).ok();
        let differs = old.is_none_or(|old| value(old) != value(&text));
        Ok((text, differs))
    }
}

/// The design document without an index; None when nothing is left of it.
pub(crate) fn remove(old: &str, name: &str) -> Result<Option<String>, BadQuery> {
    let mut members = opened(old);
    check_language(&members)?;
    let mut views = get(&members, "views").map(opened).unwrap_or_default();
    views.retain(|(known, _)| known != name);
    if views.is_empty() {
        members.retain(|(known, _)| known != "views");
    } else {
        put(&mut members, "views", closed(&views));
    }
    let is_empty = members.iter().all(|(name, _)| name == "language");
    Ok((!is_empty).then(|| closed(&members)))
}

type Owned = Vec<(String, String)>;

fn opened(text: &str) -> Owned {
    let members = object::members(text).ok().flatten().map(|members| members.0);
    let members = members.unwrap_or_default();
    members.into_iter().map(|(name, value)| (name.into_owned(), value.get().to_owned())).collect()
}

fn closed(members: &Owned) -> String {
    let mut text = String::from("{");
    for (index, (name, value)) in members.iter().enumerate() {
        let comma = if index > 0 { "," } else { "" };
        // Writing to a String cannot fail.
        let _ = write!(text, "{comma}{}:{value}", Value::from(name.as_str()));
    }
    text.push('}');
    text
}

fn get<'a>(members: &'a Owned, name: &str) -> Option<&'a str> {
    members.iter().rev().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
}

fn put(members: &mut Owned, name: &str, value: String) {
    match members.iter_mut().find(|(known, _)| known == name) {
        Some((_, known)) => *known = value,
        None => members.push((name.to_owned(), value)),
    }
}

fn check_language(members: &Owned) -> Result<(), BadQuery> {
    let language: Option<Value> =
        get(members, "language").and_then(|text| serde_json::from_str(text).ok());
    match language {
        Some(Value::String(language)) if language == "query" => Ok(()),
        None => Err(BadQuery::Language(String::from("false"))),
        Some(other) => {
            let name = erlang::bytes(&Value::from("language"));
            Err(BadQuery::Language(format!("{{{name},{}}}", erlang::bytes(&other))))
        }
    }
}

/// The view of an index, from the text of its definition.
fn view(index: &str) -> Result<String, BadQuery> {
    let shape =
        || BadQuery::IndexShape(erlang::bytes(&serde_json::from_str(index).unwrap_or_default()));
    let members = object::members(index).ok().flatten().ok_or_else(shape)?;
    let fields: Value = members.read("fields").ok_or(BadQuery::MissingKey("fields"))?;
    let sort = Sort::read(&fields)?;
    let filter = match members.get("partial_filter_selector") {
        Some(filter) => normal::normalize(filter.get())?.1,
        None => Value::Object(serde_json::Map::new()),
    };
    only_these(&members, &["fields", "partial_filter_selector"])?;
    let direction = Value::from(sort.direction()).to_string();
    let fields: Owned = sort.fields.into_iter().map(|field| (field, direction.clone())).collect();
    Ok(format!(
        "{{\"map\":{{\"fields\":{},\"partial_filter_selector\":{filter}}},\"reduce\":\"_count\",\
         \"options\":{{\"def\":{index}}}}}",
        closed(&fields)
    ))
}

/// What a name is made of when the request has none.
struct Given<'a> {
    index: &'a str,
    kind: &'a str,
    name: Option<&'a str>,
    design: Option<&'a str>,
    w: u64,
    partitioned: Option<bool>,
}

impl Given<'_> {
    /// The name that CouchDB makes: the SHA-1 of the definition and the options as an Erlang term, so
    /// that the same index has the same name everywhere.
    fn made_name(&self) -> String {
        const ATOM: u8 = 100;
        const TUPLE: [u8; 2] = [104, 2];
        let atom = |term: &mut Vec<u8>, name: &str| {
            let length = u8::try_from(name.len()).unwrap_or(u8::MAX);
            term.extend_from_slice(&[ATOM, 0, length]);
            term.extend_from_slice(name.as_bytes());
        };
        let json = |term: &mut Vec<u8>, json: &str| {
            digest::append_term(term, json);
        };
        let text = |term: &mut Vec<u8>, text: Option<&str>| match text {
            Some(text) => json(term, &Value::from(text).to_string()),
            None => atom(term, "auto_name"),
        };
        let mut term = vec![131];
        term.extend_from_slice(&TUPLE);
        json(&mut term, self.index);
        term.extend_from_slice(&[108, 0, 0, 0, 6]);
        let option = |term: &mut Vec<u8>, name: &str| {
            term.extend_from_slice(&TUPLE);
            atom(term, name);
        };
        option(&mut term, "ddoc");
        text(&mut term, self.design);
        option(&mut term, "def");
        json(&mut term, self.index);
        option(&mut term, "name");
        text(&mut term, self.name);
        option(&mut term, "partitioned");
        match self.partitioned {
            Some(partitioned) => atom(&mut term, if partitioned { "true" } else { "false" }),
            None => atom(&mut term, "db_default"),
        }
        option(&mut term, "type");
        json(&mut term, &Value::from(self.kind).to_string());
        option(&mut term, "w");
        json(&mut term, &self.w.to_string());
        // Ends the list.
        term.push(106);
        hex(ring::digest::digest(&ring::digest::SHA1_FOR_LEGACY_USE_ONLY, &term).as_ref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Definition, BadQuery> {
        Definition::read(&object::members(text).unwrap().unwrap())
    }

    /// The names and documents that CouchDB 3.5.0 makes.
    #[test]
    fn definitions_have_the_names_and_shapes_of_couchdb() {
        for (text, name) in [
            (r#"{"index":{"fields":[]}}"#, "16d64bc5aa5ac9a0662f02b45a7d70d4a6923ccc"),
            (r#"{"index":{"fields":[{"n":"desc"}]}}"#, "3bcbdb398790c895fc969878e279a443e2913eed"),
        ] {
            let made = read(text).unwrap();
            assert_eq!((made.design, made.name), (format!("_design/{name}"), String::from(name)));
        }
        let made = read(r#"{"index":{"fields":["t","n"]},"name":"tn","ddoc":"ix"}"#).unwrap();
        let wanted = r#"{"language":"query","views":{"tn":{"map":{"fields":{"t":"asc","n":"asc"},"partial_filter_selector":{}},"reduce":"_count","options":{"def":{"fields":["t","n"]}}}}}"#;
        let (text, differs) = made.add(None).unwrap();
        assert_eq!((text.as_str(), differs), (wanted, true));
        assert_eq!(made.add(Some(wanted)).unwrap(), (text.clone(), false));
        assert_eq!(remove(&text, "tn").unwrap(), None);
        assert!(matches!(made.add(Some("{}")), Err(BadQuery::Language(_))));
    }
}
