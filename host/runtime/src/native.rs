//! Native plugins: a shared library in a caged child process, one process for each run. Its imports are frames to
//! the same host functions that a component calls, so grants, limits and policy stay in one place.
//!
//! Read in the order of a run. Here a library is taken in; `run` starts a `process`, answers its frames with
//! `serve` and says how it ended; `ask` has the imports that are asked by name. `frame` is what both sides say, `wire`
//! turns the contract's JSON into the imports' types and back. On the other side of the socket, `child` shuts the `cage`
//! (files, limits, and the system's `calls`), loads the library, and lends it the functions of `lend`, each a frame on
//! the `line`.
//!
//! *Invariant:* the engine's own process never maps a byte of a library as code. Linux only: the cage is made of
//! what that kernel has.

mod run;
mod process;
mod serve;
mod ask;
mod wire;
mod frame;
mod elf;
mod child;
mod cage;
mod calls;
mod lend;
mod line;

use std::collections::{HashMap, VecDeque};
use std::fs::File;
use std::io::{self, Seek as _, Write as _};
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use blitz_contract::Manifest;
use bytes::Bytes;
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
use sha2::{Digest as _, Sha256};
use tokio::sync::OnceCell;

pub(crate) use child::{line_of_child, main as child_main};
pub(crate) use process::{Ends, Process};
pub(crate) use run::run;

use crate::child::ChildProgram;
use crate::error::Error;
use crate::limits::COMPONENT_MAX_BYTES;
use crate::plugin::Plugin;
use crate::runtime::Runtime;

/// Whether native plugins run, and in how tight a cage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum NativePolicy {
    /// They run where the whole cage shuts: a kernel without Landlock runs none.
    #[default]
    Refuse,
    /// They run without Landlock, too, with a line in the log: the filter of system calls stays, so that files can
    /// be read and not written.
    Warn,
    /// None runs.
    Off,
}

/// What a runtime keeps for all native plugins.
pub(crate) struct Natives {
    policy: NativePolicy,
    child: Option<ChildProgram>,
    /// Libraries that somebody holds, by digest: callers with the same bytes share one copy.
    libraries: Mutex<Libraries>,
}

#[derive(Default)]
struct Libraries {
    all: HashMap<String, Weak<Library>>,
    /// Those of the latest jobs, the latest at the end: the next job need not fetch them.
    recent: VecDeque<Arc<Library>>,
}

impl Libraries {
    fn use_now(&mut self, library: &Arc<Library>) {
        self.recent.retain(|recent| !Arc::ptr_eq(recent, library));
        if self.recent.len() >= LIBRARIES_RECENT_MAX {
            self.recent.pop_front();
        }
        self.recent.push_back(Arc::clone(library));
        self.all.retain(|_, library| library.strong_count() > 0);
    }
}

/// Libraries that stay in memory while no job runs them: an operator's own tools are few, and small.
const LIBRARIES_RECENT_MAX: usize = 16;

/// A library that was taken in.
pub(crate) struct Library {
    pub(crate) sha256: String,
    pub(crate) manifest: OnceCell<Manifest>,
    /// Memory that nobody can write any more.
    file: OwnedFd,
}

impl Natives {
    pub(crate) fn new(policy: NativePolicy, child: Option<ChildProgram>) -> Self {
        Self { policy, child, libraries: Mutex::default() }
    }

    fn child(&self) -> Result<&ChildProgram, Error> {
        if self.policy == NativePolicy::Off {
            return Err(Error::Native("this engine runs no native plugins".to_owned()));
        }
        self.child.as_ref().ok_or_else(|| {
            Error::Native("this engine has no program for its child processes".to_owned())
        })
    }

    fn keep(
        &self,
        sha256: String,
        bytes: &[u8],
        manifest: Option<Manifest>,
    ) -> io::Result<Arc<Library>> {
        let mut libraries = self.libraries.lock().unwrap_or_else(PoisonError::into_inner);
        // The manifest stands beside the bytes: another one is another plugin.
        if let Some(library) = libraries.all.get(&sha256).and_then(Weak::upgrade)
            && manifest.as_ref() == library.manifest.get()
        {
            libraries.use_now(&library);
            return Ok(library);
        }
        let file = sealed("blitz-plugin", bytes)?;
        let library = Arc::new(Library {
            sha256: sha256.clone(),
            manifest: OnceCell::new_with(manifest),
            file,
        });
        libraries.all.insert(sha256, Arc::downgrade(&library));
        libraries.use_now(&library);
        Ok(library)
    }

    /// The library of this digest, when it is still in memory.
    pub(crate) fn ready(&self, sha256: &str) -> Option<Arc<Library>> {
        let mut libraries = self.libraries.lock().unwrap_or_else(PoisonError::into_inner);
        let library = libraries.all.get(sha256).and_then(Weak::upgrade)?;
        libraries.use_now(&library);
        Some(library)
    }
}

impl Runtime {
    /// Takes in a native library that has this SHA-256 (hex). Nothing of it runs yet.
    ///
    /// `manifest` is what was signed with it; without one, [`Plugin::describe`] asks the library, in the same cage
    /// as a run. Whoever calls this has decided that this library may run: a component can be trusted less.
    ///
    /// # Errors
    ///
    /// [`Error::Digest`], [`Error::TooLarge`], [`Error::Memory`], and [`Error::Native`] for what is no library of this
    /// machine, or where the runtime has no child program or another [`NativePolicy`].
    pub async fn load_native(
        &self,
        library: Bytes,
        sha256: &str,
        manifest: Option<Manifest>,
    ) -> Result<Plugin, Error> {
        let natives = &self.shared.natives;
        natives.child()?;
        let bytes = u64::try_from(library.len()).unwrap_or(u64::MAX);
        if bytes > COMPONENT_MAX_BYTES {
            return Err(Error::TooLarge { bytes, bytes_max: COMPONENT_MAX_BYTES });
        }
        let found: String =
            Sha256::digest(&library).iter().map(|byte| format!("{byte:02x}")).collect();
        if !found.eq_ignore_ascii_case(sha256) {
            return Err(Error::Digest { wanted: sha256.to_owned(), found });
        }
        elf::check(&library, std::env::consts::ARCH).map_err(Error::Native)?;
        let kept =
            natives.keep(found, &library, manifest).map_err(|e| Error::Memory(e.to_string()))?;
        Ok(Plugin::native(Arc::clone(&self.shared), kept))
    }
}

/// A file in memory, read from its start, that can neither be written nor cut.
fn sealed(name: &str, bytes: &[u8]) -> io::Result<OwnedFd> {
    let descriptor = memfd_create(name, MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
    let mut file = File::from(descriptor);
    file.write_all(bytes)?;
    file.rewind()?;
    let seals = SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE | SealFlags::SEAL;
    fcntl_add_seals(&file, seals)?;
    Ok(file.into())
}
