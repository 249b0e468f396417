//! How many engines a region shall have: from what waits and runs there, within what its operator allows.
//!
//! Up at once, in the round that sees the queue grow, with all that is under way counted. Down only what is idle, and only
//! after [`FleetRegion::cool_down_s`](crate::fleet::FleetRegion::cool_down_s) in which nothing was launched or drained and there
//! was always too much: a machine that boots costs its users a minute, one that stays costs its owner a cent.

mod backoff;
mod history;

use crate::fleet::FleetRegion;
use crate::instance::InstanceId;
use crate::launches::Intent;
use crate::provider::ProviderError;
use crate::reconcile::{Capacity, Idle};

pub use self::history::{History, NO_SPOT_MS, Outcome, STEP_MS_MAX};

/// What there is to do in a region. Heavy jobs take several slots: all is in slots.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Demand {
    /// Slots that the waiting jobs will take.
    pub waiting: u32,
    /// How long the oldest of them has waited, in milliseconds.
    pub oldest_waiting_ms: u64,
    /// Slots that are taken.
    pub running: u32,
    /// For each waiting run of several engines, how many: each of its jobs needs an engine of its own.
    pub reservations: Vec<u32>,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// Engines that there shall be.
    pub wanted: u32,
    /// The launch, if one is to be: it is written down with [`Decision::history`], and then asked for.
    pub launch: Option<Intent>,
    /// The engines to be asked to drain.
    pub drain: Vec<String>,
    /// How all this came about, a line each.
    pub reasons: Vec<String>,
    /// What the next round is to know.
    pub history: History,
}

/// A job that waits longer, while all slots are taken and nothing boots, waits for jobs that are longer than was thought: as many
/// engines as all waiting jobs need come at once. In milliseconds; six rounds of 5 s.
pub const WAITING_MS_MAX: u64 = 30_000;

/// Machines of one launch: a fleet grows by steps of so many, so that a mistake in what is counted is seen before it is paid.
pub const LAUNCH_COUNT_MAX: u32 = 100;

/// Decides for one region. `capacity` is that of this round, with what is launching.
#[must_use]
pub fn decide(
    now_ms: u64,
    (fleet, region): (&str, &FleetRegion),
    demand: &Demand,
    capacity: &Capacity,
    history: &History,
) -> Decision {
    let mut reasons = vec![told(capacity)];
    let wanted = wanted(region, demand, capacity, &mut reasons);
    let mut history = history.clone();
    history.hear(now_ms, capacity.registered > wanted);
    let mut decision = Decision { wanted, launch: None, drain: Vec::new(), reasons, history };
    let lacking = wanted.saturating_sub(capacity.coming());
    if lacking > 0 {
        launch(now_ms, (fleet, region), lacking, capacity, &mut decision);
    } else if capacity.registered > wanted {
        drain(now_ms, region, capacity, &mut decision);
    }
    decision
}

fn told(capacity: &Capacity) -> String {
    let Capacity { registered, booting, launching, draining, orphaned, .. } = capacity;
    format!(
        "{registered} engines take jobs; {booting} machines boot, {launching} are asked for, {draining} drain, {orphaned} have lost their engine"
    )
}

fn wanted(
    region: &FleetRegion,
    demand: &Demand,
    capacity: &Capacity,
    reasons: &mut Vec<String>,
) -> u32 {
    let FleetRegion { min, max, warm, .. } = *region;
    let slots = region.slots.max(1);
    let Demand { waiting, running, oldest_waiting_ms, .. } = *demand;
    let mut needed = running.saturating_add(waiting).div_ceil(slots);
    reasons.push(format!(
        "{running} slots are taken and {waiting} are waited for, of {slots} an engine: {needed} engines"
    ));
    // Engines whose slots are all taken help no run that waits for engines.
    let full = running / slots;
    if let Some(most) = demand.reservations.iter().max().filter(|most| **most > 0) {
        let reserved = most.saturating_add(full);
        reasons.push(format!(
            "a run waits for {most} engines, and {full} are full: {reserved} engines"
        ));
        needed = needed.max(reserved);
    }
    if waiting > 0 && oldest_waiting_ms >= WAITING_MS_MAX {
        let waited = oldest_waiting_ms / 1000;
        if capacity.booting + capacity.launching > 0 {
            reasons.push(format!("a job has waited for {waited} s, and machines are on their way"));
        } else if running < capacity.registered.saturating_mul(slots) {
            // One that no engine can run must not draw the whole fleet.
            reasons.push(format!(
                "a job has waited for {waited} s although slots are free: more engines would not help it; look at what it asks for"
            ));
        } else {
            let more = waiting.div_ceil(slots);
            reasons.push(format!(
                "a job has waited for {waited} s, more than {} s, and all slots are taken: {more} more",
                WAITING_MS_MAX / 1000
            ));
            needed = needed.saturating_add(more);
        }
    }
    let with_warm = needed.saturating_add(warm);
    let wanted = with_warm.clamp(min.min(max), max);
    reasons.push(format!("with {warm} warm, at least {min} and at most {max}: {wanted} wanted"));
    wanted
}

fn launch(
    now_ms: u64,
    (fleet, region): (&str, &FleetRegion),
    lacking: u32,
    capacity: &Capacity,
    decision: &mut Decision,
) {
    let room = region.max.saturating_sub(capacity.machines());
    let count = lacking.min(room).min(LAUNCH_COUNT_MAX);
    if room < lacking {
        decision.reasons.push(format!(
            "{lacking} are lacking, and {room} more machines may be: at most {} with those that drain or have lost their engine",
            region.max
        ));
    }
    if count == 0 {
        return;
    }
    if let Some(why) = decision.history.held(now_ms) {
        decision.reasons.push(format!("{count} would be launched: {why}"));
        return;
    }
    let is_spot = region.spot && decision.history.may_spot(now_ms);
    if region.spot && !is_spot {
        decision.reasons.push("there was no room for spot machines a while ago: others".to_owned());
    }
    let kind = if is_spot { "spot machines" } else { "machines" };
    decision.reasons.push(format!("{lacking} are lacking: {count} {kind} are to be launched"));
    decision.launch = Some(decision.history.intend(now_ms, (fleet, &region.name), count, is_spot));
}

fn drain(now_ms: u64, region: &FleetRegion, capacity: &Capacity, decision: &mut Decision) {
    let surplus = capacity.registered.saturating_sub(decision.wanted);
    let reasons = &mut decision.reasons;
    if capacity.is_doubtful {
        reasons.push(format!(
            "{surplus} are too many, and none is drained while the circuit breaker holds"
        ));
        return;
    }
    // Who wants none has decided: no queue takes that back.
    let cool_down_s = if region.max == 0 { 0 } else { region.cool_down_s };
    let pause = decision.history.cools_ms(now_ms, cool_down_s.saturating_mul(1000));
    if pause > 0 {
        reasons.push(format!(
            "{surplus} are too many, and none is drained for {} s more: cool-down-s = {}",
            pause.div_ceil(1000),
            region.cool_down_s
        ));
        return;
    }
    let mut idle: Vec<&Idle> = capacity.idle.iter().collect();
    // What costs more goes first, and then the oldest: so a fleet renews itself, and has the bundle of today where machines of
    // yesterday would stay for ever.
    idle.sort_by_key(|one| (one.is_spot, one.launched_ms, one.engine.as_str()));
    let count = usize::try_from(surplus).unwrap_or(usize::MAX);
    decision.drain = idle.iter().take(count).map(|one| one.engine.clone()).collect();
    let drained = decision.drain.len();
    reasons.push(match region.max {
        0 => format!("max = 0, and {surplus} are there: {drained} are to drain"),
        _ => format!(
            "{surplus} are too many, {} of all are idle: {drained} are to drain, the oldest first",
            idle.len()
        ),
    });
    if drained > 0 {
        decision.history.changed(now_ms);
    }
}

/// What a provider answered to a launch.
pub type Launched = Result<Vec<InstanceId>, ProviderError>;

#[cfg(test)]
mod tests;
