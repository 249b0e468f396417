//! Writing many documents in one request: a fraction of the server's work for single ones.

use http::{Method, StatusCode};
use serde::{Deserialize, Serialize};

use crate::database::Database;
use crate::error::Error;
use crate::revision::Revision;

/// How one document of a bulk write ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BulkRow {
    /// The document's id.
    pub id: String,
    /// What became of it.
    pub outcome: BulkOutcome,
}

/// What became of one document of a bulk write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BulkOutcome {
    /// Stored on as many copies as the database asks for.
    Stored(Revision),
    /// Stored, but on fewer copies: see [`Put::Accepted`](crate::Put::Accepted).
    Accepted(Revision),
    /// The document has another revision than the one given. Not stored.
    Conflict,
    /// Refused for another reason, such as a validation function of the database. Not stored.
    Refused {
        /// CouchDB's word for it.
        error: String,
        /// The server's own words.
        reason: String,
    },
}

impl Database {
    /// Writes documents, each checked for itself; rows come in the order of the documents.
    ///
    /// Each document serialises to a JSON object with `_id`, and `_rev` when it replaces another. One
    /// that is invalid in itself (an illegal id, too large) makes the server refuse all of them.
    /// The request is sent at most once.
    ///
    /// # Errors
    ///
    /// As [`Database::put`].
    pub async fn bulk<T: Serialize>(&self, documents: &[T]) -> Result<Vec<BulkRow>, Error> {
        let request = self.write(Method::POST, self.path()?.endpoint("_bulk_docs"));
        let exchange = self.client().exchange();
        let body = serde_json::to_vec(&Documents { docs: documents })
            .map_err(|source| Error::Encode { request: exchange.name(&request), source })?;
        let request = request.json(body);
        let wanted = [StatusCode::CREATED, StatusCode::OK, StatusCode::ACCEPTED];
        let answer = self.client().call_for(&request, &wanted).await?;
        let rows: Vec<RawRow> = exchange.decode(&request, &answer.body)?;
        if rows.len() != documents.len() {
            let text = format!("{} rows for {} documents", rows.len(), documents.len());
            return Err(exchange.not_understood(&request, serde::de::Error::custom(text)));
        }
        rows.into_iter()
            .map(|row| row.read().map_err(|source| exchange.not_understood(&request, source)))
            .collect()
    }
}

#[derive(Serialize)]
struct Documents<'a, T> {
    docs: &'a [T],
}

#[derive(Deserialize)]
struct RawRow {
    id: String,
    rev: Option<Revision>,
    #[serde(default)]
    accepted: bool,
    error: Option<String>,
    #[serde(default)]
    reason: String,
}

impl RawRow {
    fn read(self) -> Result<BulkRow, serde_json::Error> {
        let outcome = match (self.error, self.rev) {
            (Some(error), _) if error == "conflict" => BulkOutcome::Conflict,
            (Some(error), _) => BulkOutcome::Refused { error, reason: self.reason },
            (None, Some(revision)) if self.accepted => BulkOutcome::Accepted(revision),
            (None, Some(revision)) => BulkOutcome::Stored(revision),
            (None, None) => return Err(serde::de::Error::missing_field("rev")),
        };
        Ok(BulkRow { id: self.id, outcome })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_an_outcome() {
        let read = |json: &str| serde_json::from_str::<RawRow>(json).unwrap().read();
        let revision: Revision = "1-a".parse().unwrap();
        for (json, outcome) in [
            (r#"{"ok":true,"id":"a","rev":"1-a"}"#, BulkOutcome::Stored(revision.clone())),
            (
                r#"{"ok":true,"id":"a","rev":"1-a","accepted":true}"#,
                BulkOutcome::Accepted(revision),
            ),
            (r#"{"id":"a","error":"conflict","reason":"x"}"#, BulkOutcome::Conflict),
            (
                r#"{"id":"a","error":"forbidden","reason":"no"}"#,
                BulkOutcome::Refused { error: "forbidden".to_owned(), reason: "no".to_owned() },
            ),
        ] {
            assert_eq!(read(json).unwrap(), BulkRow { id: "a".to_owned(), outcome }, "{json}");
        }
        assert!(read(r#"{"id":"a"}"#).is_err());
    }
}
