//! Each rule of reconciling by itself: what is seen, round by round, and what is done in the last.

mod documents;
mod machines;
mod sight;

use std::collections::BTreeMap;

use super::*;
use crate::instance::{InstanceState, TAG_ORPHAN};

/// When the first round is.
const START: u64 = 1_800_000_000_000;
const S: u64 = 1000;

/// A region over time: what is seen of it is changed by hand, rounds are each 20 s.
struct Story {
    now_ms: u64,
    region: FleetRegion,
    listing: Listing,
    registrations: Registrations,
    memory: Memory,
    rules: Rules,
}

impl Story {
    fn new() -> Self {
        let text =
            "name = \"main\"\n[[region]]\nname = \"virginia\"\nplace = \"us-east-1\"\nmax = 50\n";
        let region = crate::fleet::Fleet::parse(text).unwrap().regions.remove(0);
        Self {
            now_ms: START,
            region,
            listing: Ok(Vec::new()),
            registrations: Ok(Vec::new()),
            memory: Memory::default(),
            rules: Rules::default(),
        }
    }

    /// With an instance, launched an hour ago, that has no engine.
    fn lone() -> Self {
        let mut story = Self::new();
        story.add(instance("i-1"));
        story
    }

    /// With an instance and its engine.
    fn served() -> Self {
        let mut story = Self::lone();
        story.join(registered("i-1"));
        story
    }

    fn add(&mut self, instance: Instance) {
        self.listing.as_mut().unwrap().push(instance);
    }

    fn join(&mut self, engine: Registered) {
        self.registrations.as_mut().unwrap().push(engine);
    }

    fn instance(&mut self, id: &str) -> &mut Instance {
        self.listing.as_mut().unwrap().iter_mut().find(|one| one.id.0 == id).unwrap()
    }

    fn engine(&mut self, id: &str) -> &mut Registered {
        self.registrations.as_mut().unwrap().iter_mut().find(|one| one.engine == id).unwrap()
    }

    /// A round that is seen, and forgotten but for its memory.
    fn round(&mut self) -> Round {
        let seen = Seen {
            now_ms: self.now_ms,
            fleet: "main",
            region: &self.region,
            listing: &self.listing,
            registrations: &self.registrations,
        };
        let memory = serde_json::to_string(&self.memory).unwrap();
        let round = decide(&seen, serde_json::from_str(&memory).unwrap(), &self.rules);
        self.memory = round.memory.clone();
        self.now_ms += 20 * S;
        round
    }

    /// One round whose marks are set.
    fn once(&mut self) -> Round {
        let round = self.round();
        self.obey(&round);
        round
    }

    /// Rounds for so long; the last. What grows old from a round on has its age in the round after that time.
    fn pass(&mut self, seconds: u64) -> Round {
        (1..seconds / 20).for_each(|_| drop(self.once()));
        self.once()
    }

    /// As [`Story::pass`], and this engine writes before each.
    fn pass_beating(&mut self, id: &str, seconds: u64) -> Round {
        for _ in 1..seconds / 20 {
            self.engine(id).counter += 1;
            self.once();
        }
        self.engine(id).counter += 1;
        self.once()
    }

    fn obey(&mut self, round: &Round) {
        for action in &round.actions {
            match action {
                Action::Mark { id, value, .. } => {
                    self.instance(&id.0).tags.insert(TAG_ORPHAN.to_owned(), value.clone());
                }
                Action::Unmark { id, .. } => {
                    self.instance(&id.0).tags.remove(TAG_ORPHAN);
                }
                Action::Drain { engine, .. } => self.engine(engine).is_asked_to_drain = true,
                Action::Terminate { .. } | Action::RemoveDocument { .. } => {}
            }
        }
    }
}

fn instance(id: &str) -> Instance {
    let tags = [(TAG_FLEET, "main"), (TAG_REGION, "virginia")];
    Instance {
        id: InstanceId(id.to_owned()),
        state: InstanceState::Running,
        launched_ms: START - 3_600 * S,
        is_spot: false,
        tags: tags.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
    }
}

fn registered(id: &str) -> Registered {
    Registered {
        engine: id.to_owned(),
        incarnation: "a".to_owned(),
        counter: 1,
        gone: false,
        holds_jobs: false,
        is_asked_to_drain: false,
        is_beat: false,
    }
}

/// The actions in short.
fn words(round: &Round) -> Vec<String> {
    let word = |action: &Action| match action {
        Action::RemoveDocument { engine, .. } => format!("remove {engine}"),
        Action::Mark { id, .. } => format!("mark {id}"),
        Action::Unmark { id, .. } => format!("unmark {id}"),
        Action::Drain { engine, .. } => format!("drain {engine}"),
        Action::Terminate { id, .. } => format!("terminate {id}"),
    };
    round.actions.iter().map(word).collect()
}

fn tags(instance: &mut Instance) -> &mut BTreeMap<String, String> {
    &mut instance.tags
}
