//! `--ndjson`: one JSON line for each event, as it comes. Pure.
//!
//! Every line has `event`. `submitted` (run, plugin, version, jobs) is first, `exit` (exit_code) is
//! last; between them each line names its `job` and `region` and carries the gateway's event: `state`,
//! `restart`, `output` (attempt, incarnation, seq, frames), `incomplete`, `unreachable` (since_ms, reason), `reachable`, `end`;
//! or `failed` (reason)
//! for a job whose end was not seen. Output of attempts before a `restart` is void.

use serde::Serialize;

use crate::exit_code::ExitCode;
use crate::render::{Action, Outcome, Render, Scene};
use crate::wire::{Event, Outage, State, Submitted, Unreachable};

/// Writes events as lines.
pub(crate) struct Ndjson {
    scene: Scene,
}

#[derive(Serialize)]
struct JobLine<'a, T> {
    event: &'a str,
    job: &'a str,
    region: &'a str,
    #[serde(flatten)]
    data: T,
}

#[derive(Serialize)]
struct SubmittedLine<'a> {
    event: &'a str,
    #[serde(flatten)]
    data: &'a Submitted,
}

#[derive(Serialize)]
struct ExitLine<'a> {
    event: &'a str,
    exit_code: u8,
}

#[derive(Serialize)]
struct Away<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    since_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
}

#[derive(Serialize)]
struct Failed<'a> {
    reason: &'a str,
}

impl Ndjson {
    pub(crate) fn new(scene: Scene) -> Self {
        Self { scene }
    }

    fn line<T: Serialize>(&self, job: usize, event: &str, data: T) -> Action {
        let watched = &self.scene.jobs[job];
        json_line(&JobLine { event, job: &watched.id, region: &watched.region, data })
    }
}

impl Render for Ndjson {
    fn submitted(&mut self, data: &Submitted) -> Vec<Action> {
        vec![json_line(&SubmittedLine { event: "submitted", data })]
    }

    fn event(&mut self, job: usize, event: &Event) -> Vec<Action> {
        match event {
            // The line has a region already.
            Event::State(state) => {
                vec![self.line(job, "state", State { region: None, ..state.clone() })]
            }
            Event::Restart(restart) => {
                vec![Action::ResetFiles { job }, self.line(job, "restart", restart)]
            }
            Event::Output(output) => {
                let mut actions = vec![self.line(job, "output", output)];
                actions.extend(Action::files(job, output));
                actions
            }
            Event::Incomplete(incomplete) => vec![self.line(job, "incomplete", incomplete)],
            Event::End(end) => vec![self.line(job, "end", end)],
        }
    }

    fn outage(&mut self, job: usize, outage: &Outage) -> Vec<Action> {
        // The line has a region already.
        let line = match outage {
            Outage::Began(Unreachable { since_ms, reason, .. }) => {
                let away = Away { since_ms: Some(*since_ms), reason: Some(reason) };
                self.line(job, "unreachable", away)
            }
            Outage::Over(_) => self.line(job, "reachable", Away { since_ms: None, reason: None }),
        };
        vec![line]
    }

    fn finish(&mut self, outcomes: &[Outcome], code: ExitCode) -> Vec<Action> {
        let failures = outcomes.iter().enumerate().filter_map(|(job, outcome)| {
            let reason = outcome.failure.as_deref()?;
            Some(self.line(job, "failed", Failed { reason }))
        });
        let mut actions: Vec<Action> = failures.collect();
        actions.push(json_line(&ExitLine { event: "exit", exit_code: code.0 }));
        actions
    }
}

/// A value as one line on stdout.
pub(crate) fn json_line(value: &impl Serialize) -> Action {
    let text = serde_json::to_string(value).expect("our own types have text keys only");
    // What is escaped begins with one of these two bytes; a large output rarely has them.
    if !text.bytes().any(|byte| matches!(byte, 0x7f | 0xc2)) {
        let mut line = text.into_bytes();
        line.push(b'\n');
        return Action::Stdout(line);
    }
    let mut line = String::with_capacity(text.len() + 1);
    for character in text.chars() {
        match character {
            // JSON lets them stand, in texts only; a terminal obeys them.
            '\u{7f}'..='\u{9f}' => line.push_str(&format!("\\u{:04x}", u32::from(character))),
            _ => line.push(character),
        }
    }
    line.push('\n');
    Action::Stdout(line.into_bytes())
}

#[cfg(test)]
mod tests {
    use blitz_contract::{Exit, Frame, Stream};

    use super::*;
    use crate::render::Watched;
    use crate::wire::events::Reachable;
    use crate::wire::{End, JobState, Output};

    #[test]
    fn no_control_character_is_left_in_a_line() {
        let Action::Stdout(line) = json_line(&"\u{1b}[31m \u{9b}31m \u{7f} \u{a0}é") else {
            panic!()
        };
        let line = String::from_utf8(line).unwrap();
        assert_eq!(line, "\"\\u001b[31m \\u009b31m \\u007f \u{a0}é\"\n");
        assert_eq!(
            serde_json::from_str::<String>(&line).unwrap(),
            "\u{1b}[31m \u{9b}31m \u{7f} \u{a0}é"
        );
    }

    #[test]
    fn events_are_lines() {
        let jobs = vec![Watched {
            id: "j".to_owned(),
            region: "us-east-1".to_owned(),
            label: "virginia".to_owned(),
        }];
        let mut ndjson = Ndjson::new(Scene { jobs, ..Scene::default() });
        let frames = vec![
            Frame { stream: Stream::Stdout, bytes: b"hi".to_vec() },
            Frame { stream: Stream::File("f".to_owned()), bytes: vec![0xff] },
        ];
        let state = State {
            state: "claimed".to_owned(),
            region: Some("us-east-1".to_owned()),
            engine: Some("e".to_owned()),
            attempt: Some(1),
            reason: None,
        };
        let output = Output { attempt: 1, incarnation: "a".to_owned(), seq: 0, frames };
        let end = End { state: JobState::Done, exit: Some(Exit::Status(0)), ..End::default() };
        let mut actions = ndjson.event(0, &Event::State(state));
        actions.extend(ndjson.event(0, &Event::Output(output)));
        let (region, reason) = ("us-east-1".to_owned(), "r".to_owned());
        let began = Outage::Began(Unreachable { region: region.clone(), since_ms: 5, reason });
        actions.extend(ndjson.outage(0, &began));
        actions.extend(ndjson.outage(0, &Outage::Over(Reachable { region })));
        actions.extend(ndjson.event(0, &Event::End(end)));
        actions.extend(ndjson.finish(&[Outcome::default()], ExitCode::SUCCESS));
        let text: String = actions
            .into_iter()
            .map(|action| match action {
                Action::Stdout(line) => String::from_utf8(line).unwrap(),
                other => format!("{other:?}\n"),
            })
            .collect();
        insta::assert_snapshot!(text, @r#"
        {"event":"state","job":"j","region":"us-east-1","state":"claimed","engine":"e","attempt":1}
        {"event":"output","job":"j","region":"us-east-1","attempt":1,"incarnation":"a","seq":0,"frames":[{"stream":"stdout","text":"hi"},{"stream":"file:f","base64":"/w=="}]}
        File { job: 0, name: "f", bytes: [255] }
        {"event":"unreachable","job":"j","region":"us-east-1","since_ms":5,"reason":"r"}
        {"event":"reachable","job":"j","region":"us-east-1"}
        {"event":"end","job":"j","region":"us-east-1","state":"done","exit":{"status":0}}
        {"event":"exit","exit_code":0}
        "#);
    }
}
