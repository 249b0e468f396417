//! Judges the chain of one connection, and remembers chain and verdict: a handshake that it ends shows
//! them all the same.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, InvalidMessage, SignatureScheme};

use super::TlsFacts;
use super::verdict::{TRUSTED, verdict};
use crate::http::failure::{Failure, plain};

/// Asks the real verifier each time, remembers what it said, and insists on it when told to.
#[derive(Debug)]
pub(super) struct Judge {
    real: Arc<WebPkiServerVerifier>,
    enforce: bool,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    /// Once the chain was judged.
    facts: Option<TlsFacts>,
    /// The chain was not trusted, and had to be.
    is_refused: bool,
}

impl Judge {
    pub(super) fn new(real: Arc<WebPkiServerVerifier>, enforce: bool) -> Self {
        Self { real, enforce, seen: Mutex::default() }
    }

    pub(super) fn facts(&self) -> Option<TlsFacts> {
        self.seen().facts.clone()
    }

    /// Adds what was agreed on. `None` when no chain was judged, which no handshake gets through.
    pub(super) fn agree(
        &self,
        protocol: String,
        cipher: String,
        alpn: Option<String>,
    ) -> Option<()> {
        let mut seen = self.seen();
        let facts = seen.facts.as_mut()?;
        (facts.protocol, facts.cipher, facts.alpn) = (protocol, cipher, alpn);
        Some(())
    }

    /// The chain's failure, when that is what ended the handshake.
    pub(super) fn refusal(&self) -> Option<Failure> {
        let seen = self.seen();
        let facts = seen.facts.as_ref().filter(|_| seen.is_refused)?;
        Some(Failure::Certificate(format!("SSL certificate problem: {}", facts.verdict)))
    }

    /// What ended a handshake over TCP. `hint` stands behind what is told of a port without TLS.
    pub(super) fn failure(&self, error: &io::Error, hint: &str) -> Failure {
        if let Some(refusal) = self.refusal() {
            return refusal;
        }
        let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
        match inner {
            Some(rustls::Error::InvalidMessage(message)) => malformed(message, hint),
            Some(error) => Failure::Tls(format!("TLS handshake failed: {error}")),
            None if error.kind() == io::ErrorKind::UnexpectedEof => {
                Failure::Tls("the server closed the connection during the TLS handshake".to_owned())
            }
            None => Failure::Tls(format!("TLS handshake failed: {}", plain(&error.to_string()))),
        }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn malformed(message: &InvalidMessage, hint: &str) -> Failure {
    Failure::Tls(match message {
        // The first byte of a record, and the two behind it: other protocols have letters there.
        InvalidMessage::InvalidContentType | InvalidMessage::UnknownProtocolVersion => {
            format!("the server does not speak TLS on this port{hint}")
        }
        // The limit is rustls's own. The length stands before the message, so which one it would have
        // been is not known; nothing else comes near it.
        InvalidMessage::HandshakePayloadTooLarge | InvalidMessage::CertificatePayloadTooLarge => {
            "TLS handshake failed: the server's certificates have more than 64 KiB, the most that is taken"
                .to_owned()
        }
        InvalidMessage::MessageTooLarge => {
            "TLS handshake failed: the server sent a record of more than 16 KiB, the most that TLS has"
                .to_owned()
        }
        other => format!("TLS handshake failed: {}", rustls::Error::from(*other)),
    })
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
        let chain = [end_entity].into_iter().chain(intermediates);
        let facts = TlsFacts {
            protocol: String::new(),
            cipher: String::new(),
            alpn: None,
            verdict,
            certificates: chain.map(|der| der.to_vec()).collect(),
        };
        let is_refused = self.enforce && real.is_err();
        *self.seen() = Seen { facts: Some(facts), is_refused };
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
