//! What changed in a database: one page of it. [`Feed`](crate::Feed) goes on from there.

use std::time::Duration;

use http::{Method, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::database::Database;
use crate::document::Document;
use crate::error::Error;
use crate::exchange::Request;
use crate::path::Path;
use crate::revision::Revision;
use crate::sequence::Sequence;

/// Which changes to list. The default is all, from the beginning.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ChangesQuery {
    /// Only what changed after this place.
    pub since: Sequence,
    /// Only documents whose winning revision matches this Mango selector.
    pub selector: Option<Value>,
    /// Brings the winning revision's document.
    pub include_docs: bool,
    /// Names all leaves of each document and not only the winning one.
    pub all_leaves: bool,
    /// The newest first.
    pub descending: bool,
    /// How many changes at most.
    pub limit: Option<u64>,
    /// Only these documents.
    pub doc_ids: Option<Vec<String>>,
    /// Only what this filter of a design document lets through: `design/name`, or `_view`.
    pub filter: Option<String>,
    /// What the filter is told, or more parameters of the request.
    pub parameters: Vec<(String, String)>,
    /// When nothing has changed, waits so long for a change.
    pub wait: Option<Duration>,
}

/// A page of changes.
#[derive(Debug, Clone)]
pub struct ChangesPage {
    /// One change for each document: its latest.
    pub changes: Vec<Change>,
    /// Where the next page begins.
    pub last_seq: Sequence,
    /// How many changes follow, where the server says so; with a selector it counts others too.
    pub pending: Option<u64>,
}

/// The latest change of one document.
///
/// What came before it is not told: a document that was made and changed may appear once, changed.
#[derive(Debug, Clone)]
pub struct Change {
    /// The place after this change.
    pub seq: Sequence,
    /// The document's id.
    pub id: String,
    /// The winning revision, and with `all_leaves` the others.
    pub revisions: Vec<Revision>,
    /// Whether the winning revision is a deletion.
    pub deleted: bool,
    /// The document as JSON text, with `include_docs`: CouchDB's fields are in it. See
    /// [`Change::document`].
    pub doc: Option<Box<RawValue>>,
}

impl Change {
    /// The document in its type; `None` without `include_docs` and for a deletion.
    ///
    /// # Errors
    ///
    /// What serde says when the body does not fit `T`.
    pub fn document<T: DeserializeOwned>(&self) -> Result<Option<Document<T>>, serde_json::Error> {
        match &self.doc {
            Some(doc) if !self.deleted => serde_json::from_str(doc.get()).map(Some),
            _ => Ok(None),
        }
    }
}

impl Database {
    /// Lists what has changed until now, and waits for more only when the query says so.
    ///
    /// Of `selector`, `doc_ids` and `filter` a query has at most one.
    ///
    /// # Errors
    ///
    /// [`Error::Status`] with code 400 when the server does not take the sequence or the selector.
    pub async fn changes(&self, query: &ChangesQuery) -> Result<ChangesPage, Error> {
        let path = self.changes_path(&query.since, query.include_docs, query.all_leaves)?;
        let mut path =
            path.parameter_if("limit", query.limit).switch("descending", query.descending);
        for (name, value) in &query.parameters {
            path = path.parameter(name, value);
        }
        if let Some(wait) = query.wait {
            path = path
                .parameter("feed", "longpoll")
                .parameter("timeout", &wait.as_millis().to_string());
        }
        if let Some(filter) = &query.filter {
            path = path.parameter("filter", filter);
        }
        let mut request = match &query.doc_ids {
            Some(ids) => {
                let body = serde_json::json!({ "doc_ids": ids }).to_string();
                let path = path.parameter("filter", "_doc_ids");
                self.read(Method::POST, path).json(body.into_bytes())
            }
            None => self.changes_request(path, query.selector.as_ref()),
        };
        if query.selector.is_some() || query.filter.is_some() {
            // The server may read the whole database before it finds the first change.
            request.timeout = self.client().attachment_timeout();
        }
        request.timeout = request.timeout.saturating_add(query.wait.unwrap_or_default());
        let answer = self.client().call_for(&request, &[StatusCode::OK]).await?;
        let page: RawPage = self.client().exchange().decode(&request, &answer.body)?;
        Ok(ChangesPage {
            changes: page.results.into_iter().map(RawChange::read).collect(),
            last_seq: page.last_seq,
            pending: page.pending,
        })
    }

    pub(crate) fn changes_path(
        &self,
        since: &Sequence,
        include_docs: bool,
        all_leaves: bool,
    ) -> Result<Path, Error> {
        let mut path = self.path()?.endpoint("_changes").parameter("since", &since.as_parameter());
        if all_leaves {
            path = path.parameter("style", "all_docs");
        }
        Ok(path.switch("include_docs", include_docs))
    }

    /// A selector goes into a body, and so needs a POST; without one the request is a plain GET.
    pub(crate) fn changes_request(&self, path: Path, selector: Option<&Value>) -> Request {
        match selector {
            Some(selector) => {
                let body = serde_json::json!({ "selector": selector }).to_string();
                let path = path.parameter("filter", "_selector");
                self.read(Method::POST, path).json(body.into_bytes())
            }
            None => self.read(Method::GET, path),
        }
    }
}

#[derive(Deserialize)]
struct RawPage {
    results: Vec<RawChange>,
    last_seq: Sequence,
    #[serde(default)]
    pending: Option<u64>,
}

/// A change as the server writes it, in pages and in lines of feeds.
#[derive(Debug, Deserialize)]
pub(crate) struct RawChange {
    seq: Sequence,
    id: String,
    changes: Vec<RawRevision>,
    #[serde(default)]
    deleted: bool,
    #[serde(default)]
    doc: Option<Box<RawValue>>,
}

#[derive(Debug, Deserialize)]
struct RawRevision {
    rev: Revision,
}

impl RawChange {
    pub(crate) fn read(self) -> Change {
        Change {
            seq: self.seq,
            id: self.id,
            revisions: self.changes.into_iter().map(|change| change.rev).collect(),
            deleted: self.deleted,
            doc: self.doc,
        }
    }
}
