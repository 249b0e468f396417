//! Manifests that commands of this machine have met, kept so that completion knows a plugin without its gateway.
//!
//! One file for each plugin under the cache directory. Whatever goes wrong is passed over: nothing but completion
//! reads them.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use blitz_contract::Manifest;

use crate::environment::Environment;
use crate::pin::is_plugin_name;

/// Manifests that are kept: more than a person has plugins.
const KEPT_MAX: usize = 500;

/// Bytes of a kept manifest: a gateway gives no longer one.
const MANIFEST_BYTES_MAX: u64 = 1024 * 1024;

/// Keeps a manifest, in place of what was kept of this plugin.
pub(crate) fn keep(environment: &Environment, manifest: &Manifest) {
    let Some(directory) = directory(environment) else { return };
    let Ok(json) = serde_json::to_vec(manifest) else { return };
    let path = directory.join(format!("{}.json", manifest.name));
    if !is_plugin_name(&manifest.name) || fs::read(&path).is_ok_and(|kept| kept == json) {
        return;
    }
    if names(&directory).len() >= KEPT_MAX && !path.exists() {
        return;
    }
    let _unkept: std::io::Result<()> = replace(&directory, &path, &json);
}

/// The names of all that are kept.
pub(crate) fn kept_names(environment: &Environment) -> Vec<String> {
    directory(environment).map(|directory| names(&directory)).unwrap_or_default()
}

/// What is kept of a plugin.
pub(crate) fn kept(environment: &Environment, name: &str) -> Option<Manifest> {
    let path =
        directory(environment).filter(|_| is_plugin_name(name))?.join(format!("{name}.json"));
    if fs::metadata(&path).ok()?.len() > MANIFEST_BYTES_MAX {
        return None;
    }
    Manifest::from_json(&fs::read_to_string(path).ok()?).ok()
}

fn directory(environment: &Environment) -> Option<PathBuf> {
    Some(environment.cache_directory.as_ref()?.join("manifests"))
}

fn names(directory: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    let files = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let names = files.filter_map(|file| file.strip_suffix(".json").map(str::to_owned));
    names.filter(|name| is_plugin_name(name)).take(KEPT_MAX).collect()
}

/// As a whole or not at all: two commands may write at once.
fn replace(directory: &Path, path: &Path, json: &[u8]) -> std::io::Result<()> {
    fs::create_dir_all(directory)?;
    let mut file = tempfile::NamedTempFile::new_in(directory)?;
    file.write_all(json)?;
    file.persist(path)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_is_kept_and_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let environment = Environment {
            cache_directory: Some(directory.path().join("cache")),
            ..Environment::default()
        };
        assert_eq!(kept_names(&environment), [""; 0]);
        let manifest = |version: &str| {
            let json = format!(
                r#"{{"name":"hops","version":"{version}","summary":"x","contract":"0.1.0"}}"#
            );
            Manifest::from_json(&json).unwrap()
        };
        keep(&environment, &manifest("0.1.0"));
        keep(&environment, &manifest("0.2.0"));
        assert_eq!(kept_names(&environment), ["hops"]);
        assert_eq!(kept(&environment, "hops"), Some(manifest("0.2.0")));
        assert_eq!(kept(&environment, "../hops"), None);
        keep(&Environment::default(), &manifest("0.1.0"));
    }
}
