//! Breadth first through every state, so that the first violation that is found has a shortest trace; then backwards
//! from the ends, to find states from which none is reached.
//!
//! An own search and not `stateright`: its liveness properties hold for paths without cycles only, and here writes are
//! tried again; and it keeps whole states, where 16 bytes of each are enough.

use std::collections::hash_map::Entry;

use super::config::Config;
use super::event::Kind;
use super::hash::HashedMap;
use super::moves::{Moves, Next};
use super::state::State;
use super::table::Table;
use super::verdict::Invariant;

/// What was found in one world.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) states: usize,
    pub(super) transitions: usize,
    pub(super) depth: u32,
    /// Every order of so many events was tried.
    pub(super) whole_depth: u32,
    /// States in which the job is over.
    pub(super) ends: usize,
    /// Transitions that were left out because something did not fit.
    pub(super) cut: usize,
    /// The bound on states was reached.
    pub(super) is_partial: bool,
    pub(super) broken: Option<(Invariant, Vec<Next>)>,
}

/// A state that is known, by its number.
#[derive(Debug, Clone, Copy)]
struct Known {
    parent: u32,
    /// Which of its parent's successors it is.
    nth: u16,
    is_over: bool,
}

/// Explores a world. States are told apart by 128 bits of hash: among 40 million the chance that two of them
/// share it is below 1 in 10^23.
pub(super) fn search(config: &Config, table: &mut Table) -> Found {
    let mut seen: HashedMap<u32> = HashedMap::default();
    let mut known: Vec<Known> = Vec::new();
    // The transitions that can be counted on, for the way back from the ends.
    let mut duties: Vec<(u32, u32)> = Vec::new();
    let mut found = Found {
        states: 0,
        transitions: 0,
        depth: 0,
        whole_depth: 0,
        ends: 0,
        cut: 0,
        is_partial: false,
        broken: None,
    };
    let first = State::default();
    seen.insert(first.key(config.copies), 0);
    known.push(Known { parent: 0, nth: 0, is_over: false });
    let mut frontier = vec![(0_u32, first)];
    let mut out = Vec::new();
    while !frontier.is_empty() {
        let mut next_frontier = Vec::new();
        for (at, state) in frontier {
            out = successors(config, table, &state, out);
            for (nth, next) in (0_u16..).zip(&out) {
                if next.state.cut {
                    found.cut += 1;
                    continue;
                }
                found.transitions += 1;
                let count = u32::try_from(known.len()).unwrap_or(u32::MAX);
                let to = match seen.entry(next.key) {
                    Entry::Occupied(entry) => *entry.get(),
                    Entry::Vacant(_) if known.len() >= config.bounds.states => {
                        found.is_partial = true;
                        continue;
                    }
                    Entry::Vacant(entry) => {
                        let mut moves = Moves { table, config, out: Vec::new() };
                        let is_over = moves.is_over(&next.state);
                        found.ends += usize::from(is_over);
                        known.push(Known { parent: at, nth, is_over });
                        next_frontier.push((count, next.state));
                        *entry.insert(count)
                    }
                };
                if next.event.kind() == Kind::Duty && to != at {
                    duties.push((at, to));
                }
                if let Some(broken) = next.broken {
                    let mut trace = trace(config, table, &known, at);
                    trace.push(*next);
                    found.states = known.len();
                    found.broken = Some((broken, trace));
                    return found;
                }
            }
        }
        found.depth += u32::from(!next_frontier.is_empty());
        if !found.is_partial && found.cut == 0 {
            found.whole_depth = found.depth;
        }
        frontier = next_frontier;
    }
    found.states = known.len();
    drop(seen);
    // A search that stopped half way knows nothing of what it did not see.
    if config.watches
        && !found.is_partial
        && found.cut == 0
        && let Some(stuck) = stuck(&known, duties)
    {
        found.broken = Some((Invariant::EndIsReached, trace(config, table, &known, stuck)));
    }
    found
}

fn successors(config: &Config, table: &mut Table, state: &State, mut out: Vec<Next>) -> Vec<Next> {
    out.clear();
    let mut moves = Moves { table, config, out };
    moves.all(state);
    moves.out
}

/// The events that lead to a state.
fn trace(config: &Config, table: &mut Table, known: &[Known], to: u32) -> Vec<Next> {
    let mut path = Vec::new();
    let mut at = to;
    while at != 0 {
        let Known { parent, nth, .. } = known[index(at)];
        path.push(nth);
        at = parent;
    }
    let mut state = State::default();
    let mut trace = Vec::new();
    for nth in path.into_iter().rev() {
        let next = successors(config, table, &state, Vec::new())[usize::from(nth)];
        state = next.state;
        trace.push(next);
    }
    trace
}

/// The first state from which no end is reached by what can be counted on.
fn stuck(known: &[Known], duties: Vec<(u32, u32)>) -> Option<u32> {
    // For each state those before it: counted, placed, filled.
    let mut places = vec![0_u32; known.len() + 1];
    for (_, to) in &duties {
        places[index(*to) + 1] += 1;
    }
    for at in 1..places.len() {
        places[at] += places[at - 1];
    }
    let mut before = vec![0_u32; duties.len()];
    let mut filled = places.clone();
    for (from, to) in duties {
        let place = &mut filled[index(to)];
        before[index(*place)] = from;
        *place += 1;
    }
    let mut reaches: Vec<bool> = known.iter().map(|known| known.is_over).collect();
    let mut todo: Vec<u32> =
        (0_u32..).zip(&reaches).filter(|(_, is_over)| **is_over).map(|(at, _)| at).collect();
    while let Some(at) = todo.pop() {
        for from in &before[index(places[index(at)])..index(places[index(at) + 1])] {
            if !std::mem::replace(&mut reaches[index(*from)], true) {
                todo.push(*from);
            }
        }
    }
    (0_u32..).zip(&reaches).find(|(_, reaches)| !**reaches).map(|(at, _)| at)
}

fn index(at: u32) -> usize {
    usize::try_from(at).expect("an address has 32 bits or more")
}
