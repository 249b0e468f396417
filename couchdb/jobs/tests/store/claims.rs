//! Claims, fences and ends.

use blitz_jobs::claim as claims;
use blitz_jobs::start::Start;
use blitz_jobs::writing::Answer;
use tokio::task::JoinSet;

use super::*;

#[tokio::test]
async fn of_many_claims_at_once_one_wins() {
    let world = World::new().await;
    for _ in 0..10 {
        let job = JobId::new("japan", 1);
        let mut writers = JoinSet::new();
        for byte in 1..=8 {
            let (jobs, job) = (world.jobs.clone(), job.clone());
            writers.spawn(async move { claims::write(&jobs, 1, &job, None, &claimed(byte)).await });
        }
        let answers = writers.join_all().await;
        let won = answers.iter().filter(|answer| matches!(answer, Answer::Won(_))).count();
        let lost = answers.iter().filter(|answer| **answer == Answer::Lost).count();
        assert_eq!((won, lost), (1, 7), "{answers:?}");
    }
}

#[tokio::test]
async fn a_step_that_was_stored_already_is_won_again() {
    let world = World::new().await;
    let job = JobId::new("japan", 1);
    let first = claims::write(&world.jobs, 1, &job, None, &claimed(1)).await;
    let again = claims::write(&world.jobs, 1, &job, None, &claimed(1)).await;
    assert_eq!(first, again, "its answer was lost, and it finds itself");
    let Answer::Won(claim) = first else { panic!("{first:?}") };
    let done = claims::write(&world.jobs, 1, &job, Some(&claim), &lost(1)).await;
    assert!(matches!(done, Answer::Won(_)));
    assert_eq!(claims::write(&world.jobs, 1, &job, Some(&claim), &lost(1)).await, done);
    let open = Run::Open { last: super::claim(1), reason: String::new() };
    assert_eq!(claims::write(&world.jobs, 1, &job, Some(&claim), &open).await, Answer::Lost);
}

#[tokio::test]
async fn one_passes_the_fence_of_a_job_and_only_once() {
    let world = World::new().await;
    let job = JobId::new("japan", 1);
    let mut runners = JoinSet::new();
    for byte in 1..=8 {
        let (jobs, start) = (world.jobs.clone(), Start::new(job.clone(), &claim(byte)));
        let revision: Revision = "1-a".parse().unwrap();
        runners.spawn(async move { claims::pass(&jobs, &start, &revision).await });
    }
    let goes = runners.join_all().await.into_iter().filter(|goes| *goes).count();
    assert_eq!(goes, 1);
    let again = Start::new(job, &claim(1));
    assert!(!claims::pass(&world.jobs, &again, &"1-a".parse().unwrap()).await);
}

#[tokio::test]
async fn a_write_to_a_database_that_is_gone_is_lost_and_one_to_no_store_is_unknown() {
    let world = World::new().await;
    let job = JobId::new("oregon", 1);
    let nowhere = world.client.database(&job.jobs_database());
    assert_eq!(claims::write(&nowhere, 1, &job, None, &claimed(1)).await, Answer::Lost);
    // A port that the system gave and nobody listens on.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let client = Client::new(format!("http://{address}")).unwrap();
    let jobs = client.database(&job.jobs_database());
    assert_eq!(claims::write(&jobs, 1, &job, None, &claimed(1)).await, Answer::Unknown);
    assert!(claims::hear(&jobs, 1, &job).await.is_err());
}

#[tokio::test]
async fn who_lost_a_write_hears_what_the_store_has() {
    use blitz_jobs::feed::Heard;
    let world = World::new().await;
    let job = JobId::new("japan", 1);
    let heard = claims::hear(&world.jobs, 1, &job).await.unwrap();
    assert_eq!(heard, [Heard::NoRun(job.clone())]);
    let revision = world.put_run(&job, &claimed(1)).await;
    let heard = claims::hear(&world.jobs, 1, &job).await.unwrap();
    assert_eq!(heard, [Heard::Run(job, revision, claimed(1))]);
}
