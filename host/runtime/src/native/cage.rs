//! Shuts the child in, before any byte of the library is run: limits of the system, no right that could be
//! gained, no capability, no file but those of the loader, no call of the system that a plugin has no use for.

use std::io;

use landlock::{
    ABI, Access as _, AccessFs, AccessNet, CompatLevel, Compatible as _, Ruleset, RulesetAttr as _,
    RulesetCreatedAttr as _, RulesetError, Scope, path_beneath_rules,
};
use rustix::process::{Resource, Rlimit, setrlimit};
use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities, set_no_new_privs};

use super::calls;

/// Where the loader looks for libraries that a library needs: `ld.so(8)` and Debian's and Fedora's places.
const LIBRARY_PATHS: &[&str] =
    &["/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib", "/etc/ld.so.cache"];

/// Address space beside what the plugin may use: its library with what that needs, and the child's own stack
/// and buffers, of which a frame with its body is the largest.
const BASE_BYTES: u64 = 96 * 1024 * 1024;
/// Descriptors that are no sockets of the plugin: three streams, the line, the library, two on their way, and
/// those of the loader.
const DESCRIPTORS_BASE: u64 = 16;
/// Behind the engine's own watch, which sees hundredths of a second.
const CPU_SLACK_S: u64 = 1;

/// What a child is held to.
#[derive(Debug)]
pub(super) struct Bars {
    pub(super) memory_bytes: u64,
    pub(super) cpu_s: u64,
    pub(super) sockets: u32,
    pub(super) without_landlock: bool,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum CageError {
    #[error("limit its {0}: {1}")]
    Limit(&'static str, io::Error),
    #[error("give its rights up: {0}")]
    Rights(io::Error),
    #[error(
        "hold it off the files: this kernel has no Landlock ({0}); load the module, or let native plugins run \
         without"
    )]
    Landlock(RulesetError),
    #[error("hold it off the system's calls: {0}")]
    Calls(seccompiler::Error),
}

/// Shuts the cage; says what the kernel lacks.
pub(super) fn shut(bars: &Bars) -> Result<Option<String>, CageError> {
    limit(bars)?;
    let rights = |e: rustix::io::Errno| CageError::Rights(e.into());
    set_no_new_privs(true).map_err(rights)?;
    let none = CapabilitySet::empty();
    set_capabilities(None, CapabilitySets { effective: none, permitted: none, inheritable: none })
        .map_err(rights)?;
    let lacks = match files() {
        Ok(()) => None,
        Err(error) if bars.without_landlock => Some(format!("Landlock: {error}")),
        Err(error) => return Err(CageError::Landlock(error)),
    };
    calls::restrict().map_err(CageError::Calls)?;
    Ok(lacks)
}

fn limit(bars: &Bars) -> Result<(), CageError> {
    let memory = mapped_bytes().saturating_add(BASE_BYTES).saturating_add(bars.memory_bytes);
    for (name, resource, limit) in [
        ("address space", Resource::As, memory),
        ("CPU time", Resource::Cpu, bars.cpu_s.saturating_add(CPU_SLACK_S)),
        ("descriptors", Resource::Nofile, DESCRIPTORS_BASE.saturating_add(u64::from(bars.sockets))),
        // Threads are processes, too: a plugin has the one that it runs on.
        ("processes", Resource::Nproc, 0),
        ("core dumps", Resource::Core, 0),
        // Pipes and sockets have no size; everything else that could be written has.
        ("files", Resource::Fsize, 0),
        ("locked memory", Resource::Memlock, 0),
        ("message queues", Resource::Msgqueue, 0),
    ] {
        let both = Rlimit { current: Some(limit), maximum: Some(limit) };
        setrlimit(resource, both).map_err(|e| CageError::Limit(name, e.into()))?;
    }
    Ok(())
}

/// What the child's own program has mapped: the plugin is not charged for it.
fn mapped_bytes() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm")
        .ok()
        .and_then(|statm| statm.split(' ').next()?.parse::<u64>().ok());
    let page = u64::try_from(rustix::param::page_size()).unwrap_or(4096);
    pages.unwrap_or(0).saturating_mul(page)
}

/// Landlock: no file can be opened but for reading and below the loader's paths. The first version of its
/// rights is required; what later kernels can forbid is forbidden where they can, and the filter of calls has it
/// anyway.
fn files() -> Result<(), RulesetError> {
    let status = Ruleset::default()
        .set_compatibility(CompatLevel::HardRequirement)
        .handle_access(AccessFs::from_all(ABI::V1))?
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(ABI::V5))?
        .handle_access(AccessNet::from_all(ABI::V5))?
        .scope(Scope::from_all(ABI::V6))?
        .create()?
        .add_rules(path_beneath_rules(LIBRARY_PATHS, AccessFs::ReadFile))?
        .restrict_self()?;
    debug_assert!(status.no_new_privs, "set before");
    Ok(())
}
