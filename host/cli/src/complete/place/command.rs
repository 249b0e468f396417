//! The command line of a command of ours, as clap knows it.

use clap::{Arg, Command, CommandFactory as _, ValueHint};

use super::{Candidate, Place};
use crate::commands::Cli;
use crate::complete::world::World;

/// The values of an argument of ours.
pub(super) fn of_clap(arg: &Arg, prefix: &str) -> Place {
    match arg.get_value_hint() {
        ValueHint::AnyPath | ValueHint::FilePath | ValueHint::DirPath => {
            Place::Files { prefix: prefix.to_owned() }
        }
        _ => {
            let values = arg.get_possible_values();
            let shown = values.iter().filter(|value| !value.is_hide_set());
            Place::Words(
                shown
                    .map(|value| Candidate {
                        word: format!("{prefix}{}", value.get_name()),
                        meaning: value.get_help().map(ToString::to_string).unwrap_or_default(),
                    })
                    .collect(),
            )
        }
    }
}

pub(super) fn commands(command: &Command) -> Vec<Candidate> {
    let shown = command.get_subcommands().filter(|command| !command.is_hide_set());
    shown.map(Candidate::of_command).collect()
}

pub(super) fn long_options(command: &Command) -> Vec<Candidate> {
    let shown = command.get_arguments().filter(|arg| !arg.is_hide_set());
    shown.filter_map(long_option).collect()
}

fn long_option(arg: &Arg) -> Option<Candidate> {
    Some(Candidate {
        word: format!("--{}", arg.get_long()?),
        meaning: arg.get_help().map(ToString::to_string).unwrap_or_default(),
    })
}

/// A command of ours: its own commands, options and values.
pub(super) async fn of_command(
    command: &Command,
    rest: &[String],
    current: &str,
    world: &mut World<'_>,
) -> Place {
    let mut command = command;
    // What one of `remove`, `set` or `list` is about, and the options that stand behind it too.
    let mut outer = "";
    let mut inherited: Vec<&Arg> = Vec::new();
    let mut positions = 0;
    let mut value_of: Option<&Arg> = None;
    for word in rest {
        if value_of.take().is_some() {
            continue;
        }
        if word.starts_with('-') {
            value_of = option_of(command, &inherited, word)
                .filter(|arg| arg.get_action().takes_values() && !word.contains('='));
        } else if let Some(inner) = command.find_subcommand(word) {
            outer = command.get_name();
            inherited.extend(command.get_arguments().filter(|arg| arg.is_global_set()));
            command = inner;
            positions = 0;
        } else {
            positions += 1;
        }
    }
    if let Some(arg) = value_of {
        return of_value(arg, "", current, world).await;
    }
    if let Some((head, _)) = current.split_once('=').filter(|_| current.starts_with("--")) {
        return match option_of(command, &inherited, head) {
            Some(arg) => of_value(arg, &format!("{head}="), current, world).await,
            None => Place::none(),
        };
    }
    if current.starts_with('-') {
        let mut words = long_options(command);
        words.extend(inherited.into_iter().filter_map(long_option));
        return Place::Words(words);
    }
    let mut words = if positions == 0 { commands(command) } else { Vec::new() };
    if let Some((list, field)) = named(outer, command.get_name()).filter(|_| positions == 0) {
        return Place::Words(world.named(list, field).await);
    }
    match (command.get_name(), positions) {
        ("job" | "abort", 0) => words.extend(world.jobs().await),
        ("help", 0) => {
            words.extend(commands(&Cli::command()));
            words.extend(world.plugins(current.contains('@')).await);
        }
        ("yank", 0) => words.extend(world.yankable().await),
        ("promote", 0) => words.extend(world.plugins(true).await),
        _ => {
            let of_position = command.get_positionals().nth(positions);
            let last = command.get_positionals().last();
            if let Some(arg) = of_position.or(last).filter(|_| words.is_empty()) {
                return of_clap(arg, "");
            }
        }
    }
    Place::Words(words)
}

/// The list of the gateway, and the field of it, that the first word behind a command is one of.
fn named(outer: &str, name: &str) -> Option<(&'static str, &'static str)> {
    Some(match (outer, name) {
        ("tenants", "set" | "remove") => ("tenants", "name"),
        ("plans", "set" | "remove") => ("plans", "name"),
        ("keys", "revoke") => ("keys", "id"),
        ("targets", "verify" | "remove") => ("targets", "host"),
        _ => return None,
    })
}

/// The values of an option: names that the gateway knows, or what clap knows.
async fn of_value(arg: &Arg, prefix: &str, current: &str, world: &mut World<'_>) -> Place {
    let words = match arg.get_long() {
        Some("tenant") => world.named("tenants", "name").await,
        Some("plan" | "then") => world.named("plans", "name").await,
        Some("plugins") => world.plugins(false).await,
        Some("regions") => world.named("regions", "name").await,
        _ => return of_clap(arg, prefix),
    };
    // Lists go on behind the last comma.
    let value = current.strip_prefix(prefix).unwrap_or_default();
    let head = value.rfind(',').map_or("", |at| &value[..=at]);
    let whole = |candidate: Candidate| Candidate {
        word: format!("{prefix}{head}{}", candidate.word),
        ..candidate
    };
    Place::Words(words.into_iter().map(whole).collect())
}

fn option_of<'a>(command: &'a Command, inherited: &[&'a Arg], word: &str) -> Option<&'a Arg> {
    let name = word.split('=').next().unwrap_or(word);
    command.get_arguments().chain(inherited.iter().copied()).find(|arg| {
        let is_long = arg.get_long().is_some_and(|long| name.strip_prefix("--") == Some(long));
        let is_short =
            arg.get_short().is_some_and(|short| name.strip_prefix('-') == Some(&short.to_string()));
        is_long || is_short
    })
}
