//! A duty among workers.

use blitz_jobs::clock::Clock;
use blitz_jobs::duty::{self, Duty, Lease};
use blitz_jobs::region::beats_database;
use blitz_jobs::timing::Timing;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::*;

struct Worker {
    on: watch::Receiver<bool>,
    leave: CancellationToken,
    task: JoinHandle<()>,
}

impl Worker {
    fn new(world: &World, byte: u8) -> Self {
        let timing = Timing::faster(50);
        let database = world.client.database(&beats_database("japan"));
        let worker = Duty::new(&format!("g{byte}"), Incarnation::from_random([byte; 16]), timing);
        let (on_in, on) = watch::channel(false);
        let leave = CancellationToken::new();
        let (clock, left) = (Clock::start(), leave.clone());
        let task = tokio::spawn(async move {
            let leaves = left.cancelled();
            let clock = || clock.now();
            duty::keep(database, "keeper", worker, clock, PATIENCE, on_in, leaves).await;
        });
        Self { on, leave, task }
    }

    async fn is_on(&mut self) {
        let said = timeout(PATIENCE, self.on.wait_for(|is_on| *is_on)).await;
        said.expect("the duty does not come").expect("the worker has gone");
    }
}

#[tokio::test]
async fn a_duty_goes_from_hand_to_hand() {
    let world = World::new().await;
    let beats = world.client.database(&beats_database("japan"));
    beats.create().await.unwrap();
    let mut first = Worker::new(&world, 1);
    first.is_on().await;
    let mut second = Worker::new(&world, 2);
    first.leave.cancel();
    timeout(PATIENCE, &mut first.task).await.expect("it goes").unwrap();
    assert!(!*first.on.borrow());
    second.is_on().await;
    // One that ends without a word is followed too.
    second.task.abort();
    let mut third = Worker::new(&world, 3);
    third.is_on().await;
    let id = Lease::document_id("keeper");
    let lease = beats.get::<Lease>(&id).await.unwrap().unwrap().body;
    assert_eq!(lease.holder.unwrap().name, "g3");
    third.leave.cancel();
    timeout(PATIENCE, third.task).await.expect("it goes").unwrap();
    let lease = beats.get::<Lease>(&id).await.unwrap().unwrap().body;
    assert_eq!(lease.holder, None);
}

#[tokio::test]
async fn who_never_had_a_duty_and_finds_no_store_goes_all_the_same() {
    let world = World::new().await;
    let worker = Worker::new(&world, 1);
    worker.leave.cancel();
    timeout(PATIENCE, worker.task).await.expect("it goes").unwrap();
    assert!(!*worker.on.borrow());
}
