//! States of a world with one copy that differ in nothing but names are one state.
//!
//! With one copy no revision is ever compared with another, so that engines may change their names; and who writes over
//! what is not there any more is refused, whatever it was. So of a revision there is only its run, and its parent is
//! [`PAST`]; and of all namings of the engines that one counts whose state has the lowest fingerprint. With several
//! copies neither holds: there the hashes decide, and which copy has gone beyond what.

use blitz_jobs::{Claim, Incarnation, Run};

use super::few::Few;
use super::state::{Actor, ENGINES_MAX, Phase, Request, State};
use super::table::{Id, PAST, Table, holder_of, incarnation};
use super::told::Told;

/// Every order of engines: who gets which name. Of the first engines alone there are as many orders as their
/// factorial, and these come first.
const ORDERS: [[usize; ENGINES_MAX]; 6] =
    [[0, 1, 2], [1, 0, 2], [0, 2, 1], [1, 2, 0], [2, 0, 1], [2, 1, 0]];

/// What is known by its old number.
#[derive(Debug, Clone, Copy)]
enum Sort {
    Run,
    /// A revision that the copy has or had.
    Leaf,
    /// A revision that somebody wants to write.
    Target,
    Start,
}

/// The numbers of things after their engines were given other names.
#[derive(Debug, Default)]
pub(super) struct Renamed([[Vec<Id>; ORDERS.len()]; 4]);

impl Renamed {
    fn get(&self, sort: Sort, order: usize, id: Id) -> Option<Id> {
        let known = self.0[place(sort)][order].get(usize::from(id));
        known.copied().filter(|id| *id != 0)
    }

    fn set(&mut self, sort: Sort, order: usize, (id, renamed): (Id, Id)) {
        let known = &mut self.0[place(sort)][order];
        let id = usize::from(id);
        known.resize(known.len().max(id + 1), 0);
        known[id] = renamed;
    }
}

fn place(sort: Sort) -> usize {
    match sort {
        Sort::Run => 0,
        Sort::Leaf => 1,
        Sort::Target => 2,
        Sort::Start => 3,
    }
}

impl Table {
    /// The one among the states that are like this one, and its key.
    pub(super) fn alike(&mut self, state: &State, engines: usize) -> (State, u128) {
        let orders = match engines {
            1 => 1,
            2 => 2,
            _ => ORDERS.len(),
        };
        let all = (0..orders).map(|order| {
            let state = self.in_order(state, order);
            (state, state.key(1))
        });
        all.min_by_key(|(_, key)| *key).unwrap_or((*state, state.key(1)))
    }

    fn in_order(&mut self, state: &State, order: usize) -> State {
        let mut other = *state;
        let copy = &mut other.copies[0];
        copy.leaves = self.few(Sort::Leaf, order, copy.leaves);
        copy.starts = self.few(Sort::Start, order, copy.starts);
        copy.late = self.few(Sort::Target, order, copy.late);
        copy.late_starts = self.few(Sort::Start, order, copy.late_starts);
        other.announced = self.renamed(Sort::Leaf, order, state.announced);
        for (at, name) in ORDERS[order].into_iter().enumerate() {
            other.copies[0].replies[name] = state.copies[0].replies[at];
            other.actors[name] = self.actor(state.actors[at], order);
        }
        other
    }

    fn actor(&mut self, mut actor: Actor, order: usize) -> Actor {
        actor.run = self.renamed(Sort::Run, order, actor.run);
        actor.hold = self.renamed(Sort::Leaf, order, actor.hold);
        // Whose request is under way has asked once, and has heard nothing yet.
        let told = match actor.request {
            Request::None => return actor,
            Request::Write { target, .. } => {
                let target = self.renamed(Sort::Target, order, target);
                self.begin(self.parent(target), self.run_id_of(target))
            }
            Request::Start { .. } => self.fence(actor.hold),
        };
        match told {
            Told::Put { machine, target, quorum } => {
                (actor.machine, actor.request) = (machine, Request::Write { target, quorum });
            }
            Told::Create { machine, start } if actor.phase == Phase::Fencing => {
                (actor.machine, actor.request) = (machine, Request::Start { start });
            }
            // With one copy nobody looks before he writes.
            _ => {}
        }
        actor
    }

    fn few(&mut self, sort: Sort, order: usize, few: Few) -> Few {
        let mut other = Few::default();
        for id in few.iter() {
            // As many as there were have room.
            let _ = other.put(self.renamed(sort, order, id));
        }
        other
    }

    fn renamed(&mut self, sort: Sort, order: usize, id: Id) -> Id {
        if id == 0 || (id == PAST && matches!(sort, Sort::Leaf)) {
            return id;
        }
        if let Some(known) = self.renamed.get(sort, order, id) {
            return known;
        }
        let renamed = match sort {
            Sort::Run => {
                let mut run = self.run(id).clone();
                if let Some(claim) = claim_mut(&mut run) {
                    rename_claim(claim, order);
                }
                self.number_of_run(run)
            }
            Sort::Leaf => {
                let run = self.renamed(Sort::Run, order, self.run_id_of(id));
                self.child(PAST, run)
            }
            Sort::Target => {
                let run = self.renamed(Sort::Run, order, self.run_id_of(id));
                let parent = self.renamed(Sort::Leaf, order, self.parent(id));
                self.child(parent, run)
            }
            Sort::Start => {
                let mut start = self.start(id).clone();
                rename(&mut start.engine, &mut start.incarnation, order);
                self.number_of_start(start)
            }
        };
        self.renamed.set(sort, order, (id, renamed));
        renamed
    }
}

fn claim_mut(run: &mut Run) -> Option<&mut Claim> {
    match run {
        Run::Claimed { claim }
        | Run::Done { claim, .. }
        | Run::Failed { claim, .. }
        | Run::Poison { claim, .. } => Some(claim),
        Run::Cancelled { claim, .. } | Run::Lost { claim, .. } => claim.as_mut(),
        Run::Open { last, .. } => Some(last),
        Run::Expired { .. } => None,
    }
}

fn rename_claim(claim: &mut Claim, order: usize) {
    rename(&mut claim.engine, &mut claim.incarnation, order);
    for silent in &mut claim.silent {
        rename(&mut silent.engine, &mut silent.incarnation, order);
    }
}

fn rename(engine: &mut String, of: &mut Incarnation, order: usize) {
    let (old, start) = holder_of(of);
    let name = ORDERS[order].get(usize::from(old)).copied().unwrap_or_default();
    let name = u8::try_from(name).unwrap_or_default();
    *engine = super::deed::engine(name);
    *of = incarnation((name, start));
}

#[cfg(test)]
mod tests {
    use blitz_contract::Retry;
    use blitz_jobs::guards::Guards;

    use super::super::table::{Deed, What, holder};
    use super::*;

    #[test]
    fn an_engine_is_renamed_wherever_it_is_named() {
        let mut table = Table::new(1, Retry::Safe, Guards::default());
        let claim = table.after(0, Deed::of(What::Claim, (0, 1))).unwrap();
        for (order, name) in [(0, 0), (1, 1), (5, 2)] {
            let renamed = table.renamed(Sort::Run, order, claim);
            assert_eq!(table.run(renamed).claim().map(holder), Some((name, 1)), "order {order}");
            assert_eq!(renamed == claim, order == 0);
        }
        let revision = table.child(0, claim);
        let leaf = table.renamed(Sort::Leaf, 5, revision);
        assert_eq!(table.run_of(leaf).and_then(Run::claim).map(holder), Some((2, 1)));
        assert_eq!(table.parent(leaf), PAST);
    }
}
