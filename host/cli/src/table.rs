//! `--table`: a row for each job when all have ended. Pure.
//!
//! REGION and ENGINE come first, then the columns that the plugin's manifest declares, filled from the
//! job's last record of the declared kind: one row, or one for each element of a list in it. Where the manifest says
//! by which figure, rows are sorted by it. EXIT is the last one as soon as a job did not end with 0. A
//! plugin that declares no table gets REGION ENGINE EXIT TIME. Remote stdout is not shown; remote stderr
//! and why a job failed are, on stderr.

use std::cmp::Ordering;

use blitz_contract::table::COLUMNS_MAX;
use blitz_contract::{Column, Stream, Table};
use serde_json::Value;

use crate::cells::{NOTHING, of_record, of_text, rows_of, side};
use crate::exit_code::ExitCode;
use crate::pipeline::Pipeline;
use crate::render::{Action, Outcome, Render, Scene, without_nothing};
use crate::talk::Talk;
use crate::text::{Side, aligned};
use crate::wire::{Event, Output};

/// Gathers a row for each job.
pub(crate) struct Rows {
    rows: Vec<Row>,
    table: Option<Table>,
    talk: Talk,
}

struct Row {
    label: String,
    engine: Option<String>,
    /// The plugin's rows; empty before the first record of the attempt that runs.
    cells: Vec<Cells>,
    stderr: Pipeline,
}

/// One row of the plugin's.
#[derive(Clone)]
struct Cells {
    cells: Vec<String>,
    /// What rows are sorted by.
    key: Option<Key>,
}

/// Numbers come before text.
#[derive(Clone, PartialEq, PartialOrd)]
enum Key {
    Number(f64),
    Text(String),
}

impl Cells {
    fn of(record: &Value, table: &Table) -> Self {
        let key = match record.pointer(&table.sort).filter(|_| !table.sort.is_empty()) {
            Some(Value::Number(number)) => number.as_f64().map(Key::Number),
            Some(Value::String(text)) => Some(Key::Text(text.clone())),
            _ => None,
        };
        let cell = |column: &Column| of_record(record, column);
        Self { cells: table.columns.iter().map(cell).collect(), key }
    }
}

impl Rows {
    pub(crate) fn new(scene: &Scene) -> Self {
        let row = |job: usize| Row {
            label: scene.jobs[job].label.clone(),
            engine: None,
            cells: Vec::new(),
            stderr: Pipeline::named(scene, job, scene.stderr_is_terminal),
        };
        let rows = (0..scene.jobs.len()).map(row).collect();
        // A manifest of a newer version, or of none at all, may declare more than fits.
        let table = scene.table.clone().map(|mut table| {
            table.columns.truncate(COLUMNS_MAX);
            table
        });
        Self { rows, table, talk: Talk::new(scene) }
    }

    fn output(&mut self, job: usize, output: &Output) -> Vec<Action> {
        let row = &mut self.rows[job];
        let mut actions = Action::files(job, output);
        for frame in &output.frames {
            match (&frame.stream, &self.table) {
                (Stream::Stderr, _) => actions.push(Action::Stderr(row.stderr.push(&frame.bytes))),
                (Stream::Event(kind), Some(table)) if *kind == table.event => {
                    let record = serde_json::from_slice(&frame.bytes).unwrap_or(Value::Null);
                    let rows = rows_of(&record, table);
                    row.cells = rows.into_iter().map(|row| Cells::of(row, table)).collect();
                }
                (Stream::Stdout | Stream::File(_) | Stream::Event(_), _) => {}
            }
        }
        actions
    }

    /// The whole table.
    fn table(&self, outcomes: &[Outcome]) -> String {
        let has_failed = outcomes.iter().any(|outcome| outcome.code() != ExitCode::SUCCESS);
        let (columns, own): (&[Column], &[Own]) = match &self.table {
            Some(table) if has_failed => (&table.columns, &[Own::Exit]),
            Some(table) => (&table.columns, &[]),
            None => (&[], &[Own::Exit, Own::Time]),
        };
        let mut head = vec![("REGION".to_owned(), Side::Left), ("ENGINE".to_owned(), Side::Left)];
        head.extend(columns.iter().map(|column| (of_text(&column.title), side(column.unit))));
        head.extend(own.iter().map(|own| (own.title().to_owned(), Side::Right)));
        let mut rows: Vec<(Option<&Key>, Vec<String>)> = Vec::new();
        for (row, outcome) in self.rows.iter().zip(outcomes) {
            let engine = row.engine.as_deref().unwrap_or(NOTHING);
            let whole = |plugin: &[String]| {
                let mut cells = vec![of_text(&row.label), of_text(engine)];
                cells.extend_from_slice(plugin);
                cells.extend(own.iter().map(|own| own.cell(outcome)));
                cells
            };
            if row.cells.is_empty() {
                rows.push((None, whole(&vec![NOTHING.to_owned(); columns.len()])));
            }
            rows.extend(row.cells.iter().map(|row| (row.key.as_ref(), whole(&row.cells))));
        }
        // Rows without the figure come last; equal ones stay in the order of regions.
        rows.sort_by(|(one, _), (other, _)| match (one, other) {
            (Some(one), Some(other)) => one.partial_cmp(other).unwrap_or(Ordering::Equal),
            (one, other) => other.is_some().cmp(&one.is_some()),
        });
        let rows: Vec<_> = rows.into_iter().map(|(_, cells)| cells).collect();
        aligned(&head, &rows)
    }
}

/// A column of ours behind those of the plugin.
#[derive(Debug, Clone, Copy)]
enum Own {
    Exit,
    /// Milliseconds from the engine's claim to the end.
    Time,
}

impl Own {
    fn title(self) -> &'static str {
        match self {
            Self::Exit => "EXIT",
            Self::Time => "TIME",
        }
    }

    fn cell(self, outcome: &Outcome) -> String {
        let duration_ms = || outcome.end.as_ref()?.duration_ms;
        match self {
            Self::Exit => outcome.code().to_string(),
            Self::Time => duration_ms().map_or_else(|| NOTHING.to_owned(), |ms| ms.to_string()),
        }
    }
}

impl Render for Rows {
    fn event(&mut self, job: usize, event: &Event) -> Vec<Action> {
        let row = &mut self.rows[job];
        without_nothing(match event {
            Event::State(state) => {
                row.hear_engine(state.engine.as_ref());
                Vec::new()
            }
            Event::Restart(restart) => {
                row.cells.clear();
                row.engine.clone_from(&restart.engine);
                row.stderr.clear();
                let mut actions = vec![Action::ResetFiles { job }];
                actions.extend(self.talk.restart(job, restart));
                actions
            }
            Event::Output(output) => self.output(job, output),
            Event::Incomplete(incomplete) => vec![self.talk.incomplete(job, incomplete)],
            Event::End(end) => {
                row.hear_engine(end.engine.as_ref());
                let mut actions = vec![Action::Stderr(row.stderr.finish())];
                actions.extend(self.talk.end(job, end));
                actions
            }
        })
    }

    fn finish(&mut self, outcomes: &[Outcome], _code: ExitCode) -> Vec<Action> {
        let mut actions = Vec::new();
        for (job, outcome) in outcomes.iter().enumerate() {
            // Empty for those whose end was seen.
            actions.push(Action::Stderr(self.rows[job].stderr.finish()));
            actions.extend(self.talk.failure(job, outcome));
        }
        actions.push(Action::Stdout(self.table(outcomes).into_bytes()));
        without_nothing(actions)
    }
}

impl Row {
    fn hear_engine(&mut self, engine: Option<&String>) {
        if let Some(engine) = engine {
            self.engine = Some(engine.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use blitz_contract::{Exit, Stopped, Unit};

    use super::*;
    use crate::exit_code::of_end;
    use crate::render::Watched;
    use crate::script::{ended, finish, out, scene, show};
    use crate::wire::{End, Incomplete, JobState, Restart, State};

    fn declared() -> Table {
        let column = |(title, value, unit): (&str, &str, Unit)| Column {
            title: title.to_owned(),
            value: value.to_owned(),
            unit,
        };
        let columns = [
            ("STATUS", "/status", Unit::Count),
            ("TLS", "/phases/tls_us", Unit::Us),
            ("TOTAL", "/phases/total_us", Unit::Us),
            ("SERVER", "/server", Unit::Text),
        ];
        Table {
            event: "transfer".to_owned(),
            columns: columns.into_iter().map(column).collect(),
            ..Table::default()
        }
    }

    fn rows(labels: &[&str], table: Option<Table>) -> Rows {
        Rows::new(&Scene { table, ..scene(labels) })
    }

    fn claimed(engine: &str) -> Event {
        Event::State(State {
            state: "claimed".to_owned(),
            region: None,
            engine: Some(engine.to_owned()),
            attempt: Some(1),
            reason: None,
        })
    }

    fn outcome(state: JobState, exit: Option<Exit>) -> Outcome {
        let end = End { state, exit, duration_ms: Some(12), ..End::default() };
        Outcome { code: Some(of_end(&end)), end: Some(end), ..Outcome::default() }
    }

    fn good() -> Outcome {
        outcome(JobState::Done, Some(Exit::Status(0)))
    }

    const RECORD: &str =
        r#"{"status":200,"phases":{"tls_us":20500,"total_us":123456},"server":"nginx"}"#;
    const PLAIN: &str = r#"{"status":204,"phases":{"tls_us":null,"total_us":900}}"#;

    #[test]
    fn the_last_record_of_the_kind_makes_the_row() {
        let mut rows = rows(&["virginia", "jp"], Some(declared()));
        let events = [
            (0, claimed("virginia-1")),
            (1, claimed("japan-2")),
            (0, out("stdout", "not shown")),
            (0, out("event:transfer", PLAIN)),
            (0, out("event:transfer", RECORD)),
            (0, out("event:exchange", PLAIN)),
            (1, out("event:transfer", PLAIN)),
            (1, out("file:f", "x")),
        ];
        assert_eq!(show(&mut rows, &events), "f>x~");
        insta::assert_snapshot!(finish(&mut rows, &[good(), good()]), @"
        1>REGION    ENGINE      STATUS   TLS  TOTAL  SERVER
        virginia  virginia-1     200  20.5  123.5  nginx
        jp        japan-2        204     -    0.9  -
        ~
        ");
    }

    #[test]
    fn rows_are_sorted_by_a_figure() {
        let table = Table { sort: "/phases/total_us".to_owned(), ..declared() };
        let mut rows = rows(&["virginia", "japan", "ireland", "oregon"], Some(table));
        let events = [
            (0, out("event:transfer", RECORD)),
            (1, out("event:transfer", r#"{"status":7}"#)),
            (3, out("event:transfer", PLAIN)),
        ];
        show(&mut rows, &events);
        insta::assert_snapshot!(finish(&mut rows, &[good(), good(), good(), good()]), @"
        1>REGION    ENGINE  STATUS   TLS  TOTAL  SERVER
        oregon    -          204     -    0.9  -
        virginia  -          200  20.5  123.5  nginx
        japan     -            7     -      -  -
        ireland   -            -     -      -  -
        ~
        ");
    }

    #[test]
    fn a_list_in_the_record_makes_a_row_each() {
        let table = Table { rows: "/hops".to_owned(), ..declared() };
        let mut rows = rows(&["virginia", "japan"], Some(table));
        let record = r#"{"hops":[{"status":1,"server":"a"},{"status":2,"server":"b"}]}"#;
        show(&mut rows, &[(0, out("event:transfer", record))]);
        insta::assert_snapshot!(finish(&mut rows, &[good(), good()]), @"
        1>REGION    ENGINE  STATUS  TLS  TOTAL  SERVER
        virginia  -            1    -      -  a
        virginia  -            2    -      -  b
        japan     -            -    -      -  -
        ~
        ");
    }

    #[test]
    fn failed_jobs_show_their_exit_code_and_say_why() {
        let mut rows = rows(&["virginia", "japan", "ireland"], Some(declared()));
        let timeout = Some(Exit::Stopped(Stopped::Timeout("its 60 s are over".to_owned())));
        let events = [
            (0, claimed("virginia-1")),
            (0, out("event:transfer", RECORD)),
            (1, claimed("japan-1")),
            (1, out("stderr", "curl: (7) refu")),
            (1, out("stderr", "sed")),
            (1, out("event:transfer", r#"{"status":null,"phases":{"total_us":1000}}"#)),
            (1, ended(JobState::Failed, Some(Exit::Status(7)), None)),
            (2, ended(JobState::Failed, timeout.clone(), None)),
            (0, Event::Incomplete(Incomplete { reason: "chunk 3".to_owned() })),
        ];
        assert_eq!(
            show(&mut rows, &events),
            "2>japan | curl: (7) refused\n~2>blitz curl: ireland: its 60 s are over\n~\
             2>blitz curl: virginia: output is incomplete: chunk 3\n~"
        );
        let outcomes = [
            Outcome { incomplete: Some("chunk 3".to_owned()), ..good() },
            outcome(JobState::Failed, Some(Exit::Status(7))),
            outcome(JobState::Failed, timeout),
        ];
        insta::assert_snapshot!(finish(&mut rows, &outcomes), @"
        1>REGION    ENGINE      STATUS   TLS  TOTAL  SERVER  EXIT
        virginia  virginia-1     200  20.5  123.5  nginx    123
        japan     japan-1          -     -    1.0  -          7
        ireland   -                -     -      -  -        121
        ~
        ");
    }

    #[test]
    fn a_plugin_without_a_table_has_one_of_ours() {
        let mut rows = rows(&["virginia", "japan"], None);
        show(&mut rows, &[(0, claimed("virginia-1")), (0, out("event:transfer", RECORD))]);
        let away = Outcome {
            code: Some(ExitCode::UNREACHABLE),
            failure: Some("the gateway is away".to_owned()),
            ..Outcome::default()
        };
        insta::assert_snapshot!(finish(&mut rows, &[good(), away]), @"
        2>blitz curl: japan: the gateway is away
        ~1>REGION    ENGINE      EXIT  TIME
        virginia  virginia-1     0    12
        japan     -            125     -
        ~
        ");
    }

    #[test]
    fn a_void_attempt_leaves_nothing() {
        let mut rows = rows(&["japan"], Some(declared()));
        let restart = Restart {
            attempt: 2,
            engine: Some("japan-2".to_owned()),
            reason: "engine japan-1 is lost".to_owned(),
        };
        let events = [
            (0, claimed("japan-1")),
            (0, out("event:transfer", RECORD)),
            (0, Event::Restart(restart)),
        ];
        assert_eq!(
            show(&mut rows, &events),
            "reset~2>blitz curl: engine japan-1 is lost; what came before is void\n~"
        );
        insta::assert_snapshot!(finish(&mut rows, &[good()]), @"
        1>REGION  ENGINE   STATUS  TLS  TOTAL  SERVER
        japan   japan-2       -    -      -  -
        ~
        ");
    }

    #[test]
    fn foreign_words_stay_in_their_cells() {
        let column = Column {
            title: "A\u{1b}[1mB\nC".to_owned(),
            value: "/v".to_owned(),
            ..Column::default()
        };
        let table = Table {
            event: "e".to_owned(),
            columns: vec![column; COLUMNS_MAX + 3],
            ..Table::default()
        };
        let jobs = vec![Watched {
            id: "id".to_owned(),
            region: "japan".to_owned(),
            label: "ja\u{7}pan".to_owned(),
        }];
        let mut rows = Rows::new(&Scene { jobs, table: Some(table), ..Scene::default() });
        let record = serde_json::json!({"v": format!("\u{1b}]0;t\u{7}{}\n", "x".repeat(5000))});
        show(&mut rows, &[(0, claimed("e\u{1b}[31m1")), (0, out("event:e", &record.to_string()))]);
        let table = finish(&mut rows, &[good()]);
        let lines: Vec<&str> = table.split('\n').collect();
        assert_eq!(lines.len(), 3, "{table:?}");
        assert!(lines[0].starts_with("1>REGION  ENGINE  AB C"), "{table:?}");
        assert!(lines[1].starts_with("japan   e1      xxx"), "{table:?}");
        assert_eq!(lines[1].matches('…').count(), COLUMNS_MAX);
        show(&mut rows, &[(0, out("event:e", "not JSON"))]);
        let line = finish(&mut rows, &[good()]);
        assert!(line.contains("japan   e1      -     -"), "{line:?}");
    }
}
