//! A small server of the CouchDB HTTP protocol over SQLite: the default store on one machine.
//!
//! It answers as CouchDB 3.5 does, as recorded from a real one, and 501 to the little that it leaves out, by
//! name. What runs here runs on Apache CouchDB; it has not heard of jobs or plugins.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use blitz_embedded::{Options, Storage, Store, serve};
//!
//! let store = Store::open(Storage::Directory("data".into()), Options::default())?;
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:5984").await?;
//! let stop = tokio_util::sync::CancellationToken::new();
//! serve(store, listener, stop).await?;
//! # Ok(())
//! # }
//! ```
//!
//! # The road of a write
//!
//! A PUT comes in (`http`), becomes a draft (`document`) and an edit (`store::edit`); the one
//! writer applies it with all others that wait, commits once (`store::engine`), then tells the feeds
//! (`feed`) and lets the answer go. A 201 therefore never leaves before its fdatasync.
//!
//! Read in this order:
//!
//! 1. `options`, `error`: what the caller gives and may get.
//! 2. `revision`: revision trees, pure. `document`: JSON in and out. `sequence`: update sequences.
//! 3. `store`: SQLite, the writer, group commit, reading in pages.
//! 4. `feed` and `selector`: how changes reach those who follow. `mango`: queries by selector.
//! 5. `script`: functions of design documents. `view`: indexes of their map functions, and reductions.
//! 6. `http`: the protocol.
//! 7. `replicator`: replication by the server itself.
//!
//! # What is not here
//!
//! Clusters: there is one copy of everything (`n` is 1), so that a cluster's 202 comes only for `?w=2` and in
//! a [`TestMode`]. The crate's README names what else is answered with 501.

mod binding;
mod document;
mod error;
mod feed;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
mod http;
mod mango;
mod options;
mod replicator;
mod revision;
mod script;
mod selector;
mod sequence;
mod stats;
mod store;
mod test_mode;
mod unicode;
mod user;
mod view;

pub use binding::{NotServed, check_listener};
pub use error::OpenError;
pub use http::{BadTokenKey, serve};
pub use options::{
    ATTACHMENT_BYTES_MAX, Admin, DOCUMENT_BYTES_MAX, Options, STALL_TIMEOUT, Storage,
    TokenAlgorithm, TokenKey,
};
pub use store::Store;
pub use test_mode::{TestMode, UnknownTestMode};
