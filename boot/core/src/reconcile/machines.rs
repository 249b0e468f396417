//! Instances without a living engine: what is wrong with each, and what is done about it.

use super::memory::Memory;
use super::rules::ms;
use super::{Action, Round, View, is_kept, long};
use crate::instance::{Instance, TAG_KEEP, TAG_ORPHAN};

/// Why an instance that is there does no work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wrong {
    /// No engine of it has registered in time.
    Late {
        /// Since its launch, by the provider's clock; or since it was first seen, if that clock is ahead.
        age_ms: u64,
        /// Whether this side itself has seen it wait so long. The clocks of two machines may differ by more than a boot takes.
        is_sure: bool,
    },
    /// The document of its engine has not changed for so long.
    Silent(u64),
    /// Its engine said that it goes, so long ago.
    Left(u64),
}

impl Wrong {
    /// Whether enough was seen to end it.
    pub(super) fn is_sure(self) -> bool {
        !matches!(self, Self::Late { is_sure: false, .. })
    }

    fn told(self) -> String {
        match self {
            Self::Late { age_ms, .. } => {
                format!("no engine registered within {} of its launch", long(age_ms))
            }
            Self::Silent(ms) => {
                format!("its engine has not rewritten its document for {}", long(ms))
            }
            Self::Left(ms) => {
                format!("its engine went {} ago, and the machine is still there", long(ms))
            }
        }
    }
}

/// One of ours that is there.
pub(super) struct Machine<'a> {
    pub(super) instance: &'a Instance,
    pub(super) wrong: Option<Wrong>,
    /// For how long it has been wrong, seen from here and without a break.
    wrong_ms: u64,
    /// For how long its engine has been asked to drain.
    drain_ms: Option<u64>,
}

pub(super) fn look<'a>(view: &View<'a>, memory: &Memory) -> Vec<Machine<'a>> {
    let look = |instance: &'a Instance| Machine {
        instance,
        wrong: wrong(view, memory, instance),
        wrong_ms: memory.wrong(&instance.id.0),
        drain_ms: memory.drains(&instance.id.0),
    };
    view.alive().map(look).collect()
}

/// What is wrong with an instance that is there, if anything is.
pub(super) fn wrong(view: &View<'_>, memory: &Memory, instance: &Instance) -> Option<Wrong> {
    let id = instance.id.0.as_str();
    let Some(engine) = view.engines.get(id) else {
        let alone = memory.alone(id);
        let launched = view.seen.now_ms.checked_sub(instance.launched_ms);
        let age_ms = launched.unwrap_or(alone).max(alone);
        let allowed_ms = view.seen.region.registration_s.saturating_mul(1000);
        let is_sure = alone >= allowed_ms.max(ms(view.rules.age_min));
        return (age_ms >= allowed_ms).then_some(Wrong::Late { age_ms, is_sure });
    };
    let silence = memory.silence(id);
    if engine.gone {
        return (silence >= ms(view.rules.leaves_within)).then_some(Wrong::Left(silence));
    }
    (silence >= ms(view.rules.engine_silent)).then_some(Wrong::Silent(silence))
}

/// What a round does about them.
pub(super) fn act(view: &View<'_>, machines: &[Machine<'_>], round: &mut Round) {
    let mut sweep = Vec::new();
    for machine in machines {
        let instance = machine.instance;
        let Some(wrong) = machine.wrong else {
            overdue(view, machine, round);
            unmark(instance, round);
            continue;
        };
        if is_kept(instance) {
            round.held.push(format!(
                "{} is kept by its tag {TAG_KEEP}: {}",
                instance.id,
                wrong.told()
            ));
            continue;
        }
        match mark_age(view, instance) {
            None => round.actions.push(Action::Mark {
                id: instance.id.clone(),
                value: view.seen.now_ms.to_string(),
                why: wrong.told(),
            }),
            // The tag alone is not believed: it may be of an earlier time, or may have stayed when it was to go.
            Some(age)
                if age.min(machine.wrong_ms) >= ms(view.rules.orphan_again) && wrong.is_sure() =>
            {
                sweep.extend(end(view, machine, wrong));
            }
            Some(_) => {}
        }
    }
    let cap = view.rules.terminations_max;
    let ends = |action: &Action| matches!(action, Action::Terminate { .. });
    let (ended, drained): (Vec<Action>, Vec<Action>) = sweep.into_iter().partition(ends);
    if ended.len() > cap {
        let more = ended.len() - cap;
        round.held.push(format!(
            "{more} more instances wait to be terminated: a round ends {cap} at most"
        ));
    }
    round.actions.extend(drained);
    round.actions.extend(ended.into_iter().take(cap));
}

/// How long the mark has been there. One that cannot be read, or that is of the future, is none: it is set anew.
fn mark_age(view: &View<'_>, instance: &Instance) -> Option<u64> {
    let then: u64 = instance.tag(TAG_ORPHAN)?.parse().ok()?;
    view.seen.now_ms.checked_sub(then)
}

/// The end of an orphan, or what must come before.
fn end(view: &View<'_>, machine: &Machine<'_>, wrong: Wrong) -> Option<Action> {
    let instance = machine.instance;
    let engine = view.engines.get(instance.id.0.as_str());
    let mut why = wrong.told();
    if let Some(engine) = engine.filter(|engine| engine.holds_jobs) {
        match machine.drain_ms {
            None => {
                why.push_str(", and it holds jobs");
                return Some(Action::Drain { engine: engine.engine.clone(), why });
            }
            Some(drains) if drains < ms(view.rules.drain) => return None,
            Some(drains) => why.push_str(&format!(", and was asked to drain {} ago", long(drains))),
        }
    }
    Some(Action::Terminate {
        id: instance.id.clone(),
        last: engine.map(|engine| engine.sign()),
        why,
    })
}

/// Says of an engine that works on, long after it was asked to end.
fn overdue(view: &View<'_>, machine: &Machine<'_>, round: &mut Round) {
    if let Some(drains) = machine.drain_ms.filter(|drains| *drains >= ms(view.rules.drain)) {
        round.held.push(format!(
            "{} was asked to drain {} ago and its engine is still there: look at its log; nothing ends a living engine",
            machine.instance.id,
            long(drains)
        ));
    }
}

fn unmark(instance: &Instance, round: &mut Round) {
    if instance.tag(TAG_ORPHAN).is_some() && !is_kept(instance) {
        let why = "it has an engine, or still has time to get one".to_owned();
        round.actions.push(Action::Unmark { id: instance.id.clone(), why });
    }
}
