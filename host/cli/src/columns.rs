//! `--side-by-side`: a column for each region, line beside line. Pure.
//!
//! On a terminal the picture grows while jobs run; what stays in the end is the same in a pipe. Lines of one number
//! stand beside each other, and one that is wider than its column goes on below, in its column: nothing is cut away.

use blitz_contract::Stream;

use crate::color::bold;
use crate::exit_code::ExitCode;
use crate::pipeline::Pipeline;
use crate::render::{Action, HELD_BYTES_MAX, Outcome, Render, Scene, without_nothing};
use crate::strip::Strip;
use crate::talk::Talk;
use crate::wire::{Event, Output};

/// Between two columns.
const GAP: &str = "  ";

/// Before what goes on below.
const INDENT: &str = "    ";

/// Characters of a column, however many share a terminal: an address of IPv6 fits.
const WIDTH_MIN_CHARS: usize = 24;

/// Gathers the lines of all jobs.
pub(crate) struct Columns {
    jobs: Vec<Column>,
    talk: Talk,
    scene: Scene,
    held_bytes: usize,
}

struct Column {
    strip: Strip,
    stdout: Vec<u8>,
    stderr: Pipeline,
}

impl Columns {
    /// Whether there are several jobs, and a column for each has room on the terminal.
    pub(crate) fn fits(scene: &Scene) -> bool {
        let jobs = scene.jobs.len();
        let needed = jobs * (WIDTH_MIN_CHARS + GAP.len()) - GAP.len().min(jobs);
        jobs > 1 && scene.width_chars.is_none_or(|chars| chars >= needed)
    }

    pub(crate) fn new(scene: Scene) -> Self {
        let column = |job| Column {
            strip: Strip::default(),
            stdout: Vec::new(),
            stderr: Pipeline::named(&scene, job, scene.stderr_is_terminal),
        };
        Self {
            jobs: (0..scene.jobs.len()).map(column).collect(),
            talk: Talk::new(&scene),
            scene,
            held_bytes: 0,
        }
    }

    fn output(&mut self, job: usize, output: &Output) -> Vec<Action> {
        let column = &mut self.jobs[job];
        let mut actions = Action::files(job, output);
        for frame in &output.frames {
            match &frame.stream {
                Stream::Stdout => {
                    let bytes = column.strip.push(&frame.bytes);
                    self.held_bytes += bytes.len();
                    column.stdout.extend(bytes);
                }
                Stream::Stderr => actions.push(Action::Stderr(column.stderr.push(&frame.bytes))),
                // Structured records are for programs and tables.
                Stream::File(_) | Stream::Event(_) => {}
            }
        }
        if self.held_bytes > HELD_BYTES_MAX {
            actions.push(Action::HeldTooMuch);
        }
        actions
    }

    /// The picture as it is now, where there is a terminal to draw it on.
    fn draw(&self) -> Option<Action> {
        let lines = || self.lines().into_iter().map(|line| line + "\n").collect();
        self.scene.stdout_is_terminal.then(|| Action::Draw { blocks: vec![lines()], head: 1 })
    }

    fn lines(&self) -> Vec<String> {
        let texts: Vec<Vec<String>> = self.jobs.iter().map(|job| lines_of(&job.stdout)).collect();
        let labels = self.scene.jobs.iter().map(|job| job.label.as_str());
        let widths: Vec<usize> = match self.scene.width_chars {
            Some(chars) => {
                let gaps = GAP.len() * self.jobs.len().saturating_sub(1);
                let each = chars.saturating_sub(gaps) / self.jobs.len().max(1);
                vec![each.max(WIDTH_MIN_CHARS); self.jobs.len()]
            }
            None => texts
                .iter()
                .zip(labels.clone())
                .map(|(text, label)| {
                    let longest = text.iter().map(|line| line.chars().count()).max();
                    longest.unwrap_or(0).max(label.chars().count())
                })
                .collect(),
        };
        let color = self.scene.color.applies(self.scene.stdout_is_terminal, self.scene.no_color);
        let heads: Vec<String> = labels.map(str::to_owned).collect();
        let mut lines: Vec<String> =
            beside(&heads, &widths).into_iter().map(|line| bold(&line, color)).collect();
        for at in 0..texts.iter().map(Vec::len).max().unwrap_or(0) {
            let row: Vec<String> =
                texts.iter().map(|text| text.get(at).cloned().unwrap_or_default()).collect();
            lines.extend(beside(&row, &widths));
        }
        lines
    }
}

/// The lines of a text, its last one too when it has no end yet.
fn lines_of(bytes: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(bytes);
    text.lines().map(|line| line.replace('\t', "    ").trim_end().to_owned()).collect()
}

/// One line of each column, each as high as the highest of them.
fn beside(row: &[String], widths: &[usize]) -> Vec<String> {
    let cells: Vec<Vec<String>> =
        row.iter().zip(widths).map(|(line, width)| wrapped(line, *width)).collect();
    let height = cells.iter().map(Vec::len).max().unwrap_or(0).max(1);
    let line = |at: usize| {
        let mut line = String::new();
        for (cell, width) in cells.iter().zip(widths) {
            let text = cell.get(at).map_or("", String::as_str);
            line.push_str(&format!("{text:width$}{GAP}"));
        }
        line.truncate(line.trim_end().len());
        line
    };
    (0..height).map(line).collect()
}

/// A line in pieces of at most so many characters, broken at spaces where there are any. What goes on stands in from the
/// edge, so that it is not taken for a line.
fn wrapped(line: &str, width: usize) -> Vec<String> {
    let mut pieces = Vec::new();
    let mut rest: Vec<char> = line.chars().collect();
    let mut indent = "";
    while rest.len() > width.saturating_sub(indent.len()).max(1) {
        let room = width.saturating_sub(indent.len()).max(1);
        let space = rest[..room].iter().rposition(|c| *c == ' ').filter(|at| *at > room / 2);
        let behind = rest.split_off(space.unwrap_or(room));
        let piece: String = rest.into_iter().collect();
        pieces.push(format!("{indent}{}", piece.trim_end()));
        rest = behind.into_iter().skip_while(|c| *c == ' ').collect();
        indent = INDENT;
    }
    let piece: String = rest.into_iter().collect();
    pieces.push(format!("{indent}{piece}"));
    pieces
}

impl Render for Columns {
    fn event(&mut self, job: usize, event: &Event) -> Vec<Action> {
        let mut actions = match event {
            Event::State(_) => Vec::new(),
            Event::Restart(restart) => {
                let column = &mut self.jobs[job];
                self.held_bytes -= std::mem::take(&mut column.stdout).len();
                column.strip = Strip::default();
                column.stderr.clear();
                let mut actions = vec![Action::ResetFiles { job }];
                actions.extend(self.talk.restart(job, restart));
                actions
            }
            Event::Output(output) => self.output(job, output),
            Event::Incomplete(incomplete) => vec![self.talk.incomplete(job, incomplete)],
            Event::End(end) => {
                let mut actions = vec![Action::Stderr(self.jobs[job].stderr.finish())];
                actions.extend(self.talk.end(job, end));
                actions
            }
        };
        if !matches!(event, Event::State(_)) {
            actions.extend(self.draw());
        }
        without_nothing(actions)
    }

    fn finish(&mut self, outcomes: &[Outcome], _code: ExitCode) -> Vec<Action> {
        let mut actions = Vec::new();
        for (job, outcome) in outcomes.iter().enumerate() {
            // Empty for those whose end was seen.
            actions.push(Action::Stderr(self.jobs[job].stderr.finish()));
            actions.extend(self.talk.failure(job, outcome));
        }
        if self.scene.stdout_is_terminal {
            actions.push(Action::Draw { blocks: Vec::new(), head: 0 });
        }
        // Heads above nothing say nothing.
        if self.jobs.iter().any(|job| !job.stdout.is_empty()) {
            let text: String = self.lines().into_iter().map(|line| line + "\n").collect();
            actions.push(Action::Stdout(text.into_bytes()));
        }
        without_nothing(actions)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::script::{end, finish, out, restart, scene, show};

    fn columns(width: Option<usize>) -> Columns {
        let labels = ["virginia", "japan"];
        Columns::new(Scene { width_chars: width, ..scene(&labels) })
    }

    #[test]
    fn lines_stand_beside_each_other() {
        let mut columns = columns(None);
        let events = [
            (1, out("stdout", " 1  a  0.4 ms\n 2  *\n")),
            (0, out("stdout", " 1  b  1.5 ms\n")),
            (1, out("stderr", "late\n")),
            (0, end()),
            (1, end()),
        ];
        assert_eq!(show(&mut columns, &events), "2>japan | late\n~");
        insta::assert_snapshot!(finish(&mut columns, &[Outcome::default(), Outcome::default()]), @"
        1>virginia       japan
         1  b  1.5 ms   1  a  0.4 ms
                        2  *
        ~
        ");
    }

    #[test]
    fn wide_lines_go_on_below() {
        let mut columns = columns(Some(60));
        let long = " 1  edge-1.example.net (192.0.2.17)  120.405 ms\n 2  end\n";
        let events = [(0, out("stdout", long)), (1, out("stdout", " 1  a\n 2  b\n"))];
        show(&mut columns, &events);
        insta::assert_snapshot!(finish(&mut columns, &[Outcome::default(), Outcome::default()]), @"
        1>virginia                       japan
         1  edge-1.example.net          1  a
            (192.0.2.17)  120.405 ms
         2  end                         2  b
        ~
        ");
    }

    #[test]
    fn a_terminal_sees_the_picture_grow() {
        let scene = Scene {
            stdout_is_terminal: true,
            no_color: true,
            width_chars: Some(40),
            ..scene(&["a", "b"])
        };
        let mut columns = Columns::new(scene);
        let events =
            [(0, out("stdout", "one\x1b[2J\n")), (1, out("stdout", "two")), (0, restart())];
        assert_eq!(
            show(&mut columns, &events),
            "draw>a                         b\none\n~\
             draw>a                         b\none                       two\n~\
             reset~2>blitz curl: a: engine e1 is lost; what came before is void\n~\
             draw>a                         b\n                          two\n~"
        );
    }

    #[test]
    fn columns_need_room() {
        let fits =
            |labels: &[&str], width_chars| Columns::fits(&Scene { width_chars, ..scene(labels) });
        assert!(fits(&["a", "b"], None) && fits(&["a", "b"], Some(50)));
        assert!(!fits(&["a", "b"], Some(49)) && !fits(&["a"], Some(200)));
        assert!(fits(&["a", "b", "c"], Some(76)) && !fits(&["a", "b", "c", "d"], Some(80)));
        let nothing = [Outcome::default(), Outcome::default()];
        assert_eq!(finish(&mut columns(None), &nothing), "");
    }

    #[test]
    fn any_width_is_drawn() {
        for width in [0, 1, 3, 4, 5, 24] {
            for line in ["", " ", "abcdefgh", "a b c d e f g h i j", "éééééééééé"] {
                assert!(!wrapped(line, width).is_empty(), "{line:?} in {width}");
            }
        }
    }
}
