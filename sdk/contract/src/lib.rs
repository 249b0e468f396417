//! The words of the plugin contract in Rust, shared by everyone who touches a plugin: the host that
//! runs it, the command line that reads its arguments, the author who writes it.
//!
//! Read in this order: [`manifest`] says what a plugin is and which arguments it takes, [`Capability`] which rights,
//! [`package`] where it stands in a component, [`table`] how its results become rows, [`arguments`] parses a command
//! line against it, [`secret`] says which texts are shown to nobody, [`frame`] is one piece of output, [`exit`] is how a run ends, [`web`] are the small words of an HTTP
//! exchange, [`dns`] and [`probes`] those of a DNS server and of probes, [`load`] those of a load test. `native` is the contract's form for a shared library. The WIT text of the same contract is in `sdk/wit`.
//!
//! *Invariant:* no I/O, no async, nothing of the host: a guest compiles this crate to WASM.

pub mod manifest;
mod capability;
pub mod package;
pub mod table;
#[cfg(not(target_family = "wasm"))]
pub mod native;
#[cfg(not(target_family = "wasm"))]
mod strict;
pub mod arguments;
pub mod secret;
pub mod frame;
pub mod exit;
pub mod web;
pub mod dns;
pub mod probes;
pub mod load;

pub use arguments::{Arguments, UsageError};
pub use capability::Capability;
pub use exit::{Exit, Stopped};
pub use frame::{Frame, Stream};
pub use manifest::{
    Argument, ArgumentKind, Limits, Manifest, ManifestError, Retry, SecretPart, TargetPart,
};
pub use table::{Column, Table, Unit};

/// The version of the contract that this crate speaks: the version of the WIT package.
pub const CONTRACT_VERSION: &str = "0.1.0";
