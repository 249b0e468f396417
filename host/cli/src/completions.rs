//! `blitz completions SHELL`: a script for the shell, which asks `blitz __complete` at each key and knows nothing
//! itself. So it never grows old.

use clap_complete::Shell;

use crate::exit_code::ExitCode;
use crate::run::print;

/// Prints the script.
pub(crate) fn run(shell: Shell) -> ExitCode {
    print(script(shell))
}

fn script(shell: Shell) -> &'static str {
    match shell {
        Shell::Zsh => include_str!("completions/blitz.zsh"),
        Shell::Fish => include_str!("completions/blitz.fish"),
        // The parser of the command line takes these three.
        _ => include_str!("completions/blitz.bash"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::complete;

    #[test]
    fn every_script_asks_the_binary() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            assert!(script(shell).contains(complete::COMMAND), "the script for {shell}");
        }
    }
}
