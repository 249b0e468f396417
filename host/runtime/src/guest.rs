//! One instance of a plugin under its limits, from the free slot to the last frame of output.
//!
//! Time and cancellation are watched here, outside of the guest: a computing guest gives the thread back
//! at each tick, so all three limits are seen within one tick, and the guest is then dropped with all that
//! it holds. Only what it counted outlives it, as one last record.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use blitz_contract::{Capability, Frame, Stopped, Stream};
use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use wasmtime::{Store, UpdateDeadline};
use wasmtime_wasi::I32Exit;

use crate::bindings::exports::blitz::plugin::tool;
use crate::carrier::{self, Carrier, EXIT_USAGE};
use crate::control::Control;
use crate::doing::{Activity, Doing};
use crate::egress::Rule;
use crate::grants::Grants;
use crate::job::{Job, Lent};
use crate::limits::{Effective, LAST_RECORD_TIME, Span};
use crate::load::LoadSetting;
use crate::memory::MemoryLimit;
use crate::meter::{CpuExceeded, CpuTime, Metered};
use crate::metrics::{METRICS_KIND, Metrics};
use crate::native;
use crate::output::Outlet;
use crate::plugin::{Carried, Loaded};
use crate::runtime::Shared;
use crate::tape::{Deck, Tape};

/// Everything that a guest may use.
pub(crate) struct Allowance {
    pub(crate) limits: Effective,
    pub(crate) deadline: Duration,
    pub(crate) capabilities: Vec<Capability>,
    pub(crate) inputs: BTreeMap<String, Bytes>,
    pub(crate) output: mpsc::Sender<Frame>,
    pub(crate) cancel: CancellationToken,
    pub(crate) tape: Tape,
    pub(crate) targets: Vec<Rule>,
    pub(crate) load: LoadSetting,
}

/// Which of its two functions is called, if any.
pub(crate) enum Call {
    Instantiate,
    Describe,
    Run { args: Vec<String>, region: String },
}

/// What it returned.
pub(crate) enum Answer {
    Instantiated(Duration),
    Described(String),
    Status(u8),
}

/// Runs one call to its end.
pub(crate) async fn call(
    shared: &Shared,
    plugin: &Carried,
    call: Call,
    allowance: Allowance,
) -> Result<Answer, Stopped> {
    let Allowance { limits, deadline, capabilities, inputs, output, cancel, tape, targets, load } =
        allowance;
    let grants = Grants::new(capabilities)?;
    let until = Instant::now().checked_add(deadline);
    let control = Control { until, cancel, grace: limits.grace };
    let metrics = Metrics::default();
    let cpu = CpuTime::default();
    let doing = Doing::default();
    let outlet = Outlet::new(output, limits.output_bytes, doing.clone());

    let work = async {
        let component = match plugin {
            Carried::Component(loaded) => Some(loaded),
            Carried::Native(_) => None,
        };
        if let Some(text) = component.and_then(|loaded| loaded.usage_error(&call)) {
            // Nobody is left to tell when this is refused; the status still says it.
            outlet.give(&Stream::Stderr, text.as_bytes()).await.ok();
            return Ok(Answer::Status(EXIT_USAGE));
        }
        let Ok(_slot) = shared.instances.acquire().await else {
            return Err(Stopped::Unusable("the runtime is closed".to_owned()));
        };
        let Some(_slots) = shared.slots.take(component.map_or(0, |loaded| loaded.slots)).await
        else {
            return Err(Stopped::Unusable("the runtime is closed".to_owned()));
        };
        doing.now(Activity::Running);
        let http = match tape.has_network() {
            true => shared.http.for_run(&doing).confined(targets),
            false => shared.http.closed(&doing),
        };
        let mut job = Job::new(Lent {
            inputs,
            grants,
            memory: MemoryLimit::new(limits.memory_bytes),
            outlet: outlet.clone(),
            doing: doing.clone(),
            cpu: cpu.clone(),
            control: control.clone(),
            metrics: metrics.clone(),
            http,
            networks: Arc::clone(&shared.networks),
            loads: Arc::clone(&shared.loads),
            load,
            program: component.map(|loaded| loaded.program(&call)).unwrap_or_default(),
            sockets_max: limits.sockets,
        });
        job.tape = Deck::new(tape, outlet.clone());
        let left = until.map_or(deadline, |u| u.saturating_duration_since(Instant::now()));
        let answer = match plugin {
            Carried::Native(library) => {
                Box::pin(native::run(shared, library, job, call, left, &limits)).await
            }
            Carried::Component(loaded) => {
                let mut store = loaded.store(job);
                let _running = shared.ticker.guest_runs();
                let entered = enter(loaded, &mut store, call, left);
                let guest = Metered::new(entered, cpu.clone(), limits.cpu, &shared.turns);
                // The store ends here, before the last frames are waited for: connections and memory are not
                // needed for that.
                match guest.await {
                    Ok(Ok(answer)) => Ok(answer),
                    Ok(Err(error)) => why(&error, store.data()),
                    Err(CpuExceeded) => Err(Stopped::Limit(format!(
                        "CPU time limit {} reached (used {})",
                        Span(limits.cpu),
                        Span(cpu.used())
                    ))),
                }
            }
        };
        if !matches!(answer, Ok(Answer::Described(_) | Answer::Status(0))) {
            outlet.tell_refusals().await;
        }
        deliver(&outlet, &metrics).await;
        match outlet.halted() {
            Some(stopped) => Err(stopped),
            None => answer,
        }
    };

    let timed_out = || {
        Stopped::Timeout(match cpu.used() {
            Duration::ZERO => format!("time limit {} reached{}", Span(deadline), doing.phrase()),
            used => format!(
                "time limit {} reached{} (CPU time used: {})",
                Span(deadline),
                doing.phrase(),
                Span(used)
            ),
        })
    };
    let stopped = tokio::select! {
        // In this order, so that what stops a run is seen before the guest computes for one more tick.
        biased;
        () = is_past(until) => timed_out(),
        () = control.cancelled(|| !doing.is_queued()) => Stopped::Cancelled,
        answer = work => {
            // Whatever it came to: somebody asked it to end, and it did.
            return if control.cancel.is_cancelled() { Err(Stopped::Cancelled) } else { answer };
        }
        // Behind the guest, for those that wait: a new timer wakes another thread, and a short run needs none.
        () = come(until) => timed_out(),
    };
    // The guest is gone, and with it what it had not given yet. Who asked it to end does not wait for a receiver.
    let patience = if stopped == Stopped::Cancelled { limits.grace } else { LAST_RECORD_TIME };
    let patience = patience.min(LAST_RECORD_TIME);
    if tokio::time::timeout(patience, deliver(&outlet, &metrics)).await.is_err() {
        tracing::debug!("nobody took the last output of a stopped plugin");
    }
    Err(stopped)
}

/// Ends when it is polled behind `until`; it asks for no poll.
async fn is_past(until: Option<Instant>) {
    std::future::poll_fn(|_| match until {
        Some(until) if Instant::now() >= until => Poll::Ready(()),
        _ => Poll::Pending,
    })
    .await;
}

/// Ends at `until`.
async fn come(until: Option<Instant>) {
    match until {
        Some(until) => tokio::time::sleep_until(until).await,
        None => std::future::pending().await,
    }
}

/// Gives what was counted, then waits for the receiver to take all that was given.
async fn deliver(outlet: &Outlet, metrics: &Metrics) {
    if let Some(record) = metrics.take_record() {
        let kind = Stream::Event(METRICS_KIND.to_owned());
        if outlet.give(&kind, record.as_bytes()).await.is_err() {
            tracing::debug!("the record of a run's metrics was cut off with its output");
        }
    }
    outlet.finish().await;
}

async fn enter(
    plugin: &Loaded,
    store: &mut Store<Job>,
    call: Call,
    left: Duration,
) -> wasmtime::Result<Answer> {
    let pre = match &plugin.carrier {
        Carrier::Tool(pre) => pre,
        Carrier::Command(pre) => return carrier::run_command(pre, store, &call).await,
    };
    let started = std::time::Instant::now();
    let instance = pre.instantiate_async(&mut *store).await?;
    let instantiated = started.elapsed();
    let tool = instance.blitz_plugin_tool();
    match call {
        Call::Instantiate => Ok(Answer::Instantiated(instantiated)),
        Call::Describe => Ok(Answer::Described(tool.call_describe(&mut *store).await?)),
        Call::Run { args, region } => {
            let deadline_ms = u64::try_from(left.as_millis()).unwrap_or(u64::MAX);
            let deadline_ms = store.data_mut().hear("deadline-ms", &(), |_| Ok(deadline_ms))?;
            let invocation = tool::Invocation { args, region, deadline_ms };
            Ok(Answer::Status(tool.call_run(&mut *store, &invocation).await?))
        }
    }
}

/// Reads the reason out of a guest that did not return.
fn why(error: &wasmtime::Error, job: &Job) -> Result<Answer, Stopped> {
    if let Some(stopped) = job.outlet.halted() {
        return Err(stopped);
    }
    if let Some(I32Exit(code)) = error.downcast_ref::<I32Exit>() {
        // As `wait` would show it: the low eight bits.
        let [low, ..] = code.to_le_bytes();
        return Ok(Answer::Status(low));
    }
    if let Some(refusal) = job.memory.refusal() {
        return Err(Stopped::Limit(refusal));
    }
    let text = panic_message(&job.outlet.stderr_tail());
    Err(Stopped::Crashed(text.unwrap_or_else(|| error.root_cause().to_string())))
}

/// The last panic that Rust wrote to stderr: `panicked at src/lib.rs:4:5: the message`.
pub(crate) fn panic_message(stderr: &str) -> Option<String> {
    let mut lines = stderr.lines().rev().skip_while(|line| !line.contains(" panicked at "));
    let place = lines.next()?;
    let (_, place) = place.split_once(" panicked at ")?;
    let after = &stderr[stderr.rfind(place)? + place.len()..];
    let message = after.lines().map(str::trim).find(|line| !line.is_empty());
    let place = place.trim_end().trim_end_matches(':');
    Some(match message {
        Some(message) if !message.starts_with("note: ") => {
            format!("panicked at {place}: {message}")
        }
        _ => format!("panicked at {place}"),
    })
}

/// Prepares a store: what every guest of this host is held to.
pub(crate) fn store(engine: &wasmtime::Engine, job: Job) -> Store<Job> {
    let mut store = Store::new(engine, job);
    store.limiter(|job| &mut job.memory);
    store.set_epoch_deadline(1);
    store.epoch_deadline_callback(|store| {
        store.data().cpu.ticked();
        Ok(UpdateDeadline::Yield(1))
    });
    store
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_found_in_stderr() {
        for (stderr, wanted) in [
            ("", None),
            ("usage: x\n", None),
            (
                "hello\n\nthread 'main' panicked at src/lib.rs:4:5:\nindex out of bounds\nnote: run with x\n",
                Some("panicked at src/lib.rs:4:5: index out of bounds"),
            ),
            (
                "thread '<unnamed>' (1) panicked at src/lib.rs:4:5:\n",
                Some("panicked at src/lib.rs:4:5"),
            ),
            (
                "thread 'main' panicked at a.rs:1:1:\nold\nthread 'main' panicked at b.rs:2:2:\nnew\n",
                Some("panicked at b.rs:2:2: new"),
            ),
        ] {
            assert_eq!(panic_message(stderr).as_deref(), wanted, "{stderr:?}");
        }
    }
}
