//! What is in a bundle: a text of one form, whose digest is the bundle's name and whose signature is the publisher's word.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::{BadBundle, Digest, Glibc, PublicKey, SigningKey, Target};

/// What it is called in messages.
const WHAT: &str = "the manifest";

/// The form that is written and read.
const VERSION: u64 = 1;

/// The file that every bundle has: engine, gateway and command line.
pub const PROGRAM: &str = "blitz";

/// Files of a bundle: the program, and plugins that are not built in. A manifest of so many has 15 KiB.
const FILES_MAX: usize = 64;

/// Bytes of a manifest: four times what the most files with the longest names need.
pub const MANIFEST_BYTES_MAX: u64 = 64 * 1024;

/// Bytes of one file: a program with all its debug information has a quarter of it, and machines of the smallest kind have
/// disks of 8 GiB.
pub(super) const FILE_BYTES_MAX: u64 = 1 << 30;

/// Characters of a file's name.
const NAME_CHARS_MAX: usize = 64;

/// Characters of a version of the product.
const PRODUCT_CHARS_MAX: usize = 32;

/// What is in a bundle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    product: String,
    target: Target,
    glibc: Glibc,
    files: Vec<BundleFile>,
}

/// One file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BundleFile {
    /// Its name: letters, digits, `.`, `_` and `-`, a letter or digit first; no path.
    pub name: String,
    /// What may be done with it.
    pub mode: Mode,
    /// Its length.
    pub size_bytes: u64,
    /// Its content.
    pub sha256: Digest,
}

/// What may be done with a file: one of two, so that no bundle brings a file that others may write, or a set-user-id program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Mode {
    /// Read.
    #[serde(rename = "0644")]
    Read,
    /// Read and run.
    #[serde(rename = "0755")]
    Run,
}

impl Mode {
    /// As `chmod` takes it.
    #[must_use]
    pub fn octal(self) -> &'static str {
        match self {
            Self::Read => "0644",
            Self::Run => "0755",
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    #[serde(rename = "blitz_bundle")]
    _version: u64,
    product: String,
    target: Target,
    glibc: Glibc,
    files: Vec<BundleFile>,
}

impl Manifest {
    /// The manifest of these files, in whatever order.
    ///
    /// # Errors
    ///
    /// [`BadBundle`].
    pub fn new(
        product: &str,
        target: Target,
        glibc: Glibc,
        files: Vec<BundleFile>,
    ) -> Result<Self, BadBundle> {
        let mut files = files;
        files.sort();
        let is_version = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '+');
        if !is_word(product, PRODUCT_CHARS_MAX, is_version) {
            let rule = "it has up to 32 letters, digits and . - +, a letter or digit first";
            return Err(BadBundle::Word { what: "the version", value: shown(product), rule });
        }
        if files.len() > FILES_MAX {
            return Err(BadBundle::TooMany { count: files.len(), max: FILES_MAX });
        }
        for file in &files {
            file.check()?;
        }
        if let Some([one, _]) = files.array_windows().find(|[one, two]| one.name == two.name) {
            return Err(BadBundle::Twice(one.name.clone()));
        }
        if !files.iter().any(|file| file.name == PROGRAM && file.mode == Mode::Run) {
            return Err(BadBundle::NoProgram);
        }
        Ok(Self { product: product.to_owned(), target, glibc, files })
    }

    /// The version of blitz.
    #[must_use]
    pub fn product(&self) -> &str {
        &self.product
    }

    /// For which machines.
    #[must_use]
    pub fn target(&self) -> Target {
        self.target
    }

    /// The oldest C library that it runs on.
    #[must_use]
    pub fn glibc(&self) -> Glibc {
        self.glibc
    }

    /// The files, by name.
    #[must_use]
    pub fn files(&self) -> &[BundleFile] {
        &self.files
    }

    /// Its one text: JSON, a fact or a file a line. No word in it needs an escape.
    #[must_use]
    pub fn to_text(&self) -> String {
        let Self { product, target, glibc, files } = self;
        let files: Vec<String> = files.iter().map(BundleFile::line).collect();
        format!(
            "{{\"blitz_bundle\":{VERSION},\n\"product\":\"{product}\",\n\"target\":\"{target}\",\n\"glibc\":\"{glibc}\",\n\
             \"files\":[\n{}\n]}}\n",
            files.join(",\n")
        )
    }

    /// The bundle's name.
    #[must_use]
    pub fn id(&self) -> Digest {
        Digest::of(self.to_text().as_bytes())
    }

    /// The signature of its text.
    #[must_use]
    pub fn sign(&self, key: &SigningKey) -> Vec<u8> {
        key.sign(self.to_text().as_bytes()).to_vec()
    }

    /// Reads a manifest, and holds it against the bundle that was asked for.
    ///
    /// # Errors
    ///
    /// [`BadBundle`]; the signature is looked at before anything else.
    pub fn open(
        text: &[u8],
        signature: &[u8],
        key: &PublicKey,
        id: &Digest,
        target: Target,
    ) -> Result<Self, BadBundle> {
        if u64::try_from(text.len()).is_ok_and(|length| length > MANIFEST_BYTES_MAX) {
            return Err(BadBundle::TooLarge { what: WHAT.to_owned(), max: MANIFEST_BYTES_MAX });
        }
        key.check(WHAT, text, signature)?;
        let found = Digest::of(text);
        if found != *id {
            return Err(BadBundle::OtherBundle { found, wanted: *id });
        }
        let manifest = Self::parse(text)?;
        if manifest.target != target {
            let found = manifest.target;
            return Err(BadBundle::OtherTarget { what: WHAT, found, wanted: target });
        }
        Ok(manifest)
    }

    fn parse(text: &[u8]) -> Result<Self, BadBundle> {
        let raw: Raw = read_json(WHAT, "blitz_bundle", VERSION, text)?;
        let manifest = Self::new(&raw.product, raw.target, raw.glibc, raw.files)?;
        if manifest.to_text().as_bytes() != text {
            let why = "it has other spaces or another order".to_owned();
            return Err(BadBundle::Form { what: WHAT, why });
        }
        Ok(manifest)
    }
}

impl BundleFile {
    /// What a file of these bytes is.
    #[must_use]
    pub fn of(name: &str, mode: Mode, bytes: &[u8]) -> Self {
        let size_bytes = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        Self { name: name.to_owned(), mode, size_bytes, sha256: Digest::of(bytes) }
    }

    /// Whether these bytes are it.
    ///
    /// # Errors
    ///
    /// [`BadBundle::OtherFile`].
    pub fn check_bytes(&self, bytes: &[u8]) -> Result<(), BadBundle> {
        let found = Self::of(&self.name, self.mode, bytes);
        if found == *self {
            return Ok(());
        }
        Err(BadBundle::OtherFile {
            file: self.name.clone(),
            found: found.sha256,
            found_bytes: found.size_bytes,
            wanted: self.sha256,
            bytes: self.size_bytes,
        })
    }

    fn check(&self) -> Result<(), BadBundle> {
        let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        if !is_word(&self.name, NAME_CHARS_MAX, is_name) {
            let rule = "a file's name has up to 64 letters, digits and . _ -, a letter or digit first, and no path";
            return Err(BadBundle::Word { what: "a file's name", value: shown(&self.name), rule });
        }
        if self.size_bytes > FILE_BYTES_MAX {
            return Err(BadBundle::TooLarge { what: self.name.clone(), max: FILE_BYTES_MAX });
        }
        Ok(())
    }

    fn line(&self) -> String {
        let Self { name, mode, size_bytes, sha256 } = self;
        let mode = mode.octal();
        format!(
            "{{\"name\":\"{name}\",\"mode\":\"{mode}\",\"size_bytes\":{size_bytes},\"sha256\":\"{sha256}\"}}"
        )
    }
}

fn is_word(text: &str, chars_max: usize, is_part: impl Fn(char) -> bool) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.len() <= chars_max
        && text.chars().all(is_part)
}

/// A foreign word for a message.
fn shown(text: &str) -> String {
    text.chars().take(NAME_CHARS_MAX).collect()
}

/// Reads JSON whose first member tells its version: one of another version is named as such, whatever else it has.
pub(super) fn read_json<T: DeserializeOwned>(
    what: &'static str,
    version_member: &str,
    known: u64,
    text: &[u8],
) -> Result<T, BadBundle> {
    let form = |error: serde_json::Error| BadBundle::Form { what, why: error.to_string() };
    let any: serde_json::Value = serde_json::from_slice(text).map_err(form)?;
    match any.get(version_member).and_then(serde_json::Value::as_u64) {
        Some(found) if found == known => serde_json::from_slice(text).map_err(form),
        Some(found) => Err(BadBundle::Version { what, found, known }),
        None => Err(BadBundle::Form { what, why: format!("it has no {version_member:?}") }),
    }
}

#[cfg(test)]
mod tests {
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
        assert_eq!(
            turned.id(),
            manifest().id(),
            "the order in which files were given is not in it"
        );
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
}
