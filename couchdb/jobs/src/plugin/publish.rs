//! Writing a plugin's document with its file: over what is there for the operator's own, and once for all others.

use blitz_contract::Manifest;
use blitz_couchdb::{Client, Error, NewAttachment, Put};

use crate::plugin::COMPONENT;
use crate::plugin::document::{Carrier, PluginDocument};
use crate::region::CONTROL;

/// Puts a plugin of the operator's own into the control database, so that every engine hears of it. The same
/// bytes again change nothing; other bytes under the same version replace it, which only built-ins may do.
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
    for _ in 0..PUBLISH_TRIES {
        let known = control.get::<PluginDocument>(&id).await?;
        if known.as_ref().is_some_and(|known| known.body == document) {
            return Ok(document);
        }
        let over = known.as_ref().map(|known| &known.revision);
        let file = attachment(&document, component);
        match control.put_with_attachment(&id, over, &document, file).await? {
            Put::Created(_) | Put::Accepted(_) => return Ok(document),
            Put::Conflict => {}
        }
    }
    Err(PublishError::Contended { id })
}

/// How a version came to be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Created {
    /// It is new.
    New,
    /// The same release was there already: publishing again is harmless.
    Before,
}

/// Puts a release into the control database if its version was never published, with its file in the same
/// write.
///
/// # Errors
///
/// [`PublishError::Taken`] when the version has another file, manifest, publisher or regions.
pub async fn create(
    store: &Client,
    document: &PluginDocument,
    file: &[u8],
) -> Result<Created, PublishError> {
    let control = store.database(CONTROL);
    let id = document.document_id();
    // Looked at first: a second publishing need not send the file.
    for _ in 0..PUBLISH_TRIES {
        match control.get::<PluginDocument>(&id).await? {
            Some(known) if is_same_release(&known.body, document) => return Ok(Created::Before),
            Some(known) => {
                let what = difference(&known.body, document);
                return Err(PublishError::Taken { label: document.label(), what });
            }
            None => {}
        }
        let file = attachment(document, file);
        match control.put_with_attachment(&id, None, document, file).await {
            Ok(Put::Created(_) | Put::Accepted(_)) => return Ok(Created::New),
            // Somebody was faster, or this very write came through before its answer was lost.
            Ok(Put::Conflict) => {}
            Err(error) if error.is_outcome_unknown() => {
                tracing::warn!(%error, "the outcome of a publishing is not known, looking");
            }
            Err(error) => return Err(error.into()),
        }
    }
    Err(PublishError::Contended { id })
}

/// The time of publishing and the version of blitz may differ: the release is the same.
fn is_same_release(known: &PluginDocument, document: &PluginDocument) -> bool {
    known.sha256 == document.sha256
        && known.manifest_text == document.manifest_text
        && known.carrier == document.carrier
        && known.signature.as_ref().map(|signature| &signature.key)
            == document.signature.as_ref().map(|signature| &signature.key)
        && known.only == document.only
        && (&known.tenant, known.private) == (&document.tenant, document.private)
}

fn difference(known: &PluginDocument, document: &PluginDocument) -> &'static str {
    if known.sha256 != document.sha256 {
        "with another file"
    } else if known.manifest_text != document.manifest_text {
        "with another manifest"
    } else if known.only != document.only {
        "for other regions"
    } else if known.tenant == document.tenant && known.private != document.private {
        "for others to see"
    } else {
        "by another publisher"
    }
}

fn attachment<'a>(document: &PluginDocument, bytes: &'a [u8]) -> NewAttachment<'a> {
    let content_type = match document.carrier {
        Carrier::Component => "application/wasm",
        Carrier::Native | Carrier::Unknown(_) => "application/octet-stream",
    };
    NewAttachment { name: COMPONENT, content_type, bytes }
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
    /// A version is published once.
    #[error(
        "{label} was published before, {what}; a version never changes: raise it in plugin.toml"
    )]
    Taken {
        /// `name@version`.
        label: String,
        /// What is not the same.
        what: &'static str,
    },
}

/// Two processes may publish the same built-in at the same moment; a third try means that they fight.
const PUBLISH_TRIES: usize = 3;
