//! A far store that goes and comes back.

mod pretended;

use std::collections::BTreeSet;

use blitz_embedded::Storage;
use blitz_jobs::cluster::Clusters;
use serde_json::json;

use super::*;
use crate::embedded::{Server, until};
use pretended::Pretended;

#[test]
fn the_other_end_is_known_by_its_address() {
    for (end, wanted) in [
        (json!("http://u:p@h:5984/db"), Some("http://h:5984")),
        (json!({"url": "https://h/couch/db/"}), Some("https://h/couch")),
        (json!({"url": 7}), None),
        (json!("db"), None),
        (json!("http://h"), None),
    ] {
        assert_eq!(server(&end).as_deref(), wanted, "{end}");
    }
}

#[test]
fn a_replication_is_the_same_and_its_document_another() {
    let body = json!({
        "_id": "x", "_rev": "1-a", "_replication_state": "failed", "owner": "admin", "source": "a", "target": "b",
    });
    let first = rewritten(body.as_object().unwrap().clone());
    assert_eq!(
        json!(first),
        json!({"owner": "admin", "source": "a", "target": "b", "mended": 1, "worker_batch_size": 499})
    );
    let second = rewritten(first);
    assert_eq!((&second["mended"], &second["worker_batch_size"]), (&json!(2), &json!(500)));
}

#[test]
fn looks_are_spread_about_a_second() {
    assert_eq!((pause(0), pause(255)), (LOOK * 9 / 10, LOOK * 11 / 10));
}

/// What the 5 s from a heal to its end leave for noticing it: a failure is known 3 s after the cut, and the look comes after.
#[tokio::test(start_paused = true)]
async fn hundreds_of_replications_begin_anew_within_a_look_after_the_heal_and_few_questions_are_asked()
 {
    let world = Pretended::start(500);
    let clusters = Clusters::new("tokyo", world.near(), BTreeMap::from([world.far("virginia")]));
    let operators = Operators { clusters, names: BTreeSet::from(["tokyo".to_owned()]) };
    let stop = CancellationToken::new();
    let mends = tokio::spawn(mend(operators, stop.clone()));
    for cut in 1..=3_u32 {
        world.cut();
        let lasts = Duration::from_millis(7_700);
        sleep(lasts).await;
        assert_eq!(world.mended(), 0, "cut {cut}: nobody answers");
        let asked = world.questions();
        assert!((7..=9).contains(&asked), "{asked} questions in {lasts:?}");
        let healed = Instant::now();
        world.heal();
        while world.mended() < 500 {
            sleep(Duration::from_millis(10)).await;
        }
        let took = healed.elapsed();
        assert!(took <= pause(255) + LOOK / 10, "cut {cut}: after {took:?}");
        // All is well, and nobody is asked.
        sleep(LOOK * 5).await;
        assert!(world.questions() <= 2, "{}", world.questions());
    }
    stop.cancel();
    mends.await.unwrap();
}

#[tokio::test]
async fn a_far_store_that_comes_back_is_replicated_to_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let storage = || Storage::Directory(directory.path().to_owned());
    let near = Server::start().await;
    let far = Server::open(storage(), "127.0.0.1:0".parse().unwrap()).await;
    let address = far.address;
    let (there, here) =
        (far.client.database("blitz-out-japan-1"), near.client.database("blitz-out-japan-1"));
    there.create().await.unwrap();
    here.create().await.unwrap();
    let replicator = near.client.database(REPLICATOR);
    replicator.create().await.unwrap();
    let end = |address: std::net::SocketAddr| {
        json!({"url": format!("http://{address}/blitz-out-japan-1"),
            "auth": {"basic": {"username": "admin", "password": "pw"}}})
    };
    let id = "blitz:blitz-out-japan-1:tokyo>virginia";
    let body = json!({
        "source": end(near.address), "target": end(address), "continuous": true,
        "connection_timeout": 1000, "retries_per_request": 1,
    });
    let put = async |database: &blitz_couchdb::Database, id: &str, body: &Value| {
        let put = database.put(id, None, body, PutOptions::default()).await;
        assert!(matches!(put, Ok(Put::Created(_))), "{put:?}");
    };
    put(&replicator, id, &body).await;
    put(&here, "one", &json!({})).await;
    until("it runs", async || matches!(there.get::<Value>("one").await, Ok(Some(_)))).await;

    far.stop().await;
    put(&here, "two", &json!({})).await;
    until("it fails, and the server lets it rest for 30 s", async || {
        let found = near.client.replication(id).await.unwrap();
        found.is_some_and(|found| found.state.as_deref() == Some("crashing"))
    })
    .await;
    let clusters = Clusters::new("tokyo", near.client.clone(), BTreeMap::new());
    let operators = Operators { clusters, names: BTreeSet::from(["tokyo".to_owned()]) };
    let stop = CancellationToken::new();
    let mends = tokio::spawn(mend(operators, stop.clone()));

    let far = Server::open(storage(), address).await;
    let began = Instant::now();
    let there = far.client.database("blitz-out-japan-1");
    until("it goes on", async || matches!(there.get::<Value>("two").await, Ok(Some(_)))).await;
    println!("the second document is there {:?} after the far store", began.elapsed());
    let mended = replicator.get::<Value>(id).await.unwrap().expect("the replication").body;
    assert!(mended["mended"].as_u64() >= Some(1), "{mended}");
    stop.cancel();
    mends.await.unwrap();
}
