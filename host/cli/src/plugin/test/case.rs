//! The form of a case in `tests/*.toml`; `host/cli/tests/plugin/example.toml` has every field with its meaning.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use blitz_contract::arguments::duration;
use serde::Deserialize;
use serde_json::Value;

use crate::plugin::Error;
use crate::text::without_os_code;

/// The cases of one file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CaseFile {
    /// The comment that the file begins with.
    #[serde(skip)]
    pub(super) head: String,
    #[serde(rename = "case", default)]
    pub(super) cases: Vec<Case>,
}

/// A command line, what it is given, and what it must give.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Case {
    pub(super) name: String,
    #[serde(default)]
    pub(super) args: Vec<String>,
    /// By the name that the arguments give; `-` is stdin.
    #[serde(default)]
    pub(super) inputs: BTreeMap<String, Text>,
    /// A file beside this one.
    #[serde(default)]
    pub(super) tape: Option<String>,
    /// Runs in the world, with the rights that the manifest asks for.
    #[serde(default)]
    pub(super) live: bool,
    #[serde(default)]
    pub(super) timeout: Option<String>,
    #[serde(default)]
    pub(super) exit: u8,
    /// A part of the reason why the host stopped it; `exit` says nothing then.
    #[serde(default)]
    pub(super) stopped: Option<String>,
    #[serde(default)]
    pub(super) stdout: Option<Text>,
    #[serde(default)]
    pub(super) stdout_contains: Vec<String>,
    #[serde(default)]
    pub(super) stderr: Option<Text>,
    #[serde(default)]
    pub(super) stderr_contains: Vec<String>,
    /// By kind; a record is a table, or JSON as a text.
    #[serde(default)]
    pub(super) events: BTreeMap<String, Vec<Value>>,
    /// What it writes on the user's machine, by name.
    #[serde(default)]
    pub(super) files: BTreeMap<String, Text>,
}

/// Bytes: the text, or for others a file beside the case, or their digest.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub(super) enum Text {
    Is(String),
    File { file: String },
    Digest { sha256: String },
}

impl CaseFile {
    pub(super) fn read(path: &Path) -> Result<Self, Error> {
        let wrong = |cause: String| Error::Usage(format!("'{}': {cause}", path.display()));
        let text = std::fs::read_to_string(path)
            .map_err(|error| wrong(without_os_code(&error.to_string())))?;
        let file = Self::parse(&text).map_err(wrong)?;
        Ok(file)
    }

    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut file: Self = toml::from_str(text).map_err(|error| error.to_string())?;
        let is_head = |line: &&str| line.starts_with('#') || line.trim().is_empty();
        let head: Vec<&str> = text.lines().take_while(is_head).collect();
        // A comment right above the first case is that case's.
        let end = head.iter().rposition(|line| line.trim().is_empty()).map_or(0, |at| at + 1);
        file.head = head[..end].iter().map(|line| format!("{line}\n")).collect();
        for case in &file.cases {
            if case.tape.is_some() && case.live {
                return Err(format!("case '{}' has a tape and is live", case.name));
            }
            if case.timeout.is_some() && case.time().is_none() {
                return Err(format!("case '{}': timeout is 500ms, 30s or 5m", case.name));
            }
        }
        Ok(file)
    }
}

impl Case {
    /// One that expects nothing yet.
    pub(super) fn new(name: &str, args: Vec<String>) -> Self {
        Self {
            name: name.to_owned(),
            args,
            inputs: BTreeMap::new(),
            tape: None,
            live: false,
            timeout: None,
            exit: 0,
            stopped: None,
            stdout: None,
            stdout_contains: Vec::new(),
            stderr: None,
            stderr_contains: Vec::new(),
            events: BTreeMap::new(),
            files: BTreeMap::new(),
        }
    }

    pub(super) fn time(&self) -> Option<Duration> {
        duration(self.timeout.as_deref()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documented_example_is_read() {
        let file = CaseFile::parse(include_str!("../../../tests/plugin/example.toml")).unwrap();
        let names: Vec<&str> = file.cases.iter().map(|case| case.name.as_str()).collect();
        assert_eq!(names.first(), Some(&"greets"));
        assert_eq!(names.len(), 5);
        assert!(file.head.starts_with("# Cases of a plugin:") && !file.head.contains("The least"));
        let counts = &file.cases[1];
        assert_eq!(counts.inputs["words.txt"], Text::Is("one\ntwo\n".to_owned()));
        assert_eq!(counts.events["count"], [serde_json::json!({"lines": 2})]);
        assert_eq!(file.cases[3].time(), Some(Duration::from_secs(1)));
    }

    #[test]
    fn mistakes_are_named() {
        for (text, says) in [
            ("[[case]]\nname = \"x\"\nstdoud = \"\"", "unknown field `stdoud`"),
            ("[[case]]\nargs = []", "missing field `name`"),
            ("[[cases]]\nname = \"x\"", "unknown field `cases`"),
            ("[[case]]\nname = \"x\"\ntimeout = \"soon\"", "case 'x': timeout is"),
            (
                "[[case]]\nname = \"x\"\nlive = true\ntape = \"t\"",
                "case 'x' has a tape and is live",
            ),
        ] {
            let error = CaseFile::parse(text).unwrap_err();
            assert!(error.contains(says), "{text}: {error}");
        }
    }
}
