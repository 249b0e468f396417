//! Whose word is it? Splits a command line into `blitz`'s own flags and the plugin's arguments. Pure.
//!
//! `blitz [globals] PLUGIN [globals and plugin arguments] [-- plugin arguments]`. Globals may stand
//! anywhere up to `--`, which is taken away; everything behind it is the plugin's. The split is made
//! before the plugin's manifest is known, so a plugin's option whose *value* looks like a global
//! (`-H --json`) goes behind `--`, as does a plugin's own option of the same name (`curl --json DATA`).
//!
//! Options that are ours only for some plugins ([`crate::load::options`]) stay where they are: the manifest decides later
//! whose they are, from [`Typed`].

use crate::pin::{Pin, PinError, is_plugin_name};

/// A flag that belongs to `blitz` wherever it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct GlobalFlag {
    /// Without its dashes.
    pub(crate) long: String,
    pub(crate) short: Option<char>,
    pub(crate) takes_value: bool,
}

/// The words of a plugin's command line that are not global.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Typed {
    /// Options that are ours for some plugins, and their values, that stood before the plugin's name.
    pub(crate) before: Vec<String>,
    /// What stood behind it.
    pub(crate) args: Vec<String>,
    /// How many of `args` stood before `--`.
    pub(crate) free_count: usize,
}

/// What a command line asks for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Words {
    /// Nothing at all.
    Nothing,
    /// `--help` before any command.
    Help,
    /// `--version`.
    Version,
    /// A command of `blitz` itself: its name, the globals that stood before it, then the rest.
    BuiltIn(Vec<String>),
    /// A plugin's job.
    Plugin {
        name: Pin,
        /// Only globals and their values.
        globals: Vec<String>,
        typed: Typed,
    },
    /// `blitz PLUGIN --help` or `PLUGIN:help`, with the first word that stood behind the name.
    PluginHelp { name: Pin, globals: Vec<String>, first: Option<String> },
}

/// A command line that cannot be split. The text reads after `blitz: `.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SplitError {
    /// The last word is a global that wants a value.
    #[error("{flag} requires a value")]
    MissingValue { flag: String },
    /// A flag before the plugin's name that is not ours.
    #[error(
        "no flag {flag} here; a plugin's own flags go behind its name, 'blitz --help' lists ours"
    )]
    UnknownFlag { flag: String },
    /// A word that is planned.
    #[error("{word} is not in this version; {instead}")]
    Later { word: String, instead: &'static str },
    /// `blitz run` and no plugin.
    #[error("run: which plugin? 'blitz plugins' lists them")]
    NoPlugin,
    /// Neither a command nor a plugin's name.
    #[error("no command or plugin '{word}'; 'blitz --help' lists the commands")]
    NotAName { word: String },
    /// A version or a digest that is none.
    #[error(transparent)]
    Pin(#[from] PinError),
}

/// Commands of 2011 that have no successor yet.
const LATER_COMMANDS: [(&str, &str); 3] = [
    ("api:init", "'blitz login' keeps a gateway and your key"),
    ("account:about", "'blitz whoami' says who you are"),
    ("couch:fuzz", "there is no successor yet"),
];

/// Splits the words behind `blitz`. `sometimes` are the flags that are ours for some plugins.
pub(crate) fn split(
    words: &[String],
    flags: &[GlobalFlag],
    sometimes: &[GlobalFlag],
    built_ins: &[&str],
) -> Result<Words, SplitError> {
    let mut rest = words.iter();
    let mut globals = Vec::new();
    let mut typed = Typed::default();
    let mut is_run = false;
    let name = loop {
        let Some(word) = rest.next() else {
            return match (is_run, globals.is_empty()) {
                (true, _) => Err(SplitError::NoPlugin),
                (false, true) => Ok(Words::Nothing),
                (false, false) => Ok(Words::Help),
            };
        };
        match word.as_str() {
            "-h" | "--help" if is_run => {
                return Ok(Words::BuiltIn(vec!["help".into(), "run".into()]));
            }
            "-h" | "--help" => return Ok(Words::Help),
            "--version" => return Ok(Words::Version),
            "run" if !is_run => is_run = true,
            _ if take_flag(word, &mut rest, flags, &mut globals)? => {}
            _ if take_flag(word, &mut rest, sometimes, &mut typed.before)? => {}
            flag if flag.starts_with('-') => {
                return Err(SplitError::UnknownFlag { flag: flag.to_owned() });
            }
            name => break name,
        }
    };
    if !is_run && built_ins.contains(&name) {
        typed.needs_no_plugin()?;
        let mut all = vec![name.to_owned()];
        all.append(&mut globals);
        all.extend(rest.cloned());
        return Ok(Words::BuiltIn(all));
    }
    if let Some((word, instead)) = LATER_COMMANDS.iter().find(|(word, _)| *word == name) {
        return Err(SplitError::Later { word: (*word).to_owned(), instead });
    }
    let (name, wants_help) = match name.strip_suffix(":help") {
        Some(plugin) => (plugin, true),
        None => (name, false),
    };
    if wants_help && !is_run && built_ins.contains(&name) {
        return Ok(Words::BuiltIn(vec!["help".into(), name.into()]));
    }
    if !is_plugin_name(name) && !Pin::is_meant(name) {
        return Err(SplitError::NotAName { word: name.to_owned() });
    }
    let name: Pin = name.parse()?;
    let mut free_count = None;
    while let Some(word) = rest.next() {
        match word.as_str() {
            "--" => {
                free_count = Some(typed.args.len());
                typed.args.extend(rest.by_ref().cloned());
            }
            "--help" => {
                let first = typed.args.into_iter().next();
                return Ok(Words::PluginHelp { name, globals, first });
            }
            "--version" => return Ok(Words::Version),
            _ if take_flag(word, &mut rest, flags, &mut globals)? => {}
            _ => typed.args.push(word.clone()),
        }
    }
    typed.free_count = free_count.unwrap_or(typed.args.len());
    match wants_help {
        true => Ok(Words::PluginHelp { name, globals, first: None }),
        false => Ok(Words::Plugin { name, globals, typed }),
    }
}

impl Typed {
    /// Takes the words of `flags` out of those before the plugin's name and of those behind it up to `--`.
    ///
    /// # Errors
    ///
    /// [`SplitError::MissingValue`] of the last word.
    pub(crate) fn take(&mut self, flags: &[GlobalFlag]) -> Result<Vec<String>, SplitError> {
        let mut taken = std::mem::take(&mut self.before);
        let behind = self.args.split_off(self.free_count);
        let free = std::mem::take(&mut self.args);
        let mut rest = free.iter();
        while let Some(word) = rest.next() {
            if !take_flag(word, &mut rest, flags, &mut taken)? {
                self.args.push(word.clone());
            }
        }
        self.free_count = self.args.len();
        self.args.extend(behind);
        Ok(taken)
    }

    /// Nothing stands before the name that only some plugins know.
    pub(crate) fn needs_no_plugin(&self) -> Result<(), SplitError> {
        match self.before.first() {
            Some(flag) => Err(SplitError::UnknownFlag { flag: flag.clone() }),
            None => Ok(()),
        }
    }
}

/// Moves `word`, and the value behind it, to `taken` when it is one of `flags`.
fn take_flag<'a>(
    word: &str,
    rest: &mut impl Iterator<Item = &'a String>,
    flags: &[GlobalFlag],
    taken: &mut Vec<String>,
) -> Result<bool, SplitError> {
    let (flag, has_value) = if let Some(long) = word.strip_prefix("--") {
        let (name, value) = long.split_once('=').map_or((long, None), |(n, v)| (n, Some(v)));
        (flags.iter().find(|f| f.long == name), value.is_some())
    } else if let Some(letters) = word.strip_prefix('-') {
        let mut letters = letters.chars();
        let first = letters.next();
        // `-rjapan`: letters behind a short flag are its value.
        (flags.iter().find(|f| first.is_some() && f.short == first), letters.next().is_some())
    } else {
        (None, false)
    };
    let Some(flag) = flag else { return Ok(false) };
    taken.push(word.to_owned());
    if flag.takes_value && !has_value {
        let value = rest.next();
        let value = value.ok_or_else(|| SplitError::MissingValue { flag: word.to_owned() })?;
        taken.push(value.clone());
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flag(long: &str, short: Option<char>, takes_value: bool) -> GlobalFlag {
        GlobalFlag { long: long.to_owned(), short, takes_value }
    }

    fn sometimes() -> Vec<GlobalFlag> {
        vec![flag("fail", None, true), flag("no-live", None, false)]
    }

    fn flags() -> Vec<GlobalFlag> {
        vec![
            flag("region", Some('r'), true),
            flag("json", None, false),
            flag("timeout", None, true),
        ]
    }

    /// The split as one line of text: `plugin(globals)[args]`.
    fn show(line: &str) -> String {
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        match split(&words, &flags(), &sometimes(), &["jobs", "up", "help"]) {
            Ok(Words::Plugin { name, globals, typed }) => {
                let before = match typed.before.is_empty() {
                    true => String::new(),
                    false => format!("{{{}}}", typed.before.join(" ")),
                };
                format!("{before}{name}({})[{}]", globals.join(" "), typed.args.join(" "))
            }
            Ok(Words::PluginHelp { name, globals, first }) => {
                let first = first.map_or_else(String::new, |first| format!("[{first}]"));
                format!("help {name}({}){first}", globals.join(" "))
            }
            Ok(Words::BuiltIn(words)) => format!("built-in {}", words.join(" ")),
            Ok(other) => format!("{other:?}"),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn command_lines_are_split() {
        for (line, split) in [
            ("", "Nothing"),
            ("--help", "Help"),
            ("-h curl", "Help"),
            ("--json", "Help"),
            ("--version", "Version"),
            ("curl --version", "Version"),
            ("curl x", "curl()[x]"),
            ("-r japan curl x", "curl(-r japan)[x]"),
            ("curl -r japan x", "curl(-r japan)[x]"),
            ("curl x -r japan", "curl(-r japan)[x]"),
            ("curl -rjapan,ireland x", "curl(-rjapan,ireland)[x]"),
            ("curl --region=japan x", "curl(--region=japan)[x]"),
            ("curl -r japan --region us x", "curl(-r japan --region us)[x]"),
            ("curl --json -s x", "curl(--json)[-s x]"),
            ("curl -- --json {} x", "curl()[--json {} x]"),
            ("curl -r japan -- -r 0-9 -- x", "curl(-r japan)[-r 0-9 -- x]"),
            ("curl -sr japan x", "curl()[-sr japan x]"),
            ("curl -h", "curl()[-h]"),
            ("curl --timeout 5 --max-time 3 x", "curl(--timeout 5)[--max-time 3 x]"),
            ("curl -", "curl()[-]"),
            ("run curl -r japan x", "curl(-r japan)[x]"),
            ("run --json jobs x", "jobs(--json)[x]"),
            ("run run x", "run()[x]"),
            ("run dig -r japan -- +short MX", "dig(-r japan)[+short MX]"),
            ("curl --help", "help curl()"),
            ("curl:help", "help curl()"),
            ("jobs:help", "built-in help jobs"),
            ("run jobs:help", "help jobs()"),
            ("run jobs --help", "help jobs()"),
            ("jobs@0.1.0 x", "jobs@0.1.0()[x]"),
            ("curl x --help --json", "help curl()[x]"),
            ("run --help", "built-in help run"),
            ("jobs --last 3", "built-in jobs --last 3"),
            ("--json jobs --last 3", "built-in jobs --json --last 3"),
            ("up --region a", "built-in up --region a"),
            ("--fail p99<1s curl --fail x", "{--fail p99<1s}curl()[--fail x]"),
            ("hops@0.1.0 x -r japan", "hops@0.1.0(-r japan)[x]"),
            ("run hops@0.1.0 x", "hops@0.1.0()[x]"),
            ("hops@0.1.0 --help", "help hops@0.1.0()"),
            ("hops@0.1.0:help", "help hops@0.1.0()"),
        ] {
            assert_eq!(show(line), split, "blitz {line}");
        }
    }

    #[test]
    fn what_is_ours_for_some_plugins_is_taken_up_to_the_dashes() {
        let words = "--fail a rush -X GET --fail=b --no-live x --fail c -- --fail d";
        let words: Vec<String> = words.split(' ').map(str::to_owned).collect();
        let Ok(Words::Plugin { mut typed, .. }) = split(&words, &flags(), &sometimes(), &[]) else {
            panic!("a plugin's command line");
        };
        let taken = typed.take(&sometimes()).unwrap();
        assert_eq!(taken.join(" "), "--fail a --fail=b --no-live --fail c");
        assert_eq!(typed.args.join(" "), "-X GET x --fail d");
        assert_eq!(typed.free_count, 3);
        let mut bare = Typed { args: vec!["--fail".to_owned()], free_count: 1, ..Typed::default() };
        assert_eq!(bare.take(&sometimes()).unwrap_err().to_string(), "--fail requires a value");
    }

    #[test]
    fn what_cannot_be_split_is_named() {
        for (line, text) in [
            ("curl -r", "-r requires a value"),
            ("--timeout", "--timeout requires a value"),
            (
                "-s curl",
                "no flag -s here; a plugin's own flags go behind its name, 'blitz --help' lists ours",
            ),
            (
                "--no-live jobs",
                "no flag --no-live here; a plugin's own flags go behind its name, 'blitz --help' lists ours",
            ),
            ("--fail", "--fail requires a value"),
            ("run", "run: which plugin? 'blitz plugins' lists them"),
            (
                "api:init",
                "api:init is not in this version; 'blitz login' keeps a gateway and your key",
            ),
            (
                "hops@1 x",
                "'hops@1' names no plugin: a version is three numbers with dots; \
                 the form is NAME, NAME@1.2.3 or NAME@1.2.3#SHA256",
            ),
            ("./curl", "no command or plugin './curl'; 'blitz --help' lists the commands"),
            ("Curl:go", "no command or plugin 'Curl:go'; 'blitz --help' lists the commands"),
        ] {
            assert_eq!(show(line), text, "blitz {line}");
        }
    }
}
