//! What operators ask of a server: who it is, its clock, its users, how its replications fare, and who may enter a database.
//!
//! A replication is asked for by a document of the database [`REPLICATOR`], a user is a document of [`USERS`].

use std::time::{Duration, SystemTime};

use http::{Method, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::address::Credentials;
use crate::client::{Client, ServerInfo};
use crate::database::Database;
use crate::document::Document;
use crate::error::Error;
use crate::exchange::Request;
use crate::path::Path;
use crate::put::{Put, PutOptions};
use crate::revision::Revision;

/// The database of replications.
pub const REPLICATOR: &str = "_replicator";

/// The database of users.
pub const USERS: &str = "_users";

/// How many replications are asked about at once; a server has fewer, unless it is in trouble.
const REPLICATIONS_LISTED_MAX: u64 = 10_000;

/// The server hashes a new password for about a tenth of a second of its processor, which on a busy machine are many seconds.
const HASHING_MAX: Duration = Duration::from_secs(60);

/// What a server says first.
#[derive(Debug, Clone)]
pub struct Greeting {
    /// Who it is.
    pub info: ServerInfo,
    /// What time it has, to the second; absent where it does not say.
    pub clock: Option<SystemTime>,
}

/// Who asks, in the eyes of the server.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Session {
    /// The user's name; absent for nobody.
    #[serde(default)]
    pub name: Option<String>,
    /// The user's roles; `_admin` is an administrator of the server.
    #[serde(default)]
    pub roles: Vec<String>,
}

/// The nodes of a cluster.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Membership {
    /// Those that this one is connected to, itself among them.
    pub all_nodes: Vec<String>,
    /// Those that belong to it.
    pub cluster_nodes: Vec<String>,
}

/// How a replication fares: a row of `_scheduler/docs`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct ReplicationState {
    /// The id of its document.
    pub doc_id: String,
    /// `initializing`, `running`, `pending`, `crashing`, `error`, `completed` or `failed`; absent where it was not looked
    /// at yet.
    #[serde(default)]
    pub state: Option<String>,
    /// How often it failed in a row.
    #[serde(default)]
    pub error_count: u64,
    /// What it has done, or why it failed.
    #[serde(default)]
    pub info: Option<ReplicationInfo>,
}

/// What a replication has done.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct ReplicationInfo {
    /// Changes of the source that it has not looked at; absent before it knows.
    pub changes_pending: Option<u64>,
    /// Revisions that it stored in the target.
    pub docs_written: u64,
    /// Revisions that the target refused.
    pub doc_write_failures: u64,
    /// Why it failed.
    pub error: Option<Value>,
}

#[derive(Deserialize)]
struct Replications {
    docs: Vec<ReplicationState>,
}

#[derive(Deserialize)]
struct Whoami {
    #[serde(rename = "userCtx")]
    user: Session,
}

/// A user of a server, as far as it matters here.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct User {
    /// The name.
    pub name: String,
    /// The roles.
    #[serde(default)]
    pub roles: Vec<String>,
}

#[derive(Serialize)]
struct NewUser<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    name: &'a str,
    password: &'a str,
    roles: &'a [&'a str],
}

impl Client {
    /// Asks the server who it is and what time it has.
    ///
    /// # Errors
    ///
    /// [`Error::Decode`] when it is not a CouchDB.
    pub async fn greeting(&self) -> Result<Greeting, Error> {
        let request = Request::read(Method::GET, Path::server("/"), self.request_timeout());
        let answer = self.call_for(&request, &[StatusCode::OK]).await?;
        let info = self.exchange().decode(&request, &answer.body)?;
        let clock = answer.date.as_ref().and_then(|date| date.to_str().ok());
        Ok(Greeting { info, clock: clock.and_then(crate::date::parse) })
    }

    /// Asks whether name and password are good, and what they are good for.
    ///
    /// # Errors
    ///
    /// [`Error::Unauthorized`] when they are not.
    pub async fn session(&self) -> Result<Session, Error> {
        let whoami: Whoami = self.get(Path::server("/_session")).await?;
        Ok(whoami.user)
    }

    /// The nodes of the cluster. For administrators.
    ///
    /// # Errors
    ///
    /// Any of [`Error`].
    pub async fn membership(&self) -> Result<Membership, Error> {
        self.get(Path::server("/_membership")).await
    }

    /// One value of the configuration of the node that answers; `None` where it has none or does not tell. For
    /// administrators.
    ///
    /// # Errors
    ///
    /// Any of [`Error`], but not that the server keeps it to itself.
    pub async fn config(&self, section: &str, key: &str) -> Result<Option<String>, Error> {
        let path = Path::server("/_node/_local/_config").segment(section).segment(key);
        match self.get(path).await {
            Ok(value) => Ok(Some(value)),
            Err(Error::Status { code: 404 | 501, .. } | Error::Forbidden { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// How the replications of [`REPLICATOR`] fare, in the order of their documents' ids. For administrators.
    ///
    /// # Errors
    ///
    /// Any of [`Error`]; a server without that database has none.
    pub async fn replications(&self) -> Result<Vec<ReplicationState>, Error> {
        self.scheduled(Path::server("/_scheduler/docs")).await
    }

    /// The same, of those in one of these states.
    ///
    /// # Errors
    ///
    /// As [`Client::replications`].
    pub async fn replications_in(&self, states: &[&str]) -> Result<Vec<ReplicationState>, Error> {
        let path = Path::server("/_scheduler/docs").parameter("states", &states.join(","));
        self.scheduled(path).await
    }

    async fn scheduled(&self, path: Path) -> Result<Vec<ReplicationState>, Error> {
        let path = path.parameter("limit", &REPLICATIONS_LISTED_MAX.to_string());
        match self.get::<Replications>(path).await {
            Ok(found) => Ok(found.docs),
            Err(Error::Status { code: 404, .. }) => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    /// How one of them fares; `None` when there is none.
    ///
    /// # Errors
    ///
    /// Any of [`Error`].
    pub async fn replication(&self, id: &str) -> Result<Option<ReplicationState>, Error> {
        let path = Path::server("/_scheduler/docs/_replicator").segment(id);
        match self.get(path).await {
            Ok(found) => Ok(Some(found)),
            Err(Error::Status { code: 404, .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// A user; `None` when there is none.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] when the server has no [`USERS`].
    pub async fn user(&self, name: &str) -> Result<Option<Document<User>>, Error> {
        self.database(USERS).get(&user_id(name)).await
    }

    /// Makes a user, or gives the one with this revision another password and other roles. For administrators.
    ///
    /// # Errors
    ///
    /// As [`Client::user`], and those of [`Database::put`].
    pub async fn put_user(
        &self,
        credentials: &Credentials,
        roles: &[&str],
        over: Option<&Revision>,
    ) -> Result<Put, Error> {
        let Credentials { name, password } = credentials;
        let user = NewUser { kind: "user", name, password, roles };
        let options = PutOptions { timeout: Some(HASHING_MAX), ..PutOptions::default() };
        self.database(USERS).put(&user_id(name), over, &user, options).await
    }
}

fn user_id(name: &str) -> String {
    format!("org.couchdb.user:{name}")
}

impl Database {
    /// Who may enter the database: its `_security`, as it is.
    ///
    /// # Errors
    ///
    /// Any of [`Error`].
    pub async fn security(&self) -> Result<Value, Error> {
        let request = self.read(Method::GET, self.path()?.endpoint("_security"));
        let answer = self.client().call_for(&request, &[StatusCode::OK]).await?;
        self.client().exchange().decode(&request, &answer.body)
    }

    /// Says who may enter the database. For its administrators.
    ///
    /// # Errors
    ///
    /// [`Error::Status`] when the server does not take it.
    pub async fn put_security(&self, security: &Value) -> Result<(), Error> {
        let request = self.read(Method::PUT, self.path()?.endpoint("_security"));
        let body = security.to_string().into_bytes();
        self.client().call_for(&request.json(body), &[StatusCode::OK]).await.map(drop)
    }
}
