//! What engines and the keeper can do next. Whether a step is possible, what is written over what, and what an
//! answer means is asked of the core; here is only who may want something when.

use blitz_contract::Retry;
use blitz_jobs::Run;
use blitz_jobs::guards::Guard;

use super::event::{Did, Event};
use super::moves::Moves;
use super::state::{Actor, KEEPER, Phase, State};
use super::table::{Deed, Id, What, holder};
use super::told::{Reply, Told};
use super::verdict::Invariant;

/// The job has begun more than once: more is not counted.
const BEGUN_MAX: u8 = 2;

impl Moves<'_> {
    pub(super) fn actors(&mut self, now: &State) {
        let mut untouched_seen = false;
        for engine in 0..self.config.engines {
            // With one copy no revision is ever compared with another, so that engines which have done nothing yet are
            // alike: the first of them speaks for all.
            if self.config.copies == 1 && !now.actors[engine].is_touched {
                if untouched_seen {
                    continue;
                }
                untouched_seen = true;
            }
            self.engine(now, engine);
        }
        match now.actors[KEEPER].phase {
            Phase::Idle if self.config.watches => self.keeper(now),
            _ => self.answers(now, KEEPER),
        }
    }

    fn engine(&mut self, now: &State, engine: usize) {
        let actor = now.actors[engine];
        let has_work = match actor.phase {
            Phase::Idle => actor.run != 0,
            Phase::Crashed => false,
            _ => true,
        };
        match actor.phase {
            Phase::Idle => {
                self.claims(now, engine);
                self.judges(now, engine, true);
                self.judges(now, engine, false);
            }
            Phase::Claiming | Phase::Judging => self.answers(now, engine),
            Phase::Fencing => {
                self.answers(now, engine);
                self.hears_of_another(now, engine);
            }
            Phase::Running => {
                self.ends(now, engine);
                self.hears_of_another(now, engine);
            }
            Phase::Closing if actor.machine == 0 => self.last_word(now, engine),
            Phase::Closing => {
                self.answers(now, engine);
                self.hears_of_another(now, engine);
            }
            Phase::Crashed => {
                let mut state = *now;
                state.actors[engine] =
                    Actor { start: actor.start + 1, is_touched: true, ..Actor::default() };
                self.push(state, Event::new(engine, Did::StartsAgain), None);
            }
        }
        if self.config.leases && has_work && !actor.is_late && actor.phase != Phase::Judging {
            self.lease_runs_out(now, engine);
        }
        // The crash of an engine that has nothing in hand changes nothing.
        if has_work && now.spent.crashes < self.config.bounds.crashes {
            let mut state = *now;
            state.spent.crashes += 1;
            self.retire(&mut state, engine);
            state.actors[engine] = Actor {
                phase: Phase::Crashed,
                start: actor.start,
                is_touched: true,
                ..Actor::default()
            };
            self.push(state, Event::new(engine, Did::Crashes), None);
        }
    }

    /// An engine reads, and sends a claim if the job is free.
    fn claims(&mut self, now: &State, engine: usize) {
        let who = who(now, engine);
        for mask in self.majorities(now) {
            let mut state = *now;
            let (_, resolved) = self.read(&mut state, mask);
            let present = self.table.run_id_of(resolved);
            let tried = now.actors[engine].run;
            // Its own claim whose answer was lost: it did not learn of it, and tries again.
            if tried != 0 && present == tried {
                let over = self.table.parent(resolved);
                let event = Event::new(engine, Did::ClaimsAgain);
                self.send_claim(state, engine, over, tried, event.reading(mask));
                continue;
            }
            let Some(run) = self.table.after(present, Deed::of(What::Claim, who)) else { continue };
            if self.attempt(run) <= self.config.bounds.attempts {
                let event = Event::new(engine, Did::Claims);
                self.send_claim(state, engine, resolved, run, event.reading(mask));
            }
        }
    }

    fn attempt(&self, run: Id) -> u32 {
        self.table.run(run).claim().map_or(0, |claim| claim.attempt)
    }

    fn send_claim(&mut self, mut state: State, engine: usize, over: Id, run: Id, event: Event) {
        let actor = &mut state.actors[engine];
        if self.config.bounds.tries > 0 {
            if actor.tries == self.config.bounds.tries {
                return;
            }
            actor.tries += 1;
        }
        if actor.run != run {
            (actor.run, actor.is_late) = (run, false);
        }
        (actor.phase, actor.is_touched) = (Phase::Claiming, true);
        self.begin(state, over, run, event);
    }

    /// Begins a write. A look before it is at the same copies as what led to it: had something changed in between,
    /// the look would only have given up.
    fn begin(&mut self, mut state: State, over: Id, run: Id, event: Event) {
        match self.table.begin(over, run) {
            Told::Read(machine) if event.read != 0 => {
                let (reply, _) = self.read(&mut state, event.read);
                let told = self.table.hear(machine, reply);
                self.follow(state, told, event);
                if state.spent.losses < self.config.bounds.losses {
                    state.spent.losses += 1;
                    let told = self.table.hear(machine, Reply::Blind);
                    self.follow(state, told, Event { is_blind: true, ..event });
                }
            }
            told => self.follow(state, told, event),
        }
    }

    /// A watcher finds the engine of a claim dead.
    fn judges(&mut self, now: &State, judge: usize, takes: bool) {
        if !self.config.watches {
            return;
        }
        for mask in self.majorities(now) {
            let mut state = *now;
            let (_, resolved) = self.read(&mut state, mask);
            let Some(Run::Claimed { claim }) = self.named(resolved) else { continue };
            let whom = holder(claim);
            let silent = claim.silent.iter().map(|silent| {
                let incarnation = &silent.incarnation;
                (0..self.config.engines)
                    .find(|e| super::table::incarnation(who(now, *e)) == *incarnation)
            });
            let mut survivors = [0; 3];
            for engine in silent.flatten().filter(|e| now.actors[*e].phase != Phase::Crashed) {
                survivors[engine] = now.actors[engine].start + 1;
            }
            if whom == who(now, judge) || !self.may_be_found_dead(now, whom, resolved) {
                continue;
            }
            let may_retry = self.table.retry == Retry::Safe;
            let present = self.table.run_id_of(resolved);
            // Who judges may not have heard of the cancel, nor of those who came back.
            let mut runs = Vec::new();
            for heard in [true, false] {
                for survivors in [survivors, [0; 3]] {
                    let retries = may_retry && !(heard && now.cancelled);
                    let what = What::Dead { takes: takes && retries, retries };
                    let deed = Deed { what, who: who(now, judge), whom, survivors };
                    runs.extend(self.table.after(present, deed));
                }
            }
            runs.sort_unstable();
            runs.dedup();
            for run in runs {
                let event = Event::new(judge, Did::Judges { takes }).reading(mask);
                if matches!(self.table.run(run), Run::Claimed { .. }) {
                    if self.attempt(run) <= self.config.bounds.attempts {
                        self.send_claim(state, judge, resolved, run, event);
                    }
                } else if !takes {
                    let mut state = state;
                    state.actors[judge].phase = Phase::Judging;
                    state.actors[judge].is_touched = true;
                    self.begin(state, resolved, run, event);
                }
            }
        }
    }

    /// A patient watcher finds an engine dead only when it has crashed, has stopped, or has no right to go on.
    fn may_be_found_dead(&self, now: &State, whom: (u8, u8), claim: Id) -> bool {
        let actor = now.actors[usize::from(whom.0)];
        if !self.config.patient || actor.start != whom.1 || actor.phase == Phase::Crashed {
            return true;
        }
        let run = self.table.run_id_of(claim);
        let holds = match actor.phase {
            Phase::Idle | Phase::Claiming => actor.run == run,
            Phase::Fencing | Phase::Running | Phase::Closing => {
                self.table.run_id_of(actor.hold) == run
            }
            Phase::Judging | Phase::Crashed => false,
        };
        !holds || actor.is_late
    }

    /// The plugin comes to its end, or the engine stops it.
    fn ends(&mut self, now: &State, engine: usize) {
        let event = |did| Event::new(engine, did);
        self.close(*now, What::Finish, event(Did::Finishes));
        self.close(*now, What::Release, event(Did::GivesBack));
        if now.cancelled {
            self.close(*now, What::FinishCancelled, event(Did::FinishesCancelled));
        }
        // A feed that repeats an older state: the engine stops without a word.
        if now.spent.losses < self.config.bounds.losses {
            let mut state = *now;
            state.spent.losses += 1;
            self.let_go(&mut state, engine);
            self.push(state, event(Did::HearsOldNews), None);
        }
    }

    /// The engine has its last word on a claim that it holds; it sends it later.
    fn close(&mut self, mut state: State, what: What, event: Event) {
        let engine = event.actor;
        let held = self.table.run_id_of(state.actors[engine].hold);
        let Some(run) = self.table.after(held, Deed::of(what, who(&state, engine))) else { return };
        let actor = &mut state.actors[engine];
        (actor.phase, actor.run, actor.machine) = (Phase::Closing, run, 0);
        self.push(state, event, None);
    }

    fn last_word(&mut self, now: &State, engine: usize) {
        let actor = now.actors[engine];
        let event = Event::new(engine, Did::SendsLastWord);
        for mask in self.majorities(now) {
            self.begin(*now, actor.hold, actor.run, event.reading(mask));
        }
    }

    /// An engine that is not the one that counts stops at once, and writes nothing more.
    fn hears_of_another(&mut self, now: &State, engine: usize) {
        if !self.table.guards.has(Guard::StopWhenFenced) {
            return;
        }
        let actor = now.actors[engine];
        let own = [self.table.run_id_of(actor.hold), actor.run];
        for mask in self.majorities(now) {
            let mut state = *now;
            let (_, resolved) = self.read(&mut state, mask);
            if resolved == 0 || own.contains(&self.table.run_id_of(resolved)) {
                continue;
            }
            self.let_go(&mut state, engine);
            self.push(state, Event::new(engine, Did::HearsOfAnother).reading(mask), None);
        }
    }

    fn let_go(&self, state: &mut State, engine: usize) {
        self.retire(state, engine);
        let actor = &mut state.actors[engine];
        (actor.phase, actor.hold, actor.run, actor.is_late) = (Phase::Idle, 0, 0, false);
    }

    fn lease_runs_out(&mut self, now: &State, engine: usize) {
        let mut state = *now;
        state.actors[engine].is_late = true;
        let event = Event::new(engine, Did::LeaseRunsOut);
        if now.actors[engine].phase != Phase::Running {
            self.push(state, event, None);
        } else if self.table.guards.has(Guard::SelfStop) {
            self.close(state, What::Release, event);
        } else {
            self.push(state, event, None);
        }
    }

    /// A write or a fence is decided.
    pub(super) fn decided(&mut self, mut state: State, told: Told, event: Event) {
        let at = event.actor;
        let actor = &mut state.actors[at];
        match (actor.phase, told) {
            (Phase::Claiming, Told::Won(revision)) => {
                let broken = self.is_won_in_vain(&mut state, at, revision);
                let actor = &mut state.actors[at];
                (actor.hold, actor.run) = (revision, 0);
                if broken.is_some() {
                    self.push(state, event, broken);
                } else if self.table.retry == Retry::Never
                    && self.table.guards.has(Guard::StartFence)
                {
                    actor.phase = Phase::Fencing;
                    let told = self.table.fence(revision);
                    self.follow(state, told, event);
                } else {
                    self.start(state, event);
                }
            }
            (Phase::Claiming, _) => {
                actor.phase = Phase::Idle;
                self.push(state, event, None);
            }
            (Phase::Fencing, Told::Won(_)) => self.start(state, event),
            // Another may have passed it, now or later.
            (Phase::Fencing, _) => self.close(state, What::Release, event),
            (Phase::Closing, Told::Unknown) => self.push(state, event, None),
            _ => {
                let is_keeper = at == KEEPER;
                if is_keeper {
                    actor.phase = Phase::Idle;
                } else {
                    self.let_go(&mut state, at);
                }
                self.push(state, event, None);
            }
        }
    }

    fn start(&mut self, mut state: State, event: Event) {
        if state.actors[event.actor].is_late {
            self.close(state, What::Return, event);
            return;
        }
        state.actors[event.actor].phase = Phase::Running;
        if self.table.retry == Retry::Never {
            state.begun = (state.begun + 1).min(BEGUN_MAX);
        }
        self.push(state, event, None);
    }

    /// A claim that is taken for won while all copies agree on another.
    fn is_won_in_vain(&mut self, state: &mut State, at: usize, won: Id) -> Option<Invariant> {
        if !self.config.patient || state.actors[at].is_late || !state.is_synced(self.config.copies)
        {
            return None;
        }
        // All copies may have taken a claim over a leaf beside which another counts by now.
        if self.config.copies > 1 && self.table.parent(won) != 0 {
            return None;
        }
        let all = self.all_copies();
        let (_, resolved) = self.read(state, all);
        let is_won = self.table.run_id_of(resolved) == self.table.run_id_of(won);
        (!is_won).then_some(Invariant::WonIsResolved)
    }

    /// The keeper ends what no engine can, and removes the leaves that lost.
    fn keeper(&mut self, now: &State) {
        for mask in self.majorities(now) {
            let mut state = *now;
            let (reply, resolved) = self.read(&mut state, mask);
            let Reply::Read { leaves, .. } = reply else { continue };
            let event = |did| Event::new(KEEPER, did).reading(mask);
            if self.config.tidies && leaves.len() > 1 {
                let mut state = state;
                for loser in leaves.iter().filter(|leaf| *leaf != resolved) {
                    self.remove(&mut state, loser);
                }
                if state != *now {
                    self.push(state, event(Did::RemovesLosers), None);
                }
            }
            let present = self.table.run_id_of(resolved);
            let nobody = (u8::MAX - 1, 0);
            let ends = [(What::Expire, Did::Expires), (What::Cancel, Did::Cancels)];
            for (what, did) in ends {
                let is_due = if what == What::Cancel { now.cancelled } else { self.config.expires };
                if !is_due {
                    continue;
                }
                let Some(run) = self.table.after(present, Deed::of(what, nobody)) else { continue };
                let mut state = state;
                state.actors[KEEPER].phase = Phase::Judging;
                self.begin(state, resolved, run, event(did));
            }
        }
        self.judges(now, KEEPER, false);
    }
}

/// An actor and which of its starts.
fn who(state: &State, actor: usize) -> (u8, u8) {
    let engine = u8::try_from(actor).unwrap_or(u8::MAX);
    (engine, state.actors[actor].start)
}
