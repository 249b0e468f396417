//! `COPY`: a document or a `_local` document once more, under the id that `Destination` names.
//!
//! The copy is an edit like any other: what holds for a PUT of the same document holds for it.

use super::{
    blob,
    call::{BODY_BYTES_MAX, Call, too_large},
    document::{to_be_read, written},
    local, query,
    refusal::Refusal,
    reply::Handled,
    write::{self, Origin},
};
use crate::{
    document::{
        attachment::{Attachment, Content, Given},
        draft::{BadId, Draft, check_id},
        packing::{Encoding, Packed},
    },
    error::StoreError,
    revision::Revision,
    store::{
        database::Database,
        read::{Opened, Which},
    },
};
use http::{HeaderName, StatusCode};
use std::sync::Arc;

/// Copies the document of this id.
pub(crate) async fn copy(call: &Call, database: &Arc<Database>, id: String) -> Handled {
    call.query.get("rev").map(to_be_read).transpose()?;
    let asked = write::named_revision(call)?;
    let (target, revision) = destination(call)?;
    check_id(&target)?;
    let source = read(call, database, id, asked).await?;
    let bytes = source.attachments.iter().map(Attachment::stored_length).sum();
    if usize::try_from(bytes).map_or(true, |bytes| bytes > BODY_BYTES_MAX) {
        return Err(too_large(BODY_BYTES_MAX));
    }
    let _place = call.server.place(bytes).await;
    let mut draft = Draft {
        id: None,
        revision,
        history: Vec::new(),
        deleted: source.deleted,
        body: source.text.into(),
        attachments: Vec::new(),
    };
    if target.starts_with("_local/") {
        return local::put(call, database, target, draft).await;
    }
    for attachment in source.attachments {
        draft.attachments.push(given(call, attachment).await?);
    }
    let limit = call.store().options().document_bytes_max;
    let edit = write::edit(draft, target.clone(), Origin::Single, limit)?;
    let outcome = write::apply(call, database, edit).await?;
    let revision = write::stored(outcome, &target)?;
    Ok(written(call, database, &target, &revision, StatusCode::CREATED))
}

const DESTINATION: HeaderName = HeaderName::from_static("destination");

/// The id that the copy gets, and the revision that it follows: `id` or `id?rev=revision`.
fn destination(call: &Call) -> Result<(String, Option<Revision>), Refusal> {
    let value = call.parts.headers.get(DESTINATION);
    let value =
        value.ok_or_else(|| Refusal::bad_request("Destination header is mandatory for COPY."))?;
    let text = str::from_utf8(value.as_bytes()).map_err(|_| BadId::NotUtf8)?;
    if text.starts_with("http://") || text.starts_with("https://") {
        return Err(Refusal::bad_request("Destination URL must be relative."));
    }
    let (id, revision) = match text.split_once('?') {
        None => (text, None),
        Some((id, parameter)) => {
            let wrong = || Refusal::bad_request("Destination must be `id` or `id?rev=revision`.");
            // As in CouchDB the name before the revision does not matter.
            let (_, revision) = parameter.split_once('=').ok_or_else(wrong)?;
            (id, Some(write::followed(revision)?))
        }
    };
    Ok((query::decode(id).ok_or(BadId::NotUtf8)?, revision))
}

/// What is copied.
struct Source {
    text: String,
    deleted: bool,
    attachments: Vec<Attachment>,
}

async fn read(
    call: &Call,
    database: &Database,
    id: String,
    asked: Option<Revision>,
) -> Result<Source, Refusal> {
    let missing = || Refusal::not_found("missing");
    if id.starts_with("_local/") {
        let local = call.store().local(database, id).await?.ok_or_else(missing)?;
        return Ok(Source { text: local.text, deleted: false, attachments: Vec::new() });
    }
    let by_revision = asked.is_some();
    let which = asked.map_or(Which::Winner, |revision| Which::These {
        revisions: vec![revision],
        latest: false,
    });
    let document = call.store().document(database, id, which, false).await?.ok_or_else(missing)?;
    let Some(Opened::Found(found)) = document.revisions.into_iter().next() else {
        return Err(missing());
    };
    if found.deleted && !by_revision {
        return Err(Refusal::not_found("deleted"));
    }
    let (text, attachments) = (found.body.text, found.body.attachments);
    Ok(Source { text, deleted: found.deleted, attachments })
}

/// An attachment with its bytes as they are stored, so that it keeps its digest.
async fn given(call: &Call, attachment: Attachment) -> Result<Given, Refusal> {
    let data = blob::whole(&call.server, &attachment).await.map_err(|error| match error {
        // Its revision was purged or compacted away since it was read.
        StoreError::Damaged(_) => Refusal::not_found("missing"),
        error => error.into(),
    })?;
    let packed = attachment.encoded_length.is_some();
    let encoding = if packed { Encoding::Gzip } else { Encoding::Identity };
    let Attachment { name, content_type, revpos, digest, length, .. } = attachment;
    let packed = Packed { encoding, digest, length, data };
    Ok(Given { name, revpos: Some(revpos), content: Content::Data { content_type, packed } })
}
