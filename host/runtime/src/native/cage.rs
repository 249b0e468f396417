//! Shuts the child in, before any byte of the library is run: limits of the system, no right that could be
//! gained, no capability, no file but those of the loader, no call of the system that a plugin has no use for.

use landlock::{
    ABI, Access as _, AccessFs, AccessNet, CompatLevel, Compatible as _, Ruleset, RulesetAttr as _,
    RulesetCreatedAttr as _, RulesetError, Scope, path_beneath_rules,
};
use rustix::process::Resource;

use super::calls;
use crate::child::rights::{self, RightsError, mapped_bytes};

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
    #[error(transparent)]
    Rights(#[from] RightsError),
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
    let memory = mapped_bytes().saturating_add(BASE_BYTES).saturating_add(bars.memory_bytes);
    rights::give_up(&[
        ("address space", Resource::As, memory),
        ("CPU time", Resource::Cpu, bars.cpu_s.saturating_add(CPU_SLACK_S)),
        ("descriptors", Resource::Nofile, DESCRIPTORS_BASE.saturating_add(u64::from(bars.sockets))),
    ])?;
    let lacks = match files() {
        Ok(()) => None,
        Err(error) if bars.without_landlock => Some(format!("Landlock: {error}")),
        Err(error) => return Err(CageError::Landlock(error)),
    };
    calls::restrict().map_err(CageError::Calls)?;
    Ok(lacks)
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
