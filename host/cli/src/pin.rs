//! Which plugin: `NAME`, one version of it as `NAME@VERSION`, or just one file as `NAME@VERSION#SHA256`. Pure.

use std::fmt;
use std::str::FromStr;

/// Hexadecimal digits of a SHA-256.
const DIGEST_DIGITS: usize = 64;

/// A plugin as the user names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pin {
    pub(crate) name: String,
    /// `MAJOR.MINOR.PATCH`
    pub(crate) version: Option<String>,
    /// In lower case. Only with a version.
    pub(crate) sha256: Option<String>,
}

/// A word that has `@` or `#`, and is no pin.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{word}' names no plugin: {what}; the form is NAME, NAME@1.2.3 or NAME@1.2.3#SHA256")]
pub(crate) struct PinError {
    word: String,
    what: &'static str,
}

impl Pin {
    /// Whether a word is meant as a pin, well formed or not.
    pub(crate) fn is_meant(word: &str) -> bool {
        word.contains(['@', '#'])
            && word.starts_with(|c: char| c.is_ascii_alphanumeric())
            && !word.contains(['/', ':'])
    }
}

impl FromStr for Pin {
    type Err = PinError;

    fn from_str(word: &str) -> Result<Self, PinError> {
        let wrong = |what| Err(PinError { word: word.to_owned(), what });
        let (version_word, sha256) = match word.split_once('#') {
            Some((before, digest)) => (before, Some(digest)),
            None => (word, None),
        };
        let (name, version) = match version_word.split_once('@') {
            Some((name, version)) => (name, Some(version)),
            None => (version_word, None),
        };
        if !is_plugin_name(name) {
            return wrong("a name is 1 to 40 of a-z, 0-9 and -, a letter first");
        }
        if version.is_some_and(|version| !is_version(version)) {
            return wrong("a version is three numbers with dots");
        }
        let is_digest = |digest: &str| {
            digest.len() == DIGEST_DIGITS && digest.bytes().all(|b| b.is_ascii_hexdigit())
        };
        if sha256.is_some_and(|digest| !is_digest(digest)) {
            return wrong("a SHA-256 has 64 hexadecimal digits");
        }
        if sha256.is_some() && version.is_none() {
            return wrong("a SHA-256 stands behind a version");
        }
        Ok(Self {
            name: name.to_owned(),
            version: version.map(str::to_owned),
            sha256: sha256.map(str::to_ascii_lowercase),
        })
    }
}

impl fmt::Display for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        if let Some(version) = &self.version {
            write!(f, "@{version}")?;
        }
        match &self.sha256 {
            Some(sha256) => write!(f, "#{sha256}"),
            None => Ok(()),
        }
    }
}

/// Whether a word can name a plugin: the manifest's rule.
pub(crate) fn is_plugin_name(word: &str) -> bool {
    (1..=40).contains(&word.len())
        && word.starts_with(|c: char| c.is_ascii_lowercase())
        && word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

/// The manifest's rule for versions.
fn is_version(word: &str) -> bool {
    let parts: Vec<&str> = word.split('.').collect();
    let is_number =
        |part: &&str| (1..=9).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit());
    parts.len() == 3 && parts.iter().all(is_number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pins_are_read_and_written() {
        let digest = "0123456789abcdef".repeat(4);
        let whole = format!("hops@0.1.0#{digest}");
        for (word, version, sha256) in [
            ("hops", None, None),
            ("hops@0.1.0", Some("0.1.0"), None),
            (whole.as_str(), Some("0.1.0"), Some(digest.as_str())),
        ] {
            let pin: Pin = word.parse().unwrap();
            assert_eq!((pin.version.as_deref(), pin.sha256.as_deref()), (version, sha256));
            assert_eq!(pin.to_string(), word);
        }
        let upper: Pin = format!("hops@0.1.0#{}", digest.to_uppercase()).parse().unwrap();
        assert_eq!(upper.sha256.as_deref(), Some(digest.as_str()));
    }

    #[test]
    fn what_is_wrong_with_a_pin_is_said() {
        let digest = "0".repeat(64);
        for (word, says) in [
            ("Hops@0.1.0", "a name is"),
            ("@0.1.0", "a name is"),
            ("hops@", "a version is three numbers"),
            ("hops@1.2", "a version is three numbers"),
            ("hops@1.2.x", "a version is three numbers"),
            ("hops@1.2.3#", "a SHA-256 has 64"),
            ("hops@1.2.3#abc", "a SHA-256 has 64"),
            (&format!("hops#{digest}"), "a SHA-256 stands behind a version"),
        ] {
            let error = word.parse::<Pin>().unwrap_err().to_string();
            assert!(error.contains(says), "{word}: {error}");
            assert!(
                error.ends_with("the form is NAME, NAME@1.2.3 or NAME@1.2.3#SHA256"),
                "{error}"
            );
        }
    }

    #[test]
    fn a_host_or_a_path_is_not_meant_as_a_pin() {
        for (word, meant) in [
            ("hops@0.1.0", true),
            ("hops#x", true),
            ("hops", false),
            ("./a@b", false),
            ("http://me@x", false),
            ("-x@", false),
        ] {
            assert_eq!(Pin::is_meant(word), meant, "{word}");
        }
    }
}
