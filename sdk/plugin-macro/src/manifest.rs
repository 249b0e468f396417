//! `plugin.toml` beside the `Cargo.toml` of the crate that is being compiled.

use std::io::ErrorKind;
use std::path::Path;

use blitz_contract::Manifest;

/// A manifest that was read and checked.
pub(crate) struct Read {
    /// Of `plugin.toml`; generated code includes the file, so that cargo sees when it changes.
    pub(crate) path: String,
    pub(crate) manifest: Manifest,
}

/// Reads and checks it.
///
/// # Errors
///
/// One text that names the file, and the field where there is one.
pub(crate) fn read() -> Result<Read, String> {
    let directory = std::env::var("CARGO_MANIFEST_DIR")
        .map_err(|error| format!("CARGO_MANIFEST_DIR: {error}"))?;
    let path = Path::new(&directory).join("plugin.toml").display().to_string();
    let text = std::fs::read_to_string(&path).map_err(|error| match error.kind() {
        ErrorKind::NotFound => {
            format!("there is no {path}: a plugin has a plugin.toml beside its Cargo.toml")
        }
        _ => format!("read {path}: {error}"),
    })?;
    let manifest = Manifest::from_toml(&text).map_err(|error| format!("{path}: {error}"))?;
    Ok(Read { path, manifest })
}

impl Read {
    /// Holds the version against that of `Cargo.toml`: for one macro of a plugin, so that a mistake is told once.
    ///
    /// # Errors
    ///
    /// One text that names the file and both versions.
    pub(crate) fn with_version_checked(self) -> Result<Self, String> {
        let package = std::env::var("CARGO_PKG_VERSION").unwrap_or_default();
        match self.manifest.version == package {
            true => Ok(self),
            false => Err(format!(
                "{}: version {} is not the {package} of Cargo.toml; give both the same",
                self.path, self.manifest.version
            )),
        }
    }
}
