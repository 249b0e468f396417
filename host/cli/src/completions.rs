//! `blitz completions SHELL`: the commands, the global flags, and the built-in plugins with their options.

use blitz_contract::{Argument, ArgumentKind, Manifest};
use clap::builder::Resettable;
use clap::{Arg, ArgAction, Command, CommandFactory as _, ValueHint};
use clap_complete::Shell;

use crate::built_in;
use crate::commands::Cli;
use crate::exit_code::ExitCode;
use crate::help::value_word;
use crate::run::print;

/// Prints the script.
pub(crate) fn run(shell: Shell) -> ExitCode {
    print(&script(shell))
}

fn script(shell: Shell) -> String {
    let mut command = Cli::command();
    let globals: Vec<Arg> = command.get_arguments().cloned().collect();
    for manifest in built_in::manifests() {
        command = command.subcommand(of_plugin(&manifest, &globals));
    }
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, "blitz", &mut script);
    String::from_utf8_lossy(&script).into_owned()
}

/// A plugin's command line as clap knows it, with the globals that the plugin does not use itself.
fn of_plugin(manifest: &Manifest, globals: &[Arg]) -> Command {
    let own = manifest.arguments.iter().enumerate().map(|(at, argument)| of_argument(at, argument));
    let is_free = |global: &&Arg| {
        !manifest.arguments.iter().any(|a| Some(a.name.as_str()) == global.get_long())
    };
    // What a global excludes may be one that is not free, and clap insists that it is there.
    let alone = |global: &Arg| global.clone().conflicts_with(Resettable::Reset);
    Command::new(manifest.name.clone())
        .about(manifest.summary.clone())
        .disable_help_flag(true)
        .args(own)
        .args(globals.iter().filter(is_free).map(alone))
}

fn of_argument(at: usize, argument: &Argument) -> Arg {
    let mut arg = Arg::new(format!("plugin-{at}")).help(argument.help.clone());
    if !argument.positional {
        arg = arg.long(argument.name.clone());
        if let Some(short) = argument.short {
            arg = arg.short(short);
        }
    }
    arg = match argument.kind {
        ArgumentKind::Flag => return arg.action(ArgAction::SetTrue),
        ArgumentKind::InputFile | ArgumentKind::OutputFile => arg.value_hint(ValueHint::FilePath),
        ArgumentKind::Url => arg.value_hint(ValueHint::Url),
        ArgumentKind::Host => arg.value_hint(ValueHint::Hostname),
        _ => arg.value_hint(ValueHint::Other),
    };
    let action = if argument.repeated { ArgAction::Append } else { ArgAction::Set };
    arg.action(action).value_name(value_word(argument).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_know_commands_flags_and_plugins() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            let script = script(shell);
            for word in ["regions", "queue-timeout", "curl", "max-time"] {
                assert!(script.contains(word), "the script for {shell} knows {word}");
            }
        }
    }
}
