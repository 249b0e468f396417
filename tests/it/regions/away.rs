//! Jobs of users who reach a hub only: everything goes by replication.

use serde_json::json;

use super::{end_of, submit, two_clusters};

#[tokio::test]
async fn a_job_from_a_hub_runs_at_home_and_its_output_comes_back() {
    let world = two_clusters().await;
    let far = world.gateway("g1", "virginia", &[]).await;
    let _engine = world.engine("japan", "e1", "tokyo", &[]).await;
    let job = submit(&far.api, "fixture", &["ticks", "20", "10"]).await;
    let (end, output, _) = end_of(&far.api, &job).await;
    assert_eq!((&end["state"], &end["engine"]), (&json!("done"), &json!("e1")), "{end}");
    let right: String = (0..20).map(|tick| format!("tick {tick}\n")).collect();
    assert_eq!(output, right);
    world.agreed_end(&["tokyo", "virginia"], &job).await;
}

#[tokio::test]
async fn a_word_for_a_region_is_known_at_every_cluster() {
    let world = two_clusters().await;
    let far = world.gateway("g1", "virginia", &[]).await;
    let _engine = world.engine("japan", "e1", "tokyo", &[]).await;
    world.engine_at("virginia", "japan", "e1").await;
    let request = json!({"plugin": "fixture", "args": ["noop"], "regions": ["nrt"]});
    let job = far.api.submit_with(request).await.parse().expect("a job's id");
    let (end, ..) = end_of(&far.api, &job).await;
    assert_eq!(end["state"], "done", "{end}");
}

#[tokio::test]
async fn a_cancel_from_a_hub_stops_the_job_at_home() {
    let world = two_clusters().await;
    let far = world.gateway("g1", "virginia", &[]).await;
    let _engine = world.engine("japan", "e1", "tokyo", &[]).await;
    let witness = blitz_tests::Witness::start().await;
    let job = super::submit_seen(&far.api, "once", &witness).await;
    let mut seen = witness.begins().await;
    let (status, _) = far.api.call("DELETE", &format!("/v1/jobs/{job}"), None).await;
    assert_eq!(status.as_u16(), 202);
    seen.stops().await;
    let (end, ..) = end_of(&far.api, &job).await;
    assert_eq!(end["state"], "cancelled", "{end}");
}
