//! Databases that the tests write, in the forms of their makers.

#[path = "../../../../tests/src/mmdb.rs"]
#[expect(unreachable_pub, reason = "the stories have it, too")]
mod mmdb;

use std::path::PathBuf;

use serde_json::json;

use super::*;
use mmdb::database;

/// The files, and the directory that holds them.
fn files(databases: &[Vec<u8>]) -> (tempfile::TempDir, Vec<PathBuf>) {
    let directory = tempfile::tempdir().unwrap();
    let paths = databases.iter().enumerate().map(|(number, bytes)| {
        let path = directory.path().join(format!("{number}.mmdb"));
        std::fs::write(&path, bytes).unwrap();
        path
    });
    let paths = paths.collect();
    (directory, paths)
}

/// `64500 Example GB`, or what of it is known.
fn shown(networks: &Networks, address: &str) -> String {
    let found = networks.whose(&[address.to_owned()]).unwrap();
    match &found[..] {
        [None] => "nothing".to_owned(),
        [Some(words::Network { asn, organization, country })] => {
            let asn = asn.map(|asn| asn.to_string());
            [asn.as_deref(), organization.as_deref(), country.as_deref()]
                .map(|word| word.unwrap_or("-"))
                .join(" ")
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_fields_of_all_makers_are_known() {
    let two_letters = || json!({"iso_code": "GB", "names": {"en": "United Kingdom"}});
    for (kind, record, wanted) in [
        (
            "GeoLite2-ASN",
            json!({"autonomous_system_number": 64500, "autonomous_system_organization": "Example"}),
            "64500 Example -",
        ),
        (
            "GeoLite2-Country",
            json!({"country": two_letters(), "continent": {"code": "EU"}}),
            "- - GB",
        ),
        (
            "GeoLite2-City",
            json!({"city": {"names": {"en": "London"}}, "country": two_letters()}),
            "- - GB",
        ),
        ("GeoLite2-Country", json!({"registered_country": two_letters()}), "- - GB"),
        (
            "DBIP-ASN-Lite",
            json!({"autonomous_system_number": 4_294_967_295_u32, "autonomous_system_organization": "Ex"}),
            "4294967295 Ex -",
        ),
        ("DBIP-Country-Lite", json!({"continent": {}, "country": two_letters()}), "- - GB"),
        (
            "ipinfo bundle_location_lite.mmdb",
            json!({
                "asn": "AS64500", "as_name": "Example", "as_domain": "example.com",
                "country": "United Kingdom", "country_code": "GB", "continent_code": "EU",
            }),
            "64500 Example GB",
        ),
        (
            "ipinfo generic_country_asn_free.mmdb",
            json!({"asn": "AS64500", "as_name": "Example", "country": "gb", "country_name": "x"}),
            "64500 Example GB",
        ),
        ("ipinfo asn.mmdb", json!({"asn": "AS64500", "name": "Example"}), "64500 Example -"),
        // Of other kinds than these fields have.
        ("other", json!({"asn": {}, "name": {"en": "x"}, "country": 7}), "nothing"),
        ("other", json!({"asn": "ASx", "name": "", "country": "Atlantis"}), "nothing"),
        ("other", json!({}), "nothing"),
    ] {
        let (_directory, paths) = files(&[database(kind, &[("192.0.2.0/24", record.clone())])]);
        let networks = Networks::read(&paths).unwrap();
        assert_eq!(shown(&networks, "192.0.2.7"), wanted, "{kind} {record}");
        assert_eq!(shown(&networks, "192.0.3.7"), "nothing", "{kind}");
    }
}

#[test]
fn several_files_complete_each_other() {
    let asn =
        |n: u32| json!({"autonomous_system_number": n, "autonomous_system_organization": "A"});
    let first = [("192.0.2.0/24", asn(64500)), ("2001:db8::/32", asn(64501))];
    let second = [
        ("192.0.2.0/25", json!({"asn": "AS1", "as_name": "other", "country_code": "JP"})),
        ("198.51.100.0/24", json!({"country": {"iso_code": "US"}})),
    ];
    let (_directory, paths) = files(&[database("one", &first), database("two", &second)]);
    let networks = Networks::read(&paths).unwrap();
    for (address, wanted) in [
        ("192.0.2.1", "64500 A JP"),
        ("192.0.2.200", "64500 A -"),
        ("::ffff:192.0.2.1", "64500 A JP"),
        ("198.51.100.9", "- - US"),
        ("2001:db8::1", "64501 A -"),
        ("2001:db9::1", "nothing"),
        ("127.0.0.1", "nothing"),
    ] {
        assert_eq!(shown(&networks, address), wanted, "{address}");
    }
}

#[test]
fn without_a_database_the_remedy_is_told() {
    let Err(Error::Failed(text)) = Networks::default().whose(&["192.0.2.1".to_owned()]) else {
        panic!("it answered")
    };
    assert!(text.contains("--networks FILE") && text.contains("GeoLite2-ASN.mmdb"), "{text}");
}

#[test]
fn bad_questions_are_refused() {
    let (_directory, paths) = files(&[database("x", &[("192.0.2.0/24", json!({}))])]);
    let networks = Networks::read(&paths).unwrap();
    for (addresses, wanted) in [
        (vec!["192.0.2".to_owned()], "\"192.0.2\" is not an IP address".to_owned()),
        (vec!["1".repeat(1_000_000)], format!("\"{}\"... is not an IP address", "1".repeat(200))),
        (vec!["fe80::1%eth0".to_owned()], "\"fe80::1%eth0\" is not an IP address".to_owned()),
        (
            vec!["192.0.2.1".to_owned(); ADDRESSES_MAX + 1],
            "at most 2560 addresses are looked up at once, these are 2561".to_owned(),
        ),
    ] {
        let (Error::Denied(text) | Error::Limit(text) | Error::Failed(text)) =
            networks.whose(&addresses).unwrap_err();
        assert_eq!(text, wanted);
    }
    assert_eq!(networks.whose(&[]).unwrap(), []);
}

#[test]
fn what_is_no_database_is_told_at_the_start() {
    let whole = database("x", &[("192.0.2.0/24", json!({"asn": "AS1"}))]);
    let (directory, mut paths) =
        files(&[b"not a database".to_vec(), Vec::new(), whole[200..].to_vec()]);
    paths.push(directory.path().join("missing.mmdb"));
    paths.push(directory.path().to_owned());
    let texts: Vec<String> = paths
        .iter()
        .map(|path| Networks::read(std::slice::from_ref(path)).unwrap_err().to_string())
        .collect();
    for (text, path) in texts.iter().zip(&paths) {
        let begins = format!("cannot use the database of networks '{}': ", path.display());
        assert!(text.starts_with(&begins), "{text}");
    }
    assert!(texts[..3].iter().all(|text| text.contains("not in MaxMind's format")), "{texts:?}");
    assert!(texts[3].ends_with("No such file or directory"), "{texts:?}");
    assert!(texts[4].ends_with("Is a directory"), "{texts:?}");
}

#[test]
fn a_broken_record_is_an_error_and_no_panic() {
    let whole = database("x", &[("192.0.2.0/24", json!({"asn": "AS64500", "name": "Example"}))]);
    let mut seen = std::collections::BTreeSet::new();
    for at in 0..whole.len() {
        for value in [0x00, 0x21, 0x5d, 0xff] {
            let mut broken = whole.clone();
            broken[at] = value;
            let Ok(database) = Database::of(std::path::Path::new("broken.mmdb"), broken) else {
                seen.insert("refused");
                continue;
            };
            seen.insert(match Networks(vec![database]).whose(&["192.0.2.1".to_owned()]) {
                Ok(_) => "read",
                Err(Error::Failed(text)) => {
                    assert!(text.contains(" broken.mmdb is broken: "), "{text}");
                    "broken"
                }
                Err(other) => panic!("{other:?}"),
            });
        }
    }
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), ["broken", "read", "refused"]);
}
