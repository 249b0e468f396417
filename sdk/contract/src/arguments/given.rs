//! One option of a command line as it was given, and the name that a user puts behind it: `-v:NAME`.

use super::UsageError;
use super::declared::Declared;

/// One option, or positional argument, of a command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Given<'a> {
    /// Its declared name.
    pub name: &'a str,
    /// What the user named it, where the declaration says [`named`](crate::Argument::named); else empty.
    pub key: &'a str,
    /// Its value; empty for a flag.
    pub value: &'a str,
}

/// A long option's own name, and what stands behind the colon.
pub(super) fn split(name: &str) -> (&str, Option<&str>) {
    name.split_once(':').map_or((name, None), |(name, key)| (name, Some(key)))
}

/// The name that was given to `option`, where it takes one.
pub(super) fn key<'k>(
    declared: &Declared<'_>,
    option: &str,
    key: Option<&'k str>,
) -> Result<&'k str, UsageError> {
    match key.unwrap_or_default() {
        "" if declared.named => Err(UsageError::MissingName { option: option.to_owned() }),
        key => Ok(key),
    }
}

#[cfg(test)]
mod tests {
    use crate::{Arguments, Manifest};

    const PLUGIN: &str = r#"
        name = "demo"
        version = "0.1.0"
        summary = "for tests"
        contract = "0.1.0"
        [[arguments]]
        name = "variable"
        short = "v"
        named = true
        repeated = true
        [[arguments]]
        name = "count"
        named = true
        kind = "integer"
        [[arguments]]
        name = "silent"
        short = "s"
        kind = "flag"
        [[arguments]]
        name = "data"
        short = "d"
        [[arguments]]
        name = "URL"
        positional = true
        repeated = true
    "#;

    fn read(line: &str) -> String {
        let manifest = Manifest::from_toml(PLUGIN).unwrap();
        let words: Vec<&str> = line.split_whitespace().collect();
        match Arguments::parse(&manifest, &words) {
            Err(error) => error.to_string(),
            Ok(arguments) => {
                let given = arguments.occurrences();
                let given = given.map(|given| match given.key {
                    "" => format!("{}={}", given.name, given.value),
                    key => format!("{}[{key}]={}", given.name, given.value),
                });
                given.collect::<Vec<_>>().join(" ")
            }
        }
    }

    #[test]
    fn options_have_names_behind_them() {
        for (line, wanted) in [
            ("-v:a x u", "variable[a]=x URL=u"),
            ("-v:a -x u", "variable[a]=-x URL=u"),
            ("-sv:a x u", "silent= variable[a]=x URL=u"),
            ("-v:a:b=c x", "variable[a:b=c]=x"),
            ("--variable:a x u", "variable[a]=x URL=u"),
            ("--variable:a=x=y u", "variable[a]=x=y URL=u"),
            ("--variable:a=b:c", "variable[a]=b:c"),
            ("--data=a:b -dc:d", "data=a:b data=c:d"),
            // Options and positional arguments in the order of the line, each with what came before it.
            ("-da u -v:a x -db w", "data=a URL=u variable[a]=x data=b URL=w"),
            ("-v u", "option -v requires a name behind it: -v:NAME"),
            ("-v: u", "option -v requires a name behind it: -v:NAME"),
            ("-vx u", "option -v requires a name behind it: -v:NAME"),
            ("--variable x", "option --variable requires a name behind it: --variable:NAME"),
            ("--variable: x", "option --variable requires a name behind it: --variable:NAME"),
            ("--variable=x", "option --variable requires a name behind it: --variable:NAME"),
            ("-v:a", "option -v:a requires a value"),
            ("--variable:a", "option --variable:a requires a value"),
            ("--count:a x", "option --count:a: \"x\" is not a whole number"),
            ("--data:a x", "option --data:a is not supported"),
            ("--silent:a", "option --silent:a is not supported"),
            ("-s:a", "option -: is not supported"),
        ] {
            assert_eq!(read(line), wanted, "{line}");
        }
    }
}
