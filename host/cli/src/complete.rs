//! `blitz __complete`, which the scripts of `blitz completions` ask: what may stand where the cursor is.
//!
//! It asks the gateway, for at most [`ASK_MAX`]; what that does not give comes from the manifests that earlier
//! commands have met, then from the plugins of this binary. So a plugin that was published a minute ago is completed
//! like a command of our own. Nothing is ever said of an error: the cursor stands in somebody's shell.
//!
//! `line` splits what was typed, `place` says what is wanted there, `world` knows the names, `files` those of the disk.
//!
//! The answer is lines: `words` or `files`, then one candidate each, with its meaning behind a tab.

mod files;
mod line;
mod place;
mod world;

use std::io::Write as _;
use std::time::Duration;

use crate::environment::Environment;
use crate::exit_code::ExitCode;
use place::{Candidate, Place};
use world::World;

/// The word that asks. A plugin cannot have this name.
pub(crate) const COMMAND: &str = "__complete";

/// How long the gateway may take altogether: longer, and a person notices.
const ASK_MAX: Duration = Duration::from_millis(300);

/// Candidates that are given.
const CANDIDATES_MAX: usize = 1000;

/// `bash LINE PIECE`, or `zsh|fish -- WORD..` with the word at the cursor as the last one.
pub(crate) fn run(words: &[String], environment: &Environment) -> ExitCode {
    let (typed, piece) = match words {
        [shell, line, piece] if shell == "bash" => {
            (line::split(line).into_iter().skip(1).collect(), Some(piece.as_str()))
        }
        [_, dashes, typed @ ..] if dashes == "--" => (typed.to_vec(), None),
        _ => return ExitCode::USAGE,
    };
    let Some(answer) = answer(&typed, piece, environment) else { return ExitCode::FAILURE };
    let _unheard = std::io::stdout().lock().write_all(answer.as_bytes());
    ExitCode::SUCCESS
}

fn answer(typed: &[String], piece: Option<&str>, environment: &Environment) -> Option<String> {
    let current = typed.last().map_or("", String::as_str);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().ok()?;
    let place = runtime.block_on(async {
        let mut world = World::new(environment, place::host(typed), ASK_MAX);
        Place::find(typed, &mut world).await
    });
    let (kind, candidates) = match place {
        Place::Words(candidates) => ("words", candidates),
        Place::Files { prefix } => ("files", files::starting_with(&prefix, current)),
    };
    let mut answer = format!("{kind}\n");
    let fitting = candidates.into_iter().filter(|c| c.word.starts_with(current));
    for Candidate { word, meaning } in fitting.take(CANDIDATES_MAX) {
        let word = trimmed(&word, current, piece);
        // Both may come from a manifest: a line must stay one, and a terminal what it is.
        let clean = |text: &str| text.chars().filter(|c| !c.is_control()).collect::<String>();
        match meaning.is_empty() {
            true => answer.push_str(&format!("{}\n", clean(word))),
            false => answer.push_str(&format!("{}\t{}\n", clean(word), clean(&meaning))),
        }
    }
    Some(answer)
}

/// Bash splits words also at `=`, `:` and `@`, and replaces only the last piece: what stands before it goes.
fn trimmed<'a>(word: &'a str, current: &str, piece: Option<&str>) -> &'a str {
    let piece = match piece {
        None => return word,
        Some("=" | ":" | "@") => "",
        Some(piece) => piece,
    };
    match current.strip_suffix(piece) {
        Some(before) => word.strip_prefix(before).unwrap_or(word),
        None => word,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bash_gets_the_piece_that_it_replaces() {
        for (word, current, piece, wanted) in [
            ("--region=japan", "--region=ja", Some("ja"), "japan"),
            ("--region=japan", "--region=", Some("="), "japan"),
            ("hops@0.1.0", "hops@0", Some("0"), "0.1.0"),
            ("--region", "--re", Some("--re"), "--region"),
            ("--region=japan", "--region=ja", None, "--region=japan"),
        ] {
            assert_eq!(trimmed(word, current, piece), wanted, "{word} {current}");
        }
    }
}
