//! The threads that run JavaScript: started when first needed, few, and replaced when one is lost in a
//! built-in function that nothing can stop.

use super::{
    Design, ScriptError,
    limits::{
        COMPILED_MAX, END_TIME, LOST, LOST_MAX, QUEUE_MAX, THREAD_STACK_BYTES, THREADS,
        TOO_MANY_LOST, Times, WATCH_PERIOD,
    },
    machine::{Machine, Thread},
};
use std::{
    collections::VecDeque,
    fmt,
    pin::pin,
    rc::Rc,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::sync::{Semaphore, oneshot};

/// What a compiled form is kept for. It is the place in memory and not the text: two databases with
/// the same functions share nothing that a function may leave behind.
#[derive(Clone, Debug)]
pub(super) enum Source {
    Design(Arc<Design>),
    Function(Arc<str>),
}

impl Source {
    fn is(&self, other: &Source) -> bool {
        match (self, other) {
            (Source::Design(one), Source::Design(other)) => Arc::ptr_eq(one, other),
            (Source::Function(one), Source::Function(other)) => Arc::ptr_eq(one, other),
            _ => false,
        }
    }

    fn compile(&self, thread: Rc<dyn Thread>) -> Result<Machine, ScriptError> {
        match self {
            Source::Design(design) => Machine::new(design, thread),
            Source::Function(function) => {
                let functions = vec![Arc::clone(function)];
                Machine::new(&Design { library: None, functions }, thread)
            }
        }
    }
}

type Job = Box<dyn FnOnce(&mut Compiled, &Arc<Worker>) + Send>;

/// The threads and what waits for them.
#[derive(Debug)]
pub(super) struct Pool {
    shared: Arc<Shared>,
    places: Arc<Semaphore>,
}

#[derive(Debug)]
struct Shared {
    times: Times,
    state: Mutex<State>,
    /// There is a job, or the end.
    work: Condvar,
    /// A thread has left.
    left: Condvar,
    closed: AtomicBool,
}

#[derive(Default)]
struct State {
    jobs: VecDeque<Job>,
    workers: Vec<Arc<Worker>>,
    idle: usize,
    lost: usize,
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} jobs, {} threads, {} lost", self.jobs.len(), self.workers.len(), self.lost)
    }
}

/// What others see of a thread.
#[derive(Debug, Default)]
struct Worker {
    /// When its call should be over; None between calls.
    due: Mutex<Option<Instant>>,
    lost: AtomicBool,
}

impl Worker {
    fn set_due(&self, due: Option<Instant>) {
        *self.due.lock().unwrap_or_else(PoisonError::into_inner) = due;
    }

    fn is_overdue(&self, now: Instant, grace: Duration) -> bool {
        let due = *self.due.lock().unwrap_or_else(PoisonError::into_inner);
        due.is_some_and(|due| now > due + grace)
    }
}

impl Pool {
    pub(super) fn new(times: Times) -> Pool {
        let shared = Shared {
            times,
            state: Mutex::default(),
            work: Condvar::new(),
            left: Condvar::new(),
            closed: AtomicBool::new(false),
        };
        Pool { shared: Arc::new(shared), places: Arc::new(Semaphore::new(QUEUE_MAX)) }
    }

    /// Does a piece of work with the compiled form of `source`, on one of the threads.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        source: Source,
        work: impl FnOnce(&mut Machine) -> Result<T, ScriptError> + Send + 'static,
    ) -> Result<T, ScriptError> {
        let place = Arc::clone(&self.places).acquire_owned().await;
        let place = place.map_err(|_| ScriptError::Closed)?;
        let (sender, receiver) = oneshot::channel();
        let taken = Arc::new(OnceLock::new());
        let taken_by = Arc::clone(&taken);
        self.shared.submit(Box::new(move |compiled, worker| {
            // Nobody waits any more.
            if sender.is_closed() {
                return;
            }
            drop(taken_by.set(Arc::clone(worker)));
            let made = compiled.run(&source, work);
            worker.set_due(None);
            drop(sender.send(made));
            drop(place);
        }))?;
        let mut receiver = pin!(receiver);
        loop {
            match tokio::time::timeout(WATCH_PERIOD, receiver.as_mut()).await {
                Ok(made) => return made.unwrap_or(Err(ScriptError::Closed)),
                Err(_) => self.shared.replace_lost(),
            }
            let lost = |worker: &Arc<Worker>| worker.lost.load(Ordering::Relaxed);
            if taken.get().is_some_and(lost) {
                return Err(ScriptError::Limit(LOST));
            }
            if taken.get().is_none() && self.shared.is_exhausted() {
                return Err(ScriptError::Limit(TOO_MANY_LOST));
            }
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        let shared = &self.shared;
        let mut state = shared.lock();
        shared.closed.store(true, Ordering::Relaxed);
        state.jobs.clear();
        shared.work.notify_all();
        // Each running function is interrupted; one that cannot be keeps nothing that others need.
        let waiting = shared.left.wait_timeout_while(state, END_TIME, |s| !s.workers.is_empty());
        drop(waiting.unwrap_or_else(PoisonError::into_inner));
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn submit(self: &Arc<Shared>, job: Job) -> Result<(), ScriptError> {
        let mut state = self.lock();
        if state.lost >= LOST_MAX && state.workers.is_empty() {
            return Err(ScriptError::Limit(TOO_MANY_LOST));
        }
        state.jobs.push_back(job);
        let few = state.workers.len() < THREADS && state.lost < LOST_MAX;
        if few && state.idle < state.jobs.len() {
            self.start(&mut state)?;
        }
        self.work.notify_one();
        Ok(())
    }

    fn start(self: &Arc<Shared>, state: &mut State) -> Result<(), ScriptError> {
        let worker = Arc::new(Worker::default());
        let (shared, own) = (Arc::clone(self), Arc::clone(&worker));
        let thread = std::thread::Builder::new().name(String::from("script"));
        let started =
            thread.stack_size(THREAD_STACK_BYTES).spawn(move || serve(&shared, &own)).is_ok();
        if started {
            state.workers.push(worker);
        } else if state.workers.is_empty() {
            state.jobs.clear();
            return Err(ScriptError::Closed);
        }
        Ok(())
    }

    /// No thread is left, and none may be started.
    fn is_exhausted(&self) -> bool {
        let state = self.lock();
        state.lost >= LOST_MAX && state.workers.is_empty()
    }

    fn replace_lost(self: &Arc<Shared>) {
        let mut state = self.lock();
        let now = Instant::now();
        let before = state.workers.len();
        state.workers.retain(|worker| {
            let lost = worker.is_overdue(now, self.times.grace);
            worker.lost.fetch_or(lost, Ordering::Relaxed);
            !lost
        });
        let lost = before - state.workers.len();
        state.lost += lost;
        if lost > 0 {
            tracing::warn!(lost = state.lost, "a function of a design document cannot be stopped");
        }
        let missing = lost.min(LOST_MAX.saturating_sub(state.lost));
        for _ in 0..missing {
            if self.start(&mut state).is_err() {
                return;
            }
        }
    }
}

/// Takes itself off the list, however its thread ends.
struct Place<'a> {
    shared: &'a Shared,
    worker: &'a Arc<Worker>,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        let before = state.workers.len();
        state.workers.retain(|worker| !Arc::ptr_eq(worker, self.worker));
        if before == state.workers.len() {
            // It was given up, and came back after all.
            state.lost = state.lost.saturating_sub(1);
        }
        self.shared.left.notify_all();
    }
}

/// The life of a thread.
fn serve(shared: &Arc<Shared>, worker: &Arc<Worker>) {
    let _place = Place { shared, worker };
    let here = Here { shared: Arc::clone(shared), worker: Arc::clone(worker) };
    let mut compiled = Compiled { thread: Rc::new(here), kept: VecDeque::new() };
    loop {
        let mut state = shared.lock();
        let job = loop {
            if shared.closed.load(Ordering::Relaxed) || worker.lost.load(Ordering::Relaxed) {
                return;
            }
            if let Some(job) = state.jobs.pop_front() {
                break job;
            }
            state.idle += 1;
            state = shared.work.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.idle -= 1;
        };
        drop(state);
        job(&mut compiled, worker);
    }
}

/// The thread as its machines see it.
struct Here {
    shared: Arc<Shared>,
    worker: Arc<Worker>,
}

impl Thread for Here {
    fn times(&self) -> Times {
        self.shared.times
    }

    fn is_closed(&self) -> bool {
        self.shared.closed.load(Ordering::Relaxed)
    }

    fn begins(&self, due: Instant) {
        self.worker.set_due(Some(due));
    }
}

/// The machines that a thread keeps, the last used in front.
struct Compiled {
    thread: Rc<dyn Thread>,
    kept: VecDeque<(Source, Machine)>,
}

impl Compiled {
    fn run<T>(
        &mut self,
        source: &Source,
        work: impl FnOnce(&mut Machine) -> Result<T, ScriptError>,
    ) -> Result<T, ScriptError> {
        let known = self.kept.iter().position(|(kept, _)| kept.is(source));
        let mut machine = match known.and_then(|place| self.kept.remove(place)) {
            Some((_, machine)) => machine,
            None => source.compile(Rc::clone(&self.thread))?,
        };
        let made = work(&mut machine);
        // What passed a limit may have stopped anywhere; the next batch begins anew.
        let sound = !matches!(made, Err(ScriptError::Limit(_) | ScriptError::Closed));
        if sound && machine.is_worth_keeping() {
            self.kept.push_front((source.clone(), machine));
            self.kept.truncate(COMPILED_MAX);
        }
        made
    }
}
