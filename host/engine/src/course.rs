//! Where an engine is, and where it goes when its region's home moves or does not answer. Pure: what is heard goes in,
//! which stays begin and end comes out.
//!
//! An engine claims at one station at a time. As a rule that is the region's home. Where the region says
//! `failover: safe` and the home has not answered for a while, it is a hub, at the epoch between this home and the next; the
//! home has to answer for a while again before the engine returns, so that a home that comes and goes is not followed
//! each time.

use std::fmt;
use std::time::Duration;

use blitz_jobs::region::{Failover, Region};
use blitz_jobs::timing::Timing;

/// What a region's document says of where its engines should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Terms {
    /// The cluster in which jobs are claimed. `None` is the near one.
    pub(crate) home: Option<String>,
    /// Whether that is known to be the near one.
    pub(crate) is_near: bool,
    /// Which home it is.
    pub(crate) epoch: u32,
    /// Where to go when the home does not answer, in this order; empty where engines wait.
    pub(crate) refuges: Vec<String>,
}

impl Terms {
    /// Those of a region. `near` is the name of the near cluster, where it is known.
    pub(crate) fn of(region: &Region, near: Option<&str>) -> Self {
        let home = region.home.clone();
        let is_near = home.is_none() || home.as_deref() == near;
        let refuges = match region.failover {
            Failover::Never => Vec::new(),
            Failover::Safe => {
                let others = region.hubs.iter().filter(|hub| region.home.as_ref() != Some(*hub));
                others.cloned().collect()
            }
        };
        Self { home, is_near, epoch: region.home_epoch, refuges }
    }

    /// Whether both mean one home: a cluster may get its name while engines are there.
    fn has_home_of(&self, other: &Self) -> bool {
        self.home == other.home || (self.is_near && other.is_near)
    }
}

/// Where a stay is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Station {
    /// The region's home; no name is the near cluster.
    Home { cluster: Option<String>, epoch: u32 },
    /// The first of these that can be entered, while the home does not answer: `epoch` is the provisional one.
    Refuge { clusters: Vec<String>, epoch: u32 },
}

impl Station {
    /// The epoch of what is claimed there.
    pub(crate) fn epoch(&self) -> u32 {
        match self {
            Self::Home { epoch, .. } | Self::Refuge { epoch, .. } => *epoch,
        }
    }

    /// Whether only jobs that may run twice are run there.
    pub(crate) fn is_refuge(&self) -> bool {
        matches!(self, Self::Refuge { .. })
    }
}

impl fmt::Display for Station {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Home { cluster, epoch } => {
                let cluster = cluster.as_deref().unwrap_or("the store");
                write!(f, "home {cluster}, epoch {epoch}")
            }
            Self::Refuge { clusters, epoch } => {
                write!(f, "hub {}, epoch {epoch}", clusters.join(" or "))
            }
        }
    }
}

/// What the driver should do with a stay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Action {
    /// Claims there from now on: a stay that rests goes on, else a new one begins.
    Claim(Station),
    /// Claims nothing there any more; what runs goes on.
    Rest(Station),
    /// The region has moved: claims nothing there any more, and gives back what may run twice.
    Leave(Station),
}

/// A region's document that cannot be followed, with the reason.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotFollowed {
    #[error(
        "its region's document has home epoch {heard}, and this engine has been at {known}: an older document, \
         which is not followed; 'blitz region show' tells which clusters have it"
    )]
    Earlier { heard: u32, known: u32 },
    #[error(
        "its region's document names another home, {heard}, with the same home epoch {epoch}, and is not followed: \
         two homes of one epoch would run jobs twice; move it with 'blitz region move', which raises the epoch"
    )]
    SameEpoch { heard: String, epoch: u32 },
}

/// Since when the home answers, or does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Health {
    Answers { since: Duration },
    Silent { since: Duration },
}

/// The course of one engine.
#[derive(Debug)]
pub(crate) struct Course {
    failover_after: Duration,
    home_again: Duration,
    terms: Terms,
    health: Health,
    /// Where it claims.
    current: Station,
    /// Where it has been and may still hold something.
    former: Vec<Station>,
}

impl Course {
    /// The course of an engine that begins, and its first station. That home answers is not known yet.
    pub(crate) fn new(now: Duration, terms: Terms, timing: &Timing) -> (Self, Action) {
        let current = home(&terms);
        let begins = Action::Claim(current.clone());
        let course = Self {
            failover_after: timing.failover_after,
            home_again: timing.home_again,
            terms,
            health: Health::Silent { since: now },
            current,
            former: Vec::new(),
        };
        (course, begins)
    }

    /// The region's document says this now.
    ///
    /// # Errors
    ///
    /// [`NotFollowed`]: nothing changes then.
    pub(crate) fn hear_terms(
        &mut self,
        now: Duration,
        terms: Terms,
    ) -> Result<Vec<Action>, NotFollowed> {
        let (heard, known) = (terms.epoch, self.terms.epoch);
        if heard < known {
            return Err(NotFollowed::Earlier { heard, known });
        }
        if heard == known {
            if !terms.has_home_of(&self.terms) {
                let heard = terms.home.unwrap_or_else(|| "the near cluster".to_owned());
                return Err(NotFollowed::SameEpoch { heard, epoch: known });
            }
            // Under the name that its stay has.
            let home = self.terms.home.take();
            self.terms = Terms { home, ..terms };
            return Ok(self.tick(now));
        }
        self.terms = terms;
        // Nothing is known of the new home.
        self.health = Health::Silent { since: now };
        let next = home(&self.terms);
        let last = std::mem::replace(&mut self.current, next.clone());
        let mut left = std::mem::take(&mut self.former);
        left.push(last);
        let mut actions: Vec<Action> = left.iter().cloned().map(Action::Leave).collect();
        self.former = left;
        actions.push(Action::Claim(next));
        Ok(actions)
    }

    /// The home was asked, and has answered as itself or not.
    pub(crate) fn hear_home(&mut self, now: Duration, answers: bool) -> Vec<Action> {
        self.health = match (self.health, answers) {
            (Health::Silent { .. }, true) => Health::Answers { since: now },
            (Health::Answers { .. }, false) => Health::Silent { since: now },
            (known, _) => known,
        };
        self.tick(now)
    }

    /// What it goes by.
    pub(crate) fn terms(&self) -> &Terms {
        &self.terms
    }

    /// Where it claims.
    pub(crate) fn current(&self) -> &Station {
        &self.current
    }

    /// A stay is over.
    pub(crate) fn ended(&mut self, station: &Station) {
        self.former.retain(|former| former != station);
    }

    /// What is due.
    pub(crate) fn tick(&mut self, now: Duration) -> Vec<Action> {
        let next = self.wanted(now);
        if next == self.current {
            return Vec::new();
        }
        let last = std::mem::replace(&mut self.current, next.clone());
        self.former.retain(|former| *former != next);
        self.former.push(last.clone());
        vec![Action::Rest(last), Action::Claim(next)]
    }

    /// When [`Course::tick`] has something to do, if nothing is heard until then.
    pub(crate) fn due(&self) -> Option<Duration> {
        match (&self.current, self.health) {
            (Station::Home { .. }, Health::Silent { since }) => {
                (!self.terms.refuges.is_empty()).then(|| since + self.failover_after)
            }
            (Station::Refuge { .. }, Health::Answers { since }) => Some(since + self.home_again),
            _ => None,
        }
    }

    fn wanted(&self, now: Duration) -> Station {
        let home = home(&self.terms);
        if self.terms.refuges.is_empty() {
            return home;
        }
        let stays_away = match (&self.current, self.health) {
            (Station::Home { .. }, Health::Silent { since }) => {
                now.saturating_sub(since) >= self.failover_after
            }
            (Station::Home { .. }, Health::Answers { .. }) => false,
            (Station::Refuge { .. }, Health::Silent { .. }) => true,
            (Station::Refuge { .. }, Health::Answers { since }) => {
                now.saturating_sub(since) < self.home_again
            }
        };
        if !stays_away {
            return home;
        }
        let Terms { refuges, epoch, .. } = &self.terms;
        Station::Refuge { clusters: refuges.clone(), epoch: epoch.saturating_add(1) }
    }
}

fn home(terms: &Terms) -> Station {
    Station::Home { cluster: terms.home.clone(), epoch: terms.epoch }
}

#[cfg(test)]
mod tests;
