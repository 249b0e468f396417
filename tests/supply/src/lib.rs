//! What blitz is made of, by Cargo's own account: the packages that it is linked with, where they come from, and under which
//! licences. A bill of materials, and rules that are tests.
//!
//! Not `cargo-deny` and `cargo-cyclonedx`: they are hundreds of crates more for CI to compile, for three rules and one table. Known
//! flaws of packages are not looked up here: their database is on the network.

mod licence;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use serde::Deserialize;
use serde_json::{Value, json};

/// Where packages may come from.
const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// Packages that there is to be no need for, with the reason.
const BANNED: [(&str, &str); 4] = [
    ("openssl-sys", "TLS is rustls with ring, in every part"),
    ("native-tls", "TLS is rustls with ring, in every part"),
    ("aws-lc-sys", "it needs CMake and three times the time of ring"),
    ("async-std", "one runtime is enough"),
];

/// What `cargo metadata` says, as far as it is needed here.
#[derive(Debug, Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    workspace_members: BTreeSet<String>,
    resolve: Resolve,
}

#[derive(Debug, Deserialize)]
struct Package {
    id: String,
    name: String,
    version: String,
    license: Option<String>,
    source: Option<String>,
    manifest_path: String,
}

#[derive(Debug, Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Debug, Deserialize)]
struct Node {
    id: String,
    deps: Vec<Dependency>,
}

#[derive(Debug, Deserialize)]
struct Dependency {
    pkg: String,
    dep_kinds: Vec<Kind>,
}

#[derive(Debug, Deserialize)]
struct Kind {
    /// Absent: linked. Else `build` or `dev`.
    kind: Option<String>,
}

/// All packages of the workspace on this platform, and the lock file.
#[derive(Debug)]
pub struct Supply {
    packages: BTreeMap<String, Package>,
    members: BTreeSet<String>,
    /// What each is linked with.
    links: BTreeMap<String, BTreeSet<String>>,
    locked: Vec<Locked>,
}

/// A package of the lock file, of any platform.
#[derive(Debug, Default)]
struct Locked {
    name: String,
    version: String,
    source: Option<String>,
    checksum: Option<String>,
}

impl Supply {
    /// Asks Cargo.
    ///
    /// # Errors
    ///
    /// Why it does not say.
    pub fn read() -> Result<Self, String> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2);
        let root = root.ok_or("tests/supply is not in a workspace")?;
        let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
        let platform = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
        let words = ["metadata", "--format-version", "1", "--locked", "--filter-platform"];
        let asked = Command::new(cargo).args(words).arg(platform).current_dir(root).output();
        let asked = asked.map_err(|error| format!("cannot start cargo metadata: {error}"))?;
        if !asked.status.success() {
            let said = String::from_utf8_lossy(&asked.stderr);
            return Err(format!("cargo metadata ended with {}: {said}", asked.status));
        }
        let metadata: Metadata = serde_json::from_slice(&asked.stdout)
            .map_err(|error| format!("what cargo metadata says cannot be read: {error}"))?;
        let lock = std::fs::read_to_string(root.join("Cargo.lock"))
            .map_err(|error| format!("cannot read Cargo.lock: {error}"))?;
        let links = metadata.resolve.nodes.into_iter().map(|node| {
            let linked = |kind: &Kind| kind.kind.is_none();
            let deps = node.deps.into_iter().filter(|dep| dep.dep_kinds.iter().any(linked));
            (node.id, deps.map(|dep| dep.pkg).collect())
        });
        Ok(Self {
            links: links.collect(),
            packages: metadata.packages.into_iter().map(|p| (p.id.clone(), p)).collect(),
            members: metadata.workspace_members,
            locked: locked(&lock),
        })
    }

    /// The program, its plugins, and everything that is linked into them.
    fn shipped(&self) -> BTreeSet<&str> {
        let is_shipped = |id: &&String| {
            self.packages.get(*id).is_some_and(|package| !package.manifest_path.contains("/tests/"))
        };
        let mut waiting: Vec<&str> =
            self.members.iter().filter(is_shipped).map(String::as_str).collect();
        let mut shipped = BTreeSet::new();
        while let Some(id) = waiting.pop() {
            if shipped.insert(id) {
                waiting.extend(self.links.get(id).into_iter().flatten().map(String::as_str));
            }
        }
        shipped
    }

    /// What is wrong with where packages come from, and with their licences.
    #[must_use]
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let ours: BTreeSet<&str> = self
            .packages
            .values()
            .filter(|package| package.source.is_none() && self.members.contains(&package.id))
            .map(|package| package.name.as_str())
            .collect();
        for Locked { name, version, source, checksum } in &self.locked {
            match source {
                None if !ours.contains(name.as_str()) => {
                    problems.push(format!("{name} {version} is a path outside of the workspace"));
                }
                None => {}
                Some(source) if source != REGISTRY => {
                    problems.push(format!("{name} {version} comes from {source}"));
                }
                Some(_) if checksum.as_ref().is_none_or(|sum| sum.len() != 64) => {
                    problems.push(format!("{name} {version} has no checksum"));
                }
                Some(_) => {}
            }
            if let Some((_, why)) = BANNED.iter().find(|(banned, _)| banned == name) {
                problems.push(format!("{name} is banned: {why}"));
            }
        }
        for Package { name, version, license, .. } in self.packages.values() {
            match license {
                Some(license) if licence::is_allowed(license) => {}
                Some(license) => problems.push(format!("{name} {version} is under {license:?}")),
                None => problems.push(format!("{name} {version} has no licence")),
            }
        }
        problems
    }

    /// The bill of materials: `CycloneDX` 1.5. The same lock file gives the same text.
    #[must_use]
    pub fn bill(&self) -> Value {
        let shipped = self.shipped();
        let all = || shipped.iter().filter_map(|id| self.packages.get(*id));
        let components: Vec<Value> = all().map(|package| self.component(package)).collect();
        let dependencies: Vec<Value> = all()
            .map(|package| {
                let links = self.links.get(&package.id).into_iter().flatten();
                let on: Vec<String> =
                    links.filter_map(|id| self.packages.get(id)).map(url).collect();
                json!({"ref": url(package), "dependsOn": on})
            })
            .collect();
        let version = all().find(|package| package.name == "blitz").map(|own| own.version.clone());
        json!({
            "bomFormat": "CycloneDX",
            "specVersion": "1.5",
            "version": 1,
            "metadata": {
                "component": {"type": "application", "name": "blitz", "version": version},
            },
            "components": components,
            "dependencies": dependencies,
        })
    }

    fn component(&self, package: &Package) -> Value {
        let url = url(package);
        let licence = licence::normal(package.license.as_deref().unwrap_or_default());
        let mut component = json!({
            "type": "library",
            "bom-ref": url,
            "name": package.name,
            "version": package.version,
            "purl": url,
            "licenses": [{"expression": licence}],
        });
        let is_it =
            |locked: &&Locked| locked.name == package.name && locked.version == package.version;
        if let Some(checksum) = self.locked.iter().find(is_it).and_then(|l| l.checksum.as_ref()) {
            component["hashes"] = json!([{"alg": "SHA-256", "content": checksum}]);
        }
        component
    }
}

fn url(package: &Package) -> String {
    format!("pkg:cargo/{}@{}", package.name, package.version)
}

/// The packages of a lock file, whose lines Cargo alone writes.
fn locked(text: &str) -> Vec<Locked> {
    let blocks = text.split("[[package]]").skip(1);
    let packages = blocks.map(|block| {
        let mut package = Locked::default();
        for line in block.lines() {
            let Some((key, value)) = line.split_once(" = ") else { continue };
            let value = value.trim_matches('"').to_owned();
            match key {
                "name" => package.name = value,
                "version" => package.version = value,
                "source" => package.source = Some(value),
                "checksum" => package.checksum = Some(value),
                _ => {}
            }
        }
        package
    });
    packages.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Packages that are linked in more than one version: each was looked at, and goes when what holds it back is new.
    const TWICE: [&str; 18] = [
        "base64",
        "block-buffer",
        "const-oid",
        "cpufeatures",
        "crypto-common",
        "digest",
        "embedded-io",
        "getrandom",
        "hashbrown",
        "io-lifetimes",
        "sha1",
        "sha2",
        "syn",
        "wasm-encoder",
        "wasm-metadata",
        "wasmparser",
        "wit-component",
        "wit-parser",
    ];

    #[test]
    fn packages_come_from_the_registry_with_licences_that_we_may_ship() {
        let supply = Supply::read().unwrap();
        assert!(supply.locked.len() > 100, "the lock file has {} packages", supply.locked.len());
        let problems = supply.problems();
        assert!(problems.is_empty(), "{} problems:\n{}", problems.len(), problems.join("\n"));
    }

    #[test]
    fn what_must_not_be_there_is_found() {
        let mut supply = Supply::read().unwrap();
        let registry = Some(REGISTRY.to_owned());
        let locked = |name: &str, source: Option<String>, checksum: Option<&str>| Locked {
            name: name.to_owned(),
            version: "1.0.0".to_owned(),
            source,
            checksum: checksum.map(str::to_owned),
        };
        let sum = "0".repeat(64);
        supply.locked.push(locked("fork", Some("git+https://example.com/x".to_owned()), None));
        supply.locked.push(locked("unsummed", registry.clone(), None));
        supply.locked.push(locked("native-tls", registry, Some(&sum)));
        supply.locked.push(locked("beside", None, None));
        let ring = supply.packages.values_mut().find(|package| package.name == "ring").unwrap();
        ring.license = Some("AGPL-3.0".to_owned());
        let problems = supply.problems().join("\n");
        for part in [
            "fork 1.0.0 comes from",
            "unsummed 1.0.0 has no",
            "native-tls is banned",
            "beside",
            "ring",
        ] {
            assert!(problems.contains(part), "{part}: {problems}");
        }
        assert_eq!(problems.lines().count(), 5, "{problems}");
    }

    #[test]
    fn what_is_linked_twice_is_known() {
        let supply = Supply::read().unwrap();
        let mut versions: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for package in supply.shipped().iter().filter_map(|id| supply.packages.get(*id)) {
            versions.entry(&package.name).or_default().insert(&package.version);
        }
        versions.retain(|_, versions| versions.len() > 1);
        let new: Vec<_> = versions.iter().filter(|(name, _)| !TWICE.contains(name)).collect();
        assert!(new.is_empty(), "several versions are linked, look whether one will do: {new:?}");
        let gone: Vec<_> = TWICE.iter().filter(|name| !versions.contains_key(*name)).collect();
        assert!(gone.is_empty(), "one version is linked now, take it from TWICE: {gone:?}");
    }

    #[test]
    fn the_bill_of_materials_names_every_package() {
        let supply = Supply::read().unwrap();
        let bill = supply.bill();
        let components = bill["components"].as_array().unwrap();
        assert_eq!(components.len(), supply.shipped().len());
        let names: BTreeSet<&str> =
            components.iter().filter_map(|component| component["name"].as_str()).collect();
        for name in ["blitz", "blitz-gateway", "wasmtime", "rusqlite", "ring", "blitz-curl"] {
            assert!(names.contains(name), "{name}");
        }
        for name in ["blitz-tests", "blitz-supply", "proptest", "vt100"] {
            assert!(!names.contains(name), "{name} is not shipped");
        }
        let hashed = |component: &&Value| component["hashes"][0]["content"].is_string();
        let ours = |component: &&Value| {
            component["name"].as_str().is_some_and(|name| name.starts_with("blitz"))
        };
        for component in components.iter().filter(|component| !ours(component)) {
            assert!(hashed(&component), "{component}");
        }
        let refs: BTreeSet<&str> =
            components.iter().filter_map(|component| component["bom-ref"].as_str()).collect();
        for dependency in bill["dependencies"].as_array().unwrap() {
            for on in dependency["dependsOn"].as_array().unwrap() {
                assert!(refs.contains(on.as_str().unwrap()), "{on} of {dependency}");
            }
        }
        assert_eq!(supply.bill(), bill, "it is the same each time");
    }
}
