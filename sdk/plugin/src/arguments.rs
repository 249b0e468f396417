//! The types of arguments that are more than text and numbers, and how a struct of
//! [`arguments!`](crate::arguments!) is filled.

use std::fmt;
use std::time::Duration;

use blitz_contract::Arguments;

use crate::host::{Host, HostError, read_whole_input};

/// A text that must not be shown. `Debug` and `Display` give `***`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The text itself, for where it is needed.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(***)")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// A file of the user's machine that came with the job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InputFile {
    name: String,
}

impl InputFile {
    /// As the user typed it; `-` is stdin.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The whole content. For a large one, [`Host::read_input`] gives it in pieces.
    ///
    /// # Errors
    ///
    /// As [`Host::read_input`].
    pub fn read(&self, host: &mut dyn Host) -> Result<Vec<u8>, HostError> {
        read_whole_input(host, &self.name)
    }

    /// The whole content as text.
    ///
    /// # Errors
    ///
    /// As [`Host::read_input`], and [`HostError::Failed`] for bytes that are not UTF-8.
    pub fn read_text(&self, host: &mut dyn Host) -> Result<String, HostError> {
        String::from_utf8(self.read(host)?).map_err(|error| {
            let at = error.utf8_error().valid_up_to();
            HostError::Failed(format!("{} is not UTF-8 at byte {at}", self.name))
        })
    }
}

/// A text, or a file whose content is meant: the user typed `@` before its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TextOrInputFile {
    /// As typed.
    Text(String),
    /// `@FILE`.
    File(InputFile),
}

impl TextOrInputFile {
    /// The text's bytes, or the whole content of the file.
    ///
    /// # Errors
    ///
    /// As [`InputFile::read`].
    pub fn read(&self, host: &mut dyn Host) -> Result<Vec<u8>, HostError> {
        match self {
            Self::Text(text) => Ok(text.as_bytes().to_vec()),
            Self::File(file) => file.read(host),
        }
    }

    /// The text, or the whole content of the file as text.
    ///
    /// # Errors
    ///
    /// As [`InputFile::read_text`].
    pub fn read_text(&self, host: &mut dyn Host) -> Result<String, HostError> {
        match self {
            Self::Text(text) => Ok(text.clone()),
            Self::File(file) => file.read_text(host),
        }
    }
}

/// A file that is written on the user's machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutputFile {
    name: String,
}

impl OutputFile {
    /// As the user typed it; `-` is stdout.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Appends; the file is made anew by the run's first write.
    ///
    /// # Errors
    ///
    /// As [`Host::write_output`]; [`HostError::Failed`] when it is stdout, and that is gone.
    pub fn write(&self, host: &mut dyn Host, bytes: &[u8]) -> Result<(), HostError> {
        if self.name != "-" {
            return host.write_output(&self.name, bytes);
        }
        let written = host.stdout().write_all(bytes);
        written.map_err(|error| HostError::Failed(format!("write stdout: {error}")))
    }
}

/// What a checked text of the command line becomes.
#[doc(hidden)]
pub trait Value: Sized {
    fn of(text: &str) -> Option<Self>;
}

impl Value for String {
    fn of(text: &str) -> Option<Self> {
        Some(text.to_owned())
    }
}

impl Value for i64 {
    fn of(text: &str) -> Option<Self> {
        text.parse().ok()
    }
}

impl Value for f64 {
    fn of(text: &str) -> Option<Self> {
        text.parse().ok()
    }
}

impl Value for Duration {
    fn of(text: &str) -> Option<Self> {
        blitz_contract::arguments::duration(text)
    }
}

impl Value for Secret {
    fn of(text: &str) -> Option<Self> {
        Some(Self(text.to_owned()))
    }
}

impl Value for InputFile {
    fn of(text: &str) -> Option<Self> {
        Some(Self { name: text.to_owned() })
    }
}

impl Value for TextOrInputFile {
    fn of(text: &str) -> Option<Self> {
        match text.strip_prefix('@') {
            Some(file) => InputFile::of(file).map(Self::File),
            None => Some(Self::Text(text.to_owned())),
        }
    }
}

impl Value for OutputFile {
    fn of(text: &str) -> Option<Self> {
        Some(Self { name: text.to_owned() })
    }
}

/// Whether a flag was given.
#[doc(hidden)]
#[must_use]
pub fn flag(arguments: &Arguments, name: &str) -> bool {
    arguments.has(name)
}

/// How often a flag was given.
#[doc(hidden)]
#[must_use]
pub fn count(arguments: &Arguments, name: &str) -> u32 {
    u32::try_from(arguments.values(name).count()).unwrap_or(u32::MAX)
}

/// An argument that is required or has a default.
#[doc(hidden)]
#[must_use]
pub fn single<T: Value>(arguments: &Arguments, name: &str) -> T {
    arguments.value(name).map_or_else(|| mismatch(name), |text| checked(name, text))
}

/// An argument that may be left out.
#[doc(hidden)]
#[must_use]
pub fn optional<T: Value>(arguments: &Arguments, name: &str) -> Option<T> {
    arguments.value(name).map(|text| checked(name, text))
}

/// An argument that may be given more than once.
#[doc(hidden)]
#[must_use]
pub fn repeated<T: Value>(arguments: &Arguments, name: &str) -> Vec<T> {
    arguments.values(name).map(|text| checked(name, text)).collect()
}

/// An argument that the user names.
#[doc(hidden)]
#[must_use]
pub fn named<T: Value>(arguments: &Arguments, name: &str) -> Vec<(String, T)> {
    let given = arguments.occurrences().filter(|given| given.name == name);
    given.map(|given| (given.key.to_owned(), checked(name, given.value))).collect()
}

fn checked<T: Value>(name: &str, text: &str) -> T {
    T::of(text).unwrap_or_else(|| mismatch(name))
}

#[cold]
fn mismatch(name: &str) -> ! {
    panic!("the call's {name:?} was parsed with another manifest than this crate's plugin.toml")
}
