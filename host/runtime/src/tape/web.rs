//! An HTTP exchange on a tape: what was asked, the head of the answer with its phases, and each piece of the body.

use blitz_contract::web::{FailureKind, Family, Phases, Version, VersionChoice};
use serde::{Deserialize, Serialize};
use wasmtime::component::Resource;

use super::bytes::Piece;
use crate::bindings::blitz::plugin::web;
use crate::web::Body;

/// Header fields by name.
type Headers = Vec<(String, Piece)>;

/// A request. What is as most requests have it is left out.
#[derive(Serialize)]
pub(crate) struct Asked {
    method: String,
    url: String,
    headers: Headers,
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<Piece>,
    #[serde(skip_serializing_if = "is_usual")]
    version: VersionChoice,
    #[serde(skip_serializing_if = "is_true")]
    verify: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    roots: Option<Piece>,
    #[serde(skip_serializing_if = "is_usual")]
    family: Family,
    #[serde(skip_serializing_if = "Option::is_none")]
    connect_to: Option<(String, u16)>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    addresses: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resolver: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    connect_timeout_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    timeout_ms: Option<u64>,
}

/// What came of it.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Heard {
    Answer(Box<Answer>),
    Failed(Box<Failure>),
}

#[derive(Serialize, Deserialize)]
pub(crate) struct Answer {
    status: u16,
    reason: Piece,
    version: Version,
    headers: Headers,
    phases: Phases,
    connection: Connection,
}

#[derive(Serialize, Deserialize)]
pub(crate) struct Failure {
    kind: FailureKind,
    text: String,
    phases: Phases,
    connection: Connection,
}

/// A call of `read`.
#[derive(Serialize)]
pub(crate) struct AskedPiece {
    pub(crate) body: u64,
    pub(crate) max_bytes: usize,
}

/// What it gave; an empty piece is the end.
#[derive(Serialize, Deserialize)]
pub(crate) struct HeardPiece {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    piece: Option<Piece>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    failed: Option<Box<Failure>>,
    pub(crate) total_us: u64,
}

#[derive(Serialize, Deserialize)]
struct Connection {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    resolver: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    addresses: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    remote: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    local: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tls: Option<Tls>,
}

#[derive(Serialize, Deserialize)]
struct Tls {
    protocol: String,
    cipher: String,
    alpn: Option<String>,
    verdict: String,
    certificates: Vec<Piece>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
fn is_true(value: &bool) -> bool {
    *value
}

fn is_usual<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl From<&web::Request> for Asked {
    fn from(request: &web::Request) -> Self {
        let headers = request.headers.iter();
        Self {
            method: request.method.clone(),
            url: request.url.clone(),
            headers: headers.map(|(name, v)| (name.clone(), Piece::of_question(v))).collect(),
            body: request.body.as_deref().map(Piece::of_question),
            version: request.version.into(),
            verify: request.verify,
            roots: request.roots.as_deref().map(Piece::of_question),
            family: request.family.into(),
            connect_to: request.connect_to.clone(),
            addresses: request.addresses.clone(),
            resolver: request.resolver.clone(),
            connect_timeout_ms: request.connect_timeout_ms,
            timeout_ms: request.timeout_ms,
        }
    }
}

impl From<&Result<web::Answer, web::Failure>> for Heard {
    fn from(heard: &Result<web::Answer, web::Failure>) -> Self {
        match heard {
            Ok(answer) => Self::Answer(Box::new(answer.into())),
            Err(failure) => Self::Failed(Box::new(failure.into())),
        }
    }
}

impl Answer {
    pub(crate) fn first_byte_us(&self) -> u64 {
        self.phases.first_byte_us
    }

    pub(crate) fn with_body(self, body: Resource<Body>) -> web::Answer {
        web::Answer {
            status: self.status,
            reason: self.reason.bytes(),
            version: self.version.into(),
            headers: self.headers.into_iter().map(|(name, v)| (name, v.bytes())).collect(),
            phases: self.phases.into(),
            connection: self.connection.into(),
            body,
        }
    }
}

impl From<&web::Answer> for Answer {
    fn from(answer: &web::Answer) -> Self {
        let headers = answer.headers.iter();
        Self {
            status: answer.status,
            reason: Piece::new(&answer.reason),
            version: answer.version.into(),
            headers: headers.map(|(name, value)| (name.clone(), Piece::new(value))).collect(),
            phases: answer.phases.into(),
            connection: Connection::from(&answer.connection),
        }
    }
}

impl From<&web::Connection> for Connection {
    fn from(connection: &web::Connection) -> Self {
        let web::Connection { resolver, addresses, remote, local, tls } = connection.clone();
        let tls = tls.map(|tls| Tls {
            protocol: tls.protocol,
            cipher: tls.cipher,
            alpn: tls.alpn,
            verdict: tls.verdict,
            certificates: tls.certificates.iter().map(|der| Piece::new(der)).collect(),
        });
        Self { resolver, addresses, remote, local, tls }
    }
}

impl From<Connection> for web::Connection {
    fn from(connection: Connection) -> Self {
        let Connection { resolver, addresses, remote, local, tls } = connection;
        let tls = tls.map(|tls| web::Tls {
            protocol: tls.protocol,
            cipher: tls.cipher,
            alpn: tls.alpn,
            verdict: tls.verdict,
            certificates: tls.certificates.into_iter().map(Piece::bytes).collect(),
        });
        Self { resolver, addresses, remote, local, tls }
    }
}

impl From<&web::Failure> for Failure {
    fn from(failure: &web::Failure) -> Self {
        Self {
            kind: failure.kind.into(),
            text: failure.text.clone(),
            phases: failure.phases.into(),
            connection: Connection::from(&failure.connection),
        }
    }
}

impl From<Failure> for web::Failure {
    fn from(failure: Failure) -> Self {
        Self {
            kind: failure.kind.into(),
            text: failure.text,
            phases: failure.phases.into(),
            connection: failure.connection.into(),
        }
    }
}

impl HeardPiece {
    pub(crate) fn new(piece: &Result<Vec<u8>, web::Failure>, total_us: u64) -> Self {
        match piece {
            Ok(bytes) => Self { piece: Some(Piece::new(bytes)), failed: None, total_us },
            Err(failure) => Self { piece: None, failed: Some(Box::new(failure.into())), total_us },
        }
    }
}

impl From<HeardPiece> for Result<Vec<u8>, web::Failure> {
    fn from(heard: HeardPiece) -> Self {
        match heard.failed {
            Some(failure) => Err((*failure).into()),
            None => Ok(heard.piece.map(Piece::bytes).unwrap_or_default()),
        }
    }
}
