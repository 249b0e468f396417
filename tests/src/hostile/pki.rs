//! An authority that the engine under test trusts, and certificates of all kinds.

use std::sync::Arc;

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DistinguishedName, DnType, IsCa, Issuer,
    KeyPair, date_time_ymd,
};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring::sign::any_supported_type;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::sign::{CertifiedKey, SingleCertAndKey};

/// Certificates behind the leaf of a huge chain: more bytes than any handshake message may have.
const CHAIN_CERTIFICATES: usize = 200;
/// A server gives two or four.
const SESSION_TICKETS: usize = 5_000;
/// Names of a huge certificate.
const CERTIFICATE_NAMES: usize = 20_000;
/// A name in ASCII, as a certificate may hold it.
const CONTROL_NAME: &str = "\x1b]0;title\x07\x1b[2J.example";
/// Intermediate authorities in a row, each signed by the one before: more than a verifier follows.
const CHAIN_DEPTH: usize = 20;

/// What a server shows to those who connect.
#[derive(Debug, Clone)]
pub struct Identity(Arc<ServerConfig>);

/// The authority and its certificates, all for `127.0.0.1` unless their name says otherwise.
#[derive(Debug)]
pub struct Pki {
    /// Of the trusted authority, in PEM.
    pub authority: String,
    /// Trusted; HTTP/1.1.
    pub good: Identity,
    /// Trusted; HTTP/2.
    pub http2: Identity,
    /// Trusted, with a flood of session tickets behind the handshake.
    pub generous: Identity,
    /// Its time is over.
    pub expired: Identity,
    /// Its time has not come.
    pub early: Identity,
    /// For another name.
    pub misnamed: Identity,
    /// Trusted, with a subject and a second name that mean to rewrite a terminal.
    pub disguised: Identity,
    /// The same for no name that anybody asks for.
    pub disguised_misnamed: Identity,
    /// Signed by itself.
    pub self_signed: Identity,
    /// Signed by an authority that nobody knows.
    pub unknown: Identity,
    /// Trusted, with many needless certificates behind it.
    pub long_chain: Identity,
    /// Trusted, with more names than fit into a handshake message.
    pub huge: Identity,
    /// Trusted by way of more intermediate authorities than a verifier follows.
    pub deep_chain: Identity,
}

impl Pki {
    /// Makes all of them.
    ///
    /// # Panics
    ///
    /// When a certificate cannot be made.
    #[must_use]
    pub fn new() -> Self {
        let (root, root_key) = authority("hostile test authority");
        let issuer = Issuer::from_params(&root, &root_key);
        let (stranger, stranger_key) = authority("unknown authority");
        let plain = |_: &mut CertificateParams| {};
        let disguise = |params: &mut CertificateParams| {
            params.distinguished_name = named("\x1b[31mred\u{9b}31m\x1b]0;title\x07");
        };
        let leaf = |change: &dyn Fn(&mut CertificateParams)| Leaf::new(&["127.0.0.1"], change);
        let signed = |leaf: Leaf| {
            let certificate = leaf.signed_by(&issuer);
            leaf.identity(vec![certificate.der().clone()], &[])
        };

        let many = leaf(&plain);
        let mut needless = vec![many.signed_by(&issuer).der().clone()];
        let filler = Leaf::new(&["needless.example"], &plain).signed_by(&issuer);
        needless.extend(std::iter::repeat_n(filler.der().clone(), CHAIN_CERTIFICATES));

        let names: Vec<String> = (0..CERTIFICATE_NAMES).map(|n| format!("n{n}.example")).collect();
        let names: Vec<&str> =
            ["127.0.0.1"].into_iter().chain(names.iter().map(String::as_str)).collect();

        let alone = leaf(&plain);
        let own = alone.params.self_signed(&alone.key).expect("a certificate");
        let http2 = leaf(&plain);
        let http2_certificate = http2.signed_by(&issuer);
        Self {
            authority: root.self_signed(&root_key).expect("a certificate").pem(),
            good: signed(leaf(&plain)),
            http2: http2.identity(vec![http2_certificate.der().clone()], &[b"h2"]),
            generous: {
                let Identity(config) = signed(leaf(&plain));
                let mut config = ServerConfig::clone(&config);
                config.send_tls13_tickets = SESSION_TICKETS;
                Identity(Arc::new(config))
            },
            expired: signed(leaf(&|params| {
                params.not_before = date_time_ymd(2019, 1, 1);
                params.not_after = date_time_ymd(2020, 1, 1);
            })),
            early: signed(leaf(&|params| {
                params.not_before = date_time_ymd(2100, 1, 1);
                params.not_after = date_time_ymd(2101, 1, 1);
            })),
            misnamed: signed(Leaf::new(&["other.example"], &plain)),
            disguised: signed(Leaf::new(&["127.0.0.1", CONTROL_NAME], &disguise)),
            disguised_misnamed: signed(Leaf::new(&[CONTROL_NAME], &disguise)),
            self_signed: alone.identity(vec![own.der().clone()], &[]),
            unknown: {
                let leaf = leaf(&plain);
                let issuer = Issuer::from_params(&stranger, &stranger_key);
                let certificate = leaf.signed_by(&issuer);
                leaf.identity(vec![certificate.der().clone()], &[])
            },
            long_chain: many.identity(needless, &[]),
            huge: signed(Leaf::new(&names, &plain)),
            deep_chain: deep(&root, &root_key),
        }
    }
}

impl Default for Pki {
    fn default() -> Self {
        Self::new()
    }
}

impl Identity {
    pub(super) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(Arc::clone(&self.0))
    }
}

/// A server's certificate that is not signed yet.
struct Leaf {
    params: CertificateParams,
    key: KeyPair,
}

impl Leaf {
    fn new(names: &[&str], change: &dyn Fn(&mut CertificateParams)) -> Self {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).expect("names");
        params.distinguished_name = named("hostile server");
        change(&mut params);
        Self { params, key: KeyPair::generate().expect("a key") }
    }

    fn signed_by(&self, issuer: &Issuer<'_, impl rcgen::SigningKey>) -> Certificate {
        self.params.signed_by(&self.key, issuer).expect("a certificate")
    }

    fn identity(&self, chain: Vec<CertificateDer<'static>>, alpn: &[&[u8]]) -> Identity {
        let key = PrivateKeyDer::try_from(self.key.serialize_der()).expect("a key");
        let key = any_supported_type(&key).expect("a key");
        let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("the provider's own versions")
            .with_no_client_auth()
            // Not looked at: what is too large for a client is too large for the server's own parser.
            .with_cert_resolver(Arc::new(SingleCertAndKey::from(CertifiedKey::new(chain, key))));
        config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        Identity(Arc::new(config))
    }
}

fn named(name: &str) -> DistinguishedName {
    let mut distinguished = DistinguishedName::new();
    distinguished.push(DnType::CommonName, name);
    distinguished
}

fn authority(name: &str) -> (CertificateParams, KeyPair) {
    let mut params = CertificateParams::new(Vec::new()).expect("no names");
    params.distinguished_name = named(name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    (params, KeyPair::generate().expect("a key"))
}

fn deep(root: &CertificateParams, root_key: &KeyPair) -> Identity {
    let mut chain = Vec::new();
    let mut above = (root.clone(), KeyPair::try_from(root_key.serialize_der()).expect("a key"));
    for depth in 0..CHAIN_DEPTH {
        let (params, key) = authority(&format!("intermediate authority {depth}"));
        let issuer = Issuer::from_params(&above.0, &above.1);
        let certificate = params.signed_by(&key, &issuer).expect("a certificate");
        chain.insert(0, certificate.der().clone());
        above = (params, key);
    }
    let leaf = Leaf::new(&["127.0.0.1"], &|_| {});
    let certificate = leaf.signed_by(&Issuer::from_params(&above.0, &above.1));
    chain.insert(0, certificate.der().clone());
    leaf.identity(chain, &[])
}
