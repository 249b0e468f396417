//! A plugin's file on this machine: found, read, and loaded into a runtime of this process.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use blitz_contract::{Manifest, package};
use blitz_runtime::{ChildProgram, Plugin, Runtime, RuntimeConfig, TargetPolicy};
use bytes::Bytes;

use crate::environment::Environment;
use crate::plugin::Error;
use crate::plugin::elf::Elf;
use crate::text::{quoted, without_os_code};

/// Bytes of a file that are read: above what an engine loads, so that the engine's own message is heard.
const FILE_BYTES_MAX: u64 = 128 * 1024 * 1024;

/// The manifest of an author, beside the file that is built from it.
pub(super) const PLUGIN_TOML: &str = "plugin.toml";

/// A file that was read.
pub(super) struct PluginFile {
    pub(super) path: PathBuf,
    pub(super) bytes: Bytes,
    pub(super) sha256: String,
}

/// A file whose first bytes tell what it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Component,
    /// A core module: half of what a plugin is.
    Module,
    /// A native library.
    Elf,
    Other,
}

impl PluginFile {
    /// Reads `path`; of a directory the file that `blitz plugin build` makes in it.
    pub(super) fn read(path: &Path) -> Result<Self, Error> {
        let path = find(path)?;
        let cannot = |error: io::Error| {
            let cause = without_os_code(&error.to_string());
            Error::Usage(format!("cannot read '{}': {cause}", path.display()))
        };
        let mut bytes = Vec::new();
        let file = File::open(&path).map_err(cannot)?;
        file.take(FILE_BYTES_MAX).read_to_end(&mut bytes).map_err(cannot)?;
        Ok(Self { sha256: blitz_jobs::plugin::sha256(&bytes), bytes: bytes.into(), path })
    }

    pub(super) fn form(&self) -> Form {
        // The version and layer behind the magic number. Source: the component model's "Binary Format".
        match self.bytes.get(..8) {
            Some([0, b'a', b's', b'm', _, _, 1, 0]) => Form::Component,
            Some([0, b'a', b's', b'm', ..]) => Form::Module,
            Some([0x7f, b'E', b'L', b'F', ..]) => Form::Elf,
            _ => Form::Other,
        }
    }

    /// What a core module lacks.
    pub(super) fn module_text(&self) -> String {
        let file = quoted(&self.path.display().to_string());
        format!(
            "a core module and no component; 'blitz plugin build {file}' with {PLUGIN_TOML} beside it makes one of it"
        )
    }

    /// The manifest of the file's own section, or of the `plugin.toml` beside a native library, which has none.
    /// `None` when only the plugin itself can tell.
    pub(super) fn written_manifest(&self) -> Result<Option<Manifest>, Error> {
        let wrong = |error| Error::Usage(format!("'{}': {error}", self.path.display()));
        if let Some(json) = package::manifest(&self.bytes) {
            return Manifest::from_json(json).map(Some).map_err(wrong);
        }
        let beside = self.path.with_file_name(PLUGIN_TOML);
        // Another library's may lie there.
        let is_plugin = Elf::read(&self.bytes).is_some_and(|elf| elf.has_symbol);
        if is_plugin && beside.is_file() {
            return read_toml(&beside).map(Some);
        }
        Ok(None)
    }

    /// Loads it, and asks for the manifest where it is not written.
    pub(super) async fn load(&self, runtime: &Runtime) -> Result<(Plugin, Manifest), Error> {
        let unusable =
            |error| Error::Failed(format!("'{}' cannot be used: {error}", self.path.display()));
        if self.form() == Form::Module {
            return Err(Error::Usage(format!(
                "'{}' is {}",
                self.path.display(),
                self.module_text()
            )));
        }
        let written = self.written_manifest()?;
        let plugin = match self.form() {
            // One's own file, in the cage of an engine.
            Form::Elf => {
                runtime.load_native(self.bytes.clone(), &self.sha256, written.clone()).await
            }
            _ => runtime.load(self.bytes.clone(), &self.sha256).await,
        };
        let plugin = plugin.map_err(unusable)?;
        let manifest = match written {
            Some(manifest) => manifest,
            None => plugin.describe().await.map_err(unusable)?,
        };
        Ok((plugin, manifest))
    }
}

/// A runtime as an engine has it, with these databases of networks.
pub(super) fn runtime(
    targets: TargetPolicy,
    networks: Vec<PathBuf>,
    environment: &Environment,
) -> Result<Runtime, Error> {
    let config = RuntimeConfig {
        cache_dir: environment.compiled_directory(),
        targets,
        child: Some(ChildProgram::this()),
        networks,
        ..RuntimeConfig::default()
    };
    Runtime::new(config).map_err(|error| Error::Failed(error.to_string()))
}

pub(super) fn read_toml(path: &Path) -> Result<Manifest, Error> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        let cause = without_os_code(&error.to_string());
        Error::Usage(format!("cannot read '{}': {cause}", path.display()))
    })?;
    Manifest::from_toml(&text)
        .map_err(|error| Error::Usage(format!("'{}': {error}", path.display())))
}

/// The file itself, or that of a plugin's directory: `NAME.wasm`, by the name in its `plugin.toml`, else the only
/// component that is there.
pub(super) fn find(path: &Path) -> Result<PathBuf, Error> {
    if !path.is_dir() {
        return Ok(path.to_owned());
    }
    let toml = path.join(PLUGIN_TOML);
    if toml.is_file() {
        let name = read_toml(&toml)?.name;
        let built = ["wasm", "so"].map(|end| path.join(format!("{name}.{end}")));
        if let Some(file) = built.iter().find(|file| file.is_file()) {
            return Ok(file.clone());
        }
        return Err(Error::Usage(format!(
            "no '{}'; 'blitz plugin build' makes it",
            built[0].display()
        )));
    }
    let entries = std::fs::read_dir(path).map_err(|error| {
        let cause = without_os_code(&error.to_string());
        Error::Usage(format!("cannot read '{}': {cause}", path.display()))
    })?;
    let files = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let mut files = files.filter(|file| file.extension().is_some_and(|e| e == "wasm"));
    match (files.next(), files.next()) {
        (Some(file), None) => Ok(file),
        _ => Err(Error::Usage(format!(
            "'{}' holds neither {PLUGIN_TOML} nor just one .wasm file; name the file",
            path.display()
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOML: &str =
        "name = \"hops\"\nversion = \"0.1.0\"\nsummary = \"x\"\ncontract = \"0.1.0\"\n";

    #[test]
    fn the_file_of_a_directory_is_found() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        let found = || find(directory.path()).map_err(|error| error.to_string());
        assert!(found().unwrap_err().contains("neither plugin.toml nor just one"));
        std::fs::write(at("other.wasm"), b"x").unwrap();
        assert_eq!(found().unwrap(), at("other.wasm"));
        std::fs::write(at("plugin.toml"), TOML).unwrap();
        assert!(found().unwrap_err().ends_with("hops.wasm'; 'blitz plugin build' makes it"));
        std::fs::write(at("hops.wasm"), b"x").unwrap();
        assert_eq!(found().unwrap(), at("hops.wasm"));
    }

    #[test]
    fn forms_are_told_apart() {
        for (bytes, form) in [
            (&b"\0asm\x0d\0\x01\0"[..], Form::Component),
            (b"\0asm\x01\0\0\0", Form::Module),
            (b"\x7fELF\x02\x01\x01\0", Form::Elf),
            (b"#!/bin/sh", Form::Other),
            (b"", Form::Other),
        ] {
            let file =
                PluginFile { path: PathBuf::new(), bytes: bytes.into(), sha256: String::new() };
            assert_eq!(file.form(), form, "{bytes:?}");
        }
    }

    #[test]
    fn a_library_that_is_no_plugin_has_no_manifest() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join(PLUGIN_TOML), TOML).unwrap();
        let header = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x03\0\x3e\0".to_vec();
        for (names, is_plugin) in [("\0strlen\0", false), ("\0blitz_plugin\0", true)] {
            let bytes = [header.as_slice(), names.as_bytes()].concat();
            let path = directory.path().join("some.so");
            let file = PluginFile { path, bytes: bytes.into(), sha256: String::new() };
            assert_eq!(file.written_manifest().unwrap().is_some(), is_plugin, "{names:?}");
        }
    }
}
