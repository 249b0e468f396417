//! Loads plugins and runs them: WASM components in a sandbox, with capabilities lent by the host and a
//! limit on everything.
//!
//! Read in this order. [`Runtime`] verifies and compiles a component once, [`Plugin`] describes and runs
//! it, [`Invocation`] is what one run is given. `engine` holds the settings of wasmtime and the pool that instances
//! come from, `carrier` the kinds of component, `loaded` the plugins in memory, `cache` those on disk; `compile`
//! makes machine code, in a `child` where there is a program for it. `guest` is one instance under its limits, which are in
//! `limits`, `memory`, `meter` and `ticker`, on `threads` of its own; `output` carries what it prints. Then the imports, a file
//! each: `events`, `files`, `control`, `metrics`, `dns`, `web`, `probes`, `networks`, `load`, and what standard libraries call, `wasi_sockets` and
//! `wasi_http`. Behind `web` and `wasi_http` stands `http`, one exchange from the URL to the last byte with an
//! instant for every phase. All connections, of every import, are made by `egress`, which resolves, asks
//! [`TargetPolicy`], waits where `rate` says that it is too fast, and connects; `probes` sends its packets to
//! addresses that were judged there, and `load` lets worker processes connect to such alone, once `proof` has found what
//! shows that their owner agrees. Which import needs which right is in
//! `grants` alone. `native` is the other carrier, a shared library in a caged process, whose imports are the same.
//! [`powers`] says what the machine does not let it do. [`Tape`] is what a run hears from all of them, for a second run.
//!
//! *Invariant:* knows no database, no job and no tenant, and decides nobody's trust: whoever calls
//! [`Runtime::load`] has decided that these bytes may run. wasmtime ends in this crate.

mod runtime;
mod engine;
mod loaded;
mod cache;
mod carrier;
mod compile;
mod child;
mod native;
mod plugin;
mod invocation;
mod guest;
mod job;
mod grants;
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
mod control;
mod metrics;
mod dns;
mod web;
mod probes;
mod networks;
mod load;
mod proof;
mod wasi_sockets;
mod wasi_http;
mod rate;
mod tape;
pub mod powers;
mod http;
mod egress;
mod error;
#[cfg(test)]
mod tests;

pub use child::{CHILD, ChildProgram, ChildWork, child_main, child_main_with};
pub use compile::CompileLimits;
pub use egress::{Endpoint, Rule, RuleError, TargetPolicy};
pub use error::Error;
pub use grants::{capability_of_import, import_in_words};
pub use invocation::Invocation;
pub use limits::{
    CPU_DEFAULT, CPU_MAX, GRACE_MAX, INSTANCES_MAX, MEMORY_DEFAULT_BYTES, MEMORY_MAX_BYTES,
    OUTPUT_DEFAULT_BYTES, OUTPUT_MAX_BYTES, SOCKETS_DEFAULT, SOCKETS_MAX,
};
pub use load::{Alone, LoadCage, LoadCaps, LoadConfig, LoadSetting, Meeting, Meets, Met};
pub use native::NativePolicy;
pub use plugin::Plugin;
pub use proof::{NotProved, Prover};
pub use rate::Rates;
pub use runtime::{Runtime, RuntimeConfig};
pub use tape::{Player, Recorder, Tape};

/// Tapes on disk.
pub mod tapes {
    pub use crate::tape::{Entry, Header, TAPE_MAX_BYTES, TapeError, read, write};
}
