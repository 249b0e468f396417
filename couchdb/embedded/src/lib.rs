//! A small server of the CouchDB HTTP protocol over SQLite: the default store on one machine.
//!
//! It speaks what blitz needs of CouchDB 3.5, as recorded from a real one, and answers 501 to the rest
//! by name. What runs here runs on Apache CouchDB; it has not heard of jobs or plugins.
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
//! (`feed::hub`) and lets the answer go. A 201 therefore never leaves before its fdatasync.
//!
//! Read in this order:
//!
//! 1. `options`, `error`: what the caller gives and may get.
//! 2. `revision`: revision trees, pure. `document`: JSON in and out. `sequence`: update sequences.
//! 3. `store`: SQLite, the writer, group commit, reading in pages.
//! 4. `feed` and `selector`: how changes reach those who follow.
//! 5. `http`: the protocol.
//!
//! # What is not here
//!
//! Design functions (views, filters, validation), Mango queries, replication by the server itself, users
//! and tokens come later, each as its own module beside these. There is one copy of everything (`n` is
//! 1): a cluster's 202 can only be asked for with `?w=2`.

mod document;
mod error;
mod feed;
mod http;
mod options;
mod revision;
mod selector;
mod sequence;
mod stats;
mod store;

pub use error::OpenError;
pub use http::serve;
pub use options::{ATTACHMENT_BYTES_MAX, Admin, DOCUMENT_BYTES_MAX, Options, Storage};
pub use store::Store;
