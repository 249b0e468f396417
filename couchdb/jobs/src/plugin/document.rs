//! The document of one version of a plugin: `plugin:<name>:<version>`, with its file as an attachment.

use std::fmt;

use blitz_contract::{Manifest, ManifestError};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest as _, Sha256};

use crate::plugin::signature::{BadSignature, PublicKey, Signature, Statement};

/// The document of one version of a plugin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PluginDocument {
    /// Always `plugin`.
    pub kind: PluginKind,
    /// The version of blitz that wrote it.
    pub blitz: String,
    /// What it says of itself, for lists, views and early errors. Where there is a signature it must say the
    /// same as the signed text.
    pub manifest: Manifest,
    /// The manifest's JSON to the byte, as it was signed. Absent in built-ins, which are trusted by digest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifest_text: Option<String>,
    /// sha256 of the file in hexadecimal.
    pub sha256: String,
    /// Length of the file.
    pub size_bytes: u64,
    /// How the file is run.
    #[serde(default, skip_serializing_if = "Carrier::is_component")]
    pub carrier: Carrier,
    /// Who published it. Absent in built-ins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<Signature>,
    /// The only regions that may run it until it is promoted; none is everywhere.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub only: Vec<String>,
    /// The tenant that published it, to whom its name belongs; absent: the operator. The gateway says it, no signature covers
    /// it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// Whether it is there for its tenant and the operator alone.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub private: bool,
    /// When the gateway took it: for people, nothing is decided by it. Milliseconds since 1970; absent in
    /// built-ins, whose document is the same at each start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub published_at_ms: Option<u64>,
}

/// The `kind` of a plugin's document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PluginKind {
    /// The only one.
    Plugin,
}

/// How a plugin's file is run. One of a newer version stays readable, and is run by nobody who does not know it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Carrier {
    /// A WASM component, in the sandbox.
    #[default]
    Component,
    /// A native library, in a caged child process.
    Native,
    /// One that this version does not know.
    Unknown(String),
}

impl Carrier {
    /// The word in documents.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Component => "component",
            Self::Native => "native",
            Self::Unknown(name) => name,
        }
    }

    /// Whether it is the one that is not written.
    #[must_use]
    pub fn is_component(&self) -> bool {
        *self == Self::Component
    }
}

impl fmt::Display for Carrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Serialize for Carrier {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for Carrier {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        Ok(match name.as_str() {
            "component" => Self::Component,
            "native" => Self::Native,
            _ => Self::Unknown(name),
        })
    }
}

/// Why what a document says of itself does not hold together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadDocument {
    /// Nobody signed it.
    #[error("nobody signed it; publish it with 'blitz plugin publish'")]
    Unsigned,
    /// The signature is not good.
    #[error(transparent)]
    Signature(#[from] BadSignature),
    /// The signed text is no manifest.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// Somebody changed the manifest beside the signed text.
    #[error("its manifest is not the one that was signed")]
    OtherManifest,
}

impl PluginDocument {
    /// The document of a component of the operator's own: without a signature, trusted by its digest.
    #[must_use]
    pub fn new(manifest: Manifest, component: &[u8]) -> Self {
        Self {
            kind: PluginKind::Plugin,
            blitz: crate::BUILD.to_owned(),
            manifest,
            manifest_text: None,
            sha256: sha256(component),
            size_bytes: component.len() as u64,
            carrier: Carrier::Component,
            signature: None,
            only: Vec::new(),
            tenant: None,
            private: false,
            published_at_ms: None,
        }
    }

    /// `plugin:<name>:<version>`.
    #[must_use]
    pub fn document_id(&self) -> String {
        document_id(&self.manifest.name, &self.manifest.version)
    }

    /// `name@version`, as people write it.
    #[must_use]
    pub fn label(&self) -> String {
        format!("{}@{}", self.manifest.name, self.manifest.version)
    }

    /// The version as numbers, for finding the newest. `None` when a foreign hand wrote another form.
    #[must_use]
    pub fn version_order(&self) -> Option<[u32; 3]> {
        version_order(&self.manifest.version)
    }

    /// Whether engines of this region may run it.
    #[must_use]
    pub fn is_for(&self, region: &str, is_promoted: bool) -> bool {
        self.only.is_empty() || is_promoted || self.only.iter().any(|name| name == region)
    }

    /// Whether it is there for a tenant; no tenant is the operator, for whom all are.
    #[must_use]
    pub fn is_seen_by(&self, tenant: Option<&str>) -> bool {
        !self.private || tenant.is_none() || tenant == self.tenant.as_deref()
    }

    /// Who signed it, when the signature is good for all of it. It says nothing of whether to believe them, nor
    /// of the file: whoever runs that compares its digest.
    ///
    /// # Errors
    ///
    /// [`BadDocument`].
    pub fn signer(&self) -> Result<&PublicKey, BadDocument> {
        let (Some(signature), Some(text)) = (&self.signature, &self.manifest_text) else {
            return Err(BadDocument::Unsigned);
        };
        signature.check(&Statement {
            name: &self.manifest.name,
            version: &self.manifest.version,
            carrier: &self.carrier,
            sha256: &self.sha256,
            manifest: text,
        })?;
        if Manifest::from_json(text)? != self.manifest {
            return Err(BadDocument::OtherManifest);
        }
        Ok(&signature.key)
    }
}

/// `plugin:<name>:<version>`.
#[must_use]
pub fn document_id(name: &str, version: &str) -> String {
    format!("plugin:{name}:{version}")
}

/// `MAJOR.MINOR.PATCH` as numbers.
#[must_use]
pub fn version_order(version: &str) -> Option<[u32; 3]> {
    let mut numbers = version.split('.').map(|number| number.parse().ok());
    match (numbers.next()??, numbers.next()??, numbers.next()??, numbers.next()) {
        (major, minor, patch, None) => Some([major, minor, patch]),
        _ => None,
    }
}

/// sha256 in hexadecimal.
#[must_use]
pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::plugin::{Release, SigningKey};

    const TEXT: &str =
        r#"{"name":"hops","version":"0.1.0","summary":"s","contract":"0.1.0","later":1}"#;

    fn signed() -> PluginDocument {
        let key = SigningKey::generate().unwrap();
        let file = b"\0asm";
        let release = Release::sign(&key, Carrier::Component, TEXT, file, Vec::new()).unwrap();
        release.check("hops", "0.1.0", file).unwrap().document(release, 7)
    }

    #[test]
    fn a_signed_document_survives_json_and_tampering_shows_at_each_field() {
        let document = signed();
        let json = serde_json::to_value(&document).unwrap();
        let read: PluginDocument = serde_json::from_value(json.clone()).unwrap();
        assert_eq!(read, document);
        assert!(read.signer().is_ok());
        let other = TEXT.replace("\"s\"", "\"t\"");
        for (pointer, value) in [
            ("/manifest/name", json!("hop")),
            ("/manifest/version", json!("0.1.1")),
            ("/manifest/summary", json!("t")),
            ("/manifest/capabilities", json!(["web"])),
            ("/manifest_text", json!(other)),
            ("/manifest_text", json!(null)),
            ("/sha256", json!(sha256(b"other"))),
            ("/signature/key", json!(SigningKey::generate().unwrap().public())),
            ("/signature/value", json!("AAAA")),
        ] {
            let mut tampered = json.clone();
            *tampered.pointer_mut(pointer).unwrap() = value;
            let tampered: PluginDocument = serde_json::from_value(tampered).unwrap();
            assert!(tampered.signer().is_err(), "{pointer}");
        }
        let native = PluginDocument { carrier: Carrier::Native, ..document.clone() };
        assert!(native.signer().is_err(), "carrier");
        let unsigned = PluginDocument { signature: None, ..document };
        assert_eq!(unsigned.signer(), Err(BadDocument::Unsigned));
    }

    #[test]
    fn documents_of_other_times_are_read() {
        let earlier = json!({"kind": "plugin", "blitz": "0.0.9", "sha256": "ab", "size_bytes": 2,
            "manifest": {"name": "a", "version": "1.0.0", "summary": "", "contract": "0.1.0"}});
        let read: PluginDocument = serde_json::from_value(earlier.clone()).unwrap();
        assert_eq!((read.carrier, read.only, read.signature), (Carrier::Component, vec![], None));
        let mut later = earlier;
        later["carrier"] = json!("punched-cards");
        later["manifest"]["capabilities"] = json!(["web", "teleport"]);
        let read: PluginDocument = serde_json::from_value(later).unwrap();
        assert_eq!(read.carrier, Carrier::Unknown("punched-cards".to_owned()));
        assert_eq!(read.manifest.capabilities[1].name(), "teleport");
    }

    #[test]
    fn a_version_for_some_regions_is_theirs_until_it_is_promoted() {
        let everywhere = signed();
        let limited = PluginDocument { only: vec!["japan".to_owned()], ..everywhere.clone() };
        for (document, region, is_promoted, may) in [
            (&everywhere, "japan", false, true),
            (&limited, "japan", false, true),
            (&limited, "virginia", false, false),
            (&limited, "virginia", true, true),
        ] {
            assert_eq!(document.is_for(region, is_promoted), may, "{region} {is_promoted}");
        }
    }

    #[test]
    fn a_private_version_is_there_for_its_tenant_and_the_operator() {
        let tenant = Some("acme".to_owned());
        let private = PluginDocument { tenant, private: true, ..signed() };
        for (who, sees) in [(None, true), (Some("acme"), true), (Some("other"), false)] {
            assert_eq!(private.is_seen_by(who), sees, "{who:?}");
            assert!(PluginDocument { private: false, ..private.clone() }.is_seen_by(who));
        }
        // Without a tenant it is the operator's, who has kept it.
        let own = PluginDocument { tenant: None, ..private };
        assert!(!own.is_seen_by(Some("acme")) && own.is_seen_by(None));
    }

    #[test]
    fn versions_are_ordered_as_numbers() {
        assert!(version_order("0.10.0") > version_order("0.9.9"));
        for text in ["", "1", "1.2", "1.2.x", "1.2.3.4", "1.2.-3"] {
            assert_eq!(version_order(text), None, "{text}");
        }
    }
}
