//! `blitz plugin test`: a plugin's recorded cases, run in the host that engines have.
//!
//! `case` is the form of `tests/*.toml`, `seen` what a run gave and how it differs, `bless` writes a case down.

mod bless;
mod case;
mod seen;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use blitz_contract::{Capability, Manifest};
use blitz_runtime::{Player, Plugin, Recorder, Tape};
use bytes::Bytes;
use tokio_util::sync::CancellationToken;

use crate::environment::Environment;
use crate::exit_code::ExitCode;
use crate::list::print_table;
use crate::plugin::Error;
use crate::plugin::file::{self, PluginFile};
use crate::plugin::local::{self, TIMEOUT_DEFAULT, Trial};
use crate::plugin::run::{inputs, player, save};
use crate::run::print;
use crate::targets::{TargetArgs, Targets};
use crate::text::{quoted, without_os_code};
use case::{Case, CaseFile, Text};
use seen::Seen;

/// `blitz plugin test`.
#[derive(Debug, clap::Args)]
pub(crate) struct TestArgs {
    /// The plugin's directory or file [default: this directory]
    #[arg(value_name = "DIR|FILE")]
    place: Option<String>,
    /// A part of the names of the cases to run; without DIR too
    filter: Option<String>,
    /// Write down what was seen, where it differs
    #[arg(long, conflicts_with = "new")]
    bless: bool,
    /// Record a new case with the arguments behind '--': tests/NAME.toml, and tests/NAME.tape
    #[arg(long, value_name = "NAME", value_parser = case_name)]
    new: Option<String>,
    #[command(flatten)]
    targets: TargetArgs,
    /// The arguments of the new case
    #[arg(last = true, requires = "new")]
    args: Vec<String>,
}

/// The directory of the cases, beside the plugin's file.
const TESTS: &str = "tests";

pub(crate) async fn run(args: TestArgs, environment: &Environment) -> Result<ExitCode, Error> {
    let (path, filter) = place(args.place, args.filter);
    let file = PluginFile::read(&path)?;
    let directory = file.path.parent().unwrap_or(Path::new("")).join(TESTS);
    let runtime = file::runtime(args.targets.policy(Targets::Any), Vec::new(), environment)?;
    let (plugin, manifest) = file.load(&runtime).await?;
    let way = format!("blitz plugin run {} --help", quoted(&file.path.display().to_string()));
    let bench = Bench { plugin, manifest, directory, way };
    match args.new {
        Some(name) => bench.record(&name, args.args).await,
        None => bench.run_all(&filter, args.bless).await,
    }
}

/// What stands there is the plugin, anything else is a filter.
fn place(first: Option<String>, second: Option<String>) -> (PathBuf, String) {
    let here = || PathBuf::from(".");
    match (first, second) {
        (Some(word), None) if !Path::new(&word).exists() => (here(), word),
        (path, filter) => (path.map_or_else(here, PathBuf::from), filter.unwrap_or_default()),
    }
}

fn case_name(name: &str) -> Result<String, &'static str> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    let is_name = !name.is_empty() && name.len() <= 80 && name.chars().all(is_plain);
    is_name.then(|| name.to_owned()).ok_or("1 to 80 letters, digits, - and _")
}

/// A plugin and its cases.
struct Bench {
    plugin: Plugin,
    manifest: Manifest,
    directory: PathBuf,
    /// The command that shows the plugin's help.
    way: String,
}

impl Bench {
    async fn run_all(&self, filter: &str, bless: bool) -> Result<ExitCode, Error> {
        let (mut passed, mut failed) = (0, 0);
        for path in self.files()? {
            let mut file = CaseFile::read(&path)?;
            let mut is_changed = false;
            for case in &mut file.cases {
                let name = format!("{}: {}", shown(&path), case.name);
                if !name.contains(filter) {
                    continue;
                }
                let seen = self.run_case(case, &path).await?;
                let differences = seen.differences(case);
                let line = match (differences.is_empty(), bless) {
                    (true, _) => format!("ok       {name}\n"),
                    (false, true) => {
                        seen.bless(case);
                        is_changed = true;
                        format!("blessed  {name}\n")
                    }
                    (false, false) => format!("FAILED   {name}\n{}", differences.join("")),
                };
                if differences.is_empty() || bless {
                    passed += 1;
                } else {
                    failed += 1;
                }
                if print_table(&line) != ExitCode::SUCCESS {
                    return Ok(ExitCode::FAILURE);
                }
            }
            if is_changed {
                write(&path, bless::text(&file).as_bytes())?;
            }
        }
        match (passed, failed) {
            (0, 0) => Err(Error::Usage(format!(
                "no case{} in {}/*.toml; 'blitz plugin test --new NAME -- ARGS' records one",
                if filter.is_empty() {
                    String::new()
                } else {
                    format!(" with '{filter}' in its name")
                },
                self.directory.display()
            ))),
            (passed, 0) => {
                print(&format!("{passed} passed\n"));
                Ok(ExitCode::SUCCESS)
            }
            (passed, failed) => {
                print(&format!(
                    "{passed} passed, {failed} failed; where the plugin is right, --bless writes down what was seen\n"
                ));
                Ok(ExitCode::FAILURE)
            }
        }
    }

    /// The files of cases, by name.
    fn files(&self) -> Result<Vec<PathBuf>, Error> {
        let entries = match std::fs::read_dir(&self.directory) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(cannot("read", &self.directory, &error)),
        };
        let files = entries.filter_map(|entry| Some(entry.ok()?.path()));
        let mut files: Vec<PathBuf> =
            files.filter(|path| path.extension().is_some_and(|e| e == "toml")).collect();
        files.sort();
        Ok(files)
    }

    async fn run_case(&self, case: &Case, path: &Path) -> Result<Seen, Error> {
        let (tape, player, capabilities) = match &case.tape {
            Some(name) => {
                let player = player(&beside(path, name)?)?;
                // As in the recorded run: what is denied stands on no tape.
                (Tape::Replay(player.clone()), Some(player), self.manifest.capabilities.clone())
            }
            None if case.live => (Tape::Live, None, self.manifest.capabilities.clone()),
            None => (Tape::Live, None, Vec::new()),
        };
        let mut inputs = BTreeMap::new();
        for (name, input) in &case.inputs {
            let bytes = match input {
                Text::Is(text) => text.clone().into_bytes(),
                Text::File { file } => {
                    let path = beside(path, file)?;
                    std::fs::read(&path).map_err(|error| cannot("read", &path, &error))?
                }
                Text::Digest { .. } => {
                    return Err(Error::Usage(format!(
                        "'{}': case '{}': an input is a text or {{ file = \"NAME\" }}",
                        path.display(),
                        case.name
                    )));
                }
            };
            inputs.insert(name.clone(), Bytes::from(bytes));
        }
        Ok(self.run_one(case, inputs, capabilities, tape, player).await)
    }

    async fn run_one(
        &self,
        case: &Case,
        inputs: BTreeMap<String, Bytes>,
        capabilities: Vec<Capability>,
        tape: Tape,
        player: Option<Player>,
    ) -> Seen {
        // As the command line is checked before there is a job.
        if let Err(error) = local::check_args(&self.manifest, &case.args, &self.way) {
            return Seen::refused(&error.to_string());
        }
        let trial = Trial {
            plugin: &self.plugin,
            manifest: &self.manifest,
            args: case.args.clone(),
            inputs,
            capabilities,
            timeout: case.time().unwrap_or(TIMEOUT_DEFAULT),
            tape,
            cancel: CancellationToken::new(),
        };
        let (exit, frames) = trial.gather().await;
        Seen::new(exit, frames, player.map_or(0, |player| player.left()))
    }

    /// Records a case: runs it in the world, and writes down what it heard and gave.
    async fn record(&self, name: &str, args: Vec<String>) -> Result<ExitCode, Error> {
        let path = self.directory.join(format!("{name}.toml"));
        if path.exists() {
            return Err(Error::Usage(format!(
                "'{}' is there already; 'blitz plugin test {name} --bless' renews what it expects",
                path.display()
            )));
        }
        let arguments = local::check_args(&self.manifest, &args, &self.way)?;
        let given = inputs(&arguments.inputs(), &self.manifest)?;
        std::fs::create_dir_all(&self.directory)
            .map_err(|error| cannot("make", &self.directory, &error))?;
        let mut case = Case::new(name, args.clone());
        for (number, (input, bytes)) in given.iter().enumerate() {
            let text = match String::from_utf8(bytes.to_vec()) {
                Ok(text) => Text::Is(text),
                Err(_) => {
                    let file = format!("{name}.input{number}");
                    write(&self.directory.join(&file), bytes)?;
                    Text::File { file }
                }
            };
            case.inputs.insert(input.clone(), text);
        }
        let recorder = Recorder::default();
        let rights = self.manifest.capabilities.clone();
        let tape = Tape::Record(recorder.clone());
        let seen = self.run_one(&case, given, rights, tape, None).await;
        let tape = format!("{name}.tape");
        save(&self.directory.join(&tape), &self.manifest, &args, &recorder)?;
        case.tape = Some(tape.clone());
        seen.bless(&mut case);
        let file = CaseFile { head: String::new(), cases: vec![case] };
        write(&path, bless::text(&file).as_bytes())?;
        print(&format!(
            "recorded {} and {tape} beside it, with all that was sent and heard: look for secrets before others \
             see it; 'blitz plugin test' runs it\n",
            path.display()
        ));
        Ok(ExitCode::SUCCESS)
    }
}

/// The file of a case, which lies in the directory of the cases and nowhere else: they are read for a plugin that
/// may be a stranger's, and a live case could send the user's own files away. Links count by where they lead.
fn beside(case: &Path, name: &str) -> Result<PathBuf, Error> {
    let path = case.with_file_name(name);
    let real = path.canonicalize().map_err(|error| cannot("read", &path, &error))?;
    let directory = case.parent().filter(|parent| !parent.as_os_str().is_empty());
    let directory = directory.unwrap_or(Path::new("."));
    let directory = directory.canonicalize().map_err(|e| cannot("read", directory, &e))?;
    match real.starts_with(&directory) && real.is_file() {
        true => Ok(real),
        false => Err(Error::Usage(format!(
            "'{}': its file '{name}' is no file in the directory of the cases; copy it there",
            case.display()
        ))),
    }
}

fn shown(path: &Path) -> String {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
    format!("{TESTS}/{}", name.unwrap_or_default())
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    std::fs::write(path, bytes).map_err(|error| cannot("write", path, &error))
}

fn cannot(what: &str, path: &Path, error: &std::io::Error) -> Error {
    let cause = without_os_code(&error.to_string());
    Error::Usage(format!("cannot {what} '{}': {cause}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_cases_are_those_of_their_directory() {
        let place = tempfile::tempdir().unwrap();
        let tests = place.path().join("plugin/tests");
        std::fs::create_dir_all(tests.join("inputs")).unwrap();
        let secret = place.path().join("id_rsa");
        for file in [secret.clone(), tests.join("words.txt"), tests.join("inputs/more.txt")] {
            std::fs::write(file, "x").unwrap();
        }
        std::os::unix::fs::symlink(&secret, tests.join("link.txt")).unwrap();
        std::os::unix::fs::symlink("words.txt", tests.join("own-link.txt")).unwrap();
        let case = tests.join("case.toml");
        for (name, is_read) in [
            ("words.txt", true),
            ("own-link.txt", true),
            ("inputs/more.txt", true),
            ("link.txt", false),
            ("../../id_rsa", false),
            (secret.to_str().unwrap(), false),
            ("/dev/zero", false),
            ("inputs", false),
            ("missing.txt", false),
        ] {
            assert_eq!(beside(&case, name).is_ok(), is_read, "{name}");
        }
    }
}
