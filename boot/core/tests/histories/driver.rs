//! Who drives the rounds, as a real one does: it lists, reads, decides, writes down, acts; and may fail at each.

use blitz_boot_core::fleet::FleetRegion;
use blitz_boot_core::instance::{Instance, TAG_ORPHAN};
use blitz_boot_core::launches::{self, Intent, Next};
use blitz_boot_core::provider::ProviderError;
use blitz_boot_core::reconcile::{self, Action, Capacity, Memory, Registered, Rules, Seen, Sign};
use blitz_boot_core::scale::{self, Demand, History, Launched, Outcome};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::cloud::{FLEET, REGION};
use crate::fault::{self, Answer, Fault};
use crate::world::{REGISTRATION_S, SLOTS, Store, World};

#[derive(Default)]
pub(crate) struct Driver {
    region: Option<FleetRegion>,
    pub(crate) rules: Rules,
    memory: Memory,
    history: History,
    pub(crate) intents: Vec<Intent>,
    /// What the last round held back.
    pub(crate) said: Vec<String>,
    /// Seconds that its clock is ahead.
    ahead_s: i64,
    /// Rounds for which each fault still lasts.
    no_listing: u32,
    no_reads: u32,
    old_reads: u32,
    old_store: Option<Store>,
    old_tags: u32,
    no_actions: u32,
    asleep: u32,
    forgets: bool,
    answers: Vec<Answer>,
}

impl Driver {
    pub(crate) fn new(history: &fault::History) -> Self {
        let region = FleetRegion {
            name: REGION.to_owned(),
            place: "us-east-1".to_owned(),
            slots: few(SLOTS),
            min: history.min,
            max: history.max,
            warm: history.warm,
            spot: history.is_spot,
            cool_down_s: 60,
            registration_s: REGISTRATION_S,
            launch_template: None,
        };
        Self { region: Some(region), ..Self::default() }
    }

    pub(crate) fn suffer(&mut self, fault: &Fault, store: &Store) {
        match *fault {
            Fault::ListingFails(rounds) => self.no_listing = rounds,
            Fault::ReadsFail(rounds) => self.no_reads = rounds,
            // A store that answers with the past for longer than three rewritings cannot be told from one whose engines are
            // dead, where they are few.
            Fault::ReadsAreOld(rounds) if self.old_store.is_none() => {
                self.old_reads = rounds;
                self.old_store = Some(store.clone());
            }
            Fault::TagsAreOld(rounds) => self.old_tags = rounds,
            Fault::ActionsFail(rounds) => self.no_actions = rounds,
            Fault::MemoryLost => self.memory = Memory::default(),
            // What rounds remember lies in the same database.
            Fault::EmptyStore => {
                self.memory = Memory::default();
                self.history = History::default();
            }
            Fault::MemoryNotKept => self.forgets = true,
            Fault::HistoryLost => self.history = History::default(),
            Fault::Launch(answer) => self.answers.push(answer),
            Fault::Clock(seconds) => self.ahead_s += seconds,
            Fault::Asleep(rounds) => self.asleep = rounds,
            _ => {}
        }
    }

    pub(crate) fn calm(&mut self) {
        (self.no_listing, self.no_reads, self.old_reads, self.old_tags) = (0, 0, 0, 0);
        (self.no_actions, self.asleep, self.forgets) = (0, 0, false);
        self.answers.clear();
    }

    pub(crate) fn round(&mut self, world: &mut World) -> Result<(), String> {
        if lasts(&mut self.asleep) {
            return Ok(());
        }
        let Some(region) = self.region.clone() else { return Ok(()) };
        let now_ms = world.now_s.saturating_add_signed(self.ahead_s) * 1000;
        let old_tags = lasts(&mut self.old_tags);
        let listed = world.cloud.list(old_tags);
        let listing = if lasts(&mut self.no_listing) {
            Err(ProviderError::Throttled("RequestLimitExceeded".to_owned()))
        } else {
            Ok(listed)
        };
        let registrations = self.read(world);
        let seen = Seen {
            now_ms,
            fleet: FLEET,
            region: &region,
            listing: &listing,
            registrations: &registrations,
        };
        let round = reconcile::decide(&seen, self.memory.clone(), &self.rules);
        if !std::mem::take(&mut self.forgets) {
            self.memory = kept(world, round.memory);
        }
        self.said = round.held;
        self.history.booted(now_ms, &round.boots);
        let fails = lasts(&mut self.no_actions);
        for action in &round.actions {
            check(world, action)?;
            if !fails {
                act(world, action);
            }
        }
        let (Ok(listed), Ok(registered), Some(capacity)) =
            (&listing, &registrations, round.capacity)
        else {
            return Ok(());
        };
        world.count.held += u64::from(capacity.is_doubtful);
        let launching = self.settle(world, now_ms, listed, registered)?;
        let capacity = Capacity { launching, ..capacity };
        self.scale(world, now_ms, &region, &capacity)
    }

    fn read(&mut self, world: &World) -> Result<Vec<Registered>, String> {
        if lasts(&mut self.no_reads) {
            return Err("timed out".to_owned());
        }
        match &self.old_store {
            Some(store) if lasts(&mut self.old_reads) => Ok(store.read()),
            _ => {
                self.old_store = None;
                Ok(world.store.read())
            }
        }
    }

    fn settle(
        &mut self,
        world: &mut World,
        now_ms: u64,
        listed: &[Instance],
        registered: &[Registered],
    ) -> Result<u32, String> {
        let intents = std::mem::take(&mut self.intents);
        let settled = launches::settle(
            now_ms,
            |intent| self.history.age_ms(intent),
            &intents,
            listed,
            registered,
        );
        for (intent, next) in settled.next {
            match next {
                Next::Wait => self.intents.push(intent.clone()),
                Next::Remove { .. } => {}
                Next::Ask => {
                    world.count.asked_again += 1;
                    self.ask(world, now_ms, intent.clone())?;
                }
            }
        }
        Ok(settled.launching)
    }

    fn scale(
        &mut self,
        world: &mut World,
        now_ms: u64,
        region: &FleetRegion,
        capacity: &Capacity,
    ) -> Result<(), String> {
        let waiting = few(world.waiting.len());
        let engines = world.cloud.machines.iter().filter_map(|machine| machine.engine.as_ref());
        let running = few(engines.map(|engine| engine.jobs.len()).sum());
        let oldest_waiting_ms = if waiting > 0 { 40_000 } else { 0 };
        let demand = Demand { waiting, running, oldest_waiting_ms, reservations: Vec::new() };
        let decision = scale::decide(now_ms, (FLEET, region), &demand, capacity, &self.history);
        self.history = kept(world, decision.history);
        for engine in &decision.drain {
            let busy = world.cloud.machine(engine).and_then(|one| one.engine.as_ref());
            // A document that is read from the past may say of the present what it likes.
            if self.old_store.is_none()
                && busy.is_some_and(|engine| !engine.jobs.is_empty() && engine.mute == 0)
            {
                return Err(format!("{engine} is asked to drain, and runs jobs"));
            }
            world.count.scaled_down += 1;
            world.store.drains.insert(engine.clone());
        }
        match decision.launch {
            Some(intent) => self.ask(world, now_ms, intent),
            None => Ok(()),
        }
    }

    /// Writes the intent down and asks the provider.
    fn ask(&mut self, world: &mut World, now_ms: u64, intent: Intent) -> Result<(), String> {
        let intent = kept(world, intent);
        let answer = self.answers.pop();
        if answer == Some(Answer::NotAsked) {
            self.intents.push(intent);
            return Ok(());
        }
        let answer = launch(world, &intent, answer);
        let max = self.region.as_ref().map_or(0, |region| region.max);
        let paid = few(world.paid());
        if paid > max {
            return Err(format!(
                "{paid} machines after a launch of {}, and {max} may be",
                intent.count
            ));
        }
        world.count.at_max += u64::from(paid == max);
        match self.history.answered(now_ms, &intent, &answer) {
            Outcome::Keep { intent, .. } => self.intents.push(intent),
            Outcome::Remove { .. } => {}
            Outcome::Instead { intent, .. } => {
                world.count.not_spot += 1;
                self.ask(world, now_ms, intent)?;
            }
        }
        Ok(())
    }
}

fn launch(world: &mut World, intent: &Intent, answer: Option<Answer>) -> Launched {
    let (now_s, shown_ms) = (world.now_s, world.provider_ms());
    let fates = world.fates.clone();
    let before = world.cloud.machines.len();
    let mut done = |count| world.cloud.launch(now_s, shown_ms, intent, count, &fates);
    let lost = || ProviderError::Unknown("the connection was closed".to_owned());
    let answer = match answer {
        None | Some(Answer::NotAsked) => Ok(done(intent.count)),
        Some(Answer::Fewer) => Ok(done(intent.count.div_ceil(2))),
        Some(Answer::LostAndDone) => {
            done(intent.count);
            Err(lost())
        }
        Some(Answer::LostAndNotDone) => Err(lost()),
        Some(Answer::NoCapacity) => Err(ProviderError::NoCapacity("no capacity".to_owned())),
        Some(Answer::Quota) => Err(ProviderError::Quota("L-1216C47A".to_owned())),
        Some(Answer::Throttled) => Err(ProviderError::Throttled("slower".to_owned())),
        Some(Answer::Denied) => Err(ProviderError::Denied("ec2:RunInstances".to_owned())),
    };
    world.count.launched += u64::from(few(world.cloud.machines.len() - before));
    answer
}

/// Whether the truth allows it.
fn check(world: &mut World, action: &Action) -> Result<(), String> {
    match action {
        Action::Terminate { id, last, why } => {
            if said(world, &id.0) != *last {
                return Ok(());
            }
            match world.why_not_end(&id.0) {
                Some(truth) => Err(format!("{id} is to end ({why}), and it {truth}")),
                None => Ok(()),
            }
        }
        Action::Mark { id, .. } | Action::Unmark { id, .. } => match world.cloud.machine(&id.0) {
            Some(machine) if !machine.is_ours() || machine.is_kept() => {
                Err(format!("{id} is not ours to tag: {action:?}"))
            }
            _ => Ok(()),
        },
        Action::RemoveDocument { engine, last, why } => {
            let is_this = said(world, engine).as_ref() == Some(last);
            let machine = world.cloud.machine(engine);
            match machine.filter(|one| one.is_alive() && one.engine.is_some()) {
                Some(_) if is_this => {
                    Err(format!("{engine} loses its document ({why}), and it lives"))
                }
                _ => Ok(()),
            }
        }
        Action::Drain { .. } => Ok(()),
    }
}

fn said(world: &World, engine: &str) -> Option<Sign> {
    world.store.read().iter().find(|one| one.engine == engine).map(Registered::sign)
}

/// As a driver does: with a last look at what the decision rests on.
fn act(world: &mut World, action: &Action) {
    let now_s = world.now_s;
    match action {
        Action::RemoveDocument { engine, last, .. } => {
            if said(world, engine).as_ref() == Some(last) {
                world.count.documents += 1;
                world.store.documents.remove(engine);
                world.store.beats.remove(engine);
            }
        }
        Action::Mark { id, value, .. } => {
            if let Some(machine) = world.cloud.machine(&id.0) {
                machine.instance.tags.insert(TAG_ORPHAN.to_owned(), value.clone());
                world.count.marked += 1;
            }
        }
        Action::Unmark { id, .. } => {
            if let Some(machine) = world.cloud.machine(&id.0) {
                machine.instance.tags.remove(TAG_ORPHAN);
                world.count.unmarked += 1;
            }
        }
        Action::Drain { engine, .. } => {
            world.store.drains.insert(engine.clone());
            world.count.asked_to_drain += 1;
        }
        Action::Terminate { id, last, .. } => {
            if said(world, &id.0) != *last {
                return;
            }
            world.count.terminated += 1;
            world.count.terminated_with_document += u64::from(last.is_some());
            let machine = world.cloud.machine(&id.0);
            if let Some(machine) = machine.filter(|one| one.is_alive()) {
                machine.stop();
                if now_s.is_multiple_of(2) {
                    machine.end(now_s);
                }
            }
        }
    }
}

/// Whether a fault that lasts for so many rounds does in this one.
fn lasts(rounds: &mut u32) -> bool {
    let is_there = *rounds > 0;
    *rounds = rounds.saturating_sub(1);
    is_there
}

/// What is kept goes through a document, now and then: that takes longer than all the rest.
fn kept<T: Serialize + DeserializeOwned>(world: &World, value: T) -> T {
    if world.now_s.is_multiple_of(7) {
        let text = serde_json::to_string(&value).expect("JSON");
        serde_json::from_str(&text).expect("as it was written")
    } else {
        value
    }
}

fn few(count: usize) -> u32 {
    u32::try_from(count).expect("fewer than a history has steps")
}
