//! A piece of what the user wrote, and where it stands: a mistake is told with the text and a caret under it.

use std::ops::Range;
use std::rc::Rc;

use blitz_plugin::Failure;

use crate::EXIT_USAGE;

/// Letters of a line that an excerpt shows: it should fit into a terminal's.
const EXCERPT_MAX: usize = 76;
/// Letters before the caret, where the line is longer.
const EXCERPT_BEFORE: usize = 50;

/// A value, as the user wrote it.
#[derive(Debug, Clone)]
pub(crate) struct Text {
    pub(crate) value: String,
    /// `--pattern` of a command line, `pattern` of a plan.
    what: String,
    /// The file that it is in, and its bytes there; of a command line it is all that there is to show.
    file: Option<(Rc<PlanFile>, Range<usize>)>,
    is_hidden: bool,
}

/// A plan as its file has it.
#[derive(Debug)]
pub(crate) struct PlanFile {
    pub(crate) name: String,
    pub(crate) text: String,
}

impl Text {
    /// Of a command line; `what` is the option.
    pub(crate) fn of_line(what: impl Into<String>, value: &str) -> Self {
        Self { value: value.to_owned(), what: what.into(), file: None, is_hidden: false }
    }

    /// Of these bytes of a file; `what` is the key.
    pub(crate) fn of_file(
        file: &Rc<PlanFile>,
        span: Range<usize>,
        what: impl Into<String>,
        value: &str,
    ) -> Self {
        Self { file: Some((Rc::clone(file), span)), ..Self::of_line(what, value) }
    }

    /// Mistakes in it do not show it.
    pub(crate) fn hidden(self) -> Self {
        Self { is_hidden: true, ..self }
    }

    /// The same where this is so.
    pub(crate) fn hidden_if(&self, is_secret: bool) -> Self {
        Self { is_hidden: self.is_hidden || is_secret, ..self.clone() }
    }

    /// What is wrong with it, at the byte `at` of the value.
    pub(crate) fn fault(&self, at: usize, wrong: impl AsRef<str>) -> Failure {
        let (what, wrong) = (&self.what, wrong.as_ref());
        let (head, excerpt) = match &self.file {
            None => {
                let (line, excerpt) = excerpt(&self.value, at);
                let line = if line == 1 { String::new() } else { format!(", line {line}") };
                (format!("{what}{line}: {wrong}"), excerpt)
            }
            Some((file, span)) => {
                // A value with escapes is not what the file has: then the place is where it begins.
                let raw = file.text.get(span.clone()).unwrap_or_default();
                let inside = raw.find(&self.value).map_or(0, |begin| begin + at);
                file.place(span.start + inside, &format!("{what}: {wrong}"))
            }
        };
        match self.is_hidden {
            true => Failure::new(EXIT_USAGE, head),
            false => Failure::new(EXIT_USAGE, format!("{head}\n{excerpt}")),
        }
    }

    /// The same without a place in it: the value as a whole is wrong.
    pub(crate) fn refuse(&self, wrong: impl AsRef<str>) -> Failure {
        self.fault(0, wrong)
    }
}

impl PlanFile {
    /// What is wrong at a byte of the file.
    pub(crate) fn fault(&self, at: usize, wrong: &str) -> Failure {
        let (head, excerpt) = self.place(at, wrong);
        Failure::new(EXIT_USAGE, format!("{head}\n{excerpt}"))
    }

    fn place(&self, at: usize, wrong: &str) -> (String, String) {
        let (line, excerpt) = excerpt(&self.text, at);
        let column = column(&self.text, at) + 1;
        (format!("{}, line {line}, column {column}: {wrong}", self.name), excerpt)
    }
}

/// The number of the line that the byte is in, and the line with a caret under the byte. Both lines are indented, and without
/// a line break at their end.
fn excerpt(text: &str, at: usize) -> (usize, String) {
    let at = floor(text, at);
    let begin = line_start(text, at);
    let number = text[..begin].matches('\n').count() + 1;
    let line = text[begin..].lines().next().unwrap_or_default();
    let column = column(text, at);
    let first =
        if line.chars().count() <= EXCERPT_MAX { 0 } else { column.saturating_sub(EXCERPT_BEFORE) };
    // What would move the cursor would move the caret off its place.
    let visible = |c: char| if c.is_control() { ' ' } else { c };
    let shown: String = line.chars().skip(first).take(EXCERPT_MAX).map(visible).collect();
    (number, format!("  {}\n  {:width$}^", shown.trim_end(), "", width = column - first))
}

/// Letters of the line before the byte.
fn column(text: &str, at: usize) -> usize {
    let at = floor(text, at);
    text[line_start(text, at)..at].chars().count()
}

fn line_start(text: &str, at: usize) -> usize {
    text[..at].rfind('\n').map_or(0, |end| end + 1)
}

/// The begin of the letter that the byte is in.
fn floor(text: &str, at: usize) -> usize {
    text.floor_char_boundary(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_caret_is_under_the_fault() {
        let long = format!("{}x{}", "a".repeat(100), "b".repeat(100));
        let far =
            format!("--a: wrong\n  {}x{}\n  {}^", "a".repeat(50), "b".repeat(25), " ".repeat(50));
        for (value, at, wanted) in [
            ("1-25o:60", 4, "--a: wrong\n  1-25o:60\n      ^".to_owned()),
            ("", 0, "--a: wrong\n  \n  ^".to_owned()),
            ("abc", 3, "--a: wrong\n  abc\n     ^".to_owned()),
            ("abc", 99, "--a: wrong\n  abc\n     ^".to_owned()),
            ("éé", 3, "--a: wrong\n  éé\n   ^".to_owned()),
            ("a\u{1b}b\tc", 4, "--a: wrong\n  a b c\n      ^".to_owned()),
            ("one\ntwo\nthree", 5, "--a, line 2: wrong\n  two\n   ^".to_owned()),
            (&long, 100, far),
        ] {
            assert_eq!(Text::of_line("--a", value).fault(at, "wrong").message, wanted, "{value:?}");
        }
    }

    #[test]
    fn a_secret_is_not_shown() {
        let failure = Text::of_line("--user", "me:pw").hidden().fault(1, "wrong");
        assert_eq!((failure.status, failure.message.as_str()), (2, "--user: wrong"));
    }

    #[test]
    fn a_place_in_a_file_is_a_line_and_a_column() {
        let text = "# a plan\npattern = \"1-25o:60\"\ndata = \"a\\tb\"\n".to_owned();
        let file = Rc::new(PlanFile { name: "plan.toml".to_owned(), text });
        let failure = Text::of_file(&file, 19..29, "pattern", "1-25o:60").fault(4, "wrong");
        assert_eq!(
            failure.message,
            "plan.toml, line 2, column 16: pattern: wrong\n  pattern = \"1-25o:60\"\n                 ^"
        );
        let failure = Text::of_file(&file, 37..43, "data", "a\tb").fault(2, "wrong");
        assert!(
            failure.message.starts_with("plan.toml, line 3, column 8: "),
            "{}",
            failure.message
        );
    }
}
