//! The nearest states of every world, and the mutants that they show.

use blitz_contract::Retry;
use blitz_jobs::guards::{Guard, Guards};

use super::command;
use super::config::{Bounds, Config, all};
use super::search::search;
use super::table::Table;
use super::verdict::Invariant;

/// So many states of each world are quick without optimisation, too.
const STATES: usize = 2_000;

fn broken(config: &Config) -> Option<(Invariant, usize)> {
    let copies = u32::try_from(config.copies).unwrap();
    let mut table = Table::new(copies, config.retry, config.guards);
    let found = search(config, &mut table);
    found.broken.map(|(invariant, trace)| (invariant, trace.len()))
}

fn near(guards: Guards) -> Vec<Config> {
    let mut configs = all(guards);
    for config in &mut configs {
        config.bounds.states = STATES;
    }
    configs
}

#[test]
fn nothing_is_broken_nearby() {
    for config in near(Guards::default()) {
        assert_eq!(broken(&config), None, "{}", config.name);
    }
}

#[test]
fn one_copy_and_one_engine_are_explored_to_the_end() {
    for (retry, patient) in [(Retry::Safe, true), (Retry::Never, false)] {
        let world = all(Guards::default()).swap_remove(0);
        let bounds =
            Bounds { attempts: 2, tries: 0, losses: 1, crashes: 0, outages: 0, states: 50_000 };
        let config = Config { engines: 1, retry, patient, bounds, ..world };
        let mut table = Table::new(1, retry, config.guards);
        let found = search(&config, &mut table);
        assert!(!found.is_partial && found.cut == 0, "{found:?}");
        assert!(found.ends > 4 && found.broken.is_none(), "{found:?}");
    }
}

#[test]
fn mutants_are_found_nearby() {
    for (guard, invariant, events) in [
        (Guard::AllCopies, Invariant::WonIsResolved, 6),
        (Guard::DecideByReading, Invariant::WonIsResolved, 8),
    ] {
        let found = near(Guards::default().without(guard))
            .iter()
            .filter(|config| config.copies == 3)
            .find_map(broken);
        assert_eq!(found, Some((invariant, events)), "without {guard}");
    }
}

#[test]
fn the_command_says_how_it_is_used() {
    let run = |words: &[&str]| {
        let mut out = Vec::new();
        let words = words.iter().map(ToString::to_string);
        let code = command::run(words, &mut out).unwrap();
        (code, String::from_utf8(out).unwrap())
    };
    for (words, code, says) in [
        (&["--help"][..], 0, "usage: explore"),
        (&["--list-mutants"], 0, "fence-once"),
        (&["--list"], 0, "one copy, must not run twice"),
        (&["--states", "many"], 2, "\"many\" is no number"),
        (&["--states"], 2, "--states needs a value"),
        (&["--mutant", "nope"], 2, "\"nope\" is no guard"),
        (&["--only", "nowhere"], 2, "no world's name contains"),
        (&["--only", "one copy, must", "--states", "500"], 2, "NOT COMPLETE"),
        (&["--mutant", "all-copies", "--only", "three", "--states", "2000"], 1, "BROKEN: won-is"),
    ] {
        let (found, text) = run(words);
        assert_eq!(found, code, "{words:?}: {text}");
        assert!(text.contains(says), "{words:?}: {text}");
    }
}
