//! One instance of a plugin under its limits, from the free slot to the last frame of output.
//!
//! Time and cancellation are watched here, outside of the guest: a computing guest gives the thread back
//! at each tick, so all three limits are seen within one tick, and the guest is then dropped with all that
//! it holds.

use std::collections::BTreeMap;
use std::time::Duration;

use blitz_contract::{Capability, Frame, Stopped};
use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use wasmtime::{Store, UpdateDeadline};
use wasmtime_wasi::I32Exit;

use crate::bindings::exports::blitz::plugin::tool;
use crate::doing::{Activity, Doing};
use crate::job::Job;
use crate::limits::{Effective, Span};
use crate::memory::MemoryLimit;
use crate::meter::{CpuExceeded, CpuTime, Metered};
use crate::output::Outlet;
use crate::plugin::Loaded;
use crate::runtime::Shared;

/// Everything that a guest may use.
pub(crate) struct Allowance {
    pub(crate) limits: Effective,
    pub(crate) deadline: Duration,
    pub(crate) capabilities: Vec<Capability>,
    pub(crate) inputs: BTreeMap<String, Bytes>,
    pub(crate) output: mpsc::Sender<Frame>,
    pub(crate) cancel: CancellationToken,
}

/// Which of its two functions is called.
pub(crate) enum Call {
    Describe,
    Run { args: Vec<String>, region: String },
}

/// What it returned.
pub(crate) enum Answer {
    Described(String),
    Status(u8),
}

/// Runs one call to its end.
pub(crate) async fn call(
    shared: &Shared,
    plugin: &Loaded,
    call: Call,
    allowance: Allowance,
) -> Result<Answer, Stopped> {
    let Allowance { limits, deadline, capabilities, inputs, output, cancel } = allowance;
    let until = Instant::now().checked_add(deadline);
    let cpu = CpuTime::default();
    let doing = Doing::default();
    let outlet = Outlet::new(output, limits.output_bytes, doing.clone());

    let work = async {
        let Ok(_slot) = shared.instances.acquire().await else {
            return Err(Stopped::Unusable("the runtime is closed".to_owned()));
        };
        doing.now(Activity::Running);
        let memory = MemoryLimit::new(limits.memory_bytes);
        let job = Job::new(
            inputs,
            capabilities,
            memory,
            outlet.clone(),
            doing.clone(),
            cpu.clone(),
            shared.http.for_run(),
        );
        let mut store = plugin.store(job);
        let _running = shared.ticker.guest_runs();
        let left = until.map_or(deadline, |u| u.saturating_duration_since(Instant::now()));
        let entered = enter(plugin, &mut store, call, left);
        let guest = Metered::new(entered, cpu.clone(), limits.cpu, &shared.turns);
        let answer = match guest.await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => why(&error, store.data()),
            Err(CpuExceeded) => Err(Stopped::Limit(format!(
                "CPU time limit {} reached (used {})",
                Span(limits.cpu),
                Span(cpu.used())
            ))),
        };
        // Before the last frames are waited for: connections and memory are not needed for that.
        drop(store);
        outlet.finish().await;
        match outlet.halted() {
            Some(stopped) => Err(stopped),
            None => answer,
        }
    };

    let time_is_over = async {
        match until {
            Some(until) => tokio::time::sleep_until(until).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        // In this order, so that what stops a run is seen before the guest computes for one more tick.
        biased;
        () = cancel.cancelled() => Err(Stopped::Cancelled),
        () = time_is_over => Err(Stopped::Timeout(match cpu.used() {
            Duration::ZERO => format!("time limit {} reached{}", Span(deadline), doing.phrase()),
            used => format!(
                "time limit {} reached{} (CPU time used: {})",
                Span(deadline),
                doing.phrase(),
                Span(used)
            ),
        })),
        answer = work => answer,
    }
}

async fn enter(
    plugin: &Loaded,
    store: &mut Store<Job>,
    call: Call,
    left: Duration,
) -> wasmtime::Result<Answer> {
    let instance = plugin.pre.instantiate_async(&mut *store).await?;
    let tool = instance.blitz_plugin_tool();
    match call {
        Call::Describe => Ok(Answer::Described(tool.call_describe(&mut *store).await?)),
        Call::Run { args, region } => {
            let deadline_ms = u64::try_from(left.as_millis()).unwrap_or(u64::MAX);
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
fn panic_message(stderr: &str) -> Option<String> {
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
