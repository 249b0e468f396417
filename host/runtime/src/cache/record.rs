//! What lies beside a file of machine code: how to see that it is the one that was written.

use std::fs::{File, Metadata};
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::limits::MANIFEST_MAX_BYTES;

/// The rest of a record is small beside the manifest, whose text may double as a JSON string.
const RECORD_MAX_BYTES: u64 = 4 * MANIFEST_MAX_BYTES as u64;

/// The record of one file, as JSON.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    /// Another one makes the file unusable, which costs a compilation.
    pub(super) version: u32,
    /// Of the machine code, in hex.
    pub(super) code_sha256: String,
    pub(super) stamp: Stamp,
    pub(super) manifest: Option<String>,
}

/// What the file system says of a file that has not been written since.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Stamp {
    bytes: u64,
    device: u64,
    inode: u64,
    modified_s: i64,
    modified_ns: i64,
    changed_s: i64,
    changed_ns: i64,
}

impl Record {
    pub(super) const VERSION: u32 = 1;

    pub(super) fn read(file: &File) -> io::Result<Self> {
        let mut text = Vec::new();
        file.take(RECORD_MAX_BYTES).read_to_end(&mut text)?;
        let record: Self = serde_json::from_slice(&text)
            .map_err(|e| io::Error::other(format!("its record is unreadable: {e}")))?;
        if record.version != Self::VERSION {
            return Err(io::Error::other(format!("its record has version {}", record.version)));
        }
        Ok(record)
    }

    pub(super) fn to_json(&self) -> io::Result<Vec<u8>> {
        serde_json::to_vec(self).map_err(io::Error::other)
    }
}

impl Stamp {
    pub(super) fn of(metadata: &Metadata) -> Self {
        Self {
            bytes: metadata.size(),
            device: metadata.dev(),
            inode: metadata.ino(),
            modified_s: metadata.mtime(),
            modified_ns: metadata.mtime_nsec(),
            changed_s: metadata.ctime(),
            changed_ns: metadata.ctime_nsec(),
        }
    }
}

/// The SHA-256 in hex.
pub(super) fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}
