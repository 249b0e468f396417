//! `/{db}/{doc}/{attachment}`: the bytes of one attachment.

use super::{
    blob,
    call::Call,
    document::to_be_read,
    heavy,
    range::{self, Asked, Part},
    refusal::Refusal,
    reply::{self, Broken, Handled, Reply},
    write,
};
use crate::{
    document::{
        attachment::{self, Attachment, Content, DEFAULT_CONTENT_TYPE, Given},
        draft::check_id,
        packing::{self, BadPacking, Encoding, Packed},
    },
    store::{
        database::{Database, random_id},
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
    let asked = call.query.get("rev").map(to_be_read).transpose()?;
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
    let is_packed = attachment.encoded_length.is_some();
    let mut reply = if is_packed { packed(call, attachment) } else { identity(call, attachment)? };
    reply::etag(&mut reply, &tag);
    // As in CouchDB: a page that somebody attached shall not act for who looks at it.
    reply::set(&mut reply, header::CONTENT_SECURITY_POLICY, "sandbox");
    reply::set(&mut reply, header::ACCEPT_RANGES, if is_packed { "none" } else { "bytes" });
    Ok(reply)
}

/// An attachment that lies packed: as it is for those who take it so, unpacked for the others.
fn packed(call: &Call, attachment: Attachment) -> Reply {
    let takes_gzip = takes_gzip(call.header(header::ACCEPT_ENCODING).unwrap_or(""));
    let server = Arc::clone(&call.server);
    let stored = attachment.stored_length();
    let length = if takes_gzip { Some(stored) } else { Some(attachment.length) };
    // Of one that came packed the real length is not known.
    let length = length.filter(|_| takes_gzip || attachment.length != stored);
    let content_type = attachment.content_type.clone();
    let mut reply = reply::produced(StatusCode::OK, &content_type, async move |pieces| {
        let sent = if takes_gzip {
            blob::send(&server, attachment.blob, 0, stored, &pieces).await
        } else {
            blob::send_unpacked(&server, &attachment, &pieces).await
        };
        if sent.is_err() {
            drop(pieces.send(Err(Broken)).await);
        }
    });
    if takes_gzip {
        reply::set(&mut reply, header::CONTENT_ENCODING, "gzip");
    }
    if let Some(length) = length {
        reply::set(&mut reply, header::CONTENT_LENGTH, &length.to_string());
    }
    reply
}

/// Whether a client with this `Accept-Encoding` takes gzip.
fn takes_gzip(accept: &str) -> bool {
    accept.split(',').any(|taken| {
        let mut parts = taken.split(';').map(str::trim);
        let name = parts.next().unwrap_or("");
        let refused = |part: &str| {
            let weight = part.strip_prefix("q=").map(str::parse::<f32>);
            weight.is_some_and(|weight| weight.is_ok_and(|weight| weight <= 0.0))
        };
        (name.eq_ignore_ascii_case("gzip") || name == "*") && !parts.any(refused)
    })
}

/// An attachment that lies as it is: whole or in parts.
fn identity(call: &Call, attachment: Attachment) -> Result<Reply, Refusal> {
    let length = attachment.length;
    let asked = call.header(header::RANGE).map_or(Asked::Whole, |text| range::read(text, length));
    let (status, Part { from, to }) = match asked {
        Asked::Whole => (StatusCode::OK, Part { from: 0, to: length }),
        Asked::Part(part) => (StatusCode::PARTIAL_CONTENT, part),
        Asked::Parts(parts) => return Ok(several(call, attachment, parts)),
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
        if blob::send(&server, blob, from, to, &pieces).await.is_err() {
            drop(pieces.send(Err(Broken)).await);
        }
    });
    reply::set(&mut reply, header::CONTENT_LENGTH, &(to - from).to_string());
    if status == StatusCode::PARTIAL_CONTENT {
        let range = format!("bytes {from}-{}/{length}", to - 1);
        reply::set(&mut reply, header::CONTENT_RANGE, &range);
    }
    Ok(reply)
}

/// Several ranges at once.
fn several(call: &Call, attachment: Attachment, parts: Vec<Part>) -> Reply {
    let server = Arc::clone(&call.server);
    let boundary = random_id();
    let content_type = format!("multipart/byteranges; boundary=\"{boundary}\"");
    reply::produced(StatusCode::PARTIAL_CONTENT, &content_type, async move |pieces| {
        let Attachment { content_type, length, blob, .. } = attachment;
        let content_type = content_type.replace(char::is_control, "");
        let written = async {
            for (index, Part { from, to }) in parts.into_iter().enumerate() {
                let before = if index == 0 { "" } else { "\r\n" };
                let last = to - 1;
                let mut head = format!(
                    "{before}--{boundary}\r\nContent-Type: {content_type}\r\n\
                     Content-Range: bytes {from}-{last}/{length}\r\n\r\n"
                )
                .into_bytes();
                reply::flush(&pieces, &mut head, true).await?;
                blob::send(&server, blob, from, to, &pieces).await?;
            }
            let mut end = format!("\r\n--{boundary}--").into_bytes();
            reply::flush(&pieces, &mut end, true).await
        };
        if written.await.is_err() {
            drop(pieces.send(Err(Broken)).await);
        }
    })
}

async fn put(call: &Call, database: &Arc<Database>, id: String, name: String) -> Handled {
    check_id(&id)?;
    let content_type = call.header(header::CONTENT_TYPE).unwrap_or(DEFAULT_CONTENT_TYPE).to_owned();
    attachment::check_name(&name, &content_type)
        .map_err(|bad| Refusal::bad_request(bad.to_string()))?;
    let encoding = match call.header(header::CONTENT_ENCODING).unwrap_or("identity").trim() {
        known if known.eq_ignore_ascii_case("identity") => Encoding::Identity,
        known if known.eq_ignore_ascii_case("gzip") => Encoding::Gzip,
        _ => {
            return Err(Refusal::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "bad_content_type",
                "Only gzip and identity content-encodings are supported",
            ));
        }
    };
    let revision = write::named_revision(call)?;
    let limit = call.store().options().attachment_bytes_max;
    let received = call.raw_body(limit).await?;
    let (data, kind) = (received.bytes.clone(), content_type.clone());
    let packed = heavy::run(data.len(), move || pack(encoding, &kind, data, limit)).await?;
    // A packed copy was made, or the bytes are shared with it.
    drop(received);
    let content = Content::Data { content_type, packed };
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

/// The bytes of a body with this `Content-Encoding` as they are stored.
fn pack(
    encoding: Encoding,
    content_type: &str,
    data: Bytes,
    limit: usize,
) -> Result<Packed, Refusal> {
    if encoding == Encoding::Identity {
        return Ok(packing::pack(content_type, data));
    }
    let stored = u64::try_from(data.len()).unwrap_or(u64::MAX);
    match packing::take_packed(data, limit) {
        // As in CouchDB, which does not look into it.
        Ok(packed) => Ok(Packed { length: stored, ..packed }),
        // CouchDB stores it and cannot unpack it later.
        Err(BadPacking::NotGzip) => {
            Err(Refusal::bad_request("Request body is not properly gzipped."))
        }
        Err(BadPacking::TooLarge) => {
            let reason = format!("the attachment is longer than {limit} bytes");
            Err(Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", reason))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_that_take_gzip_say_so() {
        for (accept, takes) in [
            ("", false),
            ("identity", false),
            ("gzip", true),
            ("deflate, GZIP;q=0.5", true),
            ("gzip;q=0", false),
            ("*", true),
            ("br, *;q=0", false),
        ] {
            assert_eq!(takes_gzip(accept), takes, "{accept}");
        }
    }
}
