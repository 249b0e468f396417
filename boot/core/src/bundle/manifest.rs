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
mod tests;
