//! One engine's side of the meeting of a run's tasks: it says that it is ready, and waits for the word to go. What the
//! documents mean is in `blitz_jobs::meeting`; who takes part is decided by the keeper.

use std::sync::Arc;
use std::time::Duration;

use blitz_contract::load::Share;
use blitz_couchdb::{Database, Error};
use blitz_jobs::meeting::{Go, Ready, Stands};
use blitz_jobs::timing::GO_AWAITED_MAX;
use blitz_jobs::{Claim, JobId, Spec};
use blitz_runtime::{Meeting, Meets, Met};
use tokio::sync::watch;
use tokio::time::Instant;

/// What the store did not take or tell is asked again after this long.
const AGAIN: Duration = Duration::from_secs(1);

/// The go of a running job, and when it was heard. The loop tells it.
pub(crate) type HeardGo = watch::Sender<Option<(Instant, Arc<Go>)>>;

/// Where one job meets the other tasks of its run.
#[derive(Debug)]
pub(crate) struct Rendezvous {
    pub(crate) jobs: Database,
    pub(crate) spec: Arc<Spec>,
    pub(crate) claim: Claim,
    pub(crate) heard: HeardGo,
}

impl Meeting for Rendezvous {
    fn meet(&self) -> Meets<'_> {
        Box::pin(async {
            if self.spec.tasks.len() < 2 {
                return Ok(ALONE);
            }
            let waits = tokio::time::timeout(GO_AWAITED_MAX, self.meet_others()).await;
            waits.unwrap_or_else(|_| {
                let waited = GO_AWAITED_MAX.as_secs();
                Err(format!(
                    "nobody said within {waited} s which engines begin; a gateway decides it: does one run?"
                ))
            })
        })
    }
}

/// A run of one task.
const ALONE: Met = Met { share: Share::WHOLE, starts_in: Duration::ZERO, missing: 0 };

impl Rendezvous {
    async fn meet_others(&self) -> Result<Met, String> {
        let mut heard = self.heard.subscribe();
        self.say_ready().await?;
        // It may have come before this job was listened for.
        let stored = self.stored().await;
        let told = heard.borrow_and_update().clone();
        let (at, go) = match (told, stored) {
            (Some(told), _) => told,
            (None, Some(go)) => (Instant::now(), go),
            (None, None) => {
                let told = heard.wait_for(Option::is_some).await.map(|told| told.clone());
                // The sender is this one's own, and does not go before.
                told.ok().flatten().ok_or("the engine hears nothing any more")?
            }
        };
        met(&go, &self.spec.job, at.elapsed())
    }

    /// Says that it is there, until the store has taken it.
    async fn say_ready(&self) -> Result<(), String> {
        let ready = Ready::new(self.spec.job.clone(), &self.claim);
        loop {
            match ready.write(&self.jobs).await {
                Ok(Stands::Own) => return Ok(()),
                Ok(Stands::Others(engine)) => {
                    let of =
                        engine.map_or_else(String::new, |engine| format!(" by engine {engine}"));
                    return Err(format!(
                        "an earlier attempt of the job was ready before this one{of}, and the run does not begin twice; \
                         run the command again"
                    ));
                }
                Err(error @ (Error::NotFound { .. } | Error::Forbidden { .. })) => {
                    return Err(format!(
                        "the store does not take the word that it is ready: {error}"
                    ));
                }
                Err(error) => {
                    tracing::warn!(job = %self.spec.job, %error, "cannot say that it is ready, trying again");
                    tokio::time::sleep(AGAIN).await;
                }
            }
        }
    }

    /// The go that is stored already. When the store does not tell, the feed will.
    async fn stored(&self) -> Option<Arc<Go>> {
        let job = &self.spec.job;
        let found = Go::read(&self.jobs, job).await;
        found.inspect_err(|error| tracing::warn!(%job, %error, "cannot read a go")).ok().flatten()
    }
}

/// What a go means for a job, so long after it was heard.
fn met(go: &Go, job: &JobId, since: Duration) -> Result<Met, String> {
    if let Some(reason) = &go.refused {
        return Err(reason.clone());
    }
    let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    let of = go.members.len();
    let Some(index) = go.place(job) else {
        let tasks = of + go.missing.len();
        return Err(format!(
            "the others began without it: {of} of {tasks} engines were ready in time, and this one was not"
        ));
    };
    Ok(Met {
        share: Share { index: count(index), of: count(of) },
        starts_in: go.delay().saturating_sub(since),
        missing: count(go.missing.len()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_go_gives_a_place_and_what_is_left_of_the_delay_or_a_reason() {
        let tasks: Vec<JobId> = (0..3).map(|_| JobId::new("japan", 1)).collect();
        let missing = vec![tasks[1].clone()];
        let members = vec![tasks[0].clone(), tasks[2].clone()];
        let go = Go::begin(members, missing, Duration::from_secs(2));
        let ms = Duration::from_millis;
        let of = |job, since| met(&go, job, since);
        let share = Share { index: 1, of: 2 };
        assert_eq!(of(&tasks[2], ms(500)), Ok(Met { share, starts_in: ms(1500), missing: 1 }));
        assert_eq!(of(&tasks[0], ms(9000)).unwrap().starts_in, ms(0));
        let reason = of(&tasks[1], ms(0)).unwrap_err();
        assert!(reason.contains("2 of 3 engines were ready in time"), "{reason}");
        let refused = Go::refuse(tasks.clone(), "too few".to_owned());
        assert_eq!(met(&refused, &tasks[0], ms(0)), Err("too few".to_owned()));
    }
}
