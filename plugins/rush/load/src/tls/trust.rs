//! Which certificates are trusted: those that the engine's roots have signed, or any.

use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

/// A client that trusts these roots (DER in base64), or anything.
pub(super) fn config(verify: bool, roots: &[String]) -> Result<ClientConfig, String> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    if !verify {
        let anything = Arc::new(Anything(provider));
        return Ok(builder
            .dangerous()
            .with_custom_certificate_verifier(anything)
            .with_no_client_auth());
    }
    let mut store = RootCertStore::empty();
    for (number, root) in roots.iter().enumerate() {
        let der = BASE64_STANDARD.decode(root).map_err(|e| format!("roots[{number}]: {e}"))?;
        store.add(CertificateDer::from(der)).map_err(|e| format!("roots[{number}]: {e}"))?;
    }
    Ok(builder.with_root_certificates(store).with_no_client_auth())
}

/// Accepts any certificate, and does not look at what it signs either: who asks for this measures a server and trusts nobody.
#[derive(Debug)]
struct Anything(Arc<CryptoProvider>);

impl ServerCertVerifier for Anything {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
