//! The command `explore`: its words, its output and its exit code.

use std::io::{self, Write};
use std::time::Instant;

use blitz_jobs::guards::{Guard, Guards};

use super::config::{self, Config};
use super::prove::{hidden, prove};
use super::search::{Found, search};
use super::table::Table;
use super::{Invariant, words};

const USAGE: &str = "\
Tries every order of events of a few engines, a keeper and one job, and checks what must hold in each state.

usage: explore [--mutant NAME[,NAME]] [--only TEXT] [--states N]
       explore --prove-mutants [--states N]
       explore --list-mutants | --list | --help

  --mutant NAME    switches a safety rule off, to show that its absence is found
  --only TEXT      only the worlds whose name contains the text
  --states N       at most N states of each world, nearest first, instead of the world's own bound
  --prove-mutants  switches each safety rule off in turn, and says in which world its absence is found
  --list-mutants   the safety rules, and why the absence of some cannot be found here
  --list           the worlds and their bounds
  --help           this text

exit code: 0 nothing found, and the worlds that are to be explored to the end were; 1 an invariant is broken, or
with --prove-mutants the absence of a rule that can show was not found; 2 wrong usage, or a world that is to be
explored to the end was not
";

/// What was asked for.
#[derive(Debug, PartialEq, Eq)]
enum Asked {
    Help,
    Mutants,
    Worlds,
    Prove { states: Option<usize> },
    Explore { guards: Guards, mutants: Vec<Guard>, only: String, states: Option<usize> },
}

/// Runs the command, and returns its exit code. `words` are its arguments without its name.
///
/// # Errors
///
/// Of the output.
pub fn run(words: impl Iterator<Item = String>, out: &mut impl Write) -> io::Result<u8> {
    match parse(words) {
        Err(wrong) => {
            writeln!(out, "explore: {wrong}\n\n{USAGE}")?;
            Ok(2)
        }
        Ok(Asked::Help) => {
            write!(out, "{USAGE}")?;
            Ok(0)
        }
        Ok(Asked::Mutants) => {
            for guard in Guard::ALL {
                writeln!(out, "{:<22} {}", guard.name(), guard.rule())?;
                if let Some(reason) = hidden(*guard) {
                    writeln!(out, "{:<22} It cannot show here: {reason}.", "")?;
                }
            }
            Ok(0)
        }
        Ok(Asked::Prove { states }) => prove(states, out),
        Ok(Asked::Worlds) => {
            for config in config::all(Guards::default()) {
                writeln!(out, "{}: {}", config.name, bounds(&config))?;
            }
            Ok(0)
        }
        Ok(Asked::Explore { guards, mutants, only, states }) => {
            let mut configs = config::all(guards);
            configs.retain(|config| config.name.contains(&only));
            if configs.is_empty() {
                writeln!(out, "explore: no world's name contains {only:?}; --list names them")?;
                return Ok(2);
            }
            for config in &mut configs {
                config.bounds.states = states.unwrap_or(config.bounds.states);
            }
            explore(&configs, &mutants, out)
        }
    }
}

fn parse(mut words: impl Iterator<Item = String>) -> Result<Asked, String> {
    let (mut guards, mut mutants) = (Guards::default(), Vec::new());
    let (mut only, mut states, mut proves) = (String::new(), None, false);
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or(format!("{word} needs a value"));
        match word.as_str() {
            "--help" | "-h" => return Ok(Asked::Help),
            "--list-mutants" => return Ok(Asked::Mutants),
            "--list" => return Ok(Asked::Worlds),
            "--mutant" => {
                for name in value()?.split(',') {
                    let guard: Guard =
                        name.parse().map_err(|e| format!("{e}; --list-mutants names them"))?;
                    guards = guards.without(guard);
                    mutants.push(guard);
                }
            }
            "--prove-mutants" => proves = true,
            "--only" => only = value()?,
            "--states" => {
                let text = value()?;
                let number =
                    text.parse().map_err(|_| format!("{text:?} is no number of states"))?;
                states = Some(number);
            }
            _ => return Err(format!("unknown word {word:?}")),
        }
    }
    if proves {
        return Ok(Asked::Prove { states });
    }
    Ok(Asked::Explore { guards, mutants, only, states })
}

fn explore(configs: &[Config], mutants: &[Guard], out: &mut impl Write) -> io::Result<u8> {
    let names: Vec<&str> = Invariant::ALL.iter().map(|invariant| invariant.name()).collect();
    writeln!(out, "invariants: {}", names.join(", "))?;
    for guard in mutants {
        writeln!(out, "switched off: {guard}: {}", guard.rule())?;
    }
    let (mut states, mut transitions, mut partial, mut broken, mut unmet) = (0, 0, 0, 0, 0);
    for config in configs {
        writeln!(out, "\n{}: {}", config.name, bounds(config))?;
        out.flush()?;
        let began = Instant::now();
        let copies = u32::try_from(config.copies).unwrap_or(u32::MAX);
        let mut table = Table::new(copies, config.retry, config.guards);
        let found = search(config, &mut table);
        states += found.states;
        transitions += found.transitions;
        let is_partial = found.is_partial || found.cut > 0;
        partial += usize::from(is_partial);
        unmet += usize::from(is_partial && config.is_whole);
        broken += usize::from(found.broken.is_some());
        report(config, &table, &found, began, out)?;
    }
    writeln!(
        out,
        "\ntotal: {} worlds, {states} states, {transitions} transitions; {broken} with a broken invariant, \
         {partial} not complete, {unmet} of them are to be",
        configs.len()
    )?;
    Ok(match (broken, unmet) {
        (0, 0) => 0,
        (0, _) => 2,
        _ => 1,
    })
}

fn report(
    config: &Config,
    table: &Table,
    found: &Found,
    began: Instant,
    out: &mut impl Write,
) -> io::Result<()> {
    let Found { states, transitions, depth, ends, cut, .. } = found;
    writeln!(
        out,
        "  {states} states, {transitions} transitions, depth {depth}, {ends} ends, {:.1} s",
        began.elapsed().as_secs_f64()
    )?;
    if found.is_partial {
        writeln!(
            out,
            "  NOT COMPLETE: stopped at {} states; every order of {} events was tried, and end-is-reached was not \
             checked",
            config.bounds.states, found.whole_depth
        )?;
    }
    if *cut > 0 {
        writeln!(out, "  NOT COMPLETE: {cut} transitions led to more than a copy can hold here")?;
    }
    match &found.broken {
        None if found.is_partial || *cut > 0 => {
            writeln!(out, "  every invariant holds in what was explored")
        }
        None if !config.watches => {
            writeln!(
                out,
                "  COMPLETE; every invariant holds, of which end-is-reached needs watchers"
            )
        }
        None => writeln!(out, "  COMPLETE; every invariant holds"),
        Some((invariant, trace)) => {
            writeln!(out, "  BROKEN: {invariant}, after {} events:", trace.len())?;
            write!(out, "{}", words::trace(config, table, trace))
        }
    }
}

fn bounds(config: &Config) -> String {
    let Config { copies, engines, cancels, bounds, .. } = config;
    let leases = if config.leases { ", leases may run out" } else { "" };
    let expires = if config.expires { ", the job may expire" } else { "" };
    let cancels = if *cancels { ", the user may cancel" } else { "" };
    let tries = match bounds.tries {
        0 => String::new(),
        tries => format!(", claims of each engine {tries}"),
    };
    let watchers = match (config.watches, config.patient) {
        (false, _) => "no keeper, no",
        (true, true) => "1 keeper, patient",
        (true, false) => "1 keeper, hasty",
    };
    format!(
        "{engines} engines, {watchers} watchers, 1 job, copies {copies}{leases}{expires}{cancels}; at most: attempts {}, \
         losses {}, crashes {}, outages of a copy {}{tries}",
        bounds.attempts, bounds.losses, bounds.crashes, bounds.outages
    )
}
