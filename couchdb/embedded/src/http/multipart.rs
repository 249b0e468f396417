//! `multipart/related`: a document followed by its attachments.

use super::{
    blob::Related,
    call::Server,
    refusal::Refusal,
    reply::{self, Broken, Reply},
};
use crate::document::{
    attachment::Content,
    draft::{BadDraft, Draft},
    object::{self, Members},
};
use bytes::Bytes;
use http::{StatusCode, header};
use std::{cmp::Ordering, collections::HashMap, sync::Arc};

/// A document and the attachments that follow it, read from the store while they are sent.
pub(crate) fn related(server: &Arc<Server>, related: Related) -> Reply {
    let server = Arc::clone(server);
    let (content_type, length) = (related.content_type(), related.length());
    let mut reply = reply::produced(StatusCode::OK, &content_type, async move |pieces| {
        let written = async {
            let mut text = Vec::new();
            related.write(&server, &pieces, &mut text).await?;
            reply::flush(&pieces, &mut text, true).await
        };
        if written.await.is_err() {
            drop(pieces.send(Err(Broken)).await);
        }
    });
    reply::set(&mut reply, header::CONTENT_LENGTH, &length.to_string());
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

/// Reads a document and the attachments that follow it, in the order of its `_attachments`; none may
/// have more than `limit` bytes.
pub(crate) fn read_related(body: &Bytes, boundary: &str, limit: usize) -> Result<Draft, Refusal> {
    let mut parts = parts(body, boundary).ok_or_else(|| {
        Refusal::bad_request("the body is no multipart/related of the boundary that it names")
    })?;
    if parts.is_empty() {
        return Err(Refusal::bad_request("the body has no part with the document"));
    }
    let document = parts.remove(0);
    let mut draft = Draft::read(&document, false)?;
    let lengths = lengths(&document);
    let mut following = parts.into_iter();
    for given in &mut draft.attachments {
        if matches!(given.content, Content::Follows { .. }) {
            let part = following.next().ok_or_else(|| {
                let name = &given.name;
                Refusal::bad_request(format!("the part of attachment {name:?} is missing"))
            })?;
            // Parts come in the order of `_attachments`; the lengths tell when they do not.
            if let Some(length) = lengths.get(&given.name) {
                let came = i64::try_from(part.len()).unwrap_or(i64::MAX);
                match came.cmp(length) {
                    Ordering::Less => {
                        return Err(Refusal::bad_request("attachment shorter than expected"));
                    }
                    Ordering::Equal => {}
                    Ordering::Greater => {
                        return Err(Refusal::bad_request("attachment longer than expected"));
                    }
                }
            }
            given.with_part(part, limit).map_err(BadDraft::from)?;
        }
    }
    Ok(draft)
}

/// How many bytes the part of each attachment has, as far as the document says so.
fn lengths(document: &[u8]) -> HashMap<String, i64> {
    let read = || {
        let members = object::members(str::from_utf8(document).ok()?).ok()??;
        let attachments: Members<'_> = members.read("_attachments")?;
        let lengths = attachments.0.iter().filter_map(|(name, value)| {
            let attachment = object::members(value.get()).ok()??;
            let is_packed = attachment.read::<&str>("encoding") == Some("gzip");
            let length = if is_packed { "encoded_length" } else { "length" };
            Some((name.clone().into_owned(), attachment.read(length)?))
        });
        Some(lengths.collect())
    };
    read().unwrap_or_default()
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

    #[test]
    fn a_part_has_the_length_that_the_document_says() {
        for (attachment, reason) in [
            (r#"{"follows":true,"length":3}"#, None),
            (r#"{"follows":true}"#, None),
            (r#"{"follows":true,"length":2}"#, Some("attachment longer than expected")),
            (r#"{"follows":true,"length":-1}"#, Some("attachment longer than expected")),
            (r#"{"follows":true,"length":4}"#, Some("attachment shorter than expected")),
            (
                r#"{"follows":true,"encoding":"gzip","encoded_length":4,"length":3}"#,
                Some("attachment shorter than expected"),
            ),
        ] {
            let document = format!(r#"{{"_attachments":{{"x":{attachment}}}}}"#);
            let body = format!("--b\r\n\r\n{document}\r\n--b\r\n\r\nabc\r\n--b--");
            let got = read_related(&Bytes::from(body), "b", 100).err();
            assert_eq!(got.as_ref().map(|refusal| &*refusal.reason), reason, "{attachment}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_parts_or_nothing(body in "(--b|\r\n|-|a|\r\n\r\n){0,12}") {
            drop(parts(&Bytes::from(body), "b"));
        }
    }
}
