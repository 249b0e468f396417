//! Tests of [`super`]: what was sealed opens for its own job and place alone.

use blitz_contract::Retry;

use super::*;

const TEXT: &str = "me:correct horse";

/// A job with a sealed second word, and the keys that open it.
fn sealed(text: &str) -> (Spec, RegionKeys) {
    let (keys, key) = (RegionKeys::default(), PrivateKey::generate().unwrap());
    let job = JobId::new("japan", 1);
    let args = ["-u", "***", "http://x/"].map(str::to_owned).to_vec();
    let mut spec = Spec { args, ..Spec::sample(&job, Retry::Safe) };
    spec.sealed = vec![Place::of(&spec).seal(1, text, &key.sealing_key(0)).unwrap()];
    keys.add("japan", key);
    (spec, keys)
}

#[test]
fn what_was_sealed_is_opened_with_the_regions_key_alone() {
    let (spec, keys) = sealed(TEXT);
    assert_eq!(keys.check(&spec), Ok(()));
    assert_eq!(keys.open(&spec).unwrap(), ["-u", TEXT, "http://x/"]);
    let document = serde_json::to_string(&spec).unwrap();
    assert!(!document.contains("horse"), "{document}");

    let others = RegionKeys::default();
    others.add("japan", PrivateKey::generate().unwrap());
    // The right key, and as if of another region.
    others.add("ireland", keys.of_region("japan").remove(0));
    let refused = others.open(&spec).unwrap_err();
    assert_eq!(others.check(&spec), Err(refused.clone()));
    let said = refused.to_string();
    assert!(said.contains(&spec.sealed[0].key) && said.contains("--region-keys"), "{said}");
}

#[test]
fn a_word_opens_at_its_own_place_alone() {
    let (spec, keys) = sealed(TEXT);
    type Change = fn(&mut Spec);
    let changes: [(&str, Change); 6] = [
        ("another job", |spec| spec.job = JobId::new("japan", 1)),
        ("another plugin", |spec| spec.sha256 = "abd".to_owned()),
        ("another word", |spec| spec.sealed[0].word = 0),
        ("no word", |spec| spec.sealed[0].word = 9),
        ("another target", |spec| spec.args[2] = "http://y/".to_owned()),
        ("a word more", |spec| spec.args.push("-v".to_owned())),
    ];
    for (what, change) in changes {
        let mut moved = spec.clone();
        change(&mut moved);
        let word = moved.sealed[0].word + 1;
        assert_eq!(keys.open(&moved), Err(NotOpened::Broken { word }), "{what}");
    }
    for text in ["", "AAAA", "no base64"] {
        let mut bad = spec.clone();
        bad.sealed[0].sealed = text.to_owned();
        assert_eq!(keys.open(&bad), Err(NotOpened::Broken { word: 2 }), "{text}");
    }
    let bytes = STANDARD.decode(&spec.sealed[0].sealed).unwrap();
    for at in 0..bytes.len() {
        let mut bad = spec.clone();
        let mut flipped = bytes.clone();
        flipped[at] ^= 1;
        bad.sealed[0].sealed = STANDARD.encode(flipped);
        assert_eq!(keys.open(&bad), Err(NotOpened::Broken { word: 2 }), "byte {at}");
    }
}

#[test]
fn texts_come_back_as_they_were_and_their_length_is_not_told() {
    let length = |text: &str| sealed(text).0.sealed[0].sealed.len();
    assert_eq!(length("a"), length(&"x".repeat(STEP_BYTES - 1)));
    assert_ne!(length("a"), length(&"x".repeat(STEP_BYTES)));
    for text in ["", "a", "\u{0}", "a\u{0}\u{0}", "é", "\u{80}", &"x".repeat(200)] {
        let (spec, keys) = sealed(text);
        assert_eq!(keys.open(&spec).unwrap()[1], text);
    }
}

#[test]
fn a_key_is_written_and_shown_to_nobody() {
    let key = PrivateKey::generate().unwrap();
    let (text, keys) = (key.text(), RegionKeys::default());
    assert_eq!(PrivateKey::read(&text).unwrap().sealing_key(7), key.sealing_key(7));
    keys.add("japan", key.clone());
    assert!(!format!("{keys:?} {key:?}").contains(text.as_str()));
    assert!(PrivateKey::read("AAAA").is_err());
}
