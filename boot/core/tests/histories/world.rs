//! The world as it is: machines, engines, their store and the truth about them.

use std::collections::{BTreeMap, BTreeSet};

use blitz_boot_core::instance::{TAG_FLEET, TAG_KEEP, TAG_REGION};
use blitz_boot_core::reconcile::{Registered, Rules};

use crate::cloud::{Cloud, Engine, FLEET, Machine, REGION};
use crate::driver::Driver;
use crate::fault::{Fate, Fault, History};

/// Seconds since 1970 at the beginning.
const START_S: u64 = 1_800_000_000;
/// Seconds between two rewritings of an engine's document.
const PRESENCE_S: u64 = 60;
/// Seconds that a machine has to register.
pub(crate) const REGISTRATION_S: u64 = 300;
pub(crate) const SLOTS: usize = 2;

/// How often things happened.
#[derive(Debug, Default, Clone)]
pub(crate) struct Count {
    pub(crate) launched: u64,
    pub(crate) registered: u64,
    pub(crate) marked: u64,
    pub(crate) unmarked: u64,
    pub(crate) terminated: u64,
    pub(crate) terminated_with_document: u64,
    pub(crate) asked_to_drain: u64,
    pub(crate) scaled_down: u64,
    pub(crate) documents: u64,
    pub(crate) held: u64,
    pub(crate) asked_again: u64,
    pub(crate) not_spot: u64,
    pub(crate) at_max: u64,
}

impl Count {
    pub(crate) fn all(&self) -> [(&'static str, u64); 13] {
        [
            ("launched", self.launched),
            ("registered", self.registered),
            ("marked", self.marked),
            ("unmarked", self.unmarked),
            ("terminated", self.terminated),
            ("terminated with a document", self.terminated_with_document),
            ("asked to drain for jobs", self.asked_to_drain),
            ("scaled down", self.scaled_down),
            ("documents removed", self.documents),
            ("held by the breaker", self.held),
            ("asked again", self.asked_again),
            ("not spot", self.not_spot),
            ("at max", self.at_max),
        ]
    }

    pub(crate) fn add(&mut self, other: &Self) {
        let sum = [
            &mut self.launched,
            &mut self.registered,
            &mut self.marked,
            &mut self.unmarked,
            &mut self.terminated,
            &mut self.terminated_with_document,
            &mut self.asked_to_drain,
            &mut self.scaled_down,
            &mut self.documents,
            &mut self.held,
            &mut self.asked_again,
            &mut self.not_spot,
            &mut self.at_max,
        ];
        for (mine, (_, theirs)) in sum.into_iter().zip(other.all()) {
            *mine += theirs;
        }
    }
}

/// What engines, and who asks them to drain, have written.
#[derive(Debug, Clone, Default)]
pub(crate) struct Store {
    pub(crate) documents: BTreeMap<String, Registered>,
    pub(crate) beats: BTreeMap<String, Registered>,
    pub(crate) drains: BTreeSet<String>,
}

impl Store {
    /// As a driver reads it.
    pub(crate) fn read(&self) -> Vec<Registered> {
        let holds = |id: &str| self.beats.get(id).is_some_and(|beat| beat.holds_jobs);
        let documents = self.documents.values().cloned();
        let has_none = |beat: &&Registered| !self.documents.contains_key(&beat.engine);
        let beats = self.beats.values().filter(|beat| beat.holds_jobs).filter(has_none).cloned();
        let all = documents.chain(beats).map(|one| Registered {
            holds_jobs: holds(&one.engine),
            is_asked_to_drain: self.drains.contains(&one.engine),
            ..one
        });
        all.collect()
    }
}

pub(crate) struct World {
    pub(crate) now_s: u64,
    pub(crate) cloud: Cloud,
    pub(crate) store: Store,
    /// Jobs that wait, by the steps that they take.
    pub(crate) waiting: Vec<u32>,
    pub(crate) fates: Vec<Fate>,
    /// Seconds that the provider's clock is ahead.
    pub(crate) provider_ahead_s: i64,
    pub(crate) count: Count,
    starts: u32,
    driver: Driver,
}

impl World {
    pub(crate) fn new(history: &History) -> Self {
        Self {
            now_s: START_S,
            cloud: Cloud::default(),
            store: Store::default(),
            waiting: Vec::new(),
            fates: history.fates.clone(),
            provider_ahead_s: 0,
            count: Count::default(),
            starts: 0,
            driver: Driver::new(history),
        }
    }

    pub(crate) fn provider_ms(&self) -> u64 {
        self.now_s.saturating_add_signed(self.provider_ahead_s) * 1000
    }

    pub(crate) fn step(&mut self, seconds: u64) -> Result<(), String> {
        self.now_s += seconds;
        self.cloud.pass(self.now_s);
        self.live();
        let mut driver = std::mem::take(&mut self.driver);
        let done = driver.round(self);
        self.driver = driver;
        done
    }

    /// Engines begin, work, write and go.
    fn live(&mut self) {
        let now_s = self.now_s;
        for machine in self.cloud.machines.iter_mut().filter(|one| one.is_alive()) {
            let is_up = machine.boots_s.is_some_and(|boots| now_s - machine.launched_s >= boots);
            if is_up {
                machine.boots_s = None;
                self.starts += 1;
                self.count.registered += 1;
                machine.engine = Some(Engine::start(self.starts));
            }
            let id = machine.instance.id.0.clone();
            let Some(engine) = &mut machine.engine else { continue };
            engine.jobs.iter_mut().for_each(|steps| *steps -= 1);
            engine.jobs.retain(|steps| *steps > 0);
            engine.mute = engine.mute.saturating_sub(1);
            engine.cut = engine.cut.saturating_sub(1);
            if engine.cut > 0 {
                engine.jobs.clear();
                continue;
            }
            let drains = self.store.drains.contains(&id);
            while !drains && engine.jobs.len() < SLOTS {
                let Some(steps) = self.waiting.pop() else { break };
                engine.jobs.push(steps);
            }
            let goes = drains && engine.jobs.is_empty();
            if engine.mute == 0 && (goes || now_s - engine.wrote_s >= PRESENCE_S) {
                engine.counter += 1;
                engine.wrote_s = now_s;
                self.store.documents.insert(id.clone(), engine.document(&id, goes));
            }
            if !engine.jobs.is_empty() || self.store.beats.contains_key(&id) {
                engine.beats += 1;
                self.store.beats.insert(id.clone(), engine.beat(&id));
            }
            if goes {
                machine.engine = None;
                if machine.powers_off {
                    machine.stop();
                }
            }
        }
    }

    pub(crate) fn suffer(&mut self, fault: &Fault) {
        let now_s = self.now_s;
        match *fault {
            Fault::Jobs(count, steps) => self.waiting.extend((0..count).map(|_| steps)),
            Fault::Crash(nth) => self.with(nth, |machine| machine.engine = None),
            Fault::Restart(nth) => {
                self.starts += 1;
                let engine = Engine::start(self.starts);
                self.with(nth, |machine| {
                    if machine.engine.is_some() {
                        machine.engine = Some(engine);
                    }
                });
            }
            Fault::Cut(nth, steps) => self.with_engine(nth, |engine| engine.cut = steps),
            Fault::Mute(nth, steps) => self.with_engine(nth, |engine| engine.mute = steps),
            Fault::Reclaim(nth) => self.with(nth, |machine| machine.end(now_s)),
            Fault::Vanish(nth) => {
                let at = self.alive().nth(nth).map(|machine| machine.instance.id.clone());
                self.cloud.machines.retain(|machine| Some(&machine.instance.id) != at.as_ref());
            }
            Fault::Keep(nth) => self.with(nth, |machine| {
                machine.instance.tags.insert(TAG_KEEP.to_owned(), String::new());
            }),
            Fault::Foreign(kind) => {
                let tags: &[(&str, &str)] = match kind {
                    0 => &[],
                    1 => &[(TAG_FLEET, FLEET)],
                    2 => &[(TAG_FLEET, "other"), (TAG_REGION, REGION)],
                    _ => &[(TAG_FLEET, FLEET), (TAG_REGION, "japan")],
                };
                self.stray(3_600, tags);
            }
            Fault::Stray(age_s) => self.stray(age_s, &[(TAG_FLEET, FLEET), (TAG_REGION, REGION)]),
            Fault::EmptyStore => {
                self.store.documents.clear();
                self.driver.suffer(fault, &self.store);
            }
            Fault::NoBeats => self.store.beats.clear(),
            Fault::ProviderClock(seconds) => self.provider_ahead_s = seconds,
            Fault::Clock(seconds) => {
                // What the driver's own clock skips, it believes up to a bound.
                let skipped_s = u64::try_from(seconds).unwrap_or(0).min(60);
                self.cloud.machines.iter_mut().for_each(|one| one.skipped_s += skipped_s);
                self.driver.suffer(fault, &self.store);
            }
            _ => self.driver.suffer(fault, &self.store),
        }
    }

    fn stray(&mut self, age_s: u64, tags: &[(&str, &str)]) {
        let fate = Fate { boots_s: None, hidden_count: 0, powers_off: true };
        let shown_ms = self.provider_ms().saturating_sub(age_s * 1000);
        let id = self.cloud.add(self.now_s - age_s, shown_ms, fate, tags, false);
        if let Some(machine) = self.cloud.machine(&id.0) {
            machine.is_stray = true;
        }
    }

    fn alive(&self) -> impl Iterator<Item = &Machine> {
        self.cloud.machines.iter().filter(|one| one.is_alive())
    }

    fn with(&mut self, nth: usize, does: impl FnOnce(&mut Machine)) {
        self.cloud.machines.iter_mut().filter(|one| one.is_alive()).nth(nth).map(does);
    }

    fn with_engine(&mut self, nth: usize, does: impl FnOnce(&mut Engine)) {
        self.with(nth, |machine| {
            machine.engine.as_mut().map(does);
        });
    }

    /// No fault any more, and nothing to do.
    pub(crate) fn calm(&mut self) {
        for machine in &mut self.cloud.machines {
            machine.hidden_count = 0;
            // A machine that has not come up so far will not: else it is no fault of ours that there is work for it.
            if let Some(engine) = &mut machine.engine {
                (engine.cut, engine.mute) = (0, 0);
            }
        }
        for fate in &mut self.fates {
            *fate = Fate { boots_s: Some(40), hidden_count: 0, powers_off: true };
        }
        self.waiting.clear();
        self.provider_ahead_s = 0;
        self.driver.calm();
    }

    pub(crate) fn force(&mut self) {
        self.driver.rules = Rules { is_forced: true, ..Rules::default() };
    }

    pub(crate) fn is_held(&self) -> bool {
        self.driver.said.iter().any(|line| line.contains("is left alone: "))
    }

    pub(crate) fn said(&self) -> &[String] {
        &self.driver.said
    }

    pub(crate) fn count(&self) -> Count {
        self.count.clone()
    }

    /// Machines of ours without an engine, documents without a machine, launches that are open.
    pub(crate) fn leftovers(&self) -> Vec<String> {
        let lone = |one: &&Machine| one.is_ours() && !one.is_kept() && one.engine.is_none();
        let is_old = |one: &&Machine| self.now_s - one.launched_s > 2 * REGISTRATION_S;
        let machines = self.alive().filter(lone).filter(is_old);
        let is_there = |id: &str| self.alive().any(|one| one.instance.id.0 == id);
        let ghosts = self.store.read().into_iter().map(|one| one.engine).filter(|id| !is_there(id));
        let open = self.driver.intents.iter().map(|intent| intent.document_id());
        machines.map(|one| one.instance.id.0.clone()).chain(ghosts).chain(open).collect()
    }

    /// Why nobody may end this machine, if so: by the truth, whatever was seen.
    pub(crate) fn why_not_end(&mut self, id: &str) -> Option<&'static str> {
        let now_s = self.now_s;
        let machine = self.cloud.machine(id)?;
        let age_s = now_s - machine.launched_s + machine.skipped_s;
        // It writes in the step after it is up.
        let in_time = |boots: u64| boots + 30 + machine.skipped_s < REGISTRATION_S;
        let boots = machine.boots_s.is_some_and(in_time);
        match &machine.engine {
            _ if !machine.is_ours() => Some("is not ours"),
            _ if machine.is_kept() => Some("is kept"),
            _ if age_s < 60 => Some("is young"),
            Some(engine) if !engine.jobs.is_empty() => Some("runs jobs"),
            Some(engine) if engine.cut == 0 && engine.mute == 0 => Some("has a living engine"),
            None if boots => Some("boots, and in time"),
            _ => None,
        }
    }

    /// Machines that our launches made and that are paid.
    pub(crate) fn paid(&self) -> usize {
        self.alive().filter(|one| one.is_ours() && !one.is_stray).count()
    }
}

impl Engine {
    fn start(nth: u32) -> Self {
        Self {
            incarnation: format!("{nth:032x}"),
            counter: 0,
            beats: 0,
            wrote_s: 0,
            jobs: Vec::new(),
            cut: 0,
            mute: 0,
        }
    }

    fn document(&self, id: &str, gone: bool) -> Registered {
        Registered {
            engine: id.to_owned(),
            incarnation: self.incarnation.clone(),
            counter: self.counter,
            gone,
            holds_jobs: false,
            is_asked_to_drain: false,
            is_beat: false,
        }
    }

    fn beat(&self, id: &str) -> Registered {
        let holds_jobs = !self.jobs.is_empty();
        Registered { counter: self.beats, holds_jobs, is_beat: true, ..self.document(id, false) }
    }
}
