//! The files that the binary carries for authors of plugins: the SDK and the templates, as a table of
//! `include_bytes!` in `OUT_DIR/sdk.rs`.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use crate::workspace;

/// What of `sdk/` is carried; a directory with all that is in it.
const SDK: &[&str] = &["README.md", "wit", "contract", "plugin", "plugin-macro", "native", "c"];

/// Of the SDK: made by tools, or for this repository's own tests.
const SDK_LEFT_OUT: &[&str] = &["target", "tests", "proptest-regressions"];

/// Of the templates: made by tools. Their tests are for authors.
const TEMPLATES_LEFT_OUT: &[&str] = &["target", "node_modules"];

/// Writes the table, and tells cargo what it came from.
///
/// # Errors
///
/// One line that names the file.
pub(crate) fn list() -> Result<(), String> {
    let sdk = Path::new(&variable("CARGO_MANIFEST_DIR")?).join("../../sdk");
    let sdk = fs::canonicalize(&sdk).map_err(|e| format!("find {}: {e}", sdk.display()))?;
    let root = sdk.parent().ok_or("sdk/ is not the root of a file system")?;
    let out = PathBuf::from(variable("OUT_DIR")?);

    let mut files = Vec::new();
    for part in SDK {
        walk(&sdk.join(part), SDK_LEFT_OUT, &mut files)?;
    }
    let mut templates = Vec::new();
    walk(&sdk.join("templates"), TEMPLATES_LEFT_OUT, &mut templates)?;

    let (manifest, lock) = (root.join("Cargo.toml"), root.join("Cargo.lock"));
    for made_from in [&manifest, &lock] {
        println!("cargo::rerun-if-changed={}", made_from.display());
    }
    let members: Vec<String> = files
        .iter()
        .filter(|file| file.ends_with("Cargo.toml"))
        .map(|file| read(file))
        .collect::<Result<_, _>>()?;
    let workspace = workspace::manifest(&read(&manifest)?, &members)?;
    write(&out.join("sdk-Cargo.toml"), &workspace)?;
    write(&out.join("sdk-Cargo.lock"), &workspace::lock(&read(&lock)?)?)?;

    let mut text = String::new();
    text.push_str(&table("SDK", &sdk, &files, &[("Cargo.toml", out.join("sdk-Cargo.toml"))])?);
    text.push_str(&table("TEMPLATES", &sdk.join("templates"), &templates, &[])?);
    text.push_str(&format!(
        "/// The versions that the SDK was tested with.\n\
         const LOCK: &str = include_str!({:?});\n",
        out.join("sdk-Cargo.lock")
    ));
    write(&out.join("sdk.rs"), &text)
}

/// All files below, sorted.
fn walk(place: &Path, left_out: &[&str], files: &mut Vec<PathBuf>) -> Result<(), String> {
    println!("cargo::rerun-if-changed={}", place.display());
    if place.is_file() {
        files.push(place.to_owned());
        return Ok(());
    }
    // A part that this version of the SDK does not have.
    if !place.exists() {
        return Ok(());
    }
    let failed = |e: std::io::Error| format!("list {}: {e}", place.display());
    let entries = fs::read_dir(place).map_err(failed)?;
    let mut paths: Vec<PathBuf> =
        entries.map(|e| e.map(|e| e.path())).collect::<Result<_, _>>().map_err(failed)?;
    paths.sort();
    for path in paths {
        let is_left_out = left_out.iter().any(|name| path.ends_with(name));
        if !is_left_out {
            walk(&path, left_out, files)?;
        }
    }
    Ok(())
}

fn table(
    name: &str,
    root: &Path,
    files: &[PathBuf],
    made: &[(&str, PathBuf)],
) -> Result<String, String> {
    let mut rows = Vec::new();
    for file in files {
        let path = file.strip_prefix(root).map_err(|e| format!("{}: {e}", file.display()))?;
        let path = path.to_str().ok_or_else(|| format!("{} is not UTF-8", file.display()))?;
        rows.push((path.to_owned(), file));
    }
    rows.extend(made.iter().map(|(path, file)| ((*path).to_owned(), file)));
    rows.sort();
    let rows: String = rows
        .iter()
        .map(|(path, file)| {
            format!("    Carried {{ path: {path:?}, bytes: include_bytes!({file:?}) }},\n")
        })
        .collect();
    Ok(format!("const {name}: &[Carried] = &[\n{rows}];\n"))
}

fn read(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|e| format!("read {}: {e}", path.display()))
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    fs::write(path, text).map_err(|e| format!("write {}: {e}", path.display()))
}

fn variable(name: &str) -> Result<String, String> {
    env::var(name).map_err(|e| format!("{name} in the environment of a build script: {e}"))
}
