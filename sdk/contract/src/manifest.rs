//! `plugin.toml`: who a plugin is, what it takes, what it asks for.
//!
//! Written by the author, embedded in the component (`describe`), kept as JSON in the plugin's
//! document: a command line gives help, completion and early errors for a plugin that it has never seen.
//!
//! The JSON may come from a newer version: fields that this one does not know are passed over. In
//! `plugin.toml` they are mistakes, and refused.

use serde::{Deserialize, Serialize};

use crate::capability::Capability;
use crate::table::Table;

/// What a plugin says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Lower-case letters, digits and `-`, 1 to 40 characters, a letter first: the word the user types.
    pub name: String,
    /// `MAJOR.MINOR.PATCH` of the plugin.
    pub version: String,
    /// One line for lists and help.
    pub summary: String,
    /// The contract that it was built for, `MAJOR.MINOR.PATCH`.
    pub contract: String,
    /// How the arguments look in help, behind the name: `[OPTIONS] URL`.
    #[serde(default)]
    pub usage: String,
    /// What it takes, in the order of help.
    #[serde(default)]
    pub arguments: Vec<Argument>,
    /// The grants that it cannot run without.
    #[serde(default)]
    pub capabilities: Vec<Capability>,
    /// Whether a second engine may run the job when the first was lost.
    #[serde(default)]
    pub retry: Retry,
    /// What one run may use, where it differs from the host's own defaults.
    #[serde(default)]
    pub limits: Limits,
    /// How `--table` shows its results; absent where its records are not made for a row.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table: Option<Table>,
    /// What a terminal draws while a job runs, anew with each record of this kind; absent for a command that only
    /// prints.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub live: Option<Table>,
    /// On a terminal the outputs of several regions stand side by side, line beside line.
    #[serde(default, skip_serializing_if = "is_false")]
    pub side_by_side: bool,
}

/// One declared option or positional argument.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Argument {
    /// The long name without dashes (`max-time`); for a positional argument its word in help (`URL`).
    pub name: String,
    /// The one-letter form without its dash. `r` is reserved for regions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub short: Option<char>,
    /// What the value is.
    #[serde(default)]
    pub kind: ArgumentKind,
    /// Which part of the value is secret, where it is not all of it ([`ArgumentKind::Secret`]). A URL's userinfo is without
    /// being declared. Readers of before this field pass it over, and show the value as any text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<SecretPart>,
    /// Which part of a text says where the command goes: a URL or a host. One of kind `url` or `host` says it without being
    /// declared. Gateways hold it against their lists and count what each host gets; readers of before this field do not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<TargetPart>,
    /// True for an argument without dashes.
    #[serde(default, skip_serializing_if = "is_false")]
    pub positional: bool,
    /// May be given more than once.
    #[serde(default, skip_serializing_if = "is_false")]
    pub repeated: bool,
    /// The user gives it a name, and its value behind that: `-v:NAME VALUE`, `--variable:NAME VALUE`.
    #[serde(default, skip_serializing_if = "is_false")]
    pub named: bool,
    /// Must be given.
    #[serde(default, skip_serializing_if = "is_false")]
    pub required: bool,
    /// The value's word in help (`SECONDS`); empty takes the kind's.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub value: String,
    /// What a plugin takes when the user gives none; shown in help. It names no file: only `-` stands for one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<String>,
    /// The only values that are taken; empty takes any. For text, numbers, durations, URLs and hosts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub choices: Vec<String>,
    /// One line for help.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub help: String,
}

/// What a value is, so that a client can check it, complete it and move files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ArgumentKind {
    /// No value: present or not.
    Flag,
    /// A decimal number.
    Number,
    /// A whole number, -2^63 to 2^63 - 1.
    Integer,
    /// A number with a unit (`500ms`, `2s`, `1m`) or bare seconds.
    Duration,
    /// An absolute URL, or a host with an optional path.
    Url,
    /// A host name or address.
    Host,
    /// Text that must not be shown: lists, reports and documents have `***` in its place, and engines of the job's
    /// region alone can open what was sealed to their key.
    Secret,
    /// A file of the user's machine that is sent along; `-` is stdin.
    InputFile,
    /// Text, unless it begins with `@`: then the rest names an input file (`@-` is stdin).
    TextOrInputFile,
    /// `NAME=VALUE`, `NAME=@FILE` or `NAME=<FILE`, with curl's `;type=` suffixes.
    Form,
    /// A file that is written on the user's machine; `-` is stdout.
    OutputFile,
    /// Any text. In JSON also a kind of a newer version: the plugin itself checks the value then.
    // The last one: serde wants it there.
    #[default]
    #[serde(other)]
    Text,
}

/// Which part of a value is secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SecretPart {
    /// Of `Name: value` the value, where the name is one of those that log somebody in ([`crate::secret`]).
    Header,
    /// Of a URL what stands before the `@`. For a URL that is a text, as its plugin has its own words for what is none.
    Userinfo,
    /// All of it. In JSON also a part of a newer version, which this one could not find.
    // The last one: serde wants it there.
    #[serde(other)]
    Whole,
}

/// Which part of a text says where a command goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TargetPart {
    /// What follows an `@` at its begin, as `dig` names a server; a text without one says nothing.
    AfterAt,
    /// All of it. In JSON also a part of a newer version, which this one could not find.
    // The last one: serde wants it there.
    #[serde(other)]
    Whole,
}

impl TargetPart {
    fn of(self, text: &str) -> Option<&str> {
        match self {
            Self::AfterAt => text.strip_prefix('@'),
            Self::Whole => Some(text),
        }
    }
}

impl Argument {
    /// Where a value of it says that the command goes, if it says so.
    #[must_use]
    pub fn target_in<'a>(&self, value: &'a str) -> Option<&'a str> {
        match self.kind {
            ArgumentKind::Url | ArgumentKind::Host => Some(value),
            _ => self.target?.of(value),
        }
    }
}

/// Whether a job may be run again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Retry {
    /// A second run is harmless: another engine takes over.
    Safe,
    /// Never twice: a job whose engine is lost ends as lost. The default, as it needs no thought.
    #[default]
    Never,
}

/// What one run may use; absent means the host's default. The host lowers what is above its own maximum.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Limits {
    /// Linear memory of the plugin, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
    /// All streams together, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_bytes: Option<u64>,
    /// Time that the plugin itself computes, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_ms: Option<u64>,
    /// Sockets and connections open at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sockets: Option<u32>,
    /// How many of an engine's slots a run takes: 1, or more for what loads a machine. An engine that has fewer
    /// gives all it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slots: Option<u32>,
    /// What a plugin has for its last words once its job was asked to end, in milliseconds; none is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grace_ms: Option<u64>,
}

impl Limits {
    /// Refuses a limit with which no run could do anything. Without a grace a run has no last words, and that is all.
    #[cfg(not(target_family = "wasm"))]
    fn check(&self) -> Result<(), ManifestError> {
        let zero = [
            ("memory_bytes", self.memory_bytes),
            ("output_bytes", self.output_bytes),
            ("cpu_ms", self.cpu_ms),
            ("sockets", self.sockets.map(u64::from)),
            ("slots", self.slots.map(u64::from)),
        ]
        .into_iter()
        .find(|(_, asked)| *asked == Some(0));
        zero.map_or(Ok(()), |(name, _)| {
            Err(ManifestError::Rule {
                field: format!("limits.{name}"),
                rule: "1 or more, or left out for the default",
                found: "0".to_owned(),
            })
        })
    }
}

/// What is wrong with a manifest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// Not TOML or JSON of the declared shape.
    #[error("read the manifest: {0}")]
    Syntax(String),
    /// A field breaks a rule of its documentation.
    #[error("manifest field {field}: {rule}, not {found:?}")]
    Rule {
        /// The field's path.
        field: String,
        /// What is allowed.
        rule: &'static str,
        /// What stands there.
        found: String,
    },
}

impl Manifest {
    /// Reads and checks `plugin.toml`. Not in a guest, whose manifest is JSON before it is compiled.
    ///
    /// # Errors
    ///
    /// [`ManifestError`] names the line or the field.
    #[cfg(not(target_family = "wasm"))]
    pub fn from_toml(text: &str) -> Result<Self, ManifestError> {
        let table: toml::Table =
            toml::from_str(text).map_err(|e| ManifestError::Syntax(e.to_string()))?;
        crate::strict::check(&table).map_err(ManifestError::Syntax)?;
        // From the text again: its errors name the line.
        let manifest: Self =
            toml::from_str(text).map_err(|e| ManifestError::Syntax(e.to_string()))?;
        manifest.check()?;
        manifest.limits.check()?;
        for (name, table) in [("table", &manifest.table), ("live", &manifest.live)] {
            table.as_ref().map_or(Ok(()), |table| table.check(name))?;
        }
        Ok(manifest)
    }

    /// Reads and checks the JSON that `describe` gives and documents hold. Fields of a newer version are
    /// passed over.
    ///
    /// # Errors
    ///
    /// [`ManifestError`] names the place or the field.
    pub fn from_json(text: &str) -> Result<Self, ManifestError> {
        let manifest: Self =
            serde_json::from_str(text).map_err(|e| ManifestError::Syntax(e.to_string()))?;
        manifest.check()?;
        Ok(manifest)
    }

    /// Checks the rules that the types alone do not hold.
    ///
    /// # Errors
    ///
    /// [`ManifestError::Rule`] for the first field that breaks one.
    pub fn check(&self) -> Result<(), ManifestError> {
        let rule = |field: &str, rule, found: &str| {
            Err(ManifestError::Rule { field: field.to_owned(), rule, found: found.to_owned() })
        };
        if !is_name(&self.name) {
            return rule("name", "1 to 40 of a-z, 0-9 and -, a letter first", &self.name);
        }
        if !is_version(&self.version) {
            return rule("version", "MAJOR.MINOR.PATCH", &self.version);
        }
        if !is_version(&self.contract) {
            return rule("contract", "MAJOR.MINOR.PATCH", &self.contract);
        }
        crate::arguments::rules::check(&self.arguments)
    }
}

fn is_name(name: &str) -> bool {
    (1..=40).contains(&name.len())
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

fn is_version(version: &str) -> bool {
    let parts: Vec<&str> = version.split('.').collect();
    // One spelling of each number, for two of them would be two versions that nobody can tell apart: `01`, `+1`.
    let is_number = |part: &&str| {
        part.bytes().all(|b| b.is_ascii_digit())
            && (1..=9).contains(&part.len())
            && (*part == "0" || !part.starts_with('0'))
    };
    parts.len() == 3 && parts.iter().all(is_number)
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
fn is_false(value: &bool) -> bool {
    !value
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLUGIN: &str = r#"
        name = "demo"
        version = "0.1.0"
        summary = "for tests"
        contract = "0.1.0"
        capabilities = ["web"]
        limits = { cpu_ms = 5 }
        [[arguments]]
        name = "count"
        kind = "number"
    "#;

    #[test]
    fn a_mistake_in_plugin_toml_is_named() {
        assert_eq!(Manifest::from_toml(PLUGIN).unwrap().limits.cpu_ms, Some(5));
        for (right, wrong, says) in [
            ("summary", "sumary", "unknown field sumary: \"sumary\" is none of name, version,"),
            ("cpu_ms", "cpu_s", "unknown field limits.cpu_s: \"cpu_s\" is none of memory_bytes,"),
            ("kind", "kid", "unknown field arguments.count.kid: \"kid\" is none of name, short,"),
            ("number", "nubmer", "unknown kind of arguments.count: \"nubmer\" is none of flag,"),
            (
                "\"web\"",
                "\"wep\"",
                "unknown capability: \"wep\" is none of web, sockets, dns, probes",
            ),
            ("0.1.0", "0.1", "manifest field version: MAJOR.MINOR.PATCH, not \"0.1\""),
            ("0.1.0", "0.01.0", "manifest field version: MAJOR.MINOR.PATCH, not \"0.01.0\""),
            ("0.1.0", "0.+1.0", "manifest field version: MAJOR.MINOR.PATCH, not \"0.+1.0\""),
        ] {
            let error = Manifest::from_toml(&PLUGIN.replacen(right, wrong, 1)).unwrap_err();
            assert!(error.to_string().contains(says), "{error}");
        }
    }

    #[test]
    fn a_limit_of_nothing_is_a_mistake() {
        for name in ["memory_bytes", "output_bytes", "cpu_ms", "sockets"] {
            let toml = PLUGIN.replace("cpu_ms = 5", &format!("{name} = 0"));
            assert_eq!(
                Manifest::from_toml(&toml).unwrap_err().to_string(),
                format!(
                    "manifest field limits.{name}: 1 or more, or left out for the default, not \"0\""
                )
            );
        }
        assert!(Manifest::from_toml(&PLUGIN.replace("cpu_ms = 5", "grace_ms = 0")).is_ok());
        let json = r#"{"name":"demo","version":"2.0.0","summary":"s","contract":"0.2.0","limits":{"cpu_ms":0}}"#;
        assert!(Manifest::from_json(json).is_ok(), "what was published is read");
    }

    #[test]
    fn json_of_a_newer_version_is_read() {
        let newer = r#"{"name":"demo","version":"2.0.0","summary":"for tests","contract":"0.2.0",
            "homepage":"https://x","limits":{"cpu_ms":5,"sockets":9},
            "arguments":[{"name":"where","kind":"coordinates","since":"2.0.0"}]}"#;
        let read = Manifest::from_json(newer).unwrap();
        assert_eq!(read, serde_json::from_str(newer).unwrap(), "and so inside documents");
        assert_eq!(read.limits.cpu_ms, Some(5));
        assert_eq!(read.arguments[0].kind, ArgumentKind::Text);
    }

    #[test]
    fn every_kind_survives_json() {
        for kind in ["flag", "text", "number", "duration", "url", "host", "secret", "form"] {
            let json = format!("{kind:?}");
            let kind: ArgumentKind = serde_json::from_str(&json).unwrap();
            assert_eq!(serde_json::to_string(&kind).unwrap(), json);
        }
    }
}
