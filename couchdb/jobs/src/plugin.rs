//! Plugins in the control database: `plugin:<name>:<version>` with the manifest, the digest, and the
//! component itself as an attachment. Replication brings them to every region.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use blitz_contract::Manifest;
use blitz_couchdb::{Client, Error, Put, PutOptions};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::region::CONTROL;

/// The name of the attachment that holds the component.
pub const COMPONENT: &str = "component.wasm";

/// The document of one version of a plugin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PluginDocument {
    /// Always `plugin`.
    pub kind: PluginKind,
    /// The version of blitz that wrote it.
    pub blitz: String,
    /// What it says of itself.
    pub manifest: Manifest,
    /// sha256 of the component in hexadecimal.
    pub sha256: String,
    /// Length of the component.
    pub size_bytes: u64,
}

/// The `kind` of a plugin's document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PluginKind {
    /// The only one.
    Plugin,
}

impl PluginDocument {
    /// The document of a component.
    #[must_use]
    pub fn new(manifest: Manifest, component: &[u8]) -> Self {
        Self {
            kind: PluginKind::Plugin,
            blitz: crate::BUILD.to_owned(),
            manifest,
            sha256: sha256(component),
            size_bytes: component.len() as u64,
        }
    }

    /// `plugin:<name>:<version>`.
    #[must_use]
    pub fn document_id(&self) -> String {
        format!("plugin:{}:{}", self.manifest.name, self.manifest.version)
    }

    /// `name@version`, as people write it.
    #[must_use]
    pub fn label(&self) -> String {
        format!("{}@{}", self.manifest.name, self.manifest.version)
    }

    /// The version as numbers, for finding the newest. `None` when a foreign hand wrote another form.
    #[must_use]
    pub fn version_order(&self) -> Option<[u32; 3]> {
        let mut numbers = self.manifest.version.split('.').map(str::parse);
        match (numbers.next(), numbers.next(), numbers.next()) {
            (Some(Ok(major)), Some(Ok(minor)), Some(Ok(patch))) => Some([major, minor, patch]),
            _ => None,
        }
    }
}

/// sha256 in hexadecimal.
#[must_use]
pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Puts a plugin into the control database, so that every engine hears of it. The same bytes again change
/// nothing; other bytes under the same version replace it, which only the operator's own built-ins may do.
///
/// Document and component are one write: whoever hears of the one finds the other.
///
/// # Errors
///
/// [`PublishError`].
pub async fn publish(
    store: &Client,
    manifest: Manifest,
    component: &[u8],
) -> Result<PluginDocument, PublishError> {
    let control = store.database(CONTROL);
    let document = PluginDocument::new(manifest, component);
    let id = document.document_id();
    let body = Published {
        document: &document,
        attachments: BTreeMap::from([(
            COMPONENT,
            Attachment { content_type: "application/wasm", data: STANDARD.encode(component) },
        )]),
    };
    for _ in 0..PUBLISH_TRIES {
        let known = control.get::<PluginDocument>(&id).await?;
        if known.as_ref().is_some_and(|known| known.body == document) {
            return Ok(document);
        }
        let over = known.as_ref().map(|known| &known.revision);
        match control.put(&id, over, &body, PutOptions::default()).await? {
            Put::Created(_) | Put::Accepted(_) => return Ok(document),
            Put::Conflict => {}
        }
    }
    Err(PublishError::Contended { id })
}

/// Why a plugin is not published.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// The store did not do it.
    #[error("publish the plugin: {0}")]
    Store(#[from] Error),
    /// Another publisher kept replacing the document.
    #[error("publish {id}: others kept changing it; publish it again")]
    Contended {
        /// The document.
        id: String,
    },
}

/// Two processes may publish the same built-in at the same moment; a third try means that they fight.
const PUBLISH_TRIES: usize = 3;

#[derive(Serialize)]
struct Published<'a> {
    #[serde(flatten)]
    document: &'a PluginDocument,
    #[serde(rename = "_attachments")]
    attachments: BTreeMap<&'static str, Attachment>,
}

#[derive(Serialize)]
struct Attachment {
    content_type: &'static str,
    data: String,
}
