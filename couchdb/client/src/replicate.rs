//! What a replicator asks of its two databases: which revisions are missing, the missing ones with their
//! history, and storing them as they are.
//!
//! All of these may be sent twice: a revision that is stored again is the same revision.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::{HeaderValue, Method, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::database::Database;
use crate::error::Error;
use crate::exchange::Request;
use crate::path::Path;
use crate::revision::Revision;

/// The largest answer that may hold attachments, in bytes: an attachment of 64 MiB in base64 and its
/// document.
const ATTACHMENTS_BYTES_MAX: usize = 96 * 1024 * 1024;

/// What a database does not have of a document.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Missing {
    /// These revisions.
    pub missing: Vec<Revision>,
    /// Leaves that it has and that the missing ones may follow.
    #[serde(default)]
    pub possible_ancestors: Vec<Revision>,
}

/// A revision to be fetched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Wanted {
    /// The document's id.
    pub id: String,
    /// The revision. When it has been followed by others, its newest ones are given instead.
    #[serde(rename = "rev")]
    pub revision: Revision,
}

/// What came of a revision that was wanted.
#[derive(Debug, Clone)]
pub enum Fetched {
    /// The document with `_revisions`.
    Found {
        /// Its id.
        id: String,
        /// Its revision.
        revision: Revision,
        /// Its text.
        document: Box<RawValue>,
        /// Its attachments are only named, not carried.
        has_stubs: bool,
    },
    /// It cannot be had.
    Refused(Refused),
}

/// A document that was not stored or could not be fetched.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Refused {
    /// Its id.
    #[serde(default)]
    pub id: String,
    /// CouchDB's word for the reason.
    pub error: String,
    /// The server's own words.
    #[serde(default)]
    pub reason: String,
}

impl Database {
    /// Asks which of these revisions are missing. What is not missing is not in the answer.
    ///
    /// # Errors
    ///
    /// Any of [`Error`].
    pub async fn revs_diff(
        &self,
        revisions: &BTreeMap<&str, &[Revision]>,
    ) -> Result<BTreeMap<String, Missing>, Error> {
        let request = self.repeatable(Method::POST, self.path()?.endpoint("_revs_diff"));
        let body =
            serde_json::to_vec(revisions).map_err(|source| self.unwritten(&request, source))?;
        let request = request.json(body);
        let answer = self.client().call_for(&request, &[StatusCode::OK]).await?;
        self.client().exchange().decode(&request, &answer.body)
    }

    /// Fetches revisions with their history; with `attachments` their bytes too, in base64.
    ///
    /// The answer is held in memory: at most 64 MiB, or 96 MiB with attachments.
    ///
    /// # Errors
    ///
    /// [`Error::TooLarge`] when that does not do: ask for fewer.
    pub async fn fetch(&self, wanted: &[Wanted], attachments: bool) -> Result<Vec<Fetched>, Error> {
        let path = self.path()?.endpoint("_bulk_get").switch("revs", true).switch("latest", true);
        let mut request = self.repeatable(Method::POST, path.switch("attachments", attachments));
        if attachments {
            request.timeout = self.client().attachment_timeout();
            request.answer_bytes_max = ATTACHMENTS_BYTES_MAX;
        }
        let body = serde_json::to_vec(&serde_json::json!({ "docs": wanted }))
            .map_err(|source| self.unwritten(&request, source))?;
        let request = request.json(body);
        let answer = self.client().call_for(&request, &[StatusCode::OK]).await?;
        let exchange = self.client().exchange();
        let results: Results = exchange.decode(&request, &answer.body)?;
        let mut fetched = Vec::with_capacity(wanted.len());
        for row in results.results.into_iter().flat_map(|result| result.docs) {
            match row {
                Row { ok: Some(document), .. } => {
                    let head: Head = exchange.decode(&request, document.get().as_bytes())?;
                    let stubs = head.attachments.values().any(|one| one.stub || one.follows);
                    let Head { id, revision, .. } = head;
                    fetched.push(Fetched::Found { id, revision, document, has_stubs: stubs });
                }
                Row { error: Some(refused), .. } => fetched.push(Fetched::Refused(refused)),
                Row { ok: None, error: None } => {
                    let source = serde::de::Error::missing_field("ok");
                    return Err(exchange.not_understood(&request, source));
                }
            }
        }
        Ok(fetched)
    }

    /// Stores documents under the revisions that they have; those that were refused come back.
    ///
    /// # Errors
    ///
    /// [`Error::Status`] with code 400 or 413 when one of them makes the server refuse all.
    pub async fn merge(&self, documents: &[Box<RawValue>]) -> Result<Vec<Refused>, Error> {
        let mut request = self.repeatable(Method::POST, self.path()?.endpoint("_bulk_docs"));
        request.timeout = self.client().attachment_timeout();
        let body = serde_json::to_vec(&Documents { new_edits: false, docs: documents })
            .map_err(|source| self.unwritten(&request, source))?;
        let request = request.json(body);
        let wanted = [StatusCode::CREATED, StatusCode::OK, StatusCode::ACCEPTED];
        let answer = self.client().call_for(&request, &wanted).await?;
        let rows: Vec<Stored> = self.client().exchange().decode(&request, &answer.body)?;
        let refused = rows.into_iter().filter_map(|Stored { id, error, reason }| {
            error.map(|error| Refused { id, error, reason })
        });
        Ok(refused.collect())
    }

    /// The bytes of an attachment as a revision has it; `None` when it has none of this name.
    ///
    /// # Errors
    ///
    /// [`Error::TooLarge`] above 96 MiB.
    pub async fn attachment_of(&self, wanted: &Wanted, name: &str) -> Result<Option<Bytes>, Error> {
        let path = self.path()?.document(&wanted.id)?.attachment(name)?;
        let mut request =
            self.repeatable(Method::GET, path.parameter_if("rev", Some(&wanted.revision)));
        request.timeout = self.client().attachment_timeout();
        request.answer_bytes_max = ATTACHMENTS_BYTES_MAX;
        self.find(&request).await
    }

    /// Stores one document under the revision that it has, its attachments behind it as they are: for
    /// those that are too large in base64. `parts` is `multipart/related` with this boundary.
    ///
    /// # Errors
    ///
    /// [`Error::Status`] when the server does not take it.
    pub async fn merge_parts(&self, id: &str, boundary: &str, parts: Bytes) -> Result<(), Error> {
        let content_type = format!("multipart/related; boundary=\"{boundary}\"");
        let content_type = HeaderValue::from_str(&content_type).map_err(|_| Error::Invalid {
            what: "a boundary",
            value: boundary.to_owned(),
            reason: "a header holds printable ASCII only".to_owned(),
        })?;
        let path = self.path()?.document(id)?.parameter_if("new_edits", Some("false"));
        let mut request = self.repeatable(Method::PUT, path).content(content_type, parts);
        request.timeout = self.client().attachment_timeout();
        let wanted = [StatusCode::CREATED, StatusCode::OK, StatusCode::ACCEPTED];
        self.client().call_for(&request, &wanted).await.map(drop)
    }

    /// Makes sure that all is on disk; gives the `instance_start_time` of the database.
    ///
    /// # Errors
    ///
    /// Any of [`Error`].
    pub async fn ensure_full_commit(&self) -> Result<String, Error> {
        let path = self.path()?.endpoint("_ensure_full_commit");
        let request = self.repeatable(Method::POST, path).json(b"{}".to_vec());
        let wanted = [StatusCode::CREATED, StatusCode::OK];
        let answer = self.client().call_for(&request, &wanted).await?;
        let committed: Committed = self.client().exchange().decode(&request, &answer.body)?;
        Ok(committed.instance_start_time)
    }

    fn repeatable(&self, method: Method, path: Path) -> Request {
        self.read(method, path)
    }

    fn unwritten(&self, request: &Request, source: serde_json::Error) -> Error {
        Error::Encode { request: self.client().exchange().name(request), source }
    }
}

#[derive(Serialize)]
struct Documents<'a> {
    new_edits: bool,
    docs: &'a [Box<RawValue>],
}

#[derive(Deserialize)]
struct Results {
    results: Vec<One>,
}

#[derive(Deserialize)]
struct One {
    docs: Vec<Row>,
}

#[derive(Deserialize)]
struct Row {
    #[serde(default)]
    ok: Option<Box<RawValue>>,
    #[serde(default)]
    error: Option<Refused>,
}

/// What must be known of a document to pass it on.
#[derive(Deserialize)]
struct Head {
    #[serde(rename = "_id")]
    id: String,
    #[serde(rename = "_rev")]
    revision: Revision,
    #[serde(default, rename = "_attachments")]
    attachments: BTreeMap<String, Attachment>,
}

#[derive(Deserialize)]
struct Attachment {
    #[serde(default)]
    stub: bool,
    #[serde(default)]
    follows: bool,
}

#[derive(Deserialize)]
struct Stored {
    #[serde(default)]
    id: String,
    #[serde(default)]
    error: Option<String>,
    #[serde(default)]
    reason: String,
}

#[derive(Deserialize)]
struct Committed {
    #[serde(deserialize_with = "crate::database::text_or_number")]
    instance_start_time: String,
}
