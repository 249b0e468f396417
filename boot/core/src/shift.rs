//! Rounds one after the other, as long as this process has the duty: of all that keep one fleet in one region, one does.
//!
//! Two that went rounds at once would launch twice as many. The lease stands in the region's beats database, beside those of
//! keepers, and is given back after the last round has ended. A duty that was lost ends with the round that it is in: whatever
//! that does is checked where it is done.

use std::time::Duration;

use blitz_couchdb::Client;
use blitz_jobs::clock::{Clock, now_ms};
use blitz_jobs::duty::{self, Duty};
use blitz_jobs::id::Incarnation;
use blitz_jobs::timing::Timing;
use tokio::sync::{oneshot, watch};
use tokio::time::sleep;

use crate::fleet::FleetRegion;
use crate::home::{Home, HomeError};
use crate::provider::Provider;
use crate::round::{self, Duties, Report};

/// Between two rounds: a queue that grows is acted on within 10 s, and a round of a large fleet may itself take seconds.
pub const EVERY: Duration = Duration::from_secs(5);

/// Who goes rounds.
#[derive(Debug, Clone)]
pub struct Worker {
    /// Its name, for people: the host's.
    pub name: String,
    /// Which start of it.
    pub incarnation: Incarnation,
    /// The times of the lease.
    pub timing: Timing,
    /// Between two rounds: [`EVERY`].
    pub every: Duration,
}

/// What is told while rounds go.
#[derive(Debug)]
pub enum Told {
    /// This process has the duty from now on, or has it no more.
    Duty(bool),
    /// A round was gone.
    Round(Box<Report>),
    /// A round could not be gone; the next one tries again.
    Failed(HomeError),
}

/// Goes rounds of one region until `leave` is ready and the round that it is in has ended, and gives the duty back then.
///
/// # Errors
///
/// [`HomeError`] when the region cannot be entered at the start.
pub async fn keep<P: Provider>(
    provider: &P,
    store: &Client,
    place: (&str, &FleetRegion),
    duties: &Duties,
    worker: &Worker,
    leave: impl Future<Output = ()>,
    mut tell: impl FnMut(Told),
) -> Result<(), HomeError> {
    let (fleet, region) = place;
    let beats = Home::enter(store, &region.name).await?.beats();
    let Worker { name, incarnation, timing, every } = worker.clone();
    let clock = Clock::start();
    let (say, mut on) = watch::channel(false);
    let duty = Duty::new(&name, incarnation, timing);
    let lease = format!("boot-{fleet}");
    let (goes_on, has_ended) = oneshot::channel::<()>();
    let ended = async { drop(has_ended.await) };
    let keeps = duty::keep(beats, &lease, duty, || clock.now(), timing.beat, say, ended);
    let goes = async {
        let _goes_on = goes_on;
        let mut leave = std::pin::pin!(leave);
        let mut was_on = false;
        loop {
            let is_on = *on.borrow_and_update();
            if is_on != was_on {
                tell(Told::Duty(is_on));
                was_on = is_on;
            }
            if is_on {
                let round = round::go(provider, store, place, duties, now_ms()).await;
                tell(round.map_or_else(Told::Failed, |report| Told::Round(Box::new(report))));
            }
            // A change of the duty is heard at once, and its end ends this.
            let pause = if is_on { every } else { Duration::MAX };
            tokio::select! {
                () = sleep(pause) => {}
                () = leave.as_mut() => return is_on,
                changed = on.changed() => if changed.is_err() { return is_on },
            }
        }
    };
    // The lease is rewritten while a round goes.
    let ((), was_on) = tokio::join!(keeps, goes);
    if was_on {
        tell(Told::Duty(false));
    }
    Ok(())
}
