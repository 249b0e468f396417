//! A command line matched against a plugin's declared arguments.
//!
//! One parser for the client (early errors, which files to send), the gateway (the same check again)
//! and the plugin itself (its values), so that they never disagree. What stands on the command line is *given*;
//! [`Arguments::value`] falls back on the declared default, [`Arguments::has`] does not.
//!
//! Read in this order: `declared` is what a line is matched against, `kind` what a value must look like, `usage` why
//! a line does not fit, `given` one option of a line with the name behind it, `mask` what of it may be shown, `rules` which declarations make sense.

mod declared;
mod given;
mod kind;
mod mask;
pub(crate) mod rules;
mod usage;

use std::collections::BTreeSet;
use std::fmt;

use crate::manifest::{ArgumentKind, Manifest};

pub use declared::{Choices, Declared};
pub use given::Given;
pub use kind::duration;
pub use mask::{SecretWord, all_masked, masked};
pub use usage::UsageError;

/// The values of one command line, by declared name.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Arguments {
    /// In the order of the command line; the defaults of what was not given stand behind.
    values: Vec<Value>,
}

#[derive(Clone, PartialEq, Eq)]
struct Value {
    name: String,
    /// What the user named it; empty where nobody is asked for a name.
    key: String,
    kind: ArgumentKind,
    /// Empty for a flag.
    text: String,
    /// `None` for a default.
    place: Option<Place>,
}

impl fmt::Debug for Value {
    /// Without the text, which may be a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, kind, place, .. } = self;
        let mut shown = f.debug_struct("Value");
        shown.field("name", name).field("kind", kind).field("place", place).finish_non_exhaustive()
    }
}

/// Where a value stands in the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    /// Of the word, from 0.
    word: usize,
    /// Bytes of the word before the value: those of `--user=`.
    offset: usize,
}

impl Arguments {
    /// Matches `args` (without the plugin's name) against the manifest's declarations.
    ///
    /// Long options take `--name value` or `--name=value`; letters cluster (`-sS`, `-XPOST`); options and
    /// positional arguments mix; after `--` everything is positional; a lone `-` is a value. Behind a
    /// [`named`](crate::Argument::named) option stands its name: `-v:NAME value`, `--name:NAME=value`.
    ///
    /// # Errors
    ///
    /// [`UsageError`] for the first argument that does not fit.
    pub fn parse<S: AsRef<str>>(manifest: &Manifest, args: &[S]) -> Result<Self, UsageError> {
        let declared: Vec<Declared<'_>> = manifest.arguments.iter().map(Into::into).collect();
        Self::parse_declared(&declared, args)
    }

    /// As [`Self::parse`], for who has the declarations without a manifest.
    ///
    /// # Errors
    ///
    /// [`UsageError`] for the first argument that does not fit.
    pub fn parse_declared<S: AsRef<str>>(
        declared: &[Declared<'_>],
        args: &[S],
    ) -> Result<Self, UsageError> {
        let mut parsed = Self::default();
        let mut positional = Vec::new();
        let mut rest = args.iter().map(AsRef::as_ref).enumerate();
        while let Some((at, arg)) = rest.next() {
            if arg == "--" {
                positional.extend(rest.by_ref());
            } else if let Some(long) = arg.strip_prefix("--") {
                parsed.take_long(declared, (at, long), &mut rest)?;
            } else if let Some(letters) = arg.strip_prefix('-').filter(|l| !l.is_empty()) {
                parsed.take_letters(declared, (at, letters), &mut rest)?;
            } else {
                positional.push((at, arg));
            }
        }
        parsed.take_positional(declared, positional)?;
        parsed.values.sort_by_key(|value| value.place.map(|place| (place.word, place.offset)));
        for argument in declared.iter().filter(|a| a.required || a.default.is_some()) {
            if parsed.has(argument.name) {
                continue;
            }
            let Some(default) = argument.default else {
                return Err(UsageError::Missing { name: argument.name.to_owned() });
            };
            parsed.push(argument, "", default, None);
        }
        Ok(parsed)
    }

    fn take_long<'a>(
        &mut self,
        declared: &[Declared<'_>],
        (word, long): (usize, &str),
        rest: &mut impl Iterator<Item = (usize, &'a str)>,
    ) -> Result<(), UsageError> {
        let (name, inline) = match long.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (long, None),
        };
        let option = format!("--{name}");
        let (name, key) = given::split(name);
        let Some(declared) =
            declared.iter().find(|a| !a.positional && a.name == name && (a.named || key.is_none()))
        else {
            return Err(UsageError::Unknown { option });
        };
        let key = given::key(declared, &format!("--{name}"), key)?;
        let (place, value) = match (declared.kind, inline) {
            (ArgumentKind::Flag, None) => (Place { word, offset: option.len() }, ""),
            (ArgumentKind::Flag, Some(_)) => return Err(UsageError::UnexpectedValue { option }),
            (_, Some(value)) => (Place { word, offset: option.len() + 1 }, value),
            (_, None) => next_word(rest, &option)?,
        };
        self.give(declared, &option, key, value, place)
    }

    fn take_letters<'a>(
        &mut self,
        declared: &[Declared<'_>],
        (word, letters): (usize, &str),
        rest: &mut impl Iterator<Item = (usize, &'a str)>,
    ) -> Result<(), UsageError> {
        for (at, letter) in letters.char_indices() {
            let option = format!("-{letter}");
            let Some(declared) = declared.iter().find(|a| a.short == Some(letter)) else {
                return Err(UsageError::Unknown { option });
            };
            let end = at + letter.len_utf8();
            // Behind the dash and this letter.
            let behind = Place { word, offset: 1 + end };
            if declared.kind == ArgumentKind::Flag {
                self.give(declared, &option, "", "", behind)?;
                continue;
            }
            if declared.named {
                let key = given::key(declared, &option, letters[end..].strip_prefix(':'))?;
                let option = format!("{option}:{key}");
                let (place, value) = next_word(rest, &option)?;
                return self.give(declared, &option, key, value, place);
            }
            let (place, value) = match &letters[end..] {
                "" => next_word(rest, &option)?,
                attached => (behind, attached),
            };
            return self.give(declared, &option, "", value, place);
        }
        Ok(())
    }

    fn take_positional(
        &mut self,
        declared: &[Declared<'_>],
        values: Vec<(usize, &str)>,
    ) -> Result<(), UsageError> {
        let mut declared = declared.iter().filter(|a| a.positional).peekable();
        for (word, value) in values {
            let Some(argument) = declared.peek().copied() else {
                return Err(UsageError::Extra { value: value.to_owned() });
            };
            self.give(argument, argument.name, "", value, Place { word, offset: 0 })?;
            if !argument.repeated {
                declared.next();
            }
        }
        Ok(())
    }

    fn give(
        &mut self,
        declared: &Declared<'_>,
        option: &str,
        key: &str,
        value: &str,
        place: Place,
    ) -> Result<(), UsageError> {
        if let Some(wanted) = declared.kind.refuses(value) {
            return Err(UsageError::BadValue {
                option: option.to_owned(),
                value: mask::quotable(declared.kind, value),
                wanted,
            });
        }
        if !declared.choices.take(value) {
            return Err(UsageError::NotAChoice {
                option: option.to_owned(),
                value: mask::quotable(declared.kind, value),
                choices: declared.choices.joined(),
            });
        }
        self.push(declared, key, value, Some(place));
        Ok(())
    }

    fn push(&mut self, declared: &Declared<'_>, key: &str, text: &str, place: Option<Place>) {
        let (name, key) = (declared.name.to_owned(), key.to_owned());
        self.values.push(Value { name, key, kind: declared.kind, text: text.to_owned(), place });
    }

    /// Whether the user gave the argument; a default is not given.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.given().any(|v| v.name == name)
    }

    /// The last value given, as later ones override earlier ones in most Unix commands; else the default.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<&str> {
        self.values(name).last()
    }

    /// Every value given, in order, or the default alone when there is none. A flag gives an empty text each
    /// time.
    pub fn values<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a str> {
        self.values.iter().filter(move |v| v.name == name).map(|v| v.text.as_str())
    }

    /// Every argument in the order of the command line, as (declared name, value). Without defaults.
    pub fn in_order(&self) -> impl Iterator<Item = (&str, &str)> {
        self.given().map(|v| (v.name.as_str(), v.text.as_str()))
    }

    /// The same with the names that the user gave: for a command whose options belong to the positional argument
    /// behind them.
    pub fn occurrences(&self) -> impl Iterator<Item = Given<'_>> {
        self.given().map(|v| Given { name: &v.name, key: &v.key, value: &v.text })
    }

    /// The files of the user's machine that must be sent along; `-` is stdin.
    ///
    /// Only the user names a file: of a default nothing but stdin counts, whatever a foreign manifest says.
    #[must_use]
    pub fn inputs(&self) -> BTreeSet<&str> {
        let file = |v: &'_ Value| v.place.is_some() || v.kind.input(&v.text) == Some("-");
        let values = self.values.iter().filter(|v| file(v));
        values.filter_map(|v| v.kind.input(&v.text)).collect()
    }

    /// The files that the plugin may write on the user's machine, as the user named them; `-` (stdout) is not
    /// one.
    #[must_use]
    pub fn outputs(&self) -> BTreeSet<&str> {
        self.given()
            .filter(|v| v.kind == ArgumentKind::OutputFile && v.text != "-")
            .map(|v| v.text.as_str())
            .collect()
    }

    /// The URLs and hosts among the values, the defaults too: where the command goes, as far as it says so. `manifest` is
    /// the one with which it was parsed.
    pub fn targets<'a>(&'a self, manifest: &'a Manifest) -> impl Iterator<Item = &'a str> {
        self.values.iter().filter_map(|value| {
            let declared =
                manifest.arguments.iter().find(|argument| argument.name == value.name)?;
            declared.target_in(&value.text)
        })
    }

    fn given(&self) -> impl Iterator<Item = &Value> {
        self.values.iter().filter(|v| v.place.is_some())
    }
}

/// The value of `option` that stands in the next word.
fn next_word<'a>(
    rest: &mut impl Iterator<Item = (usize, &'a str)>,
    option: &str,
) -> Result<(Place, &'a str), UsageError> {
    match rest.next() {
        Some((word, value)) => Ok((Place { word, offset: 0 }, value)),
        None => Err(UsageError::MissingValue { option: option.to_owned() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest() -> Manifest {
        Manifest::from_toml(
            r#"
            name = "demo"
            version = "0.1.0"
            summary = "for tests"
            contract = "0.1.0"
            [[arguments]]
            name = "silent"
            short = "s"
            kind = "flag"
            [[arguments]]
            name = "data"
            short = "d"
            kind = "text-or-input-file"
            repeated = true
            [[arguments]]
            name = "form"
            short = "F"
            kind = "form"
            repeated = true
            [[arguments]]
            name = "output"
            short = "o"
            kind = "output-file"
            [[arguments]]
            name = "max-time"
            kind = "duration"
            [[arguments]]
            name = "format"
            default = "text"
            choices = ["text", "json"]
            [[arguments]]
            name = "count"
            short = "n"
            kind = "integer"
            default = "3"
            repeated = true
            [[arguments]]
            name = "list"
            kind = "input-file"
            default = "-"
            [[arguments]]
            name = "URL"
            kind = "url"
            positional = true
            required = true
            [[arguments]]
            name = "PORT"
            kind = "integer"
            positional = true
            choices = ["80", "443"]
            "#,
        )
        .unwrap()
    }

    fn parse(line: &str) -> Result<Arguments, String> {
        let args: Vec<&str> = line.split_whitespace().collect();
        Arguments::parse(&manifest(), &args).map_err(|e| e.to_string())
    }

    #[test]
    fn options_and_positional_arguments_mix() {
        for line in
            ["-sd a x --max-time=2s", "x --data a -s --max-time 2s", "-s -da --max-time 2s -- x"]
        {
            let parsed = parse(line).unwrap();
            assert!(parsed.has("silent"), "{line}");
            assert_eq!(parsed.value("data"), Some("a"), "{line}");
            assert_eq!(parsed.value("URL"), Some("x"), "{line}");
        }
    }

    #[test]
    fn the_order_is_that_of_the_command_line() {
        for (line, order) in [
            ("-sd a x --count 4 80", "silent data URL count PORT"),
            ("x -s -- 80", "URL silent PORT"),
            ("-sn5 x", "silent count URL"),
        ] {
            let parsed = parse(line).unwrap();
            let names: Vec<&str> = parsed.in_order().map(|(name, _)| name).collect();
            assert_eq!(names.join(" "), order, "{line}");
        }
    }

    #[test]
    fn files_are_found_where_values_name_them() {
        let parsed = parse("-d @body -d plain -d @- -F f=@pic.png;type=image/png -F t=<t -o out x");
        let parsed = parsed.unwrap();
        assert_eq!(Vec::from_iter(parsed.inputs()), ["-", "body", "pic.png", "t"]);
        assert_eq!(Vec::from_iter(parsed.outputs()), ["out"]);
        let parsed = parse("--list names x").unwrap();
        assert_eq!(Vec::from_iter(parsed.inputs()), ["names"], "not stdin");
    }

    #[test]
    fn a_default_is_a_value_and_not_given() {
        let parsed = parse("x").unwrap();
        assert_eq!(parsed.value("format"), Some("text"));
        assert_eq!(Vec::from_iter(parsed.values("count")), ["3"]);
        assert!(!parsed.has("format") && !parsed.has("count"));
        assert_eq!(Vec::from_iter(parsed.in_order()), [("URL", "x")]);
        assert_eq!(Vec::from_iter(parsed.inputs()), ["-"], "stdin is what is read without a file");
        let parsed = parse("--format=json -n 4 -n5 x").unwrap();
        assert_eq!(parsed.value("format"), Some("json"));
        assert_eq!(Vec::from_iter(parsed.values("count")), ["4", "5"]);
    }

    #[test]
    fn a_default_of_a_foreign_manifest_names_no_file() {
        let mut foreign = manifest();
        for argument in &mut foreign.arguments {
            argument.default = match argument.kind {
                ArgumentKind::InputFile | ArgumentKind::OutputFile => {
                    Some("/etc/passwd".to_owned())
                }
                ArgumentKind::TextOrInputFile => Some("@/etc/passwd".to_owned()),
                ArgumentKind::Form => Some("a=</etc/passwd".to_owned()),
                _ => None,
            };
        }
        let parsed = Arguments::parse(&foreign, &["x"]).unwrap();
        assert_eq!((parsed.inputs().len(), parsed.outputs().len()), (0, 0));
    }

    #[test]
    fn what_does_not_fit_is_named() {
        for (line, text) in [
            ("--nope x", "option --nope is not supported"),
            ("-sz x", "option -z is not supported"),
            ("x -d", "option -d requires a value"),
            ("--silent=1 x", "option --silent takes no value"),
            ("-s", "URL is missing"),
            ("x 80 y", "unexpected argument \"y\""),
            ("x y", "argument PORT: \"y\" is not a whole number"),
            ("x 81", "argument PORT: \"81\" is not one of 80, 443"),
            ("--format=xml x", "option --format: \"xml\" is not one of text, json"),
            ("-n 1.5 x", "option -n: \"1.5\" is not a whole number"),
            (
                "--count 9223372036854775808 x",
                "option --count: \"9223372036854775808\" is not a whole number",
            ),
            (
                "--max-time soon x",
                "option --max-time: \"soon\" is not a duration (2, 0.5, 500ms, 2s, 1m, 1h)",
            ),
            ("-F plain x", "option -F: \"plain\" is not NAME=VALUE"),
        ] {
            assert_eq!(parse(line).unwrap_err(), text, "{line}");
        }
    }
}
