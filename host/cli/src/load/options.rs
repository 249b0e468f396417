//! The options that the command line itself does for a load test, up to `--`: words become checks that are parsed and
//! files that can be written, before anything is sent.

use std::path::{Path, PathBuf};

use blitz_contract::{Capability, Manifest};
use blitz_report::Check;
use clap::{Args, CommandFactory as _, Parser};

use super::files::{Form, ReportFile};
use crate::settings::{Format, Settings};
use crate::words::GlobalFlag;

/// As typed.
#[derive(Debug, Parser)]
#[command(name = "blitz", no_binary_name = true, disable_help_flag = true)]
struct Words {
    #[command(flatten)]
    options: OptionWords,
}

#[derive(Debug, Args)]
struct OptionWords {
    /// What must hold, or the exit code is 1: 'p99<300ms', 'errors<0.1%', 'p95<200ms over 10s'; repeatable
    #[arg(long = "fail", value_name = "EXPR", allow_hyphen_values = true)]
    checks: Vec<String>,
    /// Write the report as one page with charts; '-' is stdout, here and below
    #[arg(long, value_name = "FILE", allow_hyphen_values = true)]
    html: Option<PathBuf>,
    /// Write a line for each second
    #[arg(long, value_name = "FILE", allow_hyphen_values = true)]
    csv: Option<PathBuf>,
    /// Write the figures as OpenMetrics
    #[arg(long, value_name = "FILE", allow_hyphen_values = true)]
    openmetrics: Option<PathBuf>,
    /// Write the latencies as a log of HdrHistogram
    #[arg(long, value_name = "FILE", allow_hyphen_values = true)]
    hlog: Option<PathBuf>,
    /// Write the results of --fail as JUnit
    #[arg(long, value_name = "FILE", allow_hyphen_values = true)]
    junit: Option<PathBuf>,
    /// Plain lines at a terminal, too
    #[arg(long)]
    no_live: bool,
}

/// Ready to use.
#[derive(Debug, Clone, Default)]
pub(crate) struct LoadOptions {
    pub(crate) checks: Vec<Check>,
    pub(crate) files: Vec<ReportFile>,
    pub(crate) no_live: bool,
}

/// Why a load test is not even begun. The texts read after `blitz rush: `.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The words; the text is clap's, without its `error: `.
    #[error("{0}")]
    Words(String),
    /// A `--fail`; the text has a caret under the fault.
    #[error("--fail: {0}")]
    Check(String),
    /// Nobody could write there.
    #[error("--{option} {path}: {what}", path = .path.display())]
    File { option: &'static str, path: PathBuf, what: &'static str },
    /// Two documents in one stream.
    #[error("{one} and {other} are both for stdout; give one of them a file")]
    Stdout { one: String, other: String },
    /// A form of output that is made of the plugin's own.
    #[error("{flag} is not for load tests, which have a table of their own")]
    Format { flag: &'static str },
    /// With `--detach` nobody waits for the end.
    #[error("{option} is for the end of the test, and --detach does not wait for it")]
    Detached { option: String },
}

/// Whether the options here are ours for this plugin.
pub(crate) fn is_load(manifest: &Manifest) -> bool {
    manifest.capabilities.contains(&Capability::Load)
}

/// The definitions, for help and completion.
pub(crate) fn command() -> clap::Command {
    Words::command()
}

/// The flags, for the split.
pub(crate) fn flags() -> Vec<GlobalFlag> {
    let command = command();
    let flags = command.get_arguments().filter_map(|argument| {
        Some(GlobalFlag {
            long: argument.get_long()?.to_owned(),
            short: argument.get_short(),
            takes_value: argument.get_action().takes_values(),
        })
    });
    flags.collect()
}

impl LoadOptions {
    /// Of the words that [`crate::words::Typed::take`] gave.
    ///
    /// # Errors
    ///
    /// [`Error`] names the option.
    pub(crate) fn read(words: &[String]) -> Result<Self, Error> {
        let words = Words::try_parse_from(words).map_err(|error| {
            let text = error.render().to_string();
            let first = text.lines().next().unwrap_or_default();
            Error::Words(first.strip_prefix("error: ").unwrap_or(first).to_owned())
        })?;
        let OptionWords { checks, html, csv, openmetrics, hlog, junit, no_live } = words.options;
        let parse =
            |text: &String| text.parse::<Check>().map_err(|error| Error::Check(error.to_string()));
        let files = [
            (Form::Html, html),
            (Form::Csv, csv),
            (Form::OpenMetrics, openmetrics),
            (Form::Hlog, hlog),
            (Form::Junit, junit),
        ];
        let files = files.into_iter().filter_map(|(form, path)| Some((form, path?)));
        let files = files.map(|(form, path)| {
            is_writable(form, &path)?;
            Ok(ReportFile { form, path })
        });
        Ok(Self {
            checks: checks.iter().map(parse).collect::<Result<_, _>>()?,
            files: files.collect::<Result<_, Error>>()?,
            no_live,
        })
    }

    /// Whether they go together with the flags of every command.
    ///
    /// # Errors
    ///
    /// [`Error`] names both.
    pub(crate) fn check(&self, settings: &Settings) -> Result<(), Error> {
        let flag = match settings.format {
            Format::Table => Some("--table"),
            Format::Group => Some("--group"),
            Format::SideBySide => Some("--side-by-side"),
            Format::Text { .. } | Format::Json | Format::Ndjson => None,
        };
        if let Some(flag) = flag {
            return Err(Error::Format { flag });
        }
        let files = self.files.iter().map(|file| format!("--{}", file.form.option()));
        let checks = self.checks.first().map(|_| "--fail".to_owned());
        if settings.detach
            && let Some(option) = checks.into_iter().chain(files).next()
        {
            return Err(Error::Detached { option });
        }
        let json = match settings.format {
            Format::Json => Some("--json".to_owned()),
            Format::Ndjson => Some("--ndjson".to_owned()),
            _ => None,
        };
        let files = self.files.iter().filter(|file| file.is_stdout());
        let mut on_stdout =
            json.into_iter().chain(files.map(|file| format!("--{} -", file.form.option())));
        match (on_stdout.next(), on_stdout.next()) {
            (Some(one), Some(other)) => Err(Error::Stdout { one, other }),
            _ => Ok(()),
        }
    }

    /// A report is written to stdout, which then has nothing else.
    pub(crate) fn has_stdout(&self) -> bool {
        self.files.iter().any(ReportFile::is_stdout)
    }
}

/// Whether a file can be there at the end of the test: an hour later is too late to hear of a slip of the pen.
pub(crate) fn is_writable(form: Form, path: &Path) -> Result<(), Error> {
    let no = |what| Err(Error::File { option: form.option(), path: path.to_owned(), what });
    if path == Path::new("-") {
        return Ok(());
    }
    if path.as_os_str().is_empty() {
        return no("an empty name; use - for stdout");
    }
    if path.is_dir() {
        return no("is a directory; name a file in it");
    }
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    if !directory.is_dir() {
        return no("there is no such directory");
    }
    let way_in = rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK;
    let is_open = match path.exists() {
        true => rustix::fs::access(path, rustix::fs::Access::WRITE_OK),
        false => rustix::fs::access(directory, way_in),
    };
    if is_open.is_err() {
        return no("may not be written");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::{Globals, global_flags};

    fn read(line: &str) -> Result<LoadOptions, String> {
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        LoadOptions::read(&words).map_err(|error| error.to_string())
    }

    #[test]
    fn options_are_read() {
        let directory = tempfile::tempdir().unwrap();
        let at = directory.path().join("x.html");
        let line = format!("--fail p99<300ms --html {} --fail errors<1% --csv=-", at.display());
        let options = read(&line).unwrap();
        assert_eq!((options.checks.len(), options.no_live), (2, false));
        let files: Vec<_> = options.files.iter().map(|f| (f.form, f.is_stdout())).collect();
        assert_eq!(files, [(Form::Html, false), (Form::Csv, true)]);
        assert!(read("--no-live").unwrap().no_live);
    }

    #[test]
    fn what_cannot_be_done_is_said_before_the_test() {
        for (line, wanted) in [
            ("--html /no/such/x", "--html /no/such/x: there is no such directory"),
            ("--csv /", "--csv /: is a directory; name a file in it"),
            ("--hlog=", "a value is required for '--hlog <FILE>' but none was supplied"),
            ("--html a --html b", "the argument '--html <FILE>' cannot be used multiple times"),
        ] {
            assert_eq!(read(line).unwrap_err(), wanted, "{line}");
        }
        let text = read("--fail p99<<3").unwrap_err();
        assert!(text.starts_with("--fail: ") && text.contains('^'), "{text}");
    }

    #[test]
    fn one_document_goes_to_stdout() {
        let check = |line: &str, globals: Globals| {
            let settings = Settings::new(globals).unwrap();
            read(line).unwrap().check(&settings).map_err(|error| error.to_string())
        };
        let json = Globals { json: true, ..Globals::default() };
        for (line, globals, wanted) in [
            ("--csv -", Globals::default(), Ok(())),
            (
                "--csv - --junit -",
                Globals::default(),
                Err("--csv - and --junit - are both for stdout; give one of them a file"),
            ),
            (
                "--html -",
                json,
                Err("--json and --html - are both for stdout; give one of them a file"),
            ),
            (
                "--fail p99<1s",
                Globals { detach: true, ..Globals::default() },
                Err("--fail is for the end of the test, and --detach does not wait for it"),
            ),
            (
                "",
                Globals { table: true, ..Globals::default() },
                Err("--table is not for load tests, which have a table of their own"),
            ),
        ] {
            assert_eq!(check(line, globals), wanted.map_err(str::to_owned), "{line}");
        }
    }

    #[test]
    fn no_option_is_global_too() {
        let globals = global_flags();
        let ours = flags();
        assert!(ours.iter().all(|flag| globals.iter().all(|g| g.long != flag.long)), "{ours:?}");
    }
}
