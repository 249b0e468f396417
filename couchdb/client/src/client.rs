//! The client of one server: its configuration, and what is asked of the server itself.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, Method, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::io::DuplexStream;
use tokio::sync::mpsc;

use crate::address::{Address, Credentials, without_secrets};
use crate::bearer::Bearer;
use crate::connection::Dial;
use crate::database::Database;
use crate::error::Error;
use crate::exchange::{Answer, Exchange, Request};
use crate::path::Path;
use crate::tls::Tls;

/// How long a request may take, from the wait for a connection to the last byte of the answer.
///
/// A healthy server answers in milliseconds; a cluster with a hanging node takes 60 s, which nobody
/// wants to wait for.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a request that carries an attachment may take: 64 MiB at 10 Mbit/s, nearly.
const ATTACHMENT_TIMEOUT: Duration = Duration::from_secs(60);

/// How long opening a connection may take: three times the first repeat of a lost SYN, and a little.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(4);

/// Requests under way at once, and so connections, without the feeds. The next one waits.
///
/// Far below the descriptors of a process (1,024 by default) and above what one server does at once.
const REQUESTS_MAX: usize = 64;

/// How to reach a server.
#[derive(Clone)]
pub struct Config {
    /// `http://[NAME:PASSWORD@]HOST[:PORT][/PREFIX]`, or the same with `https`.
    pub url: String,
    /// Name and password, instead of those in the URL.
    pub credentials: Option<Credentials>,
    /// A token that is shown instead of name and password, as long as there is one in it.
    pub bearer: Option<Bearer>,
    /// A PEM file with certificates of authorities that an `https` server may have its certificate from, beside those
    /// that this machine trusts.
    pub roots: Option<PathBuf>,
    /// How long a whole request may take; 10 s by default.
    pub request_timeout: Duration,
    /// How long a whole request that carries an attachment may take; 60 s by default.
    pub attachment_timeout: Duration,
    /// How long opening a connection may take; 4 s by default.
    pub connect_timeout: Duration,
    /// Requests under way at once; 64 by default, at least 1. Feeds are not counted.
    pub requests_max: usize,
    /// Headers that every request carries besides those of this client. They may be secrets and are
    /// not shown.
    pub headers: HeaderMap,
}

impl fmt::Debug for Config {
    /// Without name and password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { url, credentials, request_timeout, attachment_timeout, .. } = self;
        f.debug_struct("Config")
            .field("url", &without_secrets(url))
            .field("credentials", credentials)
            .field("bearer", &self.bearer)
            .field("roots", &self.roots)
            .field("request_timeout", request_timeout)
            .field("attachment_timeout", attachment_timeout)
            .field("connect_timeout", &self.connect_timeout)
            .field("requests_max", &self.requests_max)
            .finish()
    }
}

impl Config {
    /// The defaults for this address.
    #[must_use]
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            credentials: None,
            bearer: None,
            roots: None,
            request_timeout: REQUEST_TIMEOUT,
            attachment_timeout: ATTACHMENT_TIMEOUT,
            connect_timeout: CONNECT_TIMEOUT,
            requests_max: REQUESTS_MAX,
            headers: HeaderMap::new(),
        }
    }
}

/// A client of one CouchDB server or cluster. Cloning is cheap and shares the connections.
#[derive(Debug, Clone)]
pub struct Client {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    exchange: Exchange,
    /// With the credentials of the URL, which has none.
    config: Config,
}

/// What `GET /` says.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct ServerInfo {
    /// CouchDB's greeting, `Welcome`. Its presence tells a CouchDB from another web server.
    pub couchdb: String,
    /// The server's version.
    pub version: String,
    /// The server's own identity, where it has one.
    #[serde(default)]
    pub uuid: Option<String>,
}

impl Client {
    /// A client for `http://[NAME:PASSWORD@]HOST[:PORT]`, or the same with `https`, with the defaults of [`Config`].
    ///
    /// Nothing is sent yet.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] when the address cannot be used, or the certificates to trust.
    pub fn new(url: impl Into<String>) -> Result<Self, Error> {
        Self::with(Config::new(url))
    }

    /// A client with a configuration of its own.
    ///
    /// # Errors
    ///
    /// As [`Client::new`].
    pub fn with(config: Config) -> Result<Self, Error> {
        Self::through(config, Dial::Tcp)
    }

    /// A client whose connections are pipes in memory and not sockets.
    ///
    /// The far end of each goes through `listener` to the server, which is in this process. The URL of
    /// the configuration is only a name then.
    ///
    /// # Errors
    ///
    /// As [`Client::new`].
    pub fn over_pipes(config: Config, listener: mpsc::Sender<DuplexStream>) -> Result<Self, Error> {
        Self::through(config, Dial::Pipes(listener))
    }

    /// A client of another server with everything else as it is here: who asks, whom it trusts, its limits. Over the
    /// network, also where this one's connections are pipes.
    ///
    /// # Errors
    ///
    /// As [`Client::new`]; and [`Error::Invalid`] for `http` where this one is `https`: what shows who asks was given to
    /// be sent over TLS, and the other address may be a stranger's word.
    pub fn elsewhere(&self, url: impl Into<String>) -> Result<Self, Error> {
        let there = Self::with(Config { url: url.into(), ..self.shared.config.clone() })?;
        if self.exchange().is_secure() && !there.exchange().is_secure() {
            return Err(Error::Invalid {
                what: "the address of another server",
                value: there.address().to_owned(),
                reason: format!(
                    "{} is asked over TLS, and its password or token is not sent without; write https://",
                    self.address()
                ),
            });
        }
        Ok(there)
    }

    /// A client of the same server for another user, over the network.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] when the name has a colon.
    pub fn as_user(&self, credentials: Credentials) -> Result<Self, Error> {
        let credentials = Some(credentials);
        Self::with(Config { credentials, bearer: None, ..self.shared.config.clone() })
    }

    pub(crate) fn through(config: Config, dial: Dial) -> Result<Self, Error> {
        let address = Address::parse(&config.url, config.credentials.as_ref())?;
        let (url, credentials) = (address.shown.clone(), address.credentials.clone());
        let dial = match dial {
            Dial::Tcp if address.is_secure => {
                Dial::Tls(Box::new(Tls::new(&address.host, config.roots.as_deref())?))
            }
            other => other,
        };
        let exchange = Exchange::new(address, dial, &config);
        let config = Config { url, credentials, ..config };
        Ok(Self { shared: Arc::new(Shared { exchange, config }) })
    }

    /// The server's address, without name and password.
    #[must_use]
    pub fn address(&self) -> &str {
        self.exchange().shown()
    }

    /// The server's name or IP address, without brackets, and its port.
    #[must_use]
    pub fn host_and_port(&self) -> (&str, u16) {
        self.exchange().host_and_port()
    }

    /// Asks the server who it is.
    ///
    /// # Errors
    ///
    /// [`Error::Decode`] when it is not a CouchDB.
    pub async fn server(&self) -> Result<ServerInfo, Error> {
        self.get(Path::server("/")).await
    }

    /// The names of all databases that this user may list.
    ///
    /// # Errors
    ///
    /// Any of [`Error`].
    pub async fn databases(&self) -> Result<Vec<String>, Error> {
        self.get(Path::server("/_all_dbs")).await
    }

    /// A database of this server. Nothing is sent: it need not exist.
    #[must_use]
    pub fn database(&self, name: &str) -> Database {
        Database::new(self.clone(), name)
    }

    pub(crate) async fn get<T: DeserializeOwned>(&self, path: Path) -> Result<T, Error> {
        let request = Request::read(Method::GET, path, self.request_timeout());
        let answer = self.call_for(&request, &[StatusCode::OK]).await?;
        self.exchange().decode(&request, &answer.body)
    }

    /// Sends a request; an answer with another status than these is an error.
    pub(crate) async fn call_for(
        &self,
        request: &Request,
        wanted: &[StatusCode],
    ) -> Result<Answer, Error> {
        let answer = self.exchange().call(request).await?;
        if wanted.contains(&answer.status) {
            Ok(answer)
        } else {
            Err(self.exchange().refuse(request, &answer))
        }
    }

    pub(crate) fn exchange(&self) -> &Exchange {
        &self.shared.exchange
    }

    pub(crate) fn request_timeout(&self) -> Duration {
        self.shared.config.request_timeout
    }

    pub(crate) fn attachment_timeout(&self) -> Duration {
        self.shared.config.attachment_timeout
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_stay_out_of_logs() {
        let credentials = Credentials { name: "me".to_owned(), password: "hidden".to_owned() };
        let config = Config {
            credentials: Some(credentials),
            ..Config::new("http://me:hidden@127.0.0.1:5984")
        };
        let text = format!("{config:?} {:?}", Client::with(config.clone()).unwrap());
        assert!(text.contains("127.0.0.1:5984") && !text.contains("hidden"), "{text}");
    }

    #[test]
    fn a_client_of_another_server_asks_as_the_same_user() {
        let here = Client::new("http://me:hidden@127.0.0.1:5984").unwrap();
        let there = here.elsewhere("https://couch.example:6984").unwrap();
        assert_eq!(there.address(), "https://couch.example:6984");
        let who = |client: &Client| client.shared.config.credentials.clone();
        assert_eq!(who(&there), who(&here));
        assert!(who(&there).is_some_and(|who| who.name == "me"));
        let refused = there.elsewhere("http://couch.example:5984").unwrap_err().to_string();
        assert!(refused.contains("write https://") && !refused.contains("hidden"), "{refused}");
    }
}
