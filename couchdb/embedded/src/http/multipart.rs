//! Bodies of several parts: revisions side by side, and a document followed by its attachments.

use super::{
    refusal::Refusal,
    reply::{self, Reply},
};
use crate::{
    document::{
        attachment::{self, Content},
        draft::Draft,
    },
    revision::Revision,
    store::database::random_id,
};
use bytes::Bytes;
use http::{StatusCode, header};
use serde_json::{Value, json};

/// One revision of an answer.
#[derive(Debug)]
pub(crate) enum Part {
    /// The document as JSON.
    Found(Vec<u8>),
    Missing(Revision),
    /// The member `error` of a row of `_bulk_get`.
    Error(Value),
}

/// The parts as an array of `{"ok": ..}` and `{"missing": ..}`.
pub(crate) fn as_array(parts: Vec<Part>) -> Reply {
    let mut text = Vec::from(b"[");
    for (index, part) in parts.into_iter().enumerate() {
        if index > 0 {
            text.push(b',');
        }
        match part {
            Part::Found(document) => {
                text.extend_from_slice(b"{\"ok\":");
                text.extend_from_slice(&document);
                text.push(b'}');
            }
            other => text.extend_from_slice(failure(other).to_string().as_bytes()),
        }
    }
    text.extend_from_slice(b"]\n");
    reply::text_json(StatusCode::OK, text)
}

fn failure(part: Part) -> Value {
    match part {
        Part::Missing(revision) => json!({"missing": revision.to_string()}),
        Part::Error(error) => error,
        Part::Found(_) => Value::Null,
    }
}

/// The parts as `multipart/mixed`: what CouchDB's replicators ask for.
pub(crate) fn mixed(parts: Vec<Part>) -> Reply {
    let boundary = random_id();
    let mut text = Vec::new();
    for part in parts {
        let (kind, body) = match part {
            Part::Found(document) => ("application/json", document),
            other => ("application/json; error=\"true\"", failure(other).to_string().into_bytes()),
        };
        text.extend_from_slice(format!("--{boundary}\r\nContent-Type: {kind}\r\n\r\n").as_bytes());
        text.extend_from_slice(&body);
        text.extend_from_slice(b"\r\n");
    }
    text.extend_from_slice(format!("--{boundary}--").as_bytes());
    typed("multipart/mixed", &boundary, text)
}

/// A document as the only part: its attachments are inside, in base64.
pub(crate) fn related(document: Vec<u8>) -> Reply {
    let boundary = random_id();
    let mut text = format!("--{boundary}\r\nContent-Type: application/json\r\n\r\n").into_bytes();
    text.extend_from_slice(&document);
    text.extend_from_slice(format!("\r\n--{boundary}--").as_bytes());
    typed("multipart/related", &boundary, text)
}

fn typed(kind: &str, boundary: &str, text: Vec<u8>) -> Reply {
    let mut reply = reply::whole(StatusCode::OK, text.into());
    let content_type = format!("{kind}; boundary=\"{boundary}\"");
    reply::set(&mut reply, header::CONTENT_TYPE, &content_type);
    reply
}

/// The boundary of a body of this kind.
pub(crate) fn boundary(content_type: &str, kind: &str) -> Option<String> {
    let mut parts = content_type.split(';');
    if !parts.next()?.trim().eq_ignore_ascii_case(kind) {
        return None;
    }
    let boundary = parts.find_map(|part| {
        let (name, value) = part.trim().split_once('=')?;
        name.eq_ignore_ascii_case("boundary").then(|| value.trim_matches('"').to_owned())
    })?;
    (!boundary.is_empty()).then_some(boundary)
}

/// Reads a document and the attachments that follow it, in the order of its `_attachments`.
pub(crate) fn read_related(body: &Bytes, boundary: &str) -> Result<Draft, Refusal> {
    let mut parts = parts(body, boundary).ok_or_else(|| {
        Refusal::bad_request("the body is no multipart/related of the boundary that it names")
    })?;
    if parts.is_empty() {
        return Err(Refusal::bad_request("the body has no part with the document"));
    }
    let mut draft = Draft::read(&parts.remove(0), false)?;
    let mut following = parts.into_iter();
    for given in &mut draft.attachments {
        if let Content::Follows { content_type } = &given.content {
            let name = &given.name;
            let data = following.next().ok_or_else(|| {
                Refusal::bad_request(format!("the part of attachment {name:?} is missing"))
            })?;
            let content_type = content_type.clone();
            let digest = attachment::digest(&data);
            given.content = Content::Data { content_type, digest, data };
        }
    }
    Ok(draft)
}

/// The bodies of the parts.
fn parts(body: &Bytes, boundary: &str) -> Option<Vec<Bytes>> {
    let delimiter = format!("\r\n--{boundary}");
    // The first one stands at the start of the body, without a line end before it.
    let mut at = if body.starts_with(&delimiter.as_bytes()[2..]) {
        delimiter.len() - 2
    } else {
        find(body, delimiter.as_bytes(), 0)? + delimiter.len()
    };
    let mut parts = Vec::new();
    while !body.get(at..)?.starts_with(b"--") {
        let head_end = find(body, b"\r\n\r\n", at)?;
        let end = find(body, delimiter.as_bytes(), head_end + 2)?;
        parts.push(body.slice(end.min(head_end + 4)..end));
        at = end + delimiter.len();
    }
    Some(parts)
}

fn find(body: &[u8], wanted: &[u8], from: usize) -> Option<usize> {
    let rest = body.get(from..)?;
    let first = *wanted.first()?;
    let mut at = 0;
    while let Some(step) = rest.get(at..)?.iter().position(|byte| *byte == first) {
        at += step;
        if rest[at..].starts_with(wanted) {
            return Some(from + at);
        }
        at += 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_parts_are_what_lies_between_the_boundaries() {
        for (body, wanted) in [
            ("--b\r\nA: 1\r\n\r\none\r\n--b\r\n\r\ntwo\r\n--b--", Some(vec!["one", "two"])),
            ("preamble\r\n--b\r\n\r\n\r\n--b--\r\n", Some(vec![""])),
            ("--b\r\n\r\nends early", None),
            ("no boundary", None),
        ] {
            let got = parts(&Bytes::from(body), "b");
            let wanted: Option<Vec<Bytes>> =
                wanted.map(|parts| parts.into_iter().map(Bytes::from).collect());
            assert_eq!(got, wanted, "{body:?}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_parts_or_nothing(body in "(--b|\r\n|-|a|\r\n\r\n){0,12}") {
            drop(parts(&Bytes::from(body), "b"));
        }
    }
}
