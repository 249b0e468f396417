//! One won job, from its inputs to its end. Claims and ends are the contest's; here the plugin runs, and its output is
//! stored.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use blitz_contract::load::{Proof, Terms};
use blitz_contract::{Exit, Frame, Limits, Stopped};
use blitz_couchdb::{Database, Error};
use blitz_jobs::id::DocumentId;
use blitz_jobs::meeting::Go;
use blitz_jobs::sealing::RegionKeys;
use blitz_jobs::spec::{INPUTS_BYTES_MAX, Input, InputPiece};
use blitz_jobs::{Claim, End, Spec};
use blitz_runtime::{Invocation, LoadSetting, OUTPUT_DEFAULT_BYTES};
use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use tracing::Instrument as _;

use crate::gate::Gate;
use crate::house::House;
use crate::meeting::{HeardGo, Rendezvous};
use crate::outbox::Outbox;
use crate::shelf::{Ready, Shelf};
use crate::tasks;

/// Frames between the plugin and the outbox: with frames of at most 64 KiB, 1 MiB a job.
const FRAMES_WAITING: usize = 16;

/// Input that could not be read is read again after this long.
const INPUT_AGAIN: Duration = Duration::from_secs(2);

/// A claimed job and what it needs to run.
pub(crate) struct Execution {
    pub(crate) spec: Arc<Spec>,
    pub(crate) claim: Claim,
    pub(crate) time_left: Duration,
    pub(crate) shelf: Shelf,
    pub(crate) jobs: Database,
    pub(crate) output: Database,
    pub(crate) gate: Gate,
    pub(crate) batch: Duration,
    /// What its secrets are opened with.
    pub(crate) region_keys: RegionKeys,
    /// What the region's document says of who may use it, and of where its jobs may go.
    pub(crate) house: House,
    /// Whom the target of a load test may ask.
    pub(crate) load_contact: String,
}

/// How the loop speaks to a running execution.
#[derive(Debug, Clone, Default)]
pub(crate) struct Signals {
    /// Ask the plugin to end, as somebody wants it to.
    pub(crate) cancel: CancellationToken,
    /// Stop everything and write nothing more: the job is another's, or will be.
    pub(crate) halt: CancellationToken,
    /// Which tasks of its run begin.
    pub(crate) go: HeardGo,
}

impl Signals {
    /// Tells who of the run begins. The first word counts, and from when it came.
    pub(crate) fn hear_go(&self, go: &Arc<Go>) {
        self.go.send_if_modified(|heard| {
            let is_first = heard.is_none();
            if is_first {
                *heard = Some((Instant::now(), Arc::clone(go)));
            }
            is_first
        });
    }
}

impl Execution {
    /// Runs the job to its end. `None` when it was halted: then the plugin has stopped, and nothing more is written.
    pub(crate) async fn execute(self, signals: Signals) -> Option<End> {
        let begun = Instant::now();
        let (frames, waiting) = mpsc::channel(FRAMES_WAITING);
        let outbox = Outbox {
            database: self.output.clone(),
            job: self.spec.job.clone(),
            claim: self.claim.clone(),
            batch: self.batch,
            gate: self.gate.clone(),
        };
        // In a task of its own: should the engine's own part of it panic, what was printed is still stored and counted.
        let runs = self.run_plugin(frames, signals.cancel, signals.go);
        let mut plugin = AbortOnDropHandle::new(tokio::spawn(runs.in_current_span()));
        // Ending the plugin closes the channel, and that ends the outbox.
        let both = async { tokio::join!(&mut plugin, Box::pin(outbox.run(waiting))) };
        let Some((exit, written)) = signals.halt.run_until_cancelled(both).await else {
            // The job is not given back before it has stopped.
            if !plugin.is_finished() {
                plugin.abort();
                drop(plugin.await);
            }
            return None;
        };
        let exit = exit.unwrap_or_else(|error| {
            tracing::error!(%error, "the run of a plugin failed");
            tasks::panicked()
        });
        let exit = match &written.refused {
            Some(reason) => {
                Exit::Stopped(Stopped::Limit(format!("its output cannot be stored: {reason}")))
            }
            None => exit,
        };
        Some(End {
            exit,
            chunks: written.chunks,
            bytes: written.bytes,
            digest: written.digest,
            duration_ms: u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX),
        })
    }

    async fn run_plugin(
        self,
        output: mpsc::Sender<Frame>,
        cancel: CancellationToken,
        heard: HeardGo,
    ) -> Exit {
        let begun = Instant::now();
        // Gateways have asked the same. Here it holds also for what was admitted before the region was closed, and by
        // whatever else may write specs.
        let targets = match self.house.admit(&self.spec) {
            Ok(targets) => targets,
            Err(reason) => return Exit::Stopped(Stopped::Unusable(reason)),
        };
        // What the runtime had to drop is loaded again; as a rule both are there at once.
        let gathered = async { tokio::try_join!(self.shelf.plugin(&self.spec), self.inputs()) };
        let gathered = tokio::select! {
            gathered = gathered => gathered,
            () = cancel.cancelled() => return Exit::Stopped(Stopped::Cancelled),
            () = tokio::time::sleep(self.time_left) => {
                let limit = self.time_left.as_secs_f64();
                let text = format!("time limit {limit} s reached while its plugin and inputs were read");
                return Exit::Stopped(Stopped::Timeout(text));
            }
        };
        let (Ready { manifest, plugin }, inputs) = match gathered {
            Ok(gathered) => gathered,
            Err(reason) => return Exit::Stopped(Stopped::Unusable(reason)),
        };
        // Here and no earlier: what has not been opened is in no log, and in no message.
        let args = match self.region_keys.open(&self.spec) {
            Ok(args) => args,
            Err(reason) => return Exit::Stopped(Stopped::Unusable(reason.to_string())),
        };
        let load = LoadSetting {
            signature: format!("job {}; {}", self.spec.job, self.load_contact),
            terms: Terms {
                users: self.spec.terms.load_users,
                rate_per_s: self.spec.terms.load_rate_per_s,
                duration: self.spec.terms.load_ms.map(Duration::from_millis),
            },
            meeting: Arc::new(Rendezvous {
                jobs: self.jobs.clone(),
                spec: Arc::clone(&self.spec),
                claim: self.claim.clone(),
                heard,
            }),
            proofs: proofs(&self.spec),
        };
        let invocation = Invocation {
            args,
            region: self.spec.job.region().to_owned(),
            deadline: self.time_left.saturating_sub(begun.elapsed()),
            limits: limits(&self.spec),
            capabilities: manifest.capabilities,
            inputs,
            output,
            cancel,
            tape: blitz_runtime::Tape::Live,
            targets,
            load,
        };
        plugin.run(invocation).await
    }

    /// The user's inputs, from the spec and from the pieces beside it.
    async fn inputs(&self) -> Result<BTreeMap<String, Bytes>, String> {
        let mut inputs = BTreeMap::new();
        for input in &self.spec.inputs {
            let bytes = self.input(input).await?;
            if bytes.len() as u64 != input.bytes {
                let (has, name) = (bytes.len(), &input.name);
                return Err(format!("input {name:?} has {has} bytes of {}", input.bytes));
            }
            inputs.insert(input.name.clone(), Bytes::from(bytes));
        }
        Ok(inputs)
    }

    async fn input(&self, input: &Input) -> Result<Vec<u8>, String> {
        let name = &input.name;
        let decode =
            |text: &str| STANDARD.decode(text).map_err(|_| format!("input {name:?} is not base64"));
        if let Some(text) = &input.base64 {
            return decode(text);
        }
        let (first, count) = input.pieces.unwrap_or_default();
        let mut bytes = Vec::new();
        for number in first..first.saturating_add(count) {
            bytes.extend(decode(&self.piece(name, number).await?.base64)?);
            if bytes.len() > INPUTS_BYTES_MAX {
                return Err(format!("input {name:?} has more than {INPUTS_BYTES_MAX} bytes"));
            }
        }
        Ok(bytes)
    }

    /// Reads a piece until the store has answered; the caller has a limit of time.
    async fn piece(&self, name: &str, number: u32) -> Result<InputPiece, String> {
        let id = DocumentId::Input(self.spec.job.clone(), number).to_string();
        loop {
            match self.jobs.get::<InputPiece>(&id).await {
                Ok(Some(piece)) => return Ok(piece.body),
                Ok(None) => return Err(format!("piece {number} of input {name:?} is missing")),
                Err(
                    error @ (Error::NotFound { .. }
                    | Error::Forbidden { .. }
                    | Error::Decode { .. }),
                ) => {
                    return Err(format!("input {name:?} cannot be read: {error}"));
                }
                Err(error) => {
                    tracing::warn!(job = %self.spec.job, %error, "cannot read input, trying again");
                    tokio::time::sleep(INPUT_AGAIN).await;
                }
            }
        }
    }
}

/// What the gateway says of the targets of the job, as the runtime has it.
fn proofs(spec: &Spec) -> Vec<Proof> {
    let proofs = spec.terms.proofs.iter();
    proofs.map(|proof| Proof { host: proof.host.clone(), token: proof.token.clone() }).collect()
}

/// What a job may use: what its plugin asks for, or what it was admitted for where that is less.
fn limits(spec: &Spec) -> Limits {
    let Some(admitted) = spec.terms.output_bytes else { return spec.limits };
    let asked = spec.limits.output_bytes.unwrap_or(OUTPUT_DEFAULT_BYTES);
    Limits { output_bytes: Some(asked.min(admitted)), ..spec.limits }
}
