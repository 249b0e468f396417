//! Fills the book from the near cluster: everything at first, and then one feed. After every interruption all is read anew, as
//! the database may be another one, or the same at an earlier day.

use std::collections::HashSet;
use std::time::Duration;

use blitz_couchdb::{AllDocs, Change, Database, Error, FeedEvent, FollowOptions, Sequence};
use blitz_jobs::accounts::{Changing, Key, Plan, Revoked, Subject, Tenant};
use blitz_jobs::read;
use blitz_jobs::timing::HEARTBEAT;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::time::sleep;

use super::book::{Book, Pages};
use crate::config::ACCOUNTS_STALE_MIN;
use crate::quota::Quota;

/// A feed that was lost is opened again after this long: revocations are heard within two seconds all the same.
const AGAIN: Duration = Duration::from_secs(1);

/// A database that is not there is looked for this often.
const LOOK_AGAIN: Duration = Duration::from_secs(2);

/// Documents in one read: of a kilobyte at most, as a rule.
const ROWS: u64 = 1000;

/// The words before the first colon of what the book keeps. What is counted of use is not among them.
const KINDS: [&str; 4] = ["key", "plan", "revoked", "tenant"];

/// A feed that is dead was so for this long at most before it was noticed: three heartbeats did not come.
const DEAD_FOR: Duration = ACCOUNTS_STALE_MIN;

/// Who reads accounts for a gateway.
pub(crate) struct Followed {
    pub(crate) book: Book,
    /// Hears what was used.
    pub(crate) quota: Quota,
    pub(crate) accounts: Database,
}

/// From where on a database is followed.
pub(crate) struct From {
    since: Sequence,
    instance_start_time: String,
}

impl Followed {
    /// Reads everything. `None` when it cannot be read now; the book knows why.
    pub(crate) async fn read(&self) -> Option<From> {
        match self.try_read().await {
            Ok(from) => Some(from),
            Err(Error::NotFound { .. }) => {
                tracing::debug!(database = self.accounts.name(), "there are no accounts");
                self.book.missing();
                None
            }
            Err(error) => {
                tracing::warn!(database = self.accounts.name(), %error, "cannot read accounts, trying again");
                self.book.silent(Duration::ZERO);
                None
            }
        }
    }

    /// Follows for ever.
    pub(crate) async fn run(self, mut from: Option<From>) {
        loop {
            match from.take() {
                Some(from) => {
                    self.follow(from).await;
                    sleep(AGAIN).await;
                }
                None => sleep(LOOK_AGAIN).await,
            }
            from = self.read().await;
        }
    }

    /// Everything there is. What is said of it in the meantime, the feed brings.
    async fn try_read(&self) -> Result<From, Error> {
        let info = self.accounts.info().await?;
        let mut pages = Pages::default();
        let mut revoked = Vec::new();
        for kind in KINDS {
            let mut next = format!("{kind}:");
            loop {
                let query = AllDocs {
                    include_docs: true,
                    conflicts: true,
                    limit: Some(ROWS),
                    ..read::range(next, format!("{kind};"))
                };
                let rows = self.accounts.all_docs::<Value>(&query).await?.rows;
                let last = rows.last().map(|row| row.id.clone());
                for row in rows {
                    let Some(doc) = row.doc else { continue };
                    match self.document(&row.id, doc, !row.conflicts.is_empty()).await? {
                        Some(Said::Key(key)) => pages.hear_key(key),
                        Some(Said::Tenant(tenant)) => {
                            pages.tenants.insert(tenant.name.clone(), tenant);
                        }
                        Some(Said::Plan(plan)) => drop(pages.plans.insert(plan.name.clone(), plan)),
                        Some(Said::Revoked(what, why)) => revoked.push((what, why)),
                        None => {}
                    }
                }
                match last {
                    // The smallest id after it.
                    Some(last) => next = format!("{last}\u{0}"),
                    None => break,
                }
            }
        }
        // Without that they count here all the same.
        if let Err(error) = self.give_back(&revoked).await {
            tracing::warn!(%error, "a revocation that the store had lost is not written again");
        }
        for (what, why) in revoked {
            self.book.hear_revoked(what, why);
        }
        self.book.replace(pages);
        self.book.begin();
        self.quota.begin();
        let instance_start_time = info.instance_start_time;
        Ok(From { since: info.update_seq, instance_start_time })
    }

    /// Writes revocations that were heard here and that the database lost: it was put back to an earlier day, or made anew.
    async fn give_back(&self, there: &[(Subject, Revoked)]) -> Result<(), Error> {
        let there: HashSet<&Subject> = there.iter().map(|(what, _)| what).collect();
        for (what, why) in self.book.all_revoked() {
            if !there.contains(&what) {
                tracing::warn!(%what, "the store had lost a revocation, it is written again");
                why.create(&self.accounts, &what).await?;
            }
        }
        Ok(())
    }

    /// Hears what changes until the feed is lost.
    async fn follow(&self, from: From) {
        let mut feed = self.accounts.follow(FollowOptions {
            since: from.since,
            instance_start_time: Some(from.instance_start_time),
            include_docs: true,
            all_leaves: true,
            heartbeat: HEARTBEAT,
            ..FollowOptions::default()
        });
        loop {
            match feed.next().await {
                FeedEvent::Connected => {}
                FeedEvent::Change(change) => {
                    if let Err(error) = self.hear(change).await {
                        tracing::warn!(%error, "cannot read an account, reading all anew");
                        return self.book.silent(Duration::ZERO);
                    }
                }
                FeedEvent::Disconnected(error) => {
                    tracing::warn!(%error, "accounts are not heard, trying again");
                    return self.book.silent(DEAD_FOR);
                }
                FeedEvent::Replaced | FeedEvent::Gone => {
                    return self.book.silent(Duration::ZERO);
                }
            }
        }
    }

    async fn hear(&self, change: Change) -> Result<(), Error> {
        let kind = change.id.split_once(':').map_or("", |(kind, _)| kind);
        if kind == "usage"
            && let Ok(Some(document)) = change.document::<Value>()
        {
            self.quota.hear(&change.id, document.body);
        }
        if !KINDS.contains(&kind) {
            return Ok(());
        }
        if change.deleted {
            self.book.forget(&change.id);
            return Ok(());
        }
        let Ok(Some(document)) = change.document::<Value>() else { return Ok(()) };
        let has_conflicts = change.revisions.len() > 1;
        match self.document(&change.id, document.body, has_conflicts).await? {
            Some(Said::Key(key)) => self.book.hear_key(key),
            Some(Said::Tenant(tenant)) => self.book.hear_tenant(tenant),
            Some(Said::Plan(plan)) => self.book.hear_plan(plan),
            Some(Said::Revoked(what, why)) => self.book.hear_revoked(what, why),
            // What cannot be read any more gives no right.
            None => self.book.forget(&change.id),
        }
        Ok(())
    }

    /// What a document says; of one that was edited on two sides, what all its leaves say together.
    async fn document(
        &self,
        id: &str,
        doc: Value,
        has_conflicts: bool,
    ) -> Result<Option<Said>, Error> {
        let Some((kind, name)) = id.split_once(':') else { return Ok(None) };
        Ok(match kind {
            // That it is there is what counts.
            "revoked" => Subject::of(id).map(|what| Said::Revoked(what, Revoked::read(doc))),
            "key" if has_conflicts => {
                tracing::error!(id, "a key was written twice: it lets nobody in");
                None
            }
            "key" => read::document::<Key>(id, doc).filter(|key| key.id == name).map(Said::Key),
            "tenant" => {
                let tenant = self.merged::<Tenant>(id, doc, has_conflicts).await?;
                tenant.filter(|tenant| tenant.name == name).map(Said::Tenant)
            }
            "plan" => {
                let plan = self.merged::<Plan>(id, doc, has_conflicts).await?;
                plan.filter(|plan| plan.name == name).map(Said::Plan)
            }
            _ => None,
        })
    }

    async fn merged<T: Changing + DeserializeOwned>(
        &self,
        id: &str,
        winner: Value,
        has_conflicts: bool,
    ) -> Result<Option<T>, Error> {
        if !has_conflicts {
            return Ok(read::document(id, winner));
        }
        let leaves = self.accounts.leaves::<Value>(id, None).await?;
        tracing::warn!(id, leaves = leaves.len(), "edited on two sides: the stricter counts");
        let count = leaves.len();
        let leaves: Vec<T> =
            leaves.into_iter().filter_map(|leaf| read::document(id, leaf.body)).collect();
        // One that cannot be read might be the stricter one.
        Ok(if leaves.len() == count { T::merged(&leaves) } else { None })
    }
}

/// What a document of accounts says.
enum Said {
    Key(Key),
    Tenant(Tenant),
    Plan(Plan),
    Revoked(Subject, Revoked),
}
