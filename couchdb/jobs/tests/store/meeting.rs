//! The words of tasks that begin together.

use std::sync::Arc;

use blitz_jobs::meeting::{Go, Ready, Stands};

use super::*;

#[tokio::test]
async fn the_first_ready_and_the_first_go_stand() {
    let world = World::new().await;
    let job = JobId::new("japan", 1);
    let claim = |attempt| {
        let first = Claim::first(1, "e1", Incarnation::from_random([attempt; 16]));
        Claim { attempt: u32::from(attempt), ..first }
    };
    let ready = Ready::new(job.clone(), &claim(1));
    for _ in 0..2 {
        assert_eq!(ready.write(&world.jobs).await.unwrap(), Stands::Own);
    }
    let later = Ready::new(job.clone(), &claim(2));
    let stands = later.write(&world.jobs).await.unwrap();
    assert_eq!(stands, Stands::Others(Some("e1".to_owned())));

    assert_eq!(Go::read(&world.jobs, &job).await.unwrap(), None);
    let go = |ms| Arc::new(Go::begin(vec![job.clone()], Vec::new(), Duration::from_millis(ms)));
    for ms in [1, 1, 2] {
        assert_eq!(go(ms).write(&world.jobs, &job).await, Some(go(1)));
    }
    assert_eq!(Go::read(&world.jobs, &job).await.unwrap(), Some(go(1)));
}

#[tokio::test]
async fn a_go_that_cannot_be_read_refuses() {
    let world = World::new().await;
    let job = JobId::new("japan", 1);
    world.put(&DocumentId::Go(job.clone()), None, &json!({"kind": "go", "members": 7})).await;
    let go = Arc::new(Go::begin(vec![job.clone()], Vec::new(), Duration::ZERO));
    let stands = go.write(&world.jobs, &job).await.unwrap();
    let reason = stands.refused.clone().unwrap();
    assert!(reason.contains(":go cannot be read by blitz"), "{reason}");
}
