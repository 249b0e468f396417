//! Regions over several clusters: jobs that come in where their region is not, and clusters that cannot be reached.

mod away;
mod cut;
mod moved;
mod real;

use blitz_jobs::JobId;
use blitz_tests::api::stream;
use blitz_tests::regions::World;
use blitz_tests::{Api, Event, Witness};
use serde_json::{Value, json};

/// Japan has its home in Tokyo, Virginia is a hub of it.
async fn two_clusters() -> World {
    let plan = World::new().cluster("tokyo").cluster("virginia");
    plan.region("japan", "tokyo", &["virginia"]).start().await
}

/// Submits a job that lives as long as a story may take.
async fn submit(api: &Api, plugin: &str, args: &[impl AsRef<str>]) -> JobId {
    let args: Vec<&str> = args.iter().map(AsRef::as_ref).collect();
    let request = json!({
        "plugin": plugin, "args": args, "regions": ["japan"],
        "queue_timeout_ms": 120_000, "timeout_ms": 240_000,
    });
    api.submit_with(request).await.parse().expect("a job's id")
}

/// A job that the witness sees.
async fn submit_seen(api: &Api, plugin: &str, witness: &Witness) -> JobId {
    submit(api, plugin, &witness.words()).await
}

/// The end of a job, with what it wrote and all that was told.
async fn end_of(api: &Api, job: &JobId) -> (Value, String, Vec<Event>) {
    let events = api.follow(job.as_str()).await;
    let end = events.last().filter(|event| event.kind == "end");
    let end = end.unwrap_or_else(|| panic!("{job} has no end: {events:?}")).data.clone();
    (end, stream(&events, "stdout"), events)
}
