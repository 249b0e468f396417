//! A loaded plugin: what it says of itself, and how it is run.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use blitz_contract::{Exit, Limits, Manifest, Stopped};
use tokio::sync::{OnceCell, mpsc};
use tokio_util::sync::CancellationToken;
use wasmtime::Store;
use wasmtime::component::Linker;

use crate::cache::Kept;
use crate::carrier::{self, Carrier, Program};
use crate::engine;
use crate::error::Error;
use crate::guest::{self, Allowance, Answer, Call};
use crate::invocation::Invocation;
use crate::job::Job;
use crate::limits::{DESCRIBE_CPU, DESCRIBE_TIME, Effective, MANIFEST_MAX_BYTES, Size};
use crate::load::LoadSetting;
use crate::native::Library;
use crate::runtime::Shared;
use crate::tape::Tape;

/// A component that is compiled, linked and ready, or a native library that was taken in. A clone is the same
/// plugin.
#[derive(Clone)]
pub struct Plugin {
    shared: Arc<Shared>,
    carried: Carried,
}

/// In which form the plugin came.
#[derive(Clone)]
pub(crate) enum Carried {
    Component(Arc<Loaded>),
    Native(Arc<Library>),
}

/// The part that does not know its runtime, so that the runtime can keep it.
pub(crate) struct Loaded {
    sha256: String,
    pub(crate) carrier: Carrier,
    /// From the file's own section; of a component without one, once it has described itself.
    manifest: OnceCell<Manifest>,
    /// What its machine code and data take of the address space.
    pub(crate) code_bytes: usize,
    /// What one instance takes of the pool.
    pub(crate) slots: u32,
}

impl Plugin {
    pub(crate) fn new(shared: Arc<Shared>, loaded: Arc<Loaded>) -> Self {
        Self { shared, carried: Carried::Component(loaded) }
    }

    pub(crate) fn native(shared: Arc<Shared>, library: Arc<Library>) -> Self {
        Self { shared, carried: Carried::Native(library) }
    }

    /// The SHA-256 of the component, as 64 lower-case hex digits.
    #[must_use]
    pub fn sha256(&self) -> &str {
        match &self.carried {
            Carried::Component(loaded) => &loaded.sha256,
            Carried::Native(library) => &library.sha256,
        }
    }

    /// What the plugin says of itself, when that is known without running it: a packed plugin has it in its file.
    #[must_use]
    pub fn manifest(&self) -> Option<&Manifest> {
        match &self.carried {
            Carried::Component(loaded) => loaded.manifest.get(),
            Carried::Native(library) => library.manifest.get(),
        }
    }

    /// What the plugin says of itself: the manifest in its file, else what its `describe` returns. Asked once,
    /// without any grant, input or output, then remembered.
    ///
    /// # Errors
    ///
    /// [`Error::Describe`] when it does not return within 10 s, [`Error::Manifest`] when what it returns
    /// is not a manifest.
    pub async fn describe(&self) -> Result<Manifest, Error> {
        let manifest = match &self.carried {
            Carried::Component(loaded) => &loaded.manifest,
            Carried::Native(library) => &library.manifest,
        };
        let manifest = manifest.get_or_try_init(|| self.ask_manifest()).await?;
        Ok(manifest.clone())
    }

    /// Makes one instance and lets it go, and gives the time that the making took: what comes before the plugin's
    /// own code in each run.
    ///
    /// # Errors
    ///
    /// [`Error::Describe`] when it could not be made.
    pub async fn instantiate(&self) -> Result<Duration, Error> {
        match self.call(Call::Instantiate, Self::nothing()).await.map_err(Error::Describe)? {
            Answer::Instantiated(time) => Ok(time),
            _ => Ok(Duration::ZERO),
        }
    }

    #[cfg(test)]
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        match (&self.carried, &other.carried) {
            (Carried::Component(one), Carried::Component(two)) => Arc::ptr_eq(one, two),
            (Carried::Native(one), Carried::Native(two)) => Arc::ptr_eq(one, two),
            _ => false,
        }
    }

    /// What a plugin may use that does not run yet.
    fn nothing() -> Allowance {
        // The receiver is gone and nothing may be written: output ends the call.
        let (output, _) = mpsc::channel(1);
        Allowance {
            limits: Effective { cpu: DESCRIBE_CPU, ..Effective::of(&Limits::default()) },
            deadline: DESCRIBE_TIME,
            capabilities: Vec::new(),
            inputs: Default::default(),
            output,
            cancel: CancellationToken::new(),
            tape: Tape::Live,
            targets: Vec::new(),
            load: LoadSetting::default(),
        }
    }

    async fn ask_manifest(&self) -> Result<Manifest, Error> {
        let answer = self.call(Call::Describe, Self::nothing()).await;
        match answer.map_err(Error::Describe)? {
            Answer::Described(text) if text.len() <= MANIFEST_MAX_BYTES => {
                Ok(Manifest::from_json(&text)?)
            }
            Answer::Described(text) => Err(Error::Describe(Stopped::Limit(format!(
                "manifest limit {} reached ({} returned)",
                Size(u64::try_from(MANIFEST_MAX_BYTES).unwrap_or(u64::MAX)),
                Size(u64::try_from(text.len()).unwrap_or(u64::MAX))
            )))),
            Answer::Status(status) => Err(Error::Describe(Stopped::Crashed(format!(
                "exited with status {status} instead of returning a manifest"
            )))),
            Answer::Instantiated(_) => {
                Err(Error::Describe(Stopped::Crashed("was not asked".to_owned())))
            }
        }
    }

    /// Runs the plugin once, to its end or to one of its limits. It waits while as many runs as the
    /// runtime allows are under way.
    ///
    /// Dropping the future stops the guest and closes its connections.
    pub async fn run(&self, invocation: Invocation) -> Exit {
        let Invocation {
            args,
            region,
            deadline,
            limits,
            capabilities,
            inputs,
            output,
            cancel,
            tape,
            targets,
            load,
        } = invocation;
        let allowance = Allowance {
            limits: Effective::of(&limits),
            deadline,
            capabilities,
            inputs,
            output,
            cancel,
            tape,
            targets,
            load,
        };
        let call = Call::Run { args, region };
        match self.call(call, allowance).await {
            Ok(Answer::Status(status)) => Exit::Status(status),
            Ok(Answer::Described(_) | Answer::Instantiated(_)) => {
                Exit::Stopped(Stopped::Crashed("run returned no status".to_owned()))
            }
            Err(stopped) => {
                tracing::info!(sha256 = self.sha256(), %stopped, "stopped a plugin");
                Exit::Stopped(stopped)
            }
        }
    }
}

impl Plugin {
    async fn call(&self, call: Call, allowance: Allowance) -> Result<Answer, Stopped> {
        let (shared, carried) = (Arc::clone(&self.shared), self.carried.clone());
        let work = async move { guest::call(&shared, &carried, call, allowance).await };
        let panicked = || Err(Stopped::Crashed("the host failed; see the engine's log".to_owned()));
        self.shared.threads.run(work).await.unwrap_or_else(panicked)
    }
}

impl Loaded {
    /// Links compiled code.
    ///
    /// # Errors
    ///
    /// [`Error::Contract`], [`Error::Manifest`] for a section that is none, and [`Error::Unpacked`].
    pub(crate) fn link(linker: &Linker<Job>, sha256: String, kept: Kept) -> Result<Self, Error> {
        let Kept { component, manifest } = kept;
        let carrier = Carrier::link(linker, &component)?;
        let manifest = match manifest {
            Some(text) if text.len() > MANIFEST_MAX_BYTES => {
                return Err(Error::ManifestTooLarge {
                    bytes: text.len(),
                    bytes_max: MANIFEST_MAX_BYTES,
                });
            }
            Some(text) => OnceCell::new_with(Some(Manifest::from_json(&text)?)),
            None if carrier.is_command() => return Err(Error::Unpacked),
            None => OnceCell::new(),
        };
        let code = component.image_range();
        Ok(Self {
            sha256,
            carrier,
            manifest,
            code_bytes: code.end.addr() - code.start.addr(),
            slots: engine::slots_of(&component),
        })
    }

    /// Why this plugin does not take the arguments of a call, when it is one that cannot say so itself.
    pub(crate) fn usage_error(&self, call: &Call) -> Option<String> {
        match (&self.carrier, call) {
            (Carrier::Command(_), Call::Run { args, .. }) => {
                carrier::usage_error(self.manifest.get()?, args)
            }
            _ => None,
        }
    }

    /// What the plugin finds around it.
    pub(crate) fn program(&self, call: &Call) -> Program {
        match (&self.carrier, call, self.manifest.get()) {
            (Carrier::Command(_), Call::Run { args, region }, Some(manifest)) => {
                Program::new(&manifest.name, args, region)
            }
            _ => Program::default(),
        }
    }

    pub(crate) fn store(&self, job: Job) -> Store<Job> {
        match &self.carrier {
            Carrier::Tool(pre) => guest::store(pre.engine(), job),
            Carrier::Command(pre) => guest::store(pre.engine(), job),
        }
    }
}

impl fmt::Debug for Plugin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plugin").field("sha256", &self.sha256()).finish_non_exhaustive()
    }
}
