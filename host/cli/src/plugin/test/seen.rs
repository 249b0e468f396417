//! What a run gave, how it differs from what its case expects, and the expectation that it would meet. Pure.

use std::collections::BTreeMap;

use blitz_contract::{Exit, Frame, Stream};
use serde_json::Value;

use super::case::{Case, Text};
use crate::exit_code::ExitCode;

/// Lines of each side that a difference shows.
const SHOWN_LINES_MAX: usize = 20;

/// What a run gave.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// `None` when the host stopped it.
    exit: Option<u8>,
    stopped: Option<String>,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
    events: BTreeMap<String, Vec<Value>>,
    files: BTreeMap<String, Vec<u8>>,
    /// Entries of its tape that it did not ask for.
    unheard: usize,
}

impl Seen {
    pub(super) fn new(exit: Exit, frames: Vec<Frame>, unheard: usize) -> Self {
        let mut seen = Self { unheard, ..Self::default() };
        match exit {
            Exit::Status(status) => seen.exit = Some(status),
            Exit::Stopped(stopped) => seen.stopped = Some(stopped.to_string()),
        }
        for frame in frames {
            match frame.stream {
                Stream::Stdout => seen.stdout.extend(frame.bytes),
                Stream::Stderr => seen.stderr.extend(frame.bytes),
                Stream::File(name) => seen.files.entry(name).or_default().extend(frame.bytes),
                Stream::Event(kind) => {
                    let record = serde_json::from_slice(&frame.bytes).unwrap_or_else(|_| {
                        Value::String(String::from_utf8_lossy(&frame.bytes).into_owned())
                    });
                    seen.events.entry(kind).or_default().push(record);
                }
            }
        }
        seen
    }

    /// A command line that becomes no job: as the shell sees it.
    pub(super) fn refused(text: &str) -> Self {
        Self {
            exit: Some(ExitCode::USAGE.0),
            stderr: format!("blitz: {text}\n").into_bytes(),
            ..Self::default()
        }
    }

    /// What a person must see of the differences, a text each; none when the case holds.
    pub(super) fn differences(&self, case: &Case) -> Vec<String> {
        let mut found = Vec::new();
        match (&case.stopped, &self.stopped) {
            (None, None) if self.exit == Some(case.exit) => {}
            (Some(part), Some(why)) if why.contains(part.as_str()) => {}
            (wanted, _) => {
                let wanted = match wanted {
                    Some(part) => format!("stopped: {part}"),
                    None => format!("exit {}", case.exit),
                };
                found.push(differ("end", &wanted, &self.end()));
            }
        }
        let streams = [
            ("stdout", &case.stdout, &case.stdout_contains, &self.stdout, false),
            ("stderr", &case.stderr, &case.stderr_contains, &self.stderr, true),
        ];
        for (name, exact, parts, seen, is_empty_by_default) in streams {
            match exact {
                Some(wanted) => found.extend(unequal(name, wanted, seen)),
                None if parts.is_empty() && is_empty_by_default && !seen.is_empty() => {
                    found.push(differ(name, "", &String::from_utf8_lossy(seen)));
                }
                None => {}
            }
            let text = String::from_utf8_lossy(seen);
            for part in parts.iter().filter(|part| !text.contains(part.as_str())) {
                found.push(differ(&format!("{name}_contains"), part, &text));
            }
        }
        for (kind, wanted) in &case.events {
            let wanted: Vec<Value> = wanted.iter().map(record).collect();
            let seen = self.events.get(kind).map_or(&[][..], Vec::as_slice);
            if wanted != seen {
                found.push(differ(&format!("events.{kind}"), &lines(&wanted), &lines(seen)));
            }
        }
        for (name, wanted) in &case.files {
            match self.files.get(name) {
                Some(seen) => found.extend(unequal(&format!("file '{name}'"), wanted, seen)),
                None => found.push(format!("    file '{name}': it was not written\n")),
            }
        }
        if self.unheard > 0 {
            found.push(format!(
                "    tape: its last {} entries were not asked for; record it again when the plugin is right\n",
                self.unheard
            ));
        }
        found
    }

    /// Makes the case expect what was seen. What it says by parts, and what holds, stays.
    pub(super) fn bless(&self, case: &mut Case) {
        case.exit = self.exit.unwrap_or_default();
        if !matches!((&case.stopped, &self.stopped), (Some(part), Some(why)) if why.contains(part.as_str()))
        {
            case.stopped.clone_from(&self.stopped);
        }
        let holds = |parts: &[String], seen: &[u8]| {
            let text = String::from_utf8_lossy(seen);
            !parts.is_empty() && parts.iter().all(|part| text.contains(part.as_str()))
        };
        if case.stdout.is_some() || !holds(&case.stdout_contains, &self.stdout) {
            case.stdout_contains.clear();
            case.stdout = Some(text(&self.stdout));
        }
        if case.stderr.is_some() || !holds(&case.stderr_contains, &self.stderr) {
            case.stderr_contains.clear();
            case.stderr = (!self.stderr.is_empty()).then(|| text(&self.stderr));
        }
        // As JSON texts: TOML has no null.
        let json = |records: &Vec<Value>| {
            records.iter().map(|record| Value::String(record.to_string())).collect()
        };
        case.events =
            self.events.iter().map(|(kind, records)| (kind.clone(), json(records))).collect();
        case.files = self.files.iter().map(|(name, bytes)| (name.clone(), text(bytes))).collect();
    }

    fn end(&self) -> String {
        match (&self.stopped, self.exit) {
            (Some(why), _) => format!("stopped: {why}"),
            (None, exit) => format!("exit {}", exit.unwrap_or_default()),
        }
    }
}

/// A record as the case has it: JSON itself, or a text that holds JSON.
fn record(written: &Value) -> Value {
    match written {
        Value::String(json) => serde_json::from_str(json).unwrap_or_else(|_| written.clone()),
        other => other.clone(),
    }
}

fn lines(records: &[Value]) -> String {
    records.iter().map(|record| format!("{record}\n")).collect()
}

fn text(bytes: &[u8]) -> Text {
    match std::str::from_utf8(bytes) {
        Ok(text) => Text::Is(text.to_owned()),
        Err(_) => Text::Digest { sha256: blitz_jobs::plugin::sha256(bytes) },
    }
}

fn unequal(what: &str, wanted: &Text, seen: &[u8]) -> Option<String> {
    match wanted {
        Text::Is(text) if text.as_bytes() == seen => None,
        Text::Is(text) => Some(differ(what, text, &String::from_utf8_lossy(seen))),
        Text::Digest { sha256 } => {
            let found = blitz_jobs::plugin::sha256(seen);
            (found != *sha256)
                .then(|| differ(what, &format!("sha256 {sha256}"), &format!("sha256 {found}")))
        }
        Text::File { .. } => {
            Some(format!("    {what}: a text or {{ sha256 = \"..\" }} is expected\n"))
        }
    }
}

/// The lines that differ, between those that are the same at the beginning and at the end: `-` is expected, `+` seen.
fn differ(what: &str, wanted: &str, seen: &str) -> String {
    let (wanted, seen): (Vec<&str>, Vec<&str>) =
        (wanted.split_inclusive('\n').collect(), seen.split_inclusive('\n').collect());
    let same = wanted.iter().zip(&seen).take_while(|(a, b)| a == b).count();
    let (a, b) = (&wanted[same..], &seen[same..]);
    let behind = a.iter().rev().zip(b.iter().rev()).take_while(|(a, b)| a == b).count();
    let (a, b) = (&a[..a.len() - behind], &b[..b.len() - behind]);
    let place = if same > 0 { format!(" from line {}", same + 1) } else { String::new() };
    let mut text = format!("    {what}{place}:\n");
    for (sign, side) in [('-', a), ('+', b)] {
        for line in side.iter().take(SHOWN_LINES_MAX) {
            let shown = visible(line);
            text.push_str(&format!("      {sign} {shown}\n"));
        }
        if side.len() > SHOWN_LINES_MAX {
            text.push_str(&format!(
                "      {sign} ... {} more lines\n",
                side.len() - SHOWN_LINES_MAX
            ));
        }
    }
    text
}

/// A line with what cannot be seen: control characters, spaces at its end, a missing newline.
fn visible(line: &str) -> String {
    let (line, has_newline) = line.strip_suffix('\n').map_or((line, false), |line| (line, true));
    let mut shown = String::new();
    for c in line.chars() {
        match c.is_control() {
            true => shown.extend(c.escape_default()),
            false => shown.push(c),
        }
    }
    if line.ends_with(' ') {
        shown.push_str("(spaces at its end)");
    }
    if !has_newline {
        shown.push_str(" (no newline at its end)");
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(stream: &str, bytes: &[u8]) -> Frame {
        Frame { stream: Stream::parse(stream).unwrap(), bytes: bytes.to_vec() }
    }

    fn seen(exit: Exit) -> Seen {
        let frames = vec![
            frame("stdout", b"one\ntwo\n"),
            frame("event:count", b"{\"lines\":2}"),
            frame("file:out", b"x"),
            frame("stdout", b"three"),
        ];
        Seen::new(exit, frames, 0)
    }

    fn case(toml: &str) -> Case {
        let toml = format!("[[case]]\nname = \"x\"\n{toml}");
        super::super::case::CaseFile::parse(&toml).unwrap().cases.remove(0)
    }

    #[test]
    fn differences_are_shown() {
        for (toml, wanted) in [
            ("", ""),
            ("stdout = \"one\\ntwo\\nthree\"", ""),
            ("stdout_contains = [\"two\"]\nevents = { count = ['{\"lines\":2}'] }", ""),
            ("files = { out = \"x\" }", ""),
            ("exit = 3", "    end:\n      - exit 3\n      + exit 0\n"),
            ("stopped = \"time\"", "    end:\n      - stopped: time (no newline"),
            ("stdout = \"one\\n2\\nthree\"", "    stdout from line 2:\n      - 2\n      + two\n"),
            ("stderr = \"gone\\n\"", "    stderr:\n      - gone\n"),
            ("stdout_contains = [\"four\"]", "    stdout_contains:\n"),
            ("events = { hop = [{ ttl = 1 }] }", "    events.hop:\n      - {\"ttl\":1}\n"),
            ("files = { other = \"\" }", "    file 'other': it was not written\n"),
        ] {
            let found = seen(Exit::Status(0)).differences(&case(toml)).join("");
            let wanted = wanted.replace("exit 3\n", "exit 3 (no newline at its end)\n");
            let wanted = wanted.replace("exit 0\n", "exit 0 (no newline at its end)\n");
            assert!(
                found.starts_with(&wanted) && found.is_empty() == wanted.is_empty(),
                "{toml}\n{found}"
            );
        }
    }

    #[test]
    fn what_was_blessed_holds() {
        use blitz_contract::Stopped;
        for exit in [
            Exit::Status(0),
            Exit::Status(9),
            Exit::Stopped(Stopped::Limit("memory limit 64 MiB reached".to_owned())),
        ] {
            for toml in
                ["", "stdout = \"\"\nstderr = \"x\"", "stdout_contains = [\"one\"]\nexit = 4"]
            {
                let (seen, mut case) = (seen(exit.clone()), case(toml));
                seen.bless(&mut case);
                assert_eq!(seen.differences(&case), [""; 0], "{toml}");
                // As well after it was written and read.
                let file = super::super::case::CaseFile { head: String::new(), cases: vec![case] };
                let text = super::super::bless::text(&file);
                let read = super::super::case::CaseFile::parse(&text).unwrap();
                assert_eq!(seen.differences(&read.cases[0]), [""; 0], "{text}");
            }
        }
    }

    #[test]
    fn a_tape_that_is_not_heard_to_its_end_is_a_difference() {
        let seen = Seen::new(Exit::Status(0), Vec::new(), 2);
        assert!(seen.differences(&case("")).join("").contains("its last 2 entries were not asked"));
    }
}
