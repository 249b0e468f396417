//! A model of one CouchDB database on a cluster: what it stores and answers, without a network and without time.
//!
//! Every rule is one of Apache CouchDB 3.5, read in its source (`fabric_doc_update`, `fabric_doc_open_revs`,
//! `couch_db_updater`) and measured on a cluster of three nodes: each copy checks alone, a write is asked of all
//! copies at once, *any* copy that takes it keeps it, and a read never says that its quorum was missed.
//!
//! A [`Cluster`] is data. Whoever drives it has the clock and the random source, and says when a message
//! reaches a copy ([`Cluster::send`], [`Cluster::arrive`]) or that all of them do now ([`Cluster::write_now`],
//! [`Cluster::race`]), when a node stops, hangs or is cut off, and when the nodes compare what they have.
//! With one node it is a single server.
//!
//! # The order to read in
//!
//! `revision` names a version; `tree` is what one document went through, known once for all copies; `copy`
//! is which leaves of it one copy has, and its log. `cluster` holds them together: `write` (with `tally`) and `read` are
//! the coordinator of a request, `feed` is `_changes`, `replicate` is what goes to another cluster, `trouble` is what
//! happens to nodes.
//!
//! *Left out:* attachments, views, more than one shard, bodies of tombstones, validation functions, and the
//! forgetting of old revisions where it would be seen.

mod revision;
mod tree;
mod copy;
mod cluster;
mod write;
mod tally;
mod read;
mod feed;
mod replicate;
mod trouble;
#[cfg(test)]
mod single;
#[cfg(test)]
mod races;
#[cfg(test)]
mod troubles;

pub use cluster::{COPIES_MAX, Cluster};
pub use feed::{Change, Changes, Seq};
pub use read::{Leaf, Read, Row};
pub use replicate::Carried;
pub use revision::{BuildMixer, Mixer, Rev};
pub use tally::Answer;
pub use trouble::{
    Decided, HANG_NOTICED, NodeState, QUORUM_TIMEOUT, STALE_MAX, STALE_MIN, SYNC_DELAY,
};
pub use write::{Sent, Write, WriteId};
