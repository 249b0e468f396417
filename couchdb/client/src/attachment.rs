//! Attachments: bytes that belong to a document.

use bytes::Bytes;
use http::{HeaderValue, Method};

use crate::database::Database;
use crate::error::Error;
use crate::put::Put;
use crate::revision::Revision;

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
}
