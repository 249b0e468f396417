//! `--json`: one document when all jobs have ended. Pure.
//!
//! `{"run","plugin","version","args","exit_code","results":[...]}`, one result for each job in the order
//! of the regions: `{"job","region","asked","engine","status","exit_code","reason","attempt",
//! "duration_ms","complete","stdout","stderr","events":{KIND:[...]},"files":[{"name","bytes"}]}`.
//! `run` is the id of the run. `status` is the job's last state, or `unknown`. Streams that
//! are not UTF-8 stand in `stdout_base64` and `stderr_base64` instead. Fields may be added, never
//! changed or removed.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use blitz_contract::Stream;
use serde::Serialize;
use serde_json::Value;

use crate::exit_code::ExitCode;
use crate::ndjson::json_line;
use crate::outage;
use crate::render::{Action, HELD_BYTES_MAX, Outcome, Render, Scene, end_text};
use crate::wire::{Event, Outage, Output};

/// Notes of one job: a home that comes and goes for a day should not fill the document.
const NOTES_MAX: usize = 100;

/// Gathers everything until the end.
pub(crate) struct Report {
    scene: Scene,
    jobs: Vec<Gathered>,
    held_bytes: usize,
}

#[derive(Default)]
struct Gathered {
    stdout: Vec<u8>,
    stderr: Vec<u8>,
    events: BTreeMap<String, Vec<Value>>,
    files: BTreeMap<String, u64>,
    attempt: Option<u32>,
    engine: Option<String>,
    /// What was to be said of the job meanwhile.
    notes: Vec<String>,
}

#[derive(Serialize)]
struct Document<'a> {
    run: &'a str,
    plugin: &'a str,
    version: &'a str,
    args: &'a [String],
    exit_code: u8,
    results: Vec<JobResult<'a>>,
}

#[derive(Serialize)]
struct JobResult<'a> {
    job: &'a str,
    region: &'a str,
    asked: &'a str,
    engine: Option<&'a str>,
    status: &'static str,
    exit_code: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    attempt: Option<u32>,
    duration_ms: Option<u64>,
    /// No output is missing.
    complete: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    stdout: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stdout_base64: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stderr: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stderr_base64: Option<String>,
    events: &'a BTreeMap<String, Vec<Value>>,
    files: Vec<FileWritten<'a>>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    notes: &'a [String],
}

#[derive(Serialize)]
struct FileWritten<'a> {
    name: &'a str,
    bytes: u64,
}

impl Report {
    pub(crate) fn new(scene: Scene) -> Self {
        let jobs = scene.jobs.iter().map(|_| Gathered::default()).collect();
        Self { scene, jobs, held_bytes: 0 }
    }

    fn output(&mut self, job: usize, output: &Output) -> Vec<Action> {
        let gathered = &mut self.jobs[job];
        gathered.attempt = Some(output.attempt);
        for frame in &output.frames {
            match &frame.stream {
                Stream::Stdout => gathered.stdout.extend_from_slice(&frame.bytes),
                Stream::Stderr => gathered.stderr.extend_from_slice(&frame.bytes),
                Stream::Event(kind) => {
                    gathered.events.entry(kind.clone()).or_default().push(record(&frame.bytes));
                }
                Stream::File(name) => {
                    let bytes = gathered.files.entry(name.clone()).or_default();
                    *bytes += u64::try_from(frame.bytes.len()).unwrap_or(u64::MAX);
                    continue;
                }
            }
            self.held_bytes += frame.bytes.len();
        }
        let mut actions = Action::files(job, output);
        if self.held_bytes > HELD_BYTES_MAX {
            actions.push(Action::HeldTooMuch);
        }
        actions
    }

    fn result(&self, job: usize, outcome: &Outcome) -> JobResult<'_> {
        let watched = &self.scene.jobs[job];
        let gathered = &self.jobs[job];
        let end = outcome.end.as_ref();
        let (stdout, stdout_base64) = text_or_base64(&gathered.stdout);
        let (stderr, stderr_base64) = text_or_base64(&gathered.stderr);
        let reason = outcome.failure.clone().or_else(|| outcome.incomplete.clone());
        JobResult {
            job: &watched.id,
            region: &watched.region,
            asked: &watched.label,
            engine: gathered.engine.as_deref(),
            status: end.map_or("unknown", |e| e.state.name()),
            exit_code: outcome.code().0,
            reason: reason.or_else(|| end.and_then(end_text)),
            attempt: end.and_then(|e| e.attempt).or(gathered.attempt),
            duration_ms: end.and_then(|e| e.duration_ms),
            complete: end.is_some() && outcome.incomplete.is_none(),
            stdout,
            stdout_base64,
            stderr,
            stderr_base64,
            events: &gathered.events,
            files: gathered
                .files
                .iter()
                .map(|(name, &bytes)| FileWritten { name, bytes })
                .collect(),
            notes: &gathered.notes,
        }
    }
}

impl Render for Report {
    fn event(&mut self, job: usize, event: &Event) -> Vec<Action> {
        match event {
            Event::State(state) => {
                if state.engine.is_some() {
                    self.jobs[job].engine.clone_from(&state.engine);
                }
                Vec::new()
            }
            Event::Restart(restart) => {
                let void = std::mem::take(&mut self.jobs[job]);
                self.held_bytes -= void.held_bytes();
                self.jobs[job].notes = void.notes;
                self.jobs[job].engine.clone_from(&restart.engine);
                vec![Action::ResetFiles { job }]
            }
            Event::Output(output) => self.output(job, output),
            Event::Incomplete(_) => Vec::new(),
            Event::End(end) => {
                if end.engine.is_some() {
                    self.jobs[job].engine.clone_from(&end.engine);
                }
                Vec::new()
            }
        }
    }

    fn outage(&mut self, job: usize, outage: &Outage) -> Vec<Action> {
        let notes = &mut self.jobs[job].notes;
        if notes.len() < NOTES_MAX {
            notes.push(outage::in_report(outage));
        }
        Vec::new()
    }

    fn finish(&mut self, outcomes: &[Outcome], code: ExitCode) -> Vec<Action> {
        let results = outcomes.iter().enumerate().map(|(job, o)| self.result(job, o)).collect();
        vec![json_line(&Document {
            run: &self.scene.run,
            plugin: &self.scene.plugin,
            version: &self.scene.version,
            args: &self.scene.args,
            exit_code: code.0,
            results,
        })]
    }
}

impl Gathered {
    /// What counts towards the limit; records are counted as they came, so this may be a little less.
    fn held_bytes(&self) -> usize {
        self.stdout.len() + self.stderr.len()
    }
}

/// A record as JSON; one that is not stays as text.
fn record(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes)
        .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(bytes).into_owned()))
}

fn text_or_base64(bytes: &[u8]) -> (Option<&str>, Option<String>) {
    match std::str::from_utf8(bytes) {
        Ok(text) => (Some(text), None),
        Err(_) => (None, Some(STANDARD.encode(bytes))),
    }
}

#[cfg(test)]
mod tests {
    use blitz_contract::{Exit, Frame};

    use super::*;
    use crate::render::Watched;
    use crate::wire::{End, JobState, Restart};

    fn out(frames: &[(&str, &[u8])]) -> Event {
        let frame = |(stream, bytes): &(&str, &[u8])| Frame {
            stream: Stream::parse(stream).unwrap(),
            bytes: bytes.to_vec(),
        };
        Event::Output(Output {
            attempt: 1,
            incarnation: "a".to_owned(),
            seq: 0,
            frames: frames.iter().map(frame).collect(),
        })
    }

    #[test]
    fn the_document_has_everything() {
        let job = |label: &str| Watched {
            id: format!("job-{label}"),
            region: "us-east-1".to_owned(),
            label: label.to_owned(),
        };
        let mut report = Report::new(Scene {
            plugin: "curl".to_owned(),
            version: "0.1.0".to_owned(),
            args: vec!["-s".to_owned(), "http://x".to_owned()],
            run: "01run".to_owned(),
            jobs: vec![job("virginia"), job("japan")],
            ..Scene::default()
        });
        report.event(0, &out(&[("stdout", b"void")]));
        report.event(0, &Event::Restart(Restart { attempt: 2, ..Restart::default() }));
        report
            .event(0, &out(&[("stdout", b"a\n"), ("event:hop", b"{\"ttl\":1}"), ("stderr", b"e")]));
        report.event(0, &out(&[("stdout", b"\xff"), ("file:f", b"xyz")]));
        let end = End {
            state: JobState::Done,
            exit: Some(Exit::Status(0)),
            engine: Some("e1".to_owned()),
            attempt: Some(2),
            duration_ms: Some(12),
            ..End::default()
        };
        report.event(0, &Event::End(end.clone()));
        let outcomes = [
            Outcome { end: Some(end), code: Some(ExitCode::SUCCESS), ..Outcome::default() },
            Outcome {
                code: Some(ExitCode::UNREACHABLE),
                failure: Some("the gateway is away".to_owned()),
                ..Outcome::default()
            },
        ];
        let actions = report.finish(&outcomes, ExitCode::UNREACHABLE);
        let [Action::Stdout(line)] = &actions[..] else { panic!("one document: {actions:?}") };
        let document: Value = serde_json::from_slice(line).unwrap();
        insta::assert_snapshot!(serde_json::to_string_pretty(&document).unwrap(), @r#"
        {
          "args": [
            "-s",
            "http://x"
          ],
          "exit_code": 125,
          "plugin": "curl",
          "results": [
            {
              "asked": "virginia",
              "attempt": 2,
              "complete": true,
              "duration_ms": 12,
              "engine": "e1",
              "events": {
                "hop": [
                  {
                    "ttl": 1
                  }
                ]
              },
              "exit_code": 0,
              "files": [
                {
                  "bytes": 3,
                  "name": "f"
                }
              ],
              "job": "job-virginia",
              "region": "us-east-1",
              "status": "done",
              "stderr": "e",
              "stdout_base64": "YQr/"
            },
            {
              "asked": "japan",
              "attempt": null,
              "complete": false,
              "duration_ms": null,
              "engine": null,
              "events": {},
              "exit_code": 125,
              "files": [],
              "job": "job-japan",
              "reason": "the gateway is away",
              "region": "us-east-1",
              "status": "unknown",
              "stderr": "",
              "stdout": ""
            }
          ],
          "run": "01run",
          "version": "0.1.0"
        }
        "#);
    }
}
