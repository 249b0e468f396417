//! Performs what the pure `blitz_jobs::keeper` decides, in each region where this gateway has the duty: polls beats,
//! writes ends, removes leaves that lost, takes back versions that kill engines. Across regions it performs what
//! `blitz_jobs::gather` decides: which tasks of a run begin together.
//!
//! The duty is one at the region's home, and what is decided rests on what was heard there. When a region is not heard at its
//! home any more its room is closed: the duty is given back, or runs out where the home does not answer. Who gathers hears
//! also what comes from copies: that a task is ready stays true wherever it is read.

mod perform;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use blitz_couchdb::{Client, Database};
use blitz_jobs::clock::Clock;
use blitz_jobs::duty::{self, Duty};
use blitz_jobs::engine::Beat;
use blitz_jobs::feed::Heard;
use blitz_jobs::gather::{self, Gather};
use blitz_jobs::guards::Guards;
use blitz_jobs::keeper::{Action, Keeper};
use blitz_jobs::region::beats_database;
use blitz_jobs::timing::Timing;
use blitz_jobs::{Incarnation, JobId};
use tokio::sync::mpsc::Receiver;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::stores::Stores;
use perform::{Done, poll, remove, write, yank};

/// The keeper looks again at least this often, and at most: its durations are seconds.
const LOOK_MAX: Duration = Duration::from_secs(1);
const LOOK_MIN: Duration = Duration::from_millis(10);

/// Giving the duties back may take this long; then their leases run out by themselves.
const LEAVE_MAX: Duration = Duration::from_secs(2);

/// The duty's name in the region's leases.
const DUTY: &str = "keeper";

/// Which of its stays at a region's home this gateway speaks of: what was heard in an earlier one is void.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Stay(u64);

impl Stay {
    pub(crate) fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// What the keeper is told.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "nearly all are things heard, and none is kept: a box for each would cost more"
)]
pub(crate) enum Told {
    /// From now on the region is heard at its home.
    Opened { region: String, stay: Stay, home: Client, epoch: u32 },
    /// It is not any more.
    Closed { region: String, stay: Stay },
    /// Something was heard of a region: in a stay at its home, or of a copy.
    Heard { region: String, stay: Option<Stay>, thing: Heard },
}

/// Who keeps.
#[derive(Debug, Clone)]
pub(crate) struct Worker {
    pub(crate) stores: Stores,
    pub(crate) timing: Timing,
    /// For people who look at leases.
    pub(crate) name: String,
    pub(crate) incarnation: Incarnation,
}

/// One region.
struct Room {
    stay: Stay,
    home: Client,
    keeper: Keeper,
    /// Whether this gateway keeps it.
    on: watch::Receiver<bool>,
    /// How many copies the region's databases have, where that is known.
    copies: BTreeMap<String, u32>,
    leave: CancellationToken,
}

/// What the loop owns.
struct Keeping {
    worker: Worker,
    clock: Clock,
    rooms: BTreeMap<String, Room>,
    gather: Gather,
    tasks: JoinSet<Done>,
    duties: JoinSet<()>,
    /// A duty has changed hands.
    changed: Arc<Notify>,
}

/// Keeps until `stop`, or until nobody tells anything; then gives its duties back.
pub(crate) async fn keep(worker: Worker, mut told: Receiver<Told>, stop: CancellationToken) {
    let mut keeping = Keeping {
        worker,
        clock: Clock::start(),
        rooms: BTreeMap::new(),
        gather: Gather::default(),
        tasks: JoinSet::new(),
        duties: JoinSet::new(),
        changed: Arc::new(Notify::new()),
    };
    loop {
        let wait = keeping.look();
        let changed = Arc::clone(&keeping.changed);
        tokio::select! {
            () = stop.cancelled() => break,
            thing = told.recv() => {
                let Some(thing) = thing else { break };
                let mut things = vec![thing];
                // A listing brings thousands: they are looked at together.
                things.extend((0..told.max_capacity()).map_while(|_| told.try_recv().ok()));
                things.into_iter().for_each(|thing| keeping.hear(thing, &stop));
            }
            Some(done) = keeping.tasks.join_next() => match done {
                Ok(done) => keeping.done(done),
                Err(error) => tracing::error!(%error, "a task of the keeper failed"),
            },
            () = changed.notified() => {}
            () = tokio::time::sleep(wait) => {}
        }
    }
    stop.cancel();
    let leaves = async { while keeping.duties.join_next().await.is_some() {} };
    if timeout(LEAVE_MAX, leaves).await.is_err() {
        tracing::warn!("the keeper's duties are not given back: no answer");
    }
}

impl Keeping {
    fn hear(&mut self, told: Told, stop: &CancellationToken) {
        match told {
            Told::Opened { region, stay, home, epoch } => {
                tracing::debug!(region, epoch, "the keeper hears it at home");
                self.close(&region);
                let mut room = self.enter(&region, stay, home, stop);
                room.keeper.hear_epoch(self.clock.now(), epoch);
                self.rooms.insert(region, room);
            }
            Told::Closed { region, stay } => {
                if self.rooms.get(&region).is_some_and(|room| room.stay == stay) {
                    self.close(&region);
                }
            }
            Told::Heard { region, stay, thing } => self.hear_thing(&region, stay, thing),
        }
    }

    fn hear_thing(&mut self, region: &str, stay: Option<Stay>, thing: Heard) {
        let now = self.clock.now();
        let Some(stay) = stay else {
            // That a copy is made anew says nothing of the home.
            if !matches!(thing, Heard::Replaced(_)) {
                self.gather.hear(now, &thing);
            }
            return;
        };
        let Some(room) = self.rooms.get_mut(region).filter(|room| room.stay == stay) else {
            return;
        };
        if let Heard::Replaced(database) = &thing {
            room.copies.remove(database);
        }
        self.gather.hear(now, &thing);
        room.keeper.hear(now, thing);
    }

    /// Gives the duty of a region back.
    fn close(&mut self, region: &str) {
        if let Some(room) = self.rooms.remove(region) {
            room.leave.cancel();
        }
    }

    /// A region's keeper, and this gateway's side of the duty.
    fn enter(&mut self, region: &str, stay: Stay, home: Client, stop: &CancellationToken) -> Room {
        let Worker { timing, name, incarnation, .. } = self.worker.clone();
        let (say, on) = watch::channel(false);
        let (database, clock, changed) =
            (home.database(&beats_database(region)), self.clock, Arc::clone(&self.changed));
        let (leave, mut changes) = (stop.child_token(), on.clone());
        let leaves = leave.clone();
        let duty = Duty::new(&name, incarnation, timing);
        self.duties.spawn(async move {
            let leave = leaves.cancelled();
            let keeps = duty::keep(database, DUTY, duty, || clock.now(), timing.beat, say, leave);
            let tells = async {
                while changes.changed().await.is_ok() {
                    changed.notify_one();
                }
            };
            tokio::join!(keeps, tells);
        });
        // Those that have gone leave nothing behind.
        while self.duties.try_join_next().is_some() {}
        let keeper = Keeper::new(timing, Guards::default());
        Room { stay, home, keeper, on, copies: BTreeMap::new(), leave }
    }

    /// Does what is due; gives how long there is nothing more.
    fn look(&mut self) -> Duration {
        let now = self.clock.now();
        let mut due = None;
        let mut actions = Vec::new();
        for room in self.rooms.values_mut().filter(|room| *room.on.borrow()) {
            actions.extend(room.keeper.tick(now));
            for (region, engines) in room.keeper.poll(now) {
                let ids = engines.iter().map(|engine| Beat::document_id(engine)).collect();
                self.tasks.spawn(poll(room.home.clone(), room.stay, region, ids));
            }
            due = due.into_iter().chain(room.keeper.due()).min();
        }
        for action in actions {
            self.perform(action);
        }
        let keeps = |region: &str| self.rooms.get(region).is_some_and(|room| *room.on.borrow());
        for gather::Write { job, go } in self.gather.tick(now, keeps) {
            // A run may have tasks in regions whose keeper is another one: whoever decided writes to all homes.
            let Some(home) = self.home(&job) else { continue };
            let jobs = home.database(&job.jobs_database());
            self.tasks.spawn(async move {
                let stands = go.write(&jobs, &job).await;
                Done::Go(job, stands)
            });
        }
        due = due.into_iter().chain(self.gather.due(keeps)).min();
        due.map_or(LOOK_MAX, |due: Duration| due.saturating_sub(now).clamp(LOOK_MIN, LOOK_MAX))
    }

    fn perform(&mut self, action: Action) {
        match action {
            Action::Write { job, over, run } => {
                let Some((jobs, stay, known)) = self.jobs(&job) else { return };
                self.tasks.spawn(write(jobs, stay, known, job, over, run));
            }
            Action::Remove { job, losers } => {
                let Some((jobs, stay, known)) = self.jobs(&job) else { return };
                self.tasks.spawn(remove(jobs, stay, known, job, losers));
            }
            Action::Yank { plugin, reason } => {
                self.tasks.spawn(yank(self.worker.stores.reach.near().clone(), plugin, reason));
            }
        }
    }

    fn jobs(&self, job: &JobId) -> Option<(Database, Stay, Option<u32>)> {
        let room = self.rooms.get(job.region())?;
        let jobs = room.home.database(&job.jobs_database());
        let known = room.copies.get(jobs.name()).copied();
        Some((jobs, room.stay, known))
    }

    /// The home of a job's region, when it can be entered.
    fn home(&self, job: &JobId) -> Option<Client> {
        if let Some(room) = self.rooms.get(job.region()) {
            return Some(room.home.clone());
        }
        let Stores { reach, .. } = &self.worker.stores;
        let home = reach.choice(&self.worker.stores.region(job)?).home?;
        Some(reach.client(home).clone())
    }

    /// The room of a region, if this is still the stay in which something was asked.
    fn room(&mut self, region: &str, stay: Stay) -> Option<&mut Room> {
        self.rooms.get_mut(region).filter(|room| room.stay == stay)
    }

    fn done(&mut self, done: Done) {
        let now = self.clock.now();
        match done {
            Done::Beats(region, stay, Some(beats)) => {
                if let Some(room) = self.room(&region, stay) {
                    room.keeper.hear_beats(now, &region, &beats);
                }
            }
            Done::Job(job, stay, copies, things) => {
                let Some(room) = self.room(job.region(), stay) else { return };
                room.copies.extend(copies.map(|n| (job.jobs_database(), n)));
                for thing in &things {
                    room.keeper.hear(now, thing.clone());
                }
                things.iter().for_each(|thing| self.gather.hear(now, thing));
            }
            Done::Removed(job, stay, copies, gone) => {
                let Some(room) = self.room(job.region(), stay) else { return };
                room.copies.extend(copies.map(|n| (job.jobs_database(), n)));
                room.keeper.remove_answered(now, &job, &gone);
            }
            Done::Go(job, Some(stands)) => {
                tracing::info!(%job, members = stands.members.len(), refused = stands.refused, "goes");
                self.gather.hear_go(now, &job, stands);
            }
            Done::Beats(_, _, None) | Done::Go(_, None) | Done::Marked => {}
        }
    }
}
