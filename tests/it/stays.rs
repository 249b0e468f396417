//! Engines that find the home of their region, follow it when it moves, and stay where their region's databases are.

use blitz_couchdb::{Database, Put, PutOptions};
use blitz_jobs::cluster::Cluster;
use blitz_jobs::region::{CONTROL, Region};
use blitz_jobs::{JobId, Run};
use blitz_tests::api::stream;
use blitz_tests::regions::World;
use blitz_tests::{Cable, Stack, Witness, until};
use serde_json::{Value, json};

/// Japan has its home in Tokyo, Virginia is a hub of it.
async fn two_clusters() -> World {
    let plan = World::new().cluster("tokyo").cluster("virginia");
    plan.region("japan", "tokyo", &["virginia"]).start().await
}

/// Writes a document over what is stored.
async fn write(database: &Database, id: &str, body: &impl serde::Serialize) {
    until(&format!("{id} is written"), || async {
        let stored = database.get::<Value>(id).await.ok()?.map(|found| found.revision);
        let put = database.put(id, stored.as_ref(), body, PutOptions::default()).await;
        matches!(put, Ok(Put::Created(_))).then_some(())
    })
    .await;
}

/// Has Virginia say that Tokyo is at the end of a cable, and is this server.
async fn tokyo_by_cable(world: &World, uuid: Option<&str>) -> Cable {
    let tokyo = world.cluster("tokyo");
    let cable = Cable::to(&format!("http://{}", tokyo.address)).await;
    say_where(world, &cable, uuid).await;
    cable
}

async fn say_where(world: &World, cable: &Cable, uuid: Option<&str>) {
    let found = world.cluster("tokyo").client.server().await.expect("an answer").uuid;
    let uuid = uuid.map(str::to_owned).or(found);
    let document = Cluster::new("tokyo", cable.url(), uuid).expect("a name");
    let control = world.cluster("virginia").client.database(CONTROL);
    write(&control, &document.document_id(), &document).await;
}

async fn submit(world_api: &blitz_tests::Api, plugin: &str, args: &[&str]) -> JobId {
    let request = json!({
        "plugin": plugin, "args": args, "regions": ["japan"],
        "queue_timeout_ms": 120_000, "timeout_ms": 240_000,
    });
    world_api.submit_with(request).await.parse().expect("a job's id")
}

#[tokio::test]
async fn an_engine_at_another_cluster_finds_its_home_by_the_documents() {
    let world = two_clusters().await;
    let gateway = world.gateway("g1", "tokyo", &[]).await;
    // It knows Virginia alone.
    let engine = world.engine("japan", "e1", "virginia", &[]).await;
    let job = submit(&gateway.api, "fixture", &["ticks", "2", "10"]).await;
    let events = gateway.api.follow(job.as_str()).await;
    assert_eq!(stream(&events, "stdout"), "tick 0\ntick 1\n", "{events:?}");
    engine.drain().await;
    gateway.stop().await;
}

#[tokio::test]
async fn a_move_is_followed_and_what_must_not_run_twice_ends_where_it_began() {
    let world = two_clusters().await;
    let gateway = world.gateway("g1", "virginia", &["tokyo"]).await;
    let _keeper = world.gateway("g2", "tokyo", &["virginia"]).await;
    let engine = world.engine("japan", "e1", "virginia", &["tokyo"]).await;
    let (again, once) = (Witness::start().await, Witness::start().await);
    let [safe, never] = [
        submit(&gateway.api, "fixture", &again.words().each_ref().map(String::as_str)).await,
        submit(&gateway.api, "once", &once.words().each_ref().map(String::as_str)).await,
    ];
    let (mut first, only) = (again.begins().await, once.begins().await);
    world.move_region("japan", "virginia").await;
    first.stops().await;
    again.begins().await.answer("at the new home").await;
    only.answer("at the old home").await;
    for (job, epoch) in [(&safe, 3), (&never, 1)] {
        let run = world.agreed_end(&["tokyo", "virginia"], job).await;
        let Run::Done { claim, .. } = &run else { panic!("not done: {run:?}") };
        assert_eq!((claim.epoch, claim.engine.as_str()), (epoch, "e1"), "{run:?}");
    }
    // And it is there for what comes next.
    let next = submit(&gateway.api, "once", &["noop"]).await;
    let run = world.agreed_end(&["tokyo", "virginia"], &next).await;
    assert!(matches!(&run, Run::Done { claim, .. } if claim.epoch == 3), "{run:?}");
    engine.drain().await;
}

#[tokio::test]
async fn another_server_at_the_homes_address_is_not_entered() {
    let world = two_clusters().await;
    let cable = tokyo_by_cable(&world, Some("0123456789abcdef0123456789abcdef")).await;
    let engine = world.engine("japan", "e1", "virginia", &[]);
    let told = async {
        until("it has asked who is there, again and again", || async {
            (cable.requests().len() >= 3).then_some(())
        })
        .await;
        let asked = cable.requests();
        assert!(asked.iter().all(|request| request == "GET /"), "{asked:?}");
        say_where(&world, &cable, None).await;
    };
    let (engine, ()) = tokio::join!(engine, told);
    engine.drain().await;
}

#[tokio::test]
async fn a_home_that_does_not_answer_at_the_start_is_waited_for() {
    let world = two_clusters().await;
    let cable = tokyo_by_cable(&world, None).await;
    cable.pull();
    let mut engine = Box::pin(world.engine("japan", "e1", "virginia", &[]));
    tokio::select! {
        biased;
        _ = &mut engine => panic!("it is there, and its cable is not"),
        () = async {
            // The plugins are ready by then: all that is missing is the home.
            let near = world.cluster("virginia").client.database(CONTROL);
            near.info().await.expect("an answer");
        } => {}
    }
    cable.plug();
    engine.await.drain().await;
}

#[tokio::test]
async fn databases_that_come_and_go_are_followed_as_the_region_has_them() {
    let stack = Stack::start(&["japan"]).await;
    let name = stack.region().to_owned();
    let engine = stack.engine(&name, "e1", 4).await;
    let first = stack.api.submit(&name, &["noop"]).await;
    stack.api.follow(&first).await;
    let control = stack.store.database(CONTROL);
    let region = Region { current: 2, open: vec![1, 2], ..Region::new(&name).expect("a name") };
    // The engine hears of it before it is there.
    write(&control, &region.document_id(), &region).await;
    for database in region.jobs_databases().chain(region.output_databases()) {
        stack.store.database(&database).create().await.expect("a database");
    }
    let second = |ended: Region| {
        let (stack, name) = (&stack, &name);
        async move {
            until("a job in the second database", || async {
                let job = stack.api.submit(name, &["noop"]).await;
                job.parse::<JobId>().ok()?.jobs_database().ends_with("-2").then_some(())?;
                let events = stack.api.follow(&job).await;
                let end = events.last()?.data.clone();
                assert_eq!(end["state"], "done", "{ended:?}: {end}");
                Some(())
            })
            .await;
        }
    };
    second(region.clone()).await;
    // The first one goes: from the region's document, and then altogether.
    let region = Region { open: vec![2], ..region };
    write(&control, &region.document_id(), &region).await;
    for number in ["jobs", "out"] {
        let gone = stack.store.database(&format!("blitz-{number}-{name}-1"));
        gone.drop().await.expect("a database that goes");
    }
    second(region).await;
    engine.drain().await;
}
