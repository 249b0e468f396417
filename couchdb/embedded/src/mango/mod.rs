//! Mango: queries by selector, and the indexes that decide how they are answered.
//!
//! Index definitions are design documents of the language `query`, as in CouchDB, and the choice of
//! an index follows CouchDB's rules, because answers depend on it: which documents are seen (only
//! those that have all fields of the index), in which order they come, and which sorts are refused.
//! No index file is kept. A query reads the documents in the order of their ids, a bounded page at a
//! time, over the range of `_id` that its selector allows; an answer in another order is sorted in
//! memory, of which [`run::SORTED_BYTES_MAX`] is the limit. That is right for the tens of thousands
//! of documents of one machine, and slower than CouchDB beyond.
//!
//! Read in this order: [`query`] (what is asked), [`normal`] (its selector in CouchDB's normal form),
//! [`index`] and [`definition`] (what there is), [`bounds`] and [`plan`] (what is used), [`run`] (the
//! answer), [`explain`] (why). Nothing here knows HTTP. Not here: text search.

pub(crate) mod bookmark;
pub(crate) mod bounds;
pub(crate) mod definition;
pub(crate) mod erlang;
pub(crate) mod error;
pub(crate) mod explain;
pub(crate) mod fields;
pub(crate) mod index;
pub(crate) mod normal;
pub(crate) mod plan;
pub(crate) mod query;
pub(crate) mod run;
