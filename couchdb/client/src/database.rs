//! One database: making, describing and dropping it, and reading its documents by id.

use std::sync::Arc;

use bytes::Bytes;
use http::{Method, StatusCode};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::client::Client;
use crate::document::Document;
use crate::error::Error;
use crate::exchange::{Refusal, Request};
use crate::path::Path;
use crate::sequence::Sequence;

/// A database of a server. Cloning is cheap.
///
/// Having one says nothing about whether it exists; every method may say [`Error::NotFound`].
#[derive(Debug, Clone)]
pub struct Database {
    client: Client,
    name: Arc<str>,
}

/// What [`Database::create`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Creation {
    /// It did not exist and does now.
    Created,
    /// It existed already, perhaps with other [`CreateOptions`].
    Existed,
}

/// What [`Database::drop`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Removal {
    /// It existed and does not any more.
    Dropped,
    /// It did not exist.
    Missing,
}

/// How a cluster lays a new database out. A single server takes and ignores it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CreateOptions {
    /// Shards, `q`; the server's default when `None`.
    pub shards: Option<u32>,
    /// Copies of each shard, `n`; the server's default when `None`.
    pub copies: Option<u32>,
}

/// What `GET /database` says.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct DatabaseInfo {
    /// Documents that are not deleted.
    pub doc_count: u64,
    /// Documents that are deleted and still known; 0 where the server does not say.
    #[serde(default)]
    pub doc_del_count: u64,
    /// The place after its newest change.
    pub update_seq: Sequence,
    /// The identity of this database: another value under the same name is another database, and no
    /// sequence of the earlier one means anything in it. Apache CouchDB counts it in seconds, so two
    /// in the same second look the same; in CouchDB 2 it is always `"0"`.
    #[serde(deserialize_with = "text_or_number")]
    pub instance_start_time: String,
    /// How it is spread over the cluster; all 1 where the server does not say.
    #[serde(default)]
    pub cluster: Cluster,
}

/// The layout of a database: shards, copies and the default quorums.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct Cluster {
    /// Shards.
    pub q: u32,
    /// Copies of each shard. A write quorum above it is never met.
    pub n: u32,
    /// Copies that must acknowledge a write by default.
    pub w: u32,
    /// Copies that are read by default.
    pub r: u32,
}

impl Default for Cluster {
    fn default() -> Self {
        Self { q: 1, n: 1, w: 1, r: 1 }
    }
}

impl Database {
    pub(crate) fn new(client: Client, name: &str) -> Self {
        Self { client, name: Arc::from(name) }
    }

    /// Its name, as it was given.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The client that it is reached through.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Makes sure that it exists, laid out as the server likes.
    ///
    /// # Errors
    ///
    /// [`Error::Status`] with code 400 when the server does not take the name.
    pub async fn create(&self) -> Result<Creation, Error> {
        self.create_with(CreateOptions::default()).await
    }

    /// Makes sure that it exists. The options count only when it did not.
    ///
    /// # Errors
    ///
    /// As [`Database::create`].
    pub async fn create_with(&self, options: CreateOptions) -> Result<Creation, Error> {
        let path = self.path()?.parameter_if("q", options.shards);
        let request = self.write(Method::PUT, path.parameter_if("n", options.copies));
        let wanted = [StatusCode::CREATED, StatusCode::ACCEPTED, StatusCode::PRECONDITION_FAILED];
        let answer = self.client.call_for(&request, &wanted).await?;
        if answer.status == StatusCode::PRECONDITION_FAILED {
            return Ok(Creation::Existed);
        }
        Ok(Creation::Created)
    }

    /// Deletes it with everything in it.
    ///
    /// # Errors
    ///
    /// Any of [`Error`] but [`Error::NotFound`].
    pub async fn drop(&self) -> Result<Removal, Error> {
        let request = self.write(Method::DELETE, self.path()?);
        match self.client.call_for(&request, &[StatusCode::OK, StatusCode::ACCEPTED]).await {
            Ok(_) => Ok(Removal::Dropped),
            // CouchDB gives one of these two; nothing else under this path can be missing.
            Err(Error::NotFound { .. }) => Ok(Removal::Missing),
            Err(Error::Status { code: 404, error, .. }) if error == "not_found" => {
                Ok(Removal::Missing)
            }
            Err(error) => Err(error),
        }
    }

    /// Its size, identity, newest sequence and layout.
    ///
    /// # Errors
    ///
    /// Any of [`Error`].
    pub async fn info(&self) -> Result<DatabaseInfo, Error> {
        let request = self.read(Method::GET, self.path()?);
        let answer = self.client.call_for(&request, &[StatusCode::OK]).await?;
        self.client.exchange().decode(&request, &answer.body)
    }

    /// The winning revision of a document; `None` when there is none or it is deleted.
    ///
    /// # Errors
    ///
    /// [`Error::Decode`] when the body does not fit `T`.
    pub async fn get<T: DeserializeOwned>(&self, id: &str) -> Result<Option<Document<T>>, Error> {
        let request = self.read(Method::GET, self.path()?.document(id)?);
        match self.find(&request).await? {
            Some(body) => self.client.exchange().decode(&request, &body).map(Some),
            None => Ok(None),
        }
    }

    /// All leaves of a document that are not deleted, in no order; more than one is a conflict.
    ///
    /// With `read_quorum`, that many copies are asked. Whether so many answered cannot be known, and
    /// asking all copies waits for a hanging node until the time-out.
    ///
    /// # Errors
    ///
    /// [`Error::Decode`] when one of the bodies does not fit `T`.
    pub async fn leaves<T: DeserializeOwned>(
        &self,
        id: &str,
        read_quorum: Option<u32>,
    ) -> Result<Vec<Document<T>>, Error> {
        let path = self.path()?.document(id)?.parameter("open_revs", "all");
        let request = self.read(Method::GET, path.parameter_if("r", read_quorum));
        let Some(body) = self.find(&request).await? else { return Ok(Vec::new()) };
        let decode = || -> Result<Vec<Document<T>>, serde_json::Error> {
            let mut leaves = Vec::new();
            for Leaf { ok } in serde_json::from_slice::<Vec<Leaf>>(&body)? {
                let Some(text) = ok else { continue };
                // A deleted leaf has no body that would fit `T`.
                if !serde_json::from_str::<Tombstone>(text.get())?.is_deleted {
                    leaves.push(serde_json::from_str(text.get())?);
                }
            }
            Ok(leaves)
        };
        decode().map_err(|source| self.client.exchange().not_understood(&request, source))
    }

    /// The body of what a request names; `None` when the document, or this part of it, is missing.
    pub(crate) async fn find(&self, request: &Request) -> Result<Option<Bytes>, Error> {
        let answer = self.client.exchange().call(request).await?;
        match answer.status {
            StatusCode::OK => Ok(Some(answer.body)),
            _ if Refusal::is_missing_document(&answer) => Ok(None),
            _ => Err(self.client.exchange().refuse(request, &answer)),
        }
    }

    pub(crate) fn path(&self) -> Result<Path, Error> {
        Path::database(&self.name)
    }

    pub(crate) fn read(&self, method: Method, path: Path) -> Request {
        Request::read(method, path, self.client.request_timeout()).about(&self.name)
    }

    pub(crate) fn write(&self, method: Method, path: Path) -> Request {
        Request::write(method, path, self.client.request_timeout()).about(&self.name)
    }
}

/// A row of `open_revs`; one without `ok` names a revision that is not there.
#[derive(Deserialize)]
struct Leaf {
    #[serde(default)]
    ok: Option<Box<RawValue>>,
}

#[derive(Deserialize)]
struct Tombstone {
    #[serde(default, rename = "_deleted")]
    is_deleted: bool,
}

pub(crate) fn text_or_number<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<String, D::Error> {
    Ok(match Value::deserialize(deserializer)? {
        Value::String(text) => text,
        other => other.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_description_is_read_from_every_kind_of_server() {
        let couch = r#"{"db_name":"d","update_seq":"3-g1A","doc_count":2,"other":{},
            "instance_start_time":"1763690000","cluster":{"q":2,"n":3,"w":2,"r":2}}"#;
        let info: DatabaseInfo = serde_json::from_str(couch).unwrap();
        assert_eq!(info.instance_start_time, "1763690000");
        assert_eq!(info.cluster, Cluster { q: 2, n: 3, w: 2, r: 2 });
        let pouch = r#"{"doc_count":2,"update_seq":7,"instance_start_time":1763690000123}"#;
        let info: DatabaseInfo = serde_json::from_str(pouch).unwrap();
        assert_eq!(info.instance_start_time, "1763690000123");
        assert_eq!(info.cluster, Cluster::default());
    }
}
