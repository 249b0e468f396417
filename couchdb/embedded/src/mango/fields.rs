//! Takes the wanted fields out of a document, each as the text that came.

use crate::{document::object, selector};
use serde_json::Value;

/// A value of the answer: text of the document, or an object that is put together.
enum Part {
    Text(String),
    Object(Vec<(String, Part)>),
}

/// The document with these fields alone, in their order; those that it lacks are left out.
pub(crate) fn extract(document: &str, fields: &[String]) -> String {
    let mut parts = Vec::new();
    for field in fields {
        let path = selector::split_path(field);
        if let Some(text) = find(document, &path) {
            set(&mut parts, &path, text);
        }
    }
    let mut text = String::new();
    write(&mut text, &Part::Object(parts));
    text
}

fn find(text: &str, path: &[String]) -> Option<String> {
    let Some((name, rest)) = path.split_first() else { return Some(text.to_owned()) };
    if let Some(members) = object::members(text).ok()? {
        return find(members.get(name)?.get(), rest);
    }
    let elements: Vec<&serde_json::value::RawValue> = serde_json::from_str(text).ok()?;
    find(elements.get(name.parse::<usize>().ok()?)?.get(), rest)
}

fn set(members: &mut Vec<(String, Part)>, path: &[String], text: String) {
    let Some((name, rest)) = path.split_first() else { return };
    let at = members.iter().position(|(known, _)| known == name);
    let at = at.unwrap_or_else(|| {
        members.push((name.clone(), Part::Object(Vec::new())));
        members.len() - 1
    });
    let part = &mut members[at].1;
    if rest.is_empty() {
        *part = Part::Text(text);
        return;
    }
    if let Part::Text(known) = part {
        let opened = object::members(known).ok().flatten();
        let opened = opened.map(|members| members.0).unwrap_or_default();
        let opened = opened
            .iter()
            .map(|(name, value)| (name.to_string(), Part::Text(value.get().to_owned())));
        *part = Part::Object(opened.collect());
    }
    if let Part::Object(inner) = part {
        set(inner, rest, text);
    }
}

fn write(text: &mut String, part: &Part) {
    match part {
        Part::Text(value) => text.push_str(value),
        Part::Object(members) => {
            text.push('{');
            for (index, (name, part)) in members.iter().enumerate() {
                if index > 0 {
                    text.push(',');
                }
                text.push_str(&Value::from(name.as_str()).to_string());
                text.push(':');
                write(text, part);
            }
            text.push('}');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_taken_as_they_stand() {
        let document = r#"{"_id":"a","n":1.0,"o":{"p":{"q":12345678901234567890123},"r":2},"l":[{"x":1}],"d.e":3}"#;
        for (fields, taken) in [
            (&["n", "_id"][..], r#"{"n":1.0,"_id":"a"}"#),
            (&["o.p.q", "o.r"], r#"{"o":{"p":{"q":12345678901234567890123},"r":2}}"#),
            (&["o", "o.r"], r#"{"o":{"p":{"q":12345678901234567890123},"r":2}}"#),
            (&["nope", "n.x", "l.5"], "{}"),
            (&["l.0.x"], r#"{"l":{"0":{"x":1}}}"#),
            (&["d\\.e"], r#"{"d.e":3}"#),
        ] {
            let fields: Vec<String> = fields.iter().map(|field| String::from(*field)).collect();
            assert_eq!(extract(document, &fields), taken, "{fields:?}");
        }
    }
}
