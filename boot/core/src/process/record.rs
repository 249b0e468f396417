//! What is written down of an instance: `ID.json`.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

/// One instance. Fields that came later are read as `None` from what was written before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) launched_ms: u64,
    pub(crate) is_spot: bool,
    pub(crate) tags: BTreeMap<String, String>,
    /// When it is taken back: it has notice of that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) interruption_ms: Option<u64>,
    /// When it was told to end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) stopping_ms: Option<u64>,
}

impl Record {
    /// Reads it; `None` where there is none.
    pub(crate) fn read(path: &Path) -> io::Result<Option<Self>> {
        match fs::read(path) {
            Ok(bytes) => Ok(Some(serde_json::from_slice(&bytes)?)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Writes it whole, or not at all.
    pub(crate) fn write(&self, path: &Path) -> io::Result<()> {
        let new = path.with_extension("json.new");
        fs::write(&new, serde_json::to_vec(self)?)?;
        fs::rename(&new, path)
    }
}
