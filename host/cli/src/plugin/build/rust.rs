//! Plugins in Rust, with the SDK or without: cargo builds them, and says which file it made.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use crate::plugin::Error;
use crate::plugin::build::tool::{self, Tool};

const TARGET: &str = "wasm32-wasip2";

/// The profile of a plugin whose `Cargo.toml` has none: small, as it is sent to all regions and compiled again by
/// each engine.
const PROFILE: &[(&str, &str)] = &[
    ("CARGO_PROFILE_RELEASE_OPT_LEVEL", "s"),
    ("CARGO_PROFILE_RELEASE_LTO", "true"),
    ("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "1"),
    ("CARGO_PROFILE_RELEASE_STRIP", "true"),
];

/// Where the template's `Cargo.toml` finds the SDK.
const UNPACKED_SDK: &str = ".blitz/sdk/";

/// Whether it is built with the SDK that `blitz` unpacks, and not with one of its own.
pub(crate) fn uses_unpacked_sdk(directory: &Path) -> bool {
    manifest(directory).is_some_and(|text| text.contains(UNPACKED_SDK))
}

/// Builds the component.
///
/// # Errors
///
/// [`Error::Failed`] when a tool is missing or fails, or did not make one file.
pub(crate) fn component(directory: &Path) -> Result<Vec<u8>, Error> {
    let cargo = cargo()?;
    ensure_target(directory)?;
    let made = made_by(&cargo, directory, &["--target", TARGET], |path| {
        path.extension().is_some_and(|extension| extension == "wasm")
    })?;
    read(&made)
}

/// Builds the native library, and gives its bytes.
///
/// # Errors
///
/// As [`component`].
pub(crate) fn library(directory: &Path) -> Result<Vec<u8>, Error> {
    let words = ["--lib", "--features", "blitz-plugin/native"];
    let made = made_by(&cargo()?, directory, &words, |path| {
        path.extension().is_some_and(|extension| extension == std::env::consts::DLL_EXTENSION)
    })?;
    read(&made)
}

fn cargo() -> Result<Tool, Error> {
    let missing =
        "cargo is missing, which builds plugins in Rust: rustup installs it, https://rustup.rs";
    tool::first(vec![(Tool::new("cargo", &[]), "--version")], missing)
}

/// Runs the build, and gives the file that fits.
fn made_by(
    cargo: &Tool,
    directory: &Path,
    words: &[&str],
    fits: impl Fn(&Path) -> bool,
) -> Result<PathBuf, Error> {
    let mut command = cargo.command(directory);
    command
        .args(["build", "--release", "--message-format", "json-render-diagnostics"])
        .args(words)
        .stdout(Stdio::piped());
    if !has_profile(directory) {
        command.envs(PROFILE.iter().copied());
    }
    tool::say("running cargo build");
    let mut child = command.spawn().map_err(|e| Error::Failed(format!("start cargo: {e}")))?;
    let said = child.stdout.take().map(BufReader::new);
    let lines = said.into_iter().flat_map(|said| said.lines().map_while(Result::ok));
    let own = directory.join("Cargo.toml");
    let made: Vec<PathBuf> =
        lines.flat_map(|line| artifacts(&line, &own)).filter(|p| fits(p)).collect();
    let status = child.wait().map_err(|e| Error::Failed(format!("wait for cargo: {e}")))?;
    if !status.success() {
        return Err(Error::Failed(format!(
            "the plugin was not built: cargo build ended with {status}; its messages stand above"
        )));
    }
    match made.as_slice() {
        [one] => Ok(one.clone()),
        [] => Err(Error::Failed(
            "cargo made no plugin: a plugin with the SDK has crate-type = [\"cdylib\"] under [lib] in Cargo.toml, \
             a command has src/main.rs"
                .to_owned(),
        )),
        several => Err(Error::Failed(format!(
            "cargo made {} files, and a plugin is one: keep one [lib] or [[bin]] in Cargo.toml",
            several.len()
        ))),
    }
}

/// The files of one message, when it is about this package.
fn artifacts(line: &str, own: &Path) -> Vec<PathBuf> {
    let Ok(message) = serde_json::from_str::<serde_json::Value>(line) else {
        return Vec::new();
    };
    let is_own = message["reason"] == "compiler-artifact"
        && message["manifest_path"].as_str().is_some_and(|path| same_file(Path::new(path), own));
    let files = message["filenames"].as_array().filter(|_| is_own);
    files.into_iter().flatten().filter_map(|file| Some(PathBuf::from(file.as_str()?))).collect()
}

/// Cargo writes paths with links resolved.
fn same_file(one: &Path, other: &Path) -> bool {
    match (fs::canonicalize(one), fs::canonicalize(other)) {
        (Ok(one), Ok(other)) => one == other,
        _ => one == other,
    }
}

/// The standard library for WASM must be there; cargo's own words for its absence are long.
fn ensure_target(directory: &Path) -> Result<(), Error> {
    let output = Tool::new("rustc", &[])
        .command(directory)
        .args(["--print", "target-libdir", "--target", TARGET])
        .stdout(Stdio::piped())
        .output()
        .map_err(|e| Error::Failed(format!("start rustc: {e}")))?;
    let libraries = String::from_utf8_lossy(&output.stdout);
    match output.status.success() && Path::new(libraries.trim()).is_dir() {
        true => Ok(()),
        false => Err(Error::Failed(format!(
            "this Rust tool chain does not build for {TARGET} yet: run 'rustup target add {TARGET}'"
        ))),
    }
}

fn has_profile(directory: &Path) -> bool {
    let table = manifest(directory).and_then(|text| text.parse::<toml::Table>().ok());
    table.is_some_and(|table| table.get("profile").is_some_and(|p| p.get("release").is_some()))
}

fn manifest(directory: &Path) -> Option<String> {
    fs::read_to_string(directory.join("Cargo.toml")).ok()
}

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    fs::read(path).map_err(|e| Error::Failed(format!("read {}: {e}", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_of_the_plugin_itself_are_taken() {
        let own = Path::new("/nonexistent/mine/Cargo.toml");
        let message = |manifest: &str| {
            format!(
                r#"{{"reason":"compiler-artifact","manifest_path":"{manifest}","filenames":["/t/a.wasm","/t/a.d"]}}"#
            )
        };
        let files = artifacts(&message("/nonexistent/mine/Cargo.toml"), own);
        assert_eq!(files, [Path::new("/t/a.wasm"), Path::new("/t/a.d")]);
        assert!(artifacts(&message("/nonexistent/other/Cargo.toml"), own).is_empty());
        for line in ["", "not json", "{}", r#"{"reason":"build-finished","success":true}"#] {
            assert!(artifacts(line, own).is_empty(), "{line}");
        }
    }
}
