//! Views: what the map functions of design documents emitted, kept in the order of their keys.
//!
//! Read in this order: [`check`] (what a design document may be), [`design`] (which views it has),
//! [`collation`] (keys as bytes), [`index`] (rows in a file of their own), [`update`] (from changes to
//! rows), [`range`] (reading rows), [`reduce`] over [`json`], and [`registry`] (which indexes there are).
//!
//! An index is no part of the store: the writer of documents never waits for it, and it can be made
//! again at any time. Nothing here knows HTTP.

pub(crate) mod check;
pub(crate) mod collation;
pub(crate) mod design;
pub(crate) mod index;
pub(crate) mod json;
pub(crate) mod range;
pub(crate) mod reduce;
pub(crate) mod registry;
pub(crate) mod update;
