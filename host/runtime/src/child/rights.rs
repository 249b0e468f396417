//! What every caged child gives up, whatever its work is: limits of the system, rights that could be gained, and
//! capabilities. What else a cage is made of, files and calls, is its own.

use std::io;

use rustix::process::{Resource, Rlimit, setrlimit};
use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities, set_no_new_privs};

#[derive(Debug, thiserror::Error)]
pub(crate) enum RightsError {
    #[error("limit its {0}: {1}")]
    Limit(&'static str, io::Error),
    #[error("give its rights up: {0}")]
    Rights(io::Error),
}

/// What no child has any use for.
const NONE_OF: [(&str, Resource, u64); 5] = [
    // Threads are processes, too: a child has the one that it runs on.
    ("processes", Resource::Nproc, 0),
    ("core dumps", Resource::Core, 0),
    // Pipes and sockets have no size; everything else that could be written has.
    ("files", Resource::Fsize, 0),
    ("locked memory", Resource::Memlock, 0),
    ("message queues", Resource::Msgqueue, 0),
];

/// Limits the child: `own` first, each with its name for errors, and then what none has. Takes its rights away.
pub(crate) fn give_up(own: &[(&'static str, Resource, u64)]) -> Result<(), RightsError> {
    for (name, resource, limit) in own.iter().chain(&NONE_OF) {
        let both = Rlimit { current: Some(*limit), maximum: Some(*limit) };
        setrlimit(*resource, both).map_err(|e| RightsError::Limit(name, e.into()))?;
    }
    let rights = |e: rustix::io::Errno| RightsError::Rights(e.into());
    set_no_new_privs(true).map_err(rights)?;
    let none = CapabilitySet::empty();
    set_capabilities(None, CapabilitySets { effective: none, permitted: none, inheritable: none })
        .map_err(rights)
}

/// What the child's own program has mapped: its work is not charged for it.
pub(crate) fn mapped_bytes() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm")
        .ok()
        .and_then(|statm| statm.split(' ').next()?.parse::<u64>().ok());
    let page = u64::try_from(rustix::param::page_size()).unwrap_or(4096);
    pages.unwrap_or(0).saturating_mul(page)
}
