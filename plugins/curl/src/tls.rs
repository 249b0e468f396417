//! What a handshake showed: as lines for `--tls-info` and `-v`, as JSON for the records.

use std::fmt::Write as _;
use std::time::SystemTime;

use blitz_plugin::web::{Connection, Tls};
use serde_json::{Value, json};

use crate::certificate::{Certificate, fingerprint};
use crate::url::{Scheme, Url};

/// Certificates of a chain that are told. Honest chains have two to four.
const CERTIFICATES_TOLD_MAX: usize = 8;

/// Bytes of all names of a chain in a record, whose limit is 64 KiB.
const SANS_RECORD_BYTES_MAX: usize = 8 * 1024;

/// Names of a certificate on a screen.
const SANS_SHOWN_MAX: usize = 8;

/// Seconds since 1970.
pub(crate) fn now() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

/// Whole days until the server's own certificate expires.
pub(crate) fn days_left(connection: &Connection) -> Option<i64> {
    let leaf = connection.tls.as_ref()?.certificates.first()?;
    Some(Certificate::parse(leaf)?.days_left(now()))
}

/// The `tls` of a record.
pub(crate) fn record(tls: &Tls, now: i64) -> Value {
    let mut sans_bytes_left = SANS_RECORD_BYTES_MAX;
    let told = tls.certificates.iter().take(CERTIFICATES_TOLD_MAX);
    let certificates: Vec<Value> =
        told.map(|der| certificate_record(der, now, &mut sans_bytes_left)).collect();
    json!({
        "protocol": tls.protocol,
        "cipher": tls.cipher,
        "alpn": tls.alpn,
        "verdict": tls.verdict,
        "certificates_count": tls.certificates.len(),
        "certificates": certificates,
    })
}

fn certificate_record(der: &[u8], now: i64, sans_bytes_left: &mut usize) -> Value {
    let Some(mut read) = Certificate::parse(der) else {
        return json!({"sha256": fingerprint(der), "error": "not a certificate that can be read"});
    };
    let mut kept = 0;
    for name in &read.sans {
        let Some(left) = sans_bytes_left.checked_sub(name.len()) else { break };
        *sans_bytes_left = left;
        kept += 1;
    }
    let left_out = read.sans_left_out + read.sans.len() - kept;
    read.sans.truncate(kept);
    json!({
        "subject": read.subject.joined("=", "; "),
        "issuer": read.issuer.joined("=", "; "),
        "sans": read.sans,
        "sans_left_out_count": left_out,
        "not_before": read.not_before.rfc3339(),
        "not_after": read.not_after.rfc3339(),
        "days_left": read.days_left(now),
        "serial": read.serial,
        "key_type": read.key_type,
        "key_bits": read.key_bits,
        "signature_algorithm": read.signature_algorithm,
        "sha256": fingerprint(der),
    })
}

/// The block of `--tls-info` for one hop.
pub(crate) fn info(url: &Url, connection: &Connection, now: i64) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: &str| {
        // Writing to a `String` does not fail.
        writeln!(text, "  {name:12} {value}").unwrap_or_default();
    };
    line("connected to", connection.remote.as_deref().unwrap_or("nothing"));
    if let Some(local) = &connection.local {
        line("from", local);
    }
    let resolver = connection.resolver.as_deref().map(|by| format!(" (resolved by {by})"));
    let addresses = or_dash(&connection.addresses.join(", "));
    line("addresses", &format!("{addresses}{}", resolver.unwrap_or_default()));
    let Some(tls) = &connection.tls else {
        line("tls", if url.scheme == Scheme::Https { "no handshake" } else { "none" });
        return format!("{}\n{text}", url.without_fragment());
    };
    line("verdict", &tls.verdict);
    line("protocol", &or_dash(&tls.protocol));
    line("cipher", &or_dash(&tls.cipher));
    line("alpn", tls.alpn.as_deref().unwrap_or("-"));
    let count = tls.certificates.len();
    for (at, der) in tls.certificates.iter().take(CERTIFICATES_TOLD_MAX).enumerate() {
        writeln!(text, "  certificate {} of {count}", at + 1).unwrap_or_default();
        text.push_str(&certificate_lines(der, now));
    }
    if count > CERTIFICATES_TOLD_MAX {
        writeln!(text, "  ... and {} more", count - CERTIFICATES_TOLD_MAX).unwrap_or_default();
    }
    format!("{}\n{text}", url.without_fragment())
}

fn or_dash(text: &str) -> String {
    if text.is_empty() { "-".to_owned() } else { text.to_owned() }
}

fn certificate_lines(der: &[u8], now: i64) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: &str| {
        writeln!(text, "    {name:10} {value}").unwrap_or_default();
    };
    let Some(read) = Certificate::parse(der) else {
        line("error", "not a certificate that can be read");
        line("sha256", &fingerprint(der));
        return text;
    };
    line("subject", &read.subject.joined("=", "; "));
    if !read.sans.is_empty() {
        let shown = read.sans[..read.sans.len().min(SANS_SHOWN_MAX)].join(", ");
        let more = read.sans.len().saturating_sub(SANS_SHOWN_MAX) + read.sans_left_out;
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        line("names", &format!("{shown}{more}"));
    }
    line("issuer", &read.issuer.joined("=", "; "));
    line("valid from", &read.not_before.rfc3339());
    let days = read.days_left(now);
    let left = if read.not_before.seconds() > now {
        "not valid yet".to_owned()
    } else {
        match days {
            0.. => format!("{days} days left"),
            -1 => "expired within the last day".to_owned(),
            _ => format!("expired {} days ago", -1 - days),
        }
    };
    line("valid to", &format!("{} ({left})", read.not_after.rfc3339()));
    let bits = read.key_bits.map(|bits| format!(" {bits}")).unwrap_or_default();
    line("key", &format!("{}{bits}, signed with {}", read.key_type, read.signature_algorithm));
    line("serial", &read.serial);
    line("sha256", &fingerprint(der));
    text
}

/// The lines of `-v`, in curl's words. `goes_on` where a request followed.
pub(crate) fn verbose(tls: &Tls, goes_on: bool) -> String {
    let agreed = match &tls.alpn {
        Some(protocol) => format!("server accepted {protocol}"),
        None => "server did not agree on a protocol. Uses default.".to_owned(),
    };
    let mut said = match tls.protocol.as_str() {
        // The handshake did not get so far.
        "" => String::new(),
        protocol => {
            format!("* SSL connection using {protocol} / {}\n* ALPN: {agreed}\n", tls.cipher)
        }
    };
    if let Some(read) = tls.certificates.first().and_then(|der| Certificate::parse(der)) {
        write!(
            said,
            "* Server certificate:\n*  subject: {}\n*  start date: {}\n*  expire date: {}\n\
             *  issuer: {}\n",
            read.subject.joined("=", "; "),
            read.not_before.openssl(),
            read.not_after.openssl(),
            read.issuer.joined("=", "; "),
        )
        .unwrap_or_default();
    }
    match tls.verdict.as_str() {
        "ok" => said.push_str("*  SSL certificate verify ok.\n"),
        why if goes_on => {
            writeln!(said, "*  SSL certificate verify result: {why}, continuing anyway.")
                .unwrap_or_default();
        }
        // The failure's own text says it.
        _ => {}
    }
    said
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certificate;

    const DAY: i64 = 86_400;

    fn chain(certificates: Vec<Vec<u8>>) -> Connection {
        let tls = Tls {
            protocol: "TLSv1.3".to_owned(),
            cipher: "TLS_AES_256_GCM_SHA384".to_owned(),
            alpn: Some("h2".to_owned()),
            verdict: "certificate has expired".to_owned(),
            certificates,
        };
        Connection {
            resolver: Some("system".to_owned()),
            addresses: vec!["192.0.2.1".to_owned(), "2001:db8::1".to_owned()],
            remote: Some("192.0.2.1:443".to_owned()),
            local: Some("198.51.100.7:40000".to_owned()),
            tls: Some(tls),
        }
    }

    fn end_of(der: &[u8]) -> i64 {
        Certificate::parse(der).unwrap().not_after.seconds()
    }

    #[test]
    fn a_chain_is_told_with_its_expiry() {
        let (rsa, broken) = (certificate::tests::rsa(), b"no certificate".to_vec());
        let now = end_of(&rsa) + 3 * DAY + 1;
        let url = Url::parse("https://www.example.test/x#y").unwrap();
        let expected = "\
https://www.example.test/x
  connected to 192.0.2.1:443
  from         198.51.100.7:40000
  addresses    192.0.2.1, 2001:db8::1 (resolved by system)
  verdict      certificate has expired
  protocol     TLSv1.3
  cipher       TLS_AES_256_GCM_SHA384
  alpn         h2
  certificate 1 of 2
    subject    C=DE; ST=Bavaria; O=Example \"Ltd\"; OU=Web; CN=www.example.test; emailAddress=a@example.test
    names      www.example.test, *.example.test, 192.0.2.1, 2001:db8::1, email:me@x.test, URI:spiffe://x/y
    issuer     C=DE; ST=Bavaria; O=Example \"Ltd\"; OU=Web; CN=www.example.test; emailAddress=a@example.test
    valid from 2026-11-21T04:56:38Z
    valid to   2126-10-28T04:56:38Z (expired 3 days ago)
    key        RSA 2048, signed with sha256WithRSAEncryption
    serial     f1e2d3c4b5
    sha256     5f07dd7cc0b8bb5f4ceb356b254fb41605890b761a190528afe90f351c564d0b
  certificate 2 of 2
    error      not a certificate that can be read
";
        let shown = info(&url, &chain(vec![rsa.clone(), broken]), now);
        assert!(shown.starts_with(expected), "{shown}");
        for (now, says) in [
            (end_of(&rsa) - 40 * DAY, "(40 days left)"),
            (end_of(&rsa) + 1, "(expired within the last day)"),
            (0, "(not valid yet)"),
        ] {
            assert!(info(&url, &chain(vec![rsa.clone()]), now).contains(says), "{says}");
        }
        let many = info(&url, &chain(vec![rsa; 11]), 0);
        assert!(many.ends_with("  ... and 3 more\n"), "{many}");
    }

    #[test]
    fn a_way_without_a_handshake_says_so() {
        let nothing = Connection::default();
        for (url, tls) in [("http://h/", "none"), ("https://h/", "no handshake")] {
            let shown = info(&Url::parse(url).unwrap(), &nothing, 0);
            let expected =
                format!("{url}\n  connected to nothing\n  addresses    -\n  tls          {tls}\n");
            assert_eq!(shown, expected);
        }
    }

    #[test]
    fn a_record_stays_below_its_limit() {
        let large = certificate::tests::with_many_names();
        let tls = chain(vec![large.clone(); 100]).tls.unwrap();
        let record = record(&tls, end_of(&large));
        assert!(record.to_string().len() < 40 * 1024, "{}", record.to_string().len());
        assert_eq!(record["certificates_count"], 100);
        let told = record["certificates"].as_array().unwrap();
        assert_eq!(told.len(), CERTIFICATES_TOLD_MAX);
        let kept = |at: usize| told[at]["sans"].as_array().unwrap().len();
        assert_eq!((kept(0), &told[0]["sans_left_out_count"]), (32, &json!(268)));
        assert_eq!((kept(1), &told[1]["sans_left_out_count"]), (0, &json!(300)));
        assert_eq!(told[0]["days_left"], 0);
    }
}
