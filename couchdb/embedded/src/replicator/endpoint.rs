//! One end of a replication: a database of this server by its name, or one behind an address.

use super::{patience::Patience, task::BadTask};
use crate::document::attachment::BASE64;
use base64::Engine as _;
use blitz_couchdb::{Client, Config, Database};
use http::{HeaderMap, HeaderName, HeaderValue, header};
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value, json};
use tokio::{io::DuplexStream, sync::mpsc};

/// Requests under way at once to one end: one run asks one thing after the other, but for its commits.
const REQUESTS_MAX: usize = 4;

/// Where one end of a replication is.
#[derive(Clone)]
pub(crate) enum Endpoint {
    /// A database of this server.
    Local(String),
    /// A database behind an address.
    Remote(Remote),
}

/// A database behind an address.
#[derive(Clone)]
pub(crate) struct Remote {
    /// The address of the server, with name and password when it had them.
    server: String,
    /// The same without them, and with the database: for people.
    shown: String,
    database: String,
    user: Option<String>,
    headers: HeaderMap,
}

impl std::fmt::Debug for Endpoint {
    /// Without secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Endpoint").field(&self.shown()).finish()
    }
}

impl Endpoint {
    /// Reads `source` or `target`.
    pub(crate) fn parse(which: &'static str, value: Option<&Value>) -> Result<Endpoint, BadTask> {
        let invalid = || BadTask::Url { which };
        match value {
            None | Some(Value::Null) => Err(BadTask::Missing),
            Some(Value::String(text)) if text.contains("://") => {
                remote(which, text, HeaderMap::new()).map(Endpoint::Remote)
            }
            Some(Value::String(name)) if name.is_empty() => Err(invalid()),
            Some(Value::String(name)) => Ok(Endpoint::Local(name.clone())),
            Some(Value::Object(members)) => {
                let url = members.get("url").and_then(Value::as_str).ok_or_else(invalid)?;
                let headers = headers(members).ok_or(BadTask::Headers { which })?;
                remote(which, url, headers).map(Endpoint::Remote)
            }
            Some(_) => Err(BadTask::NotAnEndpoint { which }),
        }
    }

    /// How it is shown to people: without name and password.
    pub(crate) fn shown(&self) -> &str {
        match self {
            Endpoint::Local(name) => name,
            Endpoint::Remote(remote) => &remote.shown,
        }
    }

    pub(crate) fn is_local(&self) -> bool {
        matches!(self, Endpoint::Local(_))
    }

    /// What makes it another end than others: a part of the replication's id.
    pub(crate) fn identity(&self) -> Value {
        match self {
            Endpoint::Local(name) => json!(["local", name]),
            Endpoint::Remote(remote) => {
                let headers: Vec<(&str, &[u8])> = remote
                    .headers
                    .iter()
                    .map(|(name, value)| (name.as_str(), value.as_bytes()))
                    .collect();
                json!(["remote", remote.user, remote.shown, headers])
            }
        }
    }

    /// The database behind it. Nothing is sent yet. A local one is reached through `pipes`.
    pub(crate) fn open(
        &self,
        pipes: &mpsc::Sender<DuplexStream>,
        patience: Patience,
    ) -> Result<Database, blitz_couchdb::Error> {
        match self {
            Endpoint::Local(name) => {
                // Only a name: no socket is opened.
                let config = config("http://localhost", HeaderMap::new(), patience);
                Ok(Client::over_pipes(config, pipes.clone())?.database(name))
            }
            Endpoint::Remote(remote) => {
                let config = config(&remote.server, remote.headers.clone(), patience);
                let client = Client::with(config)?;
                Ok(client.database(&remote.database))
            }
        }
    }
}

fn config(url: &str, headers: HeaderMap, patience: Patience) -> Config {
    let config = Config::new(url);
    Config {
        request_timeout: patience.request(),
        attachment_timeout: patience.transfer(),
        connect_timeout: config.connect_timeout.min(patience.request()),
        requests_max: REQUESTS_MAX,
        headers,
        ..config
    }
}

/// Takes the address of a database apart.
fn remote(which: &'static str, url: &str, headers: HeaderMap) -> Result<Remote, BadTask> {
    let invalid = || BadTask::Url { which };
    let (scheme, rest) = url.split_once("://").ok_or_else(invalid)?;
    if !matches!(scheme, "http" | "https") {
        return Err(invalid());
    }
    let (authority, path) = rest.split_once('/').ok_or_else(invalid)?;
    let path = path.trim_end_matches('/');
    if path.contains(['?', '#']) {
        return Err(invalid());
    }
    let (before, name) = path.rsplit_once('/').unwrap_or(("", path));
    let database = percent_decode_str(name).decode_utf8().map_err(|_| invalid())?.into_owned();
    let (user, host) = match authority.rsplit_once('@') {
        Some((user, host)) => {
            let name = user.split(':').next().unwrap_or_default();
            (Some(percent_decode_str(name).decode_utf8_lossy().into_owned()), host)
        }
        None => (None, authority),
    };
    if database.is_empty() || host.is_empty() {
        return Err(invalid());
    }
    let server = format!("{scheme}://{authority}/{before}");
    Client::new(&server).map_err(|_| invalid())?;
    let shown = format!("{scheme}://{host}/{path}/");
    Ok(Remote { server, shown, database, user, headers })
}

/// `headers` and `auth` of an end; None when they are no headers.
fn headers(members: &Map<String, Value>) -> Option<HeaderMap> {
    let mut headers = HeaderMap::new();
    if let Some(given) = members.get("headers") {
        for (name, value) in given.as_object()? {
            let mut value = HeaderValue::from_str(value.as_str()?).ok()?;
            value.set_sensitive(true);
            headers.append(HeaderName::from_bytes(name.as_bytes()).ok()?, value);
        }
    }
    if let Some(basic) = members.get("auth").and_then(|auth| auth.get("basic")) {
        let name = basic.get("username")?.as_str()?;
        let password = basic.get("password")?.as_str()?;
        let text = format!("Basic {}", BASE64.encode(format!("{name}:{password}")));
        let mut value = HeaderValue::from_str(&text).ok()?;
        value.set_sensitive(true);
        headers.insert(header::AUTHORIZATION, value);
    }
    Some(headers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_a_name_or_an_address_and_shows_no_secret() {
        for (value, shown, local) in [
            (json!("db"), "db", true),
            (json!("http://u:hidden@h:5984/db"), "http://h:5984/db/", false),
            (json!("https://u:hidden@h:6984/db"), "https://h:6984/db/", false),
            (json!("http://h/couch/a%2Fb/"), "http://h/couch/a%2Fb/", false),
            (json!({"url": "http://h/db", "headers": {"X-A": "hidden"}}), "http://h/db/", false),
        ] {
            let endpoint = Endpoint::parse("source", Some(&value)).unwrap();
            assert_eq!((endpoint.shown(), endpoint.is_local()), (shown, local), "{value}");
            assert!(!format!("{endpoint:?}").contains("hidden"), "{endpoint:?}");
        }
    }

    #[test]
    fn what_is_no_end_is_refused_by_name() {
        for (value, wanted) in [
            (None, "Missing replicator database"),
            (Some(json!(5)), "{error,function_clause}"),
            (Some(json!("http://h")), "source has an invalid url"),
            (Some(json!("http://h/")), "source has an invalid url"),
            (Some(json!("ftp://h/db")), "source has an invalid url"),
            (Some(json!({"url": 5})), "source has an invalid url"),
        ] {
            let refused = Endpoint::parse("source", value.as_ref()).unwrap_err().to_string();
            assert_eq!(refused, wanted, "{value:?}");
        }
    }
}
