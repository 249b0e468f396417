//! Scenes, events and what renderers make of them as text: for the tests of the formats.

use blitz_contract::{Exit, Frame, Stream};

use crate::exit_code::ExitCode;
use crate::render::{Action, Outcome, Render, Scene, Watched};
use crate::wire::{End, Event, JobState, Output, Restart};

/// A command `curl` with a job for each label.
pub(crate) fn scene(labels: &[&str]) -> Scene {
    let job = |label: &&str| Watched {
        id: format!("id-{label}"),
        region: (*label).to_owned(),
        label: (*label).to_owned(),
    };
    Scene { plugin: "curl".to_owned(), jobs: labels.iter().map(job).collect(), ..Scene::default() }
}

/// A frame of a stream.
pub(crate) fn out(stream: &str, text: &str) -> Event {
    let stream = Stream::parse(stream).unwrap();
    Event::Output(Output {
        frames: vec![Frame { stream, bytes: text.as_bytes().to_vec() }],
        ..Output::default()
    })
}

/// A second attempt.
pub(crate) fn restart() -> Event {
    Event::Restart(Restart { attempt: 2, engine: None, reason: "engine e1 is lost".to_owned() })
}

/// A good end.
pub(crate) fn end() -> Event {
    ended(JobState::Done, Some(Exit::Status(0)), None)
}

/// Any end.
pub(crate) fn ended(state: JobState, exit: Option<Exit>, reason: Option<&str>) -> Event {
    Event::End(End { state, exit, reason: reason.map(str::to_owned), ..End::default() })
}

/// Actions as text: `1>` stdout, `2>` stderr, `~` behind each.
pub(crate) fn show(render: &mut dyn Render, events: &[(usize, Event)]) -> String {
    events.iter().flat_map(|(job, event)| render.event(*job, event)).map(text).collect()
}

/// The same, of the end.
pub(crate) fn finish(render: &mut dyn Render, outcomes: &[Outcome]) -> String {
    render.finish(outcomes, ExitCode::SUCCESS).into_iter().map(text).collect()
}

fn text(action: Action) -> String {
    let text = |bytes| String::from_utf8(bytes).unwrap();
    match action {
        Action::Stdout(bytes) => format!("1>{}~", text(bytes)),
        Action::Stderr(bytes) => format!("2>{}~", text(bytes)),
        Action::Draw { blocks, .. } => format!("draw>{}~", blocks.concat().concat()),
        Action::Show(_) => "show~".to_owned(),
        Action::Hide => "hide~".to_owned(),
        Action::Write { path, bytes } => format!("{}>{} bytes~", path.display(), bytes.len()),
        Action::File { name, bytes, .. } => format!("{name}>{}~", text(bytes)),
        Action::ResetFiles { .. } => "reset~".to_owned(),
        Action::Abandon { reason, .. } => format!("abandon {reason}~"),
        Action::HeldTooMuch => "too much~".to_owned(),
    }
}
