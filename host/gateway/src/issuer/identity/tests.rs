//! Identity documents as AWS serves them, signed with a key pair made for these tests by OpenSSL.

use super::*;

/// RSA with 1,024 bits, as some regions have it; the certificate is of the same key.
const KEY: &str = include_str!("testdata/public.pem");
const CERTIFICATE: &str = include_str!("testdata/certificate.pem");
const ANOTHER: &str = include_str!("testdata/another.pem");
const DOCUMENT: &str = include_str!("testdata/document.json");
const SIGNATURE: &str = include_str!("testdata/signature.txt");

fn ec2(pem: &str, accounts: &[&str], regions: &[&str]) -> Result<Ec2, BadEc2> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("aws.pem");
    std::fs::write(&path, pem).unwrap();
    let owned = |list: &[&str]| list.iter().map(|&text| text.to_owned()).collect();
    Ec2::read(&[path], owned(accounts), owned(regions))
}

#[test]
fn an_instance_is_who_its_document_says() {
    let instance =
        Instance { id: "i-0123456789abcdef0".to_owned(), region: "ap-northeast-1".to_owned() };
    for pem in [KEY, CERTIFICATE] {
        let ec2 = ec2(pem, &["123456789012"], &["ap-northeast-1"]).unwrap();
        assert_eq!(ec2.check(DOCUMENT, SIGNATURE).as_ref(), Ok(&instance));
    }
    let everywhere = ec2(KEY, &["123456789012"], &[]).unwrap();
    assert_eq!(everywhere.check(DOCUMENT, SIGNATURE), Ok(instance));
}

#[test]
fn what_is_not_signed_or_not_named_does_not_join() {
    let named = ec2(KEY, &["123456789012"], &[]).unwrap();
    let forged = DOCUMENT.replace("i-0123456789abcdef0", "i-0123456789abcdef1");
    let long = " ".repeat(DOCUMENT_BYTES_MAX) + DOCUMENT;
    let (others, elsewhere, by_another) = (
        ec2(KEY, &["210987654321"], &[]).unwrap(),
        ec2(KEY, &["123456789012"], &["us-east-1"]).unwrap(),
        ec2(ANOTHER, &["123456789012"], &[]).unwrap(),
    );
    for (ec2, document, signature, part) in [
        (&named, forged.as_str(), SIGNATURE, "not signed"),
        (&named, DOCUMENT.trim_end(), SIGNATURE, "not signed"),
        (&named, DOCUMENT, "", "not signed"),
        (&named, DOCUMENT, "?", "no base64"),
        (&named, &long, SIGNATURE, "at most"),
        (&others, DOCUMENT, SIGNATURE, "--ec2-account"),
        (&elsewhere, DOCUMENT, SIGNATURE, "--ec2-region"),
        (&by_another, DOCUMENT, SIGNATURE, "not signed"),
    ] {
        let why = ec2.check(document, signature).unwrap_err();
        assert!(why.contains(part), "{why}");
    }
}

#[test]
fn a_file_is_a_key_or_refused_by_name() {
    let cut = CERTIFICATE.replace("-----END CERTIFICATE-----", "");
    let short = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n";
    for bad in ["", "rubbish", &cut, short] {
        let error = ec2(bad, &["1"], &[]).unwrap_err().to_string();
        assert!(error.contains("aws.pem"), "{error}");
    }
    assert!(matches!(ec2(KEY, &[], &[]), Err(BadEc2::NoAccount)));
}

#[test]
fn any_bytes_are_read_without_harm() {
    let whole = pem(CERTIFICATE, "CERTIFICATE").unwrap();
    assert!(key_in(&whole).is_some());
    for end in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[end] ^= 0xff;
        let _ = (key_in(&whole[..end]), key_in(&bytes));
    }
}
