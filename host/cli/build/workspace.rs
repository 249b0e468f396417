//! The workspace that the SDK lives in away from this repository: a `Cargo.toml` and a `Cargo.lock` cut out of
//! ours, so that an author builds with the versions that were tested here.
//!
//! Both files are read as lines and not as TOML, as a build script that compiled a parser would hold up
//! everything else. What does not look as expected is an error of the build.

use std::collections::{BTreeMap, BTreeSet};

/// The packages of the SDK.
const MEMBERS: &[&str] = &["contract", "plugin", "plugin-macro"];
const PACKAGES: &[&str] = &["blitz-contract", "blitz-plugin", "blitz-plugin-macro"];

/// The workspace's `Cargo.toml`: ours, with the dependencies that `members`, the text of their manifests,
/// name, and without its other members.
///
/// # Errors
///
/// One line that names the dependency.
pub(crate) fn manifest(ours: &str, members: &[String]) -> Result<String, String> {
    let mut sections: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let mut section = "";
    for line in ours.lines() {
        if line.starts_with('[') {
            section = line.split(" #").next().unwrap_or(line).trim();
        } else if !line.trim().is_empty() && !line.starts_with('#') {
            sections.entry(section).or_default().push(line);
        }
    }
    let used: BTreeSet<&str> = members.iter().flat_map(|text| used(text)).collect();
    let mut dependencies = Vec::new();
    let declared = sections.get("[workspace.dependencies]").ok_or("no [workspace.dependencies]")?;
    for name in used {
        let line = declared
            .iter()
            .find(|line| line.split('=').next().is_some_and(|key| key.trim() == name))
            .ok_or_else(|| {
                format!("{name} is not in [workspace.dependencies], each on one line")
            })?;
        dependencies.push(line.replace("path = \"sdk/", "path = \""));
    }
    let quoted: Vec<String> = MEMBERS.iter().map(|member| format!("{member:?}")).collect();
    let mut text = format!(
        "# Unpacked by `blitz plugin new` and `blitz plugin build`, which also bring it up to date: changes are lost.\n\
         [workspace]\nresolver = \"3\"\nmembers = [{}]\n\n[workspace.dependencies]\n{}\n",
        quoted.join(", "),
        dependencies.join("\n")
    );
    let kept = |name: &str| name == "[workspace.package]" || name.starts_with("[workspace.lints.");
    for (name, lines) in sections.iter().filter(|(name, _)| kept(name)) {
        text.push_str(&format!("\n{name}\n{}\n", lines.join("\n")));
    }
    Ok(text)
}

/// The names of `NAME.workspace = true` and `NAME = { workspace = true, .. }`, dependencies only.
fn used(member: &str) -> impl Iterator<Item = &str> {
    let mut is_dependencies = false;
    member.lines().filter_map(move |line| {
        if line.starts_with('[') {
            is_dependencies = line.trim_end_matches(']').ends_with("dependencies");
            return None;
        }
        let (key, value) = line.split_once('=')?;
        let key = key.trim();
        let name = match key.strip_suffix(".workspace") {
            Some(name) => name,
            None if value.contains("workspace = true") => key,
            None => return None,
        };
        is_dependencies.then_some(name)
    })
}

/// The packages of our lock file that those of the SDK lead to.
///
/// # Errors
///
/// One line that names the package.
pub(crate) fn lock(ours: &str) -> Result<String, String> {
    let mut parts = ours.split("\n[[package]]\n");
    let head = parts.next().ok_or("Cargo.lock is empty")?;
    let packages: Vec<Package<'_>> = parts.map(Package::read).collect();
    let mut reached: BTreeSet<usize> = BTreeSet::new();
    let mut waiting: Vec<String> = PACKAGES.iter().map(|&name| name.to_owned()).collect();
    while let Some(wanted) = waiting.pop() {
        // `NAME`, or `NAME VERSION` where there are several.
        let mut words = wanted.split(' ');
        let (name, version) = (words.next().unwrap_or_default(), words.next());
        let at = packages
            .iter()
            .position(|p| p.name == name && version.is_none_or(|version| p.version == version))
            .ok_or_else(|| format!("Cargo.lock has no package {wanted}"))?;
        if reached.insert(at) {
            waiting.extend(packages[at].dependencies.iter().map(|&name| name.to_owned()));
        }
    }
    let kept: String = packages
        .iter()
        .enumerate()
        .filter(|(at, _)| reached.contains(at))
        .map(|(_, package)| format!("\n[[package]]\n{}\n", package.text.trim_end()))
        .collect();
    Ok(format!("{}\n{kept}", head.trim_end()))
}

struct Package<'a> {
    text: &'a str,
    name: &'a str,
    version: &'a str,
    dependencies: Vec<&'a str>,
}

impl<'a> Package<'a> {
    fn read(text: &'a str) -> Self {
        let value = |key: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(key));
            line.map_or("", |value| value.trim_matches(['=', ' ', '"']))
        };
        let listed = |line: &'a str| line.strip_prefix(" \"")?.strip_suffix("\",");
        Self {
            text,
            name: value("name "),
            version: value("version "),
            dependencies: text.lines().filter_map(listed).collect(),
        }
    }
}
