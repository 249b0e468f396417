//! `blitz rush diff A.json B.json` and `blitz rush report A.json`: reports that were saved, compared and written again. On
//! this machine alone.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use blitz_report::{Check, Outcome, Report, ReportError, compare};
use clap::{CommandFactory as _, Parser, Subcommand};

use super::end;
use super::options::{self, LoadOptions};
use crate::exit_code::ExitCode;
use crate::failure::Failure;
use crate::pin::Pin;
use crate::run::{print, say};
use crate::strip::Strip;
use crate::text::without_os_code;
use crate::words::{SplitError, Typed};

/// The plugin whose first word may be one of these commands. Behind `--` it is the plugin's.
const PLUGIN: &str = "rush";

/// Bytes of a saved report: a day of seconds with their histograms.
const REPORT_BYTES_MAX: u64 = 1024 * 1024 * 1024;

const DIFF_CODES: &str = "\
Exit codes: 0 no difference that is real, or one for the better; 1 one for the worse; 2 a file that is no report.";

const REPORT_OPTIONS: &str = "\
--fail, --html, --csv, --openmetrics, --hlog and --junit are those of a test: see 'blitz help rush'.

Exit codes: those of the test; 1 a --fail is not met, 2 a file that is no report, 3 the generator was the limit.";

/// Commands over saved reports.
#[derive(Debug, Parser)]
#[command(
    name = "blitz rush",
    bin_name = "blitz rush",
    no_binary_name = true,
    disable_help_subcommand = true
)]
struct Words {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Tell whether the difference of two load tests is real
    #[command(override_usage = "blitz rush diff BEFORE AFTER", after_help = DIFF_CODES)]
    Diff {
        /// The report of a load test, as --json writes it, or its --ndjson; '-' is stdin
        before: PathBuf,
        /// The one to compare with it
        after: PathBuf,
    },
    /// Show a saved report, judge it, and write it again
    #[command(override_usage = "blitz rush report [OPTIONS] FILE", after_help = REPORT_OPTIONS)]
    Report {
        /// The report of a load test, as --json writes it, or its --ndjson; '-' is stdin
        file: PathBuf,
        /// Nothing on stdout but what is written there
        #[arg(long)]
        quiet: bool,
    },
}

/// Why nothing came of a saved report. The texts read after `blitz: `.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// A file that is no report, or a flag that is not for this.
    #[error("rush: {0}")]
    Usage(String),
    /// A file that cannot be written.
    #[error("rush: cannot write {path}: {}", without_os_code(&source.to_string()), path = path.display())]
    Write { path: PathBuf, source: io::Error },
}

/// Whether what was typed is one of these commands.
pub(crate) fn is_local(name: &Pin, typed: &Typed) -> bool {
    typed.free_count > 0 && typed.args.first().is_some_and(|word| find(name, word).is_some())
}

/// All of them, for help and completion; none of another plugin.
pub(crate) fn commands(name: &Pin) -> Vec<clap::Command> {
    let is_bare = name.version.is_none() && name.name == PLUGIN;
    let words = Words::command();
    words.get_subcommands().filter(|_| is_bare).cloned().collect()
}

/// The command of this name.
pub(crate) fn find(name: &Pin, word: &str) -> Option<clap::Command> {
    commands(name).into_iter().find(|command| command.get_name() == word)
}

/// How to use the command of this name.
pub(crate) fn help(name: &Pin, word: &str) -> Option<String> {
    find(name, word).map(|mut command| command.render_help().to_string())
}

/// A line for each of them, below the plugin's own help.
pub(crate) fn section(name: &str) -> String {
    let pin = Pin { name: name.to_owned(), version: None, sha256: None };
    let line = |command: clap::Command| {
        let words: Vec<String> = command
            .get_positionals()
            .map(|position| position.get_id().as_str().to_uppercase())
            .collect();
        let usage = format!("  blitz {PLUGIN} {} {}", command.get_name(), words.join(" "));
        let about = command.get_about().map(ToString::to_string).unwrap_or_default();
        format!("{usage:32}{about}\n")
    };
    let lines: String = commands(&pin).into_iter().map(line).collect();
    match lines.is_empty() {
        true => lines,
        false => format!(
            "\nCommands over saved reports (--json writes one; 'blitz {PLUGIN} diff --help'):\n{lines}"
        ),
    }
}

/// Does it.
pub(crate) fn run(globals: &[String], typed: &Typed) -> Result<ExitCode, Failure> {
    let mut typed = typed.clone();
    let taken = typed.take(&options::flags()).map_err(Failure::Split)?;
    let words = typed.args.iter().chain(globals);
    let words = Words::try_parse_from(words)?;
    let options = LoadOptions::read(&taken).map_err(|error| Error::Usage(error.to_string()))?;
    match words.command {
        Command::Diff { before, after } => {
            if let Some(flag) = taken.first() {
                return Err(SplitError::UnknownFlag { flag: flag.clone() }.into());
            }
            Ok(diff(&read(&before)?, &read(&after)?))
        }
        Command::Report { file, quiet } => Ok(report(&read(&file)?, &options, quiet)?),
    }
}

fn diff(before: &Report, after: &Report) -> ExitCode {
    let comparison = compare(before, after);
    let text = safe(&comparison.to_string());
    match (print(&format!("{}\n", text.trim_end())), comparison.is_worse) {
        (ExitCode::SUCCESS, true) => ExitCode::FAILURE,
        (code, _) => code,
    }
}

fn report(report: &Report, options: &LoadOptions, quiet: bool) -> Result<ExitCode, Error> {
    let results: Vec<Outcome> =
        options.checks.iter().map(|check: &Check| check.measure(report)).collect();
    if !quiet && !options.has_stdout() {
        let width = terminal_size::terminal_size().map(|(width, _)| width.0.into());
        print(&end::text(report, &results, end::Page { has_table: true, width_chars: width }));
    }
    for file in &options.files {
        let bytes = file.form.bytes(report, &results);
        if file.is_stdout() {
            print_bytes(&bytes);
            continue;
        }
        std::fs::write(&file.path, bytes)
            .map_err(|source| Error::Write { path: file.path.clone(), source })?;
    }
    Ok(super::verdict::code_of(report, &results))
}

fn read(path: &Path) -> Result<Report, Error> {
    let cannot = |error: String| {
        Error::Usage(format!("cannot read {}: {}", path.display(), without_os_code(&error)))
    };
    let text = read_text(path).map_err(|error| cannot(error.to_string()))?;
    let Some(text) = text else {
        let max = REPORT_BYTES_MAX / 1024 / 1024;
        return Err(cannot(format!("it has more than {max} MiB, which no report has")));
    };
    from_text(&text).map_err(|error| Error::Usage(format!("{}: {error}", path.display())))
}

/// A report alone, or what `--ndjson` writes, whose last line it is.
fn from_text(text: &str) -> Result<Report, ReportError> {
    let lines = text.trim_end().rsplit_once('\n');
    match (Report::from_json(text), lines) {
        (Err(error @ ReportError::Json(_)), Some((_, last))) => {
            Report::from_json(last).map_err(|_| error)
        }
        (read, _) => read,
    }
}

/// A file; none where it is too long.
fn read_text(path: &Path) -> io::Result<Option<String>> {
    let mut text = String::new();
    let read = match path == Path::new("-") {
        true => io::stdin().lock().take(REPORT_BYTES_MAX + 1).read_to_string(&mut text)?,
        false => File::open(path)?.take(REPORT_BYTES_MAX + 1).read_to_string(&mut text)?,
    };
    Ok((u64::try_from(read).unwrap_or(u64::MAX) <= REPORT_BYTES_MAX).then_some(text))
}

fn print_bytes(bytes: &[u8]) {
    use std::io::Write as _;
    let mut stdout = io::stdout().lock();
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            say(&format!("blitz: cannot write to standard output: {error}"));
        }
        _ => {}
    }
}

/// A saved report is foreign text.
fn safe(text: &str) -> String {
    String::from_utf8_lossy(&Strip::default().push(text.as_bytes())).into_owned()
}
