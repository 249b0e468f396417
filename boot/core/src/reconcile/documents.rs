//! Documents of engines whose instance is no more.

use super::memory::Memory;
use super::rules::ms;
use super::{Action, Registered, Round, View, long};

/// Listings in a row that lack the instance: a provider may hide a new one from a listing, and show it in the next.
const ABSENT_COUNT_MIN: u32 = 2;

/// The document of an engine whose instance is not there.
pub(super) struct Ghost<'a> {
    engine: &'a Registered,
    pub(super) kind: Kind,
    /// Whether the provider says itself that the instance has ended.
    pub(super) has_ended: bool,
    why: String,
}

/// What is to be thought of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Its engine said that it goes.
    Left,
    /// It has not changed for long.
    Silent,
    /// Somebody rewrites it.
    Beats,
}

/// Those that were seen often enough. Who was there a moment ago is none: he has time until he counts as silent.
pub(super) fn look<'a>(view: &View<'a>, memory: &Memory) -> Vec<Ghost<'a>> {
    let place = &view.seen.region.place;
    let mut ghosts = Vec::new();
    for (id, engine) in &view.engines {
        let Some(note) =
            memory.engines.get(*id).filter(|note| note.absent_count >= ABSENT_COUNT_MIN)
        else {
            continue;
        };
        let silence = memory.silence(id);
        let kind = if engine.gone {
            Kind::Left
        } else if silence >= ms(view.rules.engine_silent) {
            Kind::Silent
        } else if note.beats_absent {
            Kind::Beats
        } else {
            continue;
        };
        let has_ended = view.listed.contains_key(id);
        let instance = if has_ended { "its instance has ended" } else { "it has no instance" };
        let count = note.absent_count;
        let mut why = format!("{instance} in {count} listings of {place} in a row");
        match kind {
            Kind::Left => why.push_str(", and it said that it goes"),
            Kind::Silent => {
                why.push_str(&format!(", and it was not rewritten for {}", long(silence)));
            }
            Kind::Beats => {}
        }
        ghosts.push(Ghost { engine, kind, has_ended, why });
    }
    ghosts
}

/// What a round does about them.
pub(super) fn act(ghosts: &[Ghost<'_>], round: &mut Round) {
    for Ghost { engine, kind, why, .. } in ghosts {
        let engine_id = &engine.engine;
        if *kind == Kind::Beats {
            round.held.push(format!(
                "engine {engine_id} is left alone: {why}, but its document is rewritten: something lives there; check that the fleet's account and place are those of its machine"
            ));
        } else {
            let (engine, last) = (engine_id.clone(), engine.sign());
            round.actions.push(Action::RemoveDocument { engine, last, why: why.clone() });
        }
    }
}
