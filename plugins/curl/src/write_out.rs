//! `-w`: a line of one's own at the end, made of curl's variables.

use blitz_plugin::Host;

use crate::args::{Settings, TextOrFile};
use crate::body;
use crate::exit::Problem;
use crate::output::Sink;
use crate::stats::Stats;
use crate::variables;

/// Prints the format of `-w`, when there is one.
pub(crate) fn run(settings: &Settings, stats: &Stats, host: &mut dyn Host) -> Result<(), Problem> {
    let Some(format) = &settings.write_out else { return Ok(()) };
    let mut text = body::text_of(format, host)?;
    if matches!(format, TextOrFile::File(_)) {
        text.retain(|c| !matches!(c, '\r' | '\n'));
    }
    let mut writer = Writer { to_stderr: false, text: String::new() };
    for piece in pieces(&text) {
        let name = match piece {
            Piece::Text(text) => {
                writer.text.push_str(&text);
                continue;
            }
            Piece::Header(name) => {
                writer.text.push_str(&stats.header(name).unwrap_or_default());
                continue;
            }
            Piece::Variable(name) => name,
        };
        match name.to_ascii_lowercase().as_str() {
            "stdout" => writer.turn(false, host)?,
            "stderr" => writer.turn(true, host)?,
            "onerror" if stats.problem.is_none() => break,
            "onerror" => {}
            "json" => writer.text.push_str(&variables::all_as_json(settings, stats)),
            "header_json" => writer.text.push_str(&variables::headers_as_json(stats)),
            known => match variables::value(known, settings, stats) {
                Some(value) => writer.text.push_str(&value.plain()),
                None => {
                    let text = format!("curl: unknown --write-out variable: '{name}'\n");
                    host.stderr().write_all(text.as_bytes()).ok();
                }
            },
        }
    }
    writer.turn(false, host)
}

/// Collects text for one of two streams.
struct Writer {
    to_stderr: bool,
    text: String,
}

impl Writer {
    /// Writes what was collected, and goes on with the other stream.
    fn turn(&mut self, to_stderr: bool, host: &mut dyn Host) -> Result<(), Problem> {
        let text = std::mem::take(&mut self.text);
        if self.to_stderr {
            host.stderr().write_all(text.as_bytes()).ok();
        } else if !text.is_empty() {
            Sink::Stdout.write(text.as_bytes(), host)?;
        }
        self.to_stderr = to_stderr;
        Ok(())
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Piece<'a> {
    Text(String),
    /// `%{name}`
    Variable(&'a str),
    /// `%header{name}`
    Header(&'a str),
}

/// Splits a format. What is not a variable stands for itself.
fn pieces(format: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let mut text = String::new();
    let mut rest = format;
    while let Some(first) = rest.chars().next() {
        let behind = &rest[first.len_utf8()..];
        let braced = |prefix: &str| behind.strip_prefix(prefix).and_then(|s| s.split_once('}'));
        if first == '%' {
            let found = match (braced("{"), braced("header{")) {
                (Some((name, end)), _) => Some((Piece::Variable(name), end)),
                (None, Some((name, end))) => Some((Piece::Header(name), end)),
                (None, None) => None,
            };
            if let Some((piece, end)) = found {
                pieces.push(Piece::Text(std::mem::take(&mut text)));
                pieces.push(piece);
                rest = end;
                continue;
            }
        }
        let escape = match (first, behind.chars().next()) {
            ('%', Some('%')) => Some('%'),
            ('\\', Some('n')) => Some('\n'),
            ('\\', Some('r')) => Some('\r'),
            ('\\', Some('t')) => Some('\t'),
            _ => None,
        };
        let is_mark = matches!(first, '%' | '\\');
        text.push(escape.unwrap_or(first));
        // What is no escape stands for itself, with the character behind it, as in curl.
        text.extend(behind.chars().next().filter(|_| is_mark && escape.is_none()));
        let taken = behind.chars().next().filter(|_| is_mark).map_or(0, char::len_utf8);
        rest = &behind[taken..];
    }
    pieces.push(Piece::Text(text));
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_format_is_split_as_curl_splits_it() {
        let text = |text: &str| Piece::Text(text.to_owned());
        for (format, expected) in [
            ("", vec![text("")]),
            ("a\\n\\t\\r%%\\x", vec![text("a\n\t\r%\\x")]),
            (
                "%{a}%{b}",
                vec![text(""), Piece::Variable("a"), text(""), Piece::Variable("b"), text("")],
            ),
            ("%header{x-y}!", vec![text(""), Piece::Header("x-y"), text("!")]),
            ("%{open", vec![text("%{open")]),
            ("100% \u{e9}%", vec![text("100% \u{e9}%")]),
        ] {
            assert_eq!(pieces(format), expected, "{format}");
        }
    }
}
