//! The contract with plugins is closed: the text of a version that was published never changes.

use std::fs;
use std::path::{Path, PathBuf};

use blitz_jobs::plugin::sha256;

/// Every version, by the name of its folder in `sdk/wit`, with the hash of all that is in it.
const CLOSED: &[(&str, &str)] =
    &[("blitz-plugin-0.1.0", "bd638ac14cb82991ade78902d22bc5de5902ca34ce9e1f43307ce4f1a2aed505")];

#[test]
fn a_published_version_never_changes() {
    let wit =
        Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").join("sdk/wit");
    let mut folders: Vec<String> = fs::read_dir(&wit)
        .expect("sdk/wit")
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    folders.sort();
    let known: Vec<&str> = CLOSED.iter().map(|(folder, _)| *folder).collect();
    assert_eq!(folders, known, "every folder of sdk/wit has its line in CLOSED, in order");
    for (folder, closed) in CLOSED {
        let found = hash_of(&wit.join(folder));
        assert_eq!(
            found, *closed,
            "sdk/wit/{folder} was changed (it has the hash {found}). A published version never changes: plugins that \
             were built against it are out there. Put the next version into a folder beside it"
        );
    }
}

/// Over the names, lengths and contents of all files, in the order of their names.
fn hash_of(folder: &Path) -> String {
    let mut files = Vec::new();
    let mut waiting = vec![folder.to_owned()];
    while let Some(directory) = waiting.pop() {
        for entry in fs::read_dir(&directory).expect("a folder of the contract").flatten() {
            let path = entry.path();
            if path.is_dir() { waiting.push(path) } else { files.push(path) }
        }
    }
    files.sort();
    let mut all = Vec::new();
    for file in files {
        let name: PathBuf = file.strip_prefix(folder).expect("it is below").to_owned();
        let bytes = fs::read(&file).unwrap_or_else(|e| panic!("read {}: {e}", file.display()));
        all.extend_from_slice(format!("{} {}\n", name.display(), bytes.len()).as_bytes());
        all.extend_from_slice(&bytes);
    }
    sha256(&all)
}
