//! Watches the jobs of one command until all have ended: the one loop that owns their state.
//!
//! Followers send events, the renderer decides, and this performs. ^C cancels the jobs and leaves them
//! [`CANCEL_WAIT_MAX`] to end; a second ^C leaves at once. A closed pipe cancels them too.

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;
use std::pin::pin;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

use crate::api::{self, Gateway};
use crate::exit_code::{self, ExitCode, FailOn};
use crate::files::{FileError, OutputFiles, Written};
use crate::follow::{self, AWAY_MAX, News, follow};
use crate::outage::Outages;
use crate::render::{Action, HELD_BYTES_MAX, Outcome, Render, Watched};
use crate::screen::{Reader, Screen, Touched};
use crate::signals::Signals;
use crate::text::without_os_code;
use crate::wire::Event;

/// How long ^C waits for cancelled jobs to end.
pub(crate) const CANCEL_WAIT_MAX: Duration = Duration::from_secs(2);

/// Events that wait for the screen. A chunk has up to 64 KiB; a slow reader must slow the followers.
const NEWS_MAX: usize = 16;

/// Everything that watching needs.
pub(crate) struct Watch<'a> {
    pub(crate) gateway: &'a Gateway,
    pub(crate) jobs: Vec<Watched>,
    pub(crate) render: Box<dyn Render>,
    pub(crate) files: OutputFiles,
    pub(crate) screen: &'a mut Screen,
    pub(crate) signals: &'a mut Signals,
    /// The jobs are this command's own: ^C and a closed pipe cancel them.
    pub(crate) owns_jobs: bool,
    pub(crate) fail_on: FailOn,
    pub(crate) plugin: String,
    /// Nothing is said of gateways that come and go.
    pub(crate) quiet: bool,
}

/// Why watching ended before the jobs did. The texts read after `blitz curl: `.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// An output file.
    #[error(transparent)]
    File(#[from] FileError),
    /// Stdout.
    #[error("cannot write to stdout: {}", without_os_code(&.0.to_string()))]
    Stdout(io::Error),
    /// A file of our own.
    #[error("cannot write {path}: {}", without_os_code(&source.to_string()), path = path.display())]
    Write { path: PathBuf, source: io::Error },
    /// Memory.
    #[error(
        "--json, --buffer, --group and --side-by-side hold at most {} MiB of output; use --ndjson or none of them",
        HELD_BYTES_MAX / 1024 / 1024
    )]
    HeldTooMuch,
}

/// How far the loop goes on.
enum Flow {
    On,
    /// Nobody reads stdout any more.
    ReaderLeft,
    /// The jobs were cancelled and had their time to end.
    Interrupted(ExitCode),
    /// Leave at once with this code.
    Leave(ExitCode),
}

/// What ^C has set in motion.
#[derive(Default)]
struct Interrupt {
    code: Option<ExitCode>,
    leave_at: Option<Instant>,
    /// The jobs that it cancelled.
    jobs: BTreeSet<usize>,
}

impl Watch<'_> {
    /// Performs `first`, follows all jobs and gives the command's exit code.
    pub(crate) async fn run(mut self, first: Vec<Action>) -> Result<ExitCode, Error> {
        let (sender, mut news) = mpsc::channel(NEWS_MAX);
        let mut followers = JoinSet::new();
        for (job, watched) in self.jobs.iter().enumerate() {
            followers.spawn(follow(self.gateway.clone(), watched.id.clone(), job, sender.clone()));
        }
        drop(sender);
        let mut outcomes = vec![Outcome::default(); self.jobs.len()];
        let mut open: BTreeSet<usize> = (0..self.jobs.len()).collect();
        let result = self.follow_all(first, &mut news, &mut outcomes, &mut open).await;
        if self.owns_jobs
            && !open.is_empty()
            && !matches!(result, Ok(Flow::Leave(_) | Flow::Interrupted(_)))
        {
            // The job has no reader any more. It is told once; the gateway's own time limits do the rest.
            let _told =
                timeout(CANCEL_WAIT_MAX, cancel(self.gateway, ids(&self.jobs, &open))).await;
        }
        match result? {
            Flow::ReaderLeft => Ok(ExitCode::SUCCESS),
            Flow::Leave(code) => Ok(code),
            Flow::Interrupted(code) => self.finish(&outcomes, Some(code)).await,
            Flow::On => self.finish(&outcomes, None).await,
        }
    }

    async fn follow_all(
        &mut self,
        first: Vec<Action>,
        news: &mut mpsc::Receiver<(usize, News)>,
        outcomes: &mut [Outcome],
        open: &mut BTreeSet<usize>,
    ) -> Result<Flow, Error> {
        let mut interrupt = Interrupt::default();
        let mut cancels = JoinSet::new();
        // The jobs whose gateway does not answer.
        let mut away = BTreeSet::new();
        let mut outages = Outages::default();
        for action in first {
            match self.perform(action, &mut interrupt, open, &mut cancels).await? {
                Flow::On => {}
                stop => return Ok(stop),
            }
        }
        while !open.is_empty() {
            let arrived = tokio::select! {
                arrived = news.recv() => arrived,
                code = self.signals.next() => {
                    if let Some(code) = self.interrupted(code, &mut interrupt, open, &mut cancels) {
                        return Ok(Flow::Leave(code));
                    }
                    continue;
                }
                touched = self.screen.touched() => {
                if touched == Touched::Resized {
                    match self.screen.repaint().await.map_err(Error::Stdout)? {
                        Reader::Listens => continue,
                        Reader::Left => return Ok(Flow::ReaderLeft),
                    }
                }
                let code = ExitCode::INTERRUPTED;
                if let Some(code) = self.interrupted(code, &mut interrupt, open, &mut cancels) {
                    return Ok(Flow::Leave(code));
                }
                continue;
            }
                () = leave_time(&interrupt) => break,
            };
            // Every follower sends an end or a failure before it goes.
            let Some((job, piece)) = arrived else { break };
            if !open.contains(&job) {
                continue;
            }
            let actions = match piece {
                News::Event(event) => {
                    note(&mut outcomes[job], &event);
                    outages.hear_event(job, &event);
                    if matches!(event, Event::End(_)) {
                        open.remove(&job);
                    }
                    self.render.event(job, &event)
                }
                News::Outage(outage) => {
                    let mut actions = self.render.outage(job, &outage);
                    if let Some(how) = outages.hear(job, &outage)
                        && !self.quiet
                    {
                        let line = format!("blitz {}: {how}\n", self.plugin).into_bytes();
                        actions.extend(self.render.talk(line));
                    }
                    actions
                }
                News::Away => {
                    let is_first = away.is_empty();
                    away.insert(job);
                    let how = format!("lost the gateway, trying for {} s", AWAY_MAX.as_secs());
                    self.gateway_went(is_first, &how)
                }
                News::Back => {
                    away.remove(&job);
                    self.gateway_went(away.is_empty(), "the gateway is back")
                }
                News::Failed(error) => {
                    open.remove(&job);
                    outcomes[job].code = Some(match error {
                        follow::Error::Api(api::Error::Unauthorized { .. }) => ExitCode::REFUSED,
                        _ => ExitCode::UNREACHABLE,
                    });
                    outcomes[job].failure = Some(error.to_string());
                    Vec::new()
                }
            };
            for action in actions {
                if let Action::Abandon { job, reason } = action {
                    open.remove(&job);
                    outcomes[job].incomplete = Some(reason.clone());
                    outcomes[job].failure = Some(reason);
                    if self.owns_jobs {
                        cancels.spawn(cancel_one(self.gateway.clone(), self.jobs[job].id.clone()));
                    }
                    continue;
                }
                match self.perform(action, &mut interrupt, open, &mut cancels).await? {
                    Flow::On => {}
                    stop => return Ok(stop),
                }
            }
        }
        // What was told to end is told completely, within limits, before the process goes.
        let _told =
            timeout(CANCEL_WAIT_MAX, async { while cancels.join_next().await.is_some() {} }).await;
        match interrupt.code {
            Some(code) => {
                open.clear();
                for &job in &interrupt.jobs {
                    outcomes[job].interrupted(code);
                }
                Ok(Flow::Interrupted(code))
            }
            None => Ok(Flow::On),
        }
    }

    /// Performs one action. A write that hangs does not keep ^C from being heard.
    async fn perform(
        &mut self,
        action: Action,
        interrupt: &mut Interrupt,
        open: &BTreeSet<usize>,
        cancels: &mut JoinSet<()>,
    ) -> Result<Flow, Error> {
        // The write may be given up in the middle: the process leaves then.
        let Watch { screen, files, plugin, signals, gateway, jobs, owns_jobs, .. } = self;
        let write = async {
            match action {
                Action::Stdout(bytes) => return screen.stdout(&bytes).await.map_err(Error::Stdout),
                Action::Stderr(bytes) => screen.stderr(&bytes).await,
                Action::Show(view) => {
                    return screen.show(*view).await.map_err(Error::Stdout);
                }
                Action::Hide => return screen.hide().await.map_err(Error::Stdout),
                Action::Write { path, bytes } => {
                    let written = tokio::fs::write(&path, bytes).await;
                    written.map_err(|source| Error::Write { path, source })?;
                }
                Action::Draw { blocks, head } => {
                    return screen.draw(blocks, head).await.map_err(Error::Stdout);
                }
                Action::File { job, name, bytes } => {
                    if files.write(job, &name, &bytes).await? == Written::LeftOut {
                        screen.stderr(&left_out(plugin, &name)).await;
                    }
                }
                Action::ResetFiles { job } => files.reset(job).await?,
                Action::HeldTooMuch => return Err(Error::HeldTooMuch),
                // Handled by the caller, who owns the outcomes.
                Action::Abandon { .. } => {}
            }
            Ok(Reader::Listens)
        };
        let mut write = pin!(write);
        loop {
            let code = tokio::select! {
                written = &mut write => return match written {
                    Ok(Reader::Listens) => Ok(Flow::On),
                    Ok(Reader::Left) => Ok(Flow::ReaderLeft),
                    Err(error) => Err(error),
                },
                code = signals.next() => code,
                () = leave_time(interrupt) => {
                    return Ok(Flow::Leave(interrupt.code.unwrap_or(ExitCode::INTERRUPTED)));
                }
            };
            if let Some(code) = interrupt.take(code, *owns_jobs, open) {
                return Ok(Flow::Leave(code));
            }
            for id in ids(jobs, open) {
                cancels.spawn(cancel_one((*gateway).clone(), id));
            }
        }
    }

    /// Says it once for all jobs, at once: what is silent looks as if it hung.
    fn gateway_went(&mut self, is_news: bool, how: &str) -> Vec<Action> {
        if self.quiet || !is_news {
            return Vec::new();
        }
        self.render.talk(format!("blitz {}: {how}\n", self.plugin).into_bytes())
    }

    /// A signal came. `Some` leaves at once.
    fn interrupted(
        &mut self,
        code: ExitCode,
        interrupt: &mut Interrupt,
        open: &BTreeSet<usize>,
        cancels: &mut JoinSet<()>,
    ) -> Option<ExitCode> {
        if let Some(code) = interrupt.take(code, self.owns_jobs, open) {
            return Some(code);
        }
        self.screen.is_ending = true;
        for id in ids(&self.jobs, open) {
            cancels.spawn(cancel_one(self.gateway.clone(), id));
        }
        None
    }

    /// `code` is the command's, when it is decided already.
    async fn finish(
        &mut self,
        outcomes: &[Outcome],
        code: Option<ExitCode>,
    ) -> Result<ExitCode, Error> {
        let codes: Vec<ExitCode> = outcomes.iter().map(Outcome::code).collect();
        let is_gateway_lost = outcomes.iter().any(Outcome::is_unreachable);
        let code = code.unwrap_or_else(|| {
            let code = exit_code::combine(self.fail_on, &codes, is_gateway_lost);
            self.render.code(outcomes, code)
        });
        for action in self.render.finish(outcomes, code) {
            let (mut interrupt, mut cancels) = (Interrupt::default(), JoinSet::new());
            let none_open = BTreeSet::new();
            match self.perform(action, &mut interrupt, &none_open, &mut cancels).await? {
                Flow::On => {}
                Flow::ReaderLeft => return Ok(ExitCode::SUCCESS),
                Flow::Leave(code) | Flow::Interrupted(code) => return Ok(code),
            }
        }
        Ok(code)
    }
}

impl Interrupt {
    /// Notes a signal. `Some` when the process leaves at once: a second one, or jobs of somebody else.
    fn take(
        &mut self,
        code: ExitCode,
        owns_jobs: bool,
        open: &BTreeSet<usize>,
    ) -> Option<ExitCode> {
        if self.code.is_some() || !owns_jobs {
            return Some(code);
        }
        self.code = Some(code);
        self.leave_at = Some(Instant::now() + CANCEL_WAIT_MAX);
        self.jobs.clone_from(open);
        None
    }
}

/// What is said of a file that the plugin writes and the user did not name.
fn left_out(plugin: &str, name: &str) -> Vec<u8> {
    let text =
        format!("blitz {plugin}: left out a file '{name}' that this command line does not name\n");
    crate::strip::Strip::default().push(text.as_bytes())
}

/// Waits for the end of the patience after ^C; for ever before one.
async fn leave_time(interrupt: &Interrupt) {
    match interrupt.leave_at {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// What an event says about the outcome.
fn note(outcome: &mut Outcome, event: &Event) {
    match event {
        Event::End(end) => {
            outcome.code = Some(exit_code::of_end(end));
            outcome.end = Some(end.clone());
        }
        Event::Incomplete(incomplete) => outcome.incomplete = Some(incomplete.reason.clone()),
        Event::Restart(_) => outcome.incomplete = None,
        Event::State(_) | Event::Output(_) => {}
    }
}

fn ids(jobs: &[Watched], which: &BTreeSet<usize>) -> Vec<String> {
    which.iter().map(|job| jobs[*job].id.clone()).collect()
}

/// Cancels jobs side by side.
pub(crate) async fn cancel(gateway: &Gateway, ids: Vec<String>) {
    let mut cancels = JoinSet::new();
    for id in ids {
        cancels.spawn(cancel_one(gateway.clone(), id));
    }
    while cancels.join_next().await.is_some() {}
}

/// Cancels a job. A failure changes nothing: the process is about to leave, and the job has its limits.
async fn cancel_one(gateway: Gateway, id: String) {
    if let Err(error) = gateway.cancel(&id).await {
        tracing::debug!(%id, %error, "could not cancel");
    }
}
