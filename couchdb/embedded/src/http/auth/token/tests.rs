//! Tokens as friends and attackers make them.

use super::*;
use crate::options::TokenKey;
use ring::{rand::SystemRandom, signature::KeyPair as _};
use serde_json::json;

const NOW: u64 = 1_800_000_000;

fn key(id: &str, algorithm: TokenAlgorithm, key: &[u8]) -> TokenKey {
    TokenKey { id: id.to_owned(), algorithm, key: key.to_vec() }
}

fn part(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

fn hs256(head: &Value, claims: &Value, secret: &[u8]) -> String {
    let signed = format!("{}.{}", part(head), part(claims));
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
    let mac = hmac::sign(&key, signed.as_bytes());
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(mac))
}

fn said(keys: &Keys, token: &str) -> Result<(Option<String>, Vec<String>), (u16, String)> {
    let user = keys.user(token, NOW).map_err(|r| (r.status.as_u16(), r.reason.into_owned()))?;
    Ok((user.name, user.roles))
}

#[test]
fn claims_decide_who_and_until_when() {
    let keys = Keys::new(&[
        key("_default", TokenAlgorithm::Hmac, b"secret"),
        key("other", TokenAlgorithm::Hmac, b"second"),
    ]);
    let head = json!({"alg": "HS256", "typ": "JWT"});
    let good = |claims: Value| said(&keys, &hs256(&head, &claims, b"secret"));
    let name = |roles: &[&str]| {
        Ok((Some(String::from("u")), roles.iter().map(|role| (*role).to_owned()).collect()))
    };
    let no = |status, reason: &str| Err((status, reason.to_owned()));
    let later = NOW + 1;
    for (claims, wanted) in [
        (json!({"sub": "u", "exp": later}), name(&[])),
        (json!({"sub": "u", "exp": later, "nbf": NOW}), name(&[])),
        (json!({"sub": "u", "exp": 1_800_000_000.5}), name(&[])),
        (
            json!({"sub": "u", "exp": later, "_couchdb.roles": ["a", "_admin"]}),
            name(&["a", "_admin"]),
        ),
        (json!({"sub": "u", "exp": later, "_couchdb.roles": "a , b"}), name(&["a", "b"])),
        (json!({"sub": "u", "exp": NOW}), no(401, "exp not in future")),
        (json!({"sub": "u", "exp": -5}), no(401, "exp not in future")),
        (json!({"sub": "u", "exp": later, "nbf": later}), no(401, "nbf not in past")),
        (json!({"sub": "u"}), no(400, "Missing exp claim")),
        (json!({"sub": "u", "exp": "9999999999"}), no(400, "Invalid exp claim")),
        (json!({"sub": "u", "exp": null}), no(400, "Invalid exp claim")),
        (json!({"sub": "u", "exp": later, "nbf": []}), no(400, "Invalid nbf claim")),
        (json!({"exp": later}), no(401, "Token missing sub claim.")),
        (json!({"sub": ["u"], "exp": later}), no(400, "Malformed token")),
        (json!({"sub": "u", "exp": later, "_couchdb.roles": 5}), no(400, "Malformed token")),
        (json!({"sub": "u", "exp": later, "_couchdb.roles": ["a", 5]}), no(400, "Malformed token")),
        (json!(["u"]), no(400, "Not an object")),
    ] {
        assert_eq!(good(claims.clone()), wanted, "{claims}");
    }
    let claims = json!({"sub": "u", "exp": later});
    for (head, secret, wanted) in [
        (json!({"alg": "HS256", "kid": "other"}), &b"second"[..], name(&[])),
        (json!({"alg": "HS256", "kid": "other"}), b"secret", no(400, "Bad HMAC")),
        (json!({"alg": "HS256", "kid": "third"}), b"secret", no(400, "Unknown kid")),
        (json!({"alg": "HS256", "kid": null}), b"secret", no(400, "Unknown kid")),
        (json!({"alg": "HS256", "kid": "../_default"}), b"secret", no(400, "Unknown kid")),
        (json!({"alg": "HS256"}), b"", no(400, "Bad HMAC")),
        (json!({"alg": "HS384"}), b"secret", no(400, "Bad HMAC")),
        (json!({"alg": "none"}), b"secret", no(400, "Invalid alg header parameter")),
        (json!({"alg": "None"}), b"secret", no(400, "Invalid alg header parameter")),
        (json!({"alg": ["HS256"]}), b"secret", no(400, "Invalid alg header parameter")),
        (json!({"typ": "JWT"}), b"secret", no(400, "Missing alg header parameter")),
        (json!({"alg": "HS256", "typ": "JWE"}), b"secret", no(400, "Invalid typ header parameter")),
        (json!({"alg": "RS256"}), b"secret", no(400, "Unknown kid")),
        (json!({"alg": "ES256"}), b"secret", no(400, "Unknown kid")),
    ] {
        assert_eq!(said(&keys, &hs256(&head, &claims, secret)), wanted, "{head}");
    }
}

#[test]
fn tokens_that_are_none_are_refused() {
    let keys = Keys::new(&[key("_default", TokenAlgorithm::Hmac, b"secret")]);
    let good = hs256(&json!({"alg": "HS256"}), &json!({"sub": "u", "exp": NOW + 1}), b"secret");
    assert!(said(&keys, &good).is_ok());
    for end in 0..good.len() {
        assert!(said(&keys, &good[..end]).is_err(), "{end}");
    }
    let (signed, signature) = good.rsplit_once('.').unwrap();
    let large = "a".repeat(1 << 20);
    for token in [
        "",
        ".",
        "..",
        "...",
        "a.b.c",
        "rubbish",
        &format!("{signed}."),
        &format!("{signed}.{signature}="),
        &format!("{signed}.{signature}A"),
        &format!("{signed}.{signature}.{signature}"),
        &format!("{good}\0"),
        &format!("{signed}.{large}"),
        &large,
    ] {
        let (status, _) = said(&keys, token).unwrap_err();
        assert_eq!(status, 400);
    }
}

/// PEM as `openssl` writes it, from the DER of a public key.
fn pem(der: &[u8]) -> String {
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    let lines: Vec<&str> =
        text.as_bytes().chunks(64).map(|line| str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", lines.join("\n"))
}

#[test]
fn a_public_key_is_no_secret() {
    let random = SystemRandom::new();
    let algorithm = &signature::ECDSA_P256_SHA256_FIXED_SIGNING;
    let pkcs8 = signature::EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
    let pair = signature::EcdsaKeyPair::from_pkcs8(algorithm, pkcs8.as_ref(), &random).unwrap();
    // SubjectPublicKeyInfo of P-256 is this head and the point.
    let mut der = vec![
        0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08,
        0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
    ];
    der.extend_from_slice(pair.public_key().as_ref());
    let pem = pem(&der);
    let keys = Keys::new(&[key("_default", TokenAlgorithm::Ec, pem.as_bytes())]);
    let claims = json!({"sub": "u", "exp": NOW + 1});
    let head = json!({"alg": "ES256", "typ": "JWT"});
    let signed = format!("{}.{}", part(&head), part(&claims));
    let signature = pair.sign(&random, signed.as_bytes()).unwrap();
    let token = format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature));
    assert_eq!(said(&keys, &token), Ok((Some(String::from("u")), Vec::new())));
    // Its signature is remembered; its end comes all the same, and another signature is another token.
    assert_eq!(said(&keys, &token), Ok((Some(String::from("u")), Vec::new())));
    assert_eq!(keys.user(&token, NOW + 1).map(drop).unwrap_err().status.as_u16(), 401);
    let zeros = format!("{signed}.{}", URL_SAFE_NO_PAD.encode([0; 64]));
    for _ in 0..2 {
        assert_eq!(said(&keys, &zeros), Err((400, String::from("Bad signature"))));
    }
    // The attack: an HMAC with what everybody may read.
    for public in [pem.as_bytes(), &der, pair.public_key().as_ref()] {
        let forged = hs256(&json!({"alg": "HS256"}), &claims, public);
        assert_eq!(said(&keys, &forged), Err((400, String::from("Unknown kid"))));
    }
    // The same document cannot stand for a key of another kind.
    let as_rsa = key("k", TokenAlgorithm::Rsa, pem.as_bytes());
    assert!(super::super::token_key::check_token_keys(&[as_rsa]).is_err());
}
