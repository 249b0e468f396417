//! Accounts in a real store: what is made once, and what two edits become.

use blitz_couchdb::Database;
use blitz_jobs::accounts::{Changed, Plan, Revoked, Subject, Tenant};
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
