//! Clusters and regions set up over two and three embedded stores: what is written arrives where it should, doing it again
//! writes nothing, and what cannot be is refused.

mod cluster;
mod refused;

use std::collections::BTreeMap;

use blitz_jobs::region::{Failover, Region, Rotation};
use blitz_jobs::setup::regions::{self, Wish};
use blitz_jobs::setup::{Applied, Known, Operators, SetupError, What, clusters};
use blitz_jobs::topology::{EVERYWHERE, parse_replication_id};
use serde_json::{Value, json};

use cluster::{Site, until};

fn hubs(names: &[&str]) -> Wish {
    Wish { hubs: Some(names.iter().map(|&name| name.to_owned()).collect()), ..Wish::default() }
}

fn count(applied: &Applied, what: What) -> usize {
    applied.steps.iter().filter(|step| step.what == what).count()
}

/// Adds all clusters of a site.
async fn added(site: &Site) -> Operators {
    let operators = site.operators();
    for (name, url) in site.urls() {
        let added = clusters::add(&operators, &name, &url, false).await.unwrap();
        assert!(added.is_new && added.notes.is_empty(), "{added:?}");
        assert_eq!(added.cluster.copies, Some(1));
    }
    operators
}

/// The id of a document, of which that of a job is only one letter here: `a:run`.
fn named(id: &str) -> String {
    match id.split_once(':') {
        Some((job, rest)) if job.len() == 1 => format!("japan-1-{}:{rest}", job.repeat(26)),
        _ => id.to_owned(),
    }
}

/// The document of this id, once the cluster has it.
async fn arrives(site: &Site, at: &str, database: &str, id: &str) {
    let (id, there) = (&named(id), site.client(at).database(database));
    let came = until(async || there.get::<Value>(id).await.unwrap().is_some()).await;
    if !came {
        let mut states = Vec::new();
        for name in site.names() {
            states.push((name.clone(), site.client(&name).replications().await));
        }
        panic!("{id} never came to {database} of {at}: {states:#?}");
    }
}

async fn write(site: &Site, at: &str, database: &str, id: &str, kind: &str) {
    let (id, body) = (&named(id), json!({"kind": kind, "blitz": "0"}));
    let put = site.client(at).database(database).put(id, None, &body, Default::default()).await;
    assert!(matches!(put, Ok(blitz_couchdb::Put::Created(_))), "{put:?}");
}

/// The newest sequence of every database: what is written changes one.
async fn sequences(site: &Site) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    for name in site.names() {
        let client = site.client(&name);
        for database in client.databases().await.unwrap() {
            let info = client.database(&database).info().await.unwrap();
            all.insert(format!("{name}/{database}"), format!("{:?}", info.update_seq));
        }
    }
    all
}

async fn region(operators: &Operators, name: &str) -> Region {
    Known::read(operators).await.unwrap().region(name).cloned().unwrap()
}

#[tokio::test]
async fn what_is_written_arrives_and_doing_it_again_writes_nothing() {
    let site = Site::start(&["tokyo", "virginia"]).await;
    let operators = added(&site).await;
    let outcome =
        regions::add(&operators, "japan", Some("tokyo"), &hubs(&["virginia"])).await.unwrap();
    assert!(outcome.is_new && outcome.applied.warnings.is_empty(), "{outcome:?}");
    // Jobs, output, engines and beats at both, and what replications need.
    assert_eq!(count(&outcome.applied, What::Database), 8, "{:#?}", outcome.applied.steps);
    assert_eq!(count(&outcome.applied, What::Replication), 4, "{:#?}", outcome.applied.steps);

    for (at, to, database, id, kind) in [
        ("virginia", "tokyo", "blitz-jobs-japan-1", "a:spec", "spec"),
        ("virginia", "tokyo", "blitz-jobs-japan-1", "a:cancel", "cancel"),
        ("tokyo", "virginia", "blitz-jobs-japan-1", "b:spec", "spec"),
        ("tokyo", "virginia", "blitz-jobs-japan-1", "a:run", "run"),
        ("tokyo", "virginia", "blitz-out-japan-1", "a:out.1", "out"),
        ("tokyo", "virginia", "blitz-engines-japan", "engine:e", "engine"),
        ("virginia", "tokyo", "blitz", "yanked:x:1.0.0", "yanked"),
        ("tokyo", "virginia", "blitz", "yanked:y:1.0.0", "yanked"),
        ("virginia", "tokyo", "blitz-accounts", "revoked:key:x", "revoked"),
        ("tokyo", "virginia", "blitz-accounts", "revoked:key:y", "revoked"),
        ("virginia", "tokyo", "blitz-audit", "audit:acme:x", "audit"),
        ("tokyo", "virginia", "blitz-audit", "audit:acme:y", "audit"),
    ] {
        write(&site, at, database, id, kind).await;
        arrives(&site, to, database, id).await;
    }
    // Neither beats nor a run that was written at a hub go anywhere.
    write(&site, "tokyo", "blitz-beats-japan", "beat:e", "beat").await;
    write(&site, "virginia", "blitz-jobs-japan-1", "c:run", "run").await;
    write(&site, "virginia", "blitz-jobs-japan-1", "d:spec", "spec").await;
    arrives(&site, "tokyo", "blitz-jobs-japan-1", "d:spec").await;
    for (at, database, id) in
        [("virginia", "blitz-beats-japan", "beat:e"), ("tokyo", "blitz-jobs-japan-1", "c:run")]
    {
        let found = site.client(at).database(database).get::<Value>(&named(id)).await.unwrap();
        assert!(found.is_none(), "{id} came to {at}");
    }

    let before = sequences(&site).await;
    for (name, url) in site.urls() {
        let again = clusters::add(&operators, &name, &url, false).await.unwrap();
        assert_eq!((again.is_new, again.applied), (false, Applied::default()));
    }
    for again in [
        regions::add(&operators, "japan", Some("tokyo"), &hubs(&["virginia"])).await.unwrap(),
        regions::add(&operators, "japan", None, &Wish::default()).await.unwrap(),
        regions::set(&operators, "tokyo", &Wish::default()).await.unwrap(),
        regions::move_to(&operators, "japan", "tokyo").await.unwrap(),
    ] {
        assert_eq!((again.is_new, &again.applied), (false, &Applied::default()));
        assert_eq!(again.region.home_epoch, 1);
    }
    assert_eq!(sequences(&site).await, before);
}

#[tokio::test]
async fn a_user_or_password_that_got_lost_is_made_again() {
    let site = Site::start(&["tokyo", "virginia"]).await;
    let operators = added(&site).await;
    regions::add(&operators, "japan", Some("tokyo"), &hubs(&["virginia"])).await.unwrap();
    let name = regions_user();
    let hub = site.client("virginia");
    let user = hub.user(&name).await.unwrap().expect("the replicator's user");
    assert_eq!(user.body.roles, ["blitz-replicator"]);
    let credentials =
        blitz_couchdb::Credentials { name: name.clone(), password: "other".to_owned() };
    let put = hub.put_user(&credentials, &["blitz-replicator"], Some(&user.revision)).await;
    assert!(matches!(put, Ok(blitz_couchdb::Put::Created(_))), "{put:?}");
    let outcome = regions::set(&operators, "japan", &Wish::default()).await.unwrap();
    let done: Vec<String> = outcome.applied.steps.iter().map(ToString::to_string).collect();
    assert_eq!(done, ["virginia: made user blitz-replicator-tokyo"]);
    write(&site, "tokyo", "blitz-out-japan-1", "a:out.1", "out").await;
    arrives(&site, "virginia", "blitz-out-japan-1", "a:out.1").await;
}

fn regions_user() -> String {
    blitz_jobs::setup::replications::user("tokyo")
}

#[tokio::test]
async fn a_region_moves_and_its_former_home_is_a_hub() {
    let site = Site::start(&["oregon", "tokyo", "virginia"]).await;
    let operators = added(&site).await;
    regions::add(&operators, "japan", Some("tokyo"), &hubs(&["virginia"])).await.unwrap();
    write(&site, "tokyo", "blitz-jobs-japan-1", "a:run", "run").await;
    let moved = regions::move_to(&operators, "japan", "oregon").await.unwrap();
    assert_eq!((moved.region.home.as_deref(), moved.region.home_epoch), (Some("oregon"), 3));
    assert_eq!(moved.region.hubs, ["virginia", "tokyo"]);
    assert!(moved.notes[0].contains("'tokyo' was the home and is a hub now"), "{:?}", moved.notes);
    // What was done at the former home comes over, also when it is done after the move.
    write(&site, "tokyo", "blitz-jobs-japan-1", "b:run", "run").await;
    write(&site, "tokyo", "blitz-out-japan-1", "b:out.1", "out").await;
    for (at, database, id) in [
        ("oregon", "blitz-jobs-japan-1", "a:run"),
        ("oregon", "blitz-jobs-japan-1", "b:run"),
        ("virginia", "blitz-jobs-japan-1", "b:run"),
        ("virginia", "blitz-out-japan-1", "b:out.1"),
    ] {
        arrives(&site, at, database, id).await;
    }
    let left = site.client("tokyo").replications().await.unwrap();
    let left: Vec<&str> = left.iter().map(|one| one.doc_id.as_str()).collect();
    let is_everywhere = |id: &&str| {
        let of = parse_replication_id(id).map(|(database, ..)| database);
        EVERYWHERE.iter().any(|(database, _)| of == Some(database))
    };
    assert!(left.iter().all(is_everywhere), "{left:?}");
    // All clusters have the document, without a conflict.
    for name in site.names() {
        let leaves =
            site.client(&name).database("blitz").leaves::<Region>("region:japan", None).await;
        let leaves = leaves.unwrap();
        assert_eq!(leaves.len(), 1, "{name}");
        assert_eq!(leaves[0].body, moved.region, "{name}");
    }
    let before = sequences(&site).await;
    let again = regions::move_to(&operators, "japan", "oregon").await.unwrap();
    assert_eq!((again.applied, again.region.home_epoch), (Applied::default(), 3));
    assert_eq!(sequences(&site).await, before);
}

#[tokio::test]
async fn a_home_that_is_away_is_remembered_until_it_answers() {
    let mut site = Site::start(&["tokyo", "virginia"]).await;
    let operators = added(&site).await;
    regions::add(&operators, "japan", Some("virginia"), &hubs(&["tokyo"])).await.unwrap();
    site.stop("virginia").await;
    // What only the former home has.
    let operators_of_tokyo = site.operators_near("tokyo");
    let moved = regions::move_to(&operators_of_tokyo, "japan", "tokyo").await.unwrap();
    assert_eq!(moved.region.former, ["virginia"]);
    assert_eq!((moved.region.hubs.len(), moved.region.home_epoch), (0, 3));
    assert!(
        moved.notes[0].contains("'virginia' was the home and cannot help"),
        "{:?}",
        moved.notes
    );
    assert!(moved.notes[0].contains("'blitz region set japan'"), "{:?}", moved.notes);
    let still = regions::set(&operators_of_tokyo, "japan", &Wish::default()).await.unwrap();
    assert_eq!((still.region.former.len(), count(&still.applied, What::Document)), (1, 0));

    site.resume("virginia").await;
    write(&site, "virginia", "blitz-jobs-japan-1", "a:run", "run").await;
    let back = regions::set(&operators_of_tokyo, "japan", &Wish::default()).await.unwrap();
    assert_eq!((back.region.former.len(), back.region.hubs), (0, vec!["virginia".to_owned()]));
    arrives(&site, "tokyo", "blitz-jobs-japan-1", "a:run").await;
    assert_eq!(region(&operators, "japan").await.home.as_deref(), Some("tokyo"));
}

#[tokio::test]
async fn a_home_that_was_wiped_is_made_anew_in_another_epoch() {
    let mut site = Site::start(&["tokyo", "virginia"]).await;
    let operators = added(&site).await;
    regions::add(&operators, "japan", Some("tokyo"), &hubs(&["virginia"])).await.unwrap();
    write(&site, "tokyo", "blitz-jobs-japan-1", "a:run", "run").await;
    arrives(&site, "virginia", "blitz-jobs-japan-1", "a:run").await;
    // The databases are gone, the server is the same.
    site.client("tokyo").database("blitz-jobs-japan-1").drop().await.unwrap();
    let anew = regions::add(&operators, "japan", None, &Wish::default()).await.unwrap();
    assert_eq!(anew.region.home_epoch, 3);
    assert!(anew.notes[0].contains("has lost blitz-jobs-japan-1"), "{:?}", anew.notes);
    // What the hub has of it comes back.
    arrives(&site, "tokyo", "blitz-jobs-japan-1", "a:run").await;

    // The server is another.
    site.wipe("tokyo").await;
    let operators = site.operators_near("virginia");
    let refused = regions::set(&operators, "japan", &Wish::default()).await.unwrap_err();
    assert!(matches!(refused, SetupError::Identity { .. }), "{refused}");
    let url = site.urls()["tokyo"].clone();
    let renewed = clusters::add(&operators, "tokyo", &url, true).await.unwrap();
    assert!(
        renewed.notes[0].contains("region japan: its home is a new server, in epoch 5"),
        "{renewed:?}"
    );
    arrives(&site, "tokyo", "blitz-jobs-japan-1", "a:run").await;
    assert_eq!(region(&operators, "japan").await.home_epoch, 5);
    let again = clusters::add(&operators, "tokyo", &url, true).await.unwrap();
    assert_eq!((again.notes.len(), again.applied), (0, Applied::default()));
}

#[tokio::test]
async fn a_region_is_changed() {
    let site = Site::start(&["tokyo", "virginia"]).await;
    let operators = added(&site).await;
    regions::add(&operators, "japan", Some("tokyo"), &hubs(&["virginia"])).await.unwrap();
    let rotation = Some(Some(Rotation { every_s: 60, keep_s: 120 }));
    let wish = Wish { lanes: Some(3), failover: Some(Failover::Safe), rotation, ..Wish::default() };
    let changed = regions::set(&operators, "japan", &wish).await.unwrap();
    assert_eq!((changed.region.current, &*changed.region.open), (3, &[1, 2, 3][..]));
    assert_eq!(changed.region.home_epoch, 1);
    // Runs and output come back from the hub now.
    for (database, id, kind) in
        [("blitz-jobs-japan-3", "a:run", "run"), ("blitz-out-japan-1", "a:out.1", "out")]
    {
        write(&site, "virginia", database, id, kind).await;
        arrives(&site, "tokyo", database, id).await;
    }
    let replications = site.client("tokyo").replications().await.unwrap().len();
    // Without a hub there is nothing to replicate but what is everywhere, both ways.
    let everywhere = 2 * EVERYWHERE.len();
    let alone = regions::set(&operators, "japan", &hubs(&[])).await.unwrap();
    assert_eq!(
        count(&alone.applied, What::Removal),
        replications - everywhere,
        "{:#?}",
        alone.applied
    );
    let wish = Wish { rotation: Some(None), lanes: Some(1), ..Wish::default() };
    let fewer = regions::set(&operators, "japan", &wish).await.unwrap();
    assert_eq!((fewer.region.rotation, fewer.region.open.len()), (None, 3));
}

#[tokio::test]
async fn a_region_that_was_edited_on_two_sides_is_one_again_and_keeps_what_is_open() {
    let site = Site::start(&["tokyo", "virginia"]).await;
    let operators = added(&site).await;
    let wish = Wish { lanes: Some(2), ..hubs(&["virginia"]) };
    regions::add(&operators, "japan", Some("tokyo"), &wish).await.unwrap();
    let id = "region:japan";
    let control = site.client("virginia").database("blitz");
    let first = control.get::<Value>(id).await.unwrap().unwrap();
    // Virginia has a leaf of its own, which wins there, over the very document that tokyo edits.
    let (_, hash) = first.revision.as_str().split_once('-').unwrap();
    let edit = |open: Value| {
        let mut body = first.body.clone();
        body["open"] = open;
        body
    };
    let mut other = edit(json!([1, 2]));
    let own = "f".repeat(32);
    other["_id"] = json!(id);
    other["_rev"] = json!(format!("{}-{own}", first.revision.generation() + 1));
    other["_revisions"] = json!({"start": first.revision.generation() + 1, "ids": [own, hash]});
    let other = serde_json::value::to_raw_value(&other).unwrap();
    let tokyo = site.client("tokyo").database("blitz");
    let put = tokyo.put(id, Some(&first.revision), &edit(json!([2])), Default::default()).await;
    assert!(matches!(put, Ok(blitz_couchdb::Put::Created(_))), "{put:?}");
    assert!(control.merge(&[other]).await.unwrap().is_empty());
    assert_eq!(region(&operators, "japan").await.open, [1, 2]);

    let wish = Wish { failover: Some(Failover::Safe), ..Wish::default() };
    let set = regions::set(&operators, "japan", &wish).await.unwrap();
    assert_eq!((set.region.open, set.region.home_epoch), (vec![1, 2], 1));
    for name in ["tokyo", "virginia"] {
        let control = site.client(name).database("blitz");
        let one = until(async || control.leaves::<Value>(id, None).await.unwrap().len() == 1).await;
        assert!(one, "{name}");
    }
}

#[tokio::test]
async fn a_cluster_that_missed_the_end_of_a_database_does_not_bring_it_back() {
    let mut site = Site::start(&["tokyo", "virginia"]).await;
    let operators = added(&site).await;
    let wish = Wish { lanes: Some(2), ..hubs(&["virginia"]) };
    regions::add(&operators, "japan", Some("tokyo"), &wish).await.unwrap();
    let id = "region:japan";
    site.stop("virginia").await;
    let control = site.client("tokyo").database("blitz");
    let first = control.get::<Value>(id).await.unwrap().unwrap();
    let mut body = first.body.clone();
    body["open"] = json!([2]);
    let put = control.put(id, Some(&first.revision), &body, Default::default()).await;
    assert!(matches!(put, Ok(blitz_couchdb::Put::Created(_))), "{put:?}");
    site.resume("virginia").await;
    assert_eq!(region(&operators, "japan").await.open, [2]);
}
