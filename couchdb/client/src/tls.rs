//! TLS to servers at `https` addresses: whom it trusts, the handshake, and words for what goes wrong there.
//!
//! A server's certificate must be good for the host of its address; there is no switch to pass over that. Private
//! authorities are trusted by naming a file with their certificates.

use std::io;
use std::path::Path;
use std::sync::{Arc, LazyLock};

use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{CertificateError, ClientConfig, InvalidMessage, RootCertStore};
use tokio::net::TcpStream;
use tokio::sync::OnceCell;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::error::Error;

/// Certificates in a file of roots: more than twice what a whole system trusts.
const ROOTS_MAX: usize = 400;

/// Names of a certificate that an error repeats: a server may put a thousand into one.
const NAMES_MAX: usize = 5;

/// The machine's own roots, or those of `SSL_CERT_FILE` and `SSL_CERT_DIR`, read once in a process. Mozilla's where the
/// machine has none; never when the operator named some, for they are all that is to be trusted.
static MACHINE: LazyLock<RootCertStore> = LazyLock::new(|| {
    let mut roots = RootCertStore::empty();
    let native = rustls_native_certs::load_native_certs();
    for error in &native.errors {
        tracing::warn!(%error, "some of the machine's trusted roots were not read");
    }
    let (trusted, _) = roots.add_parsable_certificates(native.certs);
    let named = ["SSL_CERT_FILE", "SSL_CERT_DIR"].iter().any(|n| std::env::var_os(n).is_some());
    if trusted == 0 && !named {
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    roots
});

/// The client's side of all handshakes with one server.
#[derive(Debug)]
pub(crate) struct Tls {
    /// As certificates name it.
    name: ServerName<'static>,
    /// As the address names it.
    host: String,
    /// Trusted beside the machine's.
    own: Vec<CertificateDer<'static>>,
    /// Made at the first handshake: the machine's roots are many files.
    config: OnceCell<Arc<ClientConfig>>,
}

impl Tls {
    /// Makes everything ready that needs neither the server nor the machine's roots. `roots` is a PEM file.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] for a host that no certificate can name, and for a file that has no certificate.
    pub(crate) fn new(host: &str, roots: Option<&Path>) -> Result<Self, Error> {
        let name = ServerName::try_from(host.trim_end_matches('.').to_owned());
        let name = name.map_err(|_| Error::Invalid {
            what: "the host of an https address",
            value: host.to_owned(),
            reason: "a certificate names a DNS name or an IP address".to_owned(),
        })?;
        let own = match roots {
            Some(file) => read(file).map_err(|reason| Error::Invalid {
                what: "the certificates to trust",
                value: file.display().to_string(),
                reason,
            })?,
            None => Vec::new(),
        };
        Ok(Self { name, host: host.to_owned(), own, config: OnceCell::new() })
    }

    /// Shakes hands over a connection that stands.
    pub(crate) async fn over(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        let config = self.config.get_or_try_init(|| async {
            let own = self.own.clone();
            // Reads files: not on a thread that others wait for.
            tokio::task::spawn_blocking(|| config(own)).await.map_err(io::Error::other)
        });
        let connector = TlsConnector::from(Arc::clone(config.await?));
        let connected = connector.connect(self.name.clone(), stream).await;
        connected.map_err(|cause| {
            let reason = reason(&cause);
            io::Error::new(cause.kind(), Refused { host: self.host.clone(), reason, cause })
        })
    }
}

/// A handshake that came to nothing.
#[derive(Debug, thiserror::Error)]
#[error("no TLS with {host}: {reason}")]
struct Refused {
    host: String,
    reason: String,
    #[source]
    cause: io::Error,
}

fn config(own: Vec<CertificateDer<'static>>) -> Arc<ClientConfig> {
    static PROVIDER: LazyLock<Arc<CryptoProvider>> =
        LazyLock::new(|| Arc::new(rustls::crypto::ring::default_provider()));
    let mut roots = MACHINE.clone();
    roots.add_parsable_certificates(own);
    let mut config = ClientConfig::builder_with_provider(Arc::clone(&PROVIDER))
        .with_protocol_versions(rustls::ALL_VERSIONS)
        .expect("the provider has suites for TLS 1.2 and TLS 1.3")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Arc::new(config)
}

/// The certificates of a PEM file; what else is in it is passed over. All must be usable: one that is not trusted
/// without a word is looked for a long time.
fn read(file: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let pem = std::fs::read(file).map_err(|cause| cause.to_string())?;
    let mut roots = Vec::new();
    let mut tried = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|_| "it is no PEM; convert it".to_owned())?;
        tried.add(certificate.clone()).map_err(|cause| {
            format!("its certificate {} cannot be trusted: {cause}", roots.len() + 1)
        })?;
        roots.push(certificate);
        if roots.len() > ROOTS_MAX {
            return Err(format!("it has more than {ROOTS_MAX} certificates"));
        }
    }
    if roots.is_empty() {
        return Err("no certificate in PEM is in it".to_owned());
    }
    Ok(roots)
}

/// What went wrong, with the next step where there is one.
fn reason(cause: &io::Error) -> String {
    let Some(inner) = cause.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>())
    else {
        return match cause.kind() {
            io::ErrorKind::UnexpectedEof => "the server closed the connection".to_owned(),
            _ => cause.to_string(),
        };
    };
    match inner {
        rustls::Error::InvalidCertificate(refused) => certificate(refused),
        rustls::Error::InvalidMessage(
            InvalidMessage::InvalidContentType | InvalidMessage::UnknownProtocolVersion,
        ) => "the server does not speak TLS on this port; try http://".to_owned(),
        other => other.to_string(),
    }
}

fn certificate(refused: &CertificateError) -> String {
    match refused {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "its certificate has expired; renew it, or set this machine's clock".to_owned()
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "its certificate is not valid yet; is this machine's clock right?".to_owned()
        }
        CertificateError::UnknownIssuer => {
            "its certificate is of an authority that is not trusted here; name a PEM file with the \
             authority's certificate"
                .to_owned()
        }
        CertificateError::NotValidForNameContext { presented, .. } => {
            let shown: Vec<_> = presented.iter().take(NAMES_MAX).map(|name| plain(name)).collect();
            let more = if presented.len() > NAMES_MAX { " and more" } else { "" };
            match shown.is_empty() {
                true => "its certificate has no name".to_owned(),
                false => format!("its certificate is for {}{more}", shown.join(", ")),
            }
        }
        CertificateError::NotValidForName => "its certificate is for another name".to_owned(),
        CertificateError::Revoked => "its certificate was revoked".to_owned(),
        // As `openssl req -x509` makes it.
        CertificateError::Other(_) => {
            "its certificate is an authority's, or cannot be understood; let an authority sign one for the server"
                .to_owned()
        }
        other => format!("its certificate is refused: {other}"),
    }
}

/// From the verifier's notation, `DnsName("a.example")`, and of a stranger's text only what cannot steer a terminal.
fn plain(name: &str) -> String {
    let inner = name.split_once('(').map_or(name, |(_, inner)| inner.trim_end_matches(')'));
    inner.trim_matches('"').chars().filter(|c| !c.is_control()).collect()
}

#[cfg(test)]
mod tests;
