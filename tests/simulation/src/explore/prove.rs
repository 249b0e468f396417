//! Every rule is switched off in turn, to show that its absence is found.

use std::collections::HashMap;
use std::io::{self, Write};

use blitz_jobs::guards::{Guard, Guards};

use super::Invariant;
use super::config::{self, Config};
use super::search::search;
use super::table::Table;

/// So many states of a world without a rule, nearest first: what shows, shows near.
const STATES_MAX: usize = 700_000;

/// These of every world come first, since most shows there: half a second each.
const STATES_NEAR: usize = 50_000;

/// Why the absence of a rule cannot show here; `None` where it must.
pub(super) fn hidden(guard: Guard) -> Option<&'static str> {
    match guard {
        Guard::ReadFirst => Some(
            "a claim over what is there is decided by all copies all the same; an end that is written unread beside \
             another needs two engines that run at once, and losses beyond what can be tried here",
        ),
        Guard::UnknownIsRead => Some(
            "a claim that was taken for lost is found by its next try, and an end that was taken for lost is found \
             stored, or the job runs again: a waste, and no invariant is about it",
        ),
        Guard::YieldLeaf => Some(
            "a leaf that lost and stays makes no difference to which one counts; the keeper removes it",
        ),
        Guard::StopWhenFenced => Some(
            "it ends what may go on until then: watchers that are patient take nothing from an engine that has the \
             right to go on, and for those that are hasty no invariant says how long two may run",
        ),
        Guard::LeaseFromSending => Some("time is left out: a lease has run out, or it has not"),
        Guard::AnsweredPolls | Guard::BeatPerClaim => Some(
            "polls and beats are left out: patient watchers are right, and hasty ones say anything",
        ),
        Guard::SurvivorsLive => {
            Some("it is a rule of the watcher, which is left out: who came back is anybody's guess")
        }
        Guard::DeathsAreSure => Some(
            "so is this one: watchers say of who fell silent that he is dead whenever they like",
        ),
        Guard::NeighbourRegion => Some("there is one region, and one job in it"),
        Guard::LaterEpoch
        | Guard::EarlierEpochNever
        | Guard::SettleFirst
        | Guard::ProvisionalSafeOnly => Some("the region's home does not move"),
        Guard::IdentityVoids => Some("no database is replaced by another"),
        _ => None,
    }
}

/// Looks for each rule's absence in every world, and says where it shows. Returns the exit code.
///
/// # Errors
///
/// Of the output.
pub(super) fn prove(states: Option<usize>, out: &mut impl Write) -> io::Result<u8> {
    let states = states.unwrap_or(STATES_MAX);
    let mut missed = 0;
    let mut clean = HashMap::new();
    for guard in Guard::ALL {
        let name = guard.name();
        if let Some(reason) = hidden(*guard) {
            writeln!(out, "{name:<22} cannot show: {reason}")?;
        } else if let Some((world, invariant, events)) = shows(*guard, states, &mut clean) {
            writeln!(out, "{name:<22} found: {invariant}, after {events} events: {world}")?;
        } else {
            missed += 1;
            writeln!(out, "{name:<22} NOT FOUND")?;
        }
        out.flush()?;
    }
    writeln!(out, "{missed} not found of those that can show")?;
    Ok(u8::from(missed > 0))
}

/// The first world that shows it. What the world shows with every rule on does not count.
fn shows(
    guard: Guard,
    states: usize,
    clean: &mut HashMap<(&'static str, usize), bool>,
) -> Option<(&'static str, Invariant, usize)> {
    for states in [states.min(STATES_NEAR), states] {
        let worlds = config::all(Guards::default().without(guard));
        for (world, sound) in worlds.into_iter().zip(config::all(Guards::default())) {
            let Some((invariant, events)) = broken(world, states) else { continue };
            let key = (sound.name, states);
            let is_clean = *clean.entry(key).or_insert_with(|| broken(sound, states).is_none());
            if is_clean {
                return Some((key.0, invariant, events));
            }
        }
    }
    None
}

fn broken(mut world: Config, states: usize) -> Option<(Invariant, usize)> {
    world.bounds.states = states;
    let copies = u32::try_from(world.copies).unwrap_or(u32::MAX);
    let mut table = Table::new(copies, world.retry, world.guards);
    let found = search(&world, &mut table);
    found.broken.map(|(invariant, trace)| (invariant, trace.len()))
}
