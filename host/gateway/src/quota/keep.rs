//! What must be done to accounts as time passes: plans that are over are changed for the next ones, and what was used long ago is
//! deleted.
//!
//! No gateway has a duty here, as several do the same without harm: over the same revision the same body is the same revision,
//! in all clusters, and a document that was deleted twice is gone. Admission does not wait for any of it.

use std::time::Duration;

use blitz_couchdb::{AllDocs, BulkOutcome, Database, Error, Put, PutOptions, Row};
use blitz_jobs::accounts::Tenant;
use blitz_jobs::accounts::quota::expired;
use blitz_jobs::accounts::usage::{KEPT_HOURS, UsageId, hour_of};
use blitz_jobs::clock::now_ms;
use blitz_jobs::read;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::accounts::Book;

/// What was used long ago is looked for this often.
const OLD_EVERY: Duration = Duration::from_secs(3600);

/// Documents that are deleted in one write.
const DELETED_MAX: u64 = 500;

/// Keeps, for ever; `look` is how often it is looked whether plans are over.
pub(crate) async fn keep(book: Book, accounts: Database, look: Duration) {
    let mut old_at = Instant::now();
    loop {
        sleep(look).await;
        if book.may_be_believed().is_err() {
            continue;
        }
        if let Err(error) = change_plans(&book, &accounts).await {
            tracing::warn!(%error, "plans that are over are not changed, trying again");
        }
        if Instant::now() >= old_at {
            old_at = Instant::now() + OLD_EVERY;
            if let Err(error) = delete_old(&accounts, hour_of(now_ms())).await {
                tracing::warn!(%error, "old usage is not deleted, trying again");
            }
        }
    }
}

/// Changes the plans that are over.
async fn change_plans(book: &Book, accounts: &Database) -> Result<(), Error> {
    let now_ms = now_ms();
    let next = |tenant: &Tenant| expired(tenant, &book.plan(&tenant.plan)?, now_ms);
    for (tenant, _) in book.tenants().into_iter().filter(|(tenant, _)| next(tenant).is_some()) {
        let id = Tenant::id(&tenant.name);
        let Some(found) = accounts.get::<Value>(&id).await? else { continue };
        // Another gateway, or an operator, may have changed it.
        let tenant: Option<Tenant> = read::document(&id, found.body);
        let Some(next) = tenant.and_then(|tenant| next(&tenant)) else { continue };
        let put = accounts.put(&id, Some(&found.revision), &next, PutOptions::default()).await?;
        if put == Put::Conflict {
            // Who was faster has done it.
            continue;
        }
        tracing::info!(tenant = next.name, plan = next.plan, "its plan was over, it has another");
    }
    Ok(())
}

/// Deletes what was used longer ago than it is kept, of every tenant.
async fn delete_old(accounts: &Database, hour: u64) -> Result<(), Error> {
    let oldest_kept = hour.saturating_sub(KEPT_HOURS);
    let mut from = "usage:".to_owned();
    loop {
        let first = AllDocs { limit: Some(1), ..read::range(from, "usage;") };
        let rows = accounts.all_docs::<Value>(&first).await?.rows;
        let Some(id) = rows.first().and_then(|row| row.id.strip_prefix("usage:")) else {
            return Ok(());
        };
        let tenant = id.split(':').next().unwrap_or(id);
        let (kept, _) = UsageId::since(tenant, oldest_kept);
        loop {
            let start = format!("usage:{tenant}:");
            let old = AllDocs {
                limit: Some(DELETED_MAX),
                exclusive_end: true,
                ..read::range(start, kept.clone())
            };
            let rows = accounts.all_docs::<Value>(&old).await?.rows;
            if rows.is_empty() {
                break;
            }
            // Replications carry what has a kind.
            let gone = |row: &Row<Value>| json!({"_id": row.id, "_rev": row.revision, "_deleted": true, "kind": "usage"});
            let gone = accounts.bulk(&rows.iter().map(gone).collect::<Vec<_>>()).await?;
            // Another gateway does the same at this moment, or the store lets nobody.
            if !gone.iter().any(|row| matches!(row.outcome, BulkOutcome::Stored(_))) {
                break;
            }
        }
        from = UsageId::behind(tenant);
    }
}

#[cfg(test)]
mod tests {
    use blitz_jobs::accounts::usage::{Counts, Usage};
    use blitz_jobs::accounts::{ACCOUNTS, Plan};

    use super::*;
    use crate::embedded::Server;

    #[tokio::test]
    async fn what_was_used_long_ago_is_deleted_and_nothing_else() {
        let server = Server::start().await;
        let accounts = server.client.database(ACCOUNTS);
        accounts.create().await.unwrap();
        let hour = 500_000;
        let mut all = Vec::new();
        for tenant in ["a", "a-b", "a1", "b"] {
            for back in [0, KEPT_HOURS, KEPT_HOURS + 1, 100_000] {
                let gateway = "g".to_owned();
                let id = UsageId { tenant: tenant.to_owned(), hour: hour - back, gateway };
                all.push((id.to_string(), back <= KEPT_HOURS));
            }
        }
        all.push(("tenant:a".to_owned(), true));
        for (id, _) in &all {
            let usage = Usage::new(1, Counts::default());
            let put = accounts.put(id, None, &usage, PutOptions::default()).await.unwrap();
            assert_ne!(put, Put::Conflict, "{id}");
        }
        delete_old(&accounts, hour).await.unwrap();
        for (id, is_kept) in all {
            let found = accounts.get::<Value>(&id).await.unwrap();
            assert_eq!(found.is_some(), is_kept, "{id}");
        }
        server.stop().await;
    }

    #[tokio::test]
    async fn a_plan_that_is_over_is_changed_by_two_gateways_as_by_one() {
        let server = Server::start().await;
        let accounts = server.client.database(ACCOUNTS);
        accounts.create().await.unwrap();
        let paid = Plan { then: Some("free".to_owned()), ..Plan::unlimited("paid") };
        let acme = Tenant { plan_until_ms: Some(1), ..Tenant::new("acme", "paid", 0) };
        let other = Tenant::new("other", "paid", 0);
        let book = || {
            let book = Book::new(None, Duration::from_secs(60));
            book.hear_plan(paid.clone());
            book.hear_tenant(acme.clone());
            book.hear_tenant(other.clone());
            book
        };
        for tenant in [&acme, &other] {
            assert!(tenant.create(&accounts).await.unwrap());
        }
        let (one, two) = (book(), book());
        let (one, two) = tokio::join!(change_plans(&one, &accounts), change_plans(&two, &accounts));
        one.unwrap();
        two.unwrap();
        let found = accounts.leaves::<Tenant>("tenant:acme", None).await.unwrap();
        let found: Vec<Tenant> = found.into_iter().map(|leaf| leaf.body).collect();
        let wanted = Tenant { plan: "free".to_owned(), plan_until_ms: None, ..acme };
        assert_eq!(found, [wanted]);
        let found = accounts.get::<Tenant>("tenant:other").await.unwrap().unwrap();
        assert_eq!(found.body, other);
        server.stop().await;
    }
}
