//! Writing one document, and how the revision check ended.

use std::time::Duration;

use http::{Method, StatusCode};
use serde::{Deserialize, Serialize};

use crate::database::Database;
use crate::error::Error;
use crate::exchange::{Refusal, Request};
use crate::revision::Revision;

/// How a write ended that reached the server.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "a write that lost the revision check is not an error, and not stored"]
pub enum Put {
    /// 201 or 200: stored on as many copies as were asked for.
    Created(Revision),
    /// 202: stored, but on fewer copies. Another revision may have been stored on the others, and
    /// either of the two may win.
    Accepted(Revision),
    /// 409: the document has another revision than the one given. Nothing was stored.
    Conflict,
}

/// How to write a document.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PutOptions {
    /// Copies that must acknowledge, `w`; the database's default when `None`. More than the database
    /// has ([`Cluster::n`](crate::Cluster)) gives [`Put::Accepted`] for ever.
    pub quorum: Option<u32>,
    /// How long the whole request may take; the client's default when `None`.
    pub timeout: Option<Duration>,
}

impl Database {
    /// Writes a document: over `revision`, or as a new one when that is `None`.
    ///
    /// `body` must serialise to a JSON object, without `_id` and `_rev`. The new revision has the
    /// attachments that `body` names in `_attachments` (stubs will do) and no others: one that names
    /// none takes them away. The request is sent at most once.
    ///
    /// # Errors
    ///
    /// Any of [`Error`]; where [`Error::is_outcome_unknown`] says so, it may be stored all the same.
    /// Then writing again may meet this very write as a conflict: read first.
    pub async fn put<T: Serialize + ?Sized>(
        &self,
        id: &str,
        revision: Option<&Revision>,
        body: &T,
        options: PutOptions,
    ) -> Result<Put, Error> {
        let path = self.path()?.document(id)?.parameter_if("w", options.quorum);
        let mut request = self.write(Method::PUT, path);
        if let Some(timeout) = options.timeout {
            request.timeout = timeout;
        }
        match object(revision, body) {
            Ok(body) => self.put_request(&request.json(body)).await,
            Err(source) => {
                Err(Error::Encode { request: self.client().exchange().name(&request), source })
            }
        }
    }

    /// Deletes a document, if `revision` is one of its leaves; otherwise a conflict, also when the
    /// document never existed or is deleted already.
    ///
    /// # Errors
    ///
    /// As [`Database::put`].
    pub async fn delete(&self, id: &str, revision: &Revision) -> Result<Put, Error> {
        let path = self.path()?.document(id)?.parameter("rev", revision.as_str());
        self.put_request(&self.write(Method::DELETE, path)).await
    }

    /// Sends a write of one document.
    pub(crate) async fn put_request(&self, request: &Request) -> Result<Put, Error> {
        let exchange = self.client().exchange();
        let answer = exchange.call(request).await?;
        let stored = || exchange.decode::<Stored>(request, &answer.body).map(|stored| stored.rev);
        match answer.status {
            StatusCode::CREATED | StatusCode::OK => stored().map(Put::Created),
            StatusCode::ACCEPTED => stored().map(Put::Accepted),
            StatusCode::CONFLICT => Ok(Put::Conflict),
            // DELETE of what is deleted already says 404 and not 409.
            _ if Refusal::is_missing_document(&answer) => Ok(Put::Conflict),
            _ => Err(exchange.refuse(request, &answer)),
        }
    }
}

#[derive(Deserialize)]
struct Stored {
    rev: Revision,
}

/// A body as JSON text, with the revision in it.
///
/// The revision is written first and the body behind it, whose opening brace becomes a comma: no second
/// pass over a large body.
pub(crate) fn object<T: Serialize + ?Sized>(
    revision: Option<&Revision>,
    body: &T,
) -> Result<Vec<u8>, serde_json::Error> {
    let mut text = Vec::new();
    if let Some(revision) = revision {
        text.extend_from_slice(b"{\"_rev\":");
        serde_json::to_writer(&mut text, revision)?;
    }
    let start = text.len();
    serde_json::to_writer(&mut text, body)?;
    if text.get(start) != Some(&b'{') {
        let reason = "a document's body must be a JSON object";
        return Err(serde::ser::Error::custom(reason));
    }
    if revision.is_some() {
        let inside = text.iter().skip(start + 1).find(|byte| !byte.is_ascii_whitespace());
        text[start] = if inside == Some(&b'}') { b' ' } else { b',' };
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::value::RawValue;
    use serde_json::{Value, json};

    #[test]
    fn the_revision_is_spliced_into_the_body() {
        let revision: Revision = "2-a\"b".parse().unwrap();
        for body in [json!({}), json!({"a": 1}), json!({"a": {"_rev": "x"}, "b": []})] {
            let mut wanted = body.clone();
            assert_eq!(object(None, &body).unwrap(), body.to_string().into_bytes());
            wanted["_rev"] = json!("2-a\"b");
            let spliced = object(Some(&revision), &body).unwrap();
            assert_eq!(serde_json::from_slice::<Value>(&spliced).unwrap(), wanted, "for {body}");
        }
        let spaced = RawValue::from_string("{ \n }".to_owned()).unwrap();
        let spliced = object(Some(&revision), &spaced).unwrap();
        assert_eq!(serde_json::from_slice::<Value>(&spliced).unwrap(), json!({"_rev": "2-a\"b"}));
    }

    #[test]
    fn a_body_that_is_no_object_is_refused() {
        let revision: Revision = "1-a".parse().unwrap();
        for body in [json!([]), json!(1), json!("{"), json!(null)] {
            assert!(object(None, &body).is_err(), "{body} passed");
            assert!(object(Some(&revision), &body).is_err(), "{body} passed");
        }
    }
}
