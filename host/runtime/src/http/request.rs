//! What is asked, checked, and turned into the message that goes over the wire.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, HOST, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Uri};
use http_body_util::Full;
use url::{Host, Url};

use super::failure::Failure;
use super::limits::{HEAD_MAX_BYTES, HEADERS_MAX, REQUEST_BODY_MAX_BYTES};
use crate::egress::Family;

/// One request as a plugin states it.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) method: String,
    /// Absolute, `http` or `https`. A user name, a password and a fragment in it are not sent.
    pub(crate) url: String,
    /// Sent in this order; `host` and `content-length` are added when missing.
    pub(crate) headers: Vec<(String, Vec<u8>)>,
    pub(crate) body: Option<Bytes>,
    pub(crate) version: VersionChoice,
    /// False accepts any certificate, and still says what is wrong with it.
    pub(crate) verify: bool,
    /// In PEM; trusted instead of the engine's own.
    pub(crate) roots: Option<Bytes>,
    pub(crate) family: Family,
    /// Connects there in place of the URL's host and port.
    pub(crate) connect_to: Option<(String, u16)>,
    /// Tried in place of a lookup; empty looks up.
    pub(crate) addresses: Vec<String>,
    /// `IP` or `IP:port` of the DNS server to ask in place of the system's resolver.
    pub(crate) resolver: Option<String>,
    /// To the end of the TLS handshake.
    pub(crate) connect_timeout: Option<Duration>,
    /// To the end of the body.
    pub(crate) timeout: Option<Duration>,
}

/// Which version is offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum VersionChoice {
    /// HTTP/2 where TLS negotiates it, else HTTP/1.1.
    #[default]
    Any,
    Http1,
    /// HTTP/2 or nothing; without TLS by prior knowledge.
    Http2,
    /// HTTP/3 or nothing.
    Http3,
}

/// Where a request goes.
#[derive(Debug, Clone)]
pub(super) struct Destination {
    pub(super) secure: bool,
    pub(super) host: Host<String>,
    pub(super) port: u16,
    url: Url,
}

/// The message, apart from what depends on the version of HTTP.
#[derive(Debug)]
pub(super) struct Message {
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
}

impl Request {
    pub(super) fn destination(&self) -> Result<Destination, Failure> {
        let url = Url::parse(&self.url)
            .map_err(|e| Failure::Url(format!("URL {:?} is malformed: {e}", self.url)))?;
        let secure = match url.scheme() {
            "http" => false,
            "https" => true,
            other => return Err(Failure::Url(format!("Protocol {other:?} not supported"))),
        };
        let (Some(host), Some(port)) = (url.host(), url.port_or_known_default()) else {
            return Err(Failure::Url(format!("URL {:?} has no host", self.url)));
        };
        Ok(Destination { secure, host: host.to_owned(), port, url })
    }

    /// Where the connection goes: to the URL's host and port, unless others are named.
    pub(super) fn connect_to(
        &self,
        destination: &Destination,
    ) -> Result<(Host<String>, u16), Failure> {
        match &self.connect_to {
            None => Ok((destination.host.clone(), destination.port)),
            Some((host, port)) => {
                // With the brackets of a URL, or without.
                let host = match host.parse() {
                    Ok(address) => Host::Ipv6(address),
                    Err(_) => Host::parse(host).map_err(|e| {
                        Failure::Url(format!("{host:?} is not a host to connect to: {e}"))
                    })?,
                };
                Ok((host, *port))
            }
        }
    }

    pub(super) fn message(&self, destination: &Destination) -> Result<Message, Failure> {
        let method = Method::from_bytes(self.method.as_bytes())
            .map_err(|_| Failure::Send(format!("{:?} is not an HTTP method", self.method)))?;
        if method == Method::CONNECT {
            return Err(Failure::Send("the method CONNECT is for proxies".to_owned()));
        }
        let uri = Uri::builder()
            .scheme(destination.url.scheme())
            .authority(destination.authority())
            .path_and_query(destination.path_and_query())
            .build()
            .map_err(|e| Failure::Url(format!("URL {:?} is malformed: {e}", self.url)))?;
        let body = self.body.clone().unwrap_or_default();
        if body.len() > REQUEST_BODY_MAX_BYTES {
            return Err(Failure::Limit(format!(
                "a request's body has at most {} MiB, this one {} bytes",
                REQUEST_BODY_MAX_BYTES / 1024 / 1024,
                body.len()
            )));
        }
        Ok(Message { method, uri, headers: self.header_map(destination, body.len())?, body })
    }

    fn header_map(
        &self,
        destination: &Destination,
        body_bytes: usize,
    ) -> Result<HeaderMap, Failure> {
        let bytes: usize = self.headers.iter().map(|(name, value)| name.len() + value.len()).sum();
        if self.headers.len() > HEADERS_MAX || bytes > HEAD_MAX_BYTES {
            return Err(Failure::Limit(format!(
                "a request's head has at most {HEADERS_MAX} fields and {} KiB, this one {} fields and {bytes} bytes",
                HEAD_MAX_BYTES / 1024,
                self.headers.len()
            )));
        }
        let mut map = HeaderMap::with_capacity(self.headers.len() + 2);
        if !self.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
            let host = HeaderValue::from_str(&destination.authority())
                .map_err(|_| Failure::Url(format!("URL {:?} has a malformed host", self.url)))?;
            map.append(HOST, host);
        }
        for (name, value) in &self.headers {
            let bad = || Failure::Send(format!("the header {name:?} cannot be sent"));
            let key = HeaderName::from_bytes(name.as_bytes()).map_err(|_| bad())?;
            let value = HeaderValue::from_bytes(value).map_err(|_| bad())?;
            if key == CONTENT_LENGTH && value.as_bytes() != body_bytes.to_string().as_bytes() {
                return Err(Failure::Send(format!(
                    "content-length {value:?} does not fit the body of {body_bytes} bytes"
                )));
            }
            map.append(key, value);
        }
        Ok(map)
    }
}

impl Destination {
    /// `host`, or `host:port` when the port is not the scheme's own.
    fn authority(&self) -> String {
        match self.url.port() {
            Some(port) => format!("{}:{port}", self.host),
            None => self.host.to_string(),
        }
    }

    fn path_and_query(&self) -> String {
        match self.url.query() {
            Some(query) => format!("{}?{query}", self.url.path()),
            None => self.url.path().to_owned(),
        }
    }

    /// The address, when the URL names one. Texts such as `127.1` are addresses too.
    pub(super) fn literal(&self) -> Option<IpAddr> {
        match self.host {
            Host::Domain(_) => None,
            Host::Ipv4(v4) => Some(v4.into()),
            Host::Ipv6(v6) => Some(v6.into()),
        }
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.literal() {
            Some(address) => address.fmt(f),
            None => self.host.fmt(f),
        }
    }
}

impl Message {
    /// For HTTP/1: the path as target, `Host` as a header.
    pub(super) fn http1(self) -> http::Request<Full<Bytes>> {
        let target =
            self.uri.path_and_query().cloned().map_or_else(|| Uri::from_static("/"), Uri::from);
        self.finish(target)
    }

    /// For HTTP/2: the whole URL, from which hyper makes the pseudo-headers; a `Host` header becomes the
    /// authority. Headers of the connection have no meaning there.
    pub(super) fn http2(mut self) -> http::Request<Full<Bytes>> {
        let mut parts = self.uri.clone().into_parts();
        let host = self.headers.remove(HOST);
        if let Some(authority) = host.and_then(|host| host.as_bytes().try_into().ok()) {
            parts.authority = Some(authority);
        }
        for name in ["connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"]
        {
            self.headers.remove(name);
        }
        let uri = Uri::from_parts(parts).unwrap_or_else(|_| self.uri.clone());
        self.finish(uri)
    }

    fn finish(self, uri: Uri) -> http::Request<Full<Bytes>> {
        let mut request = http::Request::new(Full::new(self.body));
        *request.method_mut() = self.method;
        *request.uri_mut() = uri;
        *request.headers_mut() = self.headers;
        request
    }
}
