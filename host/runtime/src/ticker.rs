//! The clock of computing guests: a thread that advances the engine's epoch each 10 ms while a guest runs,
//! and sleeps without a wakeup while none does.

use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use wasmtime::EngineWeak;

use crate::limits::TICK;

pub(crate) struct Ticker {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    running: usize,
    stopped: bool,
}

/// While this lives, a guest runs and the epoch advances.
pub(crate) struct Running {
    shared: Arc<Shared>,
}

impl Ticker {
    pub(crate) fn start(engine: EngineWeak) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let ticking = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("blitz-epoch".to_owned())
            .spawn(move || tick(&ticking, &engine))?;
        Ok(Self { shared, thread: Some(thread) })
    }

    pub(crate) fn guest_runs(&self) -> Running {
        self.shared.state().running += 1;
        self.shared.changed.notify_one();
        Running { shared: Arc::clone(&self.shared) }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.shared.state().running -= 1;
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.shared.state().stopped = true;
        self.shared.changed.notify_one();
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the epoch thread panicked");
        }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn tick(shared: &Shared, engine: &EngineWeak) {
    let mut state = shared.state();
    loop {
        state = shared
            .changed
            .wait_while(state, |s| s.running == 0 && !s.stopped)
            .unwrap_or_else(PoisonError::into_inner);
        (state, _) = shared
            .changed
            .wait_timeout_while(state, TICK, |s| !s.stopped)
            .unwrap_or_else(PoisonError::into_inner);
        match engine.upgrade() {
            Some(engine) if !state.stopped => engine.increment_epoch(),
            _ => return,
        }
    }
}
