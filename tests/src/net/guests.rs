//! Guests inside a namespace, without the road of a job: the plugin `fixture` in a runtime of its own, with the policy
//! of an engine.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use blitz_contract::{Capability, Exit, Limits};
use blitz_runtime::{Endpoint, Invocation, Plugin, Runtime, RuntimeConfig, Tape, TargetPolicy};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::printed::{self, Printed};
use crate::{FIXTURE, Outcome};

/// Guests at the same time: enough to keep two cores busy.
const AT_ONCE: usize = 8;

/// A guest that waits longer hangs.
const GUEST_TIME: Duration = Duration::from_secs(20);

/// What the guests may reach, and the arguments of each.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Plan {
    /// Rules that open targets.
    pub allow: Vec<String>,
    /// Rules that close targets.
    pub deny: Vec<String>,
    /// Host and port of the store.
    pub store: Option<(String, u16)>,
    /// Behind the name of the plugin.
    pub runs: Vec<Vec<String>>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Done {
    run: usize,
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

/// Runs all of them, some at a time, and gives one line for each as they end.
///
/// # Errors
///
/// When the runtime does not start.
pub async fn run(plan: Plan, mut tell: impl FnMut(String)) -> io::Result<()> {
    let plugin = Arc::new(plugin(&plan).await.map_err(io::Error::other)?);
    let places = Arc::new(Semaphore::new(AT_ONCE));
    let mut running = JoinSet::new();
    for (run, args) in plan.runs.into_iter().enumerate() {
        let (plugin, places) = (Arc::clone(&plugin), Arc::clone(&places));
        running.spawn(async move {
            let _place = places.acquire_owned().await;
            one(&plugin, run, args).await
        });
    }
    while let Some(done) = running.join_next().await {
        let done = done.map_err(io::Error::other)?;
        tell(serde_json::to_string(&done).map_err(io::Error::other)?);
    }
    Ok(())
}

/// Reads such lines: the outcomes in the order of the runs; `None` for one that is not there.
#[must_use]
pub fn outcomes(lines: &str, runs: usize) -> Vec<Option<Outcome>> {
    let mut outcomes = Vec::new();
    outcomes.resize_with(runs, || None);
    for done in lines.lines().filter_map(|line| serde_json::from_str::<Done>(line).ok()) {
        let Done { run, code, stdout, stderr } = done;
        if let Some(outcome) = outcomes.get_mut(run) {
            *outcome = Some(Outcome { code, stdout, stderr });
        }
    }
    outcomes
}

async fn plugin(plan: &Plan) -> Result<Plugin, String> {
    let mut targets = TargetPolicy::public_only();
    for rule in &plan.allow {
        targets = targets.allow(rule.parse().map_err(|e| format!("{rule}: {e}"))?);
    }
    for rule in &plan.deny {
        targets = targets.deny(rule.parse().map_err(|e| format!("{rule}: {e}"))?);
    }
    let store = plan.store.as_ref();
    let protected =
        store.map(|(host, port)| Endpoint::new("the engine's store", host, *port)).into_iter();
    let config =
        RuntimeConfig { targets, protected: protected.collect(), ..RuntimeConfig::default() };
    let runtime = Runtime::new(config).map_err(|e| e.to_string())?;
    let sha256 = blitz_jobs::plugin::sha256(FIXTURE);
    runtime.load(Bytes::from_static(FIXTURE), &sha256).await.map_err(|e| e.to_string())
}

async fn one(plugin: &Plugin, run: usize, args: Vec<String>) -> Done {
    let (output, frames) = mpsc::channel(8);
    let invocation = Invocation {
        args,
        region: "testing".to_owned(),
        deadline: GUEST_TIME,
        limits: Limits::default(),
        capabilities: vec![Capability::Web, Capability::Sockets],
        inputs: BTreeMap::new(),
        output,
        cancel: CancellationToken::new(),
        tape: Tape::Live,
        targets: Vec::new(),
        load: Default::default(),
    };
    let Printed { exit, stdout, mut stderr } = printed::run(plugin, invocation, frames).await;
    let code = match exit {
        Exit::Status(status) => Some(status.into()),
        Exit::Stopped(stopped) => {
            stderr.extend(stopped.to_string().into_bytes());
            None
        }
    };
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Done { run, code, stdout: text(stdout), stderr: text(stderr) }
}
