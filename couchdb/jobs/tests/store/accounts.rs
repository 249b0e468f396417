//! Accounts in a real store: what is made once, and what two edits become.

use blitz_couchdb::{ChangesQuery, Database, Fetched, Wanted};
use blitz_jobs::accounts::{Changed, Plan, Revoked, Subject, Tenant};
use blitz_jobs::topology::Carries;
use serde_json::{Value, json};

use crate::World;

/// A second edit of a document on another side, as replication brings it: it wins by its hash.
async fn edited_elsewhere(accounts: &Database, id: &str, field: &str, value: Value) {
    let first = accounts.get::<Value>(id).await.unwrap().unwrap();
    let generation = first.revision.generation();
    let mut body = first.body.clone();
    body[field] = value;
    body["_id"] = json!(id);
    body["_rev"] = json!(format!("{generation}-{}", "f".repeat(32)));
    let leaf = serde_json::value::to_raw_value(&body).unwrap();
    assert!(accounts.merge(&[leaf]).await.unwrap().is_empty());
    assert_eq!(accounts.leaves::<Value>(id, None).await.unwrap().len(), 2);
}

#[tokio::test]
async fn what_is_made_once_stays_as_it_was_made() {
    let world = World::new().await;
    let accounts = &world.jobs;
    let tenant = Tenant::new("acme", "paid", 1);
    assert!(tenant.create(accounts).await.unwrap());
    assert!(!Tenant::new("acme", "free", 2).create(accounts).await.unwrap());
    let what = Subject::Key("0123456789".to_owned());
    assert!(Revoked::new("lost", "operator", 1).create(accounts, &what).await.unwrap());
    assert!(!Revoked::new("", "", 2).create(accounts, &what).await.unwrap());
    let stored = accounts.get::<Value>("revoked:key:0123456789").await.unwrap().unwrap();
    assert_eq!(Revoked::read(stored.body), Revoked::new("lost", "operator", 1));
    let stored = accounts.get::<Tenant>("tenant:acme").await.unwrap().unwrap();
    assert_eq!(stored.body, tenant);
}

#[tokio::test]
async fn a_change_ends_a_conflict_and_opens_nothing_that_one_side_closed() {
    let world = World::new().await;
    let accounts = &world.jobs;
    assert!(Tenant::new("acme", "paid", 1).create(accounts).await.unwrap());
    edited_elsewhere(accounts, "tenant:acme", "plan_until_ms", json!(7)).await;
    let renamed = Tenant::change(accounts, "acme", |tenant| tenant.plan = "free".to_owned());
    let wanted = Tenant { plan_until_ms: Some(7), ..Tenant::new("acme", "free", 1) };
    assert_eq!(renamed.await.unwrap(), Changed::Stored(wanted));
    assert_eq!(accounts.leaves::<Value>("tenant:acme", None).await.unwrap().len(), 1);
    let none = Tenant::change(accounts, "globex", |_| {}).await.unwrap();
    assert_eq!(none, Changed::Missing);

    let plan = Plan { jobs_per_hour: Some(5), ..Plan::unlimited("paid") };
    assert_eq!(plan.put(accounts).await.unwrap(), Changed::Stored(plan.clone()));
    edited_elsewhere(accounts, "plan:paid", "jobs_per_hour", json!(9)).await;
    let other = Plan { jobs_per_hour: Some(8), ..plan };
    assert_eq!(other.put(accounts).await.unwrap(), Changed::Stored(other.clone()));
    assert_eq!(accounts.leaves::<Value>("plan:paid", None).await.unwrap().len(), 1);
    edited_elsewhere(accounts, "plan:paid", "jobs_per_hour", json!(9)).await;
    assert!(Plan::delete(accounts, "paid").await.unwrap());
    assert!(!Plan::delete(accounts, "paid").await.unwrap());
    assert!(accounts.get::<Value>("plan:paid").await.unwrap().is_none());
}

/// Carries what a replication between clusters carries.
async fn carry(from: &Database, to: &Database) {
    let selector = Some(Carries::All.selector());
    let query = ChangesQuery { selector, all_leaves: true, ..ChangesQuery::default() };
    let mut wanted = Vec::new();
    for change in from.changes(&query).await.unwrap().changes {
        let id = change.id;
        let one = |revision| Wanted { id: id.clone(), revision };
        wanted.extend(change.revisions.into_iter().map(one));
    }
    let mut documents = Vec::new();
    for fetched in from.fetch(&wanted, false).await.unwrap() {
        let Fetched::Found { document, .. } = fetched else { panic!("{fetched:?}") };
        documents.push(document);
    }
    assert!(to.merge(&documents).await.unwrap().is_empty());
}

#[tokio::test]
async fn what_was_deleted_or_settled_is_so_in_other_clusters_too() {
    let world = World::new().await;
    let (here, there) = (&world.jobs, world.client.database("blitz-jobs-oregon-1"));
    there.drop().await.unwrap();
    there.create().await.unwrap();
    Plan::unlimited("old").put(here).await.unwrap();
    assert!(Tenant::new("acme", "old", 1).create(here).await.unwrap());
    edited_elsewhere(here, "tenant:acme", "plan_until_ms", json!(7)).await;
    carry(here, &there).await;
    assert!(there.get::<Value>("plan:old").await.unwrap().is_some());
    assert_eq!(there.leaves::<Value>("tenant:acme", None).await.unwrap().len(), 2);

    assert!(Plan::delete(here, "old").await.unwrap());
    let renamed = Tenant::change(here, "acme", |tenant| tenant.plan = "free".to_owned()).await;
    assert!(matches!(renamed.unwrap(), Changed::Stored(_)));
    carry(here, &there).await;
    assert!(there.get::<Value>("plan:old").await.unwrap().is_none(), "a plan that was removed");
    let leaves = there.leaves::<Value>("tenant:acme", None).await.unwrap();
    assert_eq!(leaves.len(), 1, "a conflict that was settled: {leaves:?}");
    // Who makes it again finds no trace of the one before.
    let again = Plan { jobs_per_hour: Some(1), ..Plan::unlimited("old") };
    assert_eq!(again.put(here).await.unwrap(), Changed::Stored(again.clone()));
    there.drop().await.unwrap();
}
