//! Attachments: bytes that belong to a document.

use bytes::Bytes;
use http::{HeaderValue, Method};
use serde::Serialize;

use crate::database::Database;
use crate::error::Error;
use crate::put::{Put, object};
use crate::revision::Revision;

/// An attachment on its way to the server.
#[derive(Debug, Clone, Copy)]
pub struct NewAttachment<'a> {
    /// Its name below the document.
    pub name: &'a str,
    /// What it is.
    pub content_type: &'a str,
    /// All of it.
    pub bytes: &'a [u8],
}

impl Database {
    /// The bytes of an attachment; `None` when the document or the attachment does not exist.
    ///
    /// # Errors
    ///
    /// [`Error::TooLarge`] above 64 MiB.
    pub async fn attachment(&self, id: &str, name: &str) -> Result<Option<Bytes>, Error> {
        let mut request = self.read(Method::GET, self.path()?.document(id)?.attachment(name)?);
        request.timeout = self.client().attachment_timeout();
        self.find(&request).await
    }

    /// Stores an attachment over a revision of its document; `None` makes a document that has nothing
    /// else. The outcome is that of a new revision of the document.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] when `content_type` is no header value; otherwise as [`Database::put`].
    pub async fn put_attachment(
        &self,
        id: &str,
        name: &str,
        revision: Option<&Revision>,
        content_type: &str,
        bytes: Bytes,
    ) -> Result<Put, Error> {
        let content_type = HeaderValue::from_str(content_type).map_err(|_| Error::Invalid {
            what: "a content type",
            value: content_type.to_owned(),
            reason: "a header holds printable ASCII only".to_owned(),
        })?;
        let path = self.path()?.document(id)?.attachment(name)?.parameter_if("rev", revision);
        let mut request = self.write(Method::PUT, path).content(content_type, bytes);
        request.timeout = self.client().attachment_timeout();
        self.put_request(&request).await
    }

    /// Writes a document together with one attachment, over `revision` or as a new one: one request and one
    /// revision, so that whoever hears of the document finds the attachment. Other attachments of an earlier
    /// revision go.
    ///
    /// The bytes travel as they are in a part of their own (`multipart/related`). As base64 inside the document
    /// they would be a third longer, and the server would hold them as JSON before it could look at them.
    ///
    /// `body` must serialise to a JSON object without `_id`, `_rev` and `_attachments`.
    ///
    /// # Errors
    ///
    /// As [`Database::put`].
    ///
    /// Source: CouchDB documentation, "Creating Multiple Attachments" of `PUT /{db}/{docid}`.
    pub async fn put_with_attachment<T: Serialize + ?Sized>(
        &self,
        id: &str,
        revision: Option<&Revision>,
        body: &T,
        attachment: NewAttachment<'_>,
    ) -> Result<Put, Error> {
        let mut request = self.write(Method::PUT, self.path()?.document(id)?);
        request.timeout = self.client().attachment_timeout();
        let document = object(revision, body).and_then(|text| with_stub(text, attachment));
        let document = document.map_err(|source| Error::Encode {
            request: self.client().exchange().name(&request),
            source,
        })?;
        let boundary = boundary()?;
        let content_type = format!("multipart/related; boundary=\"{boundary}\"");
        let content_type =
            HeaderValue::from_str(&content_type).map_err(|cause| Error::Invalid {
                what: "a content type",
                value: content_type,
                reason: cause.to_string(),
            })?;
        let parts = related(&boundary, &document, attachment.bytes);
        self.put_request(&request.content(content_type, Bytes::from(parts))).await
    }
}

/// The document's text with the announcement of the attachment that follows it.
fn with_stub(
    mut text: Vec<u8>,
    attachment: NewAttachment<'_>,
) -> Result<Vec<u8>, serde_json::Error> {
    // The text is an object: what stands behind its last member is one brace.
    text.pop();
    let is_empty = !text.iter().skip(1).any(|byte| !byte.is_ascii_whitespace());
    if !is_empty {
        text.push(b',');
    }
    let stub = serde_json::json!({
        "follows": true,
        "content_type": attachment.content_type,
        "length": attachment.bytes.len(),
    });
    text.extend_from_slice(b"\"_attachments\":{");
    serde_json::to_writer(&mut text, attachment.name)?;
    text.push(b':');
    serde_json::to_writer(&mut text, &stub)?;
    text.extend_from_slice(b"}}");
    Ok(text)
}

/// The body: the document, then the bytes.
fn related(boundary: &str, document: &[u8], bytes: &[u8]) -> Vec<u8> {
    let head = format!("--{boundary}\r\nContent-Type: application/json\r\n\r\n");
    let between = format!("\r\n--{boundary}\r\n\r\n");
    let end = format!("\r\n--{boundary}--");
    [head.as_bytes(), document, between.as_bytes(), bytes, end.as_bytes()].concat()
}

/// A boundary that nobody can have put into the bytes: 128 random bits, new for each request.
fn boundary() -> Result<String, Error> {
    let mut random = [0; 16];
    getrandom::fill(&mut random).map_err(|cause| Error::Invalid {
        what: "the boundary of a body",
        value: String::new(),
        reason: format!("the system gives no random numbers: {cause}"),
    })?;
    Ok(random.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn a_document_announces_what_follows_it() {
        let attachment =
            NewAttachment { name: "a \"b\"", content_type: "application/wasm", bytes: b"123" };
        let stub = json!({"follows": true, "content_type": "application/wasm", "length": 3});
        let revision: Revision = "2-a".parse().unwrap();
        for body in [json!({}), json!({"a": {"b": 1}})] {
            for revision in [None, Some(&revision)] {
                let text = with_stub(object(revision, &body).unwrap(), attachment).unwrap();
                let mut wanted = body.clone();
                wanted["_attachments"] = json!({"a \"b\"": stub});
                if let Some(revision) = revision {
                    wanted["_rev"] = json!(revision);
                }
                assert_eq!(serde_json::from_slice::<Value>(&text).unwrap(), wanted);
            }
        }
        assert_eq!(
            related("x", b"{}", b"123"),
            b"--x\r\nContent-Type: application/json\r\n\r\n{}\r\n--x\r\n\r\n123\r\n--x--"
        );
    }
}
