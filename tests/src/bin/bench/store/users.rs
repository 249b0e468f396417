//! What it costs to know who writes: the same writes by nobody, an administrator, a user and tokens.

use std::time::Instant;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use blitz_embedded::{Admin, Options, TokenAlgorithm, TokenKey};

use super::figure::Figures;
use super::server::{DATABASE, Target};
use super::writes::{puts, seconds};

/// Writes of each kind.
const PUTS: usize = 32_000;

/// Of the user `engine` with the role `writer`, until 2100.
const HMAC_TOKEN: &str = concat!(
    "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.",
    "eyJzdWIiOiJlbmdpbmUiLCJfY291Y2hkYi5yb2xlcyI6WyJ3cml0ZXIiXSwiZXhwIjo0MTAyNDQ0ODAwfQ.",
    "8rhvXUyo82iE1nWK4Jq3lJ9FUpk4nWZESCkqDklvk_Y"
);

/// The same, signed with the key below.
const EC_TOKEN: &str = concat!(
    "eyJhbGciOiJFUzI1NiIsInR5cCI6IkpXVCJ9.",
    "eyJzdWIiOiJlbmdpbmUiLCJfY291Y2hkYi5yb2xlcyI6WyJ3cml0ZXIiXSwiZXhwIjo0MTAyNDQ0ODAwfQ.",
    "FoRwdAnRMoGCgeHewcQz6YcG01pd52pmExcgPoT8rxAehZsZLL2hNwIxnMUQ1BwIGiTZFLodocybcGEUHpNDzw"
);

/// A key of this bench alone.
const EC_KEY: &str = "\
-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEO4G/KuJwLY8LcuSodc0qvypOm2AL
FUIqLuemHQb0XPMwvbQPkToFH/P/yxhPeHsRRSyainKl/DLf7Uk+m2fHww==
-----END PUBLIC KEY-----
";

/// How a server is opened that asks who one is.
pub(crate) fn options() -> Options {
    let key = |algorithm, key: &[u8]| TokenKey {
        id: "_default".to_owned(),
        algorithm,
        key: key.to_vec(),
    };
    Options {
        admins: vec![Admin { name: "root".to_owned(), password: "pw".to_owned() }],
        token_keys: vec![
            key(TokenAlgorithm::Hmac, b"secret"),
            key(TokenAlgorithm::Ec, EC_KEY.as_bytes()),
        ],
        ..Options::default()
    }
}

pub(crate) async fn measure(open: &Target, closed: &mut Target) -> Figures {
    let mut figures = Figures::default();
    kind(open, "no administrators", &mut figures).await;
    let basic = |pair: &str| format!("Authorization: Basic {}\r\n", STANDARD.encode(pair));
    let bearer = |token: &str| format!("Authorization: Bearer {token}\r\n");
    let security = r#"{"members":{"roles":["writer"]}}"#;
    let user = r#"{"name":"user","password":"pw","roles":["writer"],"type":"user"}"#;
    let mut wire = closed.connect().await;
    assert_eq!(wire.ask("PUT", &format!("{DATABASE}/_security"), security).await, 200);
    assert_eq!(wire.ask("PUT", "/_users/org.couchdb.user:user", user).await, 201);
    closed.headers = basic("user:pw");
    let mut wire = closed.connect().await;
    for name in ["first", "second"] {
        let begun = Instant::now();
        assert_eq!(wire.ask("GET", DATABASE, "").await, 200);
        figures.add(format!("a user's {name} request, Basic, ms"), seconds(begun) * 1e3, "");
    }
    for (name, headers) in [
        ("an administrator, Basic", basic("root:pw")),
        ("a user, Basic", basic("user:pw")),
        ("a token of HS256", bearer(HMAC_TOKEN)),
        ("a token of ES256", bearer(EC_TOKEN)),
    ] {
        closed.headers = headers;
        kind(closed, name, &mut figures).await;
    }
    closed.headers = basic("root:pw");
    let design =
        r#"{"validate_doc_update":"function(doc) { if (!doc.type) throw {forbidden: 'type'}; }"}"#;
    let mut wire = closed.connect().await;
    assert_eq!(wire.ask("PUT", &format!("{DATABASE}/_design/rules"), design).await, 201);
    kind(closed, "an administrator, a validate function", &mut figures).await;
    figures
}

async fn kind(target: &Target, name: &str, figures: &mut Figures) {
    let id = name.replace([' ', ','], "-");
    let made = puts(target, &id, PUTS).await;
    figures.add(format!("PUT by {name}: per second"), made.per_s, "");
    figures.add("  server CPU, us per PUT", made.cpu_us, "");
}
