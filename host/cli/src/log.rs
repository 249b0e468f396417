//! What gateway, engines and store say while they work: lines on stderr, as many as `BLITZ_LOG` asks.
//!
//! One event is one line. What a line quotes may be anybody's text: a control character in it, a new line above all, would
//! let its author write lines of their own, or move the cursor of who reads. So all of them are escaped here, where every
//! line passes, and not where they are said.

mod json;

use std::io::{self, Write};

use clap::{Args, ValueEnum};
use tracing_subscriber::filter::LevelFilter;

use crate::environment::Environment;
use json::{Json, JsonFields};

/// How lines look.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Args)]
pub(crate) struct LogArgs {
    /// How the log's lines look; BLITZ_LOG says how many there are
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub(crate) log_format: LogFormat,
}

/// How lines look.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line, with the ids of request and job as fields, for collectors.
    Json,
}

/// Starts logging. A second call changes nothing.
pub(crate) fn start(environment: &Environment, format: LogFormat) {
    let level = environment.log.as_deref().and_then(|level| level.parse().ok());
    let lines = tracing_subscriber::fmt().with_max_level(level.unwrap_or(LevelFilter::WARN));
    let started = match format {
        LogFormat::Text => {
            lines.with_writer(move || Escaping::new(io::stderr(), format)).try_init()
        }
        LogFormat::Json => {
            let lines = lines.event_format(Json).fmt_fields(JsonFields);
            lines.with_writer(move || Escaping::new(io::stderr(), format)).try_init()
        }
    };
    // It had been started before.
    drop(started);
}

/// Writes lines with all control characters escaped but the one that ends each.
struct Escaping<W> {
    to: W,
    format: LogFormat,
}

impl<W: Write> Escaping<W> {
    fn new(to: W, format: LogFormat) -> Self {
        Self { to, format }
    }
}

impl<W: Write> Write for Escaping<W> {
    /// Takes a whole line at a time, as the subscriber gives it.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(line);
        let whole = text.strip_suffix('\n');
        let mut escaped = escaped(whole.unwrap_or(&text), self.format);
        if whole.is_some() {
            escaped.push('\n');
        }
        self.to.write_all(escaped.as_bytes())?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

fn escaped(line: &str, format: LogFormat) -> String {
    let mut escaped = String::with_capacity(line.len() + 1);
    for c in line.chars() {
        match (is_harmless(c), format) {
            (true, _) => escaped.push(c),
            (false, LogFormat::Text) => escaped.extend(c.escape_unicode()),
            // Such a character can only stand inside a string there, and all of them have four digits.
            (false, LogFormat::Json) => escaped.push_str(&format!("\\u{:04x}", u32::from(c))),
        }
    }
    escaped
}

/// Neither a control character, nor one that ends a line or turns its direction for some readers.
fn is_harmless(c: char) -> bool {
    !c.is_control()
        && !matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(line: &str, format: LogFormat) -> String {
        let mut to = Vec::new();
        Escaping::new(&mut to, format).write_all(line.as_bytes()).unwrap();
        String::from_utf8(to).unwrap()
    }

    #[test]
    fn a_line_stays_one_line_whatever_it_quotes() {
        for (line, text, json) in [
            ("all well\n", "all well\n", "all well\n"),
            ("a\nINFO b\r\n", "a\\u{a}INFO b\\u{d}\n", "a\\u000aINFO b\\u000d\n"),
            ("\u{1b}[2J\u{9b}K\n", "\\u{1b}[2J\\u{9b}K\n", "\\u001b[2J\\u009bK\n"),
            ("\u{202e}x\u{2028}", "\\u{202e}x\\u{2028}", "\\u202ex\\u2028"),
            ("caf\u{e9} \u{1f980}", "caf\u{e9} \u{1f980}", "caf\u{e9} \u{1f980}"),
        ] {
            assert_eq!(written(line, LogFormat::Text), text);
            assert_eq!(written(line, LogFormat::Json), json);
        }
    }
}
