//! The faces of a load test, from records made by hand.

use blitz_contract::{Exit, Stopped};

use super::fixture::{opening, ticks};
use super::*;
use crate::exit_code::ExitCode;
use crate::render::{Action, Outcome, Render as _, Scene};
use crate::script::{ended, finish, out, restart, scene, show};
use crate::settings::Format;
use crate::wire::{Event, JobState, State};

fn options(line: &str) -> LoadOptions {
    let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
    LoadOptions::read(&words).unwrap()
}

fn load(scene: Scene, line: &str) -> Load {
    Load::new(
        Format::Text { buffer: false },
        Scene { plugin: "rush".to_owned(), ..scene },
        options(line),
    )
}

fn terminal(labels: &[&str]) -> Scene {
    Scene { stdout_is_terminal: true, no_color: true, owns_jobs: true, ..scene(labels) }
}

/// A test of one part from its claim to its last tick.
fn events(length_s: u32, peak: u32) -> Vec<(usize, Event)> {
    let mut events = vec![
        (0, claimed()),
        (0, out("event:load-open", &opening(0, 1, peak.into(), length_s.into()))),
    ];
    events.extend(ticks(length_s, peak).iter().map(|tick| (0, out("event:load-tick", tick))));
    events
}

fn claimed() -> Event {
    Event::State(State {
        state: "claimed".to_owned(),
        region: None,
        engine: Some("e\u{1b}[2J1".to_owned()),
        attempt: Some(1),
        reason: None,
    })
}

fn done() -> Event {
    ended(JobState::Done, Some(Exit::Status(0)), None)
}

fn good() -> Outcome {
    let Event::End(end) = done() else { panic!("an end") };
    Outcome { end: Some(end), code: Some(ExitCode::SUCCESS), ..Outcome::default() }
}

/// The view after these events.
fn view(render: &mut Load, events: &[(usize, Event)]) -> View {
    let mut last = None;
    for (job, event) in events {
        for action in render.event(*job, event) {
            if let Action::Show(view) = action {
                last = Some(*view);
            }
        }
    }
    last.expect("a view")
}

/// The screen as text.
fn picture(view: &View, columns: u16, rows: u16) -> String {
    let buffer = view.paint(columns, rows);
    let lines = (0..rows).map(|row| {
        let cells = (0..columns).map(|column| buffer[(column, row)].symbol());
        cells.collect::<String>().trim_end().to_owned() + "\n"
    });
    lines.collect()
}

#[test]
fn a_line_for_each_second_under_titles() {
    let mut render = load(scene(&["japan"]), "");
    let mut events = events(24, 93);
    events.push((0, done()));
    let shown = show(&mut render, &events).replace('~', "").replace("1>", "");
    insta::assert_snapshot!(shown);
    let end = finish(&mut render, &[good()]);
    assert!(end.starts_with("1>") && !end.contains("Response"), "no table twice: {end}");
}

#[test]
fn seconds_wait_for_all_parts() {
    let mut render = load(scene(&["virginia", "japan"]), "");
    let (ticks, opens) = (ticks(3, 10), |index| opening(index, 2, 10.0, 3));
    let first = [
        (0, out("event:load-open", &opens(0))),
        (1, out("event:load-open", &opens(1))),
        (0, out("event:load-tick", &ticks[0])),
    ];
    assert_eq!(show(&mut render, &first), "");
    let text = show(&mut render, &[(1, out("event:load-tick", &ticks[0]))]);
    assert_eq!(text.lines().count(), 3, "titles, a line and the mark behind it: {text}");
    assert!(text.lines().nth(1).unwrap().contains(" 2 "), "the users of both: {text}");
}

#[test]
fn a_screen_shows_it_all() {
    let mut render = load(terminal(&["japan"]), "");
    let view = view(&mut render, &events(60, 93)[..42]);
    insta::assert_snapshot!("screen", picture(&view, 100, 30));
    insta::assert_snapshot!("screen_narrow", picture(&view, 40, 20));
    insta::assert_snapshot!("screen_low", picture(&view, 80, 7));
}

#[test]
fn several_parts_have_a_line_each() {
    let mut render = load(terminal(&["virginia", "japan", "ireland"]), "");
    let ticks = ticks(30, 20);
    let mut events = vec![(1, claimed())];
    for part in [0, 2] {
        let open = opening(u32::try_from(part).unwrap(), 3, 20.0, 30);
        events.push((part, out("event:load-open", &open)));
        events.push((part, out("event:load-tick", &ticks[0])));
    }
    events.extend(ticks[1..9].iter().map(|tick| (0, out("event:load-tick", tick))));
    let lost = ended(JobState::Lost, None, Some("engine e3 is gone\u{1b}]0;x\u{7}"));
    events.push((2, lost));
    let view = view(&mut render, &events);
    let text = picture(&view, 120, 24);
    insta::assert_snapshot!("screen_of_parts", text);
    assert!(!text.contains('\u{1b}'), "{text:?}");
}

#[test]
fn before_the_first_tick_it_is_said_what_is_waited_for() {
    let mut render = load(terminal(&["japan"]), "");
    let view = view(&mut render, &[(0, claimed())]);
    insta::assert_snapshot!("screen_waiting", picture(&view, 60, 10));
}

#[test]
fn no_size_is_too_small() {
    let mut one = load(terminal(&["japan"]), "");
    let one = view(&mut one, &events(60, 93));
    let labels: Vec<String> = (0..50).map(|n| format!("region-{n}")).collect();
    let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
    let mut many = load(terminal(&labels), "");
    let many = view(&mut many, &events(60, 93));
    for columns in (1..24).chain((24..120).step_by(7)) {
        for rows in (1..16).chain((16..50).step_by(5)) {
            assert_eq!(one.paint(columns, rows).area.width, columns);
            assert_eq!(many.paint(columns, rows).area.height, rows);
        }
    }
}

#[test]
fn a_second_is_drawn_once_however_many_parts_tell_it() {
    let labels = ["a", "b", "c", "d"];
    let mut render = load(terminal(&labels), "");
    let ticks = ticks(5, 10);
    let parts = || (0..labels.len()).map(|part| (part, u32::try_from(part).unwrap()));
    let opens: Vec<_> = parts()
        .map(|(part, index)| (part, out("event:load-open", &opening(index, 4, 10.0, 5))))
        .collect();
    show(&mut render, &opens);
    for tick in &ticks {
        let told: Vec<_> = parts().map(|(part, _)| (part, out("event:load-tick", tick))).collect();
        assert_eq!(show(&mut render, &told), "show~");
    }
}

#[test]
fn the_screen_is_given_back_before_the_end_is_told() {
    let mut render = load(terminal(&["japan"]), "--fail p99<1ms");
    let mut events = events(10, 20);
    events.push((0, done()));
    events.push((0, out("stderr", "rush: talk\n")));
    let shown = show(&mut render, &events);
    assert!(shown.starts_with("show~show~") && shown.ends_with("2>rush: talk\n~show~"), "{shown}");
    let outcomes = [good()];
    assert_eq!(render.code(&outcomes, ExitCode::SUCCESS), ExitCode::FAILURE);
    let end = finish(&mut render, &outcomes);
    assert!(end.starts_with("hide~1>   Time"), "{end}");
    assert!(end.contains("p99<1ms"), "{end}");
}

#[test]
fn codes_of_jobs_come_before_ours() {
    let refused = Outcome {
        code: Some(ExitCode::REFUSED),
        end: Some(crate::wire::End {
            state: JobState::Failed,
            exit: Some(Exit::Stopped(Stopped::Limit("example.com may not be loaded".to_owned()))),
            ..crate::wire::End::default()
        }),
        ..Outcome::default()
    };
    let mut render = load(scene(&["japan"]), "--fail p99<1ms");
    assert_eq!(render.code(std::slice::from_ref(&refused), ExitCode::REFUSED), ExitCode::REFUSED);
    // Nothing was measured: nothing is told of it.
    assert_eq!(finish(&mut render, &[refused]), "");
    let mut render = load(scene(&["japan"]), "--fail p99<5m");
    show(&mut render, &events(10, 20));
    assert_eq!(render.code(&[good()], ExitCode::SUCCESS), ExitCode::SUCCESS);
}

#[test]
fn documents_have_stdout_alone() {
    let events = {
        let mut events = events(3, 10);
        events.push((0, out("stdout", "from the plugin\n")));
        events.push((0, done()));
        events
    };
    let new = |format, line: &str| Load::new(format, scene(&["japan"]), options(line));
    let mut json = new(Format::Json, "--fail p99<1ms");
    assert_eq!(show(&mut json, &events), "");
    let end = finish(&mut json, &[good()]);
    let (talk, document) = end.split_once("~1>").unwrap();
    assert!(talk.starts_with("2>blitz curl: p99<1ms"), "{talk}");
    let report = blitz_report::Report::from_json(document.trim_end_matches('~')).unwrap();
    assert_eq!(report.seconds.len(), 3);

    let mut lines = new(Format::Ndjson, "");
    let shown = show(&mut lines, &events);
    assert!(shown.contains(r#""stream":"event:load-tick""#), "{shown}");
    let end = finish(&mut lines, &[good()]);
    let last: Vec<&str> = end.split("~").collect();
    assert!(last[0].starts_with(r#"1>{"event":"exit""#), "{end}");
    assert!(last[1].starts_with(r#"1>{"blitz""#), "{end}");

    let mut csv = new(Format::Text { buffer: false }, "--csv - --junit /tmp/x.xml");
    assert_eq!(show(&mut csv, &events), "");
    let end = finish(&mut csv, &[good()]);
    assert!(end.starts_with("2>") && end.contains("~1>second,"), "{end}");
    assert!(end.contains("~/tmp/x.xml>"), "{end}");
}

#[test]
fn a_second_attempt_is_no_load_test() {
    let mut render = load(scene(&["japan"]), "");
    assert_eq!(
        show(&mut render, &[(0, restart())]),
        "abandon engine e1 is lost; a load test is not run twice: its figures would be two tests'~"
    );
}

#[test]
fn behind_the_plans_end_nothing_looks_like_an_outage() {
    let mut events = vec![(0, claimed()), (0, out("event:load-open", &opening(0, 1, 10.0, 3)))];
    events.extend(ticks(4, 10)[..3].iter().map(|tick| (0, out("event:load-tick", tick))));
    let nothing = blitz_contract::load::Tick { second: 3, ..Default::default() };
    let nothing = serde_json::to_string(&nothing).unwrap();
    events.push((0, out("event:load-tick", &nothing)));
    let mut lines = load(scene(&["japan"]), "");
    let shown = show(&mut lines, &events);
    assert!(shown.contains("0:03 ") && !shown.contains("0:04 "), "{shown}");
    let mut screen = load(terminal(&["japan"]), "");
    let text = picture(&view(&mut screen, &events), 100, 20);
    assert!(text.contains("running 0:03 of 0:03") && !text.contains("0:04 "), "{text}");
    let end = finish(&mut screen, &[good()]);
    assert!(end.contains("\n   0:03 ") && !end.contains("\n   0:04 "), "{end}");
}

#[test]
fn quiet_has_the_end_alone() {
    let mut render = load(Scene { quiet: true, ..terminal(&["japan"]) }, "");
    let mut events = events(5, 20);
    events.push((0, done()));
    assert_eq!(show(&mut render, &events), "");
    assert!(finish(&mut render, &[good()]).starts_with("1>"));
}
