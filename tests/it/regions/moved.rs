//! A region whose home is moved while the former one lives and cannot be reached, and one whose home is lost.

use blitz_jobs::Run;
use blitz_jobs::region::{Failover, Region};
use blitz_tests::Witness;
use blitz_tests::regions::World;
use serde_json::json;

use super::{end_of, submit, submit_seen, two_clusters};

/// Both clusters have the region's new document.
async fn moved(world: &World, epoch: u32) -> Region {
    for cluster in ["tokyo", "virginia"] {
        blitz_tests::until(&format!("epoch {epoch} at {cluster}"), || async {
            (world.region_at(cluster, "japan").await.home_epoch >= epoch).then_some(())
        })
        .await;
    }
    world.region_at("tokyo", "japan").await
}

#[tokio::test]
async fn what_must_not_run_twice_begins_at_most_once_when_its_home_is_moved_away() {
    let world = two_clusters().await;
    let far = world.gateway("g1", "virginia", &["tokyo"]).await;
    let near = world.gateway("g2", "tokyo", &["virginia"]).await;
    let _old = world.engine("japan", "e1", "tokyo", &["virginia"]).await;
    let _other = world.engine("japan", "e2", "virginia", &["tokyo"]).await;
    let witness = Witness::start().await;
    let job = submit_seen(&far.api, "once", &witness).await;
    let seen = witness.begins().await;
    world.isolate("tokyo");
    world.move_region("japan", "virginia").await;
    // The new home serves new jobs, while the old one still has its own.
    let fresh = submit(&far.api, "once", &["noop"]).await;
    let (end, ..) = end_of(&far.api, &fresh).await;
    assert_eq!((&end["state"], &end["engine"]), (&json!("done"), &json!("e2")), "{end}");
    world.join("tokyo");
    world.mend_region("japan", "virginia").await;
    moved(&world, 3).await;
    tokio::select! {
        _ = witness.begins() => panic!("it has begun twice"),
        () = async {
            seen.answer("the only one").await;
            let run = world.agreed_end(&["tokyo", "virginia"], &job).await;
            assert!(matches!(run, Run::Done { .. } | Run::Lost { .. }), "{run:?}");
        } => {}
    }
    drop(near);
}

#[tokio::test]
async fn a_safe_job_of_a_home_that_was_moved_away_has_one_effective_end() {
    let world = two_clusters().await;
    let far = world.gateway("g1", "virginia", &["tokyo"]).await;
    let _near = world.gateway("g2", "tokyo", &["virginia"]).await;
    let _old = world.engine("japan", "e1", "tokyo", &["virginia"]).await;
    let witness = Witness::start().await;
    let job = submit_seen(&far.api, "fixture", &witness).await;
    let first = witness.begins().await;
    world.isolate("tokyo");
    world.move_region("japan", "virginia").await;
    let _new = world.engine("japan", "e2", "virginia", &["tokyo"]).await;
    // After its time of settling it is the new home's, and runs there beside the one that cannot be told.
    witness.begins().await.answer("at the new home").await;
    first.answer("at the old home").await;
    world.agreed_end(&["virginia"], &job).await;
    world.join("tokyo");
    world.mend_region("japan", "virginia").await;
    moved(&world, 3).await;
    let run = world.agreed_end(&["tokyo", "virginia"], &job).await;
    let Run::Done { claim, .. } = &run else { panic!("not done: {run:?}") };
    assert_eq!(claim.engine, "e2", "the later home counts");
    let (end, output, _) = end_of(&far.api, &job).await;
    assert_eq!(end["state"], "done", "{end}");
    assert_eq!(output, "200 OK\nat the new home", "of one run only");
}

#[tokio::test]
async fn a_job_that_nobody_began_is_run_at_the_new_home() {
    let world = two_clusters().await;
    let far = world.gateway("g1", "virginia", &["tokyo"]).await;
    world.isolate("tokyo");
    let job = submit(&far.api, "fixture", &["noop"]).await;
    world.move_region("japan", "virginia").await;
    let _engine = world.engine("japan", "e1", "virginia", &["tokyo"]).await;
    let (end, ..) = end_of(&far.api, &job).await;
    assert_eq!((&end["state"], &end["engine"]), (&json!("done"), &json!("e1")), "{end}");
    world.join("tokyo");
    world.mend_region("japan", "virginia").await;
    world.agreed_end(&["tokyo", "virginia"], &job).await;
}

#[tokio::test]
async fn engines_of_a_region_that_says_so_go_to_the_hub_by_themselves() {
    let plan = World::new().cluster("tokyo").cluster("virginia");
    let change = |region: &mut Region| region.failover = Failover::Safe;
    let world = plan.region_that("japan", "tokyo", &["virginia"], change).start().await;
    let far = world.gateway("g1", "virginia", &["tokyo"]).await;
    let _near = world.gateway("g2", "tokyo", &["virginia"]).await;
    let _engine = world.engine("japan", "e1", "virginia", &["tokyo"]).await;
    world.isolate("tokyo");
    let safe = submit(&far.api, "fixture", &["ticks", "3", "10"]).await;
    let never = submit(&far.api, "once", &["noop"]).await;
    let (end, output, _) = end_of(&far.api, &safe).await;
    assert_eq!((&end["state"], output.as_str()), (&json!("done"), "tick 0\ntick 1\ntick 2\n"));
    assert!(world.run_at("virginia", &never).await.is_none(), "it waits for its home");
    world.join("tokyo");
    let (end, ..) = end_of(&far.api, &never).await;
    assert_eq!(end["state"], "done", "{end}");
    for job in [&safe, &never] {
        world.agreed_end(&["tokyo", "virginia"], job).await;
    }
}

#[tokio::test]
async fn a_home_that_lost_everything_is_made_anew() {
    let mut world = two_clusters().await;
    let far = world.gateway("g1", "virginia", &["tokyo"]).await;
    let witness = Witness::start().await;
    let engine = world.engine("japan", "e1", "tokyo", &["virginia"]).await;
    // Its time is over soon: until then what it came to might still arrive from somewhere.
    let request = json!({
        "plugin": "once", "args": witness.words(), "regions": ["japan"],
        "queue_timeout_ms": 10_000, "timeout_ms": 10_000,
    });
    let lost = far.api.submit_with(request).await.parse().expect("a job's id");
    let _seen = witness.begins().await;
    let claimed = || async { world.run_at("virginia", &lost).await };
    blitz_tests::until("the hub knows that it was claimed", claimed).await;
    engine.kill().await;
    world.wipe("tokyo").await;
    world.renew("tokyo", "virginia").await;
    assert_eq!(moved(&world, 3).await.home.as_deref(), Some("tokyo"));
    let _engine = world.engine("japan", "e2", "tokyo", &["virginia"]).await;
    let job = submit(&far.api, "fixture", &["noop"]).await;
    let (end, ..) = end_of(&far.api, &job).await;
    assert_eq!(end["state"], "done", "{end}");
    tokio::select! {
        _ = witness.begins() => panic!("it has begun twice"),
        run = world.agreed_end(&["tokyo", "virginia"], &lost) => {
            assert!(matches!(run, Run::Lost { .. }), "{run:?}");
        }
    }
}
