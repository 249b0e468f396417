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
    /// The thread sleeps until it is woken. One that waits for its next tick needs no wakeup: a switch of threads
    /// at the start of each run would cost more than most of them compute.
    asleep: bool,
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
        self.shared.state().begin(&self.shared.changed);
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

impl State {
    fn begin(&mut self, changed: &Condvar) {
        self.running += 1;
        if std::mem::take(&mut self.asleep) {
            changed.notify_one();
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
        while state.running == 0 && !state.stopped {
            // Each time: a run that has ended before this thread was awake leaves it to sleep on, and the next one
            // has to wake it.
            state.asleep = true;
            state = shared.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.asleep = false;
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

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use wasmtime::Engine;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(10);

    fn wait_until(ticker: &Ticker, is: impl Fn(&State) -> bool) -> bool {
        let until = Instant::now() + PATIENCE;
        while !is(&ticker.shared.state()) {
            if Instant::now() > until {
                return false;
            }
            std::thread::yield_now();
        }
        true
    }

    #[test]
    fn a_run_that_ends_before_the_clock_is_awake_does_not_stop_it_for_the_next() {
        let engine = Engine::default();
        let ticker = Ticker::start(engine.weak()).unwrap();
        assert!(wait_until(&ticker, |state| state.asleep));
        let mut state = ticker.shared.state();
        state.begin(&ticker.shared.changed);
        state.running -= 1;
        drop(state);
        assert!(wait_until(&ticker, |state| state.asleep), "it sleeps and cannot be woken");
        let running = ticker.guest_runs();
        assert!(wait_until(&ticker, |state| !state.asleep));
        drop(running);
        assert!(wait_until(&ticker, |state| state.asleep));
    }
}
