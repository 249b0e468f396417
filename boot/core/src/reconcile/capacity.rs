//! What a region has to work with, as a round found it.

use super::machines::Machine;
use super::memory::Memory;
use super::rules::ms;
use super::{View, is_kept};

/// Engines and machines of a region.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Capacity {
    /// Engines that take jobs.
    pub registered: u32,
    /// Machines whose engine still has time to register.
    pub booting: u32,
    /// Engines that finish their jobs and take no more.
    pub draining: u32,
    /// Machines that have no living engine, and that are paid until they are ended.
    pub orphaned: u32,
    /// Machines that were asked for and that no listing shows yet: [`settle`](crate::launches::settle) knows them, and who
    /// reconciles does not.
    pub launching: u32,
    /// Whether the circuit breaker holds: nobody is to be drained on such a sight.
    pub is_doubtful: bool,
    /// Engines that take jobs and have none; where none is to be (`max = 0`) also those that have some: they end them before
    /// they leave.
    pub idle: Vec<Idle>,
}

/// An engine that could be drained and would lose nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Idle {
    /// Which.
    pub engine: String,
    /// When its machine was launched, by the provider's clock.
    pub launched_ms: u64,
    /// Whether the provider may take it back.
    pub is_spot: bool,
}

impl Capacity {
    /// All that is paid, or will be.
    #[must_use]
    pub fn machines(&self) -> u32 {
        [self.booting, self.draining, self.orphaned, self.launching]
            .into_iter()
            .fold(self.registered, u32::saturating_add)
    }

    /// All that takes jobs, or will.
    #[must_use]
    pub fn coming(&self) -> u32 {
        self.registered.saturating_add(self.booting).saturating_add(self.launching)
    }
}

pub(super) fn count(view: &View<'_>, memory: &Memory, machines: &[Machine<'_>]) -> Capacity {
    let mut capacity = Capacity::default();
    for machine in machines {
        let instance = machine.instance;
        let engine = view.engines.get(instance.id.0.as_str());
        match (machine.wrong, engine) {
            (Some(wrong), _) if wrong.is_sure() => capacity.orphaned += 1,
            (_, None) => capacity.booting += 1,
            // It goes, and its machine is about to.
            (_, Some(engine)) if engine.gone || engine.is_asked_to_drain => capacity.draining += 1,
            (_, Some(engine)) => {
                capacity.registered += 1;
                if (!engine.holds_jobs || view.seen.region.max == 0) && !is_kept(instance) {
                    capacity.idle.push(Idle {
                        engine: engine.engine.clone(),
                        launched_ms: instance.launched_ms,
                        is_spot: instance.is_spot,
                    });
                }
            }
        }
    }
    // Engines of machines that the listing does not show, as a new one may be hidden.
    for (id, engine) in &view.engines {
        let is_fresh = memory.silence(id) < ms(view.rules.engine_silent);
        if view.listed.contains_key(id) || engine.gone || !is_fresh {
            continue;
        }
        if engine.is_asked_to_drain {
            capacity.draining += 1;
        } else {
            capacity.registered += 1;
        }
    }
    capacity
}
