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
    shown
        .filter_map(|arg| {
            Some(Candidate {
                word: format!("--{}", arg.get_long()?),
                meaning: arg.get_help().map(ToString::to_string).unwrap_or_default(),
            })
        })
        .collect()
}

/// A command of ours: its own commands, options and values.
pub(super) async fn of_command(
    command: &Command,
    rest: &[String],
    current: &str,
    world: &mut World<'_>,
) -> Place {
    let mut command = command;
    let mut positions = 0;
    let mut value_of: Option<&Arg> = None;
    for word in rest {
        if value_of.take().is_some() {
            continue;
        }
        if word.starts_with('-') {
            value_of = option_of(command, word)
                .filter(|arg| arg.get_action().takes_values() && !word.contains('='));
        } else if let Some(inner) = command.find_subcommand(word) {
            command = inner;
            positions = 0;
        } else {
            positions += 1;
        }
    }
    if let Some(arg) = value_of {
        return of_clap(arg, "");
    }
    if let Some((head, _)) = current.split_once('=').filter(|_| current.starts_with("--")) {
        return option_of(command, head)
            .map_or_else(Place::none, |arg| of_clap(arg, &format!("{head}=")));
    }
    if current.starts_with('-') {
        return Place::Words(long_options(command));
    }
    let mut words = if positions == 0 { commands(command) } else { Vec::new() };
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

fn option_of<'a>(command: &'a Command, word: &str) -> Option<&'a Arg> {
    let name = word.split('=').next().unwrap_or(word);
    command.get_arguments().find(|arg| {
        let is_long = arg.get_long().is_some_and(|long| name.strip_prefix("--") == Some(long));
        let is_short =
            arg.get_short().is_some_and(|short| name.strip_prefix('-') == Some(&short.to_string()));
        is_long || is_short
    })
}
