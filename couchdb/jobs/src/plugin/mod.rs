//! Plugins in the control database: what a publisher signs, how it is stored, and what takes it back.
//!
//! Read in this order. [`signature`] has keys and the statement that a publisher signs; [`document`] is
//! `plugin:<name>:<version>`, with the file beside it as an attachment; [`release`] is what a publisher sends,
//! and the checks that need nothing but its bytes; [`contract`] says which contract this build speaks; [`publish`](publish()) and [`create`] write the document;
//! [`marks`] are the documents that take a version back or let all regions have it; [`versions`] chooses among
//! versions. Replication brings all of it to every region.
//!
//! *Invariant:* nothing here decides whom to believe. That a signature fits its key is a fact and is checked
//! here; which keys an engine trusts is the engine's own configuration, never a document.

pub mod contract;
pub mod document;
pub mod marks;
pub mod publish;
pub mod release;
pub mod signature;
pub mod versions;

pub use contract::{UnspokenContract, check_contract};
pub use document::{Carrier, PluginDocument, PluginKind, sha256, version_order};
pub use marks::{Mark, mark};
pub use publish::{Created, PublishError, create, publish};
pub use release::{Release, ReleaseError};
pub use signature::{BadKey, BadSignature, PublicKey, Signature, SigningKey, Statement};
pub use versions::Versions;

/// The name of the attachment that holds the file: a component, or a native library. One name for both, so
/// that whoever fetches it need not know which.
pub const COMPONENT: &str = "component.wasm";

/// The largest file of a plugin, in bytes: what the runtime loads, the embedded store keeps as one attachment
/// and the client reads as one answer. A Python component has 18 MiB.
pub const FILE_BYTES_MAX: usize = 64 << 20;
