//! Why a plugin could not be loaded or described. How a run ended is [`blitz_contract::Exit`] instead.

use std::path::PathBuf;

use blitz_contract::{ManifestError, Stopped};

use crate::limits::Size;

/// What went wrong before a plugin could run.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// The host cannot run plugins at all.
    #[error("start the plugin runtime: {0}")]
    Start(String),
    /// What the operator gave as a database of networks is none.
    #[error("cannot use the database of networks '{}': {reason}", path.display())]
    Networks {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The bytes are not those that were asked for; fetch them again.
    #[error("the component's sha256 is {found}, not {wanted}")]
    Digest {
        /// What the caller asked for.
        wanted: String,
        /// What the bytes have.
        found: String,
    },
    /// The component is larger than the host compiles.
    #[error("the component has {}, at most {} are compiled", Size(*.bytes), Size(*.bytes_max))]
    TooLarge {
        /// Its size.
        bytes: u64,
        /// The limit.
        bytes_max: u64,
    },
    /// The bytes are not a WASM component that this host compiles.
    #[error("not a WASM component: {0}")]
    NotAComponent(String),
    /// The component asks for imports, or lacks exports, other than those of the contract.
    #[error("not a plugin of contract blitz:plugin@{version}: {0}", version = blitz_contract::CONTRACT_VERSION)]
    Contract(String),
    /// A WASI command that does not say what it is.
    #[error("a WASI command without a manifest: pack it with 'blitz plugin build'")]
    Unpacked,
    /// The manifest in the component's own section is longer than any needs to be.
    #[error("the component's manifest has {bytes} bytes, at most {bytes_max} are read")]
    ManifestTooLarge {
        /// Its length.
        bytes: usize,
        /// The limit.
        bytes_max: usize,
    },
    /// Compiling the component takes more than a compiler may have.
    #[error("compile the component: {0}")]
    CompileLimit(String),
    /// The compiler ended badly, through no limit that it has. It may do better the next time.
    #[error("compile the component: {0}")]
    Compiler(String),
    /// The bytes are not a native library that this host runs, or it runs none.
    #[error("not a native plugin for this engine: {0}")]
    Native(String),
    /// There was no memory for a native library. There may be the next time.
    #[error("keep the native library in memory: {0}")]
    Memory(String),
    /// `describe` did not return.
    #[error("the plugin could not describe itself: {0}")]
    Describe(Stopped),
    /// What `describe` returned is not a manifest.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
}

impl Error {
    /// Whether the same bytes may fare better later: it was the machine that failed, or was busy.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Start(_) | Self::Compiler(_) | Self::Memory(_) => true,
            Self::Describe(stopped) => {
                matches!(stopped, Stopped::Timeout(_) | Stopped::Unusable(_))
            }
            Self::Networks { .. }
            | Self::Digest { .. }
            | Self::TooLarge { .. }
            | Self::NotAComponent(_)
            | Self::Contract(_)
            | Self::Unpacked
            | Self::ManifestTooLarge { .. }
            | Self::CompileLimit(_)
            | Self::Native(_)
            | Self::Manifest(_) => false,
        }
    }
}
