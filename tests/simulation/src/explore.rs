//! Every order of events of a few actors: three engines, a keeper and one job, over a store with one copy that checks
//! exactly, or three that check alone.
//!
//! The actors decide with the core ([`blitz_jobs::run`], [`blitz_jobs::writing`], [`blitz_jobs::start`]) and with nothing
//! else. Read [`config`] (what may happen, and how often), `state` (what is kept), `moves` and `actors` (what can
//! follow), `verdict` (what must hold), `search` (the way through), `words` (a trace); `table`, `few` and `hash` keep states
//! small. [`command`] is the command.

mod actors;
mod alike;
pub mod command;
pub mod config;
mod deed;
mod event;
mod few;
mod hash;
mod moves;
mod numbered;
mod prove;
mod search;
mod state;
mod table;
#[cfg(test)]
mod tests;
mod told;
mod verdict;
mod words;

pub use config::{Bounds, Config};
pub use verdict::Invariant;
