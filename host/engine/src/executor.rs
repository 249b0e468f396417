//! One won job, from its inputs to its written end.

use std::collections::BTreeMap;
use std::pin::pin;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use blitz_contract::{Exit, Stopped};
use blitz_couchdb::{Database, Error, Revision};
use blitz_jobs::contest::ClaimAnswer;
use blitz_jobs::id::DocumentId;
use blitz_jobs::run::{Run, Step};
use blitz_jobs::spec::{INPUTS_BYTES_MAX, Input, InputPiece};
use blitz_jobs::{Claim, End, Spec};
use blitz_runtime::Invocation;
use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::outbox::Outbox;
use crate::shelf::{Ready, Shelf};

/// Frames between the plugin and the outbox: with frames of at most 64 KiB, 1 MiB a job.
const FRAMES_WAITING: usize = 16;

/// Input that could not be read is read again after this long.
const INPUT_AGAIN: Duration = Duration::from_secs(2);

/// An end that could not be written is written again after this long, doubled up to the ceiling.
const END_AGAIN: Duration = Duration::from_millis(100);
const END_AGAIN_MAX: Duration = Duration::from_secs(2);

/// A claimed job and what it needs to run.
pub(crate) struct Execution {
    pub(crate) spec: Spec,
    pub(crate) run: Run,
    pub(crate) revision: Revision,
    pub(crate) time_left: Duration,
    pub(crate) shelf: Shelf,
    pub(crate) jobs: Database,
    pub(crate) output: Database,
    pub(crate) copies: u32,
    pub(crate) batch: Duration,
}

/// How the loop speaks to a running execution.
#[derive(Debug, Clone, Default)]
pub(crate) struct Signals {
    /// Stop the plugin and write the end.
    pub(crate) cancel: CancellationToken,
    /// Stop everything and write nothing more.
    pub(crate) fence: CancellationToken,
    /// Give the job back if another engine may run it; otherwise as `cancel`.
    pub(crate) release: CancellationToken,
}

impl Execution {
    /// Runs the job to its end, and writes the end unless the claim was lost. True when an end is written.
    pub(crate) async fn execute(self, signals: Signals) -> bool {
        let Some(claim) = self.run.claim().cloned() else { return false };
        let job = self.spec.job.clone();
        let fence = signals.fence.clone();
        let finished =
            fence.run_until_cancelled(Box::pin(self.run_and_finish(claim, signals))).await;
        if finished.is_none() {
            tracing::warn!(%job, "the claim was lost, stopped without writing");
        }
        finished.unwrap_or(false)
    }

    async fn run_and_finish(self, claim: Claim, signals: Signals) -> bool {
        let begun = Instant::now();
        let (frames, waiting) = mpsc::channel(FRAMES_WAITING);
        let outbox = Outbox {
            database: self.output.clone(),
            job: self.spec.job.clone(),
            claim: claim.clone(),
            batch: self.batch,
        };
        let may_release = self.spec.retry == blitz_contract::Retry::Safe;
        let stop = signals.cancel.clone();
        // Ending the plugin closes the channel, and that ends the outbox.
        let plugin = async {
            let mut running = pin!(self.run_plugin(frames, stop.clone()));
            tokio::select! {
                exit = &mut running => (exit, false),
                () = signals.release.cancelled() => match may_release {
                    // Another engine runs it from its start: its last words are for nobody.
                    true => (Exit::Stopped(Stopped::Cancelled), true),
                    // It ends here, and as with any cancel it is asked to.
                    false => {
                        stop.cancel();
                        (running.await, false)
                    }
                },
            }
        };
        let ((exit, was_released), written) = tokio::join!(plugin, outbox.run(waiting));
        let exit = match &written.refused {
            Some(reason) => {
                Exit::Stopped(Stopped::Limit(format!("its output cannot be stored: {reason}")))
            }
            None => exit,
        };
        let incarnation = claim.incarnation.clone();
        let step = if was_released && !stop.is_cancelled() {
            Step::Release { incarnation, reason: format!("engine {} drains", claim.engine) }
        } else {
            let duration_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
            let end = End {
                exit,
                chunks: written.chunks,
                bytes: written.bytes,
                digest: written.digest,
                duration_ms,
            };
            Step::Finish { incarnation, end }
        };
        match Run::after(Some(&self.run), step) {
            Ok(run) => self.write_end(&run).await && run.is_final(),
            Err(refused) => {
                tracing::error!(job = %self.spec.job, %refused, "impossible end");
                false
            }
        }
    }

    async fn run_plugin(
        &self,
        output: mpsc::Sender<blitz_contract::Frame>,
        cancel: CancellationToken,
    ) -> Exit {
        let begun = Instant::now();
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
        let invocation = Invocation {
            args: self.spec.args.clone(),
            region: self.spec.job.region().to_owned(),
            deadline: self.time_left.saturating_sub(begun.elapsed()),
            limits: self.spec.limits,
            capabilities: manifest.capabilities,
            inputs,
            output,
            cancel,
            tape: blitz_runtime::Tape::Live,
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

    /// Writes the end over the claim until the store has decided. False when it was not ours to write.
    async fn write_end(&self, end: &Run) -> bool {
        let mut wait = END_AGAIN;
        loop {
            let job = &self.spec.job;
            let written =
                blitz_jobs::claim::write(&self.jobs, self.copies, job, Some(&self.revision), end);
            match written.await {
                ClaimAnswer::Won(_) => return true,
                ClaimAnswer::Lost => {
                    tracing::warn!(%job, state = end.state(), "the end was not ours to write");
                    return false;
                }
                ClaimAnswer::Unknown => {}
            }
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(END_AGAIN_MAX);
        }
    }
}
