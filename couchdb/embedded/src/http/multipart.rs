//! `multipart/related`: a document followed by its attachments.

use super::{
    refusal::Refusal,
    reply::{self, Reply},
};
use crate::{
    document::{
        attachment::Content,
        draft::{BadDraft, Draft},
    },
    store::database::random_id,
};
use bytes::Bytes;
use http::{StatusCode, header};

/// A document as the only part: its attachments are inside, in base64.
pub(crate) fn related(document: Vec<u8>) -> Reply {
    let boundary = random_id();
    let mut text = format!("--{boundary}\r\nContent-Type: application/json\r\n\r\n").into_bytes();
    text.extend_from_slice(&document);
    text.extend_from_slice(format!("\r\n--{boundary}--").as_bytes());
    let mut reply = reply::whole(StatusCode::OK, text.into());
    let content_type = format!("multipart/related; boundary=\"{boundary}\"");
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

/// Reads a document and the attachments that follow it, in the order of its `_attachments`; none may
/// have more than `limit` bytes.
pub(crate) fn read_related(body: &Bytes, boundary: &str, limit: usize) -> Result<Draft, Refusal> {
    let mut parts = parts(body, boundary).ok_or_else(|| {
        Refusal::bad_request("the body is no multipart/related of the boundary that it names")
    })?;
    if parts.is_empty() {
        return Err(Refusal::bad_request("the body has no part with the document"));
    }
    let mut draft = Draft::read(&parts.remove(0), false)?;
    let mut following = parts.into_iter();
    for given in &mut draft.attachments {
        if matches!(given.content, Content::Follows { .. }) {
            let part = following.next().ok_or_else(|| {
                let name = &given.name;
                Refusal::bad_request(format!("the part of attachment {name:?} is missing"))
            })?;
            given.with_part(part, limit).map_err(BadDraft::from)?;
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
