//! Why a plugin could not be loaded or described. How a run ended is [`blitz_contract::Exit`] instead.

use blitz_contract::{ManifestError, Stopped};

use crate::limits::Size;

/// What went wrong before a plugin could run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The host cannot run plugins at all.
    #[error("start the plugin runtime: {0}")]
    Start(String),
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
    /// `describe` did not return.
    #[error("the plugin could not describe itself: {0}")]
    Describe(Stopped),
    /// What `describe` returned is not a manifest.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
}
