//! Whether a tenant may do what it asks for, by its plan and by what was used: pure, the same at every gateway.
//!
//! A limit holds about. A gateway knows what it has admitted itself, and what the others have told: each writes its counts once
//! in a flush interval, and the word of it takes the lag of feed and replication. When the last job is admitted, what its gateway
//! does not know is what the *other* gateways admitted within that time. So over `G` gateways
//!
//! > used <= max + (G - 1) x what one gateway admits within (flush interval + lag)
//!
//! and one gateway alone never passes a limit. As each gateway by itself admits no more than the limit leaves by its own view, a
//! burst at all of them at once is at most `G` times what was left. While a gateway is cut off from the others it counts alone:
//! the lag is as long as that. An hour is the hour of the gateway's own clock. `tally.rs` tests the bound.

use std::fmt;

use super::plan::Plan;
use super::tenant::Tenant;
use super::usage::{DAY_HOURS, HOUR_MS, day_of, hour_of};

/// Who asks for more than there is room for, and can be helped by the end of a job, is asked to come back after so long: as a
/// rule jobs are short.
const JOBS_AGAIN_MS: u64 = 5_000;

/// Less than so much load for a task is none: no test can be made of it.
const LOAD_MS_MIN: u64 = 1_000;

/// What was used of what a plan limits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Used {
    /// Jobs accepted in this hour.
    pub jobs_this_hour: u64,
    /// Jobs that were accepted and have not ended.
    pub jobs_now: u64,
    /// Load tests accepted today, in milliseconds of one engine.
    pub load_ms_today: u64,
    /// Bytes that jobs that ended today have said.
    pub output_bytes_today: u64,
}

/// What a run asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asked {
    /// Its tasks: each is a job, and runs on an engine of its own.
    pub tasks: u64,
    /// When its plugin may make load: how long each task may take, in milliseconds.
    pub load_ms: Option<u64>,
}

/// What a run gets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Granted {
    /// How long the load tests of each task may last, in milliseconds. `None`: it makes no load, or load is not limited.
    pub load_ms: Option<u64>,
}

/// The limits of a plan that are asked at admission, and what counts towards them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(missing_docs, reason = "they are the fields of Plan")]
pub enum Limit {
    JobsPerHour,
    JobsAtOnce,
    EnginesPerRun,
    LoadMinutesPerDay,
}

impl Limit {
    /// As the plan's document has it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::JobsPerHour => "jobs_per_hour",
            Self::JobsAtOnce => "jobs_at_once",
            Self::EnginesPerRun => "engines_per_run",
            Self::LoadMinutesPerDay => "load_minutes_per_day",
        }
    }
}

/// What was asked for is more than the plan leaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exceeded {
    /// Which limit.
    pub limit: Limit,
    /// The plan's name.
    pub plan: String,
    /// What was used, in the limit's unit.
    pub used: u64,
    /// What was asked for beside it.
    pub asked: u64,
    /// What there may be.
    pub max: u64,
    /// When it may be asked for again.
    pub free_again: FreeAgain,
}

/// When what a limit holds back is free again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FreeAgain {
    /// Then: milliseconds since 1970, and how long that is from now.
    At {
        /// The moment.
        at_ms: u64,
        /// From now until then.
        in_ms: u64,
    },
    /// When jobs end; it may be asked for again after this many milliseconds.
    WhenJobsEnd {
        /// How long to wait before asking.
        in_ms: u64,
    },
    /// No waiting mends it: the plan never allows so much.
    Never,
}

impl fmt::Display for Exceeded {
    /// Reads after "refused".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { limit, plan, used, asked, max, free_again } = self;
        let name = limit.name();
        match free_again {
            FreeAgain::Never => write!(
                f,
                "{asked} asked for, plan '{plan}' allows {max} ({name}); ask for fewer, or ask the operator for another plan"
            ),
            FreeAgain::WhenJobsEnd { .. } => write!(
                f,
                "{used} of {max} used and {asked} asked for ({name} of plan '{plan}'); free again when jobs end"
            ),
            FreeAgain::At { in_ms, .. } => write!(
                f,
                "{used} of {max} used and {asked} asked for ({name} of plan '{plan}'); free again in {}",
                Wait(*in_ms)
            ),
        }
    }
}

/// A time to wait, for people.
struct Wait(u64);

impl fmt::Display for Wait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.div_ceil(1000);
        match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
            (0, 0, s) => write!(f, "{s} s"),
            (0, m, s) => write!(f, "{m} min {s} s"),
            (h, m, _) => write!(f, "{h} h {m} min"),
        }
    }
}

/// Decides whether a run may be admitted. What is refused was not counted.
///
/// # Errors
///
/// [`Exceeded`] names the first limit that it would pass: those that no waiting mends come first.
pub fn may(plan: &Plan, used: &Used, asked: &Asked, now_ms: u64) -> Result<Granted, Exceeded> {
    let exceeded = |limit, used, asked, max, free_again| {
        Err(Exceeded { limit, plan: plan.name.clone(), used, asked, max, free_again })
    };
    let tasks = asked.tasks;
    for (limit, max) in [
        (Limit::EnginesPerRun, plan.engines_per_run),
        (Limit::JobsPerHour, plan.jobs_per_hour),
        (Limit::JobsAtOnce, plan.jobs_at_once),
    ] {
        if let Some(max) = max.filter(|max| tasks > *max) {
            return exceeded(limit, 0, tasks, max, FreeAgain::Never);
        }
    }
    let is_over = |used: u64, max: &u64| used.saturating_add(tasks) > *max;
    let hour = hour_of(now_ms);
    if let Some(max) = plan.jobs_per_hour.filter(|max| is_over(used.jobs_this_hour, max)) {
        let free_again = at_hour(hour + 1, now_ms);
        return exceeded(Limit::JobsPerHour, used.jobs_this_hour, tasks, max, free_again);
    }
    if let Some(max) = plan.jobs_at_once.filter(|max| is_over(used.jobs_now, max)) {
        let free_again = FreeAgain::WhenJobsEnd { in_ms: JOBS_AGAIN_MS };
        return exceeded(Limit::JobsAtOnce, used.jobs_now, tasks, max, free_again);
    }
    let (Some(minutes), Some(load_ms)) = (plan.load_minutes_per_day, asked.load_ms) else {
        return Ok(Granted::default());
    };
    let max_ms = minutes.saturating_mul(60_000);
    if max_ms / tasks.max(1) < LOAD_MS_MIN {
        let needed = LOAD_MS_MIN.saturating_mul(tasks).div_ceil(60_000);
        return exceeded(Limit::LoadMinutesPerDay, 0, needed, minutes, FreeAgain::Never);
    }
    // What is left is divided; what is over stays for the next run.
    let left = max_ms.saturating_sub(used.load_ms_today) / tasks.max(1);
    if left < LOAD_MS_MIN {
        let free_again = at_hour(day_of(hour) + DAY_HOURS, now_ms);
        let used = used.load_ms_today.div_ceil(60_000);
        return exceeded(Limit::LoadMinutesPerDay, used, tasks, minutes, free_again);
    }
    Ok(Granted { load_ms: Some(load_ms.min(left)) })
}

/// The limits that leave nothing, and when they are free again: milliseconds since 1970.
#[must_use]
pub fn reached(plan: &Plan, used: &Used, now_ms: u64) -> Vec<(Limit, u64)> {
    let one = Asked { tasks: 1, load_ms: Some(u64::MAX) };
    let none = Plan::unlimited(&plan.name);
    [
        Plan { jobs_per_hour: plan.jobs_per_hour, ..none.clone() },
        Plan { load_minutes_per_day: plan.load_minutes_per_day, ..none },
    ]
    .iter()
    .filter_map(|plan| match may(plan, used, &one, now_ms) {
        Err(Exceeded { limit, free_again: FreeAgain::At { at_ms, .. }, .. }) => {
            Some((limit, at_ms))
        }
        _ => None,
    })
    .collect()
}

fn at_hour(hour: u64, now_ms: u64) -> FreeAgain {
    let at_ms = hour.saturating_mul(HOUR_MS);
    FreeAgain::At { at_ms, in_ms: at_ms.saturating_sub(now_ms) }
}

/// Why a tenant may use nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoPlan {
    /// Its plan is not there.
    #[error(
        "plan '{plan}' of tenant '{tenant}' is not known here; the operator makes it with 'blitz plans set {plan}'"
    )]
    Unknown {
        /// Which tenant.
        tenant: String,
        /// Which plan.
        plan: String,
    },
    /// It is over, and no other comes after it.
    #[error("plan '{plan}' of tenant '{tenant}' is over; ask the operator for another one")]
    Over {
        /// Which tenant.
        tenant: String,
        /// Which plan.
        plan: String,
    },
}

/// Why a plan allows nothing at all; `None` for one that stands. Of a tenant without a plan that stands,
/// [`Plan::nothing`] is the plan.
#[must_use]
pub fn why_nothing(tenant: &Tenant, plan: &Plan, now_ms: u64) -> Option<NoPlan> {
    if *plan != Plan::nothing(&plan.name) {
        return None;
    }
    let (plan, of) = (plan.name.clone(), tenant.name.clone());
    Some(match is_over(tenant, now_ms) {
        true => NoPlan::Over { tenant: of, plan },
        false => NoPlan::Unknown { tenant: of, plan },
    })
}

fn is_over(tenant: &Tenant, now_ms: u64) -> bool {
    tenant.plan_until_ms.is_some_and(|until| until <= now_ms)
}

/// What a tenant's document is once its plan is over; `None` while there is nothing to change. Every gateway makes the same of
/// the same document: the same body over the same revision is the same revision, so that all may write it, in all clusters.
/// Of one that was edited on two sides, somebody must first say which edit is meant.
#[must_use]
pub fn expired(tenant: &Tenant, plan: &Plan, now_ms: u64) -> Option<Tenant> {
    let then = plan.then.as_ref().filter(|then| **then != tenant.plan)?;
    let is_due = is_over(tenant, now_ms) && tenant.contested.is_empty() && plan.name == tenant.plan;
    is_due.then(|| Tenant { plan: then.clone(), plan_until_ms: None, ..tenant.clone() })
}

#[cfg(test)]
mod tests;
