//! The renderer of load tests: hears the events of all parts, shows the face that fits, and judges at the end. Pure.
//!
//! The faces: the whole screen of a terminal, a plain line for each second, nothing until the end (`--quiet`, `--buffer`,
//! or a report that goes to stdout), one document (`--json`), events as lines (`--ndjson`).

use blitz_contract::load::TICK_EVENT;
use blitz_contract::{Frame, Stream};
use blitz_report::{Outcome as Checked, Part, Report, Run};

use super::LoadOptions;
use super::end;
use super::lines::Lines;
use super::parts::{PartState, end_of, end_of_outcome};
use super::verdict::code_of;
use super::view::Views;
use crate::cells::line;
use crate::exit_code::ExitCode;
use crate::live::Live;
use crate::ndjson::{Ndjson, json_line};
use crate::render::{Action, HELD_BYTES_MAX, Outcome, Render, Scene};
use crate::settings::Format;
use crate::wire::{Event, Submitted};

/// Lines of talk that a screen keeps.
const SAID_MAX: usize = 10;

/// Shows a load test.
pub(crate) struct Load {
    plugin: String,
    run: Run,
    parts: Vec<PartState>,
    /// What the plugin itself says, and the talk about its jobs.
    plain: Live,
    face: Face,
    options: LoadOptions,
    quiet: bool,
    color: bool,
    owns_jobs: bool,
    width_chars: Option<usize>,
    /// Seconds that could be shown when something was shown last.
    seconds_seen: u32,
    /// Stdout of the plugin, for when the screen is the user's again.
    held: Vec<u8>,
    said: Vec<String>,
    judged: Option<(Report, Vec<Checked>)>,
}

/// What `--json` writes: the report, whose reader takes no notice of the rest.
#[derive(serde::Serialize)]
struct Document<'a> {
    #[serde(flatten)]
    report: &'a Report,
    /// What came of each `--fail`.
    checks: &'a [Checked],
    exit_code: u8,
    /// Why nothing was measured.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    failures: Vec<String>,
}

impl<'a> Document<'a> {
    fn of(report: &'a Report, checks: &'a [Checked], code: ExitCode, said: &[String]) -> Self {
        let failures = match report.plan {
            Some(_) => Vec::new(),
            None => {
                report.parts.iter().map(|part| format!("{}: {}", part.label, part.fate)).collect()
            }
        };
        let failures = match failures.is_empty() {
            true => failures,
            // The plugin knows more of it than the end of its job tells.
            false => failures.into_iter().chain(said.iter().cloned()).collect(),
        };
        Self { report, checks, exit_code: code.0, failures }
    }
}

enum Face {
    Screen(Box<Views>),
    Lines(Lines),
    Silent,
    Json,
    Ndjson(Box<Ndjson>),
}

impl Load {
    pub(crate) fn new(format: Format, scene: Scene, options: LoadOptions) -> Self {
        let is_silent = scene.quiet || options.has_stdout();
        let draws = scene.stdout_is_terminal && !options.no_live && !scene.raw;
        let face = match format {
            Format::Json => Face::Json,
            Format::Ndjson => Face::Ndjson(Box::new(Ndjson::new(scene.clone()))),
            Format::Text { buffer } if buffer || is_silent => Face::Silent,
            _ if is_silent => Face::Silent,
            _ if draws => Face::Screen(Box::default()),
            _ => Face::Lines(Lines::new(scene.width_chars)),
        };
        let part = |job: &crate::render::Watched| Part {
            label: line(&job.label),
            region: line(&job.region),
        };
        Self {
            plugin: scene.plugin.clone(),
            run: Run::new(scene.jobs.iter().map(part).collect()),
            parts: scene.jobs.iter().map(PartState::new).collect(),
            plain: Live::new(&scene, false),
            face,
            options,
            quiet: scene.quiet,
            color: scene.color.applies(scene.stdout_is_terminal, scene.no_color),
            owns_jobs: scene.owns_jobs,
            width_chars: scene.width_chars,
            seconds_seen: 0,
            held: Vec::new(),
            said: Vec::new(),
            judged: None,
        }
    }

    /// Takes what an event says about the test.
    fn note(&mut self, job: usize, event: &Event) {
        match event {
            Event::State(state) => self.parts[job].state(state),
            Event::Output(output) => {
                for frame in &output.frames {
                    if let Stream::Event(kind) = &frame.stream {
                        self.run.hear(job, kind, &String::from_utf8_lossy(&frame.bytes));
                        self.parts[job].record(kind, &frame.bytes);
                    }
                }
            }
            Event::End(end) => self.end(job, end_of(end)),
            Event::Restart(_) | Event::Incomplete(_) => {}
        }
    }

    fn end(&mut self, job: usize, end: blitz_report::PartEnd) {
        self.run.ended(job, end.clone());
        self.parts[job].end(end);
    }

    /// What the plugin says, and what is said of its job, as this face has it.
    fn plain(&mut self, job: usize, event: &Event) -> Vec<Action> {
        let actions = self.plain.event(job, event);
        self.told(actions)
    }

    fn told(&mut self, actions: Vec<Action>) -> Vec<Action> {
        let mut kept = Vec::new();
        for action in actions {
            match (&self.face, action) {
                (Face::Screen(_), Action::Stdout(bytes)) => {
                    self.held.extend(bytes);
                    if self.held.len() > HELD_BYTES_MAX {
                        kept.push(Action::HeldTooMuch);
                    }
                }
                (Face::Screen(_) | Face::Json, Action::Stderr(bytes)) => {
                    let text = String::from_utf8_lossy(&bytes);
                    let words = text.lines().map(line).filter(|line| !line.is_empty());
                    self.said.extend(words);
                    let too_many = self.said.len().saturating_sub(SAID_MAX);
                    self.said.drain(..too_many);
                    kept.push(Action::Stderr(bytes));
                }
                // One document, and nothing beside it.
                (Face::Json, Action::Stdout(_)) => {}
                (Face::Silent, Action::Stdout(_)) if self.options.has_stdout() => {}
                (_, action) => kept.push(action),
            }
        }
        kept
    }

    /// Whether the face may look different now. With many parts most ticks are of a second that waits for others, and a
    /// view adds up all parts.
    fn is_news(&mut self, event: &Event) -> bool {
        let is_tick =
            |frame: &Frame| matches!(&frame.stream, Stream::Event(kind) if kind == TICK_EVENT);
        let are_ticks = matches!(event, Event::Output(output) if output.frames.iter().all(is_tick));
        let seconds = self.run.second_count();
        let before = std::mem::replace(&mut self.seconds_seen, seconds);
        !are_ticks || seconds > before
    }

    /// What this face shows of the moment.
    fn show(&mut self) -> Option<Action> {
        match &mut self.face {
            Face::Screen(views) => {
                let mut view = views.view(&self.run, &self.parts, &self.plugin);
                view.said.clone_from(&self.said);
                view.color = self.color;
                view.owns_jobs = self.owns_jobs;
                Some(Action::Show(Box::new(view)))
            }
            Face::Lines(lines) => {
                let new = lines.taken()..self.run.second_count();
                let seconds: Vec<_> = new.map(|second| self.run.second(second)).collect();
                let text = lines.push(&seconds, self.run.plan());
                (!text.is_empty()).then(|| Action::Stdout(text.into_bytes()))
            }
            Face::Silent | Face::Json | Face::Ndjson(_) => None,
        }
    }

    /// The report, once all has ended.
    fn judge(&mut self, outcomes: &[Outcome]) -> &(Report, Vec<Checked>) {
        let (run, parts) = (&mut self.run, &mut self.parts);
        let checks = &self.options.checks;
        self.judged.get_or_insert_with(|| {
            for (job, outcome) in outcomes.iter().enumerate() {
                let end = end_of_outcome(outcome);
                run.ended(job, end.clone());
                parts[job].end(end);
            }
            let report = run.report();
            let results = checks.iter().map(|check| check.measure(&report)).collect();
            (report, results)
        })
    }

    /// The end in words, where it is read by people.
    fn words(&self, report: &Report, results: &[Checked]) -> Vec<Action> {
        let has_table = matches!(self.face, Face::Screen(_));
        let page = end::Page { has_table, width_chars: self.width_chars };
        match &self.face {
            // Stdout has a document.
            Face::Json | Face::Ndjson(_) if self.quiet => Vec::new(),
            Face::Json | Face::Ndjson(_) => {
                let text: String = end::results(report, results)
                    .lines()
                    .map(|text| format!("blitz {}: {text}\n", self.plugin))
                    .collect();
                vec![Action::Stderr(text.into_bytes())]
            }
            _ if report.plan.is_none() => Vec::new(),
            Face::Silent if self.options.has_stdout() && self.quiet => Vec::new(),
            Face::Silent if self.options.has_stdout() => {
                vec![Action::Stderr(end::text(report, results, page).into_bytes())]
            }
            face => {
                let has_lines = matches!(face, Face::Lines(lines) if lines.taken() > 0);
                let gap = if has_lines { "\n" } else { "" };
                let text = format!("{gap}{}", end::text(report, results, page));
                vec![Action::Stdout(text.into_bytes())]
            }
        }
    }
}

impl Render for Load {
    fn submitted(&mut self, submitted: &Submitted) -> Vec<Action> {
        match &mut self.face {
            Face::Ndjson(ndjson) => ndjson.submitted(submitted),
            _ => self.show().into_iter().collect(),
        }
    }

    fn event(&mut self, job: usize, event: &Event) -> Vec<Action> {
        if let Event::Restart(restart) = event {
            let reason = format!(
                "{}; a load test is not run twice: its figures would be two tests'",
                restart.reason
            );
            return vec![Action::Abandon { job, reason }];
        }
        self.note(job, event);
        let mut actions = match &mut self.face {
            Face::Ndjson(ndjson) => ndjson.event(job, event),
            _ => self.plain(job, event),
        };
        if self.is_news(event) {
            actions.extend(self.show());
        }
        actions
    }

    fn talk(&mut self, line: Vec<u8>) -> Vec<Action> {
        let mut actions = self.told(vec![Action::Stderr(line)]);
        actions.extend(self.show());
        actions
    }

    fn code(&mut self, outcomes: &[Outcome], code: ExitCode) -> ExitCode {
        let (report, results) = self.judge(outcomes);
        match code {
            ExitCode::SUCCESS => code_of(report, results),
            code => code,
        }
    }

    fn finish(&mut self, outcomes: &[Outcome], code: ExitCode) -> Vec<Action> {
        let (report, results) = self.judge(outcomes).clone();
        let mut actions = Vec::new();
        match &mut self.face {
            Face::Screen(_) => actions.push(Action::Hide),
            // What no part was waited for any more.
            _ => actions.extend(self.show()),
        }
        actions.push(Action::Stdout(std::mem::take(&mut self.held)));
        match &mut self.face {
            Face::Ndjson(ndjson) => actions.extend(ndjson.finish(outcomes, code)),
            _ => {
                let last = self.plain.finish(outcomes, code);
                actions.extend(self.told(last));
            }
        }
        actions.extend(self.words(&report, &results));
        if matches!(self.face, Face::Json | Face::Ndjson(_)) {
            actions.push(json_line(&Document::of(&report, &results, code, &self.said)));
        }
        for file in &self.options.files {
            let bytes = file.form.bytes(&report, &results);
            actions.push(match file.is_stdout() {
                true => Action::Stdout(bytes),
                false => Action::Write { path: file.path.clone(), bytes },
            });
        }
        crate::render::without_nothing(actions)
    }
}
