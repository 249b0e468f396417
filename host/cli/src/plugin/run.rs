//! `blitz plugin run`: a plugin's file in the sandbox of an engine, in this process. No server, no publishing.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use blitz_contract::arguments::masked;
use blitz_contract::{Capability, Manifest};
use blitz_runtime::{Player, Recorder, Tape, tapes};
use bytes::Bytes;
use tokio_util::sync::CancellationToken;

use crate::color::ColorChoice;
use crate::commands::{global_flags, parse_duration};
use crate::environment::Environment;
use crate::exit_code::ExitCode;
use crate::help;
use crate::load;
use crate::plugin::Error;
use crate::plugin::file::{self, PluginFile};
use crate::plugin::local::{self, REGION, Show, TIMEOUT_DEFAULT, Trial};
use crate::render::{Scene, Watched, renderer};
use crate::run::{print, say};
use crate::screen::Screen;
use crate::settings::Format;
use crate::signals::Signals;
use crate::submit;
use crate::targets::{TargetArgs, Targets};
use crate::text::{quoted, without_os_code};

/// `blitz plugin run`.
#[derive(Debug, clap::Args)]
#[command(disable_help_flag = true)]
pub(crate) struct RunArgs {
    /// The plugin's file, or the directory that it is built in
    #[arg(required_unless_present = "help")]
    file: Option<PathBuf>,
    /// Write down what it hears (HTTP, DNS, clocks, random numbers), for 'blitz plugin test'
    #[arg(long, value_name = "TAPE")]
    record: Option<PathBuf>,
    /// Let it hear a recorded tape in place of the world
    #[arg(long, value_name = "TAPE", conflicts_with = "record")]
    replay: Option<PathBuf>,
    /// The rights to grant: web,dns,sockets,probes or none [default: what its manifest asks for]
    #[arg(long, value_name = "LIST", value_delimiter = ',', value_parser = ["web", "dns", "sockets", "probes", "none"])]
    allow: Option<Vec<String>>,
    /// Time for the run: 30, 30s, 5m [default: 60s, as a job]
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    timeout: Option<Duration>,
    /// One JSON document at the end, instead of the output
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    targets: TargetArgs,
    /// A database of networks in MaxMind's format, as an engine's operator gives it; repeat for others
    #[arg(long, value_name = "FILE")]
    networks: Vec<PathBuf>,
    /// Help; behind FILE that of the plugin
    #[arg(short, long, action = clap::ArgAction::SetTrue)]
    help: bool,
    /// The plugin's arguments; behind '--' also those that are flags of this command
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    args: Vec<String>,
}

pub(crate) async fn run(args: RunArgs, environment: &Environment) -> Result<ExitCode, Error> {
    let asks_help = args.help || args.args.iter().any(|arg| arg == "--help");
    let Some(path) = args.file else { return Ok(print(&own_help())) };
    let file = PluginFile::read(&path)?;
    if asks_help && let Some(manifest) = file.written_manifest()? {
        return Ok(print(&help::of_plugin(&manifest, &global_flags())));
    }
    let runtime = file::runtime(args.targets.policy(Targets::Any), args.networks, environment)?;
    let (plugin, manifest) = file.load(&runtime).await?;
    if asks_help {
        return Ok(print(&help::of_plugin(&manifest, &global_flags())));
    }
    let way = format!("blitz plugin run {} --help", quoted(&path.display().to_string()));
    let arguments = local::check_args(&manifest, &args.args, &way)?;
    let inputs = inputs(&arguments.inputs(), &manifest)?;
    let (tape, recorder) = tape(args.record.as_deref(), args.replay.as_deref())?;
    let trial = Trial {
        plugin: &plugin,
        manifest: &manifest,
        args: args.args.clone(),
        inputs,
        capabilities: granted(args.allow, &manifest),
        timeout: args.timeout.unwrap_or(TIMEOUT_DEFAULT),
        tape,
        cancel: CancellationToken::new(),
    };
    if args.record.is_some() && trial.capabilities.contains(&Capability::Sockets) {
        say(
            "blitz: connections by 'sockets' and wasi:http are not on tapes: a replay refuses them",
        );
    }
    let withheld = withheld(&trial.capabilities, &manifest);
    let signals = Signals::catch()
        .map_err(|error| Error::Failed(format!("cannot catch signals: {error}")))?;
    let mut screen = Screen::new();
    let scene = scene(&manifest, &args.args, &screen, environment);
    let format = if args.json { Format::Json } else { Format::Text { buffer: false } };
    let show = Show {
        render: renderer(format, scene),
        files: local::output_files(&arguments),
        screen: &mut screen,
        signals,
        name: manifest.name.clone(),
    };
    let code = show.run(trial).await?;
    if code != ExitCode::SUCCESS && !withheld.is_empty() {
        let withheld = withheld.join(", ");
        say(&format!("blitz: its manifest asks for {withheld}, and --allow did not grant it"));
    }
    if let (Some(path), Some(recorder)) = (&args.record, recorder) {
        save(path, &manifest, &args.args, &recorder)?;
        let words: Vec<String> = args.args.iter().map(|word| quoted(word)).collect();
        say(&format!(
            "blitz: the tape is in '{}', with all that was sent and heard: look for secrets before others see it; \
             'blitz plugin test --new NAME -- {}' makes a case of such a run",
            path.display(),
            words.join(" ")
        ));
    }
    Ok(code)
}

/// Writes what was recorded.
pub(super) fn save(
    path: &Path,
    manifest: &Manifest,
    args: &[String],
    recorder: &Recorder,
) -> Result<(), Error> {
    let plugin = format!("{}@{}", manifest.name, manifest.version);
    let header = tapes::Header::new(plugin, masked(manifest, args));
    std::fs::write(path, tapes::write(&header, &recorder.take())).map_err(|error| {
        let cause = without_os_code(&error.to_string());
        Error::Failed(format!("cannot write '{}': {cause}", path.display()))
    })
}

/// The tape of a file.
pub(super) fn player(path: &Path) -> Result<Player, Error> {
    let shown = path.display();
    let text = std::fs::read_to_string(path).map_err(|error| {
        Error::Usage(format!("cannot read '{shown}': {}", without_os_code(&error.to_string())))
    })?;
    let (_, entries) =
        tapes::read(&text).map_err(|error| Error::Usage(format!("'{shown}': {error}")))?;
    Ok(Player::new(entries))
}

fn tape(record: Option<&Path>, replay: Option<&Path>) -> Result<(Tape, Option<Recorder>), Error> {
    if let Some(path) = replay {
        return Ok((Tape::Replay(player(path)?), None));
    }
    let recorder = record.map(|_| Recorder::default());
    Ok((recorder.clone().map_or(Tape::Live, Tape::Record), recorder))
}

/// The input files of the user's machine.
pub(super) fn inputs(
    names: &BTreeSet<&str>,
    manifest: &Manifest,
) -> Result<BTreeMap<String, Bytes>, Error> {
    let files = submit::read_files(names)
        .map_err(|error| Error::Usage(format!("{}: {error}", manifest.name)))?;
    Ok(files.into_iter().map(|(name, bytes)| (name, Bytes::from(bytes))).collect())
}

fn granted(allow: Option<Vec<String>>, manifest: &Manifest) -> Vec<Capability> {
    match allow {
        None => manifest.capabilities.clone(),
        Some(names) => names
            .iter()
            .filter(|name| *name != "none")
            .map(|name| Capability::from(name.as_str()))
            .collect(),
    }
}

/// What the manifest asks for and the user did not grant: the host's own words on a denial know the job only.
fn withheld<'a>(granted: &[Capability], manifest: &'a Manifest) -> Vec<&'a str> {
    let withheld = manifest.capabilities.iter().filter(|right| !granted.contains(right));
    withheld.map(Capability::name).collect()
}

fn scene(
    manifest: &Manifest,
    args: &[String],
    screen: &Screen,
    environment: &Environment,
) -> Scene {
    let job =
        Watched { id: REGION.to_owned(), region: REGION.to_owned(), label: REGION.to_owned() };
    Scene {
        plugin: manifest.name.clone(),
        version: manifest.version.clone(),
        args: masked(manifest, args),
        run: REGION.to_owned(),
        jobs: vec![job],
        table: manifest.table.clone(),
        live: manifest.live.clone(),
        is_side_by_side: false,
        width_chars: screen.width_chars(),
        stdout_is_terminal: screen.stdout_is_terminal,
        stderr_is_terminal: screen.stderr_is_terminal,
        streams_are_one: screen.streams_are_one,
        raw: false,
        quiet: false,
        color: ColorChoice::default(),
        no_color: environment.no_color,
        load: load::is_load(manifest)
            .then(|| load::LoadOptions { no_live: true, ..load::LoadOptions::default() }),
        owns_jobs: true,
    }
}

/// The help of this command itself, which clap does not give as `--help` may be the plugin's.
fn own_help() -> String {
    crate::commands::help_of(&["plugin", "run"])
}
