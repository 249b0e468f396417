//! Machines and engines compared, in both directions: documents of engines whose machine is no more are removed, and machines
//! that have no engine are marked, looked at again, and terminated. One region at a time, one round at a time.
//!
//! Whoever drives it lists the provider *before* it reads the engines' documents: who registers in between is then one more
//! engine, and not a machine without one.
//!
//! *Invariants:* what could not be listed or read is left alone. Nothing is terminated that has an engine whose document is
//! rewritten, that holds jobs, that an operator keeps, that is not tagged as of this fleet and region, or that has not had its
//! time to boot *as this side saw it*: times of launch are the provider's, and count for a mark only. [`Memory`] has what
//! rounds know of each other; who loses it waits longer, and ends nobody.

mod breaker;
mod capacity;
mod documents;
mod machines;
mod memory;
mod rules;

use std::collections::BTreeMap;

use crate::fleet::FleetRegion;
use crate::instance::{Instance, InstanceId, TAG_FLEET, TAG_KEEP, TAG_REGION};
use crate::provider::ProviderError;

pub use self::capacity::{Capacity, Idle};
pub use self::memory::{Boots, Memory};
pub use self::rules::Rules;

/// What a provider listed.
pub type Listing = Result<Vec<Instance>, ProviderError>;

/// What the engines' database says, or why it could not be read. It is the one at the region's home: in a copy whose
/// replication stands still all engines look silent.
pub type Registrations = Result<Vec<Registered>, String>;

/// What an engine wrote of itself: its document, or its beat, where there is no document and the beat names jobs. Whoever
/// drives the rounds leaves out engines that are not this provider's, such as those on machines of the operator: nobody lists
/// their instances.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registered {
    /// Its id, which is that of its instance.
    pub engine: String,
    /// Which start of it.
    pub incarnation: String,
    /// Rises with each rewriting.
    pub counter: u64,
    /// It said that it goes.
    pub gone: bool,
    /// Its beat names jobs.
    pub holds_jobs: bool,
    /// It has no document: incarnation and counter are those of its beat.
    pub is_beat: bool,
    /// It was asked to finish its jobs, and to claim no more.
    pub is_asked_to_drain: bool,
}

/// What one engine said: who acts on it compares it with what the engine says then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sign {
    /// Which start of the engine.
    pub incarnation: String,
    /// Its counter.
    pub counter: u64,
    /// Whether its beat named jobs.
    pub holds_jobs: bool,
    /// Whether it had no document, and this is what its beat said.
    pub is_beat: bool,
}

/// What is known of a region in one round.
#[derive(Debug, Clone, Copy)]
pub struct Seen<'a> {
    /// The time of day, in milliseconds since 1970.
    pub now_ms: u64,
    /// The fleet's name.
    pub fleet: &'a str,
    /// What is wanted of the region.
    pub region: &'a FleetRegion,
    /// Its place, listed first.
    pub listing: &'a Listing,
    /// Its engines, read then.
    pub registrations: &'a Registrations,
}

/// What is to be done, and why. Each may fail, or be done without an answer: the next round decides again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Removes an engine's document, or the beat of one that has none, if it still says this.
    RemoveDocument {
        /// The engine.
        engine: String,
        /// What it said.
        last: Sign,
        /// The reason.
        why: String,
    },
    /// Sets [`TAG_ORPHAN`](crate::instance::TAG_ORPHAN).
    Mark {
        /// The instance.
        id: InstanceId,
        /// The tag's value: now.
        value: String,
        /// The reason.
        why: String,
    },
    /// Takes [`TAG_ORPHAN`](crate::instance::TAG_ORPHAN) off.
    Unmark {
        /// The instance.
        id: InstanceId,
        /// The reason.
        why: String,
    },
    /// Asks an engine to finish its jobs, and to claim no more.
    Drain {
        /// The engine.
        engine: String,
        /// The reason.
        why: String,
    },
    /// Ends an instance.
    Terminate {
        /// The instance.
        id: InstanceId,
        /// What its engine said, if it has one. Document and beat are read again just before: where they say anything else, or
        /// where there is an engine now, the instance is left alone.
        last: Option<Sign>,
        /// The reason.
        why: String,
    },
}

/// What comes of a round.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Round {
    /// What is to be done, in this order.
    pub actions: Vec<Action>,
    /// What the next round is to know.
    pub memory: Memory,
    /// What was not done, and why; a line each.
    pub held: Vec<String>,
    /// What the region has to work with; nothing where that is not known.
    pub capacity: Option<Capacity>,
    /// What became of machines that had no engine yet.
    pub boots: Boots,
}

/// Decides one round of one region.
#[must_use]
pub fn decide(seen: &Seen<'_>, mut memory: Memory, rules: &Rules) -> Round {
    let (region, place) = (&seen.region.name, &seen.region.place);
    let blind = |mut memory: Memory, why: String| {
        memory.pass_over(seen.now_ms);
        let (held, boots) = (vec![why], Boots::default());
        Round { actions: Vec::new(), memory, held, capacity: None, boots }
    };
    let instances = match seen.listing {
        Ok(instances) => instances,
        Err(error) => {
            let why =
                format!("region {region} is left alone: {place} could not be listed: {error}");
            return blind(memory, why);
        }
    };
    let registrations = match seen.registrations {
        Ok(registrations) => registrations,
        Err(error) => {
            let why =
                format!("region {region} is left alone: its engines could not be read: {error}");
            return blind(memory, why);
        }
    };
    let view = View::new(seen, instances, registrations, rules);
    let boots = memory.hear(&view);
    let machines = machines::look(&view, &memory);
    let documents = documents::look(&view, &memory);
    let capacity = capacity::count(&view, &memory, &machines);
    if let Some(why) = breaker::holds(&view, &memory, &machines, &documents) {
        let capacity = Some(Capacity { is_doubtful: true, ..capacity });
        return Round { actions: Vec::new(), memory, held: vec![why], capacity, boots };
    }
    let (held, capacity) = (Vec::new(), Some(capacity));
    let mut round = Round { actions: Vec::new(), memory, held, capacity, boots };
    machines::act(&view, &machines, &mut round);
    documents::act(&documents, &mut round);
    round
}

/// What was seen in a round, as it is looked up.
struct View<'a> {
    seen: &'a Seen<'a>,
    rules: &'a Rules,
    /// All that were listed, whoever's.
    listed: BTreeMap<&'a str, &'a Instance>,
    engines: BTreeMap<&'a str, &'a Registered>,
}

impl<'a> View<'a> {
    fn new(
        seen: &'a Seen<'a>,
        instances: &'a [Instance],
        registrations: &'a [Registered],
        rules: &'a Rules,
    ) -> Self {
        Self {
            seen,
            rules,
            listed: instances.iter().map(|one| (one.id.0.as_str(), one)).collect(),
            engines: registrations.iter().map(|one| (one.engine.as_str(), one)).collect(),
        }
    }

    /// Whether it may be touched: it has the tags of this fleet and of this region.
    fn is_ours(&self, instance: &Instance) -> bool {
        instance.tag(TAG_FLEET) == Some(self.seen.fleet)
            && instance.tag(TAG_REGION) == Some(self.seen.region.name.as_str())
    }

    /// Ours that are there, or will be.
    fn alive(&self) -> impl Iterator<Item = &'a Instance> {
        self.listed.values().copied().filter(|one| one.state.is_alive() && self.is_ours(one))
    }
}

/// Whether only a person may end it.
fn is_kept(instance: &Instance) -> bool {
    instance.tag(TAG_KEEP).is_some()
}

impl Registered {
    /// What it says.
    #[must_use]
    pub fn sign(&self) -> Sign {
        Sign {
            incarnation: self.incarnation.clone(),
            counter: self.counter,
            holds_jobs: self.holds_jobs,
            is_beat: self.is_beat,
        }
    }
}

impl Action {
    /// The reason.
    #[must_use]
    pub fn why(&self) -> &str {
        match self {
            Self::RemoveDocument { why, .. }
            | Self::Mark { why, .. }
            | Self::Unmark { why, .. }
            | Self::Drain { why, .. }
            | Self::Terminate { why, .. } => why,
        }
    }
}

/// A duration as people read it.
fn long(ms: u64) -> String {
    match ms / 1000 {
        s @ 0..120 => format!("{s} s"),
        s @ 120..7_200 => format!("{} min", s / 60),
        s => format!("{} h", s / 3_600),
    }
}

#[cfg(test)]
mod tests;
