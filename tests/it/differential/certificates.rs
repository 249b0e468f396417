//! Certificates of one run: an authority that `--cacert ca.pem` names, and leaves that are wrong in one way each.

use std::sync::{Arc, LazyLock};

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, date_time_ymd,
};
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

/// What a server shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Leaf {
    /// For `localhost`, signed by the authority.
    Good,
    Expired,
    NotYetValid,
    /// For another name.
    OtherName,
    /// Signed by itself.
    SelfSigned,
}

/// The authority, and how it signs.
struct Authority {
    certificate: Certificate,
    issuer: Issuer<'static, KeyPair>,
}

static AUTHORITY: LazyLock<Authority> = LazyLock::new(|| {
    let mut params = params("differential authority", &[]);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
    let key = KeyPair::generate().expect("a key");
    let certificate = params.self_signed(&key).expect("signed");
    Authority { certificate, issuer: Issuer::new(params, key) }
});

/// The authority, for `--cacert`.
pub(crate) fn authority_pem() -> String {
    AUTHORITY.certificate.pem()
}

/// A server's side of TLS.
pub(crate) fn config(leaf: Leaf, protocols: &[&[u8]]) -> Arc<ServerConfig> {
    let name = if leaf == Leaf::OtherName { "other.example" } else { "localhost" };
    let mut params = params(name, &[name]);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    match leaf {
        Leaf::Expired => params.not_after = date_time_ymd(2021, 1, 1),
        Leaf::NotYetValid => params.not_before = date_time_ymd(2090, 1, 1),
        Leaf::Good | Leaf::OtherName | Leaf::SelfSigned => {}
    }
    let key = KeyPair::generate().expect("a key");
    let certificate = if leaf == Leaf::SelfSigned {
        params.self_signed(&key).expect("signed")
    } else {
        params.signed_by(&key, &AUTHORITY.issuer).expect("signed")
    };
    let key = PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
    let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .expect("a key that fits");
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    Arc::new(config)
}

fn params(common_name: &str, names: &[&str]) -> CertificateParams {
    let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
    let mut params = CertificateParams::new(names).expect("names");
    params.distinguished_name.push(DnType::CommonName, common_name);
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(2099, 1, 1);
    params
}
