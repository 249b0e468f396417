//! Who is trusted: the roots of this machine, or those that a request brings.

use std::collections::VecDeque;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use bytes::Bytes;
use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use sha2::{Digest as _, Sha256};
use tokio::sync::OnceCell;

use crate::http::failure::Failure;

/// PEM of the roots that a request brings: four times what Mozilla's roots take.
const ROOTS_MAX_BYTES: usize = 1024 * 1024;
/// Certificates in it: Mozilla has about 150, and a chain is tried against each whose name fits.
const ROOTS_MAX: usize = 1000;
/// Sets of roots that are kept parsed. A run uses one or two, and an engine has many runs; a set that was
/// dropped is parsed again.
const ROOT_SETS_MAX: usize = 16;

/// What makes all handshakes: built once, its lists are shared by all connections.
pub(super) static PROVIDER: LazyLock<Arc<CryptoProvider>> =
    LazyLock::new(|| Arc::new(rustls::crypto::ring::default_provider()));

/// Verifiers by their roots: this machine's, read at the first handshake, and the latest that requests
/// brought. A clone shares them.
#[derive(Debug, Clone, Default)]
pub(in crate::http) struct Trust {
    machine: Arc<OnceCell<Arc<WebPkiServerVerifier>>>,
    /// By the digest of the PEM, the one used last at the back.
    brought: Arc<Mutex<VecDeque<Brought>>>,
    /// Trusted instead of the machine's roots.
    #[cfg(test)]
    pub(in crate::http) test_roots: Vec<CertificateDer<'static>>,
}

/// What a request brought.
type Brought = (RootsDigest, Arc<WebPkiServerVerifier>);

/// SHA-256 of a PEM bundle.
type RootsDigest = [u8; 32];

impl Trust {
    /// The verifier of these roots in PEM, or of this machine's.
    pub(super) async fn verifier(
        &self,
        roots: Option<&Bytes>,
    ) -> Result<Arc<WebPkiServerVerifier>, Failure> {
        match roots {
            Some(pem) => self.of_request(pem).await,
            None => self.of_machine().await,
        }
    }

    async fn of_machine(&self) -> Result<Arc<WebPkiServerVerifier>, Failure> {
        let verifier = self.machine.get_or_try_init(|| async {
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

    async fn of_request(&self, pem: &Bytes) -> Result<Arc<WebPkiServerVerifier>, Failure> {
        if pem.len() > ROOTS_MAX_BYTES {
            return Err(Failure::Limit(format!(
                "the certificates to trust have at most {} KiB of PEM, these {} bytes",
                ROOTS_MAX_BYTES / 1024,
                pem.len()
            )));
        }
        let digest = RootsDigest::from(Sha256::digest(pem));
        if let Some(known) = self.known(&digest) {
            return Ok(known);
        }
        let pem = pem.clone();
        // Milliseconds for a large bundle: not on an async thread.
        let parsed = tokio::task::spawn_blocking(move || parse(&pem));
        let roots = parsed.await.map_err(|e| unusable(&e.to_string()))??;
        let verifier = verify_against(roots)?;
        self.keep(digest, Arc::clone(&verifier));
        Ok(verifier)
    }

    fn known(&self, digest: &RootsDigest) -> Option<Arc<WebPkiServerVerifier>> {
        let mut brought = self.brought.lock().unwrap_or_else(PoisonError::into_inner);
        let place = brought.iter().position(|(known, _)| known == digest)?;
        let found = brought.remove(place)?;
        let verifier = Arc::clone(&found.1);
        brought.push_back(found);
        Some(verifier)
    }

    fn keep(&self, digest: RootsDigest, verifier: Arc<WebPkiServerVerifier>) {
        let mut brought = self.brought.lock().unwrap_or_else(PoisonError::into_inner);
        // Two exchanges may have parsed the same roots at once.
        brought.retain(|(known, _)| *known != digest);
        while brought.len() >= ROOT_SETS_MAX {
            brought.pop_front();
        }
        brought.push_back((digest, verifier));
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

/// The certificates of a PEM bundle; what else is in it is passed over. So is a certificate that cannot be
/// a root, as long as another can.
fn parse(pem: &[u8]) -> Result<RootCertStore, Failure> {
    let mut roots = RootCertStore::empty();
    let mut reason = None;
    for (count, certificate) in CertificateDer::pem_slice_iter(pem).enumerate() {
        if count >= ROOTS_MAX {
            let text =
                format!("at most {ROOTS_MAX} certificates to trust are taken, these are more");
            return Err(Failure::Limit(text));
        }
        let certificate = certificate.map_err(|error| unusable(&words(&error)))?;
        if let Err(error) = roots.add(certificate) {
            reason = reason.or(Some(error.to_string()));
        }
    }
    match (roots.is_empty(), reason) {
        (false, _) => Ok(roots),
        (true, Some(reason)) => Err(unusable(&reason)),
        (true, None) => Err(unusable("no certificate in PEM was found")),
    }
}

/// Names what is wrong with the text, without the bytes of it.
fn words(error: &rustls::pki_types::pem::Error) -> String {
    use rustls::pki_types::pem::Error;
    match error {
        Error::MissingSectionEnd { .. } => "a certificate in PEM has no END line".to_owned(),
        Error::IllegalSectionStart { .. } => "a BEGIN line is malformed".to_owned(),
        Error::Base64Decode(_) => "a certificate is not in Base64".to_owned(),
        other => other.to_string(),
    }
}

fn unusable(reason: &str) -> Failure {
    Failure::Tls(format!("error setting certificate verify locations: {reason}"))
}

fn verify_against(roots: RootCertStore) -> Result<Arc<WebPkiServerVerifier>, Failure> {
    WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&PROVIDER))
        .build()
        .map_err(|e| Failure::Tls(format!("no trusted roots: {e}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn roots_are_parsed_once_and_the_sets_are_bounded() {
        let key = rcgen::KeyPair::generate().unwrap();
        let params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        let set = |number: usize| Bytes::from(format!("# {number}\n{pem}"));
        let trust = Trust::default();
        let first = trust.verifier(Some(&set(0))).await.unwrap();
        for number in 1..3 * ROOT_SETS_MAX {
            let made = trust.verifier(Some(&set(number))).await.unwrap();
            // The one that is in use stays.
            let again = trust.clone().verifier(Some(&set(0))).await.unwrap();
            assert!(Arc::ptr_eq(&first, &again) && !Arc::ptr_eq(&first, &made), "{number}");
            assert!(trust.brought.lock().unwrap().len() <= ROOT_SETS_MAX, "{number}");
        }
    }
}
