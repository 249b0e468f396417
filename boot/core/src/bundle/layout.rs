//! Where the objects of bundles lie, below a prefix that is the operator's: the same in a bucket, in a directory and on a
//! web server.
//!
//! What lies under `blobs/` and `bundles/` is named by its content and written once. What lies under `channels/` is
//! replaced; it is one object with its signature in it, as a machine that boots between the replacements of two objects
//! would find a signature of another text.

use super::{Channel, Digest, Target};

/// A file, named by its content.
#[must_use]
pub fn blob(sha256: &Digest) -> String {
    format!("blobs/sha256/{sha256}")
}

/// The manifest of a bundle.
#[must_use]
pub fn manifest(bundle: &Digest) -> String {
    format!("bundles/{bundle}/manifest.json")
}

/// The signature of the manifest: 64 bytes of Ed25519 as they are.
#[must_use]
pub fn manifest_signature(bundle: &Digest) -> String {
    format!("bundles/{bundle}/manifest.json.sig")
}

/// The pointer of a channel, signed.
#[must_use]
pub fn channel(channel: Channel, target: Target) -> String {
    format!("channels/{channel}/{target}.pointer")
}

/// A pointer that a channel has or had, by its serial: what a rollback looks through.
#[must_use]
pub fn channel_history(channel: Channel, target: Target, serial: u64) -> String {
    format!("channels/{channel}/{target}/{serial}.pointer")
}
