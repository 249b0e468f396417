//! What is asked, checked, and turned into the message that goes over the wire.

use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, HOST, HeaderMap, HeaderName, HeaderValue, TRANSFER_ENCODING};
use http::uri::{Authority, Scheme};
use http::{Method, Uri};
use http_body_util::Full;
use url::{Host, Url};

use super::failure::Failure;
use super::limits::{HEAD_MAX_BYTES, HEADERS_MAX, REQUEST_BODY_MAX_BYTES};
use super::target::Target;
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
    /// `host`, or `host:port` when the port is not the scheme's own.
    authority: Bytes,
    target: Target,
}

/// The message, apart from what depends on the version of HTTP.
#[derive(Debug)]
pub(super) struct Message {
    method: Method,
    scheme: Scheme,
    authority: Authority,
    target: Target,
    headers: HeaderMap,
    /// The fields of an HTTP/1 head, each with its line end.
    stated: Vec<u8>,
    body: Bytes,
}

impl Request {
    pub(super) fn destination(&self) -> Result<Destination, Failure> {
        let url = Url::parse(&self.url).map_err(|error| {
            Failure::Url(match error {
                url::ParseError::RelativeUrlWithoutBase => {
                    format!(
                        "URL {:?} is malformed: it needs http:// or https:// in front",
                        self.url
                    )
                }
                error => format!("URL {:?} is malformed: {error}", self.url),
            })
        })?;
        let secure = match url.scheme() {
            "http" => false,
            "https" => true,
            other => return Err(Failure::Url(format!("Protocol {other:?} not supported"))),
        };
        let (Some(host), Some(port)) = (url.host(), url.port_or_known_default()) else {
            return Err(Failure::Url(format!("URL {:?} has no host", self.url)));
        };
        let authority = match url.port() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_string(),
        };
        Ok(Destination {
            secure,
            host: host.to_owned(),
            port,
            authority: authority.into(),
            target: Target::of_url(&self.url)?,
        })
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
        let authority = Authority::from_maybe_shared(destination.authority.clone())
            .map_err(|e| Failure::Url(format!("URL {:?} is malformed: {e}", self.url)))?;
        let body = self.body.clone().unwrap_or_default();
        if body.len() > REQUEST_BODY_MAX_BYTES {
            return Err(Failure::Limit(format!(
                "a request's body has at most {} MiB, this one {} bytes",
                REQUEST_BODY_MAX_BYTES / 1024 / 1024,
                body.len()
            )));
        }
        let (headers, stated) = self.fields(destination, body.len())?;
        Ok(Message {
            method,
            scheme: if destination.secure { Scheme::HTTPS } else { Scheme::HTTP },
            authority,
            target: destination.target.clone(),
            headers,
            stated,
            body,
        })
    }

    /// The fields for hyper, and as they are stated.
    fn fields(
        &self,
        destination: &Destination,
        body_bytes: usize,
    ) -> Result<(HeaderMap, Vec<u8>), Failure> {
        let bytes: usize = self.headers.iter().map(|(name, value)| name.len() + value.len()).sum();
        if self.headers.len() > HEADERS_MAX || bytes > HEAD_MAX_BYTES {
            return Err(Failure::Limit(format!(
                "a request's head has at most {HEADERS_MAX} fields and {} KiB, this one {} fields and {bytes} bytes",
                HEAD_MAX_BYTES / 1024,
                self.headers.len()
            )));
        }
        let mut map = HeaderMap::with_capacity(self.headers.len() + 2);
        let mut stated = Vec::with_capacity(bytes + (self.headers.len() + 2) * 8 + 64);
        if !self.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
            let host = HeaderValue::from_maybe_shared(destination.authority.clone())
                .map_err(|_| Failure::Url(format!("URL {:?} has a malformed host", self.url)))?;
            state(&mut stated, "Host", host.as_bytes());
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
            state(&mut stated, name, value.as_bytes());
            map.append(key, value);
        }
        let is_framed = map.contains_key(CONTENT_LENGTH) || map.contains_key(TRANSFER_ENCODING);
        if body_bytes > 0 && !is_framed {
            let length = HeaderValue::from(body_bytes);
            state(&mut stated, "Content-Length", length.as_bytes());
            map.append(CONTENT_LENGTH, length);
        }
        Ok((map, stated))
    }
}

fn state(stated: &mut Vec<u8>, name: &str, value: &[u8]) {
    for part in [name.as_bytes(), b": ", value, b"\r\n"] {
        stated.extend_from_slice(part);
    }
}

impl Message {
    /// For HTTP/1: the target alone, `Host` as a header; and the head as it is stated, which has the length of
    /// hyper's unless the framing was changed.
    pub(super) fn http1(self) -> (http::Request<Full<Bytes>>, Vec<u8>) {
        let mut stated = Vec::with_capacity(self.stated.len() + self.target.as_str().len() + 32);
        let method = self.method.as_str().as_bytes();
        let target = self.target.as_str().as_bytes();
        for part in [method, b" ", target, b" HTTP/1.1\r\n", &self.stated, b"\r\n"] {
            stated.extend_from_slice(part);
        }
        let uri = Uri::from(self.target.of_same_length());
        (self.finish(uri), stated)
    }

    /// For HTTP/2 and HTTP/3: the whole URL, from which the pseudo-headers are made; a `Host` header becomes the
    /// authority. Headers of the connection have no meaning there.
    pub(super) fn http2(mut self) -> http::Request<Full<Bytes>> {
        let host = self.headers.remove(HOST);
        let host = host.and_then(|host| host.as_bytes().try_into().ok());
        let mut parts = http::uri::Parts::default();
        parts.scheme = Some(self.scheme.clone());
        parts.authority = Some(host.unwrap_or_else(|| self.authority.clone()));
        parts.path_and_query = Some(self.target.encoded().clone());
        for name in ["connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"]
        {
            self.headers.remove(name);
        }
        // With all three parts there is nothing to refuse.
        let uri = Uri::from_parts(parts).unwrap_or_default();
        self.finish(uri)
    }

    /// Of the body.
    pub(super) fn body_bytes(&self) -> usize {
        self.body.len()
    }

    fn finish(self, uri: Uri) -> http::Request<Full<Bytes>> {
        let mut request = http::Request::new(Full::new(self.body));
        *request.method_mut() = self.method;
        *request.uri_mut() = uri;
        *request.headers_mut() = self.headers;
        request
    }
}
