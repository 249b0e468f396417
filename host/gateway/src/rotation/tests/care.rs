//! Regions whose document has two sides, and homes that have lost their databases.

use serde_json::json;

use super::super::care::care;
use super::*;

#[tokio::test]
async fn a_home_that_has_lost_its_databases_gets_new_ones_in_a_new_epoch() {
    let Two { home, hub, operators } = Two::new("virginia").await;
    until("the hub knows the region", async || {
        hub.client.database(CONTROL).get::<Value>("region:japan").await.unwrap().is_some()
    })
    .await;
    let (regions, mut wiped) = (regions(&hub.client).await.unwrap(), BTreeMap::new());
    care(&operators, &regions, &mut wiped).await;
    care(&operators, &regions, &mut wiped).await;
    assert_eq!((region(&home.client).await.home_epoch, wiped.len()), (1, 0), "all is well");

    for name in ["jobs-japan-1", "out-japan-1", "engines-japan", "beats-japan"] {
        home.client.database(&format!("blitz-{name}")).drop().await.unwrap();
    }
    care(&operators, &regions, &mut wiped).await;
    assert_eq!(region(&home.client).await.home_epoch, 1, "it may be in the making");
    care(&operators, &regions, &mut wiped).await;
    let found = region(&home.client).await;
    assert_eq!((found.home_epoch, found.home.as_deref()), (3, Some("tokyo")));
    for name in ["jobs-japan-1", "out-japan-1", "engines-japan", "beats-japan"] {
        assert!(has(&home.client, &format!("blitz-{name}")).await, "{name}");
    }
    care(&operators, &regions, &mut wiped).await;
    assert_eq!((region(&home.client).await.home_epoch, wiped.len()), (3, 0));
}

#[tokio::test]
async fn another_server_at_the_homes_address_is_not_taken_for_it() {
    let Two { home, hub, operators } = Two::new("virginia").await;
    let (regions, mut wiped) = (regions(&home.client).await.unwrap(), BTreeMap::new());
    let control = hub.client.database(CONTROL);
    until("the hub knows the home", async || {
        control.get::<Value>("cluster:tokyo").await.unwrap().is_some()
    })
    .await;
    let mut cluster = control.get::<Value>("cluster:tokyo").await.unwrap().unwrap().body;
    cluster["uuid"] = json!("somebody else");
    put(&control, "cluster:tokyo", &cluster).await;
    home.client.database("blitz-jobs-japan-1").drop().await.unwrap();
    for _ in 0..3 {
        care(&operators, &regions, &mut wiped).await;
    }
    assert!(!has(&home.client, "blitz-jobs-japan-1").await);
    assert_eq!(region(&home.client).await.home_epoch, 1);
}

#[tokio::test]
async fn a_document_that_was_edited_on_two_sides_becomes_one() {
    let server = Server::start().await;
    setup::install(&server.client, &["japan"]).await.unwrap();
    let control = server.client.database(CONTROL);
    let before = region(&server.client).await;
    // As replication brings them: two children of the first revision.
    let found = control.get::<Value>("region:japan").await.unwrap().unwrap();
    let parent = found.revision.hash().to_owned();
    for (hash, open, epoch) in [("a", vec![1, 2], 3), ("b", vec![1, 3], 1)] {
        let mut leaf = json!(Region { open, current: 1, home_epoch: epoch, ..before.clone() });
        leaf["_id"] = json!("region:japan");
        leaf["_revisions"] = json!({"start": 2, "ids": [hash.repeat(32), parent]});
        let leaf = serde_json::value::to_raw_value(&leaf).unwrap();
        assert_eq!(control.merge(&[leaf]).await.unwrap(), []);
    }
    assert_eq!(control.leaves::<Value>("region:japan", None).await.unwrap().len(), 2);
    let operators = Operators {
        clusters: Clusters::alone(server.client.clone()),
        names: BTreeSet::from([String::new()]),
    };
    care(&operators, &[before], &mut BTreeMap::new()).await;
    let leaves = control.leaves::<Value>("region:japan", None).await.unwrap();
    assert_eq!(leaves.len(), 1, "{leaves:?}");
    let merged = region(&server.client).await;
    assert_eq!((merged.home_epoch, merged.open), (3, vec![1, 2, 3]));
}
