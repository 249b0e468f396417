//! What a terminal shows of a command that draws: below what it prints, a table that each record of the kind named by
//! `[live]` in the plugin's manifest makes anew, until its job ends. Pure.
//!
//! With several regions each has a table, with its name above.

use blitz_contract::table::COLUMNS_MAX;
use blitz_contract::{Column, Stream, Table};
use serde_json::Value;

use crate::cells::{of_record, of_text, rows_of, side};
use crate::color::bold;
use crate::exit_code::ExitCode;
use crate::live::Live;
use crate::render::{Action, Outcome, Render, Scene};
use crate::text::aligned;
use crate::wire::Event;

/// The plain format with a picture below.
pub(crate) struct Drawn {
    plain: Live,
    table: Table,
    scene: Scene,
    /// The cells of each job's table; `None` before its first record and behind its end.
    tables: Vec<Option<Vec<Vec<String>>>>,
}

impl Drawn {
    pub(crate) fn new(scene: Scene, mut table: Table) -> Self {
        // A manifest of a newer version may declare more than fits.
        table.columns.truncate(COLUMNS_MAX);
        let tables = vec![None; scene.jobs.len()];
        Self { plain: Live::new(&scene, false), table, scene, tables }
    }

    /// Takes what an event says about the picture; whether that changed it.
    fn note(&mut self, job: usize, event: &Event) -> bool {
        match event {
            Event::Output(output) => {
                let is_ours = |stream: &Stream| matches!(stream, Stream::Event(kind) if *kind == self.table.event);
                let Some(last) = output.frames.iter().rfind(|frame| is_ours(&frame.stream)) else {
                    // What is printed takes the table's place, until there is another record.
                    let prints = |stream: &Stream| *stream == Stream::Stdout;
                    let has_printed = output.frames.iter().any(|frame| prints(&frame.stream));
                    return has_printed && self.tables[job].take().is_some();
                };
                let record = serde_json::from_slice(&last.bytes).unwrap_or(Value::Null);
                let cells = |row: &Value| {
                    let cell = |column: &Column| of_record(row, column);
                    self.table.columns.iter().map(cell).collect()
                };
                let rows = rows_of(&record, &self.table);
                self.tables[job] = Some(rows.into_iter().map(cells).collect());
                true
            }
            Event::Restart(_) | Event::End(_) => self.tables[job].take().is_some(),
            Event::State(_) | Event::Incomplete(_) => false,
        }
    }

    /// A block for each table.
    fn blocks(&self) -> Vec<Vec<String>> {
        let title = |column: &Column| (of_text(&column.title), side(column.unit));
        let head: Vec<_> = self.table.columns.iter().map(title).collect();
        let color = self.scene.color.applies(true, self.scene.no_color);
        let mut blocks = Vec::new();
        for (job, rows) in self.tables.iter().enumerate() {
            let Some(rows) = rows else { continue };
            let mut lines = Vec::new();
            if self.tables.len() > 1 {
                lines.push(bold(&of_text(&self.scene.jobs[job].label), color) + "\n");
            }
            let text = aligned(&head, rows);
            lines.extend(text.split_inclusive('\n').map(str::to_owned));
            blocks.push(lines);
        }
        blocks
    }

    fn draw(&self) -> Action {
        // The name of the region, and the titles of its columns.
        let head = if self.tables.len() > 1 { 2 } else { 1 };
        Action::Draw { blocks: self.blocks(), head }
    }
}

impl Render for Drawn {
    fn event(&mut self, job: usize, event: &Event) -> Vec<Action> {
        let has_changed = self.note(job, event);
        let mut actions = Vec::new();
        if has_changed {
            // Before what comes with its end: the report takes the picture's place.
            actions.push(self.draw());
        }
        actions.extend(self.plain.event(job, event));
        actions
    }

    fn finish(&mut self, outcomes: &[Outcome], code: ExitCode) -> Vec<Action> {
        self.tables.fill(None);
        let mut actions = vec![self.draw()];
        actions.extend(self.plain.finish(outcomes, code));
        actions
    }
}

#[cfg(test)]
mod tests {
    use blitz_contract::Unit;

    use super::*;
    use crate::script::{end, out, restart, scene, show};

    fn drawn(labels: &[&str]) -> Drawn {
        let column = |title: &str, value: &str, unit| Column {
            title: title.to_owned(),
            value: value.to_owned(),
            unit,
        };
        let table = Table {
            event: "path".to_owned(),
            rows: "/hops".to_owned(),
            columns: vec![
                column("HOP", "/ttl", Unit::Count),
                column("HOST", "/host", Unit::Text),
                column("AVG", "/avg_us", Unit::Us),
            ],
            ..Table::default()
        };
        let scene = Scene { stdout_is_terminal: true, no_color: true, ..scene(labels) };
        Drawn::new(scene, table)
    }

    const FIRST: &str = r#"{"hops":[{"ttl":1,"host":"a","avg_us":400}]}"#;
    const SECOND: &str =
        r#"{"hops":[{"ttl":1,"host":"a\u001b[2J","avg_us":500},{"ttl":2,"host":null}]}"#;

    #[test]
    fn each_record_draws_the_table_anew_until_the_end() {
        let events = [
            (0, out("event:path", FIRST)),
            (0, out("event:other", SECOND)),
            (0, out("event:path", SECOND)),
            (0, out("stdout", "said\n")),
            (0, end()),
        ];
        assert_eq!(
            show(&mut drawn(&["japan"]), &events),
            "draw>HOP  HOST  AVG\n  1  a     0.4\n~\
             draw>HOP  HOST  AVG\n  1  a     0.5\n  2  -       -\n~\
             draw>~1>said\n~"
        );
    }

    #[test]
    fn regions_have_a_table_each() {
        let events = [
            (1, out("event:path", FIRST)),
            (0, out("event:path", FIRST)),
            (1, restart()),
            (0, out("event:path", "no record")),
        ];
        let shown = show(&mut drawn(&["virginia", "japan"]), &events);
        assert_eq!(
            shown,
            "draw>japan\nHOP  HOST  AVG\n  1  a     0.4\n~\
             draw>virginia\nHOP  HOST  AVG\n  1  a     0.4\njapan\nHOP  HOST  AVG\n  1  a     0.4\n~\
             draw>virginia\nHOP  HOST  AVG\n  1  a     0.4\n~\
             reset~2>blitz curl: japan: engine e1 is lost; what came before is void\n~\
             draw>virginia\nHOP  HOST  AVG\n~"
        );
    }
}
