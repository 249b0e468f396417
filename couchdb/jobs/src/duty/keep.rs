//! Performs what a [`Duty`] decides, on a real store.

use std::future::Future;
use std::time::Duration;

use blitz_couchdb::{Database, Put, PutOptions};
use serde_json::Value;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::{Action, Duty, Found, Lease, Written};
use crate::read;

/// Keeps one worker's side of a duty, and says in `on` whether it has it, until `leave` is ready; then it gives the
/// duty back and ends. When the future is dropped instead, the lease runs out by itself, and `on` closes without
/// saying so: who listens takes that for "off".
///
/// `database` is the region's beats database, `duty` names the lease in it, `worker` is this worker's side. `clock` gives
/// durations since any fixed moment of this machine's own clock, one that goes on while the machine sleeps. No
/// request takes longer than `patience`: [`crate::timing::Timing::beat`] is right.
pub async fn keep(
    database: Database,
    duty: &str,
    mut worker: Duty,
    clock: impl Fn() -> Duration,
    patience: Duration,
    on: watch::Sender<bool>,
    leave: impl Future<Output = ()>,
) {
    let id = Lease::document_id(duty);
    let mut leave = std::pin::pin!(leave);
    let mut leaves = false;
    let mut next = None;
    while !worker.is_gone() {
        let now = clock();
        let action = next.take().or_else(|| worker.tick(now));
        tell(&on, &worker, clock(), duty);
        let Some(action) = action else {
            let wait = worker.due().map_or(patience, |due| due.saturating_sub(clock()));
            tokio::select! {
                () = sleep(wait) => {}
                () = leave.as_mut(), if !leaves => {
                    leaves = true;
                    worker.go();
                }
            }
            continue;
        };
        let mut answer = std::pin::pin!(perform(&database, &id, &action, patience));
        let answer = loop {
            // The duty may run out while the store does not answer.
            let wait = worker.due().map_or(patience, |due| due.saturating_sub(clock()));
            tokio::select! {
                answer = answer.as_mut() => break answer,
                () = sleep(wait.max(Duration::from_millis(1))) => {
                    worker.tick(clock());
                    tell(&on, &worker, clock(), duty);
                }
                () = leave.as_mut(), if !leaves => {
                    leaves = true;
                    worker.go();
                    tell(&on, &worker, clock(), duty);
                }
            }
        };
        match (answer, &action) {
            (Answer::Read(found), _) => next = worker.read_answered(clock(), found),
            (Answer::Write(written), Action::Write { lease, .. }) => {
                worker.write_answered(clock(), lease, written);
            }
            (Answer::Write(_), Action::Read) => {}
        }
    }
    on.send_replace(false);
}

fn tell(on: &watch::Sender<bool>, worker: &Duty, now: Duration, duty: &str) {
    let is_on = worker.is_on(now);
    on.send_if_modified(|said| {
        let changes = *said != is_on;
        if changes {
            tracing::info!(duty, is_on, "a duty has changed hands");
        }
        *said = is_on;
        changes
    });
}

enum Answer {
    Read(Found),
    Write(Written),
}

async fn perform(database: &Database, id: &str, action: &Action, patience: Duration) -> Answer {
    match action {
        Action::Read => Answer::Read(match timeout(patience, database.get::<Value>(id)).await {
            Ok(Ok(None)) => Found::Nothing,
            Ok(Ok(Some(found))) => Found::Lease(found.revision, read::document(id, found.body)),
            Ok(Err(error)) => {
                tracing::warn!(id, %error, "cannot read a lease");
                Found::Unknown
            }
            Err(_) => Found::Unknown,
        }),
        Action::Write { over, lease } => {
            let options = PutOptions { quorum: None, timeout: Some(patience) };
            Answer::Write(match database.put(id, over.as_ref(), lease, options).await {
                Ok(Put::Created(revision)) => Written::Stored(revision),
                Ok(Put::Conflict) => Written::Conflict,
                Ok(Put::Accepted(_)) => Written::Unknown,
                Err(error) => {
                    tracing::warn!(id, %error, "cannot write a lease");
                    Written::Unknown
                }
            })
        }
    }
}
