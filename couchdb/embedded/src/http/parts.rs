//! Revisions side by side, as an array or as `multipart/mixed`: read a few at a time while they are
//! sent, so that the answer may be much larger than what it holds in memory.

use super::{
    blob::Related,
    call::Server,
    reply::{self, Broken, Pieces, Reply},
};
use crate::{
    document::render::Told,
    error::StoreError,
    revision::Revision,
    store::{
        database::{Database, random_id},
        read::{Document, Opened, Which},
    },
};
use http::StatusCode;
use serde_json::{Value, json};
use std::sync::Arc;

/// One revision of an answer.
#[derive(Debug)]
pub(crate) enum Part {
    /// The document as JSON.
    Found(Vec<u8>),
    /// The document and the attachments that follow it.
    Related(Related),
    Missing(Revision),
    /// The member `error` of a row of `_bulk_get`.
    Error(Value),
}

/// Revisions of one document that are still to be read.
#[derive(Debug)]
pub(crate) struct Reader {
    pub(crate) id: String,
    /// None when all were read.
    pub(crate) which: Option<Which>,
    /// With `_revisions`.
    pub(crate) revs: bool,
    /// What is wanted of the attachments.
    pub(crate) bytes: Bytes,
}

/// How the bytes of attachments are sent along.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Bytes {
    /// They are not.
    None,
    /// In the document, in base64.
    Inline,
    /// In parts that follow it, unless they came with one of these revisions or before it.
    Following { known: Vec<Revision> },
}

impl Bytes {
    /// What is told of the attachments of this revision.
    pub(crate) fn told(&self, document: &Document, revision: &Revision) -> Told {
        let Bytes::Following { known } = self else { return Told::default() };
        let path = document.tree.path(revision).into_iter().map(|node| &node.revision);
        let newest = path.filter(|revision| known.contains(revision));
        let newest = newest.map(|revision| revision.generation).max();
        Told { encodings: true, following_after: Some(newest.unwrap_or(0)) }
    }
}

impl Reader {
    /// The next few revisions, in memory together: up to about a MiB and one more revision.
    ///
    /// `Ok(None)` for a document that is not there.
    pub(crate) async fn next(
        &mut self,
        server: &Server,
        database: &Database,
    ) -> Result<Option<Vec<Part>>, StoreError> {
        let Some(which) = self.which.take() else { return Ok(Some(Vec::new())) };
        let inline = self.bytes == Bytes::Inline;
        let read = server.store.document(database, self.id.clone(), which, inline).await?;
        let Some(mut document) = read else { return Ok(None) };
        let rest = std::mem::take(&mut document.rest);
        if !rest.is_empty() {
            self.which = Some(Which::These { revisions: rest, latest: false });
        }
        let opened = std::mem::take(&mut document.revisions);
        let part = |opened| part(&document, opened, self.revs, &self.bytes);
        Ok(Some(opened.into_iter().map(part).collect()))
    }

    /// All were read.
    pub(crate) fn is_done(&self) -> bool {
        self.which.is_none()
    }
}

fn part(document: &Document, opened: Opened, revs: bool, bytes: &Bytes) -> Part {
    match opened {
        Opened::Missing(revision) => Part::Missing(revision),
        Opened::Found(found) => {
            let told = bytes.told(document, &found.revision);
            let mut render = found.render_as(&document.id, told);
            if revs {
                render.member("_revisions", &document.revisions_member(&found.revision));
            }
            match Related::new(render.finish(), *found, told) {
                Ok(related) => Part::Related(related),
                Err(document) => Part::Found(document),
            }
        }
    }
}

/// What an answer looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// An array of `{"ok": ..}` and `{"missing": ..}`.
    Array,
    /// `multipart/mixed`: what CouchDB's replicators ask for.
    Mixed,
}

/// An answer whose parts are written by `write`; an error of it breaks the connection off, so that the
/// client does not take what came for the whole.
pub(crate) fn answer<F, W>(server: Arc<Server>, form: Form, write: W) -> Reply
where
    F: Future<Output = Result<Writer, Broken>> + Send + 'static,
    W: FnOnce(Writer) -> F + Send + 'static,
{
    let boundary = random_id();
    let content_type = match form {
        Form::Array => String::from("application/json"),
        Form::Mixed => format!("multipart/mixed; boundary=\"{boundary}\""),
    };
    reply::produced(StatusCode::OK, &content_type, async move |pieces| {
        let writer =
            Writer { server, form, boundary, pieces: pieces.clone(), text: Vec::new(), count: 0 };
        let written = async { write(writer).await?.end().await };
        if written.await.is_err() {
            drop(pieces.send(Err(Broken)).await);
        }
    })
}

/// Writes the parts of an answer.
#[derive(Debug)]
pub(crate) struct Writer {
    server: Arc<Server>,
    form: Form,
    boundary: String,
    pieces: Pieces,
    text: Vec<u8>,
    count: u64,
}

impl Writer {
    /// Writes one part, and waits while the client is slow.
    pub(crate) async fn part(&mut self, part: Part) -> Result<(), Broken> {
        match self.form {
            Form::Array => {
                self.text.push(if self.count == 0 { b'[' } else { b',' });
                match part {
                    Part::Found(document) => {
                        self.text.extend_from_slice(b"{\"ok\":");
                        self.text.extend_from_slice(&document);
                        self.text.push(b'}');
                    }
                    other => self.text.extend_from_slice(failure(other).to_string().as_bytes()),
                }
            }
            Form::Mixed => {
                let (kind, body) = match part {
                    Part::Related(related) => {
                        let kind = related.content_type();
                        let head = format!("--{}\r\nContent-Type: {kind}\r\n\r\n", self.boundary);
                        self.text.extend_from_slice(head.as_bytes());
                        related.write(&self.server, &self.pieces, &mut self.text).await?;
                        self.text.extend_from_slice(b"\r\n");
                        self.count += 1;
                        return reply::flush(&self.pieces, &mut self.text, false).await;
                    }
                    Part::Found(document) => ("application/json", document),
                    other => {
                        let body = failure(other).to_string().into_bytes();
                        ("application/json; error=\"true\"", body)
                    }
                };
                let head = format!("--{}\r\nContent-Type: {kind}\r\n\r\n", self.boundary);
                self.text.extend_from_slice(head.as_bytes());
                self.text.extend_from_slice(&body);
                self.text.extend_from_slice(b"\r\n");
            }
        }
        self.count += 1;
        reply::flush(&self.pieces, &mut self.text, false).await
    }

    async fn end(mut self) -> Result<(), Broken> {
        match self.form {
            Form::Array if self.count == 0 => self.text.extend_from_slice(b"[]\n"),
            Form::Array => self.text.extend_from_slice(b"]\n"),
            Form::Mixed => {
                self.text.extend_from_slice(format!("--{}--", self.boundary).as_bytes());
            }
        }
        reply::flush(&self.pieces, &mut self.text, true).await
    }
}

/// What is told instead of a document.
pub(crate) fn failure(part: Part) -> Value {
    match part {
        Part::Missing(revision) => json!({"missing": revision.to_string()}),
        Part::Error(error) => error,
        Part::Found(_) | Part::Related(_) => Value::Null,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        options::{Options, Storage},
        store::{
            Store, databases, edit,
            edit::{Edit, Kind},
        },
    };
    use tokio_util::sync::CancellationToken;

    /// Of many large conflicts few are in memory at a time, and each comes once.
    #[tokio::test]
    async fn a_reader_takes_about_a_mebibyte_at_a_time() {
        let store = Store::open(Storage::Memory, Options::default()).unwrap();
        store.write(|tx| databases::create(tx, String::from("db"), 1)).await.unwrap();
        let database = store.catalog().get("db").unwrap();
        let revisions: Vec<Revision> =
            (0..6).rev().map(|n| format!("1-{n}").parse().unwrap()).collect();
        for revision in revisions.clone() {
            let database = Arc::clone(&database);
            let text = format!("{{\"large\":\"{}\"}}", "x".repeat(600_000));
            let write = store.write(move |tx| {
                let path = vec![revision];
                let kind = Kind::Merge { path, deleted: false, text, attachments: Vec::new() };
                edit::apply(tx, &database, Edit { id: String::from("a"), kind })
            });
            write.await.unwrap();
        }
        let server = Server::new(store, CancellationToken::new());
        let mut asked = revisions.clone();
        asked.insert(5, "1-9".parse().unwrap());
        for (which, pages) in [
            (Which::Leaves, vec![2, 2, 2]),
            (Which::These { revisions: asked, latest: false }, vec![2, 2, 3]),
        ] {
            let id = String::from("a");
            let mut reader = Reader { id, which: Some(which), revs: false, bytes: Bytes::None };
            let mut counts = Vec::new();
            let mut found = Vec::new();
            while !reader.is_done() {
                let parts = reader.next(&server, &database).await.unwrap().unwrap();
                counts.push(parts.len());
                found.extend(parts.into_iter().filter_map(|part| match part {
                    Part::Found(document) => Some(String::from_utf8(document).unwrap()),
                    _ => None,
                }));
            }
            assert_eq!(counts, pages);
            assert_eq!(found.len(), 6);
            for (document, revision) in found.iter().zip(&revisions) {
                assert!(document.contains(&format!("\"_rev\":\"{revision}\"")));
            }
        }
    }
}
