//! Asks the region's home whether it is there, where engines may go elsewhere when it is not.

use std::sync::Arc;
use std::time::Duration;

use blitz_jobs::timing::Timing;
use tokio::sync::mpsc::Sender;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};

use crate::chart::Chart;
use crate::course::Terms;
use crate::reach::Reach;

/// The home is asked so often within the time after which it is given up: one lost answer means nothing.
const ASKED_TIMES: u32 = 6;

/// The home of this epoch has answered as itself, or has not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sign {
    pub(crate) epoch: u32,
    pub(crate) answers: bool,
}

/// Asks until nobody listens.
pub(crate) async fn keep(
    reach: Reach,
    charts: watch::Receiver<Arc<Chart>>,
    mut terms: watch::Receiver<Terms>,
    timing: Timing,
    signs: Sender<Sign>,
) {
    let every = every(&timing);
    loop {
        let Terms { home, epoch, refuges, .. } = terms.borrow_and_update().clone();
        let asked = Instant::now();
        if !refuges.is_empty() {
            let chart = Arc::clone(&charts.borrow());
            let knocks = async { reach.door(home.as_deref(), &chart)?.knock().await };
            let answers = matches!(timeout(every, knocks).await, Ok(Ok(_)));
            if signs.send(Sign { epoch, answers }).await.is_err() {
                return;
            }
        }
        // Not all engines of a region at the same moment.
        let late = getrandom::u32().map_or(0.0, |random| f64::from(random) / f64::from(u32::MAX));
        let next = asked + every.mul_f64(0.75 + late / 2.0);
        tokio::select! {
            () = sleep_until(next), if !refuges.is_empty() => {}
            changed = terms.changed() => if changed.is_err() { return },
        }
    }
}

fn every(timing: &Timing) -> Duration {
    timing.failover_after / ASKED_TIMES
}
