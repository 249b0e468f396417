//! A loaded plugin: what it says of itself, and how it is run.

use std::fmt;
use std::sync::Arc;

use blitz_contract::{Exit, Limits, Manifest, Stopped};
use tokio::sync::{OnceCell, mpsc};
use tokio_util::sync::CancellationToken;
use wasmtime::Store;

use crate::bindings::PluginPre;
use crate::error::Error;
use crate::guest::{self, Allowance, Answer, Call};
use crate::invocation::Invocation;
use crate::job::Job;
use crate::limits::{DESCRIBE_CPU, DESCRIBE_TIME, Effective, MANIFEST_MAX_BYTES, Size};
use crate::runtime::Shared;

/// A component that is compiled, linked and ready. A clone is the same plugin.
#[derive(Clone)]
pub struct Plugin {
    shared: Arc<Shared>,
    loaded: Arc<Loaded>,
}

/// The part that does not know its runtime, so that the runtime can keep it.
pub(crate) struct Loaded {
    sha256: String,
    pub(crate) pre: PluginPre<Job>,
    manifest: OnceCell<Manifest>,
}

impl Plugin {
    pub(crate) fn new(shared: Arc<Shared>, loaded: Arc<Loaded>) -> Self {
        Self { shared, loaded }
    }

    /// The SHA-256 of the component, as 64 lower-case hex digits.
    #[must_use]
    pub fn sha256(&self) -> &str {
        &self.loaded.sha256
    }

    /// What the plugin says of itself. Asked once, without any grant, input or output, then remembered.
    ///
    /// # Errors
    ///
    /// [`Error::Describe`] when it does not return within 10 s, [`Error::Manifest`] when what it returns
    /// is not a manifest.
    pub async fn describe(&self) -> Result<Manifest, Error> {
        let manifest = self.loaded.manifest.get_or_try_init(|| self.ask_manifest()).await?;
        Ok(manifest.clone())
    }

    #[cfg(test)]
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.loaded, &other.loaded)
    }

    async fn ask_manifest(&self) -> Result<Manifest, Error> {
        // The receiver is gone and nothing may be written: output ends the call.
        let (output, _) = mpsc::channel(1);
        let allowance = Allowance {
            limits: Effective { cpu: DESCRIBE_CPU, ..Effective::of(&Limits::default()) },
            deadline: DESCRIBE_TIME,
            capabilities: Vec::new(),
            inputs: Default::default(),
            output,
            cancel: CancellationToken::new(),
        };
        let answer = self.call(Call::Describe, allowance).await;
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
        }
    }

    /// Runs the plugin once, to its end or to one of its limits. It waits while as many runs as the
    /// runtime allows are under way.
    ///
    /// Dropping the future stops the guest and closes its connections.
    pub async fn run(&self, invocation: Invocation) -> Exit {
        let Invocation { args, region, deadline, limits, capabilities, inputs, output, cancel } =
            invocation;
        let allowance = Allowance {
            limits: Effective::of(&limits),
            deadline,
            capabilities,
            inputs,
            output,
            cancel,
        };
        let call = Call::Run { args, region };
        match self.call(call, allowance).await {
            Ok(Answer::Status(status)) => Exit::Status(status),
            Ok(Answer::Described(_)) => {
                Exit::Stopped(Stopped::Crashed("run returned a text".to_owned()))
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
        let (shared, loaded) = (Arc::clone(&self.shared), Arc::clone(&self.loaded));
        let work = async move { guest::call(&shared, &loaded, call, allowance).await };
        let panicked = || Err(Stopped::Crashed("the host failed; see the engine's log".to_owned()));
        self.shared.threads.run(work).await.unwrap_or_else(panicked)
    }
}

impl Loaded {
    pub(crate) fn new(sha256: String, pre: PluginPre<Job>) -> Self {
        Self { sha256, pre, manifest: OnceCell::new() }
    }

    pub(crate) fn store(&self, job: Job) -> Store<Job> {
        guest::store(self.pre.engine(), job)
    }
}

impl fmt::Debug for Plugin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plugin").field("sha256", &self.sha256()).finish_non_exhaustive()
    }
}
