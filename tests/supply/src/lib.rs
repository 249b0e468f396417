//! What blitz is made of, by Cargo's own account: a bill of materials of the packages that it is linked with.
//!
//! What they may be, where from and under which licences, says `.deny.toml`, and cargo-deny holds them to it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use serde::Deserialize;
use serde_json::{Value, json};

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
    checksum: Option<String>,
}

impl Supply {
    /// Asks Cargo.
    ///
    /// # Errors
    ///
    /// Why it does not say.
    pub fn read() -> Result<Self, String> {
        let platform = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
        let asked = metadata(&["--filter-platform", &platform])?;
        let metadata: Metadata = serde_json::from_slice(&asked)
            .map_err(|error| format!("what cargo metadata says cannot be read: {error}"))?;
        let lock = std::fs::read_to_string(root()?.join("Cargo.lock"))
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
        let licence = licence(package.license.as_deref().unwrap_or_default());
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

/// The workspace.
fn root() -> Result<&'static Path, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2);
    root.ok_or_else(|| "tests/supply is not in a workspace".to_owned())
}

/// What Cargo says of the workspace.
fn metadata(more: &[&str]) -> Result<Vec<u8>, String> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let words = ["metadata", "--format-version", "1", "--locked"];
    let asked = Command::new(cargo).args(words).args(more).current_dir(root()?).output();
    let asked = asked.map_err(|error| format!("cannot start cargo metadata: {error}"))?;
    match asked.status.success() {
        true => Ok(asked.stdout),
        false => {
            let said = String::from_utf8_lossy(&asked.stderr);
            Err(format!("cargo metadata ended with {}: {said}", asked.status))
        }
    }
}

fn url(package: &Package) -> String {
    format!("pkg:cargo/{}@{}", package.name, package.version)
}

/// An expression as SPDX wants it: older packages have a slash for OR.
fn licence(expression: &str) -> String {
    let words: Vec<&str> = expression.split('/').map(str::trim).collect();
    words.join(" OR ")
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
    use std::io::Write as _;
    use std::path::PathBuf;

    use super::*;

    /// What is found of this, with our own rules.
    fn denied(cargo_deny: &Path, metadata: &Value) -> String {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("metadata.json");
        std::fs::write(&path, metadata.to_string()).unwrap();
        let mut command = Command::new(cargo_deny);
        command.current_dir(root().unwrap()).args([
            "--offline",
            "--color",
            "never",
            "--metadata-path",
        ]);
        command.arg(path).args(["check", "--deny", "warnings", "bans", "licenses", "sources"]);
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        let errors: String = said
            .lines()
            .filter(|line| line.starts_with("error"))
            .map(|l| format!("{l}\n"))
            .collect();
        assert_eq!(output.status.success(), errors.is_empty(), "{said}");
        errors
    }

    #[test]
    fn packages_come_from_the_registry_once_with_licences_that_we_may_ship() {
        let Some(cargo_deny) = std::env::var_os("BLITZ_TEST_DENY").map(PathBuf::from) else {
            // Not by `eprintln`, which is captured from tests that pass.
            let line = b"SKIPPED: BLITZ_TEST_DENY is not set: eval \"$(.ci/deny)\"\n";
            std::io::stderr().write_all(line).unwrap();
            return;
        };
        let metadata: Value = serde_json::from_slice(&metadata(&[]).unwrap()).unwrap();
        assert_eq!(denied(&cargo_deny, &metadata), "");
        for (field, value, says) in [
            ("license", "AGPL-3.0-only", "error[rejected]"),
            ("name", "native-tls", "error[banned]"),
            ("source", "git+https://example.com/jiff#1", "error[source-not-allowed]"),
        ] {
            let mut metadata = metadata.clone();
            let packages = metadata["packages"].as_array_mut().unwrap();
            let jiff = packages.iter_mut().find(|package| package["name"] == "jiff").unwrap();
            jiff[field] = json!(value);
            let denied = denied(&cargo_deny, &metadata);
            assert!(denied.contains(says), "{field}: {denied}");
        }
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
