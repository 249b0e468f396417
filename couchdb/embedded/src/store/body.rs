//! The bodies of revisions and the bytes of attachments: writing, reading, removing.

use super::schema::{CHUNK_BYTES, CHUNKS_MAX};
use crate::{
    document::attachment::{Attachment, BASE64},
    error::StoreError,
    revision::tree::BodyKey,
};
use base64::write::EncoderStringWriter;
use flate2::write::MultiGzDecoder;
use rusqlite::{Connection, OptionalExtension as _};
use std::io::Write as _;

/// A body as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Body {
    /// The user's members, the text of an object.
    pub(crate) text: String,
    /// In the order that CouchDB gives them, which is part of the revision's hash.
    pub(crate) attachments: Vec<Attachment>,
}

impl Body {
    fn bytes(&self) -> u64 {
        let attachments: u64 = self.attachments.iter().map(Attachment::stored_length).sum();
        u64::try_from(self.text.len()).unwrap_or(u64::MAX).saturating_add(attachments)
    }
}

/// Stores a body and counts its use of each blob. Returns its key and its size in bytes.
pub(super) fn add(connection: &Connection, body: &Body) -> Result<(BodyKey, u64), StoreError> {
    let attachments = if body.attachments.is_empty() {
        None
    } else {
        let text = serde_json::to_string(&body.attachments);
        Some(text.map_err(|_| StoreError::Damaged("attachments cannot be written"))?)
    };
    let mut statement =
        connection.prepare_cached("INSERT INTO bodies (text, attachments) VALUES (?1, ?2)")?;
    statement.execute((&body.text, &attachments))?;
    let key = connection.last_insert_rowid();
    for attachment in &body.attachments {
        let mut statement =
            connection.prepare_cached("UPDATE blobs SET uses = uses + 1 WHERE key = ?1")?;
        statement.execute([attachment.blob])?;
    }
    Ok((key, body.bytes()))
}

/// The body of this key.
pub(super) fn get(connection: &Connection, key: BodyKey) -> Result<Body, StoreError> {
    let mut statement =
        connection.prepare_cached("SELECT text, attachments FROM bodies WHERE key = ?1")?;
    let found: Option<(String, Option<String>)> =
        statement.query_row([key], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
    let (text, attachments) =
        found.ok_or(StoreError::Damaged("a body that a revision names is missing"))?;
    let attachments = match attachments {
        Some(text) => serde_json::from_str(&text)
            .map_err(|_| StoreError::Damaged("attachments cannot be read"))?,
        None => Vec::new(),
    };
    Ok(Body { text, attachments })
}

/// Removes a body, and the blobs that nobody else carries. Returns its size in bytes.
pub(super) fn remove(connection: &Connection, key: BodyKey) -> Result<u64, StoreError> {
    let body = get(connection, key)?;
    connection.prepare_cached("DELETE FROM bodies WHERE key = ?1")?.execute([key])?;
    for attachment in &body.attachments {
        let uses: Option<i64> = connection
            .prepare_cached("UPDATE blobs SET uses = uses - 1 WHERE key = ?1 RETURNING uses")?
            .query_row([attachment.blob], |row| row.get(0))
            .optional()?;
        if uses == Some(0) {
            remove_blob(connection, attachment.blob)?;
        }
    }
    Ok(body.bytes())
}

/// Stores the bytes of an attachment, with no use yet.
pub(super) fn add_blob(connection: &Connection, data: &[u8]) -> Result<i64, StoreError> {
    let mut statement =
        connection.prepare_cached("INSERT INTO blobs (uses, length) VALUES (0, ?1)")?;
    statement.execute([data.len()])?;
    let key = connection.last_insert_rowid();
    let mut statement =
        connection.prepare_cached("INSERT INTO chunks (key, data) VALUES (?1, ?2)")?;
    for (number, chunk) in (0..).zip(data.chunks(CHUNK_BYTES)) {
        if number >= CHUNKS_MAX {
            return Err(StoreError::Damaged("an attachment is too large for the store"));
        }
        statement.execute((key * CHUNKS_MAX + number, chunk))?;
    }
    Ok(key)
}

/// A piece of an attachment, [`CHUNK_BYTES`] long but for the last.
pub(super) fn chunk(
    connection: &Connection,
    blob: i64,
    number: i64,
) -> Result<Vec<u8>, StoreError> {
    let mut statement = connection.prepare_cached("SELECT data FROM chunks WHERE key = ?1")?;
    let data = statement.query_row([blob * CHUNKS_MAX + number], |row| row.get(0)).optional()?;
    data.ok_or(StoreError::Damaged("a piece of an attachment is missing"))
}

/// All bytes of an attachment, unpacked, in base64. Only one piece of them is held beside that.
pub(super) fn base64(
    connection: &Connection,
    attachment: &Attachment,
) -> Result<String, StoreError> {
    let mut text = EncoderStringWriter::new(&BASE64);
    let damaged = |_| StoreError::Damaged("an attachment cannot be unpacked");
    if attachment.encoded_length.is_some() {
        let mut unpacked = MultiGzDecoder::new(text);
        pieces(connection, attachment, |piece| unpacked.write_all(piece).map_err(damaged))?;
        text = unpacked.finish().map_err(damaged)?;
    } else {
        pieces(connection, attachment, |piece| text.write_all(piece).map_err(damaged))?;
    }
    Ok(text.into_inner())
}

/// Hands over the pieces of a blob one by one.
fn pieces(
    connection: &Connection,
    attachment: &Attachment,
    mut take: impl FnMut(&[u8]) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let mut left = attachment.stored_length();
    let mut number = 0;
    while left > 0 {
        let piece = chunk(connection, attachment.blob, number)?;
        left = left.saturating_sub(u64::try_from(piece.len()).unwrap_or(u64::MAX));
        take(&piece)?;
        number += 1;
    }
    Ok(())
}

fn remove_blob(connection: &Connection, key: i64) -> Result<(), StoreError> {
    let mut statement =
        connection.prepare_cached("DELETE FROM chunks WHERE key >= ?1 AND key < ?2")?;
    statement.execute((key * CHUNKS_MAX, (key + 1) * CHUNKS_MAX))?;
    connection.prepare_cached("DELETE FROM blobs WHERE key = ?1")?.execute([key])?;
    Ok(())
}
