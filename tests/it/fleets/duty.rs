//! Who goes the rounds of a fleet, and what rounds leave alone: one of two processes, until it leaves; machines whose engines do not
//! start.

use std::time::Instant;

use blitz_boot_core::instance::Instance;
use blitz_boot_core::process::Processes;
use blitz_boot_core::shift::{self, EVERY, Told, Worker};
use blitz_jobs::Incarnation;
use blitz_jobs::timing::Timing;
use blitz_tests::until;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::{FASTER, FLEET, LIMIT, Lab, duties};

/// More than a story has rounds.
const TOLD_MAX: usize = 1000;

/// A process that keeps the fleet of a lab.
struct Keeper {
    told: mpsc::Receiver<Told>,
    leave: CancellationToken,
    ends: JoinHandle<()>,
}

impl Keeper {
    fn start(lab: &Lab<Processes>, number: u8) -> Self {
        let (say, told) = mpsc::channel(TOLD_MAX);
        let leave = CancellationToken::new();
        let left = leave.clone();
        let (provider, store) = (lab.provider.clone(), lab.stack.store.clone());
        let (region, duties) = (lab.region.clone(), duties(true, true));
        let worker = Worker {
            name: format!("host-{number}"),
            incarnation: Incarnation::from_random([number; 16]),
            timing: Timing::faster(FASTER),
            every: EVERY,
        };
        let ends = tokio::spawn(async move {
            // Whoever listens no more has seen enough.
            let tell = |told| drop(say.try_send(told));
            let place = (FLEET, &region);
            let leave = left.cancelled();
            let keeps = shift::keep(&provider, &store, place, &duties, &worker, leave, tell);
            Box::pin(keeps).await.unwrap();
        });
        Self { told, leave, ends }
    }

    /// Waits until it says that it has the duty, or that it has it no more; tells how many rounds it went until then.
    async fn until_duty(&mut self, wanted: bool) -> usize {
        let mut rounds = 0;
        loop {
            let told = tokio::time::timeout(LIMIT, self.told.recv()).await;
            match told.expect("it says so in time").expect("it goes on") {
                Told::Duty(is_on) if is_on == wanted => return rounds,
                Told::Duty(_) => {}
                Told::Round(report) => {
                    assert!(report.failed.is_empty() && report.loud.is_empty(), "{report:?}");
                    rounds += 1;
                }
                Told::Failed(error) => panic!("{error}"),
            }
        }
    }
}

#[tokio::test]
async fn one_of_two_goes_the_rounds_and_the_other_when_it_leaves() {
    let lab = Lab::new("shifts", "max = 2\nslots = 1", &[]).await;
    let mut first = Keeper::start(&lab, 1);
    first.until_duty(true).await;
    let mut second = Keeper::start(&lab, 2);

    let job = lab.submit().await;
    let begun = Instant::now();
    let is_launched = async || (!lab.instances().await.is_empty()).then_some(());
    until("a machine for the job", is_launched).await;
    println!("from a job that waits to a machine for it: {:.1?}", begun.elapsed());
    lab.is_done(&job).await;
    assert_eq!(lab.instances().await.len(), 1, "one of the two launched");

    first.leave.cancel();
    assert!(first.until_duty(false).await > 0, "it went rounds");
    assert_eq!(second.until_duty(true).await, 0, "the other went none before");
    first.ends.await.unwrap();
    let jobs = [lab.submit().await, lab.submit().await];
    for job in &jobs {
        lab.is_done(job).await;
    }
    second.leave.cancel();
    assert!(second.until_duty(false).await > 0, "it went rounds");
    second.ends.await.unwrap();
    assert!(lab.instances().await.len() <= 2, "never more than the fleet may have");
}

#[tokio::test]
async fn machines_that_end_before_their_engine_is_there_are_not_launched_again_at_once() {
    let lab = Lab::new("boots", "min = 2\nmax = 2", &["false"]).await;
    let both = duties(true, true);
    let held = lab
        .rounds_until("why nothing is launched", &both, async || {
            let reasons = lab.round(&both).await.decision.unwrap().reasons;
            reasons.into_iter().find(|reason| reason.contains("before their engine registered"))
        })
        .await;
    let names = |one: &Instance| held.ends_with(&format!("look at the log of {}", one.id));
    assert!(lab.instances().await.iter().any(names), "{held}");
    for _ in 0..5 {
        lab.round(&both).await;
    }
    assert_eq!(lab.instances().await.len(), 2, "there was one launch");
}
