//! New databases for a region, and the end of old ones: pure, observations in and the next step out. The driver is the
//! gateway's; [`open_jobs`] is what it counts.
//!
//! The road of one database: it is prepared everywhere, stands in [`Region::open`], becomes [`Region::current`] and takes
//! new specs, takes none any more, is closed (out of `open`) when nothing in it is open, and is dropped when it has taken nothing for
//! [`Rotation::keep_s`]. A job that comes to a closed database after all opens it again.
//!
//! Every step may be done twice, be left half done by a holder that dies, and be done by two holders at once: what is decided stands
//! in the region's document, a compare-and-set each time, and everything else (databases, security, views,
//! replications) is made or dropped again without harm. Numbers only rise, so none is ever made again.
//!
//! # How old a database is
//!
//! No two machines' clocks are compared, and a clock that is hours wrong drops nothing: a holder of the duty counts its own time
//! and adds it to [`Ages`], a document in the beats database of the region's home, again by compare-and-set. What it adds
//! began after it had read the revision that it replaces, so the sum is never more than the time that really
//! passed, however many add. Time in which nobody has the duty is not counted, nor is what a holder had not saved when it died:
//! databases are kept longer then, and never shorter.

mod count;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use blitz_couchdb::Revision;
use serde::{Deserialize, Serialize};

use crate::region::{Region, Rotation};

pub use count::open_jobs;

/// The next database is prepared when three quarters of a period are over: a quarter is time enough for hubs that do not
/// answer for a while, and for engines to hear of it.
const AHEAD: (u32, u32) = (3, 4);

/// A holder looks again after this part of a period, so that a step comes at most as late as that,
const LOOKS_A_PERIOD: u32 = 20;
/// but not more often than this, since each look asks all clusters,
const LOOK_MIN: Duration = Duration::from_millis(500);
/// nor less often than this: a job that came to a closed database waits so long.
const LOOK_MAX: Duration = Duration::from_secs(60);

/// The document `rotation:<region>` in the beats database of the region's home: for how long things have been as they are, as far
/// as holders of the duty have seen it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ages {
    /// Always `rotation`.
    pub kind: AgesKind,
    /// The version of blitz that wrote it.
    pub blitz: String,
    /// [`Region::current`] at the last writing.
    pub current: u32,
    /// For how long it has been that, in milliseconds.
    pub current_ms: u64,
    /// The databases that take no new specs.
    #[serde(default)]
    pub idle: BTreeMap<u32, Idle>,
}

/// A database that takes no new specs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Idle {
    /// For how long, in milliseconds.
    pub for_ms: u64,
    /// How many documents each cluster had in it when no job in it was open. Absent: that was not seen yet. Whatever comes
    /// to it later makes one of them larger.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<Documents>,
}

/// How many documents each cluster has in a database of jobs, by the clusters' names; a home without a name is "".
pub type Documents = BTreeMap<String, u64>;

/// The `kind` of [`Ages`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AgesKind {
    /// The only one.
    Rotation,
}

/// What a cluster, the home or a hub, has of a region.
#[derive(Debug, Clone, PartialEq)]
pub struct Copy {
    /// The region's document as it stands there.
    pub region: Region,
    /// The numbers of the region's databases that are there, those of jobs or those of output, and how many documents those of
    /// jobs have.
    pub databases: BTreeMap<u32, u64>,
}

/// What a holder of the duty sees.
#[derive(Debug, Clone, PartialEq)]
pub struct Seen {
    /// By the clusters' names: the home and every hub of the home's document. `None` is one that does not answer, or that this
    /// holder may not change.
    pub clusters: BTreeMap<String, Option<Copy>>,
    /// The home's name among them.
    pub home: String,
}

/// What is to be done next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Make the databases of this number on all clusters, with security, views and replications. Report with
    /// [`Rotating::prepared`].
    Prepare(u32),
    /// Add it to [`Region::open`].
    Open(u32),
    /// New specs go to it.
    MakeCurrent(u32),
    /// Look on all clusters for jobs in it that are open. Report with [`Rotating::counted`].
    Count(u32),
    /// Take it out of [`Region::open`].
    Close(u32),
    /// Drop its databases and replications, at the hubs first and at the home last: as long as the home has it, a holder
    /// that comes later goes on.
    Drop(u32),
}

/// What a count of open jobs came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counted {
    /// How many documents each cluster had *before* its jobs were looked through.
    pub documents: Documents,
    /// How many jobs were open; who looks may stop at the first.
    pub open: u64,
}

/// One holder's side of the rotation of one region.
#[derive(Debug, Default)]
pub struct Rotating {
    /// The revision of the ages that it has read or written, and since when.
    ages: Option<(Option<Revision>, Duration)>,
    prepared: Option<u32>,
    counted: BTreeMap<u32, (Duration, Counted)>,
}

impl Ages {
    /// The id of a region's ages.
    #[must_use]
    pub fn document_id(region: &str) -> String {
        format!("rotation:{region}")
    }

    /// Of a region that nobody has looked at yet.
    #[must_use]
    pub fn new(region: &Region) -> Self {
        Self {
            kind: AgesKind::Rotation,
            blitz: crate::BUILD.to_owned(),
            current: region.current,
            current_ms: 0,
            idle: BTreeMap::new(),
        }
    }

    /// The same after `elapsed` of the holder's own time, which began when it had read this revision or had sent it.
    #[must_use]
    pub fn advanced(&self, region: &Region, seen: &Seen, elapsed: Duration) -> Self {
        let elapsed_ms = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
        let current_ms = if region.current == self.current {
            self.current_ms.saturating_add(elapsed_ms)
        } else {
            0
        };
        let idle = seen.resting(region).into_iter().map(|n| {
            // What was not idle when this revision was written became so at some moment since.
            let known = self.idle.get(&n).cloned();
            let later =
                |idle: Idle| Idle { for_ms: idle.for_ms.saturating_add(elapsed_ms), ..idle };
            (n, known.map_or_else(Idle::default, later))
        });
        Self {
            kind: AgesKind::Rotation,
            blitz: crate::BUILD.to_owned(),
            current: region.current,
            current_ms,
            idle: idle.collect(),
        }
    }
}

impl Rotation {
    fn every(self) -> Duration {
        // Nothing would stop a period of none.
        Duration::from_secs(self.every_s.max(1))
    }

    fn keep(self) -> Duration {
        Duration::from_secs(self.keep_s)
    }

    /// How long after a database has taken its last spec it may be closed: a period, in which whoever did not hear that it takes no
    /// more does hear it. Nothing depends on that, see [`Step::Open`] of a closed one; it saves looking for jobs.
    fn close_after(self) -> Duration {
        self.every().min(self.keep())
    }

    /// How long a holder waits when there is nothing to do.
    #[must_use]
    pub fn pause(self) -> Duration {
        (self.every() / LOOKS_A_PERIOD).clamp(LOOK_MIN, LOOK_MAX)
    }
}

impl Rotating {
    /// The next step for what is seen, if there is one now. `ages` are those of now, see [`Ages::advanced`].
    #[must_use]
    pub fn next(&self, now: Duration, seen: &Seen, ages: &Ages) -> Option<Step> {
        let region = &seen.home()?.region;
        let rotation = region.rotation?;
        if seen.is_wiped() {
            return None;
        }
        self.forward(rotation, region, ages)
            .or_else(|| self.back(now, rotation, region, seen, ages))
    }

    /// Towards the next database.
    fn forward(&self, rotation: Rotation, region: &Region, ages: &Ages) -> Option<Step> {
        let next = region.current.checked_add(1)?;
        // Somebody has asked for more lanes.
        let is_short = region.taking().count() < region.lanes.try_into().unwrap_or(usize::MAX);
        let age = if ages.current == region.current { ages.current_ms } else { 0 };
        let is_due = |part: (u32, u32)| {
            is_short || Duration::from_millis(age) >= rotation.every() / part.1 * part.0
        };
        if region.open.contains(&next) {
            return is_due((1, 1)).then_some(Step::MakeCurrent(next));
        }
        if !is_due(AHEAD) {
            return None;
        }
        Some(if self.prepared == Some(next) { Step::Open(next) } else { Step::Prepare(next) })
    }

    /// Away with the old ones. Everything here waits until all clusters answer: each may have a job that no other knows of.
    fn back(
        &self,
        now: Duration,
        rotation: Rotation,
        region: &Region,
        seen: &Seen,
        ages: &Ages,
    ) -> Option<Step> {
        let copies: Vec<&Copy> =
            seen.clusters.values().map(Option::as_ref).collect::<Option<_>>()?;
        let has = |copy: &&Copy, n| copy.databases.contains_key(&n);
        // A hub is new, or was wiped.
        if let Some(&n) = region.open.iter().find(|n| !copies.iter().all(|copy| has(copy, **n))) {
            let is_gone = n < region.current && !copies.iter().any(|copy| has(copy, n));
            return Some(if is_gone { Step::Close(n) } else { Step::Prepare(n) });
        }
        let mut numbers = seen.resting(region);
        let taken_anywhere = |n| copies.iter().any(|copy| copy.region.taking().any(|t| t == n));
        numbers.retain(|&n| !taken_anywhere(n));
        numbers.into_iter().find_map(|n| {
            let idle = ages.idle.get(&n).cloned().unwrap_or_default();
            let idle_for = Duration::from_millis(idle.for_ms);
            let is_open = region.open.contains(&n);
            let documents = seen.documents(n);
            let counted = self.counted.get(&n);
            let (end, may_count) = match counted {
                // What this holder has seen itself says most.
                Some((at, counted)) if counted.documents == documents => {
                    (Some(counted.open == 0), now >= *at + rotation.pause())
                }
                Some((at, _)) => (None, now >= *at + rotation.pause()),
                None => (None, true),
            };
            let count = may_count.then_some(Step::Count(n));
            match (is_open, end) {
                (true, _) if idle_for < rotation.close_after() => None,
                (true, Some(true)) => Some(Step::Close(n)),
                // A job came late, or was there when another holder thought that there was none.
                (false, Some(false)) => Some(Step::Open(n)),
                (false, Some(true)) => {
                    let is_closed = copies.iter().all(|copy| !copy.region.open.contains(&n));
                    (idle_for >= rotation.keep() && is_closed).then_some(Step::Drop(n))
                }
                (false, None) if idle.ended == Some(documents) && idle_for < rotation.keep() => {
                    None
                }
                (true | false, _) => count,
            }
        })
    }

    /// The ages stand in this revision (`None`: in none yet): for how long this holder has known that. Zero when it is
    /// new to it, and then it saves nothing: of two holders that both save, none would count.
    pub fn read(&mut self, now: Duration, revision: Option<&Revision>) -> Duration {
        match &self.ages {
            Some((known, since)) if known.as_ref() == revision => now.saturating_sub(*since),
            _ => {
                self.ages = Some((revision.cloned(), now));
                Duration::ZERO
            }
        }
    }

    /// The ages that this holder sent at `sent` stand now in this revision.
    pub fn saved(&mut self, sent: Duration, revision: Revision) {
        self.ages = Some((Some(revision), sent));
    }

    /// The databases of this number are there on every cluster.
    pub fn prepared(&mut self, n: u32) {
        self.prepared = Some(n);
    }

    /// A count of open jobs that began at `at` was answered by every cluster.
    pub fn counted(&mut self, at: Duration, n: u32, counted: Counted) {
        self.counted.insert(n, (at, counted));
    }

    /// Adds to `ages` what this holder has counted, and forgets what is gone.
    pub fn tell(&mut self, ages: &mut Ages) {
        self.counted.retain(|n, _| ages.idle.contains_key(n));
        for (n, (_, counted)) in &self.counted {
            if let Some(idle) = ages.idle.get_mut(n) {
                idle.ended = (counted.open == 0).then(|| counted.documents.clone());
            }
        }
    }
}

impl Seen {
    fn home(&self) -> Option<&Copy> {
        self.clusters.get(&self.home)?.as_ref()
    }

    /// Whether the home has lost databases that may hold open jobs: no step is right before they are made again, and
    /// that is another home then.
    #[must_use]
    pub fn is_wiped(&self) -> bool {
        let Some(home) = self.home() else { return false };
        let is_elsewhere =
            |n| self.clusters.values().flatten().any(|copy| copy.databases.contains_key(&n));
        let is_lost = |n: u32| {
            !home.databases.contains_key(&n) && (n >= home.region.current || is_elsewhere(n))
        };
        home.region.open.iter().any(|n| is_lost(*n))
    }

    /// The numbers of databases that take no new specs any more, as the home knows it.
    fn resting(&self, region: &Region) -> BTreeSet<u32> {
        let taking: BTreeSet<u32> = region.taking().collect();
        let there = self.clusters.values().flatten().flat_map(|copy| copy.databases.keys());
        let all = region.open.iter().chain(there).copied();
        all.filter(|n| *n < region.current && !taking.contains(n)).collect()
    }

    /// How many documents each cluster has in the jobs database of this number; those that do not answer are left out.
    #[must_use]
    pub fn documents(&self, n: u32) -> Documents {
        let answered = self.clusters.iter().filter_map(|(name, copy)| Some((name, copy.as_ref()?)));
        answered
            .map(|(name, copy)| (name.clone(), copy.databases.get(&n).copied().unwrap_or(0)))
            .collect()
    }

    /// The clusters for which everything waits.
    pub fn silent(&self) -> impl Iterator<Item = &str> {
        self.clusters.iter().filter(|(_, copy)| copy.is_none()).map(|(name, _)| name.as_str())
    }
}

impl Step {
    /// The region's document after this step, or `None` when the step does not change it, or not any more: the document is
    /// another one than what the step was decided by.
    #[must_use]
    pub fn edited(self, region: &Region) -> Option<Region> {
        let mut next = region.clone();
        match self {
            Self::Open(n) if !region.open.contains(&n) => {
                next.open.push(n);
                next.open.sort_unstable();
            }
            Self::MakeCurrent(n) if n > region.current && region.open.contains(&n) => {
                next.current = n;
            }
            Self::Close(n)
                if n < region.current
                    && region.open.contains(&n)
                    && region.taking().all(|taking| taking != n) =>
            {
                next.open.retain(|&open| open != n);
            }
            _ => return None,
        }
        crate::BUILD.clone_into(&mut next.blitz);
        Some(next)
    }
}

#[cfg(test)]
mod tests;
