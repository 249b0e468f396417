//! The TLS handshake, and a verdict about the certificate that exists also when nobody insists on it.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
};
use tokio::net::TcpStream;
use tokio::sync::OnceCell;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::failure::{Failure, plain};
use super::request::{Destination, Request, VersionChoice};

/// What a handshake showed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TlsFacts {
    /// `TLSv1.3` or `TLSv1.2`.
    pub(crate) protocol: String,
    /// By its IANA name.
    pub(crate) cipher: String,
    pub(crate) alpn: Option<String>,
    /// `ok`, or why the chain was not trusted.
    pub(crate) verdict: String,
    /// As sent, DER, leaf first.
    pub(crate) certificates: Vec<Vec<u8>>,
}

const TRUSTED: &str = "ok";

/// The roots of this machine, read at the first handshake. A clone shares them.
#[derive(Debug, Clone, Default)]
pub(super) struct Trust {
    verifier: Arc<OnceCell<Arc<WebPkiServerVerifier>>>,
    /// Trusted instead of the machine's roots.
    #[cfg(test)]
    pub(super) test_roots: Vec<CertificateDer<'static>>,
}

impl Trust {
    pub(super) async fn handshake(
        &self,
        tcp: TcpStream,
        destination: &Destination,
        request: &Request,
    ) -> Result<(TlsStream<TcpStream>, TlsFacts), Failure> {
        let judge = Arc::new(Judge {
            real: self.verifier().await?,
            enforce: request.verify,
            verdict: Mutex::new(None),
        });
        let config = config(Arc::clone(&judge), request.version)?;
        let host = destination.host.to_string();
        let name = match destination.literal() {
            Some(address) => ServerName::IpAddress(address.into()),
            // A name with its final dot is the same server; certificates name it without.
            None => ServerName::try_from(host.trim_end_matches('.').to_owned()).map_err(|_| {
                Failure::Url(format!("{host:?} cannot be the name of a TLS server"))
            })?,
        };
        let stream = TlsConnector::from(Arc::new(config))
            .connect(name, tcp)
            .await
            .map_err(|error| judge.failure(&error))?;
        let facts = facts(&stream, &judge)?;
        if request.version == VersionChoice::Http2 && facts.alpn.as_deref() != Some("h2") {
            return Err(Failure::Tls("the server does not offer HTTP/2 (ALPN)".to_owned()));
        }
        Ok((stream, facts))
    }

    async fn verifier(&self) -> Result<Arc<WebPkiServerVerifier>, Failure> {
        let verifier = self.verifier.get_or_try_init(|| async {
            #[cfg(test)]
            if !self.test_roots.is_empty() {
                let mut roots = RootCertStore::empty();
                roots.add_parsable_certificates(self.test_roots.clone());
                return verify_against(roots);
            }
            // Reads files: not on an async thread.
            let roots = tokio::task::spawn_blocking(roots)
                .await
                .map_err(|e| Failure::Tls(format!("read the trusted roots: {e}")))?;
            verify_against(roots)
        });
        verifier.await.cloned()
    }
}

/// The machine's own roots, or those of `SSL_CERT_FILE` and `SSL_CERT_DIR`. Mozilla's when the machine has
/// none; never when the operator named some, for they are all that is to be trusted.
fn roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    let native = rustls_native_certs::load_native_certs();
    for error in &native.errors {
        tracing::warn!(%error, "some of the machine's trusted roots were not read");
    }
    let (trusted, unusable) = roots.add_parsable_certificates(native.certs);
    let named = ["SSL_CERT_FILE", "SSL_CERT_DIR"].iter().any(|n| std::env::var_os(n).is_some());
    if trusted == 0 && !named {
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    tracing::debug!(trusted, unusable, roots = roots.len(), "read the trusted roots");
    roots
}

fn verify_against(roots: RootCertStore) -> Result<Arc<WebPkiServerVerifier>, Failure> {
    WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider())
        .build()
        .map_err(|e| Failure::Tls(format!("no trusted roots: {e}")))
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn config(judge: Arc<Judge>, version: VersionChoice) -> Result<ClientConfig, Failure> {
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|e| Failure::Tls(e.to_string()))?
        .dangerous()
        .with_custom_certificate_verifier(judge)
        .with_no_client_auth();
    config.alpn_protocols = match version {
        VersionChoice::Any => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
        VersionChoice::Http1 => vec![b"http/1.1".to_vec()],
        VersionChoice::Http2 | VersionChoice::Http3 => vec![b"h2".to_vec()],
    };
    Ok(config)
}

fn facts(stream: &TlsStream<TcpStream>, judge: &Judge) -> Result<TlsFacts, Failure> {
    let (_, session) = stream.get_ref();
    let incomplete = || Failure::Tls("the handshake is incomplete".to_owned());
    let protocol = match session.protocol_version().ok_or_else(incomplete)? {
        rustls::ProtocolVersion::TLSv1_2 => "TLSv1.2".to_owned(),
        rustls::ProtocolVersion::TLSv1_3 => "TLSv1.3".to_owned(),
        other => format!("{other:?}"),
    };
    let suite = session.negotiated_cipher_suite().ok_or_else(incomplete)?.suite();
    let certificates = session.peer_certificates().unwrap_or_default();
    Ok(TlsFacts {
        protocol,
        // rustls spells the suites of TLS 1.3 with a prefix of its own.
        cipher: format!("{suite:?}").replacen("TLS13_", "TLS_", 1),
        alpn: session.alpn_protocol().map(|name| String::from_utf8_lossy(name).into_owned()),
        verdict: judge.verdict().unwrap_or_else(|| TRUSTED.to_owned()),
        certificates: certificates.iter().map(|der| der.to_vec()).collect(),
    })
}

/// Asks the real verifier each time, remembers what it said, and insists on it when told to.
#[derive(Debug)]
struct Judge {
    real: Arc<WebPkiServerVerifier>,
    enforce: bool,
    verdict: Mutex<Option<String>>,
}

impl Judge {
    fn verdict(&self) -> Option<String> {
        self.verdict.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn failure(&self, error: &io::Error) -> Failure {
        let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
        match (inner, self.verdict()) {
            (Some(rustls::Error::InvalidCertificate(_)), Some(verdict)) => {
                Failure::Certificate(format!("SSL certificate problem: {verdict}"))
            }
            (Some(rustls::Error::InvalidMessage(_)), _) => {
                let text = "the server does not speak TLS on this port; try http://";
                Failure::Tls(text.to_owned())
            }
            (Some(error), _) => Failure::Tls(format!("TLS handshake failed: {error}")),
            (None, _) if error.kind() == io::ErrorKind::UnexpectedEof => {
                Failure::Tls("the server closed the connection during the TLS handshake".to_owned())
            }
            (None, _) => {
                Failure::Tls(format!("TLS handshake failed: {}", plain(&error.to_string())))
            }
        }
    }
}

impl ServerCertVerifier for Judge {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let real = self.real.verify_server_cert(
            end_entity,
            intermediates,
            server_name,
            ocsp_response,
            now,
        );
        let verdict = match &real {
            Ok(_) => TRUSTED.to_owned(),
            Err(rustls::Error::InvalidCertificate(error)) => verdict(error, end_entity),
            Err(error) => error.to_string(),
        };
        *self.verdict.lock().unwrap_or_else(PoisonError::into_inner) = Some(verdict);
        if self.enforce { real } else { Ok(ServerCertVerified::assertion()) }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.real.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.real.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.real.supported_verify_schemes()
    }
}

/// Says what is wrong, in the words that OpenSSL made common.
fn verdict(error: &CertificateError, leaf: &CertificateDer<'_>) -> String {
    match error {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "certificate has expired".to_owned()
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "certificate is not yet valid".to_owned()
        }
        CertificateError::NotValidForNameContext { expected, presented } => format!(
            "no alternative certificate subject name matches target host name '{}' (the certificate is for {})",
            expected.to_str(),
            names(presented)
        ),
        CertificateError::UnknownIssuer if is_self_signed(leaf) => {
            "self-signed certificate".to_owned()
        }
        CertificateError::UnknownIssuer => "unable to get local issuer certificate".to_owned(),
        // A certificate authority of one's own making, as `openssl req -x509` makes it.
        CertificateError::Other(_) if is_self_signed(leaf) => "self-signed certificate".to_owned(),
        CertificateError::Other(other) => match other.0.downcast_ref::<webpki::Error>() {
            Some(webpki::Error::CaUsedAsEndEntity) => {
                "an authority's certificate is used as a server's".to_owned()
            }
            _ => "certificate cannot be verified".to_owned(),
        },
        other => other.to_string(),
    }
}

/// From the verifier's notation: `DnsName("a.example")`, `IpAddress(192.0.2.1)`.
fn names(presented: &[String]) -> String {
    let plain = presented.iter().map(|name| match name.split_once('(') {
        Some((_, inner)) => inner.trim_end_matches(')').trim_matches('"'),
        None => name,
    });
    match presented.is_empty() {
        true => "no name".to_owned(),
        false => plain.collect::<Vec<_>>().join(", "),
    }
}

fn is_self_signed(leaf: &CertificateDer<'_>) -> bool {
    webpki::EndEntityCert::try_from(leaf).is_ok_and(|leaf| leaf.issuer() == leaf.subject())
}
