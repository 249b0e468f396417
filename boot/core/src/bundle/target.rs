//! The machines that bundles are for.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::bad::BadBundle;

/// A kind of machine, by the name that Rust gives it. All have the C library of GNU: a static program cannot load native
/// plugins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Target {
    /// AMD and Intel, 64 bits.
    #[serde(rename = "x86_64-unknown-linux-gnu")]
    X86_64,
    /// ARM, 64 bits: Graviton, Ampere, Raspberry Pi.
    #[serde(rename = "aarch64-unknown-linux-gnu")]
    Aarch64,
}

impl Target {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::X86_64, Self::Aarch64];

    /// The name in manifests and keys.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64-unknown-linux-gnu",
            Self::Aarch64 => "aarch64-unknown-linux-gnu",
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Target {
    type Err = BadBundle;

    /// Its name, or what `uname -m` says.
    fn from_str(text: &str) -> Result<Self, BadBundle> {
        let is_it = |target: &Self| {
            let name = target.name();
            name == text || name.split('-').next() == Some(text)
        };
        let unknown = || BadBundle::UnknownTarget(text.chars().take(NAME_SHOWN_CHARS).collect());
        Self::ALL.into_iter().find(is_it).ok_or_else(unknown)
    }
}

/// Characters of a foreign name in a message.
const NAME_SHOWN_CHARS: usize = 64;
