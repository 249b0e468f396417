//! A plugin's command line, from its manifest.

use blitz_contract::{Argument, ArgumentKind, Manifest};
use clap::Command;

use super::command::long_options;
use super::{Candidate, Place, global, global_value, inline_value, of_load};
use crate::complete::world::World;
use crate::load;
use crate::words::GlobalFlag;

/// A plugin's command line.
pub(super) async fn of_plugin(
    manifest: &Manifest,
    cli: &Command,
    flags: &[GlobalFlag],
    rest: &[String],
    current: &str,
    world: &mut World<'_>,
) -> Place {
    let ours = if load::is_load(manifest) { load::options::flags() } else { Vec::new() };
    let mut is_behind_dashes = false;
    let mut is_all_positional = false;
    let mut positions = 0;
    let mut value_of: Option<&Argument> = None;
    let mut words = rest.iter().peekable();
    while let Some(word) = words.next() {
        if value_of.take().is_some() {
            continue;
        }
        if is_all_positional {
            positions += 1;
        } else if word == "--" {
            // The first is ours, the second the plugin's.
            is_all_positional = is_behind_dashes;
            is_behind_dashes = true;
        } else if let Some((flag, needs_value)) = global(word, flags).filter(|_| !is_behind_dashes)
        {
            if needs_value && words.next().is_none() {
                return global_value(cli, flag, "", current, world).await;
            }
        } else if let Some((flag, needs_value)) = global(word, &ours).filter(|_| !is_behind_dashes)
        {
            if needs_value && words.next().is_none() {
                return of_load(flag, "");
            }
        } else if word.starts_with('-') && word.len() > 1 {
            value_of = waits_for_value(manifest, word);
        } else {
            positions += 1;
        }
    }
    if let Some(argument) = value_of {
        return of_argument(argument, "", current);
    }
    if let Some((flag, prefix)) = inline_value(current, &ours).filter(|_| !is_behind_dashes) {
        return of_load(flag, prefix);
    }
    if let Some((head, _)) = current.split_once('=')
        && let Some(argument) = head.strip_prefix("--").and_then(|name| option(manifest, name))
    {
        return of_argument(argument, &format!("{head}="), current);
    }
    if current.starts_with('-') && !is_all_positional {
        return Place::Words(options(manifest, cli, is_behind_dashes));
    }
    let mut declared = manifest.arguments.iter().filter(|argument| argument.positional);
    let at_last = |argument: &&Argument| argument.repeated;
    let argument = declared.clone().nth(positions).or_else(|| declared.rfind(at_last));
    argument.map_or_else(Place::none, |argument| of_argument(argument, "", current))
}

fn option<'a>(manifest: &'a Manifest, name: &str) -> Option<&'a Argument> {
    let (own, key) = name.split_once(':').map_or((name, None), |(own, key)| (own, Some(key)));
    manifest.arguments.iter().find(|a| !a.positional && a.name == own && (a.named || key.is_none()))
}

/// The option at the end of a word whose value is the next one.
fn waits_for_value<'a>(manifest: &'a Manifest, word: &str) -> Option<&'a Argument> {
    let takes_value = |argument: &&Argument| argument.kind != ArgumentKind::Flag;
    if let Some(name) = word.strip_prefix("--") {
        return option(manifest, name).filter(takes_value);
    }
    let mut letters = word.strip_prefix('-')?.chars();
    while let Some(letter) = letters.next() {
        let argument = manifest.arguments.iter().find(|a| a.short == Some(letter))?;
        if argument.named {
            return letters.as_str().starts_with(':').then_some(argument);
        }
        if takes_value(&argument) {
            return letters.as_str().is_empty().then_some(argument);
        }
    }
    None
}

/// The plugin's options, and ours that it does not have itself.
fn options(manifest: &Manifest, cli: &Command, is_behind_dashes: bool) -> Vec<Candidate> {
    let own = manifest.arguments.iter().filter(|argument| !argument.positional);
    let own = own.map(|argument| {
        let colon = if argument.named { ":" } else { "" };
        Candidate::new(&format!("--{}{colon}", argument.name), &argument.help)
    });
    let mut words: Vec<Candidate> = own.collect();
    if !is_behind_dashes {
        let load = load::is_load(manifest).then(load::options::command);
        let load = load.iter().flat_map(long_options);
        for global in long_options(cli).into_iter().chain(load) {
            if !words.iter().any(|word| word.word == global.word) {
                words.push(global);
            }
        }
    }
    words
}

/// The values of a plugin's argument.
fn of_argument(argument: &Argument, prefix: &str, current: &str) -> Place {
    if !argument.choices.is_empty() {
        let choices = argument.choices.iter();
        return Place::Words(
            choices.map(|choice| Candidate::bare(format!("{prefix}{choice}"))).collect(),
        );
    }
    let value = current.strip_prefix(prefix).unwrap_or_default();
    match argument.kind {
        ArgumentKind::InputFile | ArgumentKind::OutputFile => {
            Place::Files { prefix: prefix.to_owned() }
        }
        ArgumentKind::TextOrInputFile if value.starts_with('@') => {
            Place::Files { prefix: format!("{prefix}@") }
        }
        ArgumentKind::Form => match value.find("=@").or_else(|| value.find("=<")) {
            Some(at) => Place::Files { prefix: format!("{prefix}{}", &value[..at + 2]) },
            None => Place::none(),
        },
        _ => Place::none(),
    }
}
