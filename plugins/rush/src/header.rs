//! `Name: value`, as curl takes it.

use blitz_plugin::Failure;
use blitz_plugin::secret::in_header;

use crate::text::Text;

/// Headers that say where a message ends, or belong to a connection: only who sends knows them.
const FRAMING: [&str; 6] =
    ["content-length", "transfer-encoding", "connection", "upgrade", "te", "trailer"];

/// Reads a header.
///
/// # Errors
///
/// At the letter that a header cannot have.
pub(crate) fn read(text: &Text) -> Result<(String, String), Failure> {
    let text = &text.hidden_if(in_header(&text.value).is_some());
    let line = text.value.as_str();
    const FORM: &str = "a header is 'Name: value', or 'Name;' for an empty one";
    let (name, value) = match line.split_once(':') {
        Some((name, value)) if !value.trim().is_empty() => (name, value.trim()),
        Some((name, _)) => return Err(text.fault(name.len(), FORM)),
        None => match line.trim_end().strip_suffix(';') {
            Some(name) => (name, ""),
            None => return Err(text.fault(line.len(), FORM)),
        },
    };
    let trimmed = name.trim_end();
    if let Some(bad) = trimmed.find(|c| !is_token(c)) {
        return Err(text.fault(bad, "no letter of a header's name"));
    }
    if trimmed.is_empty() {
        return Err(text.fault(0, FORM));
    }
    if FRAMING.iter().any(|framing| trimmed.eq_ignore_ascii_case(framing)) {
        return Err(text.refuse(format!("{} is set by who sends", trimmed.to_ascii_lowercase())));
    }
    one_line(text)?;
    Ok((trimmed.to_owned(), value.to_owned()))
}

/// Refuses what would begin another header.
///
/// # Errors
///
/// At the control character.
pub(crate) fn one_line(text: &Text) -> Result<(), Failure> {
    match text.value.find(['\r', '\n', '\0']) {
        None => Ok(()),
        Some(bad) => Err(text.fault(bad, "a header has one line")),
    }
}

/// `token` of RFC 9110.
pub(crate) fn is_token(c: char) -> bool {
    c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_have_a_name_and_a_value() {
        for (line, wanted) in [
            ("Accept: text/html", "Accept=text/html"),
            ("a:b:c", "a=b:c"),
            ("X-Empty;", "X-Empty="),
            (
                "foo=bar",
                "a header is 'Name: value', or 'Name;' for an empty one\n  foo=bar\n         ^",
            ),
            ("a:", "a header is 'Name: value', or 'Name;' for an empty one\n  a:\n   ^"),
            (": x", "a header is 'Name: value', or 'Name;' for an empty one\n  : x\n  ^"),
            ("a b: c", "no letter of a header's name\n  a b: c\n   ^"),
            ("Content-Length: 9", "content-length is set by who sends\n  Content-Length: 9\n  ^"),
            ("a: b\nc: d", "a header has one line"),
            ("a b: Bearer c", "no letter of a header's name"),
            ("Cookie c", "a header is 'Name: value', or 'Name;' for an empty one"),
        ] {
            let found = match read(&Text::of_line("--h", line)) {
                Ok((name, value)) => format!("{name}={value}"),
                Err(failure) => failure.message.replacen("--h: ", "", 1),
            };
            assert_eq!(found, wanted, "{line}");
        }
    }
}
