//! The plain format: remote output as it comes, or at the end with `--buffer`; lines with the name of
//! their region when there are several. Pure.

use blitz_contract::Stream;

use crate::color::faint;
use crate::exit_code::ExitCode;
use crate::lines::Lines;
use crate::render::{Action, HELD_BYTES_MAX, Outcome, Render, Scene, end_text};
use crate::strip::Strip;
use crate::wire::{End, Event, Output, Restart};

/// Shows output to a person or to the next command of a pipe.
pub(crate) struct Live {
    scene: Scene,
    buffer: bool,
    jobs: Vec<JobOutput>,
    held_bytes: usize,
}

struct JobOutput {
    stdout: Pipeline,
    stderr: Pipeline,
    /// Stdout that waits for the end of the job.
    held: Vec<u8>,
    /// Stdout has bytes of the attempt that runs.
    has_given: bool,
}

/// What a stream passes through: the filter of a terminal, then the prefix.
#[derive(Default)]
struct Pipeline {
    strip: Option<Strip>,
    lines: Option<Lines>,
}

impl Pipeline {
    fn push(&mut self, bytes: &[u8]) -> Vec<u8> {
        let bytes = match &mut self.strip {
            Some(strip) => strip.push(bytes),
            None => bytes.to_vec(),
        };
        match &mut self.lines {
            Some(lines) => lines.push(&bytes),
            None => bytes,
        }
    }

    fn finish(&mut self) -> Vec<u8> {
        self.lines.as_mut().map(Lines::finish).unwrap_or_default()
    }

    fn clear(&mut self) {
        self.strip = self.strip.take().map(|_| Strip::default());
        if let Some(lines) = &mut self.lines {
            lines.clear();
        }
    }
}

impl Live {
    /// `buffer` holds stdout back until a job has ended.
    pub(crate) fn new(scene: Scene, buffer: bool) -> Self {
        let several = scene.jobs.len() > 1;
        let pipeline = |label: &str, is_terminal: bool| Pipeline {
            strip: (is_terminal && !scene.raw).then(Strip::default),
            lines: several.then(|| {
                Lines::new(faint(
                    &format!("{label} | "),
                    scene.color.applies(is_terminal, scene.no_color),
                ))
            }),
        };
        let jobs = scene.jobs.iter().map(|job| JobOutput {
            stdout: pipeline(&job.label, scene.stdout_is_terminal),
            stderr: pipeline(&job.label, scene.stderr_is_terminal),
            held: Vec::new(),
            has_given: false,
        });
        Self { jobs: jobs.collect(), scene, buffer, held_bytes: 0 }
    }

    fn output(&mut self, job: usize, output: &Output) -> Vec<Action> {
        let mut actions = Vec::new();
        for frame in &output.frames {
            let view = &mut self.jobs[job];
            match &frame.stream {
                Stream::Stdout => {
                    let bytes = view.stdout.push(&frame.bytes);
                    if self.buffer {
                        self.held_bytes += bytes.len();
                        view.held.extend(bytes);
                    } else {
                        view.has_given |= !bytes.is_empty();
                        actions.push(Action::Stdout(bytes));
                    }
                }
                Stream::Stderr => actions.push(Action::Stderr(view.stderr.push(&frame.bytes))),
                Stream::File(name) => actions.push(Action::File {
                    job,
                    name: name.clone(),
                    bytes: frame.bytes.clone(),
                }),
                // Structured records are for `--json` and `--ndjson`.
                Stream::Event(_) => {}
            }
        }
        if self.held_bytes > HELD_BYTES_MAX {
            actions.push(Action::HeldTooMuch);
        }
        actions
    }

    /// A person sees a notice and the output again. A pipe cannot take back what it was given.
    fn restart(&mut self, job: usize, restart: &Restart) -> Vec<Action> {
        let view = &mut self.jobs[job];
        if view.has_given && !self.scene.stdout_is_terminal {
            let reason = format!(
                "{}; stdout already had output of attempt {}: --buffer holds it back",
                restart.reason,
                restart.attempt.saturating_sub(1)
            );
            return vec![Action::Abandon { job, reason }];
        }
        view.stdout.clear();
        view.stderr.clear();
        view.has_given = false;
        self.held_bytes -= std::mem::take(&mut view.held).len();
        let notice = format!("{}; what came before is void", restart.reason);
        let mut actions = vec![Action::ResetFiles { job }];
        if !self.scene.quiet {
            actions.push(self.say(job, &notice));
        }
        actions
    }

    fn end(&mut self, job: usize, end: &End) -> Vec<Action> {
        let mut actions = self.drain(job);
        if let Some(text) = end_text(end) {
            actions.push(self.say(job, &text));
        }
        actions
    }

    /// What is held of a job's streams.
    fn drain(&mut self, job: usize) -> Vec<Action> {
        let view = &mut self.jobs[job];
        let mut stdout = std::mem::take(&mut view.held);
        self.held_bytes -= stdout.len();
        stdout.extend(view.stdout.finish());
        let actions = [Action::Stdout(stdout), Action::Stderr(view.stderr.finish())];
        actions.into()
    }

    /// `blitz curl: japan: TEXT` on stderr.
    fn say(&self, job: usize, text: &str) -> Action {
        let region = match self.scene.jobs.len() {
            1 => String::new(),
            _ => format!("{}: ", self.scene.jobs[job].label),
        };
        let line = format!("blitz {}: {region}{text}\n", self.scene.plugin).into_bytes();
        let is_foreign_to_terminal = self.scene.stderr_is_terminal && !self.scene.raw;
        Action::Stderr(if is_foreign_to_terminal { Strip::default().push(&line) } else { line })
    }
}

impl Render for Live {
    fn event(&mut self, job: usize, event: &Event) -> Vec<Action> {
        let mut actions = match event {
            Event::State(_) => Vec::new(),
            Event::Restart(restart) => self.restart(job, restart),
            Event::Output(output) => self.output(job, output),
            Event::Incomplete(incomplete) => {
                vec![self.say(job, &format!("output is incomplete: {}", incomplete.reason))]
            }
            Event::End(end) => self.end(job, end),
        };
        actions.retain(|a| !matches!(a, Action::Stdout(b) | Action::Stderr(b) if b.is_empty()));
        actions
    }

    /// Says what no event has said: jobs whose end was not seen.
    fn finish(&mut self, outcomes: &[Outcome], _code: ExitCode) -> Vec<Action> {
        let mut actions = Vec::new();
        for (job, outcome) in outcomes.iter().enumerate() {
            if outcome.end.is_none() {
                actions.extend(self.drain(job));
            }
            if let Some(failure) = &outcome.failure {
                actions.push(self.say(job, failure));
            }
        }
        actions.retain(|a| !matches!(a, Action::Stdout(b) | Action::Stderr(b) if b.is_empty()));
        actions
    }
}

#[cfg(test)]
mod tests {
    use blitz_contract::{Exit, Frame, Stopped};

    use super::*;
    use crate::render::Watched;
    use crate::wire::{Incomplete, JobState};

    fn scene(labels: &[&str]) -> Scene {
        let job = |label: &&str| Watched {
            id: format!("id-{label}"),
            region: (*label).to_owned(),
            label: (*label).to_owned(),
        };
        Scene {
            plugin: "curl".to_owned(),
            jobs: labels.iter().map(job).collect(),
            ..Scene::default()
        }
    }

    fn out(stream: &str, text: &str) -> Event {
        let stream = Stream::parse(stream).unwrap();
        Event::Output(Output {
            frames: vec![Frame { stream, bytes: text.as_bytes().to_vec() }],
            ..Output::default()
        })
    }

    fn restart() -> Event {
        Event::Restart(Restart { attempt: 2, engine: None, reason: "engine e1 is lost".to_owned() })
    }

    fn end() -> Event {
        Event::End(End { state: JobState::Done, exit: Some(Exit::Status(0)), ..End::default() })
    }

    /// Actions as text: `1>` stdout, `2>` stderr.
    fn show(live: &mut Live, events: &[(usize, Event)]) -> String {
        let mut text = String::new();
        for (job, event) in events {
            for action in live.event(*job, event) {
                text += &match action {
                    Action::Stdout(b) => format!("1>{}", String::from_utf8(b).unwrap()),
                    Action::Stderr(b) => format!("2>{}", String::from_utf8(b).unwrap()),
                    Action::File { name, bytes, .. } => {
                        format!("{name}>{}", String::from_utf8(bytes).unwrap())
                    }
                    Action::ResetFiles { .. } => "reset".to_owned(),
                    Action::Abandon { reason, .. } => format!("abandon {reason}"),
                    Action::HeldTooMuch => "too much".to_owned(),
                };
                text.push('~');
            }
        }
        text
    }

    #[test]
    fn one_region_is_shown_as_it_is() {
        let mut live = Live::new(scene(&["japan"]), false);
        let events = [
            (0, out("stdout", "a\x1b[1m")),
            (0, out("stderr", "b")),
            (0, out("file:f", "c")),
            (0, out("event:hop", "{}")),
            (0, end()),
        ];
        assert_eq!(show(&mut live, &events), "1>a\x1b[1m~2>b~f>c~");
    }

    #[test]
    fn a_terminal_sees_no_control_sequences() {
        let terminal =
            Scene { stdout_is_terminal: true, stderr_is_terminal: true, ..scene(&["japan"]) };
        let events =
            [(0, out("stdout", "a\x1b[")), (0, out("stdout", "1mb")), (0, out("stderr", "\x07c"))];
        assert_eq!(show(&mut Live::new(terminal.clone(), false), &events), "1>a~1>b~2>c~");
        let raw = Scene { raw: true, ..terminal };
        assert_eq!(show(&mut Live::new(raw, false), &events), "1>a\x1b[~1>1mb~2>\x07c~");
    }

    #[test]
    fn regions_are_prefixed_and_do_not_mix() {
        let mut live = Live::new(scene(&["virginia", "japan"]), false);
        let events = [
            (0, out("stdout", "a")),
            (1, out("stdout", "b\nc")),
            (0, out("stdout", "d\n")),
            (1, out("stderr", "e")),
            (1, end()),
            (0, end()),
        ];
        assert_eq!(
            show(&mut live, &events),
            "1>japan | b\n~1>virginia | ad\n~1>japan | c\n~2>japan | e\n~"
        );
    }

    #[test]
    fn buffered_output_waits_for_the_end() {
        let mut live = Live::new(scene(&["japan"]), true);
        let events = [
            (0, out("stdout", "void")),
            (0, restart()),
            (0, out("stdout", "a")),
            (0, out("stdout", "b")),
            (0, end()),
        ];
        assert_eq!(
            show(&mut live, &events),
            "reset~2>blitz curl: engine e1 is lost; what came before is void\n~1>ab~"
        );
    }

    #[test]
    fn a_pipe_cannot_take_bytes_back() {
        let mut live = Live::new(scene(&["japan"]), false);
        assert_eq!(
            show(&mut live, &[(0, out("stdout", "a")), (0, restart())]),
            "1>a~abandon engine e1 is lost; stdout already had output of attempt 1: \
             --buffer holds it back~"
        );
        let quiet = Scene { quiet: true, ..scene(&["japan"]) };
        let mut live = Live::new(quiet, false);
        assert_eq!(show(&mut live, &[(0, out("stderr", "a")), (0, restart())]), "2>a~reset~");
    }

    #[test]
    fn bad_ends_are_said() {
        let ended = |state, exit, reason: Option<&str>| {
            let reason = reason.map(str::to_owned);
            Event::End(End { state, exit, reason, ..End::default() })
        };
        let stopped = |text: &str| Some(Exit::Stopped(Stopped::Crashed(text.to_owned())));
        for (event, text) in [
            (ended(JobState::Failed, Some(Exit::Status(22)), None), ""),
            (
                ended(JobState::Failed, stopped("unreachable"), None),
                "2>blitz curl: the plugin crashed: unreachable\n~",
            ),
            (
                ended(JobState::Expired, None, Some("no engine in 10 s")),
                "2>blitz curl: no engine in 10 s\n~",
            ),
            (ended(JobState::Cancelled, None, None), "2>blitz curl: the job was aborted\n~"),
            (
                Event::Incomplete(Incomplete { reason: "chunk 3".to_owned() }),
                "2>blitz curl: output is incomplete: chunk 3\n~",
            ),
        ] {
            let mut live = Live::new(scene(&["japan"]), false);
            assert_eq!(show(&mut live, &[(0, event)]), text);
        }
    }
}
