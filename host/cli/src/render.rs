//! How events become output: the formats, and the actions that they decide on. Pure.
//!
//! A renderer gets events and gives [`Action`]s; [`crate::watch`] performs them. stdout is the remote
//! stdout and nothing else (or JSON, when it was asked for); talk goes to stderr.

use std::path::PathBuf;

use blitz_contract::{Exit, Frame, Stream, Table};

use crate::color::ColorChoice;
use crate::columns::Columns;
use crate::drawn::Drawn;
use crate::exit_code::ExitCode;
use crate::group::Group;
use crate::live::Live;
use crate::load::{Load, LoadOptions, View};
use crate::ndjson::Ndjson;
use crate::report::Report;
use crate::settings::Format;
use crate::table::Rows;
use crate::wire::{End, Event, JobState, Outage, Output, Submitted};

/// Bytes that `--json`, `--buffer`, `--group` and `--side-by-side` hold in memory for all jobs together.
pub(crate) const HELD_BYTES_MAX: usize = 256 * 1024 * 1024;

/// What the edge must do.
#[derive(Debug, PartialEq)]
pub(crate) enum Action {
    Stdout(Vec<u8>),
    Stderr(Vec<u8>),
    /// The picture below what was printed, whole lines in blocks; it takes the place of the one before. Where it is
    /// higher than the terminal, blocks share the room, and of each so many `head` lines and its end are shown.
    Draw {
        blocks: Vec<Vec<String>>,
        head: usize,
    },
    /// The whole screen of the terminal shows this; talk waits until it is the user's again.
    Show(Box<View>),
    /// The screen is the user's again.
    Hide,
    /// A file of this command itself, whole.
    Write {
        path: PathBuf,
        bytes: Vec<u8>,
    },
    /// Bytes of an output file of this job.
    File {
        job: usize,
        name: String,
        bytes: Vec<u8>,
    },
    /// What this job's files hold is void.
    ResetFiles {
        job: usize,
    },
    /// Stop following the job, cancel it, and count it as lost.
    Abandon {
        job: usize,
        reason: String,
    },
    /// [`HELD_BYTES_MAX`] was passed.
    HeldTooMuch,
}

impl Action {
    /// The files in a piece of output.
    pub(crate) fn files(job: usize, output: &Output) -> Vec<Self> {
        let file = |frame: &Frame| match &frame.stream {
            Stream::File(name) => {
                Some(Self::File { job, name: name.clone(), bytes: frame.bytes.clone() })
            }
            _ => None,
        };
        output.frames.iter().filter_map(file).collect()
    }
}

/// One of the formats.
pub(crate) trait Render {
    /// The jobs exist.
    fn submitted(&mut self, _submitted: &Submitted) -> Vec<Action> {
        Vec::new()
    }
    /// An event of a job.
    fn event(&mut self, job: usize, event: &Event) -> Vec<Action>;
    /// The home of a job's region has gone or is back, for those who tell programs: people are told by the watch.
    fn outage(&mut self, _job: usize, _outage: &Outage) -> Vec<Action> {
        Vec::new()
    }
    /// A line of talk about the command itself.
    fn talk(&mut self, line: Vec<u8>) -> Vec<Action> {
        vec![Action::Stderr(line)]
    }
    /// The command's code, when all jobs have ended and theirs make `code`.
    fn code(&mut self, _outcomes: &[Outcome], code: ExitCode) -> ExitCode {
        code
    }
    /// All jobs have ended, one way or another.
    fn finish(&mut self, outcomes: &[Outcome], code: ExitCode) -> Vec<Action>;
}

/// A job, as the user knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Watched {
    pub(crate) id: String,
    pub(crate) region: String,
    /// The user's word for where it runs; one word for each job of a command.
    pub(crate) label: String,
}

/// How one job ended for this command.
#[derive(Debug, Clone, Default)]
pub(crate) struct Outcome {
    /// `None` when following ended before the job did.
    pub(crate) end: Option<End>,
    pub(crate) code: Option<ExitCode>,
    /// Why output is missing or void.
    pub(crate) incomplete: Option<String>,
    /// Why following ended.
    pub(crate) failure: Option<String>,
}

impl Outcome {
    /// The code of this job; [`ExitCode::LOST`] when nothing better is known.
    pub(crate) fn code(&self) -> ExitCode {
        match self.code {
            Some(code) if self.end.is_none() || self.incomplete.is_none() => code,
            _ => ExitCode::LOST,
        }
    }

    /// Notes that a signal ended the job, unless it had ended by itself.
    pub(crate) fn interrupted(&mut self, code: ExitCode) {
        if self.end.is_none() || self.code == Some(ExitCode::ABORTED) {
            self.code = Some(code);
        }
    }

    /// The job went on, perhaps, when its gateway was lost, or told no more of it.
    pub(crate) fn is_unreachable(&self) -> bool {
        let codes = [ExitCode::UNREACHABLE, ExitCode::REFUSED];
        self.end.is_none() && self.code.is_some_and(|code| codes.contains(&code))
    }
}

/// What a renderer must know of its surroundings.
#[derive(Debug, Clone, Default)]
pub(crate) struct Scene {
    /// `curl`, for messages.
    pub(crate) plugin: String,
    pub(crate) version: String,
    /// As typed, secrets masked.
    pub(crate) args: Vec<String>,
    /// The id of the run.
    pub(crate) run: String,
    pub(crate) jobs: Vec<Watched>,
    /// How the plugin's results become rows, where it says so.
    pub(crate) table: Option<Table>,
    /// What a terminal draws while a job runs.
    pub(crate) live: Option<Table>,
    /// On a terminal several regions stand side by side, when nothing else is asked for.
    pub(crate) is_side_by_side: bool,
    /// Of the terminal; `None` where stdout is none.
    pub(crate) width_chars: Option<usize>,
    pub(crate) stdout_is_terminal: bool,
    pub(crate) stderr_is_terminal: bool,
    /// Both go to one place.
    pub(crate) streams_are_one: bool,
    pub(crate) raw: bool,
    pub(crate) quiet: bool,
    pub(crate) color: ColorChoice,
    /// `NO_COLOR` is set.
    pub(crate) no_color: bool,
    /// It is a load test, and this is asked of it.
    pub(crate) load: Option<LoadOptions>,
    /// ^C ends the jobs; else it leaves them alone.
    pub(crate) owns_jobs: bool,
}

/// The renderer of a format.
pub(crate) fn renderer(format: Format, mut scene: Scene) -> Box<dyn Render> {
    if let Some(options) = scene.load.take() {
        return Box::new(Load::new(format, scene, options));
    }
    match format {
        Format::Text { buffer } => {
            let draws = scene.stdout_is_terminal && !buffer && !scene.raw;
            match scene.live.clone() {
                Some(table) if draws => Box::new(Drawn::new(scene, table)),
                _ if draws && scene.is_side_by_side && Columns::fits(&scene) => {
                    Box::new(Columns::new(scene))
                }
                _ => Box::new(Live::new(&scene, buffer)),
            }
        }
        Format::SideBySide if Columns::fits(&scene) => Box::new(Columns::new(scene)),
        // Lines with the name of their region in front are narrower.
        Format::SideBySide => Box::new(Live::new(&scene, false)),
        Format::Group => Box::new(Group::new(scene)),
        Format::Table => Box::new(Rows::new(&scene)),
        Format::Json => Box::new(Report::new(scene)),
        Format::Ndjson => Box::new(Ndjson::new(scene)),
    }
}

/// Actions that do something.
pub(crate) fn without_nothing(mut actions: Vec<Action>) -> Vec<Action> {
    actions.retain(|a| !matches!(a, Action::Stdout(b) | Action::Stderr(b) if b.is_empty()));
    actions
}

/// Labels for the jobs of a submission: the word that the user typed, the region's name where that
/// word meant several, and a number where one label would stand for several jobs.
pub(crate) fn watched(submitted: &Submitted) -> Vec<Watched> {
    let words: Vec<&str> = submitted
        .jobs
        .iter()
        .map(|job| match job.asked.as_str() {
            "" | "any" | "all" => job.region.as_str(),
            asked if asked.contains('|') => job.region.as_str(),
            asked => asked,
        })
        .collect();
    let label = |at: usize| {
        let word = words[at];
        let same = |range: &[&str]| range.iter().filter(|w| **w == word).count();
        match same(&words) {
            1 => word.to_owned(),
            _ => format!("{word}/{}", same(&words[..=at])),
        }
    };
    let jobs = submitted.jobs.iter().enumerate();
    jobs.map(|(at, job)| Watched {
        id: job.id.clone(),
        region: job.region.clone(),
        label: label(at),
    })
    .collect()
}

/// What to tell a person about an end that is not the command's own; `None` when the command speaks for
/// itself.
pub(crate) fn end_text(end: &End) -> Option<String> {
    let own = match (&end.state, &end.exit) {
        (JobState::Done | JobState::Failed | JobState::Other, Some(Exit::Status(_))) => {
            return None;
        }
        (_, Some(Exit::Stopped(stopped))) => return Some(stopped.to_string()),
        (JobState::Expired, _) => "no engine took the job in time; 'blitz engines' lists them",
        (JobState::Cancelled, _) => "the job was aborted",
        (JobState::Lost, _) => "the engine was lost, and this command may not run twice",
        (JobState::Poison, _) => "the job took several engines with it and is not tried again",
        (_, None) => "the job ended without a status",
    };
    let text = end.reason.clone().filter(|r| !r.is_empty()).unwrap_or_else(|| own.to_owned());
    Some(match (end.state, end.begun) {
        (JobState::Lost, Some(false)) => {
            format!("{text}; it did not start, running it again is safe")
        }
        _ => text,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::SubmittedJob;

    #[test]
    fn a_lost_job_that_never_began_is_told_to_be_safe_to_run_again() {
        let lost = |reason: &str, begun| End {
            state: JobState::Lost,
            reason: Some(reason.to_owned()).filter(|reason| !reason.is_empty()),
            begun,
            ..End::default()
        };
        for (end, text) in [
            (lost("e1 is gone", None), "e1 is gone"),
            (lost("e1 is gone", Some(true)), "e1 is gone"),
            (lost("", None), "the engine was lost, and this command may not run twice"),
            (
                lost("no majority", Some(false)),
                "no majority; it did not start, running it again is safe",
            ),
        ] {
            assert_eq!(end_text(&end).as_deref(), Some(text));
        }
    }

    #[test]
    fn every_job_has_a_label_of_its_own() {
        for (jobs, labels) in [
            (&[("us-east-1", "virginia")][..], &["virginia"][..]),
            (&[("local", "any")], &["local"]),
            (&[("local", "")], &["local"]),
            (&[("japan", "ireland|japan")], &["japan"]),
            (&[("virginia", "all"), ("japan", "all")], &["virginia", "japan"]),
            (&[("japan", "jp"), ("virginia", "us"), ("japan", "jp")], &["jp/1", "us", "jp/2"]),
        ] {
            let job = |(region, asked): &(&str, &str)| SubmittedJob {
                id: "id".to_owned(),
                region: (*region).to_owned(),
                asked: (*asked).to_owned(),
            };
            let submitted = Submitted {
                run: "run".to_owned(),
                plugin: "curl".to_owned(),
                version: "0.1.0".to_owned(),
                jobs: jobs.iter().map(job).collect(),
                notes: Vec::new(),
            };
            let watched = watched(&submitted);
            assert_eq!(watched.iter().map(|w| &w.label).collect::<Vec<_>>(), labels);
        }
    }
}
