//! A plugin's command, from its words to its exit code: the user's half of the road of a job.

use std::collections::BTreeSet;
use std::io::{self, Write as _};

use blitz_contract::arguments::masked;
use blitz_jobs::timing::QUEUE_TIMEOUT_PREPARING;
use tokio::time::timeout;

use crate::api::Gateway;
use crate::commands::global_flags;
use crate::environment::Environment;
use crate::exit_code::ExitCode;
use crate::files::OutputFiles;
use crate::help;
use crate::known;
use crate::pin::Pin;
use crate::render::{Scene, Watched, renderer, watched};
use crate::screen::Screen;
use crate::settings::{Format, Settings};
use crate::signals::Signals;
use crate::strip::Strip;
use crate::submit::{self, Order};
use crate::text::without_os_code;
use crate::watch::{self, CANCEL_WAIT_MAX, Watch};
use crate::wire::Submitted;
use crate::words::Typed;

/// What the user asks for.
#[derive(Debug, Clone)]
pub(crate) struct Command {
    pub(crate) plugin: Pin,
    pub(crate) typed: Typed,
    pub(crate) settings: Settings,
}

impl Command {
    /// The same for an engine that begins with the command: it prepares its plugins first, and is waited for.
    pub(crate) fn with_a_new_engine(mut self) -> Self {
        self.settings.queue_timeout.get_or_insert(QUEUE_TIMEOUT_PREPARING);
        self
    }
}

/// Why a command failed before or beside its jobs. The texts read after `blitz curl: `.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// Before the jobs were made.
    #[error(transparent)]
    Submit(#[from] submit::Error),
    /// While they were watched.
    #[error(transparent)]
    Watch(#[from] watch::Error),
    /// Signals cannot be caught: the job could not be cancelled.
    #[error("cannot catch signals: {0}")]
    Signals(io::Error),
}

/// Runs a command against a gateway.
///
/// Three requests: the manifest, the jobs, the events of each job.
pub(crate) async fn run(
    gateway: &Gateway,
    command: &Command,
    environment: &Environment,
) -> Result<ExitCode, Error> {
    let settings = &command.settings;
    let wanted = submit::Wanted { pin: &command.plugin, settings };
    let order = match submit::order(gateway, wanted, command.typed.clone()).await {
        Err(submit::Error::WantsHelp(manifest)) => {
            return Ok(print(&help::of_plugin(&manifest, &global_flags())));
        }
        order => order?,
    };
    known::keep(environment, &order.manifest);
    let inputs = submit::read_inputs(&order.arguments.inputs())?;
    // From here on ^C has something to cancel. Before, while stdin was read, it just ended the process.
    let mut signals = Signals::catch().map_err(Error::Signals)?;
    let mut submitting = std::pin::pin!(submit::submit(gateway, &order, inputs, settings));
    let submitted = tokio::select! {
        submitted = &mut submitting => submitted?,
        code = signals.next() => {
            // The jobs may exist by now: whoever knows their ids cancels them.
            if let Ok(Ok(submitted)) = timeout(CANCEL_WAIT_MAX, submitting).await {
                let ids = submitted.jobs.into_iter().map(|job| job.id).collect();
                let _told = timeout(CANCEL_WAIT_MAX, watch::cancel(gateway, ids)).await;
            }
            return Ok(code);
        }
    };
    let mut screen = Screen::new();
    for note in submitted.notes.iter().filter(|_| !settings.quiet) {
        // Names of regions are other people's words.
        let line = format!("blitz {}: {note}\n", command.plugin.name);
        screen.stderr(&Strip::default().push(line.as_bytes())).await;
    }
    if settings.detach {
        return Ok(detached(&submitted, settings));
    }
    let jobs = watched(&submitted);
    if screen.stderr_is_terminal && !settings.quiet {
        screen.stderr(format!("running from {}...\n", places(&jobs)).as_bytes()).await;
    }
    let scene = scene(&order, &submitted, jobs.clone(), settings, &screen, environment);
    let mut render = renderer(settings.format, scene);
    let labels: Vec<String> = jobs.iter().map(|job| job.label.clone()).collect();
    let declared: BTreeSet<String> =
        order.arguments.outputs().into_iter().map(str::to_owned).collect();
    let first = render.submitted(&submitted);
    let watch = Watch {
        gateway,
        jobs,
        render,
        files: OutputFiles::new(declared, &labels),
        screen: &mut screen,
        signals: &mut signals,
        owns_jobs: true,
        fail_on: settings.fail_on,
        plugin: command.plugin.name.clone(),
        quiet: settings.quiet,
    };
    Ok(watch.run(first).await?)
}

fn scene(
    order: &Order,
    submitted: &Submitted,
    jobs: Vec<Watched>,
    settings: &Settings,
    screen: &Screen,
    environment: &Environment,
) -> Scene {
    Scene {
        plugin: submitted.plugin.clone(),
        version: submitted.version.clone(),
        args: masked(&order.manifest, &order.args),
        run: submitted.run.clone(),
        jobs,
        table: order.manifest.table.clone(),
        live: order.manifest.live.clone(),
        is_side_by_side: order.manifest.side_by_side,
        width_chars: screen.width_chars(),
        stdout_is_terminal: screen.stdout_is_terminal,
        stderr_is_terminal: screen.stderr_is_terminal,
        streams_are_one: screen.streams_are_one,
        raw: settings.raw,
        quiet: settings.quiet,
        color: settings.color,
        no_color: environment.no_color,
        load: order.load.clone(),
        owns_jobs: true,
    }
}

/// `japan`, or `virginia, japan`.
fn places(jobs: &[Watched]) -> String {
    let labels: Vec<&str> = jobs.iter().map(|job| job.label.as_str()).collect();
    labels.join(", ")
}

/// `--detach`: the ids on stdout, one a line; or the gateway's answer.
fn detached(submitted: &Submitted, settings: &Settings) -> ExitCode {
    let text = match settings.format {
        Format::Text { .. } | Format::Group | Format::SideBySide | Format::Table => {
            submitted.jobs.iter().map(|job| format!("{}\n", job.id)).collect()
        }
        Format::Json | Format::Ndjson => {
            let mut text = serde_json::to_string(submitted).unwrap_or_default();
            text.push('\n');
            text
        }
    };
    print(&text)
}

/// Writes a short text of our own to stdout. A closed pipe is a quiet end.
pub(crate) fn print(text: &str) -> ExitCode {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            let cause = without_os_code(&error.to_string());
            say(&format!("blitz: cannot write to standard output: {cause}"));
            ExitCode::FAILURE
        }
        _ => ExitCode::SUCCESS,
    }
}

/// Says a line on stderr, without control sequences: reasons have foreign words in them. Nobody can be told that
/// this failed.
pub(crate) fn say(line: &str) {
    let safe = Strip::default().push(format!("{line}\n").as_bytes());
    io::stderr().write_all(&safe).ok();
}
