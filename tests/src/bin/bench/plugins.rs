//! Plugins in a runtime of this process: what an instance, a run, a load and a limit cost.
//!
//! Arguments are files of further components, whose compilation and loading is timed beside ours.

mod loading;
mod memory;
mod native;
mod runs;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use blitz_contract::{Exit, Frame, Limits, package};
use blitz_runtime::{Invocation, Plugin, Rates, Runtime, RuntimeConfig, TargetPolicy};
use bytes::Bytes;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::parts;
use crate::sample::say;

/// Frames of output that may wait, as in an engine.
const FRAMES: usize = 16;

pub(crate) fn run(files: Vec<PathBuf>) -> ExitCode {
    parts::block_on(&mut tokio::runtime::Builder::new_multi_thread(), measure(files))
}

async fn measure(files: Vec<PathBuf>) {
    heads();
    let runtime = Runtime::new(RuntimeConfig {
        targets: TargetPolicy::any(),
        rates: Rates::UNLIMITED,
        ..RuntimeConfig::default()
    });
    let runtime = runtime.expect("a runtime");
    let noop = load(&runtime, noop("noop")).await;
    let fixture = load(&runtime, Bytes::from_static(blitz_tests::FIXTURE)).await;
    runs::measure(&noop, &fixture).await;
    native::measure().await;
    memory::measure(&fixture).await;
    loading::measure(files).await;
}

fn heads() {
    say(&format!("{:<60} {:>10} {:>10}   aim", "plugins", "p50", "p99"));
}

/// Prints one row.
fn row(name: &str, p50: &str, p99: &str, aim: &str) {
    say(&format!("{name:<60} {p50:>10} {p99:>10}   {aim}"));
}

/// The smallest command there is, under this name.
fn noop(name: &str) -> Bytes {
    let json = format!(r#"{{"name":"{name}","version":"1.0.0","summary":"-","contract":"0.1.0"}}"#);
    let packed = package::with_manifest(include_bytes!("plugins/noop.wasm"), &json);
    packed.expect("a component").into()
}

async fn load(runtime: &Runtime, component: Bytes) -> Plugin {
    let sha256 = blitz_jobs::plugin::sha256(&component);
    runtime.load(component, &sha256).await.expect("a plugin")
}

/// One run of the fixture's command, with a way to end it.
fn invocation(args: &[&str], deadline: Duration) -> (Invocation, mpsc::Receiver<Frame>) {
    let (output, frames) = mpsc::channel(FRAMES);
    let invocation = Invocation {
        args: args.iter().map(|&arg| arg.to_owned()).collect(),
        region: "local".to_owned(),
        deadline,
        limits: Limits { output_bytes: Some(u64::MAX), ..Limits::default() },
        capabilities: vec![blitz_contract::Capability::Web],
        inputs: Default::default(),
        output,
        cancel: CancellationToken::new(),
        tape: blitz_runtime::Tape::Live,
        targets: Vec::new(),
        load: Default::default(),
    };
    (invocation, frames)
}

/// Runs to the end; the output goes to `each`.
async fn finish(
    plugin: &Plugin,
    (invocation, mut frames): (Invocation, mpsc::Receiver<Frame>),
    mut each: impl FnMut(Frame),
) -> Exit {
    let running = plugin.run(invocation);
    let taking = async {
        while let Some(frame) = frames.recv().await {
            each(frame);
        }
    };
    tokio::join!(running, taking).0
}

/// Resident memory of this process, in KiB.
fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

/// Shared by many runs at once.
type Shared = Arc<Plugin>;
