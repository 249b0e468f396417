//! What the shape of the plan asks for, and the lanes that wait for it.

use std::collections::VecDeque;

use blitz_contract::load::work::Work;
use blitz_contract::load::{Plan, Shape, Share};

use super::width::Width;
use crate::pace::{Arrivals, Change, Users};

/// A user whose request could not even be made waits so long before the next one, where the plan has no time to think: nothing
/// else would hold the loop back.
const PAUSE_NS: u64 = 10_000_000;

/// Closed or open.
#[derive(Debug)]
pub(super) enum Model {
    Users(Box<Closed>),
    Rate(Box<Open>),
}

/// So many users, each with a lane of its own.
#[derive(Debug)]
pub(super) struct Closed {
    changes: Users,
    pub(super) next: Option<Change>,
    /// Users that are there: lanes 0 up to this.
    pub(super) users: u32,
    pub(super) think_ns: u64,
    /// Who thinks, and until when; ascending, as all think for the same time.
    pub(super) thinking: VecDeque<(u64, u32)>,
}

/// So many arrivals, each of which takes any lane that is free.
#[derive(Debug)]
pub(super) struct Open {
    /// Up to now.
    pub(super) asked: Arrivals,
    /// Behind it: the next one to begin.
    pub(super) begun: Arrivals,
    /// Requests that were due, that were sent, and that failed before they were.
    pub(super) asked_count: u64,
    pub(super) sent_count: u64,
    pub(super) unsent_count: u64,
    /// Requests that may be asked for, of a plan with a number of them.
    pub(super) asked_max: u64,
    /// Lanes that wait for an arrival. One whose connection was closed meanwhile is found out when it is taken.
    pub(super) free: Vec<u32>,
    /// From when on there was always a free lane, if there is one.
    pub(super) free_since_ns: u64,
    /// Groups without a connection; how many are being opened.
    pub(super) shut: Vec<u32>,
    pub(super) opening: u32,
    /// How many may have one.
    pub(super) width: Width,
    /// Requests that ended, well or not.
    pub(super) ended_count: u64,
    /// The shortest time that an answer took.
    pub(super) least_ns: Option<u64>,
}

impl Model {
    pub(super) fn new(plan: &Plan, share: Share, groups_max: u32) -> Self {
        match &plan.shape {
            Shape::Users { segments } => {
                let mut changes = Users::new(segments, share);
                Self::Users(Box::new(Closed {
                    next: changes.next(),
                    changes,
                    users: 0,
                    think_ns: plan.think_ms.saturating_mul(1_000_000),
                    thinking: VecDeque::new(),
                }))
            }
            Shape::Rate { segments, poisson } => {
                let asked = Arrivals::new(segments, *poisson, plan.seed, share);
                Self::Rate(Box::new(Open {
                    begun: asked.clone(),
                    asked,
                    asked_count: 0,
                    sent_count: 0,
                    unsent_count: 0,
                    asked_max: crate::pace::quota(plan, share).unwrap_or(u64::MAX),
                    free: Vec::new(),
                    free_since_ns: 0,
                    shut: Vec::new(),
                    opening: 0,
                    width: Width::new(groups_max),
                    ended_count: 0,
                    least_ns: None,
                }))
            }
        }
    }

    /// When it next asks for something.
    pub(super) fn next_ns(&self) -> u64 {
        let next = match self {
            Self::Users(closed) => {
                let think = closed.thinking.front().map(|(due_ns, _)| *due_ns);
                [closed.next.map(|change| change.at_ns), think].into_iter().flatten().min()
            }
            Self::Rate(open) => {
                [open.asked.next_ns(), open.width.due_ns()].into_iter().flatten().min()
            }
        };
        next.unwrap_or(u64::MAX)
    }
}

impl Closed {
    /// Takes the next change, when its time has come.
    pub(super) fn change(&mut self, now_ns: u64) -> Option<Change> {
        let change = self.next.filter(|change| change.at_ns <= now_ns)?;
        self.next = self.changes.next();
        Some(change)
    }

    /// Until when a user thinks that begins now.
    pub(super) fn until_ns(&self, now_ns: u64) -> u64 {
        now_ns + if self.think_ns > 0 { self.think_ns } else { PAUSE_NS }
    }
}

impl Open {
    /// Arrivals that are due, and wait for a lane.
    pub(super) fn waiting(&self) -> u64 {
        self.asked.index() - self.begun.index()
    }

    /// Requests that are due and not sent.
    pub(super) fn backlog(&self) -> u64 {
        self.asked_count.saturating_sub(self.sent_count + self.unsent_count)
    }

    /// So many more requests are due; gives how many count.
    pub(super) fn ask(&mut self, count: u64) -> u64 {
        let count = count.min(self.asked_max - self.asked_count);
        self.asked_count += count;
        count
    }
}

/// How many groups of lanes there may be at once.
///
/// # Errors
///
/// More users than connections.
pub(super) fn groups_max(work: &Work, origins: u32, streams: u32) -> Result<u32, String> {
    let may = work.connections_max / origins;
    if may == 0 {
        return Err(format!(
            "the plan has {origins} origins, and this worker may open {} connections",
            work.connections_max
        ));
    }
    match &work.plan.shape {
        Shape::Users { segments } => {
            let users = Users::new(segments, work.share).peak();
            let groups = users.div_ceil(u64::from(streams));
            u32::try_from(groups).ok().filter(|groups| *groups <= may).ok_or_else(|| {
                format!(
                    "{users} users of this worker need {} connections, and it may open {}",
                    groups.saturating_mul(u64::from(origins)),
                    work.connections_max
                )
            })
        }
        Shape::Rate { .. } => {
            let asked = work.plan.connections.map(|all| {
                let own = work.share.of_first(u64::from(all)) / u64::from(origins);
                u32::try_from(own).unwrap_or(u32::MAX).max(1)
            });
            Ok(asked.unwrap_or(may).min(may))
        }
    }
}
