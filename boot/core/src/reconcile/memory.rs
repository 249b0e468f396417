//! What rounds know of each other: since when, by this side's own patience, an engine has said nothing new, an instance has had
//! no engine, a document no instance.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::machines;
use super::rules::ms;
use super::{Registered, View};
use crate::instance::{InstanceId, InstanceState};

/// One region's memory, kept in a `_local` document from round to round. Where it cannot be read a new one does: everybody
/// then has all time anew.
///
/// Its times are not those of a clock: they rise by what has passed between two rounds that saw everything, and by
/// [`Rules::step_max`](super::Rules::step_max) at most. A clock that is set, a round that was blind and a driver that slept
/// make nobody look silent.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Memory {
    /// The time of day of the last round.
    #[serde(default)]
    at_ms: u64,
    /// What has passed, in this memory's own time.
    #[serde(default)]
    passed_ms: u64,
    /// By engine.
    #[serde(default)]
    pub(super) engines: BTreeMap<String, EngineNote>,
    /// By instance: those that lack a living engine.
    #[serde(default)]
    pub(super) lone: BTreeMap<String, LoneNote>,
}

/// What became of boots since the round before.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Boots {
    /// Machines that have ended, or are about to, and on which no engine has registered.
    pub failed: Vec<InstanceId>,
    /// Whether the engine of one that had none has registered.
    pub is_registered: bool,
}

/// Of an engine's document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct EngineNote {
    incarnation: String,
    counter: u64,
    #[serde(default, skip_serializing_if = "is_false")]
    is_beat: bool,
    /// Since when it says this.
    since_ms: u64,
    /// Since when it asks for a drain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    drain_ms: Option<u64>,
    /// Successive listings without its instance.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(super) absent_count: u32,
    /// Whether it was rewritten while its instance was absent.
    #[serde(default, skip_serializing_if = "is_false")]
    pub(super) beats_absent: bool,
}

/// Of an instance that lacks a living engine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct LoneNote {
    /// Since when it was seen without a document of an engine; nothing when it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    alone_ms: Option<u64>,
    /// Since when it counts as wrong, without a break.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    wrong_ms: Option<u64>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes fields so")]
fn is_zero(count: &u32) -> bool {
    *count == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes fields so")]
fn is_false(flag: &bool) -> bool {
    !flag
}

impl Memory {
    /// A round that saw nothing: no time has passed, and no listing is the second in a row.
    pub(super) fn pass_over(&mut self, now_ms: u64) {
        self.at_ms = now_ms;
        for note in self.engines.values_mut() {
            note.absent_count = 0;
            note.beats_absent = false;
        }
    }

    /// A round that saw everything.
    pub(super) fn hear(&mut self, view: &View<'_>) -> Boots {
        let now_ms = view.seen.now_ms;
        let passed = if self.at_ms == 0 { 0 } else { now_ms.saturating_sub(self.at_ms) };
        self.passed_ms += passed.min(ms(view.rules.step_max));
        self.at_ms = now_ms;
        self.hear_engines(view);
        self.hear_instances(view)
    }

    fn hear_engines(&mut self, view: &View<'_>) {
        let now = self.passed_ms;
        let mut before = std::mem::take(&mut self.engines);
        for (id, engine) in &view.engines {
            let known = before.remove(*id);
            let is_new = known.as_ref().is_none_or(|note| !note.says(engine));
            let was = known.unwrap_or_else(|| EngineNote::new(engine, now));
            let is_absent = view.listed.get(id).is_none_or(|one| one.state == InstanceState::Gone);
            let note = EngineNote {
                incarnation: engine.incarnation.clone(),
                counter: engine.counter,
                is_beat: engine.is_beat,
                since_ms: if is_new { now } else { was.since_ms },
                drain_ms: engine.is_asked_to_drain.then_some(was.drain_ms.unwrap_or(now)),
                absent_count: if is_absent { was.absent_count.saturating_add(1) } else { 0 },
                beats_absent: is_absent && (was.beats_absent || is_new && was.absent_count > 0),
            };
            self.engines.insert((*id).to_owned(), note);
        }
    }

    fn hear_instances(&mut self, view: &View<'_>) -> Boots {
        let mut boots = Boots::default();
        let mut before = std::mem::take(&mut self.lone);
        for instance in view.alive() {
            let id = instance.id.0.as_str();
            let was = before.remove(id);
            let mut note = LoneNote { alone_ms: None, wrong_ms: None };
            let since = was.as_ref().and_then(|was| was.alone_ms);
            if view.engines.contains_key(id) {
                boots.is_registered |= since.is_some();
            } else {
                note.alone_ms = Some(since.unwrap_or(self.passed_ms));
            }
            // What is wrong is judged by what was just noted.
            self.lone.insert(id.to_owned(), note);
            match (machines::wrong(view, self, instance), self.lone.get_mut(id)) {
                (Some(_), Some(note)) => {
                    let since = was.and_then(|was| was.wrong_ms);
                    note.wrong_ms = Some(since.unwrap_or(self.passed_ms));
                }
                (None, Some(note)) if note.alone_ms.is_none() => {
                    self.lone.remove(id);
                }
                _ => {}
            }
        }
        let has_failed = |(id, note): &(String, LoneNote)| {
            note.alone_ms.is_some()
                && view.listed.contains_key(id.as_str())
                && !view.engines.contains_key(id.as_str())
        };
        let failed = before.into_iter().filter(has_failed);
        boots.failed = failed.map(|(id, _)| InstanceId(id)).collect();
        boots
    }

    fn since(&self, then_ms: u64) -> u64 {
        self.passed_ms.saturating_sub(then_ms)
    }

    /// How long the engine's document has said the same.
    pub(super) fn silence(&self, engine: &str) -> u64 {
        self.engines.get(engine).map_or(0, |note| self.since(note.since_ms))
    }

    /// How long its document has asked the engine to drain; nothing when it does not.
    pub(super) fn drains(&self, engine: &str) -> Option<u64> {
        self.engines.get(engine)?.drain_ms.map(|then| self.since(then))
    }

    /// How long the instance has been seen without a document of an engine.
    pub(super) fn alone(&self, id: &str) -> u64 {
        self.lone.get(id).and_then(|note| note.alone_ms).map_or(0, |then| self.since(then))
    }

    /// How long something has been wrong with the instance, without a break.
    pub(super) fn wrong(&self, id: &str) -> u64 {
        self.lone.get(id).and_then(|note| note.wrong_ms).map_or(0, |then| self.since(then))
    }
}

impl EngineNote {
    fn new(engine: &Registered, now: u64) -> Self {
        Self {
            incarnation: engine.incarnation.clone(),
            counter: engine.counter,
            is_beat: engine.is_beat,
            since_ms: now,
            drain_ms: None,
            absent_count: 0,
            beats_absent: false,
        }
    }

    fn says(&self, engine: &Registered) -> bool {
        self.counter == engine.counter
            && self.incarnation == engine.incarnation
            && self.is_beat == engine.is_beat
    }
}
