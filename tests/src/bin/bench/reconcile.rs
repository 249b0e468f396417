//! What it costs to decide over a large fleet: rounds of 10,000 instances and 10,000 documents of engines, of which 1 % have
//! drifted apart, and the decision to scale beside them.
//!
//!     cargo run --release -p blitz-tests --bin bench -- reconcile
//!
//! Only decisions are measured, with the memory between rounds as the document that it is: what is seen is made before, and
//! what comes out is carried out between. CPU time is that of this process.

use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitCode;
use std::time::Duration;

use blitz_boot_core::fleet::{Fleet, FleetRegion};
use blitz_boot_core::instance::{
    Instance, InstanceId, InstanceState, TAG_FLEET, TAG_ORPHAN, TAG_REGION,
};
use blitz_boot_core::reconcile::{Action, Memory, Registered, Round, Rules, Seen, decide};
use blitz_boot_core::scale::{self, Demand, History};

use crate::exchange::cpu_time;
use crate::parts;
use crate::sample::say;

const INSTANCES: usize = 10_000;
const ENGINES: usize = 10_000;

/// Of each kind of drift: machines whose engine never came, machines whose engine fell silent, documents whose machine is
/// no more. Together 1 %.
const DRIFT_OF_A_KIND: usize = 33;

/// Instances in one page of a listing: what EC2 gives at most.
const PAGE_COUNT: usize = 1_000;

/// Between two rounds, in milliseconds: each living engine has written in the meantime.
const ROUND_MS: u64 = 60_000;

/// Enough for machines to be marked and ended and documents to go.
const ROUNDS: usize = 12;

const START_MS: u64 = 1_800_000_000_000;

pub(crate) fn run(asked: &[String]) -> ExitCode {
    if let Some(refused) = parts::unknown("reconcile", &[], asked) {
        return refused;
    }
    let Some(region) = region() else { return ExitCode::FAILURE };
    if measure(&region) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn region() -> Option<FleetRegion> {
    let text =
        "name = \"main\"\n[[region]]\nname = \"virginia\"\nplace = \"us-east-1\"\nmax = 10000\n";
    match Fleet::parse(text) {
        Ok(fleet) => fleet.regions.into_iter().next(),
        Err(error) => {
            say(&format!("bench: {error}"));
            None
        }
    }
}

/// A region that drifts: what its provider and its store have.
struct Drifting {
    instances: BTreeMap<String, Instance>,
    engines: BTreeMap<String, Registered>,
    silent: BTreeSet<String>,
    /// Machines that may be ended, and documents that may go.
    orphans: BTreeSet<String>,
    ghosts: BTreeSet<String>,
}

impl Drifting {
    /// Ids rise: first those without an engine, then those that fell silent, then the living, and then the ghosts.
    fn new() -> Self {
        let name = |n: usize| format!("i-{n:017x}");
        let names = |from: usize, to: usize| (from..to).map(name).collect::<BTreeSet<String>>();
        let instances = (0..INSTANCES).map(|n| (name(n), instance(name(n)))).collect();
        let engines = DRIFT_OF_A_KIND..DRIFT_OF_A_KIND + ENGINES;
        Self {
            instances,
            engines: engines.map(|n| (name(n), registered(name(n), n))).collect(),
            silent: names(DRIFT_OF_A_KIND, 2 * DRIFT_OF_A_KIND),
            orphans: names(0, 2 * DRIFT_OF_A_KIND),
            ghosts: names(INSTANCES, DRIFT_OF_A_KIND + ENGINES),
        }
    }

    fn live(&mut self) {
        let lives = |id: &String| !self.silent.contains(id) && !self.ghosts.contains(id);
        self.engines.iter_mut().filter(|(id, _)| lives(id)).for_each(|(_, one)| one.counter += 1);
    }

    /// Carries out what was decided, and says how much of it was wrong.
    fn obey(&mut self, round: &Round) -> usize {
        let mut wrong = 0;
        for action in &round.actions {
            match action {
                Action::Mark { id, value, .. } => {
                    wrong += usize::from(!self.orphans.contains(&id.0));
                    if let Some(instance) = self.instances.get_mut(&id.0) {
                        instance.tags.insert(TAG_ORPHAN.to_owned(), value.clone());
                    }
                }
                Action::Terminate { id, .. } => {
                    wrong += usize::from(!self.orphans.contains(&id.0));
                    if let Some(instance) = self.instances.get_mut(&id.0) {
                        instance.state = InstanceState::Gone;
                    }
                    // Its document is one more that has no machine.
                    self.ghosts.insert(id.0.clone());
                }
                Action::RemoveDocument { engine, .. } => {
                    wrong += usize::from(!self.ghosts.contains(engine));
                    self.engines.remove(engine);
                }
                Action::Unmark { .. } | Action::Drain { .. } => wrong += 1,
            }
        }
        wrong
    }
}

fn instance(id: String) -> Instance {
    let tags = [(TAG_FLEET, "main"), (TAG_REGION, "virginia"), ("Name", "blitz engine")];
    Instance {
        id: InstanceId(id),
        state: InstanceState::Running,
        launched_ms: START_MS - 3_600_000,
        is_spot: true,
        tags: tags.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
    }
}

fn registered(engine: String, n: usize) -> Registered {
    Registered {
        engine,
        incarnation: format!("{n:032x}"),
        counter: 1,
        gone: false,
        holds_jobs: n.is_multiple_of(2) && n >= 2 * DRIFT_OF_A_KIND,
        is_asked_to_drain: false,
        is_beat: false,
    }
}

fn measure(region: &FleetRegion) -> bool {
    let mut world = Drifting::new();
    let mut memory = "{}".to_owned();
    let mut history = History::default();
    let (mut most, mut wrong, mut scaling) = (Duration::ZERO, 0, Duration::ZERO);
    let mut done = BTreeMap::new();
    for nth in 0..ROUNDS {
        let now_ms = START_MS + ROUND_MS * u64::try_from(nth).unwrap_or(0);
        world.live();
        let listing = Ok(world.instances.values().cloned().collect());
        let registrations = Ok(world.engines.values().cloned().collect());
        let (listing, registrations) = (&listing, &registrations);
        let seen = Seen { now_ms, fleet: "main", region, listing, registrations };
        let before = cpu_time();
        let known: Memory = serde_json::from_str(&memory).unwrap_or_default();
        let round = decide(&seen, known, &Rules::default());
        memory = serde_json::to_string(&round.memory).unwrap_or_default();
        most = most.max(cpu_time().saturating_sub(before));
        if let Some(capacity) = &round.capacity {
            let demand = Demand { waiting: 4_000, running: 20_000, ..Demand::default() };
            let before = cpu_time();
            let decision = scale::decide(now_ms, ("main", region), &demand, capacity, &history);
            scaling = scaling.max(cpu_time().saturating_sub(before));
            history = decision.history;
        }
        wrong += world.obey(&round);
        for action in &round.actions {
            *done.entry(word(action)).or_insert(0_usize) += 1;
        }
    }
    let pages = INSTANCES.div_ceil(PAGE_COUNT);
    say(&format!(
        "{INSTANCES} instances and {ENGINES} documents of engines, {} of each without the other or silent, {ROUNDS} rounds",
        3 * DRIFT_OF_A_KIND
    ));
    say(&format!("CPU time of the dearest round: {:.1} ms   (aim <= 2,000)", ms(most)));
    say(&format!("the same of a decision to scale: {:.2} ms", ms(scaling)));
    say(&format!("memory between rounds: {} KiB", memory.len() >> 10));
    say(&format!("calls that list: {pages}   (aim <= 1 for {PAGE_COUNT} instances)"));
    for (word, count) in &done {
        say(&format!("{word}: {count}"));
    }
    let left = world.orphans.iter().filter(|id| world.instances[*id].state.is_alive()).count()
        + world.ghosts.iter().filter(|id| world.engines.contains_key(*id)).count();
    say(&format!("done to the wrong one: {wrong}   (aim 0); left over: {left}   (aim 0)"));
    wrong == 0 && left == 0
}

fn word(action: &Action) -> &'static str {
    match action {
        Action::RemoveDocument { .. } => "documents removed",
        Action::Mark { .. } => "instances marked",
        Action::Unmark { .. } => "marks taken off",
        Action::Drain { .. } => "engines asked to drain",
        Action::Terminate { .. } => "instances terminated",
    }
}

fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}
