//! Gives regions new databases and ends old ones: performs what the pure `blitz_jobs::rotation` decides, one gateway at a
//! time for each region, by a lease in the region's home. Only where this gateway has an operator's rights on the home.
//!
//! [`look`] sees what stands, [`act`] does a step; [`care`] is for regions that do not rotate, too. Nothing is kept here: who comes later sees the same.

mod act;
mod care;
mod look;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use blitz_couchdb::{Client, Error, Put, PutOptions};
use blitz_jobs::clock::Clock;
use blitz_jobs::duty::{self, Duty};
use blitz_jobs::id::Incarnation;
use blitz_jobs::read;
use blitz_jobs::region::{CONTROL, Region, beats_database};
use blitz_jobs::rotation::{Ages, Rotating};
use blitz_jobs::setup::Operators;
use blitz_jobs::timing::Timing;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use look::Look;

/// The duty's name in the region's leases.
const DUTY: &str = "rotation";

/// The regions are read this often: one that is new, moves, or begins to rotate is met that much later.
const REGIONS_EACH: Duration = Duration::from_secs(10);

/// What could not be seen or done is tried again after this.
const AGAIN: Duration = Duration::from_secs(5);

/// Steps that follow each other at once, before a pause all the same: a mistake must not make a busy loop. A whole period has
/// six.
const STEPS_AT_ONCE_MAX: u32 = 20;

/// Giving the duties back may take this long; then their leases run out by themselves.
const LEAVE_MAX: Duration = Duration::from_secs(2);

/// Who rotates.
#[derive(Clone)]
pub(crate) struct Rotator {
    pub(crate) operators: Operators,
    pub(crate) timing: Timing,
    /// For people who look at leases.
    pub(crate) name: String,
    pub(crate) incarnation: Incarnation,
}

/// One region at one home.
struct Room {
    /// Where it is, by [`key`].
    home: String,
    stop: CancellationToken,
    task: AbortOnDropHandle<()>,
}

/// The name of a region's home among the clusters of this process; "" is a near store without a name.
fn key(operators: &Operators, region: &Region) -> String {
    let name = region.home.as_deref().or(operators.clusters.own());
    name.unwrap_or_default().to_owned()
}

/// A cluster in which this gateway may make and drop databases.
fn client<'a>(operators: &'a Operators, key: &str) -> Option<&'a Client> {
    let is_operator = operators.names.contains(key);
    let name = (!key.is_empty()).then_some(key);
    is_operator.then(|| operators.clusters.get(name)).flatten()
}

/// Rotates until `stop`; then gives its duties back.
pub(crate) async fn rotate(rotator: Rotator, stop: CancellationToken) {
    let rotator = Arc::new(rotator);
    let mut rooms: BTreeMap<String, Room> = BTreeMap::new();
    let mut wiped = BTreeMap::new();
    while !stop.is_cancelled() && !rotator.operators.names.is_empty() {
        match regions(rotator.operators.clusters.near()).await {
            Ok(regions) => {
                let cares = care::care(&rotator.operators, &regions, &mut wiped);
                if stop.run_until_cancelled(Box::pin(cares)).await.is_some() {
                    meet(&rotator, &mut rooms, &regions).await;
                }
            }
            Err(error) => tracing::debug!(%error, "cannot read the regions"),
        }
        let _ = stop.run_until_cancelled(sleep(REGIONS_EACH)).await;
    }
    stop.cancelled().await;
    let mut leaves: JoinSet<()> = rooms.into_values().map(leave).collect();
    while leaves.join_next().await.is_some() {}
}

async fn regions(near: &Client) -> Result<Vec<Region>, Error> {
    let rows = read::list(&near.database(CONTROL), read::range("region:", "region;")).await?;
    Ok(rows.into_iter().map(|(_, _, region)| region).collect())
}

/// Enters regions that rotate, and leaves those that do not any more, or have moved.
async fn meet(rotator: &Arc<Rotator>, rooms: &mut BTreeMap<String, Room>, regions: &[Region]) {
    let wanted: BTreeMap<&str, String> = regions
        .iter()
        .filter(|region| region.rotation.is_some())
        .map(|region| (region.name.as_str(), key(&rotator.operators, region)))
        .filter(|(_, home)| client(&rotator.operators, home).is_some())
        .collect();
    let is_over = |name: &String, room: &mut Room| wanted.get(name.as_str()) != Some(&room.home);
    let over: Vec<(String, Room)> = rooms.extract_if(.., is_over).collect();
    for (_, room) in over {
        leave(room).await;
    }
    for (region, home) in wanted {
        rooms.entry(region.to_owned()).or_insert_with(|| enter(rotator, region, home));
    }
}

async fn leave(room: Room) {
    room.stop.cancel();
    if timeout(LEAVE_MAX, room.task).await.is_err() {
        tracing::warn!("a duty of the rotation is not given back: no answer");
    }
}

/// This gateway's side of a region's duty.
fn enter(rotator: &Arc<Rotator>, region: &str, home: String) -> Room {
    let stop = CancellationToken::new();
    let site = Site {
        rotator: Arc::clone(rotator),
        region: region.to_owned(),
        home: home.clone(),
        clock: Clock::start(),
    };
    let task = AbortOnDropHandle::new(tokio::spawn(site.serve(stop.clone())));
    Room { home, stop, task }
}

/// One region, whose duty this gateway may have.
struct Site {
    rotator: Arc<Rotator>,
    region: String,
    home: String,
    clock: Clock,
}

impl Site {
    async fn serve(self, stop: CancellationToken) {
        let Some(home) = client(&self.rotator.operators, &self.home) else { return };
        let Rotator { timing, name, incarnation, .. } = &*self.rotator;
        let beats = home.database(&beats_database(&self.region));
        let (say, on) = watch::channel(false);
        let duty = Duty::new(name, incarnation.clone(), *timing);
        let (clock, leave) = (self.clock, stop.cancelled());
        let keeps = duty::keep(beats, DUTY, duty, || clock.now(), timing.beat, say, leave);
        // Ends when the duty is over: its sender is gone.
        tokio::join!(keeps, self.rotate(home, on));
    }

    /// Goes on step by step while this gateway has the duty.
    async fn rotate(&self, home: &Client, mut on: watch::Receiver<bool>) {
        loop {
            if on.wait_for(|on| *on).await.is_err() {
                return;
            }
            let mut rotating = Rotating::default();
            let off = async { on.wait_for(|on| !*on).await.is_err() };
            let is_over = tokio::select! {
                is_over = off => is_over,
                () = self.go_on(home, &mut rotating) => false,
            };
            if is_over {
                return;
            }
        }
    }

    async fn go_on(&self, home: &Client, rotating: &mut Rotating) {
        let mut steps = 0;
        loop {
            let pause = match self.turn(home, rotating).await {
                Ok(None) if steps < STEPS_AT_ONCE_MAX => {
                    steps += 1;
                    continue;
                }
                Ok(pause) => pause.unwrap_or(AGAIN),
                Err(error) => {
                    tracing::warn!(region = self.region, %error, "the rotation does not go on now");
                    AGAIN
                }
            };
            steps = 0;
            sleep(pause).await;
        }
    }

    /// Looks, and does what is next. Gives how long there is nothing more, if there is not.
    async fn turn(
        &self,
        home: &Client,
        rotating: &mut Rotating,
    ) -> Result<Option<Duration>, act::ActError> {
        let Look { seen, region, revision } = self.look(home).await?;
        let Some(rotation) = region.rotation else { return Ok(Some(AGAIN)) };
        let beats = home.database(&beats_database(&self.region));
        let id = Ages::document_id(&self.region);
        let found = beats.get::<serde_json::Value>(&id).await?;
        let now = self.clock.now();
        let over = found.as_ref().map(|found| found.revision.clone());
        let ages = found.and_then(|found| read::document::<Ages>(&id, found.body));
        let before = ages.unwrap_or_else(|| Ages::new(&region));
        let elapsed = rotating.read(now, over.as_ref());
        let mut ages = before.advanced(&region, &seen, elapsed);
        rotating.tell(&mut ages);
        let ended = |ages: &Ages, n| ages.idle.get(&n).map(|idle| idle.ended.clone());
        let is_new = ages.idle.keys().any(|&n| ended(&ages, n) != ended(&before, n));
        if over.is_none() || !elapsed.is_zero() && (is_new || elapsed >= rotation.pause() / 2) {
            // A conflict is with another holder, whose count is as good.
            let put = beats.put(&id, over.as_ref(), &ages, PutOptions::default()).await?;
            if let Put::Created(revision) | Put::Accepted(revision) = put {
                rotating.saved(now, revision);
            }
        }
        for name in seen.silent() {
            let region = &self.region;
            tracing::warn!(
                region,
                cluster = name,
                "old databases are kept: no answer, or no rights there"
            );
        }
        if seen.is_wiped() {
            return Err(act::ActError::Wiped { cluster: self.home.clone() });
        }
        let Some(step) = rotating.next(now, &seen, &ages) else {
            return Ok(Some(rotation.pause()));
        };
        self.act(home, step, &seen, &region, &revision, rotating, now).await?;
        Ok(None)
    }
}

#[cfg(test)]
mod tests;
