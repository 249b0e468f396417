//! The bytes of attachments on their way out: a piece of the store at a time, as they lie there or
//! unpacked, and as the parts that follow a document.

use super::{
    call::Server,
    reply::{self, Broken, Pieces},
};
use crate::{
    document::{attachment::Attachment, render::Told},
    error::StoreError,
    store::{CHUNK_BYTES, database::random_id, read::Found},
};
use bytes::Bytes;
use flate2::write::MultiGzDecoder;
use std::io::Write as _;

const CHUNK: u64 = CHUNK_BYTES as u64;

/// How many packed bytes are unpacked in one go. Deflate makes at most about a thousand times as much
/// of them, which is then in memory until the client takes it.
const UNPACKED_AT_ONCE: usize = 4 << 10;

/// Sends the bytes of a blob from `from` up to but without `to`.
pub(crate) async fn send(
    server: &Server,
    blob: i64,
    from: u64,
    to: u64,
    pieces: &Pieces,
) -> Result<(), Broken> {
    let mut at = from;
    while at < to {
        let piece = piece(server, blob, at, to).await?;
        at += u64::try_from(piece.len()).unwrap_or(CHUNK);
        pieces.send(Ok(piece)).await.map_err(|_| Broken)?;
    }
    Ok(())
}

/// The bytes from `at` to the end of their piece of the blob, or to `to`.
async fn piece(server: &Server, blob: i64, at: u64, to: u64) -> Result<Bytes, Broken> {
    let number = at / CHUNK;
    let key = i64::try_from(number).map_err(|_| Broken)?;
    let data = server.store.chunk(blob, key).await.map_err(|_| Broken)?;
    let start = usize::try_from(at - number * CHUNK).map_err(|_| Broken)?;
    let end = usize::try_from(to - number * CHUNK).map_err(|_| Broken)?.min(data.len());
    if start >= end {
        return Err(Broken);
    }
    Ok(Bytes::from(data).slice(start..end))
}

/// The bytes of an attachment as they lie there.
pub(crate) async fn whole(server: &Server, attachment: &Attachment) -> Result<Bytes, StoreError> {
    let length = attachment.stored_length();
    let mut whole = Vec::with_capacity(usize::try_from(length).unwrap_or_default());
    for number in 0..length.div_ceil(CHUNK) {
        let number = i64::try_from(number).unwrap_or(i64::MAX);
        whole.extend_from_slice(&server.store.chunk(attachment.blob, number).await?);
    }
    Ok(whole.into())
}

/// Sends the bytes of an attachment as they were before they were packed.
pub(crate) async fn send_unpacked(
    server: &Server,
    attachment: &Attachment,
    pieces: &Pieces,
) -> Result<(), Broken> {
    let stored = attachment.stored_length();
    if attachment.encoded_length.is_none() {
        return send(server, attachment.blob, 0, stored, pieces).await;
    }
    let mut unpacked = MultiGzDecoder::new(Vec::new());
    let mut at = 0;
    while at < stored {
        let piece = piece(server, attachment.blob, at, stored).await?;
        at += u64::try_from(piece.len()).unwrap_or(CHUNK);
        for packed in piece.chunks(UNPACKED_AT_ONCE) {
            unpacked.write_all(packed).map_err(|_| Broken)?;
            reply::flush(pieces, unpacked.get_mut(), false).await?;
        }
    }
    unpacked.try_finish().map_err(|_| Broken)?;
    reply::flush(pieces, unpacked.get_mut(), true).await
}

/// A document whose attachments follow it: the body of a `multipart/related`.
#[derive(Debug)]
pub(crate) struct Related {
    document: Vec<u8>,
    boundary: String,
    following: Vec<Attachment>,
}

impl Related {
    /// The body for the document, which was rendered with the same `told`; or the document again, when
    /// nothing follows it.
    pub(crate) fn new(document: Vec<u8>, found: Found, told: Told) -> Result<Related, Vec<u8>> {
        let attachments = found.body.attachments.into_iter();
        let following: Vec<Attachment> = attachments.filter(|one| told.follows(one)).collect();
        if following.is_empty() {
            return Err(document);
        }
        Ok(Related { document, boundary: random_id(), following })
    }

    pub(crate) fn content_type(&self) -> String {
        format!("multipart/related; boundary=\"{}\"", self.boundary)
    }

    fn first(&self) -> String {
        format!("--{}\r\nContent-Type: application/json\r\n\r\n", self.boundary)
    }

    /// What stands before the bytes of an attachment. As in CouchDB the name is as it is, but for
    /// what would end the line.
    fn head(&self, attachment: &Attachment) -> String {
        let plain = |text: &str| text.replace(char::is_control, "");
        let encoding =
            if attachment.encoded_length.is_some() { "Content-Encoding: gzip\r\n" } else { "" };
        format!(
            "\r\n--{}\r\nContent-Disposition: attachment; filename=\"{}\"\r\nContent-Type: {}\r\n\
             Content-Length: {}\r\n{encoding}\r\n",
            self.boundary,
            plain(&attachment.name),
            plain(&attachment.content_type),
            attachment.stored_length(),
        )
    }

    fn last(&self) -> String {
        format!("\r\n--{}--", self.boundary)
    }

    /// How many bytes [`write`](Related::write) sends.
    pub(crate) fn length(&self) -> u64 {
        let parts = self.following.iter().map(|one| {
            let head = u64::try_from(self.head(one).len()).unwrap_or(u64::MAX);
            head.saturating_add(one.stored_length())
        });
        let around = self.first().len() + self.document.len() + self.last().len();
        parts.fold(u64::try_from(around).unwrap_or(u64::MAX), u64::saturating_add)
    }

    /// Sends `text`, then all parts; what is left over stays in `text`.
    pub(crate) async fn write(
        self,
        server: &Server,
        pieces: &Pieces,
        text: &mut Vec<u8>,
    ) -> Result<(), Broken> {
        text.extend_from_slice(self.first().as_bytes());
        text.extend_from_slice(&self.document);
        for attachment in &self.following {
            text.extend_from_slice(self.head(attachment).as_bytes());
            reply::flush(pieces, text, true).await?;
            send(server, attachment.blob, 0, attachment.stored_length(), pieces).await?;
        }
        text.extend_from_slice(self.last().as_bytes());
        Ok(())
    }
}
