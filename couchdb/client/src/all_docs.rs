//! Listing documents in the order of their ids: a range, or a list of ids.

use http::{Method, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::database::Database;
use crate::document::Listed;
use crate::error::Error;
use crate::exchange::Request;
use crate::path::Path;
use crate::revision::Revision;

/// Which documents to list. The default is all of them, ids and revisions only.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AllDocs {
    /// The first id; with `descending` the highest.
    pub start: Option<String>,
    /// The last id; with `descending` the lowest.
    pub end: Option<String>,
    /// Leaves out `end` itself.
    pub exclusive_end: bool,
    /// These ids, in this order, instead of a range. The deleted ones are listed too.
    pub keys: Option<Vec<String>>,
    /// How many rows at most.
    pub limit: Option<u64>,
    /// From the highest id down.
    pub descending: bool,
    /// How many rows of the range to pass over.
    pub skip: u64,
    /// Brings the documents and not only their revisions.
    pub include_docs: bool,
    /// With `include_docs`: brings the revisions of the other leaves too.
    pub conflicts: bool,
}

/// The rows of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    /// The documents found.
    pub rows: Vec<Row<T>>,
    /// Those of `keys` that never existed.
    pub missing: Vec<String>,
    /// How many documents the database has, where the server says so.
    pub total_rows: Option<u64>,
}

/// One document of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row<T> {
    /// Its id.
    pub id: String,
    /// Its winning revision.
    pub revision: Revision,
    /// Whether it is deleted; only in listings by `keys`.
    pub deleted: bool,
    /// Its body, with `include_docs`; `None` when it is deleted.
    pub doc: Option<T>,
    /// Its leaves beside the winner, with `conflicts`; not those that are deleted.
    pub conflicts: Vec<Revision>,
}

impl Database {
    /// Lists documents.
    ///
    /// # Errors
    ///
    /// [`Error::Decode`] when a body does not fit `T`; list as `serde_json::Value` where others write
    /// too. [`Error::Status`] with code 200 when the server says that it could not read one of the rows.
    pub async fn all_docs<T: DeserializeOwned>(&self, query: &AllDocs) -> Result<Page<T>, Error> {
        let request = self.all_docs_request(query)?;
        let answer = self.client().call_for(&request, &[StatusCode::OK]).await?;
        let exchange = self.client().exchange();
        let raw: RawPage<T> = exchange.decode(&request, &answer.body)?;
        let mut page = Page { rows: Vec::new(), missing: Vec::new(), total_rows: raw.total_rows };
        for row in raw.rows {
            match row {
                RawRow { error: Some(error), key, .. } if error == "not_found" => {
                    page.missing.push(key.unwrap_or_default());
                }
                RawRow { error: Some(error), reason, key, .. } => {
                    let reason = format!("row {:?}: {reason}", key.unwrap_or_default());
                    let request = exchange.name(&request);
                    return Err(Error::Status { request, code: 200, error, reason });
                }
                RawRow { id: Some(id), value: Some(value), doc, .. } => {
                    let (doc, conflicts) =
                        doc.map(|Listed { body, conflicts }| (body, conflicts)).unzip();
                    page.rows.push(Row {
                        id,
                        revision: value.rev,
                        deleted: value.deleted,
                        doc,
                        conflicts: conflicts.unwrap_or_default(),
                    });
                }
                RawRow { .. } => {
                    let source = serde::de::Error::custom("a row without id, value and error");
                    return Err(exchange.not_understood(&request, source));
                }
            }
        }
        Ok(page)
    }

    fn all_docs_request(&self, query: &AllDocs) -> Result<Request, Error> {
        let path = query.parameters(self.path()?.endpoint("_all_docs"));
        // Ids go into the body: a long list of them would be longer than a server takes in a URL.
        let Some(keys) = &query.keys else { return Ok(self.read(Method::GET, path)) };
        let request = self.read(Method::POST, path);
        match serde_json::to_vec(&serde_json::json!({ "keys": keys })) {
            Ok(body) => Ok(request.json(body)),
            Err(source) => {
                Err(Error::Encode { request: self.client().exchange().name(&request), source })
            }
        }
    }
}

impl AllDocs {
    fn parameters(&self, mut path: Path) -> Path {
        if let Some(start) = &self.start {
            path = path.json("startkey", start);
        }
        if let Some(end) = &self.end {
            path = path.json("endkey", end);
        }
        if self.exclusive_end {
            path = path.parameter("inclusive_end", "false");
        }
        path.parameter_if("limit", self.limit)
            .parameter_if("skip", (self.skip > 0).then_some(self.skip))
            .switch("descending", self.descending)
            .switch("include_docs", self.include_docs)
            .switch("conflicts", self.conflicts)
    }
}

#[derive(Deserialize)]
struct RawPage<T> {
    #[serde(default)]
    total_rows: Option<u64>,
    rows: Vec<RawRow<T>>,
}

#[derive(Deserialize)]
#[serde(bound(deserialize = "T: Deserialize<'de>"))]
struct RawRow<T> {
    id: Option<String>,
    key: Option<String>,
    value: Option<RawRowValue>,
    doc: Option<Listed<T>>,
    error: Option<String>,
    #[serde(default)]
    reason: String,
}

#[derive(Deserialize)]
struct RawRowValue {
    rev: Revision,
    #[serde(default)]
    deleted: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_says_only_what_is_asked() {
        let path =
            |query: &AllDocs| query.parameters(Path::server("/d/_all_docs")).as_str().to_owned();
        assert_eq!(path(&AllDocs::default()), "/d/_all_docs");
        let query = AllDocs {
            start: Some("j:".to_owned()),
            end: Some("j;".to_owned()),
            exclusive_end: true,
            limit: Some(2),
            skip: 1,
            descending: true,
            include_docs: true,
            conflicts: true,
            keys: None,
        };
        assert_eq!(
            path(&query),
            "/d/_all_docs?startkey=%22j%3A%22&endkey=%22j%3B%22&inclusive_end=false\
             &limit=2&skip=1&descending=true&include_docs=true&conflicts=true"
        );
    }

    #[test]
    fn a_document_is_told_with_its_other_leaves() {
        let read = |doc: &str| serde_json::from_str::<Listed<serde_json::Value>>(doc).unwrap();
        let doc = read(r#"{"_id":"a","_rev":"2-c","v":1,"_conflicts":["1-b","1-a"]}"#);
        assert_eq!(doc.body, serde_json::json!({"v": 1}));
        let conflicts: Vec<String> = doc.conflicts.iter().map(ToString::to_string).collect();
        assert_eq!(conflicts, ["1-b", "1-a"]);
        assert!(read(r#"{"_id":"a","_rev":"2-c"}"#).conflicts.is_empty());
    }
}
