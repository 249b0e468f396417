//! What the caller chooses when it opens a store, and the limits that hold by default.

use crate::test_mode::TestMode;
use std::{path::PathBuf, time::Duration};

/// Where a store keeps its data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Storage {
    /// In the memory of this process; gone when the [`Store`](crate::Store) is dropped.
    Memory,
    /// In this directory, which is created when it is missing. One process holds it at a time.
    Directory(PathBuf),
}

/// An administrator of a store.
#[derive(Clone)]
pub struct Admin {
    /// The name that Basic authentication must give.
    pub name: String,
    /// The password that Basic authentication must give.
    pub password: String,
}

/// A key for bearer tokens (RFC 7519), as in the section `jwt_keys` of CouchDB's configuration.
#[derive(Clone)]
pub struct TokenKey {
    /// The `kid` of the tokens that it signs; `_default` for those without one.
    pub id: String,
    /// How it signs.
    pub algorithm: TokenAlgorithm,
    /// The secret as it is for HMAC, a public key as PEM for the others.
    pub key: Vec<u8>,
}

/// How a bearer token is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenAlgorithm {
    /// HS256.
    Hmac,
    /// RS256.
    Rsa,
    /// ES256.
    Ec,
}

impl std::fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenKey")
            .field("id", &self.id)
            .field("algorithm", &self.algorithm)
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Admin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Admin").field("name", &self.name).finish_non_exhaustive()
    }
}

/// How a store behaves. `Options::default()` is an open server with CouchDB's own limits.
#[derive(Clone, Debug)]
pub struct Options {
    /// With administrators a request is what its user may do; without one everybody who reaches the
    /// listener may do everything.
    pub admins: Vec<Admin>,
    /// The keys that bearer tokens may be signed with.
    pub token_keys: Vec<TokenKey>,
    /// Troubles of a cluster to pretend, for tests; none by default.
    pub test_modes: Vec<TestMode>,
    /// The same seed draws the same troubles, as far as requests come in the same order.
    pub test_seed: u64,
    /// The largest document, in bytes of JSON without its attachments (413 above it).
    pub document_bytes_max: usize,
    /// The largest attachment, in bytes (413 above it).
    pub attachment_bytes_max: usize,
    /// How long a connection may take none of the bytes that wait for it before it is cut. A feed that
    /// is cut is resumed by its client, from the last sequence that it has read.
    pub stall_timeout: Duration,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            admins: Vec::new(),
            token_keys: Vec::new(),
            test_modes: Vec::new(),
            test_seed: 0,
            document_bytes_max: DOCUMENT_BYTES_MAX,
            attachment_bytes_max: ATTACHMENT_BYTES_MAX,
            stall_timeout: STALL_TIMEOUT,
        }
    }
}

/// `max_document_size` of CouchDB 3.x, so that what is too large there is too large here.
pub const DOCUMENT_BYTES_MAX: usize = 8_000_000;

/// Plugins are a few MiB; an attachment is held in memory while it is received.
pub const ATTACHMENT_BYTES_MAX: usize = 64 << 20;

/// A client that is alive takes a byte sooner; one that sleeps longer than this with a full buffer has
/// work to catch up with anyway.
pub const STALL_TIMEOUT: Duration = Duration::from_secs(60);
