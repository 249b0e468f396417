//! The client against a server with a certificate of the test's own making, over TCP.

use std::path::PathBuf;

use rcgen::{CertificateParams, Issuer, KeyPair, date_time_ymd};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::script::wire::Wire;
use crate::{Bearer, Client, Config};

const WELCOME: &str = r#"{"couchdb":"Welcome","version":"3.5.0","uuid":"u"}"#;

/// An authority in a file, and a server that has its certificate from it.
struct Site {
    _directory: tempfile::TempDir,
    roots: PathBuf,
    url: String,
    /// Ends with the `Authorization` of each request that it had.
    server: JoinHandle<Vec<String>>,
}

/// Answers so many requests with a greeting, on one connection each.
async fn serve(requests: usize, change: impl FnOnce(&mut CertificateParams)) -> Site {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let authority = params.self_signed(&key).unwrap();
    let issuer = Issuer::from_params(&params, &key);

    let leaf_key = KeyPair::generate().unwrap();
    let mut leaf = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    change(&mut leaf);
    let leaf = leaf.signed_by(&leaf_key, &issuer).unwrap();

    let directory = tempfile::tempdir().unwrap();
    let roots = directory.path().join("roots.pem");
    std::fs::write(&roots, authority.pem()).unwrap();

    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let key = PrivateKeyDer::try_from(leaf_key.serialize_der()).unwrap();
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der().clone()], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    let server = tokio::spawn(async move {
        let mut seen = Vec::new();
        while seen.len() < requests {
            let (stream, _) = listener.accept().await.unwrap();
            // Who refuses the certificate goes.
            let Ok(stream) = acceptor.accept(stream).await else { break };
            let mut wire = Wire::new(stream);
            let asked = wire.expect("GET /").await;
            let who = asked.head.lines().find_map(|line| line.strip_prefix("authorization: "));
            seen.push(who.unwrap_or_default().to_owned());
            // One request a connection: closing ends it.
            wire.answer(200, WELCOME).await;
        }
        seen
    });
    Site { _directory: directory, roots, url, server }
}

impl Site {
    fn config(&self) -> Config {
        Config { roots: Some(self.roots.clone()), ..Config::new(&self.url) }
    }

    async fn refusal(&self, config: Config) -> String {
        let error = Client::with(config).unwrap().server().await.unwrap_err();
        assert!(!error.is_outcome_unknown(), "{error}");
        error.to_string()
    }
}

#[tokio::test]
async fn a_server_of_a_named_authority_is_spoken_to() {
    let site = serve(1, |_| {}).await;
    let client = Client::with(site.config()).unwrap();
    assert_eq!(client.server().await.unwrap().uuid.as_deref(), Some("u"));
    assert!(client.address().starts_with("https://127.0.0.1:"), "{}", client.address());
    assert_eq!(site.server.await.unwrap(), [""]);
}

#[tokio::test]
async fn the_newest_token_is_shown_and_before_the_first_one_name_and_password() {
    let site = serve(3, |_| {}).await;
    let bearer = Bearer::default();
    let url = site.url.replace("https://", "https://me:pw@");
    let config = Config { url, bearer: Some(bearer.clone()), ..site.config() };
    let client = Client::with(config).unwrap();
    client.server().await.unwrap();
    bearer.set("first").unwrap();
    client.server().await.unwrap();
    bearer.set("second").unwrap();
    client.elsewhere(&site.url).unwrap().server().await.unwrap();
    // The script has the head in small letters.
    assert_eq!(site.server.await.unwrap(), ["basic bwu6chc=", "bearer first", "bearer second"]);
}

#[tokio::test]
async fn a_certificate_that_is_not_good_is_refused_by_host_and_cause() {
    let site = serve(1, |_| {}).await;
    let text = site.refusal(Config::new(&site.url)).await;
    assert!(text.contains("no TLS with 127.0.0.1: its certificate is of an authority"), "{text}");

    let site = serve(1, |leaf| leaf.not_after = date_time_ymd(2020, 1, 1)).await;
    let text = site.refusal(site.config()).await;
    assert!(text.contains("127.0.0.1: its certificate has expired"), "{text}");

    let other = CertificateParams::new(vec!["other.example".to_owned()]).unwrap();
    let site = serve(1, |leaf| leaf.subject_alt_names = other.subject_alt_names).await;
    let text = site.refusal(site.config()).await;
    assert!(text.contains("127.0.0.1: its certificate is for other.example"), "{text}");
}

#[tokio::test]
async fn a_server_without_tls_is_told_from_one_that_is_not_trusted() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    let server = tokio::spawn(async move {
        let mut wire = Wire::new(listener.accept().await.unwrap().0);
        wire.send("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n").await;
        wire
    });
    let error = Client::new(url).unwrap().server().await.unwrap_err().to_string();
    assert!(error.contains("does not speak TLS on this port; try http://"), "{error}");
    drop(server.await.unwrap());
}

#[test]
fn a_file_without_certificates_is_refused_by_name() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("roots.pem");
    let with = || Config { roots: Some(file.clone()), ..Config::new("https://h") };
    let missing = Client::with(with()).unwrap_err().to_string();
    assert!(missing.contains("roots.pem") && missing.contains("No such file"), "{missing}");
    for (text, part) in [
        ("", "no certificate in PEM"),
        ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "cannot be trusted"),
        ("-----BEGIN CERTIFICATE-----\n!", "no PEM"),
    ] {
        std::fs::write(&file, text).unwrap();
        let error = Client::with(with()).unwrap_err().to_string();
        assert!(error.contains(part), "{text:?} gave: {error}");
    }
}
