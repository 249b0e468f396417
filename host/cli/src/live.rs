//! The plain format: remote output as it comes, or at the end with `--buffer`; lines with the name of
//! their region when there are several. Pure.

use blitz_contract::Stream;

use crate::exit_code::ExitCode;
use crate::pipeline::Pipeline;
use crate::render::{Action, HELD_BYTES_MAX, Outcome, Render, Scene, without_nothing};
use crate::talk::Talk;
use crate::wire::{End, Event, Output, Restart};

/// Shows output to a person or to the next command of a pipe.
pub(crate) struct Live {
    jobs: Vec<JobOutput>,
    talk: Talk,
    stdout_is_terminal: bool,
    buffer: bool,
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

impl Live {
    /// `buffer` holds stdout back until a job has ended.
    pub(crate) fn new(scene: &Scene, buffer: bool) -> Self {
        let job = |at: usize| JobOutput {
            stdout: Pipeline::named(scene, at, scene.stdout_is_terminal),
            stderr: Pipeline::named(scene, at, scene.stderr_is_terminal),
            held: Vec::new(),
            has_given: false,
        };
        Self {
            jobs: (0..scene.jobs.len()).map(job).collect(),
            talk: Talk::new(scene),
            stdout_is_terminal: scene.stdout_is_terminal,
            buffer,
            held_bytes: 0,
        }
    }

    fn output(&mut self, job: usize, output: &Output) -> Vec<Action> {
        let mut actions = Action::files(job, output);
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
                // Structured records are for `--json` and `--ndjson`.
                Stream::File(_) | Stream::Event(_) => {}
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
        if view.has_given && !self.stdout_is_terminal {
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
        let mut actions = vec![Action::ResetFiles { job }];
        actions.extend(self.talk.restart(job, restart));
        actions
    }

    fn end(&mut self, job: usize, end: &End) -> Vec<Action> {
        let mut actions = self.drain(job);
        actions.extend(self.talk.end(job, end));
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
}

impl Render for Live {
    fn event(&mut self, job: usize, event: &Event) -> Vec<Action> {
        without_nothing(match event {
            Event::State(_) => Vec::new(),
            Event::Restart(restart) => self.restart(job, restart),
            Event::Output(output) => self.output(job, output),
            Event::Incomplete(incomplete) => vec![self.talk.incomplete(job, incomplete)],
            Event::End(end) => self.end(job, end),
        })
    }

    /// Says what no event has said: jobs whose end was not seen.
    fn finish(&mut self, outcomes: &[Outcome], _code: ExitCode) -> Vec<Action> {
        let mut actions = Vec::new();
        for (job, outcome) in outcomes.iter().enumerate() {
            if outcome.end.is_none() {
                actions.extend(self.drain(job));
            }
            actions.extend(self.talk.failure(job, outcome));
        }
        without_nothing(actions)
    }
}

#[cfg(test)]
mod tests {
    use blitz_contract::{Exit, Stopped};

    use super::*;
    use crate::script::{end, ended, out, restart, scene, show};
    use crate::wire::{Incomplete, JobState};

    #[test]
    fn one_region_is_shown_as_it_is() {
        let mut live = Live::new(&scene(&["japan"]), false);
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
        assert_eq!(show(&mut Live::new(&terminal, false), &events), "1>a~1>b~2>c~");
        let raw = Scene { raw: true, ..terminal };
        assert_eq!(show(&mut Live::new(&raw, false), &events), "1>a\x1b[~1>1mb~2>\x07c~");
    }

    #[test]
    fn regions_are_prefixed_and_do_not_mix() {
        let mut live = Live::new(&scene(&["virginia", "japan"]), false);
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
        let mut live = Live::new(&scene(&["japan"]), true);
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
        let mut live = Live::new(&scene(&["japan"]), false);
        assert_eq!(
            show(&mut live, &[(0, out("stdout", "a")), (0, restart())]),
            "1>a~abandon engine e1 is lost; stdout already had output of attempt 1: \
             --buffer holds it back~"
        );
        let quiet = Scene { quiet: true, ..scene(&["japan"]) };
        let mut live = Live::new(&quiet, false);
        assert_eq!(show(&mut live, &[(0, out("stderr", "a")), (0, restart())]), "2>a~reset~");
    }

    #[test]
    fn bad_ends_are_said() {
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
            let mut live = Live::new(&scene(&["japan"]), false);
            assert_eq!(show(&mut live, &[(0, event)]), text);
        }
    }
}
