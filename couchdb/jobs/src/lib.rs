//! What blitz keeps in CouchDB: the documents of a job, their states, and who may write which.
//!
//! Read along a job's road: [`id`] names a job and its documents; [`region`] says which databases a region
//! has; [`spec`] is what was asked; [`run`] is the one document that engines contend for, a pure state
//! machine; [`feed`] brings what happens to those who contend; [`contest`] is one engine's side of it, pure; [`claim`] writes its steps; [`output`] turns frames into numbered chunks; [`follow`] puts chunks
//! back in order for a reader; [`keeper`] ends what no engine can. [`engine`] and [`plugin`] are the
//! documents of engines and plugins, [`setup`] creates the databases, [`read`] survives foreign documents, [`timing`] has every duration of the
//! protocol with its reason.
//!
//! *Invariants:* whatever decides is pure ([`run`], [`contest`], [`follow`], [`keeper`], the batching of [`output`]):
//! events, time and randomness are passed in. I/O goes through `blitz-couchdb` only. The plugin runtime and
//! HTTP are not known here.

pub mod id;
pub mod region;
pub mod spec;
pub mod run;
pub mod feed;
mod early;
pub mod contest;
pub mod claim;
pub mod output;
pub mod follow;
pub mod keeper;
pub mod engine;
pub mod plugin;
pub mod setup;
pub mod read;
pub mod timing;

pub use id::{DocumentId, Incarnation, JobId, Position};
pub use run::{Claim, End, Run};
pub use spec::Spec;

/// The version of blitz that wrote a document; every document carries it as `blitz`.
pub const BUILD: &str = env!("CARGO_PKG_VERSION");
