//! A home that cannot be reached for a while, and what is told of it.

use blitz_tests::{Event, Witness};
use serde_json::json;

use super::{end_of, submit, submit_seen, two_clusters};

/// Whether a follower was told that a region cannot be reached, and that it can be again.
fn told_of_cut(events: &[Event]) -> bool {
    let at = |kind: &str| events.iter().position(|event| event.kind == kind);
    matches!((at("unreachable"), at("reachable")), (Some(cut), Some(healed)) if cut < healed)
}

#[tokio::test]
async fn a_job_that_is_accepted_while_home_is_cut_off_runs_once_after_the_heal() {
    let world = two_clusters().await;
    let far = world.gateway("g1", "virginia", &["tokyo"]).await;
    // Beside the home: it mends what replicates from there.
    let _near = world.gateway("g2", "tokyo", &[]).await;
    let _engine = world.engine("japan", "e1", "tokyo", &[]).await;
    world.engine_at("virginia", "japan", "e1").await;
    world.isolate("tokyo");
    let witness = Witness::start().await;
    let job = submit_seen(&far.api, "once", &witness).await;
    assert!(world.run_at("virginia", &job).await.is_none(), "nobody claims at a hub");
    let mut events = far.api.events(job.as_str(), None).await;
    while events.next().await.expect("an open stream").kind != "unreachable" {}
    tokio::select! {
        _ = witness.begins() => panic!("it runs, and its home has not heard of it"),
        () = tokio::task::yield_now() => {}
    }
    world.join("tokyo");
    witness.begins().await.answer("once").await;
    let (end, output, _) = end_of(&far.api, &job).await;
    assert_eq!((&end["state"], &end["attempt"]), (&json!("done"), &json!(1)), "{end}");
    assert_eq!(output, "200 OK\nonce");
    world.agreed_end(&["tokyo", "virginia"], &job).await;
}

#[tokio::test]
async fn a_region_that_is_cut_off_goes_on_with_its_own_gateway() {
    let world = two_clusters().await;
    let near = world.gateway("g1", "tokyo", &["virginia"]).await;
    let _engine = world.engine("japan", "e1", "tokyo", &["virginia"]).await;
    world.isolate("tokyo");
    for _ in 0..3 {
        let job = submit(&near.api, "fixture", &["ticks", "3", "10"]).await;
        let (end, output, events) = end_of(&near.api, &job).await;
        assert_eq!(end["state"], "done", "{end}");
        assert_eq!(output, "tick 0\ntick 1\ntick 2\n");
        assert!(!told_of_cut(&events), "its home is beside it: {events:?}");
    }
    world.join("tokyo");
}

#[tokio::test]
async fn a_cut_while_a_job_runs_takes_nothing_of_its_output() {
    let world = two_clusters().await;
    let far = world.gateway("g1", "virginia", &["tokyo"]).await;
    let _near = world.gateway("g2", "tokyo", &[]).await;
    let _engine = world.engine("japan", "e1", "tokyo", &[]).await;
    let witness = Witness::start().await;
    let job = submit_seen(&far.api, "fixture", &witness).await;
    let seen = witness.begins().await;
    world.isolate("tokyo");
    // It ends while nobody outside can see it.
    seen.answer(&"a line of output\n".repeat(2_000)).await;
    world.agreed_end(&["tokyo"], &job).await;
    world.join("tokyo");
    let (end, output, events) = end_of(&far.api, &job).await;
    assert_eq!((&end["state"], &end["attempt"]), (&json!("done"), &json!(1)), "{end}");
    assert_eq!(output.lines().count(), 2_001, "the status and all lines: {events:?}");
    assert!(events.iter().all(|event| event.kind != "incomplete"), "{events:?}");
}

#[tokio::test]
async fn an_engine_that_is_cut_off_from_home_stops_and_another_goes_on() {
    let world = two_clusters().await;
    let far = world.gateway("g1", "virginia", &["tokyo"]).await;
    let _remote = world.engine("japan", "e1", "virginia", &["tokyo"]).await;
    let witness = Witness::start().await;
    let job = submit_seen(&far.api, "fixture", &witness).await;
    let mut seen = witness.begins().await;
    let _local = world.engine("japan", "e2", "tokyo", &[]).await;
    world.cut("e1", "tokyo");
    let next = tokio::select! {
        biased;
        () = seen.stops() => witness.begins().await,
        _ = witness.begins() => panic!("the second began while the first was running"),
    };
    next.answer("by the second").await;
    let (end, output, _) = end_of(&far.api, &job).await;
    assert_eq!((&end["state"], &end["engine"]), (&json!("done"), &json!("e2")), "{end}");
    assert_eq!(output, "200 OK\nby the second");
    world.heal("e1", "tokyo");
}
