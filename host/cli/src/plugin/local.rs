//! One run of a plugin in this process: the engine's runtime under its limits, shown as a job is.
//!
//! A renderer of jobs decides what is shown, as for a job of one region; this performs it. ^C cancels the run, a
//! second one leaves at once.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
use std::time::{Duration, Instant};

use blitz_contract::{Arguments, Capability, Exit, Frame, Manifest, Stopped, UsageError};
use blitz_runtime::{Invocation, Plugin, Tape};
use bytes::Bytes;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::exit_code::{self, ExitCode, FailOn};
use crate::files::{OutputFiles, Written};
use crate::plugin::Error;
use crate::render::{Action, HELD_BYTES_MAX, Outcome, Render};
use crate::screen::{Reader, Screen};
use crate::signals::Signals;
use crate::text::without_os_code;
use crate::wire::{End, Event, JobState, Output};

/// The region that a local run is told.
pub(super) const REGION: &str = "local";

/// Time of a run when nobody says: what a job has.
pub(super) const TIMEOUT_DEFAULT: Duration = blitz_jobs::timing::JOB_TIMEOUT;

/// Frames of up to 64 KiB that wait for the screen. As many as a run with a tape hardly fills: whether there is room
/// is nothing that a tape could tell.
const FRAMES_MAX: usize = 256;

/// What is run.
pub(super) struct Trial<'a> {
    pub(super) plugin: &'a Plugin,
    pub(super) manifest: &'a Manifest,
    pub(super) args: Vec<String>,
    pub(super) inputs: BTreeMap<String, Bytes>,
    pub(super) capabilities: Vec<Capability>,
    pub(super) timeout: Duration,
    pub(super) tape: Tape,
    pub(super) cancel: CancellationToken,
}

impl Trial<'_> {
    /// Runs it, and hands every frame to the receiver.
    fn start(self) -> (impl Future<Output = Exit>, mpsc::Receiver<Frame>) {
        let (output, frames) = mpsc::channel(FRAMES_MAX);
        let invocation = Invocation {
            args: self.args,
            region: REGION.to_owned(),
            deadline: self.timeout,
            limits: self.manifest.limits,
            capabilities: self.capabilities,
            inputs: self.inputs,
            output,
            cancel: self.cancel,
            tape: self.tape,
            targets: Vec::new(),
            load: Default::default(),
        };
        let plugin = self.plugin.clone();
        (async move { plugin.run(invocation).await }, frames)
    }

    /// Runs it to its end and keeps what it gave, up to the limit of what a command holds in memory.
    pub(super) async fn gather(self) -> (Exit, Vec<Frame>) {
        let cancel = self.cancel.clone();
        let (running, mut frames) = self.start();
        let taking = async {
            let (mut taken, mut bytes) = (Vec::new(), 0);
            while let Some(frame) = frames.recv().await {
                bytes += frame.bytes.len();
                if bytes > HELD_BYTES_MAX {
                    cancel.cancel();
                    continue;
                }
                taken.push(frame);
            }
            (taken, bytes > HELD_BYTES_MAX)
        };
        let (exit, (taken, is_cut)) = tokio::join!(running, taking);
        let exit = match is_cut {
            true => Exit::Stopped(Stopped::Limit(format!(
                "it gave more than {} MiB, which a test does not hold",
                HELD_BYTES_MAX / 1024 / 1024
            ))),
            false => exit,
        };
        (exit, taken)
    }
}

/// Checks a command line as the gateway would.
///
/// `way` is the command that shows the plugin's help.
pub(super) fn check_args(
    manifest: &Manifest,
    args: &[String],
    way: &str,
) -> Result<Arguments, Error> {
    Arguments::parse(manifest, args).map_err(|usage| {
        let name = &manifest.name;
        Error::Usage(match usage {
            UsageError::Unknown { .. } => format!("{name}: {usage}; '{way}' lists what is"),
            usage => format!("{name}: {usage}; see '{way}'"),
        })
    })
}

/// Shows a run as it goes.
pub(super) struct Show<'a> {
    pub(super) render: Box<dyn Render>,
    pub(super) files: OutputFiles,
    pub(super) screen: &'a mut Screen,
    pub(super) signals: Signals,
    pub(super) name: String,
}

/// How far it goes on.
enum Flow {
    On,
    ReaderLeft,
    Leave(ExitCode),
}

impl Show<'_> {
    /// Runs a trial to its end; gives the exit code.
    pub(super) async fn run(mut self, trial: Trial<'_>) -> Result<ExitCode, Error> {
        let begun = Instant::now();
        let cancel = trial.cancel.clone();
        let (running, mut frames) = trial.start();
        let mut running = pin!(running);
        let (mut exit, mut interrupted, mut seq) = (None, None, 0);
        loop {
            let frame = tokio::select! {
                frame = frames.recv() => match frame {
                    Some(frame) => frame,
                    None => break,
                },
                ended = &mut running, if exit.is_none() => {
                    exit = Some(ended);
                    continue;
                }
                code = self.signals.next() => {
                    if interrupted.replace(code).is_some() {
                        return Ok(code);
                    }
                    cancel.cancel();
                    continue;
                }
            };
            let event = Event::Output(Output {
                attempt: 1,
                incarnation: String::new(),
                seq,
                frames: vec![frame],
            });
            seq += 1;
            let actions = self.render.event(0, &event);
            match self.perform(actions).await? {
                Flow::On => {}
                // Dropped with what it holds.
                Flow::ReaderLeft => return Ok(ExitCode::SUCCESS),
                Flow::Leave(code) => return Ok(code),
            }
        }
        let exit = match exit {
            Some(exit) => exit,
            None => running.await,
        };
        self.finish(exit, interrupted, begun.elapsed()).await
    }

    async fn finish(
        mut self,
        exit: Exit,
        interrupted: Option<ExitCode>,
        took: Duration,
    ) -> Result<ExitCode, Error> {
        let state = match &exit {
            Exit::Status(0) => JobState::Done,
            Exit::Stopped(Stopped::Cancelled) => JobState::Cancelled,
            _ => JobState::Failed,
        };
        let end = End {
            state,
            exit: Some(exit),
            attempt: Some(1),
            duration_ms: u64::try_from(took.as_millis()).ok(),
            ..End::default()
        };
        let mut outcome = Outcome {
            code: Some(exit_code::of_end(&end)),
            end: Some(end.clone()),
            ..Outcome::default()
        };
        if let Some(code) = interrupted {
            outcome.interrupted(code);
        }
        let mut actions = self.render.event(0, &Event::End(end));
        let outcomes = [outcome];
        let code = exit_code::combine(FailOn::Any, &[outcomes[0].code()], false);
        let code = self.render.code(&outcomes, code);
        actions.extend(self.render.finish(&outcomes, code));
        match self.perform(actions).await? {
            Flow::On => Ok(code),
            Flow::ReaderLeft => Ok(ExitCode::SUCCESS),
            Flow::Leave(code) => Ok(code),
        }
    }

    async fn perform(&mut self, actions: Vec<Action>) -> Result<Flow, Error> {
        let Self { screen, files, signals, name, .. } = self;
        let write = async {
            for action in actions {
                if write(action, screen, files, name).await? == Reader::Left {
                    return Ok(Flow::ReaderLeft);
                }
            }
            Ok(Flow::On)
        };
        tokio::select! {
            written = write => written,
            // A write that hangs: nothing of the run is outside of this process.
            code = signals.next() => Ok(Flow::Leave(code)),
        }
    }
}

async fn write(
    action: Action,
    screen: &mut Screen,
    files: &mut OutputFiles,
    plugin: &str,
) -> Result<Reader, Error> {
    let failed = |text: String| Error::Failed(format!("{plugin}: {text}"));
    let cannot = |error: std::io::Error| {
        failed(format!("cannot write to stdout: {}", without_os_code(&error.to_string())))
    };
    match action {
        Action::Stdout(bytes) => return screen.stdout(&bytes).await.map_err(cannot),
        Action::Draw { blocks, head } => {
            return screen.draw(blocks, head).await.map_err(cannot);
        }
        Action::Show(view) => return screen.show(*view).await.map_err(cannot),
        Action::Hide => return screen.hide().await.map_err(cannot),
        Action::Stderr(bytes) => screen.stderr(&bytes).await,
        Action::File { job, name, bytes } => {
            let written = files.write(job, &name, &bytes).await;
            if written.map_err(|error| failed(error.to_string()))? == Written::LeftOut {
                let text = format!(
                    "blitz {plugin}: left out a file '{name}' that this command line does not name\n"
                );
                let mut strip = crate::strip::Strip::default();
                screen.stderr(&strip.push(text.as_bytes())).await;
            }
        }
        Action::HeldTooMuch => {
            return Err(failed(format!(
                "--json holds at most {} MiB of output",
                HELD_BYTES_MAX / 1024 / 1024
            )));
        }
        // One attempt, and one job; files of our own are for commands.
        Action::ResetFiles { .. } | Action::Abandon { .. } | Action::Write { .. } => {}
    }
    Ok(Reader::Listens)
}

/// The files that the arguments name for the plugin to write.
pub(super) fn output_files(arguments: &Arguments) -> OutputFiles {
    let declared: BTreeSet<String> = arguments.outputs().into_iter().map(str::to_owned).collect();
    OutputFiles::new(declared, &[REGION.to_owned()])
}
