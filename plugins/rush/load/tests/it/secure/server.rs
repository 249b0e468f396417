//! Servers with TLS and with HTTP/2.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::{HandshakeKind, ServerConfig, ServerConnection, StreamOwned};
use tokio_rustls::TlsAcceptor;

use crate::servers::serve;

/// For 127.0.0.1, with the root that trusts it.
pub(super) fn identity(alpn: &[&str]) -> (Arc<ServerConfig>, String) {
    let key = KeyPair::generate().expect("a key");
    let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).expect("a name");
    let certificate = params.self_signed(&key).expect("a certificate").der().clone();
    let root = BASE64_STANDARD.encode(&certificate);
    let private = PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
    let mut config =
        ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![certificate], private)
            .expect("a certificate");
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    (Arc::new(config), root)
}

/// What came to a server.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) whole_handshakes: AtomicU64,
    pub(super) resumed_handshakes: AtomicU64,
    pub(super) requests: AtomicU64,
}

/// Answers each request over TLS; `says_end` closes TLS after one of them, `is_once` closes TCP.
pub(super) fn secured(
    config: Arc<ServerConfig>,
    answer: &'static [u8],
    is_once: bool,
    says_end: bool,
) -> (SocketAddr, Arc<Seen>) {
    let seen = Arc::new(Seen::default());
    let told = Arc::clone(&seen);
    let address = serve(move |peer| {
        let connection = ServerConnection::new(Arc::clone(&config)).expect("a connection");
        let mut stream = StreamOwned::new(connection, peer.stream);
        let (mut held, mut piece) = (Vec::new(), [0; 4096]);
        loop {
            match stream.read(&mut piece) {
                Ok(length @ 1..) => held.extend_from_slice(&piece[..length]),
                Ok(0) | Err(_) => return,
            }
            if held.ends_with(b"\r\n\r\n") {
                held.clear();
                told.requests.fetch_add(1, Ordering::Relaxed);
                let kind = match stream.conn.handshake_kind() {
                    Some(HandshakeKind::Resumed) => &told.resumed_handshakes,
                    _ => &told.whole_handshakes,
                };
                kind.fetch_add(1, Ordering::Relaxed);
                if stream.write_all(answer).is_err() {
                    return;
                }
                if is_once {
                    if says_end {
                        stream.conn.send_close_notify();
                    }
                    // Whatever of it the peer still takes.
                    drop(stream.flush());
                    return;
                }
            }
        }
    });
    (address, seen)
}

/// Answers each stream with 3,000 bytes and a cookie; `/b` without the cookie with 500.
pub(super) fn multiplexed(
    config: Option<Arc<ServerConfig>>,
    streams_max: u32,
) -> (SocketAddr, Arc<Seen>) {
    let seen = Arc::new(Seen::default());
    let told = Arc::clone(&seen);
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.set_nonblocking(true).expect("a listener that does not block");
    let address = listener.local_addr().expect("an address");
    thread::spawn(move || {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_io().build().expect("a runtime");
        runtime.block_on(tokio::task::LocalSet::new().run_until(async move {
            let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
            while let Ok((stream, _)) = listener.accept().await {
                let (told, config) = (Arc::clone(&told), config.clone());
                tokio::task::spawn_local(async move {
                    match config {
                        None => connection(stream, streams_max, told).await,
                        Some(config) => {
                            if let Ok(stream) = TlsAcceptor::from(config).accept(stream).await {
                                connection(stream, streams_max, told).await;
                            }
                        }
                    }
                });
            }
        }));
    });
    (address, seen)
}

async fn connection<T>(io: T, streams_max: u32, seen: Arc<Seen>)
where
    T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    let mut builder = h2::server::Builder::new();
    builder.max_concurrent_streams(streams_max);
    let Ok(mut connection) = builder.handshake::<_, Bytes>(io).await else { return };
    while let Some(Ok((request, mut answer))) = connection.accept().await {
        seen.requests.fetch_add(1, Ordering::Relaxed);
        tokio::task::spawn_local(async move {
            let (head, mut body) = request.into_parts();
            while let Some(Ok(data)) = body.data().await {
                body.flow_control().release_capacity(data.len()).expect("a window");
            }
            let cookie =
                head.headers.get("cookie").map_or("none", |value| value.to_str().unwrap_or("odd"));
            let status = if head.uri.path() == "/b" && cookie != "c=7" { 500 } else { 200 };
            let response = http::Response::builder()
                .status(status)
                .header("set-cookie", "c=7; Path=/")
                .body(())
                .expect("a response");
            if let Ok(mut stream) = answer.send_response(response, false) {
                // A client that has gone away is no concern of ours.
                drop(stream.send_data(Bytes::from(vec![b'x'; 3000]), true));
            }
        });
    }
}
