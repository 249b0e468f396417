//! Cases as TOML, written for people: long texts over several lines. Pure.
//!
//! The comment at the head of a file stays. Comments inside are lost: what is blessed is written anew.

use std::fmt::Write as _;

use super::case::{Case, CaseFile, Text};

/// The file's text.
pub(super) fn text(file: &CaseFile) -> String {
    let cases: Vec<String> = file.cases.iter().map(case).collect();
    format!("{}{}", file.head, cases.join("\n"))
}

fn case(case: &Case) -> String {
    let mut text = "[[case]]\n".to_owned();
    let mut line = |key: &str, value: String| {
        // To a String: it cannot fail.
        let _never = writeln!(text, "{key} = {value}");
    };
    line("name", string(&case.name));
    line("args", list(&case.args));
    if let Some(tape) = &case.tape {
        line("tape", string(tape));
    }
    if case.live {
        line("live", "true".to_owned());
    }
    if let Some(timeout) = &case.timeout {
        line("timeout", string(timeout));
    }
    match &case.stopped {
        Some(why) => line("stopped", string(why)),
        None if case.exit != 0 => line("exit", case.exit.to_string()),
        None => {}
    }
    for (key, exact, parts) in [
        ("stdout", &case.stdout, &case.stdout_contains),
        ("stderr", &case.stderr, &case.stderr_contains),
    ] {
        if let Some(exact) = exact {
            line(key, of_text(exact));
        }
        if !parts.is_empty() {
            line(&format!("{key}_contains"), list(parts));
        }
    }
    for (kind, records) in &case.events {
        let records: Vec<String> = records
            .iter()
            .map(|record| match record {
                serde_json::Value::String(json) => json.clone(),
                record => record.to_string(),
            })
            .collect();
        line(&format!("events.{}", key(kind)), list(&records));
    }
    for (table, texts) in [("inputs", &case.inputs), ("files", &case.files)] {
        for (name, of) in texts {
            line(&format!("{table}.{}", key(name)), of_text(of));
        }
    }
    text
}

fn of_text(text: &Text) -> String {
    match text {
        Text::Is(text) => string(text),
        Text::File { file } => format!("{{ file = {} }}", string(file)),
        Text::Digest { sha256 } => format!("{{ sha256 = {} }}", string(sha256)),
    }
}

fn list(texts: &[String]) -> String {
    let texts: Vec<String> = texts.iter().map(|text| one_line(text)).collect();
    format!("[{}]", texts.join(", "))
}

/// Several lines stand as they are, where TOML can have them so.
fn string(text: &str) -> String {
    let is_plain = |c: char| c == '\n' || c == '\t' || !c.is_control();
    let is_literal = text.contains('\n') && text.chars().all(is_plain) && !text.contains("'''");
    if is_literal && !text.ends_with('\'') {
        return format!("'''\n{text}'''");
    }
    one_line(text)
}

/// A basic string, or a literal one where that saves escapes.
fn one_line(text: &str) -> String {
    if text.contains('"') && !text.contains('\'') && !text.chars().any(char::is_control) {
        return format!("'{text}'");
    }
    key_string(text)
}

fn key(name: &str) -> String {
    let is_bare = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if !name.is_empty() && name.chars().all(is_bare) { name.to_owned() } else { key_string(name) }
}

fn key_string(text: &str) -> String {
    let mut string = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => string.push_str("\\\""),
            '\\' => string.push_str("\\\\"),
            '\n' => string.push_str("\\n"),
            '\t' => string.push_str("\\t"),
            '\r' => string.push_str("\\r"),
            c if c.is_control() => {
                let _never = write!(string, "\\u{:04X}", u32::from(c));
            }
            c => string.push(c),
        }
    }
    string.push('"');
    string
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_example_survives() {
        let example = include_str!("../../../tests/plugin/example.toml");
        let first = CaseFile::parse(example).unwrap();
        let again = CaseFile::parse(&text(&first)).unwrap();
        assert_eq!(text(&again), text(&first));
        assert_eq!((again.cases.len(), &again.head), (5, &first.head));
    }

    proptest! {
        #[test]
        fn every_text_survives(given: String, name: String) {
            let mut case = Case::new("x", vec![given.clone()]);
            case.stdout = Some(Text::Is(given.clone()));
            case.inputs.insert(name, Text::Is(given));
            let file = CaseFile { head: String::new(), cases: vec![case.clone()] };
            let read = CaseFile::parse(&text(&file)).unwrap();
            prop_assert_eq!(&read.cases[0], &case);
        }
    }
}
