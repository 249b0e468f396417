//! The structure of the workspace, held by tests: dependencies point one way, heavy ones end where they
//! belong, and every file says what it is for.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Which of our crates a crate may use. In the order of a job's road.
const MAY_USE: &[(&str, &[&str])] = &[
    ("blitz-contract", &[]),
    ("blitz-couchdb", &[]),
    ("blitz-embedded", &["blitz-couchdb"]),
    ("blitz-plugin", &["blitz-contract", "blitz-plugin-macro"]),
    ("blitz-plugin-macro", &["blitz-contract"]),
    ("blitz-curl", &["blitz-plugin"]),
    ("blitz-traceroute", &["blitz-plugin"]),
    ("blitz-ping", &["blitz-plugin"]),
    ("blitz-dig", &["blitz-plugin"]),
    ("blitz-mtr", &["blitz-plugin"]),
    ("blitz-rush", &["blitz-plugin"]),
    ("blitz-fixture", &["blitz-plugin"]),
    ("blitz-load", &["blitz-contract"]),
    ("blitz-jobs", &["blitz-contract", "blitz-couchdb"]),
    ("blitz-supply", &[]),
    ("blitz-simulation", &["blitz-contract", "blitz-couchdb", "blitz-jobs"]),
    ("blitz-runtime", &["blitz-contract"]),
    ("blitz-engine", &["blitz-contract", "blitz-couchdb", "blitz-jobs", "blitz-runtime"]),
    ("blitz-gateway", &["blitz-contract", "blitz-couchdb", "blitz-jobs"]),
    ("blitz-report", &["blitz-contract"]),
    ("blitz-boot-core", &["blitz-contract", "blitz-couchdb", "blitz-jobs"]),
    ("blitz-boot", &["blitz-boot-core", "blitz-couchdb", "blitz-jobs"]),
    (
        "blitz",
        &[
            "blitz-contract",
            "blitz-couchdb",
            "blitz-embedded",
            "blitz-engine",
            "blitz-gateway",
            "blitz-jobs",
            "blitz-load",
            "blitz-report",
            "blitz-runtime",
        ],
    ),
];

/// Which crates may use a heavy dependency.
const ENDS_IN: &[(&str, &[&str])] = &[
    ("wasmtime", &["blitz-runtime"]),
    ("wasmtime-wasi", &["blitz-runtime"]),
    ("h2", &["blitz-load"]),
    ("rustls", &["blitz-couchdb", "blitz-load", "blitz-runtime"]),
    ("hickory-proto", &["blitz-runtime"]),
    ("quinn", &["blitz-runtime"]),
    ("hpke", &["blitz-jobs"]),
    ("rusqlite", &["blitz-embedded"]),
    ("rquickjs", &["blitz-embedded"]),
    ("axum", &["blitz-gateway"]),
    ("clap", &["blitz", "blitz-boot"]),
    ("aws-config", &["blitz-boot"]),
    ("aws-credential-types", &["blitz-boot"]),
    ("aws-sdk-ec2", &["blitz-boot"]),
    ("aws-sdk-s3", &["blitz-boot"]),
    ("aws-smithy-http-client", &["blitz-boot"]),
    ("ratatui", &["blitz"]),
    ("wit-bindgen", &["blitz-plugin", "blitz-fixture"]),
];

/// A member of the workspace: its directory and the names of what it depends on (not for tests).
struct Member {
    directory: PathBuf,
    dependencies: Vec<String>,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ is in the workspace").to_owned()
}

fn toml(path: &Path) -> toml::Table {
    let text = fs::read_to_string(path).unwrap_or_else(|e| panic!("read {}: {e}", path.display()));
    text.parse().unwrap_or_else(|e| panic!("parse {}: {e}", path.display()))
}

fn members() -> BTreeMap<String, Member> {
    let workspace = toml(&root().join("Cargo.toml"));
    let paths = workspace["workspace"]["members"].as_array().expect("members are a list").clone();
    paths
        .iter()
        .map(|path| {
            let directory = root().join(path.as_str().expect("a member is a path"));
            let manifest = toml(&directory.join("Cargo.toml"));
            let name = manifest["package"]["name"].as_str().expect("a name").to_owned();
            let mut dependencies: Vec<String> = Vec::new();
            let names = |table: &toml::Value| -> Vec<String> {
                table.as_table().map(|t| t.keys().cloned().collect()).unwrap_or_default()
            };
            dependencies.extend(manifest.get("dependencies").map(names).unwrap_or_default());
            for target in manifest.get("target").and_then(|t| t.as_table()).into_iter().flatten() {
                dependencies.extend(target.1.get("dependencies").map(names).unwrap_or_default());
            }
            (name, Member { directory, dependencies })
        })
        .collect()
}

#[test]
fn dependencies_point_one_way() {
    let allowed: BTreeMap<&str, &[&str]> = MAY_USE.iter().copied().collect();
    for (name, member) in members() {
        if name == "blitz-tests" {
            continue;
        }
        let allowed = allowed
            .get(name.as_str())
            .unwrap_or_else(|| panic!("{name} has no place in tests/it/layers.rs: give it one"));
        let ours = member.dependencies.iter().filter(|d| d.starts_with("blitz"));
        let wrong: Vec<_> = ours.filter(|d| !allowed.contains(&d.as_str())).collect();
        assert!(wrong.is_empty(), "{name} must not use {wrong:?}");
    }
}

#[test]
fn heavy_dependencies_end_where_they_belong() {
    for (name, member) in members() {
        for (heavy, ends_in) in ENDS_IN {
            let uses = member.dependencies.iter().any(|d| d == heavy);
            let may = ends_in.contains(&name.as_str()) || name == "blitz-tests";
            assert!(!uses || may, "{name} must not use {heavy}; only {ends_in:?} may");
        }
    }
}

#[test]
fn every_file_says_what_it_is_for() {
    let mut silent = Vec::new();
    let mut waiting: Vec<PathBuf> = members().into_values().map(|m| m.directory).collect();
    while let Some(directory) = waiting.pop() {
        for entry in fs::read_dir(&directory).expect("a directory of the workspace").flatten() {
            let path = entry.path();
            if path.is_dir() && entry.file_name() != "target" {
                waiting.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).expect("a source file");
                if !text.starts_with("//!") {
                    silent.push(path);
                }
            }
        }
    }
    assert!(silent.is_empty(), "these files do not open with //!: {silent:?}");
}
