//! `/{db}/{doc}/{attachment}`: the bytes of one attachment.

use super::{
    call::Call,
    heavy,
    refusal::Refusal,
    reply::{self, Broken, Handled},
    write,
};
use crate::{
    document::{
        attachment::{self, Attachment, Content, DEFAULT_CONTENT_TYPE, Given},
        draft::check_id,
    },
    revision::Revision,
    store::{
        CHUNK_BYTES,
        database::Database,
        edit::{Edit, Kind},
        read::{Opened, Which},
    },
};
use bytes::Bytes;
use http::{StatusCode, header};
use serde_json::json;
use std::sync::Arc;

/// `/{db}/{doc}/{attachment}`.
pub(crate) async fn route(
    call: &Call,
    database: &Arc<Database>,
    id: String,
    name: String,
) -> Handled {
    match call.method.as_str() {
        "GET" | "HEAD" => get(call, database, id, &name).await,
        "PUT" => put(call, database, id, name).await,
        "DELETE" => delete(call, database, id, name).await,
        _ => Err(Refusal::method(&["DELETE", "GET", "HEAD", "PUT"])),
    }
}

async fn find(
    call: &Call,
    database: &Arc<Database>,
    id: String,
    name: &str,
) -> Result<Attachment, Refusal> {
    let asked: Option<Revision> = call.query.get("rev").map(str::parse).transpose()?;
    let by_revision = asked.is_some();
    let which = match asked {
        Some(revision) => Which::These { revisions: vec![revision], latest: false },
        None => Which::Winner,
    };
    let document = call.store().document(database, id, which, false).await?;
    let opened = document.and_then(|document| document.revisions.into_iter().next());
    let Some(Opened::Found(found)) = opened else { return Err(Refusal::not_found("missing")) };
    if found.deleted && !by_revision {
        return Err(Refusal::not_found("deleted"));
    }
    let mut attachments = found.body.attachments.into_iter();
    attachments
        .find(|attachment| attachment.name == name)
        .ok_or_else(|| Refusal::not_found("Document is missing attachment"))
}

async fn get(call: &Call, database: &Arc<Database>, id: String, name: &str) -> Handled {
    let attachment = find(call, database, id, name).await?;
    let tag = attachment.digest.strip_prefix("md5-").unwrap_or(&attachment.digest).to_owned();
    if call.header(header::IF_NONE_MATCH) == Some(format!("\"{tag}\"").as_str()) {
        let mut reply = reply::whole(StatusCode::NOT_MODIFIED, Bytes::new());
        reply::etag(&mut reply, &tag);
        return Ok(reply);
    }
    let length = attachment.length;
    let asked = call.header(header::RANGE).map_or(Asked::Whole, |text| range(text, length));
    let (status, from, to) = match asked {
        Asked::Whole => (StatusCode::OK, 0, length),
        Asked::Part { from, to } => (StatusCode::PARTIAL_CONTENT, from, to),
        Asked::Outside => {
            return Err(Refusal::new(
                StatusCode::RANGE_NOT_SATISFIABLE,
                "requested_range_not_satisfiable",
                "Requested range not satisfiable",
            ));
        }
    };
    let server = Arc::clone(&call.server);
    let blob = attachment.blob;
    let mut reply = reply::produced(status, &attachment.content_type, async move |pieces| {
        let mut at = from;
        while at < to {
            let number = at / CHUNK;
            let read = match i64::try_from(number) {
                Ok(number) => server.store.chunk(blob, number).await.ok(),
                Err(_) => None,
            };
            let piece = read.and_then(|data| {
                let start = usize::try_from(at - number * CHUNK).ok()?;
                let end = usize::try_from(to - number * CHUNK).ok()?.min(data.len());
                let piece = Bytes::from(data);
                (start < end).then(|| piece.slice(start..end))
            });
            let Some(piece) = piece else {
                drop(pieces.send(Err(Broken)).await);
                return;
            };
            at += u64::try_from(piece.len()).unwrap_or(CHUNK);
            if pieces.send(Ok(piece)).await.is_err() {
                return;
            }
        }
    });
    reply::etag(&mut reply, &tag);
    reply::set(&mut reply, header::CONTENT_LENGTH, &(to - from).to_string());
    reply::set(&mut reply, header::ACCEPT_RANGES, "bytes");
    if status == StatusCode::PARTIAL_CONTENT {
        let range = format!("bytes {from}-{}/{length}", to - 1);
        reply::set(&mut reply, header::CONTENT_RANGE, &range);
    }
    Ok(reply)
}

const CHUNK: u64 = CHUNK_BYTES as u64;

/// What a `Range` header asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    /// Everything; also for several ranges at once, which a server may answer so.
    Whole,
    /// From here up to but without there.
    Part {
        from: u64,
        to: u64,
    },
    Outside,
}

fn range(text: &str, length: u64) -> Asked {
    let Some((first, last)) = text.strip_prefix("bytes=").and_then(|text| text.split_once('-'))
    else {
        return Asked::Whole;
    };
    let (from, to) = match (first.parse::<u64>(), last.parse::<u64>()) {
        (Ok(first), Ok(last)) if first <= last => (first, last.saturating_add(1)),
        (Ok(first), Err(_)) if last.is_empty() => (first, length),
        (Err(_), Ok(count)) if first.is_empty() => (length.saturating_sub(count), length),
        _ => return Asked::Whole,
    };
    if from >= length { Asked::Outside } else { Asked::Part { from, to: to.min(length) } }
}

async fn put(call: &Call, database: &Arc<Database>, id: String, name: String) -> Handled {
    check_id(&id)?;
    let content_type = call.header(header::CONTENT_TYPE).unwrap_or(DEFAULT_CONTENT_TYPE).to_owned();
    attachment::check_name(&name, &content_type)
        .map_err(|bad| Refusal::bad_request(bad.to_string()))?;
    let encoding = call.header(header::CONTENT_ENCODING).unwrap_or("identity");
    if !encoding.eq_ignore_ascii_case("identity") {
        return Err(Refusal::bad_request(format!(
            "the embedded store does not implement Content-Encoding {encoding:?}; send the bytes themselves"
        )));
    }
    let revision = write::named_revision(call)?;
    let received = call.body(call.store().options().attachment_bytes_max).await?;
    let data = received.bytes.clone();
    let hashed = data.clone();
    let digest = heavy::run(data.len(), move || Ok(attachment::digest(&hashed))).await?;
    let content = Content::Data { content_type, digest, data };
    let attachment = Given { name: name.clone(), revpos: None, content };
    let edit = Edit { id: id.clone(), kind: Kind::PutAttachment { revision, attachment } };
    let revision = write::stored(write::apply(call, database, edit).await?, &id)?;
    let status =
        if write::is_below_quorum(call) { StatusCode::ACCEPTED } else { StatusCode::CREATED };
    let body = json!({"ok": true, "id": id, "rev": revision.to_string()});
    let mut reply = reply::json(status, &body);
    let mut segments = vec![database.name.as_str(), id.as_str()];
    segments.extend(name.split('/'));
    reply::set(&mut reply, header::LOCATION, &call.location(&segments));
    Ok(reply)
}

async fn delete(call: &Call, database: &Arc<Database>, id: String, name: String) -> Handled {
    let revision = write::named_revision(call)?;
    let edit = Edit { id: id.clone(), kind: Kind::DeleteAttachment { revision, name } };
    let revision = write::stored(write::apply(call, database, edit).await?, &id)?;
    let body = json!({"ok": true, "id": id, "rev": revision.to_string()});
    Ok(reply::json(StatusCode::OK, &body))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_cut_to_what_is_there() {
        for (text, asked) in [
            ("bytes=2-5", Asked::Part { from: 2, to: 6 }),
            ("bytes=-3", Asked::Part { from: 7, to: 10 }),
            ("bytes=-100", Asked::Part { from: 0, to: 10 }),
            ("bytes=7-", Asked::Part { from: 7, to: 10 }),
            ("bytes=5-100", Asked::Part { from: 5, to: 10 }),
            ("bytes=5-18446744073709551615", Asked::Part { from: 5, to: 10 }),
            ("bytes=100-200", Asked::Outside),
            ("bytes=-0", Asked::Outside),
            ("bytes=5-2", Asked::Whole),
            ("bytes=0-1,4-5", Asked::Whole),
            ("rubbish", Asked::Whole),
        ] {
            assert_eq!(range(text, 10), asked, "{text}");
        }
    }
}
