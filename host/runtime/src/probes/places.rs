//! Places for the sockets of probes. A run has as many as for its other sockets, together with those; and all runs of a
//! process have some together, for descriptors and ports are the process's, and connections need theirs.

use std::sync::{Arc, LazyLock};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::limits::{SESSIONS_OF_ENGINE_MAX, SOCKETS_OF_ENGINE_MAX};

static SOCKETS: LazyLock<Arc<Semaphore>> =
    LazyLock::new(|| Arc::new(Semaphore::new(SOCKETS_OF_ENGINE_MAX)));
static SESSIONS: LazyLock<Arc<Semaphore>> =
    LazyLock::new(|| Arc::new(Semaphore::new(SESSIONS_OF_ENGINE_MAX)));

/// Those of one run. A clone has the same.
#[derive(Debug, Clone)]
pub(crate) struct Places {
    of_run: Arc<Semaphore>,
    run_max: u32,
    of_engine: Arc<Semaphore>,
}

/// One socket's, until it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    _of_run: OwnedSemaphorePermit,
    _of_engine: OwnedSemaphorePermit,
}

/// One session's, until it is dropped.
#[derive(Debug)]
pub(super) struct SessionPlace {
    _of_engine: OwnedSemaphorePermit,
}

impl Places {
    /// `of_run` are those of all sockets of a run, `run_max` when none is open.
    pub(crate) fn new(of_run: Arc<Semaphore>, run_max: u32) -> Self {
        Self { of_run, run_max, of_engine: Arc::clone(&SOCKETS) }
    }

    /// One of them; or which limit stands against it.
    pub(super) fn take(&self) -> Result<Place, String> {
        let of_run = Arc::clone(&self.of_run).try_acquire_owned().map_err(|_| {
            format!(
                "a run of this plugin holds at most {} sockets open, and probes need one for each flow: send fewer at \
                 once, or ask for more in the manifest (limits.sockets)",
                self.run_max
            )
        })?;
        let of_engine = Arc::clone(&self.of_engine).try_acquire_owned().map_err(|_| {
            format!(
                "all runs of this engine hold at most {SOCKETS_OF_ENGINE_MAX} sockets of probes open: try again when \
                 others are done"
            )
        })?;
        Ok(Place { _of_run: of_run, _of_engine: of_engine })
    }
}

impl SessionPlace {
    /// One of those of all runs; or the limit that stands against it.
    pub(super) fn take() -> Result<Self, String> {
        let of_engine = Arc::clone(&SESSIONS).try_acquire_owned().map_err(|_| {
            format!(
                "all runs of this engine have at most {SESSIONS_OF_ENGINE_MAX} sessions of probes: try again when \
                 others are done"
            )
        })?;
        Ok(Self { _of_engine: of_engine })
    }
}

#[cfg(test)]
impl Places {
    /// Of a run with so many, on an engine with so many.
    pub(super) fn of(run_max: usize, engine_max: usize) -> Self {
        let max = u32::try_from(run_max).unwrap_or(u32::MAX);
        let of_engine = Arc::new(Semaphore::new(engine_max));
        Self { of_engine, ..Self::new(Arc::new(Semaphore::new(run_max)), max) }
    }

    /// Of another run on the same engine.
    pub(super) fn of_another_run(&self, run_max: usize) -> Self {
        Self { of_engine: Arc::clone(&self.of_engine), ..Self::of(run_max, 0) }
    }
}
