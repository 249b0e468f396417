//! What a publisher sends with a file, and every check of it that needs nothing but the bytes.

use blitz_contract::{Manifest, ManifestError, package};
use serde::{Deserialize, Serialize};

use crate::plugin::FILE_BYTES_MAX;
use crate::plugin::document::{Carrier, PluginDocument, PluginKind, sha256};
use crate::plugin::signature::{BadSignature, Signature, SigningKey, Statement};

/// The longest manifest, in bytes of JSON: what the runtime reads from `describe`. It stands twice in the
/// document, whose limit is 8,000,000 bytes.
pub const MANIFEST_BYTES_MAX: usize = 256 << 10;

/// The first bytes of a WASM file: `\0asm`.
const WASM_MAGIC: &[u8] = b"\0asm";

/// The first bytes of a native library: ELF.
const ELF_MAGIC: &[u8] = b"\x7fELF";

/// The most regions that a version may be limited to: more than the world has is a mistake.
const ONLY_MAX: usize = 100;

/// What goes before the file: one line of JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Release {
    /// The manifest's JSON, the text that was signed.
    pub manifest: String,
    /// sha256 of the file in hexadecimal.
    pub sha256: String,
    /// How the file is run.
    #[serde(default, skip_serializing_if = "Carrier::is_component")]
    pub carrier: Carrier,
    /// The publisher's.
    pub signature: Signature,
    /// The only regions that may run it until it is promoted; none is everywhere.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub only: Vec<String>,
    /// Whether it is to be there for the tenant of its publisher alone.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub private: bool,
}

/// Why a release is not taken. Texts read after "hops@0.1.0: ".
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReleaseError {
    /// The file is too long.
    #[error("the file has {bytes} bytes, a plugin may have {FILE_BYTES_MAX}")]
    TooLarge {
        /// Its length.
        bytes: usize,
    },
    /// The manifest is too long.
    #[error("the manifest has {bytes} bytes, {MANIFEST_BYTES_MAX} are the limit")]
    ManifestTooLarge {
        /// Its length.
        bytes: usize,
    },
    /// The manifest does not hold.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// It was sent under another name.
    #[error("the manifest is that of {found}; publish it under that name")]
    OtherName {
        /// What the manifest says.
        found: String,
    },
    /// The file did not arrive as it was sent.
    #[error("the file's sha256 is {found}, not {wanted}; send it again")]
    Digest {
        /// What was announced.
        wanted: String,
        /// What arrived.
        found: String,
    },
    /// The file is not of its carrier.
    #[error("the file is no {wanted}; build it with 'blitz plugin build'")]
    NotOfCarrier {
        /// What it should be.
        wanted: &'static str,
    },
    /// The carrier is of a newer version.
    #[error("plugins as {0:?} are not known to this gateway; it may be older than your blitz")]
    UnknownCarrier(String),
    /// The manifest inside says something else.
    #[error("the manifest inside the file is not the one that was signed; build it again")]
    OtherManifest,
    /// The signature is not good.
    #[error(transparent)]
    Signature(#[from] BadSignature),
    /// Too many regions.
    #[error("{count} regions are named, {ONLY_MAX} are the limit; leave them out for all")]
    TooManyRegions {
        /// How many.
        count: usize,
    },
}

/// A release whose bytes were checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    manifest: Manifest,
    size_bytes: u64,
}

impl Release {
    /// Signs a file with its manifest.
    ///
    /// # Errors
    ///
    /// [`ReleaseError::Manifest`] when the text is no manifest.
    pub fn sign(
        key: &SigningKey,
        carrier: Carrier,
        manifest: &str,
        file: &[u8],
        only: Vec<String>,
    ) -> Result<Self, ReleaseError> {
        let Manifest { name, version, .. } = Manifest::from_json(manifest)?;
        let sha256 = sha256(file);
        let signature = key.sign(&Statement {
            name: &name,
            version: &version,
            carrier: &carrier,
            sha256: &sha256,
            manifest,
        });
        let manifest = manifest.to_owned();
        Ok(Self { manifest, sha256, carrier, signature, only, private: false })
    }

    /// Checks that everything fits together: names, sizes, digest, signature, and the manifest in the file.
    ///
    /// # Errors
    ///
    /// [`ReleaseError`] for the first that does not.
    pub fn check(&self, name: &str, version: &str, file: &[u8]) -> Result<Checked, ReleaseError> {
        if file.len() > FILE_BYTES_MAX {
            return Err(ReleaseError::TooLarge { bytes: file.len() });
        }
        if self.manifest.len() > MANIFEST_BYTES_MAX {
            return Err(ReleaseError::ManifestTooLarge { bytes: self.manifest.len() });
        }
        if self.only.len() > ONLY_MAX {
            return Err(ReleaseError::TooManyRegions { count: self.only.len() });
        }
        let manifest = Manifest::from_json(&self.manifest)?;
        if (manifest.name.as_str(), manifest.version.as_str()) != (name, version) {
            let found = format!("{}@{}", manifest.name, manifest.version);
            return Err(ReleaseError::OtherName { found });
        }
        match &self.carrier {
            Carrier::Component if file.starts_with(WASM_MAGIC) => {
                // Compared as it was read: a file may have been packed with other spaces.
                if let Some(inside) = package::manifest(file)
                    && Manifest::from_json(inside)? != manifest
                {
                    return Err(ReleaseError::OtherManifest);
                }
            }
            Carrier::Native if file.starts_with(ELF_MAGIC) => {}
            Carrier::Component => {
                return Err(ReleaseError::NotOfCarrier { wanted: "WASM component" });
            }
            Carrier::Native => return Err(ReleaseError::NotOfCarrier { wanted: "native library" }),
            Carrier::Unknown(carrier) => {
                return Err(ReleaseError::UnknownCarrier(carrier.clone()));
            }
        }
        let found = sha256(file);
        if found != self.sha256 {
            return Err(ReleaseError::Digest { wanted: self.sha256.clone(), found });
        }
        self.signature.check(&Statement {
            name,
            version,
            carrier: &self.carrier,
            sha256: &self.sha256,
            manifest: &self.manifest,
        })?;
        Ok(Checked { manifest, size_bytes: file.len() as u64 })
    }
}

impl Checked {
    /// The document of the release that was checked, as the operator publishes it: of another publisher the gateway adds the
    /// tenant.
    #[must_use]
    pub fn document(self, release: Release, published_at_ms: u64) -> PluginDocument {
        PluginDocument {
            kind: PluginKind::Plugin,
            blitz: crate::BUILD.to_owned(),
            manifest: self.manifest,
            manifest_text: Some(release.manifest),
            sha256: release.sha256,
            size_bytes: self.size_bytes,
            carrier: release.carrier,
            signature: Some(release.signature),
            only: release.only,
            tenant: None,
            private: release.private,
            published_at_ms: Some(published_at_ms),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"{"name":"hops","version":"0.1.0","summary":"s","contract":"0.1.0"}"#;
    const FILE: &[u8] = b"\0asm\x0d\0\x01\0";

    fn release() -> Release {
        let key = SigningKey::generate().unwrap();
        Release::sign(&key, Carrier::Component, TEXT, FILE, vec!["japan".to_owned()]).unwrap()
    }

    #[test]
    fn a_release_fits_its_name_and_its_file_alone() {
        let packed = package::with_manifest(FILE, &TEXT.replace("\"s\"", "\"t\"")).unwrap();
        let key = SigningKey::generate().unwrap();
        let sign = |carrier, file: &[u8]| Release::sign(&key, carrier, TEXT, file, vec![]).unwrap();
        assert!(release().check("hops", "0.1.0", FILE).is_ok());
        for (release, name, file, says) in [
            (release(), "hop", FILE, "the manifest is that of hops@0.1.0"),
            (release(), "hops", &packed, "the manifest inside the file is not the one"),
            (release(), "hops", b"\0asm", "the file's sha256 is "),
            (release(), "hops", b"#!/bin/sh", "the file is no WASM component"),
            (sign(Carrier::Native, FILE), "hops", FILE, "the file is no native library"),
            (sign(Carrier::Unknown("x".to_owned()), FILE), "hops", FILE, "plugins as \"x\""),
            (
                Release { manifest: TEXT.replace('s', "t"), ..release() },
                "hops",
                FILE,
                "read the manifest",
            ),
            (Release { carrier: Carrier::Native, ..release() }, "hops", b"\x7fELF", "sha256"),
            (
                Release { manifest: TEXT.replace("\"s\"", "\"t\""), ..release() },
                "hops",
                FILE,
                "its signature is not that of its key",
            ),
            (
                Release { manifest: " ".repeat(MANIFEST_BYTES_MAX + 1), ..release() },
                "hops",
                FILE,
                "the manifest has 262145 bytes",
            ),
            (
                Release { only: vec![String::new(); ONLY_MAX + 1], ..release() },
                "hops",
                FILE,
                "101 regions are named",
            ),
        ] {
            let refused = release.check(name, "0.1.0", file).unwrap_err().to_string();
            assert!(refused.contains(says), "{says}: {refused}");
        }
        let large = [FILE, &vec![0; FILE_BYTES_MAX]].concat();
        assert!(matches!(
            release().check("hops", "0.1.0", &large),
            Err(ReleaseError::TooLarge { .. })
        ));
    }
}
