//! What the caller chooses when it opens a store, and the limits that hold by default.

use std::path::PathBuf;

/// Where a store keeps its data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Storage {
    /// In the memory of this process; gone when the [`Store`](crate::Store) is dropped.
    Memory,
    /// In this directory, which is created when it is missing. One process holds it at a time.
    Directory(PathBuf),
}

/// The one administrator of a store.
#[derive(Clone)]
pub struct Admin {
    /// The name that Basic authentication must give.
    pub name: String,
    /// The password that Basic authentication must give.
    pub password: String,
}

impl std::fmt::Debug for Admin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Admin").field("name", &self.name).finish_non_exhaustive()
    }
}

/// How a store behaves. `Options::default()` is an open server with CouchDB's own limits.
#[derive(Clone, Debug)]
pub struct Options {
    /// With an administrator every request for data needs its name and password; without one
    /// everybody who reaches the listener may do everything.
    pub admin: Option<Admin>,
    /// The largest document, in bytes of JSON without its attachments (413 above it).
    pub document_bytes_max: usize,
    /// The largest attachment, in bytes (413 above it).
    pub attachment_bytes_max: usize,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            admin: None,
            document_bytes_max: DOCUMENT_BYTES_MAX,
            attachment_bytes_max: ATTACHMENT_BYTES_MAX,
        }
    }
}

/// `max_document_size` of CouchDB 3.x, so that what is too large there is too large here.
pub const DOCUMENT_BYTES_MAX: usize = 8_000_000;

/// Plugins are a few MiB; an attachment is held in memory while it is received.
pub const ATTACHMENT_BYTES_MAX: usize = 64 << 20;
