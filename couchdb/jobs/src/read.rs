//! Reading documents that anybody may have written: what this version cannot read is logged and passed over,
//! never an error that stops a reader.

use blitz_couchdb::{AllDocs, Database, Error, Revision};
use serde::de::DeserializeOwned;
use serde_json::Value;

/// A document as `T`, or a line in the log. Design documents are for the store, and nobody expects to read them.
#[must_use]
pub fn document<T: DeserializeOwned>(id: &str, doc: Value) -> Option<T> {
    if id.starts_with("_design/") {
        return None;
    }
    match serde_json::from_value(doc) {
        Ok(document) => Some(document),
        Err(error) => {
            tracing::warn!(id, %error, "a document that this version cannot read, ignored");
            None
        }
    }
}

/// The readable documents of a listing, in its order, with their ids and winning revisions.
///
/// # Errors
///
/// What the store answers.
pub async fn list<T: DeserializeOwned>(
    database: &Database,
    query: AllDocs,
) -> Result<Vec<(String, Revision, T)>, Error> {
    let page = database.all_docs::<Value>(&AllDocs { include_docs: true, ..query }).await?;
    Ok(page
        .rows
        .into_iter()
        // They stand among the others, and are none.
        .filter(|row| !row.id.starts_with("_design/"))
        .filter_map(|row| {
            let doc = document(&row.id, row.doc?)?;
            Some((row.id, row.revision, doc))
        })
        .collect())
}

/// A query for the ids from `start` to `end`.
#[must_use]
pub fn range(start: impl Into<String>, end: impl Into<String>) -> AllDocs {
    AllDocs { start: Some(start.into()), end: Some(end.into()), ..AllDocs::default() }
}

/// A query for these ids.
pub fn keys(ids: impl IntoIterator<Item = String>) -> AllDocs {
    AllDocs { keys: Some(ids.into_iter().collect()), ..AllDocs::default() }
}
