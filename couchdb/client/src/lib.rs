//! A typed client of CouchDB over HTTP: documents, revisions, attachments and feeds that resume.
//!
//! It knows the protocol of Apache CouchDB 3 and nothing about what is kept there. What happens often
//! is a value and not an error: a lost revision check is [`Put::Conflict`], a write that fewer copies
//! than asked for have acknowledged is [`Put::Accepted`], a document that is not there is `None`.
//!
//! Deliberately absent: cookies (nobody needs them), and a switch that lets a server's certificate pass
//! unlooked at.
//!
//! # The order to read in
//!
//! [`Client`] and [`Database`] are what a caller holds. Below them one request goes through `exchange`
//! (time-out, limits, what may be repeated), `pool`, `connection` and `tls`; `address` and `bearer` say who asks. What a caller gives and gets is
//! in the files named after it: `document`, `put`, `bulk`, `all_docs`, `view`, `attachment`, `local`,
//! `changes`; what a replicator asks is in `replicate`, what operators ask in `server`. [`Feed`] stands on `lines` and `backoff`, and [`LastingFeed`] on that.
//!
//! ```no_run
//! use blitz_couchdb::{Client, Put, PutOptions};
//!
//! # async fn example() -> Result<(), blitz_couchdb::Error> {
//! let client = Client::new("http://admin:secret@127.0.0.1:5984")?;
//! let notes = client.database("notes");
//! notes.create().await?;
//! let body = serde_json::json!({ "text": "buy milk" });
//! match notes.put("monday", None, &body, PutOptions::default()).await? {
//!     Put::Created(revision) => println!("stored as {revision}"),
//!     Put::Accepted(revision) => println!("stored as {revision} on fewer copies than asked for"),
//!     Put::Conflict => println!("somebody else was first"),
//! }
//! # Ok(())
//! # }
//! ```

mod client;
mod address;
mod bearer;
mod database;
mod document;
mod put;
mod bulk;
mod all_docs;
mod view;
mod attachment;
mod local;
mod changes;
mod replicate;
mod beside;
mod server;
mod date;
mod feed;
mod lasting;
mod lines;
mod backoff;
mod revision;
mod sequence;
mod path;
mod exchange;
mod pool;
mod connection;
mod tls;
mod error;

pub use address::Credentials;
pub use all_docs::{AllDocs, Page, Row};
pub use attachment::NewAttachment;
pub use bearer::Bearer;
pub use bulk::{BulkOutcome, BulkRow};
pub use changes::{Change, ChangesPage, ChangesQuery};
pub use client::{Client, Config, ServerInfo};
pub use database::{Cluster, CreateOptions, Creation, Database, DatabaseInfo, Removal};
pub use document::Document;
pub use error::Error;
pub use feed::{Feed, FeedEvent, FollowOptions};
pub use lasting::LastingFeed;
pub use put::{Put, PutOptions};
pub use replicate::{Fetched, Missing, Refused, Wanted};
pub use revision::{NotARevision, Revision};
pub use sequence::Sequence;
pub use server::{
    Greeting, Membership, REPLICATOR, ReplicationInfo, ReplicationState, Session, USERS, User,
};

#[cfg(test)]
mod script;
