//! Loads plugins and runs them: WASM components in a sandbox, with capabilities lent by the host and a
//! limit on everything.
//!
//! Read in this order. [`Runtime`] verifies and compiles a component once, [`Plugin`] describes and runs
//! it, [`Invocation`] is what one run is given. `guest` is one instance under its limits, which are in
//! `limits`, `memory`, `meter` and `ticker`, on `threads` of its own; `output` carries what it prints. Then the imports, a file
//! each: `events`, `files`, `web`. Behind `web` stands `http`, one exchange from the URL to the last
//! byte with an instant for every phase. All connections, of every import, are made by `egress`, which
//! resolves, asks [`TargetPolicy`] and connects.
//!
//! *Invariant:* knows no database, no job and no tenant, and decides nobody's trust: whoever calls
//! [`Runtime::load`] has decided that these bytes may run. wasmtime ends in this crate.

mod runtime;
mod cache;
mod plugin;
mod invocation;
mod guest;
mod job;
mod doing;
mod limits;
mod memory;
mod meter;
mod ticker;
mod threads;
mod output;
mod bindings;
mod events;
mod files;
mod web;
mod http;
mod egress;
mod error;
#[cfg(test)]
mod tests;

pub use egress::{Endpoint, Rule, RuleError, TargetPolicy};
pub use error::Error;
pub use invocation::Invocation;
pub use limits::{
    CPU_DEFAULT, CPU_MAX, INSTANCES_MAX, MEMORY_DEFAULT_BYTES, MEMORY_MAX_BYTES,
    OUTPUT_DEFAULT_BYTES, OUTPUT_MAX_BYTES,
};
pub use plugin::Plugin;
pub use runtime::{Runtime, RuntimeConfig};
