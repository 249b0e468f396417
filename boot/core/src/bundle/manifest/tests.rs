//! Manifests as they are written, and what is refused of those that are read.

use proptest::prelude::*;

use super::*;

fn files() -> Vec<BundleFile> {
    vec![
        BundleFile::of("hops.wasm", Mode::Read, b"\0asm"),
        BundleFile::of(PROGRAM, Mode::Run, b"\x7fELF"),
    ]
}

fn manifest() -> Manifest {
    Manifest::new("0.1.0", Target::X86_64, Glibc::OF_IMAGES, files()).unwrap()
}

fn open(text: &str, key: &SigningKey) -> Result<Manifest, BadBundle> {
    let signature = key.sign(text.as_bytes());
    let id = Digest::of(text.as_bytes());
    Manifest::open(text.as_bytes(), &signature, &key.public(), &id, Target::X86_64)
}

#[test]
fn a_manifest_is_the_same_to_the_byte_and_comes_back() {
    let key = SigningKey::generate().unwrap();
    insta::assert_snapshot!(manifest().to_text());
    assert_eq!(open(&manifest().to_text(), &key), Ok(manifest()));
    let mut turned = files();
    turned.reverse();
    let turned = Manifest::new("0.1.0", Target::X86_64, Glibc::OF_IMAGES, turned).unwrap();
    assert_eq!(turned.id(), manifest().id(), "the order in which files were given is not in it");
    // And it is JSON for whoever wants to read it so.
    let json: serde_json::Value = serde_json::from_str(&manifest().to_text()).unwrap();
    assert_eq!(json["files"][0]["name"], PROGRAM);
}

#[test]
fn the_largest_manifest_is_below_its_limit() {
    let name = |at: usize| format!("{at:a<64}");
    let files = (1..FILES_MAX).map(|at| BundleFile::of(&name(at), Mode::Read, b""));
    let files = files.chain([BundleFile::of(PROGRAM, Mode::Run, b"")]).collect();
    let manifest = Manifest::new("0.1.0", Target::X86_64, Glibc::OF_IMAGES, files).unwrap();
    assert!(manifest.to_text().len() * 4 <= usize::try_from(MANIFEST_BYTES_MAX).unwrap());
}

#[test]
fn files_that_cannot_be_are_refused() {
    let with = |name: &str, size_bytes: u64| {
        let file = BundleFile { size_bytes, ..BundleFile::of(name, Mode::Read, b"") };
        let files = files().into_iter().chain([file]).collect();
        Manifest::new("0.1.0", Target::X86_64, Glibc::OF_IMAGES, files)
    };
    let long = "a".repeat(65);
    for name in [
        "",
        ".",
        "..",
        ".hidden",
        "a/b",
        "../x",
        "/etc/passwd",
        "-rf",
        "a b",
        "a\nb",
        "é",
        "a\"b",
        "$(x)",
        &long,
    ] {
        assert!(matches!(with(name, 0), Err(BadBundle::Word { .. })), "{name}");
    }
    assert_eq!(with("hops.wasm", 0), Err(BadBundle::Twice("hops.wasm".to_owned())));
    assert!(matches!(with("x", FILE_BYTES_MAX + 1), Err(BadBundle::TooLarge { .. })));
    assert!(with("x", FILE_BYTES_MAX).is_ok());
    let new = |product: &str, files| {
        Manifest::new(product, Target::X86_64, Glibc::OF_IMAGES, files).unwrap_err()
    };
    assert_eq!(new("1", Vec::new()), BadBundle::NoProgram);
    let unrun = vec![BundleFile::of(PROGRAM, Mode::Read, b"")];
    assert_eq!(new("1", unrun), BadBundle::NoProgram);
    assert!(matches!(new("0.1.0'; rm", files()), BadBundle::Word { .. }));
    let many = (0..=FILES_MAX).map(|at| BundleFile::of(&at.to_string(), Mode::Read, b""));
    assert!(matches!(new("1", many.collect()), BadBundle::TooMany { .. }));
}

#[test]
fn what_is_not_the_manifest_that_was_asked_for_is_refused_by_its_reason() {
    let (key, other) = (SigningKey::generate().unwrap(), SigningKey::generate().unwrap());
    let (text, signature, id) = (manifest().to_text(), manifest().sign(&key), manifest().id());
    let open = |text: &str, signature: &[u8], id: &Digest, target| {
        Manifest::open(text.as_bytes(), signature, &key.public(), id, target).unwrap_err()
    };
    let tampered = text.replace("hops", "hogs");
    let error = open(&tampered, &signature, &Digest::of(tampered.as_bytes()), Target::X86_64);
    assert!(matches!(error, BadBundle::Signature { .. }), "{error}");
    let error = open(&text, &manifest().sign(&other), &id, Target::X86_64);
    assert!(matches!(error, BadBundle::Signature { .. }), "{error}");
    let error = open(&text, &signature, &Digest::of(b"another bundle of ours"), Target::X86_64);
    assert!(matches!(error, BadBundle::OtherBundle { .. }), "{error}");
    let error = open(&text, &signature, &id, Target::Aarch64);
    assert!(matches!(error, BadBundle::OtherTarget { .. }), "{error}");
    let error = open(&" ".repeat(70_000), &signature, &id, Target::X86_64);
    assert!(matches!(error, BadBundle::TooLarge { .. }), "{error}");
}

#[test]
fn what_we_signed_in_another_form_is_refused_too() {
    let key = SigningKey::generate().unwrap();
    let text = manifest().to_text();
    let (head, files) = text.split_once("[\n").unwrap();
    let lines: Vec<&str> = files.trim_end_matches("\n]}\n").split(",\n").collect();
    let turned = format!("{head}[\n{},\n{}\n]}}\n", lines[1], lines[0]);
    for (text, wants) in [
        (text.replace("\"blitz_bundle\":1", "\"blitz_bundle\":2"), "version 2"),
        (text.replace("\"blitz_bundle\":1", "\"blitz_bundle\":\"1\""), "no \"blitz_bundle\""),
        (text.replace(",\n", ","), "other spaces"),
        (turned, "another order"),
        (text.replace("0755", "4755"), "4755"),
        (text.replace("\"glibc\"", "\"later\":1,\n\"glibc\""), "later"),
        (text.replace("2.34", "2.034"), "glibc"),
        (text.replace("hops.wasm", "../hops"), "no path"),
        (text.replace("hops.wasm", "blitz"), "two files"),
        (format!("{text} "), "other spaces"),
        ("[1]".to_owned(), "no \"blitz_bundle\""),
        (String::new(), "EOF"),
    ] {
        let error = open(&text, &key).unwrap_err().to_string();
        assert!(error.contains(wants), "{text}\n{error}");
    }
}

#[test]
fn a_file_is_held_against_its_line() {
    let file = BundleFile::of("x", Mode::Read, b"text");
    assert_eq!(file.check_bytes(b"text"), Ok(()));
    for bytes in [&b"texT"[..], b"tex", b"textt", b""] {
        let error = file.check_bytes(bytes).unwrap_err();
        assert!(matches!(error, BadBundle::OtherFile { .. }), "{error}");
    }
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        Manifest::parse(&bytes).ok();
    }

    #[test]
    fn what_parses_is_its_own_text(at in 0_usize..400, byte in any::<u8>(), cut in 0_usize..400) {
        let mut bytes = manifest().to_text().into_bytes();
        let length = bytes.len();
        bytes[at % length] = byte;
        bytes.truncate(length - cut % 2 * (cut % length));
        if let Ok(parsed) = Manifest::parse(&bytes) {
            prop_assert_eq!(parsed.to_text().into_bytes(), bytes);
        }
    }
}
