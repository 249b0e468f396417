//! What is wrong with a chain of certificates, in the words that OpenSSL made common.

use rustls::CertificateError;
use rustls::pki_types::CertificateDer;

/// The verdict about a chain that is trusted.
pub(super) const TRUSTED: &str = "ok";

pub(super) fn verdict(error: &CertificateError, leaf: &CertificateDer<'_>) -> String {
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

/// Names of a certificate in a verdict: a server may put a thousand into one.
const NAMES_MAX: usize = 10;

/// From the verifier's notation: `DnsName("a.example")`, `IpAddress(192.0.2.1)`.
fn names(presented: &[String]) -> String {
    let plain = presented.iter().map(|name| match name.split_once('(') {
        Some((_, inner)) => inner.trim_end_matches(')').trim_matches('"'),
        None => name,
    });
    let shown = plain.take(NAMES_MAX).collect::<Vec<_>>().join(", ");
    match presented.len().saturating_sub(NAMES_MAX) {
        _ if presented.is_empty() => "no name".to_owned(),
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

fn is_self_signed(leaf: &CertificateDer<'_>) -> bool {
    webpki::EndEntityCert::try_from(leaf).is_ok_and(|leaf| leaf.issuer() == leaf.subject())
}
