//! `--group`: what a job printed, as one section when it has ended. Pure.
//!
//! `==> japan <==` stands above a section, and an empty line between two, as `head` and `tail` do with
//! several files. A single job has no header. Sections come in the order in which jobs end.

use blitz_contract::Stream;

use crate::color::bold;
use crate::exit_code::ExitCode;
use crate::pipeline::Pipeline;
use crate::render::{Action, HELD_BYTES_MAX, Outcome, Render, Scene, without_nothing};
use crate::talk::Talk;
use crate::wire::{Event, Output};

/// Holds what jobs print.
pub(crate) struct Group {
    jobs: Vec<Held>,
    talk: Talk,
    scene: Scene,
    held_bytes: usize,
    stdout: Sections,
    stderr: Sections,
}

/// Both streams of one job, up to its end.
struct Held {
    stdout: Pipeline,
    stderr: Pipeline,
    stdout_bytes: Vec<u8>,
    stderr_bytes: Vec<u8>,
}

/// One of our own streams.
#[derive(Debug, Default)]
struct Sections {
    has_one: bool,
}

impl Group {
    pub(crate) fn new(scene: Scene) -> Self {
        let held = |_| Held {
            stdout: Pipeline::plain(&scene, scene.stdout_is_terminal),
            stderr: Pipeline::plain(&scene, scene.stderr_is_terminal),
            stdout_bytes: Vec::new(),
            stderr_bytes: Vec::new(),
        };
        Self {
            jobs: scene.jobs.iter().map(held).collect(),
            talk: Talk::new(&scene),
            scene,
            held_bytes: 0,
            stdout: Sections::default(),
            stderr: Sections::default(),
        }
    }

    fn output(&mut self, job: usize, output: &Output) -> Vec<Action> {
        let held = &mut self.jobs[job];
        let before = held.bytes_count();
        let mut actions = Action::files(job, output);
        for frame in &output.frames {
            match &frame.stream {
                Stream::Stdout => held.stdout_bytes.extend(held.stdout.push(&frame.bytes)),
                Stream::Stderr => held.stderr_bytes.extend(held.stderr.push(&frame.bytes)),
                // Structured records are for programs and tables.
                Stream::File(_) | Stream::Event(_) => {}
            }
        }
        self.held_bytes += held.bytes_count() - before;
        if self.held_bytes > HELD_BYTES_MAX {
            actions.push(Action::HeldTooMuch);
        }
        actions
    }

    /// What a job printed is void.
    fn clear(&mut self, job: usize) {
        let held = &mut self.jobs[job];
        self.held_bytes -= held.bytes_count();
        held.stdout.clear();
        held.stderr.clear();
        held.stdout_bytes.clear();
        held.stderr_bytes.clear();
    }

    /// What a job printed: stdout, then stderr.
    fn section(&mut self, job: usize) -> Vec<Action> {
        let scene = &self.scene;
        let held = &mut self.jobs[job];
        self.held_bytes -= held.bytes_count();
        let stdout = std::mem::take(&mut held.stdout_bytes);
        let stderr = std::mem::take(&mut held.stderr_bytes);
        if scene.jobs.len() == 1 {
            return vec![Action::Stdout(stdout), Action::Stderr(stderr)];
        }
        let header = |is_terminal: bool| {
            let color = scene.color.applies(is_terminal, scene.no_color);
            bold(&format!("==> {} <==", scene.jobs[job].label), color)
        };
        let mut actions =
            vec![Action::Stdout(self.stdout.begin(&header(scene.stdout_is_terminal)))];
        actions.extend(whole_lines(stdout).map(Action::Stdout));
        // In one place the header of stdout is enough. Where stderr goes elsewhere it has its own.
        if !stderr.is_empty() && !scene.streams_are_one {
            actions.push(Action::Stderr(self.stderr.begin(&header(scene.stderr_is_terminal))));
        }
        actions.extend(whole_lines(stderr).map(Action::Stderr));
        actions
    }
}

impl Render for Group {
    fn event(&mut self, job: usize, event: &Event) -> Vec<Action> {
        without_nothing(match event {
            Event::State(_) => Vec::new(),
            Event::Restart(restart) => {
                self.clear(job);
                let mut actions = vec![Action::ResetFiles { job }];
                actions.extend(self.talk.restart(job, restart));
                actions
            }
            Event::Output(output) => self.output(job, output),
            Event::Incomplete(incomplete) => vec![self.talk.incomplete(job, incomplete)],
            Event::End(end) => {
                let mut actions = self.section(job);
                actions.extend(self.talk.end(job, end));
                actions
            }
        })
    }

    /// Shows what no end has shown: jobs whose end was not seen.
    fn finish(&mut self, outcomes: &[Outcome], _code: ExitCode) -> Vec<Action> {
        let mut actions = Vec::new();
        for (job, outcome) in outcomes.iter().enumerate() {
            if outcome.end.is_none() {
                actions.extend(self.section(job));
            }
            actions.extend(self.talk.failure(job, outcome));
        }
        without_nothing(actions)
    }
}

impl Held {
    fn bytes_count(&self) -> usize {
        self.stdout_bytes.len() + self.stderr_bytes.len()
    }
}

impl Sections {
    /// What stands before the bytes of the next section.
    fn begin(&mut self, header: &str) -> Vec<u8> {
        let gap = if std::mem::replace(&mut self.has_one, true) { "\n" } else { "" };
        format!("{gap}{header}\n").into_bytes()
    }
}

/// The bytes, and the end of their last line when they have none: the next header begins a line. In two
/// pieces, as a section may be large.
fn whole_lines(bytes: Vec<u8>) -> impl Iterator<Item = Vec<u8>> {
    let is_open = !bytes.is_empty() && !bytes.ends_with(b"\n");
    std::iter::once(bytes).chain(is_open.then(|| b"\n".to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::color::ColorChoice;
    use crate::script::{end, ended, finish, out, restart, scene, show};
    use crate::wire::JobState;

    #[test]
    fn sections_come_as_jobs_end() {
        let mut group = Group::new(scene(&["virginia", "japan", "ireland"]));
        let events = [
            (0, out("stdout", "a")),
            (1, out("stdout", "b\n")),
            (0, out("stdout", "c")),
            (1, out("stderr", "slow")),
            (1, out("file:f", "x")),
            (1, end()),
            (2, out("event:hop", "{}")),
            (2, end()),
            (0, out("stderr", "late\n")),
            (0, end()),
        ];
        assert_eq!(
            show(&mut group, &events),
            "f>x~1>==> japan <==\n~1>b\n~2>==> japan <==\n~2>slow~2>\n~\
             1>\n==> ireland <==\n~\
             1>\n==> virginia <==\n~1>ac~1>\n~2>\n==> virginia <==\n~2>late\n~"
        );
    }

    #[test]
    fn a_single_job_is_shown_as_it_is() {
        let mut group = Group::new(scene(&["japan"]));
        let events = [(0, out("stdout", "a")), (0, out("stderr", "\x1b[1mb")), (0, end())];
        assert_eq!(show(&mut group, &events), "1>a~2>\x1b[1mb~");
    }

    #[test]
    fn a_terminal_has_one_header_and_no_control_sequences() {
        let terminal = Scene {
            stdout_is_terminal: true,
            stderr_is_terminal: true,
            streams_are_one: true,
            ..scene(&["virginia", "japan"])
        };
        let events = [
            (0, out("stdout", "a\x1b[")),
            (0, out("stdout", "1mb")),
            (0, out("stderr", "\x07c")),
            (0, end()),
        ];
        assert_eq!(
            show(&mut Group::new(terminal.clone()), &events),
            "1>\x1b[1m==> virginia <==\x1b[0m\n~1>ab~1>\n~2>c~2>\n~"
        );
        let plain = Scene { color: ColorChoice::Never, raw: true, ..terminal };
        assert_eq!(
            show(&mut Group::new(plain), &events),
            "1>==> virginia <==\n~1>a\x1b[1mb~1>\n~2>\x07c~2>\n~"
        );
    }

    #[test]
    fn a_void_attempt_leaves_nothing() {
        let mut group = Group::new(scene(&["virginia", "japan"]));
        let events = [
            (1, out("stdout", "void")),
            (1, out("stderr", "void")),
            (1, restart()),
            (1, out("stdout", "b")),
            (1, ended(JobState::Lost, None, Some("e2 is gone"))),
        ];
        assert_eq!(
            show(&mut group, &events),
            "reset~2>blitz curl: japan: engine e1 is lost; what came before is void\n~\
             1>==> japan <==\n~1>b~1>\n~2>blitz curl: japan: e2 is gone\n~"
        );
        assert_eq!(group.held_bytes, 0);
    }

    #[test]
    fn a_job_whose_end_was_not_seen_has_its_section() {
        let mut group = Group::new(scene(&["virginia", "japan"]));
        show(&mut group, &[(0, out("stdout", "a\n"))]);
        let away =
            Outcome { failure: Some("the gateway is away".to_owned()), ..Outcome::default() };
        assert_eq!(
            finish(&mut group, &[away, Outcome::default()]),
            "1>==> virginia <==\n~1>a\n~2>blitz curl: virginia: the gateway is away\n~\
             1>\n==> japan <==\n~"
        );
    }

    #[test]
    fn memory_is_bounded_over_all_jobs() {
        let mut group = Group::new(scene(&["virginia", "japan"]));
        let half = "x".repeat(HELD_BYTES_MAX / 2);
        assert_eq!(show(&mut group, &[(0, out("stdout", &half)), (1, out("stderr", &half))]), "");
        assert_eq!(show(&mut group, &[(1, out("stdout", "x"))]), "too much~");
        show(&mut group, &[(0, end())]);
        assert_eq!(show(&mut group, &[(1, out("stdout", "x"))]), "");
    }
}
