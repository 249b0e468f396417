//! Which declarations of arguments make sense: the rules that the types alone do not hold.

use std::collections::BTreeSet;

use crate::manifest::{Argument, ArgumentKind, ManifestError};

/// Bytes of an argument's name: help and errors hold it in a line.
const NAME_BYTES_MAX: usize = 40;

/// Checks the arguments of a manifest, one by one and beside each other.
pub(crate) fn check(arguments: &[Argument]) -> Result<(), ManifestError> {
    let mut names = BTreeSet::new();
    let mut letters = BTreeSet::new();
    for argument in arguments {
        alone(argument)?;
        if !names.insert(&argument.name) {
            return rule(argument, "", "a name of its own", "the name of another argument");
        }
        if let Some(letter) = argument.short.filter(|letter| !letters.insert(*letter)) {
            return rule(argument, ".short", "a letter of its own", &letter.to_string());
        }
    }
    order(arguments)
}

fn alone(argument: &Argument) -> Result<(), ManifestError> {
    let Argument { name, short, kind, positional, .. } = argument;
    if !is_name(name) {
        return rule(argument, "", "1 to 40 of letters, digits, -, _ and ., no - first", name);
    }
    if *short == Some('r') || name == "region" {
        return rule(argument, "", "-r and --region belong to blitz", name);
    }
    if let Some(letter) =
        short.filter(|letter| !letter.is_ascii_graphic() || "-=".contains(*letter))
    {
        return rule(argument, ".short", "one letter or digit", &letter.to_string());
    }
    if *positional && *kind == ArgumentKind::Flag {
        return rule(argument, "", "a positional argument has a value", "flag");
    }
    if let Some(letter) = short.filter(|_| *positional) {
        let wanted = "absent, as a positional argument has no dashes";
        return rule(argument, ".short", wanted, &letter.to_string());
    }
    if argument.required && *kind == ArgumentKind::Flag {
        return rule(
            argument,
            ".required",
            "absent, as a flag that must be given says nothing",
            "true",
        );
    }
    if argument.named && (*positional || *kind == ArgumentKind::Flag) {
        let wanted = "absent, as only an option with a value has a name behind it";
        return rule(argument, ".named", wanted, "true");
    }
    secret(argument)?;
    target(argument)?;
    choices(argument)?;
    default(argument)
}

/// A part of a value is secret where a mask leaves a value of its kind, and nothing of it is shown in help.
fn secret(argument: &Argument) -> Result<(), ManifestError> {
    let Some(part) = argument.secret else { return Ok(()) };
    let may = matches!(
        argument.kind,
        ArgumentKind::Text | ArgumentKind::TextOrInputFile | ArgumentKind::Url
    );
    let has_text = argument.default.is_some() || !argument.choices.is_empty();
    let wanted = if !may {
        "absent: only texts and URLs have secret parts"
    } else if has_text {
        "absent, as help shows the default and the choices"
    } else {
        return Ok(());
    };
    rule(argument, ".secret", wanted, &format!("{part:?}").to_ascii_lowercase())
}

fn target(argument: &Argument) -> Result<(), ManifestError> {
    match argument.target {
        Some(_) if argument.kind != ArgumentKind::Text => {
            let wanted = "absent: a URL and a host are targets by themselves, and nothing else but a text is one";
            rule(
                argument,
                ".target",
                wanted,
                &format!("of {:?}", argument.kind).to_ascii_lowercase(),
            )
        }
        _ => Ok(()),
    }
}

fn choices(argument: &Argument) -> Result<(), ManifestError> {
    let Some(first) = argument.choices.first() else { return Ok(()) };
    let may = matches!(
        argument.kind,
        ArgumentKind::Text
            | ArgumentKind::Number
            | ArgumentKind::Integer
            | ArgumentKind::Duration
            | ArgumentKind::Url
            | ArgumentKind::Host
    );
    if !may {
        let wanted = "absent: only text, numbers, durations, URLs and hosts have choices";
        return rule(argument, ".choices", wanted, first);
    }
    let mut seen = BTreeSet::new();
    for choice in &argument.choices {
        if choice.is_empty() || choice.contains(char::is_control) {
            return rule(argument, ".choices", "visible text", choice);
        }
        if let Some(wanted) = argument.kind.refuses(choice) {
            return rule(argument, ".choices", wanted, choice);
        }
        if !seen.insert(choice) {
            return rule(argument, ".choices", "each choice once", choice);
        }
    }
    Ok(())
}

fn default(argument: &Argument) -> Result<(), ManifestError> {
    let Some(default) = &argument.default else { return Ok(()) };
    let kind = argument.kind;
    let wanted = match kind {
        ArgumentKind::Flag => Some("absent, as a flag has no value"),
        ArgumentKind::Secret => Some("absent, as help would show the secret"),
        _ if argument.named => Some("absent, as the user gives the name of a value"),
        _ if argument.required => Some("absent, as the argument is required"),
        // A plugin must not choose which file of the user's machine is read or written.
        ArgumentKind::OutputFile if default != "-" => Some("- alone: only the user names a file"),
        _ if kind.input(default).is_some_and(|file| file != "-") => {
            Some("no file but -: only the user names a file")
        }
        _ if default.contains(char::is_control) => Some("visible text"),
        _ if !argument.choices.is_empty() && !argument.choices.contains(default) => {
            Some("one of the choices")
        }
        _ => kind.refuses(default),
    };
    wanted.map_or(Ok(()), |wanted| rule(argument, ".default", wanted, default))
}

/// Positional arguments are told apart by their order alone.
fn order(arguments: &[Argument]) -> Result<(), ManifestError> {
    let mut before: Option<&Argument> = None;
    for argument in arguments.iter().filter(|a| a.positional) {
        if let Some(before) = before {
            if before.repeated {
                return rule(before, ".repeated", "only for the last positional argument", "true");
            }
            if argument.required && !before.required {
                let wanted = "absent, as the one before it may be left out";
                return rule(argument, ".required", wanted, "true");
            }
        }
        before = Some(argument);
    }
    Ok(())
}

fn is_name(name: &str) -> bool {
    (1..=NAME_BYTES_MAX).contains(&name.len())
        && !name.starts_with('-')
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
}

fn rule(
    argument: &Argument,
    part: &str,
    rule: &'static str,
    found: &str,
) -> Result<(), ManifestError> {
    let field = format!("arguments.{}{part}", argument.name);
    Err(ManifestError::Rule { field, rule, found: found.to_owned() })
}

#[cfg(test)]
mod tests {
    use crate::Manifest;

    fn read(arguments: &str) -> Result<Manifest, String> {
        let head = "name = \"demo\"\nversion = \"0.1.0\"\nsummary = \"x\"\ncontract = \"0.1.0\"\n";
        Manifest::from_toml(&format!("{head}{arguments}")).map_err(|e| e.to_string())
    }

    #[test]
    fn declarations_that_make_no_sense_are_named() {
        const A: &str = "[[arguments]]\nname = \"a\"\n";
        const B: &str = "[[arguments]]\nname = \"b\"\n";
        for (arguments, says) in [
            (
                format!("{A}{A}"),
                "arguments.a: a name of its own, not \"the name of another argument\"",
            ),
            (
                format!("{A}short = \"x\"\n{B}short = \"x\""),
                "arguments.b.short: a letter of its own, not \"x\"",
            ),
            (format!("{A}short = \"-\""), "arguments.a.short: one letter or digit, not \"-\""),
            (format!("{A}short = \"é\""), "arguments.a.short: one letter or digit, not \"é\""),
            (
                format!("{A}positional = true\nshort = \"x\""),
                "arguments.a.short: absent, as a positional",
            ),
            (format!("{A}positional = true\nkind = \"flag\""), "a positional argument has a value"),
            (A.replace("\"a\"", "\"region\""), "-r and --region belong to blitz"),
            (
                A.replace("\"a\"", "\"-a\""),
                "1 to 40 of letters, digits, -, _ and ., no - first, not \"-a\"",
            ),
            (A.replace("\"a\"", "\"a b\""), "1 to 40 of letters, digits, -, _ and ., no - first"),
            (
                format!("{A}kind = \"flag\"\nrequired = true"),
                "arguments.a.required: absent, as a flag",
            ),
            (
                format!("{A}positional = true\nnamed = true"),
                "arguments.a.named: absent, as only an option with a value",
            ),
            (format!("{A}kind = \"flag\"\nnamed = true"), "arguments.a.named: absent, as only"),
            (
                format!("{A}named = true\ndefault = \"x\""),
                "arguments.a.default: absent, as the user gives the name",
            ),
            (
                format!("{A}required = true\ndefault = \"x\""),
                "arguments.a.default: absent, as the argument is required, not \"x\"",
            ),
            (
                format!("{A}kind = \"flag\"\ndefault = \"true\""),
                "arguments.a.default: absent, as a flag has no value",
            ),
            (
                format!("{A}kind = \"secret\"\ndefault = \"x\""),
                "arguments.a.default: absent, as help would show",
            ),
            (
                format!("{A}kind = \"integer\"\ndefault = \"1.5\""),
                "arguments.a.default: a whole number, not \"1.5\"",
            ),
            (
                format!("{A}kind = \"duration\"\ndefault = \"soon\""),
                "arguments.a.default: a duration (2, 0.5, 500ms, 2s, 1m, 1h), not \"soon\"",
            ),
            (
                format!("{A}kind = \"input-file\"\ndefault = \"/etc/passwd\""),
                "arguments.a.default: no file but -: only the user names",
            ),
            (
                format!("{A}kind = \"text-or-input-file\"\ndefault = \"@x\""),
                "arguments.a.default: no file but -",
            ),
            (
                format!("{A}kind = \"form\"\ndefault = \"a=<x\""),
                "arguments.a.default: no file but -",
            ),
            (format!("{A}kind = \"output-file\"\ndefault = \"x\""), "arguments.a.default: - alone"),
            (
                format!("{A}choices = [\"x\"]\ndefault = \"y\""),
                "arguments.a.default: one of the choices, not \"y\"",
            ),
            (
                format!("{A}choices = [\"x\", \"x\"]"),
                "arguments.a.choices: each choice once, not \"x\"",
            ),
            (format!("{A}choices = [\"\"]"), "arguments.a.choices: visible text, not \"\""),
            (
                format!("{A}kind = \"integer\"\nchoices = [\"x\"]"),
                "arguments.a.choices: a whole number, not \"x\"",
            ),
            (
                format!("{A}kind = \"flag\"\nchoices = [\"x\"]"),
                "arguments.a.choices: absent: only text, numbers",
            ),
            (
                format!("{A}kind = \"secret\"\nchoices = [\"x\"]"),
                "arguments.a.choices: absent: only text, numbers",
            ),
            (
                format!("{A}positional = true\nrepeated = true\n{B}positional = true"),
                "arguments.a.repeated: only for the last positional argument",
            ),
            (
                format!("{A}positional = true\n{B}positional = true\nrequired = true"),
                "arguments.b.required: absent, as the one before it may be left out",
            ),
        ] {
            let error = read(&arguments).expect_err(&arguments);
            assert!(error.contains(says), "{arguments}: {error}");
        }
    }

    #[test]
    fn declarations_that_make_sense_are_taken() {
        for arguments in [
            "[[arguments]]\nname = \"a\"\nkind = \"input-file\"\ndefault = \"-\"",
            "[[arguments]]\nname = \"a\"\nkind = \"text-or-input-file\"\ndefault = \"@-\"",
            "[[arguments]]\nname = \"a\"\nkind = \"output-file\"\ndefault = \"-\"",
            "[[arguments]]\nname = \"a\"\nkind = \"integer\"\nchoices = [\"4\", \"6\"]\ndefault = \"4\"",
            "[[arguments]]\nname = \"a\"\nshort = \"v\"\nnamed = true\nrepeated = true",
            "[[arguments]]\nname = \"http1.1\"\nkind = \"flag\"\nrepeated = true\nshort = \"4\"",
        ] {
            assert_eq!(read(arguments).err(), None, "{arguments}");
        }
    }
}
