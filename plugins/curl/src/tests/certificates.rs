//! Chains, good and bad: `--tls-info`, `-v`, `-w` and the records.

use blitz_plugin::testing::{CannedAnswer, FakeHost};
use blitz_plugin::web::{Connection, Failure, FailureKind, Phases, Tls};
use serde_json::{Value, json};

use super::{curl, ok};
use crate::certificate::tests::rsa;

fn tls(verdict: &str) -> Tls {
    Tls {
        protocol: "TLSv1.3".to_owned(),
        cipher: "TLS_AES_256_GCM_SHA384".to_owned(),
        alpn: None,
        verdict: verdict.to_owned(),
        certificates: vec![rsa()],
    }
}

fn secure(verdict: &str) -> CannedAnswer {
    CannedAnswer { tls: Some(tls(verdict)), ..ok().piece("body") }
}

/// What the host says of a chain that was not trusted.
fn untrusted() -> Failure {
    Failure {
        phases: Phases { dns_us: 1000, connect_us: 3000, ..Phases::default() },
        connection: Box::new(Connection {
            resolver: Some("192.0.2.53:53".to_owned()),
            addresses: vec!["192.0.2.1".to_owned()],
            remote: Some("192.0.2.1:443".to_owned()),
            local: Some("198.51.100.7:40000".to_owned()),
            tls: Some(tls("self-signed certificate")),
        }),
        ..Failure::new(FailureKind::Certificate, "SSL certificate problem: self-signed certificate")
    }
}

#[test]
fn a_chain_is_shown_also_when_it_is_bad() {
    let shown = |verdict: &str, stderr: &str| {
        stderr.contains(&format!("  verdict      {verdict}\n"))
            && stderr.contains("    subject    C=DE;")
            && stderr.contains(" days left)")
    };
    let mut host = FakeHost::default().answers(secure("ok"));
    assert_eq!(curl("-s --tls-info https://h/", &mut host), 0);
    assert!(shown("ok", &host.stderr_text()), "{host:?}");
    assert_eq!(host.stdout_text(), "body");

    let mut host = FakeHost::default().fails(untrusted());
    assert_eq!(curl("--tls-info -u me:pw https://h/", &mut host), 60);
    let stderr = host.stderr_text();
    assert!(shown("self-signed certificate", &stderr), "{stderr}");
    assert!(stderr.ends_with("curl: (60) SSL certificate problem: self-signed certificate\n"));
    assert!(host.requests[0].verify && host.requests.len() == 1, "nothing is sent past it");

    let mut host = FakeHost::default().answers(secure("self-signed certificate"));
    assert_eq!(curl("-k --tls-info https://h/", &mut host), 0);
    assert!(shown("self-signed certificate", &host.stderr_text()), "{host:?}");
    assert_eq!(host.stdout_text(), "body");
}

#[test]
fn a_conversation_has_the_servers_certificate() {
    let certificate = "\
* Connected to h (192.0.2.1) port 443
* SSL connection using TLSv1.3 / TLS_AES_256_GCM_SHA384
* ALPN: server did not agree on a protocol. Uses default.
* Server certificate:
*  subject: C=DE; ST=Bavaria; O=Example \"Ltd\"; OU=Web; CN=www.example.test; emailAddress=a@example.test
*  start date: Nov 21 04:56:38 2026 GMT
*  expire date: Oct 28 04:56:38 2126 GMT
*  issuer: C=DE; ST=Bavaria; O=Example \"Ltd\"; OU=Web; CN=www.example.test; emailAddress=a@example.test
";
    let mut host = FakeHost::default().answers(secure("why"));
    assert_eq!(curl("-k -v https://h/", &mut host), 0);
    let verdict = "*  SSL certificate verify result: why, continuing anyway.\n> GET / HTTP/1.1\n";
    let expected = certificate.replace("port 443", "port 80") + verdict;
    assert!(host.stderr_text().starts_with(&expected), "{}", host.stderr_text());

    let mut host = FakeHost::default().fails(untrusted());
    assert_eq!(curl("-v https://h/", &mut host), 60);
    let problem = "SSL certificate problem: self-signed certificate";
    let end = format!("* {problem}\n* Closing connection\ncurl: (60) {problem}\n");
    assert_eq!(host.stderr_text(), certificate.to_owned() + &end);
}

#[test]
fn records_have_the_chain_and_its_days() {
    for (mut host, code) in [
        (FakeHost::default().answers(secure("self-signed certificate")), 0),
        (FakeHost::default().fails(untrusted()), 60),
    ] {
        assert_eq!(curl("-s https://h/", &mut host), code);
        let (exchange, transfer) = (&host.events[0].1, &host.events[1].1);
        let tls = &exchange["tls"];
        assert_eq!(tls["verdict"], "self-signed certificate");
        assert_eq!(tls["certificates_count"], 1);
        let leaf = &tls["certificates"][0];
        assert_eq!(leaf["sans"][0], "www.example.test");
        assert_eq!(
            (&leaf["not_after"], &leaf["key_bits"]),
            (&json!("2126-10-28T04:56:38Z"), &json!(2048))
        );
        assert_eq!(exchange["connection"]["addresses"], json!(["192.0.2.1"]));
        assert_eq!(transfer["cert_days"], leaf["days_left"]);
        assert!(transfer["cert_days"].as_i64().is_some_and(|days| days > 365));
    }
    let mut host = FakeHost::default().fails(untrusted());
    curl("-s https://h/", &mut host);
    let (exchange, transfer) = (&host.events[0].1, &host.events[1].1);
    assert_eq!(exchange["connection"]["resolver"], "192.0.2.53:53");
    assert_eq!(
        (&exchange["phases"]["dns_us"], &exchange["phases"]["connect_us"]),
        (&json!(1000), &json!(2000))
    );
    assert_eq!((&transfer["status"], &transfer["exit"]), (&Value::Null, &json!(60)));
    assert_eq!(transfer["phases"]["ttfb_us"], Value::Null);
    assert_eq!(transfer["cumulative"]["connect_us"], 3000);
    assert_eq!(transfer["cumulative"]["appconnect_us"], 0);
}

#[test]
fn chains_can_be_written_out() {
    let mut host = FakeHost::default().answers(secure("why"));
    let line = "-k -o /dev/null -w %{num_certs}~%{ssl_verify_result}~%{certs} https://h/";
    assert_eq!(curl(line, &mut host), 0);
    let expected = "1 1 \
Subject:C = DE, ST = Bavaria, O = Example \"Ltd\", OU = Web, CN = www.example.test, emailAddress = a@example.test
Issuer:C = DE, ST = Bavaria, O = Example \"Ltd\", OU = Web, CN = www.example.test, emailAddress = a@example.test
Version:2
Serial Number:f1e2d3c4b5
Signature Algorithm:sha256WithRSAEncryption
Public Key Algorithm:rsaEncryption
X509v3 Subject Alternative Name:DNS:www.example.test, DNS:*.example.test, IP Address:192.0.2.1, IP Address:2001:db8::1, email:me@x.test, URI:spiffe://x/y
Start date:Nov 21 04:56:38 2026 GMT
Expire date:Oct 28 04:56:38 2126 GMT
";
    let expected = expected.to_owned() + include_str!("../certificate/tests/rsa.pem");
    assert_eq!(host.stdout_text(), expected);
}
