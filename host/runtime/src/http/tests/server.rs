//! Servers for one connection, and short ways to ask them.

use std::sync::Arc;
use std::time::Duration;

use rcgen::{CertificateParams, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use crate::TargetPolicy;
use crate::egress::{Egress, Family};
use crate::http::{Answer, Client, Failure, Request, VersionChoice};
use crate::tests::sockets::listen;

/// Longer than any test should take; a hang then fails with a name.
const PATIENCE: Duration = Duration::from_secs(20);

/// What a server does behind its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Then {
    Close,
    /// Leaves the connection open for ever.
    Hang,
    /// Aborts the connection (RST).
    Reset,
}

pub(super) fn client() -> Client {
    client_under(TargetPolicy::any())
}

pub(super) fn client_under(policy: TargetPolicy) -> Client {
    Client::new(Egress::new(policy, Vec::new()))
}

pub(super) fn get(url: &str) -> Request {
    Request {
        method: "GET".to_owned(),
        url: url.to_owned(),
        headers: Vec::new(),
        body: None,
        version: VersionChoice::Any,
        verify: true,
        roots: None,
        family: Family::Any,
        connect_to: None,
        addresses: Vec::new(),
        resolver: None,
        connect_timeout: None,
        timeout: Some(PATIENCE),
    }
}

/// Serves one connection: reads a request to the end of its head and `body_bytes` more, writes `answer`.
/// Gives the base URL and, at the end, what the client had sent.
pub(super) async fn serve(
    answer: &'static [u8],
    body_bytes: usize,
    then: Then,
) -> (String, JoinHandle<String>) {
    let (listener, address) = listen().await;
    let served = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let request = converse(&mut stream, answer, body_bytes).await;
        match then {
            Then::Close => {}
            Then::Hang => hang(&mut stream).await,
            Then::Reset => stream.set_zero_linger().unwrap(),
        }
        request
    });
    (format!("http://{address}"), served)
}

/// Waits until the client goes away.
pub(super) async fn hang(stream: &mut (impl AsyncRead + Unpin)) {
    let mut buffer = [0; 1024];
    while stream.read(&mut buffer).await.is_ok_and(|n| n > 0) {}
}

pub(super) async fn converse(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    answer: &[u8],
    body_bytes: usize,
) -> String {
    let mut request = Vec::new();
    loop {
        let head = request.windows(4).position(|four| four == b"\r\n\r\n");
        if head.is_some_and(|at| request.len() >= at + 4 + body_bytes) {
            break;
        }
        assert!(stream.read_buf(&mut request).await.unwrap() > 0, "the client closed early");
    }
    stream.write_all(answer).await.unwrap();
    stream.flush().await.unwrap();
    String::from_utf8(request).unwrap()
}

/// A certificate for `name` that signs itself, and a TLS configuration that shows it.
pub(super) fn identity(
    name: &str,
    alpn: &[&str],
    change: impl FnOnce(&mut CertificateParams),
) -> (CertificateDer<'static>, TlsAcceptor) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    change(&mut params);
    let certificate = params.self_signed(&key).unwrap().der().clone();
    let private = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], private)
        .unwrap();
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    (certificate, TlsAcceptor::from(Arc::new(config)))
}

/// A client that trusts `root`.
pub(super) fn client_trusting(root: CertificateDer<'static>) -> Client {
    client().trusting(root)
}

/// Serves one TLS connection with a canned answer. A client that refuses the certificate is no error.
pub(super) async fn serve_tls(acceptor: TlsAcceptor, answer: &'static [u8]) -> u16 {
    let (listener, address) = listen().await;
    tokio::spawn(async move {
        let (tcp, _) = listener.accept().await.unwrap();
        if let Ok(mut stream) = acceptor.accept(tcp).await {
            converse(&mut stream, answer, 0).await;
            stream.shutdown().await.unwrap();
        }
    });
    address.port()
}

/// The whole body.
pub(super) async fn drain(answer: &mut Answer) -> Result<Vec<u8>, Failure> {
    let mut body = Vec::new();
    loop {
        let piece = answer.body.read(1000).await?;
        assert!(piece.len() <= 1000);
        if piece.is_empty() {
            return Ok(body);
        }
        body.extend_from_slice(&piece);
    }
}

/// What an exchange with this server fails with, in its head or in its body.
pub(super) async fn failure(request: Request) -> Failure {
    match client().exchange(request).await {
        Err(failed) => failed.failure,
        Ok(mut answer) => drain(&mut answer).await.expect_err("the exchange succeeded"),
    }
}
