//! Whom a request trusts, and what a handshake shows of a server that is not trusted.

use std::sync::Arc;

use bytes::Bytes;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, PKCS_ECDSA_P256_SHA256,
    date_time_ymd,
};
use rustls::ServerConfig;
use rustls::crypto::ring::sign::any_supported_type;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use tokio::io::AsyncReadExt as _;
use tokio_rustls::TlsAcceptor;

use super::server::{client, client_trusting, drain, get, serve_tls};
use crate::http::{Failed, Failure, Request};
use crate::tests::sockets::listen;

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// An authority that signs for servers.
pub(super) struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub(super) fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        Self(CertifiedIssuer::self_signed(params, key).unwrap())
    }

    pub(super) fn pem(&self) -> String {
        self.0.pem()
    }

    pub(super) fn der(&self) -> CertificateDer<'static> {
        self.0.der().clone()
    }

    /// A server's settings with a chain of its certificate and this authority's, and that chain.
    pub(super) fn server(
        &self,
        name: &str,
        alpn: &[&str],
        change: impl FnOnce(&mut CertificateParams),
    ) -> (ServerConfig, Vec<Vec<u8>>) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        change(&mut params);
        let chain = vec![params.signed_by(&key, &self.0).unwrap().der().clone(), self.der()];
        let shown = chain.iter().map(|der| der.to_vec()).collect();
        let private = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        // Without its own check of the chain: some are wrong on purpose.
        let identity = CertifiedKey::new(chain, any_supported_type(&private).unwrap());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(SingleCertAndKey::from(identity)));
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        (config, shown)
    }
}

fn trusting(pem: impl Into<Bytes>, request: Request) -> Request {
    Request { roots: Some(pem.into()), ..request }
}

fn old(params: &mut CertificateParams) {
    params.not_before = date_time_ymd(2019, 1, 1);
    params.not_after = date_time_ymd(2020, 1, 1);
}

#[tokio::test]
async fn a_request_brings_its_own_roots() {
    let (ours, theirs) = (Authority::new("ours"), Authority::new("theirs"));
    let (config, chain) = ours.server("localhost", &[], |_| {});
    let acceptor = TlsAcceptor::from(Arc::new(config));
    // The machine trusts theirs, as far as this client knows.
    let client = client_trusting(theirs.der());
    let bundle = format!("# a comment\n{}\n{}", theirs.pem(), ours.pem());
    for pem in [ours.pem(), bundle, ours.pem()] {
        let port = serve_tls(acceptor.clone(), OK).await;
        let request = trusting(pem, get(&format!("https://localhost:{port}/")));
        let mut answer = client.exchange(request).await.unwrap();
        assert_eq!(drain(&mut answer).await.unwrap(), b"ok");
        assert_eq!(answer.connection.tls.unwrap().certificates, chain);
    }
    // They stand in place of the machine's, and do not stay.
    let (config, _) = theirs.server("localhost", &[], |_| {});
    let acceptor = TlsAcceptor::from(Arc::new(config));
    for (roots, is_trusted) in [(Some(ours.pem()), false), (None, true)] {
        let port = serve_tls(acceptor.clone(), OK).await;
        let request = Request {
            roots: roots.clone().map(Bytes::from),
            ..get(&format!("https://localhost:{port}/"))
        };
        let found = client.exchange(request).await;
        assert_eq!(found.is_ok(), is_trusted, "{roots:?}: {found:?}");
    }
}

#[tokio::test]
async fn roots_that_cannot_be_used_are_refused_before_the_server_is_asked() {
    let prefix = "error setting certificate verify locations: ";
    let cut = Authority::new("ours").pem().replace("-----END CERTIFICATE-----", "");
    let empty = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    for (pem, wanted) in [
        (String::new(), "no certificate in PEM was found"),
        ("not PEM at all".to_owned(), "no certificate in PEM was found"),
        (cut, "a certificate in PEM has no END line"),
        (empty.replace("AAAA", "A*A"), "a certificate is not in Base64"),
        (empty.to_owned(), "invalid peer certificate: BadEncoding"),
    ] {
        let request = trusting(pem.clone(), get("https://localhost:1/"));
        let found = client().exchange(request).await.expect_err("they were used");
        assert_eq!(found.failure, Failure::Tls(format!("{prefix}{wanted}")), "{pem}");
    }
    let many = empty.repeat(1001);
    let large = "x".repeat(1024 * 1024 + 1);
    for (pem, wanted) in [
        (many, "at most 1000 certificates to trust are taken, these are more"),
        (large, "the certificates to trust have at most 1024 KiB of PEM, these 1048577 bytes"),
    ] {
        let request = trusting(pem, get("https://localhost:1/"));
        let found = client().exchange(request).await.expect_err("they were used");
        assert_eq!(found.failure, Failure::Limit(wanted.to_owned()));
    }
}

#[tokio::test]
async fn a_refused_server_shows_its_whole_chain_and_gets_no_request() {
    let (ours, theirs) = (Authority::new("ours"), Authority::new("theirs"));
    for (authority, name, change, wanted) in [
        (&ours, "localhost", old as fn(&mut CertificateParams), "certificate has expired"),
        (
            &ours,
            "other.example",
            |_| {},
            "no alternative certificate subject name matches target host name 'localhost' (the certificate is for other.example)",
        ),
        (&theirs, "localhost", |_| {}, "unable to get local issuer certificate"),
        (
            &theirs,
            "localhost",
            |params| {
                // By its words alone: named like who signed it.
                params.distinguished_name = rcgen::DistinguishedName::new();
                params.distinguished_name.push(rcgen::DnType::CommonName, "theirs");
            },
            "self-signed certificate",
        ),
    ] {
        let (config, chain) = authority.server(name, &[], change);
        let (listener, address) = listen().await;
        let served = tokio::spawn(async move {
            let (tcp, _) = listener.accept().await.unwrap();
            let mut heard = Vec::new();
            if let Ok(mut stream) = TlsAcceptor::from(Arc::new(config)).accept(tcp).await {
                // Whatever ended it: what was heard counts.
                let _ended = stream.read_to_end(&mut heard).await;
            }
            heard
        });
        let request = trusting(ours.pem(), get(&format!("https://localhost:{}/", address.port())));
        let Failed { failure, phases, connection } =
            client().exchange(request).await.expect_err("it was trusted");
        let text = format!("SSL certificate problem: {wanted}");
        assert_eq!(failure, Failure::Certificate(text));
        let tls = connection.tls.expect("what the handshake showed");
        assert_eq!((tls.verdict.as_str(), tls.certificates), (wanted, chain));
        assert_eq!(connection.remote, Some(address));
        assert!(phases.connect > phases.dns && phases.tls.is_zero(), "{phases:?}");
        assert_eq!(served.await.unwrap(), b"", "{wanted}");
    }
}

#[tokio::test]
async fn a_trusted_server_whose_handshake_ends_later_shows_all() {
    let ours = Authority::new("ours");
    let (config, chain) = ours.server("localhost", &[], |_| {});
    let port = serve_tls(TlsAcceptor::from(Arc::new(config)), OK).await;
    let request = Request {
        version: crate::http::VersionChoice::Http2,
        ..trusting(ours.pem(), get(&format!("https://localhost:{port}/")))
    };
    let found = client().exchange(request).await.expect_err("HTTP/2");
    let tls = found.connection.tls.expect("what the handshake showed");
    assert_eq!((tls.protocol.as_str(), tls.verdict.as_str(), tls.alpn), ("TLSv1.3", "ok", None));
    assert_eq!((tls.cipher.as_str(), tls.certificates), ("TLS_AES_256_GCM_SHA384", chain));
}

#[tokio::test]
async fn certificates_beyond_the_limit_are_not_called_plain_text() {
    let ours = Authority::new("ours");
    for verify in [true, false] {
        let (config, _) = ours.server("localhost", &[], |params| {
            let names = (0..5000).map(|n| format!("name{n}.example").try_into().unwrap());
            params.subject_alt_names.extend(names.map(rcgen::SanType::DnsName));
        });
        let port = serve_tls(TlsAcceptor::from(Arc::new(config)), OK).await;
        let request = trusting(ours.pem(), get(&format!("https://localhost:{port}/")));
        let found = client().exchange(Request { verify, ..request }).await.expect_err("too large");
        let wanted = "TLS handshake failed: the server's certificates have more than 64 KiB, the most that is taken";
        assert_eq!(found.failure, Failure::Tls(wanted.to_owned()));
    }
}

#[cfg(not(feature = "http3"))]
#[tokio::test]
async fn http3_says_that_it_is_not_built_in() {
    for url in ["https://localhost:1/", "http://localhost:1/"] {
        let version = crate::http::VersionChoice::Http3;
        let found = client().exchange(Request { version, ..get(url) }).await.expect_err("HTTP/3");
        let wanted = "this engine has no HTTP/3; build it with --features http3";
        assert_eq!(found.failure, Failure::Unsupported(wanted.to_owned()), "{url}");
    }
}
