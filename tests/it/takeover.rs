//! What becomes of a job when its engine dies, loses its store, goes, or meets its double.

use std::time::Duration;

use blitz_contract::Retry;
use blitz_couchdb::{Client, Put, PutOptions};
use blitz_engine::Error;
use blitz_jobs::cluster::Clusters;
use blitz_jobs::drain::DrainOrder;
use blitz_jobs::engine::{Beat, EngineDocument};
use blitz_jobs::region::{beats_database, engines_database};
use blitz_jobs::run::RunDocument;
use blitz_jobs::start::Start;
use blitz_jobs::{DocumentId, Incarnation, JobId, Run};
use blitz_tests::api::stream;
use blitz_tests::{Cable, Event, Stack, Witness, until};
use serde_json::{Value, json};

/// A job of the plugin `name` that the witness sees.
async fn submit(stack: &Stack, name: &str, witness: &Witness) -> JobId {
    let request = json!({"plugin": name, "args": witness.words(), "regions": [stack.region()]});
    stack.api.submit_with(request).await.parse().expect("a job's id")
}

/// The plugin `once`, which must not run twice.
async fn publish_once(stack: &Stack) {
    stack.publish("once", |manifest| manifest.retry = Retry::Never).await;
}

async fn run_of(stack: &Stack, job: &JobId) -> Option<Run> {
    let jobs = stack.store.database(&job.jobs_database());
    let id = DocumentId::Run(job.clone()).to_string();
    jobs.get::<RunDocument>(&id).await.expect("an answer").map(|found| found.body.run)
}

async fn end_of(stack: &Stack, job: &JobId) -> (Vec<Event>, Value) {
    let events = stack.api.follow(job.as_str()).await;
    let end = events.last().filter(|event| event.kind == "end").expect("an end").data.clone();
    (events, end)
}

#[tokio::test]
async fn engines_take_over_from_a_dead_one_without_any_gateway() {
    let mut stack = Stack::start(&["japan"]).await;
    let witness = Witness::start().await;
    let first = stack.engine(stack.region(), "e1", 2).await;
    let job = submit(&stack, "fixture", &witness).await;
    let mut seen = witness.begins().await;
    let _second = stack.engine(stack.region(), "e2", 2).await;
    let port = stack.stop_gateway().await;
    first.kill().await;
    seen.stops().await;
    witness.begins().await.answer("from the second").await;
    let run =
        until("the end of the job", || async { run_of(&stack, &job).await.filter(Run::is_final) })
            .await;
    let Run::Done { claim, .. } = &run else { panic!("not done: {run:?}") };
    assert_eq!((claim.engine.as_str(), claim.attempt), ("e2", 2));
    let silent: Vec<&str> = claim.silent.iter().map(|silent| silent.engine.as_str()).collect();
    assert_eq!(silent, ["e1"], "the death is counted");
    stack.start_gateway(port).await;
    let (events, _) = end_of(&stack, &job).await;
    assert_eq!(stream(&events, "stdout"), "200 OK\nfrom the second");
}

#[tokio::test]
async fn what_must_not_run_twice_is_lost_with_its_engine() {
    let stack = Stack::start(&["japan"]).await;
    publish_once(&stack).await;
    let witness = Witness::start().await;
    let first = stack.engine(stack.region(), "e1", 2).await;
    let job = submit(&stack, "once", &witness).await;
    let _seen = witness.begins().await;
    let _second = stack.engine(stack.region(), "e2", 2).await;
    first.kill().await;
    tokio::select! {
        _ = witness.begins() => panic!("a second run of what must not run twice"),
        (_, end) = end_of(&stack, &job) => {
            assert_eq!((&end["state"], &end["engine"]), (&json!("lost"), &json!("e1")), "{end}");
            assert!(end["reason"].as_str().unwrap().contains("no sign of life"), "{end}");
            assert_eq!(end.get("begun"), None, "it began: {end}");
        }
    }
    let jobs = stack.store.database(&job.jobs_database());
    let id = DocumentId::Start(job.clone()).to_string();
    let fence = jobs.get::<Start>(&id).await.unwrap().expect("its start fence").body;
    assert_eq!((fence.engine.as_str(), fence.attempt), ("e1", 1));
}

#[tokio::test]
async fn an_engine_that_lost_its_store_stops_before_another_begins() {
    let stack = Stack::start(&["japan"]).await;
    let witness = Witness::start().await;
    let cable = Cable::to(&stack.store_url()).await;
    let first = stack
        .engine_with(stack.region(), "e1", |config| {
            config.clusters = Clusters::alone(Client::new(cable.url()).expect("an address"));
        })
        .await;
    let job = submit(&stack, "fixture", &witness).await;
    let mut seen = witness.begins().await;
    let _second = stack.engine(stack.region(), "e2", 2).await;
    cable.pull();
    let next = tokio::select! {
        biased;
        () = seen.stops() => witness.begins().await,
        _ = witness.begins() => panic!("the second began while the first was running"),
    };
    // The first comes back while the second runs, and leaves it alone.
    cable.plug();
    let ended = stack.api.submit(stack.region(), &["noop"]).await;
    stack.api.follow(&ended).await;
    next.answer("once").await;
    let (events, end) = end_of(&stack, &job).await;
    assert_eq!((&end["state"], &end["engine"]), (&json!("done"), &json!("e2")), "{end}");
    assert_eq!(stream(&events, "stdout"), "200 OK\nonce");
    first.drain().await;
}

#[tokio::test]
async fn an_engine_that_comes_back_in_time_gives_its_job_back() {
    let mut stack = Stack::start(&["japan"]).await;
    let witness = Witness::start().await;
    let cable = Cable::to(&stack.store_url()).await;
    let _engine = stack
        .engine_with(stack.region(), "e1", |config| {
            config.clusters = Clusters::alone(Client::new(cable.url()).expect("an address"));
        })
        .await;
    let job = submit(&stack, "fixture", &witness).await;
    let mut seen = witness.begins().await;
    // Nobody watches: what comes, comes from the engine.
    stack.stop_gateway().await;
    cable.pull();
    seen.stops().await;
    cable.plug();
    witness.begins().await.answer("again").await;
    let run =
        until("the end of the job", || async { run_of(&stack, &job).await.filter(Run::is_final) })
            .await;
    let Run::Done { claim, .. } = &run else { panic!("not done: {run:?}") };
    assert_eq!((claim.engine.as_str(), claim.attempt), ("e1", 2));
    assert!(claim.silent.is_empty(), "nobody died: {claim:?}");
}

#[tokio::test]
async fn an_engine_that_drains_hands_its_jobs_over() {
    let stack = Stack::start(&["japan"]).await;
    publish_once(&stack).await;
    let witness = Witness::start().await;
    let first = stack.engine(stack.region(), "e1", 4).await;
    let [again, once, quick] = [
        submit(&stack, "fixture", &witness).await,
        submit(&stack, "once", &witness).await,
        stack.api.submit(stack.region(), &["ticks", "3", "50"]).await.parse().unwrap(),
    ];
    let (mut one, mut other) = (witness.begins().await, witness.begins().await);
    let _second = stack.engine(stack.region(), "e2", 4).await;
    let (_, next) = tokio::join!(first.drain(), async {
        tokio::join!(one.stops(), other.stops());
        witness.begins().await
    });
    next.answer("handed over").await;

    let (events, end) = end_of(&stack, &again).await;
    assert_eq!((&end["state"], &end["engine"]), (&json!("done"), &json!("e2")), "{end}");
    assert_eq!(stream(&events, "stdout"), "200 OK\nhanded over");
    let (_, end) = end_of(&stack, &once).await;
    assert_eq!((&end["state"], &end["engine"]), (&json!("cancelled"), &json!("e1")), "{end}");
    let (events, end) = end_of(&stack, &quick).await;
    assert_eq!((&end["state"], &end["attempt"]), (&json!("done"), &json!(1)), "{end}");
    assert_eq!(stream(&events, "stdout"), "tick 0\ntick 1\ntick 2\n", "it was let end");
    let Some(Run::Done { claim, .. }) = run_of(&stack, &again).await else { panic!("not done") };
    assert!(claim.silent.is_empty(), "a drain is no death: {claim:?}");

    let beats = stack.store.database(&beats_database(stack.region()));
    let beat = beats.get::<Beat>(&Beat::document_id("e1")).await.unwrap();
    assert!(beat.is_none_or(|beat| beat.body.held.is_empty()), "it holds nothing any more");
}

#[tokio::test]
async fn an_engine_that_is_ordered_to_leave_goes_with_its_last_job() {
    let stack = Stack::start(&["japan"]).await;
    publish_once(&stack).await;
    let witness = Witness::start().await;
    let often = |config: &mut blitz_engine::Config| {
        config.timing.presence = Duration::from_millis(500);
    };
    let first = stack.engine_with(stack.region(), "e1", often).await;
    let job = submit(&stack, "once", &witness).await;
    let seen = witness.begins().await;
    let second = stack.engine_with(stack.region(), "e2", often).await;
    let engines = stack.store.database(&engines_database(stack.region()));
    let document = async |engine: &str| {
        let id = EngineDocument::document_id(engine);
        engines.get::<EngineDocument>(&id).await.expect("an answer").expect("its document").body
    };

    // Orders to another start, and what is no order, are for nobody.
    let other = Incarnation::from_random([0; 16]);
    let stale = DrainOrder::new("e1", other, "of another start", 0);
    assert!(stale.write(&engines).await.expect("an answer"));
    let garbage = json!({"kind": "drain", "engine": "e2", "incarnation": [1]});
    let put = engines.put("drain:e2", None, &garbage, PutOptions::default()).await;
    assert_ne!(put.expect("an answer"), Put::Conflict);
    for engine in ["e1", "e2"] {
        // Each rewriting is followed by a look for orders: the one before the second has seen this one.
        let counter = document(engine).await.counter;
        until("two more rewritings", || async {
            (document(engine).await.counter >= counter + 2).then_some(())
        })
        .await;
    }
    let meanwhile = submit(&stack, "fixture", &witness).await;
    witness.begins().await.answer("both are there").await;
    end_of(&stack, &meanwhile).await;
    assert!(!document("e1").await.gone && !document("e2").await.gone);

    let id = DrainOrder::document_id("e1");
    let found = engines.get::<Value>(&id).await.expect("an answer").expect("the old order");
    let taken_away = engines.delete(&id, &found.revision).await.expect("an answer");
    assert_ne!(taken_away, Put::Conflict);
    let order = DrainOrder::new("e1", document("e1").await.incarnation, "too many engines", 0);
    assert!(order.write(&engines).await.expect("an answer"));
    assert!(!order.write(&engines).await.expect("an answer"), "one order at a time");
    until("the engine leaves", || async { document("e1").await.leaving.then_some(()) }).await;
    let next = submit(&stack, "fixture", &witness).await;
    witness.begins().await.answer("by the other").await;
    let (_, end) = end_of(&stack, &next).await;
    assert_eq!((&end["state"], &end["engine"]), (&json!("done"), &json!("e2")), "{end}");

    // Nothing of it is given back: what must not run twice ends well.
    seen.answer("to its end").await;
    let (events, end) = end_of(&stack, &job).await;
    assert_eq!((&end["state"], &end["engine"]), (&json!("done"), &json!("e1")), "{end}");
    assert_eq!(stream(&events, "stdout"), "200 OK\nto its end");
    first.ended().await.expect("it leaves in order");
    assert!(document("e1").await.gone);
    second.drain().await;
}

#[tokio::test]
async fn a_cancel_ends_what_must_not_run_twice() {
    let stack = Stack::start(&["japan"]).await;
    publish_once(&stack).await;
    let witness = Witness::start().await;
    let _engine = stack.engine(stack.region(), "e1", 2).await;
    let job = submit(&stack, "once", &witness).await;
    let mut seen = witness.begins().await;
    let (status, _) = stack.api.call("DELETE", &format!("/v1/jobs/{job}"), None).await;
    assert_eq!(status.as_u16(), 202);
    seen.stops().await;
    let (_, end) = end_of(&stack, &job).await;
    assert_eq!((&end["state"], &end["engine"]), (&json!("cancelled"), &json!("e1")), "{end}");
}

#[tokio::test]
async fn a_heavy_job_has_the_slots_that_it_asks_for() {
    let stack = Stack::start(&["japan"]).await;
    stack.publish("heavy", |manifest| manifest.limits.slots = Some(50)).await;
    let (heavy, light) = (Witness::start().await, Witness::start().await);
    let _engine = stack.engine(stack.region(), "e1", 2).await;
    let first = submit(&stack, "heavy", &heavy).await;
    let seen = heavy.begins().await;
    let second = submit(&stack, "fixture", &light).await;
    // Two light ones side by side, and none beside the heavy one, which has all that the engine has.
    let third = submit(&stack, "fixture", &light).await;
    tokio::select! {
        _ = light.begins() => panic!("a light job runs beside one that has every slot"),
        // Meanwhile a job comes and goes that waits behind them.
        () = async {
            let last = stack.api.submit(stack.region(), &["noop"]).await;
            stack.api.call("DELETE", &format!("/v1/jobs/{last}"), None).await;
            stack.api.follow(&last).await;
        } => {}
    }
    seen.answer("heavy").await;
    let (one, other) = (light.begins().await, light.begins().await);
    tokio::join!(one.answer("light"), other.answer("light"));
    for job in [first, second, third] {
        let (_, end) = end_of(&stack, &job).await;
        assert_eq!(end["state"], "done", "{job}: {end}");
    }
}

#[tokio::test]
async fn of_two_engines_with_one_id_the_second_start_wins_and_the_first_says_so() {
    let stack = Stack::start(&["japan"]).await;
    let witness = Witness::start().await;
    let first = stack.engine(stack.region(), "e1", 2).await;
    let job = submit(&stack, "fixture", &witness).await;
    let mut seen = witness.begins().await;
    let second = stack.engine(stack.region(), "e1", 2).await;
    let error = first.ended().await.expect_err("the first one cannot go on");
    assert!(matches!(&error, Error::Replaced { id } if id == "e1"), "{error}");
    assert!(error.to_string().contains("--id"), "{error}");
    seen.stops().await;
    witness.begins().await.answer("by the second").await;
    let (_, end) = end_of(&stack, &job).await;
    assert_eq!((&end["state"], &end["attempt"]), (&json!("done"), &json!(2)), "{end}");
    second.drain().await;
}
