//! The protocol of claims, proved without a network: thousands of engines and a keeper, driven by the same core
//! as the real ones, over a model of CouchDB in simulated time.
//!
//! [`couchdb`] is the model of a cluster: revision trees on several copies that check alone, quorums, feeds.
//! [`world`] is time, engines, faults and the verdict; [`explore`] tries every order of events of a few actors;
//! [`herd`] counts what a job costs before a thousand engines where nothing fails. [`random`] is where all of them, and
//! other tests, have their numbers from.
//!
//! *Invariants:* within a world no clock, no thread, no randomness but the seed's: the same seed is the same run. Nothing here
//! decides what the protocol decides.

pub mod couchdb;
pub mod explore;
pub mod herd;
pub mod random;
pub mod world;
