//! DNS servers on loopback that send what a test wants, and a certificate for them.

use std::net::SocketAddr;
use std::sync::Arc;

use rcgen::{CertificateParams, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, UdpSocket};
use tokio_rustls::TlsAcceptor;
use tokio_util::task::AbortOnDropHandle;

/// What a server does with a question: the messages that it sends.
pub(super) trait Script: Fn(&[u8]) -> Vec<Vec<u8>> + Clone + Send + Sync + 'static {}
impl<F: Fn(&[u8]) -> Vec<Vec<u8>> + Clone + Send + Sync + 'static> Script for F {}

/// It ends when it is dropped.
pub(super) struct Server {
    pub(super) address: SocketAddr,
    _task: AbortOnDropHandle<()>,
}

impl Server {
    pub(super) async fn udp(script: impl Script) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        Self::running(address, async move {
            let mut buffer = vec![0; 65_535];
            loop {
                let (length, from) = socket.recv_from(&mut buffer).await.unwrap();
                for answer in script(&buffer[..length]) {
                    socket.send_to(&answer, from).await.unwrap();
                }
            }
        })
    }

    pub(super) async fn tcp(script: impl Script) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        Self::running(address, async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                serve(&mut stream, &script).await;
            }
        })
    }

    pub(super) async fn tls(acceptor: TlsAcceptor, script: impl Script) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        Self::running(address, async move {
            loop {
                let (tcp, _) = listener.accept().await.unwrap();
                // A client that refuses the certificate is no error.
                if let Ok(mut stream) = acceptor.accept(tcp).await {
                    serve(&mut stream, &script).await;
                }
            }
        })
    }

    /// `task` serves at this address.
    pub(super) fn running(
        address: SocketAddr,
        task: impl Future<Output = ()> + Send + 'static,
    ) -> Self {
        Self { address, _task: AbortOnDropHandle::new(tokio::spawn(task)) }
    }

    pub(super) fn text(&self) -> String {
        self.address.to_string()
    }

    /// By the name that certificates are for.
    pub(super) fn localhost(&self) -> String {
        format!("localhost:{}", self.address.port())
    }
}

/// One question of a connection; the answers go out with their lengths, and what has none goes out as it is: an
/// answer that begins with [`RAW`].
async fn serve<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S, script: &impl Script) {
    let Ok(length) = stream.read_u16().await else { return };
    let mut question = vec![0; usize::from(length)];
    if stream.read_exact(&mut question).await.is_err() {
        return;
    }
    for answer in script(&question) {
        let framed = match answer.strip_prefix(RAW) {
            Some(raw) => raw.to_vec(),
            None => [&u16::try_from(answer.len()).unwrap().to_be_bytes()[..], &answer].concat(),
        };
        // A client that has gone hears nothing more.
        if stream.write_all(&framed).await.is_err() {
            return;
        }
    }
    stream.shutdown().await.ok();
}

/// Begins what a server on a stream sends without a length.
pub(super) const RAW: &[u8] = b"raw:";

/// A certificate for `localhost` that signs itself, and a TLS configuration that shows it.
pub(super) fn identity(alpn: &[&[u8]]) -> (CertificateDer<'static>, TlsAcceptor) {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let certificate = params.self_signed(&key).unwrap().der().clone();
    let private = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], private)
        .unwrap();
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    (certificate, TlsAcceptor::from(Arc::new(config)))
}
