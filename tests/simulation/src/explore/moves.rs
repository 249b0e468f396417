//! What can happen next: every event of the network, of the copies and of the user. What the actors do is in
//! [`super::actors`].

use blitz_jobs::Run;

use super::config::Config;
use super::event::{Did, Event};
use super::few::Few;
use super::state::{Phase, Request, Said, State};
use super::table::{Id, Table};
use super::told::{Put, Reply, Told};
use super::verdict::Invariant;

/// What follows from an event.
#[derive(Debug, Clone, Copy)]
pub(super) struct Next {
    pub(super) event: Event,
    pub(super) state: State,
    /// The state's.
    pub(super) key: u128,
    pub(super) broken: Option<Invariant>,
}

/// Collects what can follow a state.
#[derive(Debug)]
pub(super) struct Moves<'a> {
    pub(super) table: &'a mut Table,
    pub(super) config: &'a Config,
    pub(super) out: Vec<Next>,
}

impl Moves<'_> {
    /// Everything that can happen in this state.
    pub(super) fn all(&mut self, now: &State) {
        self.actors(now);
        self.network(now);
        if self.config.copies > 1 {
            self.copies(now);
        }
        if self.config.cancels && !now.cancelled {
            let event = Event::new(0, Did::UserCancels);
            self.push(State { cancelled: true, ..*now }, event, None);
        }
    }

    pub(super) fn push(&mut self, mut state: State, event: Event, broken: Option<Invariant>) {
        self.refuse_the_doomed(&mut state);
        self.forget_tries(&mut state);
        let broken = broken.or_else(|| self.judge(&mut state));
        let copies = self.config.copies;
        let (state, key) = if copies > 1 {
            let state = state.in_order(copies);
            (state, state.key(copies))
        } else if self.config.merges && broken.is_none() && !state.cut {
            self.table.alike(&state, self.config.engines)
        } else {
            (state, state.key(copies))
        };
        self.out.push(Next { event, state, key, broken });
    }

    /// A write over what a copy has gone beyond will be refused whenever it arrives: it may as well have been.
    fn refuse_the_doomed(&self, state: &mut State) {
        let actors = state.actors;
        let is_single = self.config.copies == 1;
        for copy in &mut state.copies[..self.config.copies] {
            let leaves = copy.leaves;
            let table = &*self.table;
            let is_doomed = |target: Id| match table.parent(target) {
                // One copy never has a deleted leaf, over which a first claim would be possible again.
                0 => is_single && !leaves.is_empty(),
                // What it has not now it will never have again.
                parent if is_single => !leaves.has(parent),
                parent => leaves.iter().any(|leaf| {
                    table.is_before(parent, leaf) || parent == leaf && table.run_of(leaf).is_none()
                }),
            };
            copy.late = copy.late.filter(|target| !is_doomed(target));
            if !copy.starts.is_empty() {
                copy.late_starts = Few::default();
            }
            for (said, actor) in copy.replies.iter_mut().zip(actors) {
                if *said == Said::Pending
                    && match actor.request {
                        Request::Write { target, .. } => is_doomed(target),
                        Request::Start { .. } => !copy.starts.is_empty(),
                        Request::None => false,
                    }
                {
                    *said = Said::Conflict;
                }
            }
        }
    }

    /// A claim that was tried is of interest as long as it may be found stored.
    fn forget_tries(&self, state: &mut State) {
        for actor in 0..self.config.engines {
            let Phase::Idle = state.actors[actor].phase else { continue };
            let run = state.actors[actor].run;
            let is_stored = |id: Id| run != 0 && self.table.run_id_of(id) == run;
            let may_be = state.copies[..self.config.copies]
                .iter()
                .any(|copy| copy.leaves.iter().any(is_stored) || copy.late.iter().any(is_stored));
            if !may_be {
                state.actors[actor].run = 0;
                state.actors[actor].is_late = false;
            }
        }
    }

    /// The majorities of copies that can be read, a bit for each copy.
    pub(super) fn majorities(&self, state: &State) -> impl Iterator<Item = u8> + use<> {
        let all: &[u8] = if self.config.copies == 1 { &[0b1] } else { &[0b011, 0b101, 0b110] };
        let down = (0..self.config.copies).filter(|copy| state.copies[*copy].is_down);
        let down = down.fold(0, |mask, copy| mask | 1 << copy);
        all.iter().copied().filter(move |mask| mask & down == 0)
    }

    /// A bit for each copy.
    pub(super) fn all_copies(&self) -> u8 {
        (1 << self.config.copies) - 1
    }

    /// What a read of these copies brings: the leaves, and the fence when there are several.
    pub(super) fn read(&mut self, state: &mut State, mask: u8) -> (Reply, Id) {
        let all = state.leaves(self.table, bits(mask));
        let living = all.filter(|leaf| self.table.run_of(leaf).is_some());
        let start = if living.len() > 1 { state.start(self.table, bits(mask)) } else { 0 };
        (Reply::Read { leaves: living, start }, self.table.resolve(living, start))
    }

    /// Does what the core says, on and on until something must be waited for.
    pub(super) fn follow(&mut self, mut state: State, told: Told, event: Event) {
        let actor = event.actor;
        match told {
            Told::Read(machine) => {
                for mask in self.majorities(&state) {
                    let mut state = state;
                    let (reply, _) = if state.actors[actor].phase == Phase::Fencing {
                        let start = state.start(self.table, bits(mask));
                        (Reply::Read { leaves: <_>::default(), start }, 0)
                    } else {
                        self.read(&mut state, mask)
                    };
                    self.hear(state, machine, reply, event.reading(mask));
                }
                if state.spent.losses < self.config.bounds.losses {
                    state.spent.losses += 1;
                    self.hear(state, machine, Reply::Blind, Event { is_blind: true, ..event });
                }
            }
            // It has no answer while a copy is away.
            Told::ReadAll(machine) => {
                let copies = self.config.copies;
                if state.copies[..copies].iter().any(|copy| copy.is_down) {
                    self.hear(state, machine, Reply::Blind, event);
                } else {
                    let all = self.all_copies();
                    let (reply, _) = self.read(&mut state, all);
                    self.hear(state, machine, reply, event.reading(all));
                }
                if state.spent.losses < self.config.bounds.losses {
                    state.spent.losses += 1;
                    self.hear(state, machine, Reply::Blind, Event { is_blind: true, ..event });
                }
            }
            Told::Put { machine, target, quorum } => {
                self.send(state, machine, Request::Write { target, quorum }, event);
            }
            Told::Create { machine, start } => {
                self.send(state, machine, Request::Start { start }, event);
            }
            // Nobody waits for how a removal went.
            Told::Remove { machine, leaf } => {
                self.remove(&mut state, leaf);
                self.hear(state, machine, Reply::Removed, event);
            }
            Told::Won(_) | Told::Lost | Told::Unknown => self.decided(state, told, event),
        }
    }

    /// Tells an actor's machine of a reply, and does what it says.
    fn hear(&mut self, state: State, machine: Id, reply: Reply, event: Event) {
        let told = if state.actors[event.actor].phase == Phase::Fencing {
            self.table.hear_fence(machine, reply)
        } else {
            self.table.hear(machine, reply)
        };
        self.follow(state, told, event);
    }

    fn send(&mut self, mut state: State, machine: Id, request: Request, event: Event) {
        let actor = event.actor;
        for copy in &mut state.copies[..self.config.copies] {
            copy.replies[actor] = if copy.is_down { Said::Away } else { Said::Pending };
        }
        state.actors[actor].machine = machine;
        state.actors[actor].request = request;
        // With one copy a verdict is stored while what it replaces stands, or never; who wrote it does nothing with the
        // answer; and a verdict that is right stays right. So it may as well be sent when it arrives.
        if self.config.copies == 1
            && state.actors[actor].phase == Phase::Judging
            && let Request::Write { target, .. } = request
        {
            let (said, fits) = state.copies[0].write(self.table, target);
            state.cut |= !fits;
            state.copies[0].replies[actor] = said;
            let answer = self.answer(&state, actor).unwrap_or(Put::Unknown);
            self.retire(&mut state, actor);
            self.hear(state, machine, Reply::Put(answer, target), event);
            return;
        }
        self.push(state, event, None);
    }

    /// Sends the removal of a leaf to every copy.
    pub(super) fn remove(&mut self, state: &mut State, leaf: Id) {
        let removal = self.table.child(leaf, 0);
        for copy in &mut state.copies[..self.config.copies] {
            if !copy.is_down && !copy.leaves.has(removal) {
                state.cut |= !copy.late.put(removal);
            }
        }
    }

    /// Nobody waits for an actor's request any more: what has not arrived is late.
    pub(super) fn retire(&self, state: &mut State, actor: usize) {
        let request = std::mem::take(&mut state.actors[actor].request);
        state.actors[actor].machine = 0;
        for copy in &mut state.copies[..self.config.copies] {
            if std::mem::take(&mut copy.replies[actor]) == Said::Pending {
                state.cut |= !match request {
                    Request::Write { target, .. } => copy.late.put(target),
                    Request::Start { start } => copy.late_starts.put(start),
                    Request::None => true,
                };
            }
        }
    }

    /// What the copies' words come to, once they do.
    fn answer(&self, state: &State, actor: usize) -> Option<Put> {
        let said = |what| {
            let copies = &state.copies[..self.config.copies];
            copies.iter().filter(|copy| copy.replies[actor] == what).count()
        };
        let majority = self.config.copies / 2 + 1;
        let wanted = match state.actors[actor].request {
            Request::None => return None,
            Request::Write { quorum, .. } if quorum > 0 => usize::from(quorum),
            _ => majority,
        };
        if said(Said::Ok) >= wanted {
            Some(Put::Created)
        } else if said(Said::Pending) > 0 {
            None
        } else if said(Said::Ok) + said(Said::Other) > 0 {
            Some(Put::Accepted)
        } else if said(Said::Conflict) > 0 {
            Some(Put::Conflict)
        } else {
            Some(Put::Unknown)
        }
    }

    /// An answer comes, or none.
    pub(super) fn answers(&mut self, now: &State, actor: usize) {
        if now.actors[actor].request == Request::None {
            return;
        }
        let answer = self.answer(now, actor);
        let nothing = (now.spent.losses < self.config.bounds.losses).then_some(Put::Unknown);
        for (put, is_lost) in
            answer.map(|put| (put, false)).into_iter().chain(nothing.map(|put| (put, true)))
        {
            let mut state = *now;
            state.spent.losses += u8::from(is_lost);
            let machine = state.actors[actor].machine;
            let target = match state.actors[actor].request {
                Request::Write { target, .. } => target,
                _ => 0,
            };
            self.retire(&mut state, actor);
            let did = if is_lost { Did::HearsNothing } else { Did::HearsAnswer(put) };
            self.hear(state, machine, Reply::Put(put, target), Event::new(actor, did));
        }
    }

    /// Requests arrive at the copies, in any order.
    fn network(&mut self, now: &State) {
        for at in 0..self.config.copies {
            for (actor, who) in now.actors.iter().enumerate() {
                if now.copies[at].replies[actor] != Said::Pending {
                    continue;
                }
                let mut state = *now;
                let (said, fits) = match who.request {
                    Request::Write { target, .. } => state.copies[at].write(self.table, target),
                    Request::Start { start } => state.copies[at].create(start),
                    Request::None => continue,
                };
                state.cut |= !fits;
                state.copies[at].replies[actor] = said;
                self.push(state, Event::new(actor, Did::Arrives { copy: at }), None);
            }
            for target in now.copies[at].late.iter() {
                let mut state = *now;
                state.copies[at].late.take(target);
                let (_, fits) = state.copies[at].write(self.table, target);
                state.cut |= !fits;
                self.push(state, Event::new(0, Did::LateArrives { copy: at }), None);
            }
            for start in now.copies[at].late_starts.iter() {
                let mut state = *now;
                state.copies[at].late_starts.take(start);
                let (_, fits) = state.copies[at].create(start);
                state.cut |= !fits;
                self.push(state, Event::new(0, Did::LateFenceArrives { copy: at }), None);
            }
        }
    }

    /// The copies that are there tell each other what they have, all at once: that one of them is behind is in the
    /// orders in which writes arrive.
    fn sync(&mut self, now: &State) {
        let mut state = *now;
        let up: Vec<usize> =
            (0..self.config.copies).filter(|copy| !now.copies[*copy].is_down).collect();
        let leaves = state.leaves(self.table, up.iter().copied());
        let mut starts = Few::default();
        for copy in &up {
            for start in now.copies[*copy].starts.iter() {
                state.cut |= !starts.put(start);
            }
        }
        for copy in up {
            (state.copies[copy].leaves, state.copies[copy].starts) = (leaves, starts);
        }
        if state != *now {
            self.push(state, Event::new(0, Did::Syncs), None);
        }
    }

    /// Copies tell each other what they have, go away and come back.
    fn copies(&mut self, now: &State) {
        self.sync(now);
        for to in 0..self.config.copies {
            let mut state = *now;
            if now.copies[to].is_down {
                state.copies[to].is_down = false;
                self.push(state, Event::new(0, Did::ComesBack { copy: to }), None);
            } else if now.spent.outages < self.config.bounds.outages
                && now.copies.iter().all(|copy| !copy.is_down)
            {
                state.spent.outages += 1;
                let copy = &mut state.copies[to];
                copy.is_down = true;
                // What was on its way to it is lost.
                copy.late = <_>::default();
                copy.late_starts = <_>::default();
                for said in &mut copy.replies {
                    if *said == Said::Pending {
                        *said = Said::Away;
                    }
                }
                self.push(state, Event::new(0, Did::GoesAway { copy: to }), None);
            }
        }
    }

    /// The run under the leaf that a reader of these copies takes for the one that counts.
    pub(super) fn named(&self, resolved: Id) -> Option<&Run> {
        self.table.run_of(resolved)
    }
}

/// The copies of a mask.
pub(super) fn bits(mask: u8) -> impl Iterator<Item = usize> + Clone {
    (0..super::state::COPIES_MAX).filter(move |copy| mask & (1 << copy) != 0)
}
