//! What may stand at the cursor: from the words before it, our own commands (`command`) and the plugin's manifest
//! (`plugin`).

mod command;
mod plugin;

use clap::{Command, CommandFactory as _};

use super::world::World;
use crate::commands::{Cli, global_flags};
use crate::load;
use crate::pin::Pin;
use crate::words::GlobalFlag;
use command::{commands, long_options, of_clap, of_command};
use plugin::of_plugin;

/// A word, and what it means in a few words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Candidate {
    pub(super) word: String,
    pub(super) meaning: String,
}

/// What is wanted.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// One of these; they are whole words, prefix and all.
    Words(Vec<Candidate>),
    /// A file's name behind this beginning of the word.
    Files { prefix: String },
}

impl Candidate {
    pub(super) fn new(word: &str, meaning: &str) -> Self {
        Self { word: word.to_owned(), meaning: meaning.to_owned() }
    }

    fn of_command(command: &Command) -> Self {
        let meaning = command.get_about().map(ToString::to_string).unwrap_or_default();
        Self { word: command.get_name().to_owned(), meaning }
    }

    pub(super) fn bare(word: String) -> Self {
        Self { word, meaning: String::new() }
    }
}

/// The `--host` of what was typed, which names the gateway to ask.
pub(super) fn host(typed: &[String]) -> Option<&str> {
    let inline = typed.iter().find_map(|word| word.strip_prefix("--host="));
    let at = typed.iter().position(|word| word == "--host");
    inline.or_else(|| typed.get(at? + 1).map(String::as_str).filter(|host| !host.is_empty()))
}

/// What stands before the cursor.
enum Before<'a> {
    /// Globals only; `run` was among them.
    Nothing { is_run: bool },
    /// The cursor is at the value of a global.
    GlobalValue(&'a GlobalFlag),
    /// A command or a plugin, and the words behind it.
    Name { name: &'a str, is_run: bool, rest: &'a [String] },
}

impl Place {
    /// Of the last of these words, which begin behind `blitz`.
    pub(super) async fn find(typed: &[String], world: &mut World<'_>) -> Self {
        let Some((current, before)) = typed.split_last() else { return Self::none() };
        let flags = global_flags();
        let cli = Cli::command();
        if let Some((flag, prefix)) = inline_value(current, &flags) {
            return global_value(&cli, flag, prefix, current, world).await;
        }
        // Before the name nobody knows yet whether these are ours.
        let with_load = [flags.clone(), load::options::flags()].concat();
        match before_cursor(before, &with_load) {
            Before::GlobalValue(flag) if !flags.contains(flag) => of_load(flag, ""),
            Before::GlobalValue(flag) => global_value(&cli, flag, "", current, world).await,
            Before::Nothing { is_run } => {
                let mut words = Vec::new();
                if current.starts_with('-') {
                    words.extend(long_options(&cli));
                } else {
                    if !is_run {
                        words.extend(commands(&cli));
                    }
                    words.extend(world.plugins(current.contains('@')).await);
                }
                Self::Words(words)
            }
            Before::Name { name, is_run, rest } => {
                if !is_run && let Some(command) = cli.find_subcommand(name) {
                    return of_command(command, rest, current, world).await;
                }
                let Ok(pin) = name.parse::<Pin>() else { return Self::none() };
                if let Some(place) = of_saved_reports(&pin, rest, current) {
                    return place;
                }
                let mut place = match world.manifest(&pin).await {
                    Some(manifest) => {
                        of_plugin(&manifest, &cli, &flags, rest, current, world).await
                    }
                    None => Self::none(),
                };
                if let Self::Words(words) = &mut place
                    && rest.is_empty()
                    && !current.starts_with('-')
                {
                    words.extend(load::local::commands(&pin).iter().map(Candidate::of_command));
                }
                place
            }
        }
    }

    fn none() -> Self {
        Self::Words(Vec::new())
    }
}

/// Behind `rush diff` and `rush report`: their files and options.
fn of_saved_reports(pin: &Pin, rest: &[String], current: &str) -> Option<Place> {
    let command = load::local::find(pin, rest.first()?)?;
    if !current.starts_with('-') {
        return Some(Place::Files { prefix: String::new() });
    }
    let mut words = long_options(&command);
    if command.get_name() == "report" {
        words.extend(long_options(&load::options::command()));
    }
    Some(Place::Words(words))
}

fn before_cursor<'a>(words: &'a [String], flags: &'a [GlobalFlag]) -> Before<'a> {
    let mut is_run = false;
    let mut at = 0;
    while let Some(word) = words.get(at) {
        at += 1;
        match global(word, flags) {
            Some((flag, true)) if at == words.len() => return Before::GlobalValue(flag),
            Some((_, true)) => at += 1,
            Some((_, false)) => {}
            None if word == "run" && !is_run => is_run = true,
            None if word.starts_with('-') => {}
            None => return Before::Name { name: word, is_run, rest: &words[at..] },
        }
    }
    Before::Nothing { is_run }
}

/// The values of an option that is ours for load tests.
fn of_load(flag: &GlobalFlag, prefix: &str) -> Place {
    let command = load::options::command();
    let arg = command.get_arguments().find(|arg| arg.get_long() == Some(flag.long.as_str()));
    arg.map_or_else(Place::none, |arg| of_clap(arg, prefix))
}

/// A global flag, and whether its value is the next word.
fn global<'a>(word: &str, flags: &'a [GlobalFlag]) -> Option<(&'a GlobalFlag, bool)> {
    if let Some(long) = word.strip_prefix("--") {
        let (name, has_value) =
            long.split_once('=').map_or((long, false), |(name, _)| (name, true));
        let flag = flags.iter().find(|flag| flag.long == name)?;
        return Some((flag, flag.takes_value && !has_value));
    }
    let mut letters = word.strip_prefix('-')?.chars();
    let first = letters.next()?;
    let flag = flags.iter().find(|flag| flag.short == Some(first))?;
    Some((flag, flag.takes_value && letters.next().is_none()))
}

/// `--region=ja`, `-rja`: the flag, and what stands before its value.
fn inline_value<'a, 'b>(
    current: &'b str,
    flags: &'a [GlobalFlag],
) -> Option<(&'a GlobalFlag, &'b str)> {
    let takes = |flag: &&GlobalFlag| flag.takes_value;
    if let Some(long) = current.strip_prefix("--") {
        let (name, value) = long.split_once('=')?;
        let flag = flags.iter().filter(takes).find(|flag| flag.long == name)?;
        return Some((flag, &current[..current.len() - value.len()]));
    }
    let letter = current.strip_prefix('-')?.chars().next()?;
    let flag = flags.iter().filter(takes).find(|flag| flag.short == Some(letter))?;
    let prefix = &current[..1 + letter.len_utf8()];
    (current.len() > prefix.len()).then_some((flag, prefix))
}

async fn global_value(
    cli: &Command,
    flag: &GlobalFlag,
    prefix: &str,
    current: &str,
    world: &mut World<'_>,
) -> Place {
    if flag.long == "region" {
        return Place::Words(regions(prefix, current, world).await);
    }
    let arg = cli.get_arguments().find(|arg| arg.get_long() == Some(flag.long.as_str()));
    arg.map_or_else(Place::none, |arg| of_clap(arg, prefix))
}

/// Region lists go on behind the last comma or bar.
async fn regions(prefix: &str, current: &str, world: &mut World<'_>) -> Vec<Candidate> {
    let value = current.strip_prefix(prefix).unwrap_or_default();
    let head = value.rfind([',', '|']).map_or("", |at| &value[..=at]);
    let mut words = world.regions().await;
    for candidate in &mut words {
        candidate.word = format!("{prefix}{head}{}", candidate.word);
    }
    words
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use blitz_contract::Manifest;

    use super::*;
    use crate::environment::Environment;
    use crate::known;
    use crate::pin::is_plugin_name;

    const MANIFEST: &str = r#"{"name":"hops","version":"0.1.0","summary":"counts hops","contract":"0.1.0",
        "arguments":[
        {"name":"max","short":"m","kind":"integer"},
        {"name":"quick","short":"q","kind":"flag"},
        {"name":"how","choices":["udp","icmp"]},
        {"name":"data","short":"d","kind":"text-or-input-file"},
        {"name":"form","short":"F","kind":"form"},
        {"name":"json","kind":"text"},
        {"name":"body","short":"b","named":true,"kind":"input-file"},
        {"name":"HOST","kind":"host","positional":true},
        {"name":"FILE","kind":"input-file","positional":true,"repeated":true}]}"#;

    /// What may stand at the end of a line, without any gateway.
    fn show(line: &str) -> String {
        let directory = tempfile::tempdir().unwrap();
        let environment = Environment {
            cache_directory: Some(directory.path().to_owned()),
            ..Environment::default()
        };
        known::keep(&environment, &Manifest::from_json(MANIFEST).unwrap());
        let typed: Vec<String> = line.split(' ').map(str::to_owned).collect();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let place = runtime.block_on(async {
            let mut world = World::new(&environment, None, Duration::from_secs(1));
            Place::find(&typed, &mut world).await
        });
        let current = typed.last().unwrap();
        match place {
            Place::Files { prefix } => format!("files {prefix}"),
            Place::Words(words) => {
                let words: Vec<String> = words.into_iter().map(|c| c.word).collect();
                let fits = words.into_iter().filter(|word| word.starts_with(current.as_str()));
                fits.collect::<Vec<_>>().join(" ")
            }
        }
    }

    #[test]
    fn every_place_has_its_words() {
        for (line, wanted) in [
            ("ho", "hops"),
            ("cu", "curl"),
            ("regi", "region regions"),
            ("run ho", "hops"),
            ("run regi", ""),
            ("hops@", "hops@0.1.0"),
            ("-r an", "any"),
            ("-ran", "-rany"),
            ("--region=an", "--region=any"),
            ("-r japan,an", "japan,any"),
            ("hops -r an", "any"),
            ("hops x -r an", "any"),
            ("hops --ma", "--max"),
            ("hops --queue", "--queue-timeout"),
            ("hops -- --queue", ""),
            ("hops -- --js", "--json"),
            ("hops --js", "--json"),
            ("hops --how ", "udp icmp"),
            ("hops --how=u", "--how=udp"),
            ("hops --max ", ""),
            ("hops -q --how i", "icmp"),
            ("hops -d @x", "files @"),
            ("hops -d x", ""),
            ("hops --data=@x", "files --data=@"),
            ("hops -F a=@", "files a=@"),
            ("hops --bo", "--body:"),
            ("hops -b:x ", "files "),
            ("hops -qb:x ", "files "),
            ("hops --body:x ", "files "),
            ("hops --body:x=", "files --body:x="),
            ("hops -b:x y ho", ""),
            ("rush --html ", "files "),
            ("rush --html=x", "files --html="),
            ("rush --csv x --no-l", "--no-live"),
            ("rush -- --no-l", ""),
            ("rush --fail x --openm", "--openmetrics"),
            ("--csv ", "files "),
            ("--fail x ru", "run rush"),
            ("hops --no-l", ""),
            ("hops x", ""),
            ("hops host ", "files "),
            ("hops host one tw", "files "),
            ("hops -qm 3 host ", "files "),
            ("-r japan hops --ma", "--max"),
            ("hops@0.1.0 --ma", "--max"),
            ("nobody --ma", ""),
            ("--fail-on n", "never"),
            ("hops --fail-on n", "never"),
            ("plugin ins", "inspect"),
            ("plugin inspect --j", "--json"),
            ("plugin inspect ", "files "),
            ("plugin run --rec", "--record"),
            ("plugin run --record ", "files "),
            ("completions f", "fish"),
            ("help cu", "curl"),
            ("help jo", "jobs job"),
            ("jobs --la", "--last"),
            ("job ab", "abort"),
            ("key", "keys"),
            ("run key", ""),
            ("keys re", "revoke"),
            ("keys add --pub", "--publish"),
            ("keys add --js", "--json"),
            ("keys --js", "--json"),
            ("keys add --plugins ho", "hops"),
            ("keys add --plugins=curl,ho", "--plugins=curl,hops"),
            ("keys add --host x --adm", "--admin"),
            ("tenants set acme --plan-u", "--plan-until"),
            ("login --token-file ", "files "),
        ] {
            assert_eq!(show(line), wanted, "blitz {line}");
        }
    }

    #[test]
    fn the_gateway_of_the_line_is_asked() {
        for (line, wanted) in [
            ("curl --host http://h:1 x", Some("http://h:1")),
            ("--host=http://h:2 cu", Some("http://h:2")),
            ("curl --host ", None),
            ("curl x", None),
        ] {
            let typed: Vec<String> = line.split(' ').map(str::to_owned).collect();
            assert_eq!(host(&typed), wanted, "{line}");
        }
    }

    #[test]
    fn a_name_can_always_be_typed() {
        assert!(!is_plugin_name(super::super::COMMAND), "no plugin is hidden by it");
    }
}
