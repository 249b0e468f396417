//! The SDK that this binary carries, unpacked into a plugin's own directory as `.blitz/sdk`: a plugin is built
//! without the source tree, and with the SDK of the `blitz` that builds it.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

/// A file in the binary.
#[derive(Debug)]
pub(crate) struct Carried {
    /// From the root of the SDK, or of all templates.
    pub(crate) path: &'static str,
    pub(crate) bytes: &'static [u8],
}

// `SDK`, `TEMPLATES` and `LOCK`.
include!(concat!(env!("OUT_DIR"), "/sdk.rs"));

/// Where tools keep what can be made again: beside a plugin's sources, and out of its repository.
pub(crate) const PRIVATE: &str = ".blitz";

/// In the SDK's directory: of which files it is made.
const DIGEST: &str = "DIGEST";

/// Git leaves out a directory whose own file says so.
const IGNORED: &str = "# Made by `blitz plugin build` where it is missing.\n*\n";

/// What had to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unpacked {
    /// There was none.
    New,
    /// One of another version of blitz was there.
    Replaced,
    /// It was there.
    Same,
}

/// Where it is in a plugin's directory.
pub(crate) fn directory(plugin: &Path) -> PathBuf {
    plugin.join(PRIVATE).join("sdk")
}

/// The contract as text.
pub(crate) fn wit() -> Option<&'static str> {
    let file = SDK.iter().find(|file| file.path == "wit/blitz-plugin-0.1.0/plugin.wit")?;
    std::str::from_utf8(file.bytes).ok()
}

/// The files of a template, each with its path in the new plugin.
pub(crate) fn template(word: &str) -> impl Iterator<Item = (&'static str, &'static [u8])> {
    TEMPLATES.iter().filter_map(move |file| {
        let path = file.path.strip_prefix(word)?.strip_prefix('/')?;
        Some((path, file.bytes))
    })
}

/// The lock file of a new plugin in Rust: the versions that the SDK was tested with.
pub(crate) fn lock() -> &'static str {
    LOCK
}

/// Makes `.blitz/sdk` what this binary carries. Builds of one plugin at the same time do it one after another.
///
/// # Errors
///
/// What the file system says, with the path.
pub(crate) fn unpack(plugin: &Path) -> io::Result<Unpacked> {
    let private = plugin.join(PRIVATE);
    named(&private, fs::create_dir_all(&private))?;
    let lock = private.join("lock");
    let held = named(&lock, File::create(&lock))?;
    named(&lock, held.lock())?;

    let sdk = directory(plugin);
    let digest = digest();
    let found = fs::read_to_string(sdk.join(DIGEST)).ok();
    if found.as_deref() == Some(&digest) {
        return Ok(Unpacked::Same);
    }
    let new = private.join("sdk.new");
    remove(&new)?;
    for file in SDK {
        write(&new.join(file.path), file.bytes)?;
    }
    // The last file: one that is broken off is no SDK.
    write(&new.join(DIGEST), digest.as_bytes())?;
    let was_there = sdk.exists();
    remove(&sdk)?;
    named(&sdk, fs::rename(&new, &sdk))?;
    write(&private.join(".gitignore"), IGNORED.as_bytes())?;
    Ok(if was_there { Unpacked::Replaced } else { Unpacked::New })
}

/// Writes a file, and the directories that lead to it.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    if let Some(directory) = path.parent() {
        named(directory, fs::create_dir_all(directory))?;
    }
    named(path, fs::write(path, bytes))
}

/// Over the names and contents of all files.
fn digest() -> String {
    let mut all = Vec::new();
    for Carried { path, bytes } in SDK {
        all.extend_from_slice(format!("{path} {}\n", bytes.len()).as_bytes());
        all.extend_from_slice(bytes);
    }
    blitz_jobs::plugin::sha256(&all)
}

fn remove(directory: &Path) -> io::Result<()> {
    match fs::remove_dir_all(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => named(directory, other),
    }
}

fn named<T>(path: &Path, result: io::Result<T>) -> io::Result<T> {
    result.map_err(|e| io::Error::new(e.kind(), format!("{}: {e}", path.display())))
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum as _;

    use super::*;
    use crate::plugin::language::Language;

    #[test]
    fn every_language_has_a_template_and_the_sdk_what_it_needs() {
        for language in Language::value_variants() {
            let paths: Vec<_> = template(language.word()).map(|(path, _)| path).collect();
            for needed in ["plugin.toml", "README.md", ".gitignore"] {
                assert!(paths.contains(&needed), "{language:?} has {needed}: {paths:?}");
            }
        }
        assert!(wit().unwrap().contains("world plugin"));
        for needed in ["Cargo.toml", "plugin/Cargo.toml", "contract/src/lib.rs", "c/blitz.h"] {
            assert!(SDK.iter().any(|file| file.path == needed), "{needed}");
        }
    }

    #[test]
    fn the_workspace_of_the_sdk_has_what_its_members_name() {
        let text = |path: &str| {
            let file = SDK.iter().find(|file| file.path == path).unwrap();
            std::str::from_utf8(file.bytes).unwrap()
        };
        let workspace: toml::Table = text("Cargo.toml").parse().unwrap();
        let workspace = &workspace["workspace"];
        assert_eq!(workspace["dependencies"]["blitz-contract"]["path"].as_str(), Some("contract"));
        assert!(workspace["package"]["version"].is_str());
        assert!(workspace["lints"]["clippy"].is_table());
        for member in workspace["members"].as_array().unwrap() {
            let member: toml::Table =
                text(&format!("{}/Cargo.toml", member.as_str().unwrap())).parse().unwrap();
            for (name, _) in member["dependencies"].as_table().unwrap() {
                assert!(workspace["dependencies"].get(name).is_some(), "{name}");
                assert!(LOCK.contains(&format!("name = \"{name}\"")), "{name} is locked");
            }
        }
        assert!(!LOCK.contains("wasmtime"), "and nothing of the host");
    }

    #[test]
    fn the_bindings_for_c_are_those_of_the_contract() {
        let bindings = SDK.iter().find(|file| file.path == "c/plugin.c").unwrap();
        let bindings = std::str::from_utf8(bindings.bytes).unwrap();
        let mut resolve = wit_parser::Resolve::default();
        resolve.push_source("plugin.wit", wit().unwrap()).unwrap();
        for (_, interface) in resolve.interfaces.iter() {
            let name = interface.name.as_deref().unwrap();
            for function in interface.functions.keys() {
                let import = format!("plugin/{name}@0.1.0\"), __import_name__(\"{function}\")");
                let export = format!("(\"blitz:plugin/{name}@0.1.0#{function}\")");
                assert!(
                    bindings.contains(&import) || bindings.contains(&export),
                    "{name}.{function} is missing: make sdk/c/plugin.[ch] anew, as sdk/c/blitz.h says"
                );
            }
        }
    }

    #[test]
    fn an_old_sdk_is_replaced_and_the_same_is_left_alone() {
        let plugin = tempfile::tempdir().unwrap();
        assert_eq!(unpack(plugin.path()).unwrap(), Unpacked::New);
        let sdk = directory(plugin.path());
        for file in SDK {
            assert_eq!(fs::read(sdk.join(file.path)).unwrap(), file.bytes, "{}", file.path);
        }
        fs::write(sdk.join("left-over"), "x").unwrap();
        assert_eq!(unpack(plugin.path()).unwrap(), Unpacked::Same);
        assert!(sdk.join("left-over").exists());
        fs::write(sdk.join(DIGEST), "another").unwrap();
        assert_eq!(unpack(plugin.path()).unwrap(), Unpacked::Replaced);
        assert!(!sdk.join("left-over").exists());
        let ignored = fs::read_to_string(plugin.path().join(".blitz/.gitignore")).unwrap();
        assert!(ignored.lines().any(|line| line == "*"), "{ignored}");
    }
}
